#include "sentences.h"

#include "arena.h"
#include "sentences_inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLUMNS_MIN = 2, COLUMNS_MAX = 4 };

static const char DOCUMENT_START[] = "-DOCSTART-";

/* ---- the sentence in hand ---- */

void sentence_clear(struct sb_sentences *s)
{
    sb_bytes_clear(&s->text);
    sb_bytes_clear(&s->tag_text);
    s->words.count = 0;
    s->tag_count = 0;
    s->numbers = false;
}

void sentence_add_tag(struct sb_sentences *s, const char *tag, size_t bytes)
{
    sb_bytes_append(&s->tag_text, tag, bytes);
    sb_bytes_append(&s->tag_text, "", 1);
    s->tag_count++;
}

void sentence_add(struct sb_sentences *s, const char *word, size_t bytes, const char *tag)
{
    const struct sb_word *before = s->words.count ? &s->words.items[s->words.count - 1] : NULL;
    struct sb_word here = {0};
    if (before) {
        sb_bytes_append(&s->text, " ", 1);
        here.first = before->end + 1;
        here.first_char = before->end_char + 1;
    }
    here.end = here.first + bytes;
    here.end_char = here.first_char + sb_text_chars(word, bytes);
    sb_bytes_append(&s->text, word, bytes);
    sb_words_add(&s->words, here);
    sentence_add_tag(s, tag, strlen(tag));
}

int sentence_trouble(const struct sb_sentences *s, struct sb_err *err, const char *format, ...)
{
    char sentence[768];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": %s", s->lines.path, s->lines.number,
                      sentence);
}

/* ---- tags ---- */

int sb_tag_check(const char *tag, struct sb_err *err)
{
    static const struct {
        const char *prefixes, *scheme;
    } others[] = {{"ES", "IOBES"}, {"LU", "BILOU"}, {"M", "BMES"}};
    if (!strcmp(tag, "O"))
        return 0;
    if ((tag[0] == 'B' || tag[0] == 'I') && tag[1] == '-' && tag[2])
        return 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (tag[0] && tag[1] == '-' && strchr(others[i].prefixes, tag[0]))
            return sb_err_set(err, SB_ERR_DATA,
                              "tag '%.60s' is of the scheme %s; only BIO (IOB2) and IOB1 are read",
                              tag, others[i].scheme);
    return sb_err_set(err, SB_ERR_DATA, "tag '%.60s' is neither O nor B-TYPE nor I-TYPE", tag);
}

/* An I behind nothing of its type begins an entity: IOB1 says it so, and BIO by B. */
static void to_bio(struct sb_sentences *s)
{
    for (size_t i = 0; i < s->tag_count; i++) {
        char *tag = s->tags[i];
        const char *before = i ? s->tags[i - 1] : "O";
        if (tag[0] == 'I' && (before[0] == 'O' || strcmp(before + 1, tag + 1) != 0))
            tag[0] = 'B';
    }
}

static void finish(struct sb_sentences *s, struct sb_sentence *sentence)
{
    sb_assert(s->tag_count == s->words.count);
    if (s->tag_capacity < s->tag_count) {
        s->tag_capacity = 2 * s->tag_count;
        s->tags = sb_realloc(s->tags, s->tag_capacity * sizeof(*s->tags));
    }
    char *at = s->tag_text.data;
    for (size_t i = 0; i < s->tag_count; i++) {
        s->tags[i] = at;
        at += strlen(at) + 1;
    }
    if (!s->numbers)
        to_bio(s);
    *sentence = (struct sb_sentence){
        .text = s->text.count ? s->text.data : "",
        .text_bytes = s->text.count,
        .words = s->words.items,
        .word_count = s->words.count,
        .tags = s->tags,
        .numbers = s->numbers,
        .path = s->paths[s->path_index],
        .line = s->line,
    };
}

/* ---- columns ---- */

struct cell {
    char *text;
    size_t bytes;
};

/* Cuts a line into cells and returns how many there are; only the first `room` are kept. */
static size_t cut_cells(struct cell *cells, size_t room, char *line, size_t bytes)
{
    const char *separators = memchr(line, '\t', bytes) ? "\t" : " ";
    size_t count = 0;
    char *at = line, *end = line + bytes;
    while (at < end) {
        while (at < end && *at == separators[0])
            at++;
        char *begin = at;
        while (at < end && *at != separators[0])
            at++;
        if (at == begin)
            break;
        if (count < room)
            cells[count] = (struct cell){begin, (size_t)(at - begin)};
        count++;
    }
    return count;
}

