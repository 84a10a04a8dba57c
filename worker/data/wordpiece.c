#include "wordpiece.h"

#include "arena.h"
#include "hash.h"
#include "reader.h"
#include "wordpiece_internal.h"
#include "wordpiece_unicode.h"

#include <stdlib.h>
#include <string.h>

/*
 * One pass over the text, character by character, through the stages that the original runs one
 * after the other over whole strings:
 *
 *     added tokens | clean_text | Chinese | decompose, reorder, drop marks | lower | split |
 * longest pieces
 *
 * Each stage looks at one character, but for the reordering of combining marks, which waits for the
 * next starter (struct run).  Every character carries the code points of the text that it came
 * from.
 */

struct span {
    uint32_t first, end;
};

/* Combining characters behind a starter, until the next starter is seen. */
struct run {
    struct run_char {
        int32_t c;
        uint8_t combining;
        bool inserted; /* second and later ones of a decomposition: stand where the one before
                          stands */
    } * chars;
    struct span *spans; /* of those that were not inserted, in the order of the text */
    size_t count, span_count, capacity;
    struct span starter;
    bool has_letter; /* one that stays: not a mark that is dropped */
};

struct scratch {
    size_t max_chars;
    char *word;             /* [4 * max_chars] normalised, UTF-8 */
    uint32_t *char_of;      /* [4 * max_chars] byte -> character of the word */
    struct span *char_span; /* [max_chars] */
    size_t word_bytes, word_chars;
    struct span word_span;
    struct run run;
};

struct pass {
    const struct sb_wordpiece *tokenizer;
    struct sb_encoding *out;
    struct scratch *s;
    sb_word_taker take_word; /* gets the words instead of their pieces going out; NULL: encode */
    void *context;
};

static struct scratch *scratch_for(struct sb_encoding *encoding, size_t max_chars)
{
    struct scratch *s = encoding->scratch;
    if (!s)
        s = encoding->scratch = sb_calloc(1, sizeof(*s));
    if (s->max_chars < max_chars) {
        s->max_chars = max_chars;
        s->word = sb_realloc(s->word, 4 * max_chars);
        s->char_of = sb_realloc(s->char_of, 4 * max_chars * sizeof(*s->char_of));
        s->char_span = sb_realloc(s->char_span, max_chars * sizeof(*s->char_span));
    }
    return s;
}

void sb_encoding_release(struct sb_encoding *encoding)
{
    struct scratch *s = encoding->scratch;
    if (s) {
        free(s->word);
        free(s->char_of);
        free(s->char_span);
        free(s->run.chars);
        free(s->run.spans);
        free(s);
    }
    free(encoding->ids);
    free(encoding->offsets);
    *encoding = (struct sb_encoding){0};
}

static inline void emit(struct sb_encoding *out, int32_t id, uint32_t first, uint32_t end)
{
    if (out->count == out->capacity) {
        out->capacity = out->capacity ? 2 * out->capacity : 256;
        out->ids = sb_realloc(out->ids, out->capacity * sizeof(*out->ids));
        out->offsets = sb_realloc(out->offsets, out->capacity * sizeof(*out->offsets));
    }
    out->ids[out->count] = id;
    out->offsets[out->count][0] = first;
    out->offsets[out->count][1] = end;
    out->count++;
}

/* Cuts the word into the longest pieces from the left; one [UNK] if that leaves a rest or the word
 * is too long. */
static void end_word(struct pass *pass)
{
    const struct sb_wordpiece *t = pass->tokenizer;
    struct scratch *s = pass->s;
    size_t first_piece = pass->out->count;
    if (!s->word_chars)
        return;
    bool known = s->word_chars <= t->max_word_chars;
    if (pass->take_word) {
        if (known)
            pass->take_word(pass->context, s->word, s->word_bytes);
        s->word_bytes = s->word_chars = 0;
        return;
    }
    uint32_t node = 0;
    for (size_t at = 0; known && at < s->word_bytes;) {
        size_t matched = 0;
        int32_t id = sb_trie_longest(&t->pieces, node, s->word + at, s->word_bytes - at, &matched);
        known = id >= 0;
        if (known)
            emit(pass->out, id, s->char_span[s->char_of[at]].first,
                 s->char_span[s->char_of[at + matched - 1]].end);
        at += matched;
        node = t->prefix_node;
    }
    if (!known) {
        pass->out->count = first_piece;
        emit(pass->out, t->specials.unk, s->word_span.first, s->word_span.end);
    }
    s->word_bytes = s->word_chars = 0;
}

static inline void add_span(struct pass *pass, struct span span)
{
    struct scratch *s = pass->s;
    if (!s->word_chars)
        s->word_span = span;
    s->word_span.end = span.end;
    if (s->word_chars < pass->tokenizer->max_word_chars)
        s->char_span[s->word_chars] = span;
}

/* The splitter: white space ends a word, punctuation is a word of its own. */
static void take_split(struct pass *pass, int32_t c, uint8_t classes, struct span span)
{
    struct scratch *s = pass->s;
    if (classes & (SB_CHAR_SPACE | SB_CHAR_PUNCT))
        end_word(pass);
    if (classes & SB_CHAR_SPACE)
        return;
    add_span(pass, span);
    if (s->word_chars < pass->tokenizer->max_word_chars) {
        int bytes = sb_char_put(s->word + s->word_bytes, c);
        for (int i = 0; i < bytes; i++)
            s->char_of[s->word_bytes++] = (uint32_t)s->word_chars;
    }
    s->word_chars++;
    if (classes & SB_CHAR_PUNCT)
        end_word(pass);
}

static void take_lower(struct pass *pass, int32_t c, struct span span)
{
    int32_t lower[2] = {c, 0};
    int count = pass->tokenizer->options.lowercase ? sb_char_lower(c, lower) : 1;
    for (int i = 0; i < count; i++)
        take_split(pass, lower[i], sb_char_classes(lower[i]), span);
}

static void merge_by_combining(struct run_char *out, const struct run_char *in, size_t count,
                               size_t width)
{
    for (size_t first = 0; first < count; first += 2 * width) {
        size_t middle = first + width < count ? first + width : count;
        size_t end = first + 2 * width < count ? first + 2 * width : count;
        size_t left = first, right = middle;
        for (size_t i = first; i < end; i++) {
            bool from_left =
                left < middle && (right >= end || in[left].combining <= in[right].combining);
            out[i] = from_left ? in[left++] : in[right++];
        }
    }
}

/*
 * Canonical order: by combining class, equal ones as they came.  A stable merge sort, so that a
 * megabyte of marks costs no more than its length times its logarithm.
 */
static void sort_run(struct run *run)
{
    struct run_char *other = sb_alloc(run->count * sizeof(*other));
    for (size_t width = 1; width < run->count; width *= 2) {
        merge_by_combining(other, run->chars, run->count, width);
        memcpy(run->chars, other, run->count * sizeof(*other));
    }
    free(other);
}

/*
 * Passes on what stays of the run.  After sorting, places in the text are given out in order, not
 * with the character: that is what the original's alignment does.
 */
static void flush_run(struct pass *pass)
{
    struct run *run = &pass->s->run;
    if (run->has_letter) {
        if (run->count > 1)
            sort_run(run);
        struct span span = run->starter;
        size_t next_span = 0;
        for (size_t i = 0; i < run->count; i++) {
            if (!run->chars[i].inserted)
                span = run->spans[next_span++];
            if (!(sb_char_classes(run->chars[i].c) & SB_CHAR_MARK))
                take_lower(pass, run->chars[i].c, span);
        }
    }
    run->count = run->span_count = 0;
    run->has_letter = false;
}

static void push_run(struct run *run, int32_t c, uint8_t combining, bool inserted, struct span span)
{
    if (run->count == run->capacity) {
        run->capacity = run->capacity ? 2 * run->capacity : 16;
        run->chars = sb_realloc(run->chars, run->capacity * sizeof(*run->chars));
        run->spans = sb_realloc(run->spans, run->capacity * sizeof(*run->spans));
    }
    run->chars[run->count++] = (struct run_char){c, combining, inserted};
    if (!inserted)
        run->spans[run->span_count++] = span;
    if (!(sb_char_classes(c) & SB_CHAR_MARK))
        run->has_letter = true;
}