static int add_row(struct sb_sentences *s, struct sb_err *err)
{
    struct cell cells[COLUMNS_MAX];
    size_t count = cut_cells(cells, COLUMNS_MAX, s->lines.text, s->lines.bytes);
    if (count < COLUMNS_MIN || count > COLUMNS_MAX)
        return sentence_trouble(s, err,
                                "%zu column%s; a word, perhaps more, and its tag are 2 to 4", count,
                                count == 1 ? "" : "s");
    if (s->columns && s->columns != count)
        return sentence_trouble(s, err, "%zu columns, where the file began with %zu", count,
                                s->columns);
    s->columns = count;
    struct cell *tag = &cells[count - 1];
    tag->text[tag->bytes] = 0;
    if (strlen(tag->text) != tag->bytes)
        return sentence_trouble(s, err, "a zero byte in the tag");
    struct sb_err fault = SB_ERR_INIT;
    if (sb_tag_check(tag->text, &fault) < 0)
        return sentence_trouble(s, err, "%s", fault.text);
    if (s->words.count == SB_SENTENCE_WORDS_MAX)
        return sentence_trouble(
            s, err, "a sentence of more than %d words; are there no empty lines between sentences?",
            SB_SENTENCE_WORDS_MAX);
    if (!s->words.count)
        s->line = s->lines.number;
    sentence_add(s, cells[0].text, cells[0].bytes, tag->text);
    return 0;
}

static bool is_break(const struct sb_sentences *s)
{
    return strspn(s->lines.text, " \t") == s->lines.bytes ||
           !strncmp(s->lines.text, DOCUMENT_START, strlen(DOCUMENT_START));
}

static int next_from_columns(struct sb_sentences *s, struct sb_err *err)
{
    int rc;
    while ((rc = sb_lines_next(&s->lines, err)) == 1) {
        if (is_break(s)) {
            if (s->words.count)
                return 1;
        } else if (add_row(s, err) < 0) {
            return -1;
        }
    }
    return rc < 0 ? -1 : s->words.count > 0;
}

static int next_from_json(struct sb_sentences *s, struct sb_err *err)
{
    int rc;
    while ((rc = sb_lines_next(&s->lines, err)) == 1 &&
           strspn(s->lines.text, " \t") == s->lines.bytes) {
    }
    if (rc <= 0)
        return rc;
    s->line = s->lines.number;
    return sentence_from_json(s, err) < 0 ? -1 : 1;
}

/* ---- files ---- */

static char *copy_or_null(const char *text)
{
    return text ? sb_strdup(text) : NULL;
}

int sb_sentences_open(struct sb_sentences **sentences, const struct sb_reader_options *options,
                      struct sb_err *err)
{
    char **paths = NULL;
    size_t count = 0;
    *sentences = NULL;
    if (sb_paths_expand(&paths, &count, options->paths, options->path_count, err) < 0)
        return -1;
    struct sb_sentences *s = sb_calloc(1, sizeof(*s));
    s->paths = paths;
    s->path_count = count;
    s->total_bytes = sb_paths_bytes(paths, count);
    s->lenient = options->lenient;
    s->tokens_key = copy_or_null(options->text_column);
    s->tags_key = copy_or_null(options->label_column);
    *sentences = s;
    return 0;
}

static bool ends_with(const char *path, size_t bytes, const char *ending)
{
    size_t ending_bytes = strlen(ending);
    return bytes >= ending_bytes && !strncasecmp(path + bytes - ending_bytes, ending, ending_bytes);
}

/* By the name, and where it is of standard input by the first line. */
static int open_file(struct sb_sentences *s, struct sb_err *err)
{
    const char *path = s->paths[s->path_index];
    size_t stem = sb_stream_stem(path);
    if (sb_lines_open(&s->lines, path, s->lenient, err) < 0)
        return -1;
    s->columns = 0;
    s->json = ends_with(path, stem, ".jsonl") || ends_with(path, stem, ".json");
    if (s->json || strcmp(path, "-") != 0)
        return 0;
    int rc = sb_lines_next(&s->lines, err);
    if (rc < 0)
        return -1;
    if (rc > 0) {
        s->json = s->lines.text[0] == '{' && memchr(s->lines.text, '"', s->lines.bytes);
        sb_lines_hold(&s->lines);
    }
    return 0;
}

static void close_file(struct sb_sentences *s)
{
    if (s->lines.stream)
        s->done_bytes += sb_stream_done(s->lines.stream);
    sb_lines_close(&s->lines);
}

int sb_sentences_next(struct sb_sentences *s, struct sb_sentence *sentence, struct sb_err *err)
{
    for (; s->path_index < s->path_count; s->path_index++) {
        sentence_clear(s);
        if (!s->lines.stream && open_file(s, err) < 0)
            return -1;
        int rc = s->json ? next_from_json(s, err) : next_from_columns(s, err);
        if (rc < 0)
            return -1;
        if (rc > 0) {
            finish(s, sentence);
            return 1;
        }
        close_file(s);
    }
    return 0;
}

void sb_sentences_free(struct sb_sentences **sentences)
{
    struct sb_sentences *s = *sentences;
    if (!s)
        return;
    sb_lines_release(&s->lines);
    sb_bytes_release(&s->text);
    sb_bytes_release(&s->tag_text);
    sb_words_release(&s->words);
    free(s->tags);
    free(s->tokens_key);
    free(s->tags_key);
    sb_paths_free(&s->paths, &s->path_count);
    free(s);
    *sentences = NULL;
}

void sb_sentences_progress(const struct sb_sentences *s, uint64_t *done, uint64_t *total,
                           uint64_t *replaced)
{
    *done = s->done_bytes + (s->lines.stream ? sb_stream_done(s->lines.stream) : 0);
    *total = s->total_bytes;
    *replaced = s->lines.replaced;
}