/* Decomposes and drops the marks. */
static void take_accents(struct pass *pass, int32_t c, struct span span)
{
    struct run *run = &pass->s->run;
    int32_t parts[SB_MAX_DECOMPOSED];
    int count = sb_char_decompose(c, parts);
    for (int i = 0; i < count; i++) {
        uint8_t combining = sb_char_combining(parts[i]);
        if (combining) {
            push_run(run, parts[i], combining, i > 0, span);
            continue;
        }
        flush_run(pass);
        run->starter = span;
        if (!(sb_char_classes(parts[i]) & SB_CHAR_MARK))
            take_lower(pass, parts[i], span);
    }
}

static void take_normalised(struct pass *pass, int32_t c, struct span span)
{
    if (pass->tokenizer->options.strip_accents)
        take_accents(pass, c, span);
    else
        take_lower(pass, c, span);
}

/* Any character, by the long way. */
static void take_char(struct pass *pass, int32_t c, uint32_t index)
{
    const struct sb_wordpiece_options *options = &pass->tokenizer->options;
    struct span span = {index, index + 1};
    uint8_t classes = sb_char_classes(c);
    if (options->clean_text && classes & SB_CHAR_CONTROL)
        return;
    if (options->clean_text && classes & SB_CHAR_SPACE)
        c = ' ';
    bool alone = options->split_chinese_chars && classes & SB_CHAR_CHINESE;
    if (alone)
        take_normalised(pass, ' ', span);
    take_normalised(pass, c, span);
    if (alone)
        take_normalised(pass, ' ', span);
}

/* One ASCII character: what take_char does with it, from a table. */
static inline void take_ascii(struct pass *pass, unsigned char c, uint32_t index)
{
    struct scratch *s = pass->s;
    struct sb_ascii_char known = pass->tokenizer->ascii[c];
    if (known.classes == SB_CHAR_CONTROL)
        return;
    if (s->run.count)
        flush_run(pass);
    s->run.starter = (struct span){index, index + 1};
    if (known.classes) {
        take_split(pass, c, known.classes, s->run.starter);
        return;
    }
    add_span(pass, s->run.starter);
    if (s->word_chars < pass->tokenizer->max_word_chars) {
        s->word[s->word_bytes] = known.lower;
        s->char_of[s->word_bytes++] = (uint32_t)s->word_chars;
    }
    s->word_chars++;
}

static void end_segment(struct pass *pass)
{
    flush_run(pass);
    end_word(pass);
}

static void walk_text(struct pass *pass, const char *text, size_t bytes)
{
    const struct sb_wordpiece *tokenizer = pass->tokenizer;
    const char *end = text + bytes;
    uint32_t index = 0; /* code points so far */
    pass->out->count = 0;
    for (const char *at = text; at < end;) {
        unsigned char lead = (unsigned char)*at;
        if (tokenizer->added_first[lead]) {
            size_t matched = 0;
            int32_t found = sb_trie_longest(&tokenizer->added, 0, at, (size_t)(end - at), &matched);
            if (found >= 0) {
                const struct sb_added_token *token = &tokenizer->added_tokens[found];
                end_segment(pass);
                emit(pass->out, token->id, index, index + token->char_count);
                index += token->char_count;
                at += matched;
                continue;
            }
        }
        if (lead < 0x80) {
            take_ascii(pass, lead, index);
            at++;
        } else {
            take_char(pass, sb_char_next(&at, end), index);
        }
        index++;
    }
    end_segment(pass);
}

void sb_wordpiece_encode(const struct sb_wordpiece *tokenizer, const char *text, size_t bytes,
                         struct sb_encoding *out)
{
    struct pass pass = {
        .tokenizer = tokenizer, .out = out, .s = scratch_for(out, tokenizer->max_word_chars)};
    walk_text(&pass, text, bytes);
}

void sb_wordpiece_words(const struct sb_wordpiece *tokenizer, const char *text, size_t bytes,
                        struct sb_encoding *scratch, sb_word_taker take_word, void *context)
{
    struct pass pass = {.tokenizer = tokenizer,
                        .out = scratch,
                        .s = scratch_for(scratch, tokenizer->max_word_chars),
                        .take_word = take_word,
                        .context = context};
    walk_text(&pass, text, bytes);
}

/* ---- what a tokenizer knows about its pieces ---- */

size_t sb_wordpiece_count(const struct sb_wordpiece *tokenizer)
{
    return tokenizer->count;
}

const char *sb_wordpiece_text(const struct sb_wordpiece *tokenizer, int32_t id)
{
    if (id < 0 || (size_t)id >= tokenizer->count)
        return NULL;
    return tokenizer->texts.data + tokenizer->text_at[id];
}

int32_t sb_wordpiece_id(const struct sb_wordpiece *tokenizer, const char *piece)
{
    int32_t added = sb_trie_find(&tokenizer->added, piece, strlen(piece));
    if (added >= 0)
        return tokenizer->added_tokens[added].id;
    return sb_trie_find(&tokenizer->pieces, piece, strlen(piece));
}

static bool has_flag(const struct sb_wordpiece *tokenizer, int32_t id, enum sb_piece_flag flag)
{
    return id >= 0 && (size_t)id < tokenizer->count && tokenizer->flags[id] & flag;
}

bool sb_wordpiece_is_special(const struct sb_wordpiece *tokenizer, int32_t id)
{
    return has_flag(tokenizer, id, SB_PIECE_SPECIAL);
}

bool sb_wordpiece_continues(const struct sb_wordpiece *tokenizer, int32_t id)
{
    return has_flag(tokenizer, id, SB_PIECE_CONTINUES);
}

struct sb_specials sb_wordpiece_specials(const struct sb_wordpiece *tokenizer)
{
    return tokenizer->specials;
}

uint64_t sb_wordpiece_fingerprint(const struct sb_wordpiece *tokenizer)
{
    return tokenizer->fingerprint;
}

/* ---- building ---- */

struct sb_wordpiece *sb_wordpiece_new(const struct sb_wordpiece_options *options)
{
    struct sb_wordpiece *t = sb_calloc(1, sizeof(*t));
    t->options = *options;
    t->strip_accents_given = options->strip_accents;
    if (options->strip_accents < 0)
        t->options.strip_accents = options->lowercase;
    t->prefix = sb_strdup("##");
    t->max_word_chars = 100;
    return t;
}

void sb_wordpiece_free(struct sb_wordpiece **tokenizer)
{
    struct sb_wordpiece *t = *tokenizer;
    if (!t)
        return;
    free(t->prefix);
    sb_bytes_release(&t->texts);
    free(t->text_at);
    free(t->flags);
    sb_trie_release(&t->pieces);
    sb_trie_release(&t->added);
    free(t->added_tokens);
    free(t);
    *tokenizer = NULL;
}

int sb_wordpiece_add_piece(struct sb_wordpiece *t, const char *text, size_t bytes, size_t id,
                           struct sb_err *err)
{
    if (id >= SB_TRIE_MAX_NODES)
        return sb_err_set(err, SB_ERR_DATA, "piece '%.80s' has the id %zu, which is too large",
                          text, id);
    if (sb_utf8_check(text, bytes) >= 0 || memchr(text, 0, bytes))
        return sb_err_set(err, SB_ERR_DATA, "piece %zu is not valid UTF-8 text", id);
    if (id >= t->room) {
        while (id >= t->room)
            t->room = t->room ? 2 * t->room : 1024;
        t->text_at = sb_realloc(t->text_at, t->room * sizeof(*t->text_at));
        t->flags = sb_realloc(t->flags, t->room * sizeof(*t->flags));
    }
    for (; t->count <= id; t->count++) {
        t->text_at[t->count] = SIZE_MAX;
        t->flags[t->count] = 0;
    }
    if (t->text_at[id] != SIZE_MAX)
        return sb_err_set(err, SB_ERR_DATA, "id %zu is given to '%.80s' and to '%.80s'", id,
                          t->texts.data + t->text_at[id], text);
    t->text_at[id] = t->texts.count;
    sb_bytes_append(&t->texts, text, bytes);
    sb_bytes_append(&t->texts, "", 1);
    if (bytes && sb_trie_add(&t->pieces, text, bytes, (int32_t)id) < 0)
        return sb_err_set(err, SB_ERR_DATA, "the vocabulary is too large");
    return 0;
}

int sb_wordpiece_add_token(struct sb_wordpiece *t, const char *text, int32_t id, bool special,
                           struct sb_err *err)
{
    size_t bytes = strlen(text);
    if (!bytes)
        return sb_err_set(err, SB_ERR_DATA, "an added token is empty");
    uint32_t chars = 0;
    for (size_t i = 0; i < bytes; i++)
        chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    t->added_tokens = sb_realloc(t->added_tokens, (t->added_count + 1) * sizeof(*t->added_tokens));
    t->added_tokens[t->added_count] = (struct sb_added_token){id, chars, special};
    sb_trie_add(&t->added, text, bytes, (int32_t)t->added_count++);
    t->added_first[(unsigned char)text[0]] = true;
    if (special)
        t->flags[id] |= SB_PIECE_SPECIAL;
    return 0;
}

static void fill_ascii(struct sb_wordpiece *t)
{
    for (int c = 0; c < 128; c++) {
        uint8_t classes = sb_char_classes(c);
        int32_t lower[2] = {c, 0};
        if (t->options.lowercase)
            sb_char_lower(c, lower);
        if (!t->options.clean_text)
            classes &= (uint8_t)~SB_CHAR_CONTROL;
        else if (classes & SB_CHAR_CONTROL)
            classes = SB_CHAR_CONTROL;
        t->ascii[c] = (struct sb_ascii_char){(char)lower[0], classes};
    }
}

static void take_fingerprint(struct sb_wordpiece *t)
{
    struct sb_hasher hasher;
    uint64_t options[] = {t->options.lowercase,  (uint64_t)t->options.strip_accents,
                          t->options.clean_text, t->options.split_chinese_chars,
                          t->max_word_chars,     (uint64_t)t->specials.unk};
    sb_hasher_init(&hasher);
    sb_hasher_add(&hasher, options, sizeof(options));
    sb_hasher_add(&hasher, t->prefix, strlen(t->prefix) + 1);
    for (size_t i = 0; i < t->count; i++) {
        const char *text = t->texts.data + t->text_at[i];
        sb_hasher_add(&hasher, text, strlen(text) + 1);
    }
    for (size_t i = 0; i < t->added_count; i++)
        sb_hasher_add(&hasher, &t->added_tokens[i].id, sizeof(t->added_tokens[i].id));
    t->fingerprint = sb_hasher_value64(&hasher);
    sb_hasher_release(&hasher);
}

int sb_wordpiece_finish(struct sb_wordpiece *t, const char *unk_token, struct sb_err *err)
{
    size_t prefix_bytes = strlen(t->prefix), hole = t->texts.count;
    sb_bytes_append(&t->texts, "", 1);
    for (size_t id = 0; id < t->count; id++) {
        if (t->text_at[id] == SIZE_MAX)
            t->text_at[id] = hole;
        const char *text = t->texts.data + t->text_at[id];
        if (prefix_bytes && !strncmp(text, t->prefix, prefix_bytes) && text[prefix_bytes])
            t->flags[id] |= SB_PIECE_CONTINUES;
    }
    const struct {
        int32_t *id;
        const char *text;
    } wanted[] = {{&t->specials.pad, "[PAD]"},
                  {&t->specials.unk, unk_token},
                  {&t->specials.cls, "[CLS]"},
                  {&t->specials.sep, "[SEP]"},
                  {&t->specials.mask, "[MASK]"}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        *wanted[i].id = sb_wordpiece_id(t, wanted[i].text);
        if (*wanted[i].id < 0)
            return sb_err_set(err, SB_ERR_DATA, "the vocabulary has no %s", wanted[i].text);
        t->flags[*wanted[i].id] |= SB_PIECE_SPECIAL;
    }
    /* Where no piece goes on with a word, the search starts at a node that nothing leaves. */
    t->prefix_node = sb_trie_walk(&t->pieces, t->prefix, prefix_bytes);
    if (!t->prefix_node && prefix_bytes)
        t->prefix_node = SB_TRIE_MAX_NODES - 2;
    fill_ascii(t);
    take_fingerprint(t);
    return 0;
}
