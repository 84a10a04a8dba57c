#include "vocab.h"

#include "arena.h"
#include "pair_merge.h"
#include "word_counts.h"
#include "wordpiece_internal.h"
#include "wordpiece_unicode.h"

#include <stdlib.h>
#include <string.h>

static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
enum { SPECIAL_COUNT = sizeof(specials) / sizeof(specials[0]), CHAR_COUNT = 0x110000 };
enum { DEFAULT_MAX_WORDS = 2000000 };

static const char prefix[] = "##";
enum { PREFIX_BYTES = sizeof(prefix) - 1 };

/* A tokenizer that knows the specials only: what cuts the text into words here is what will cut it
 * later. */
static struct sb_wordpiece *bare_tokenizer(const struct sb_wordpiece_options *options)
{
    struct sb_wordpiece *t = sb_wordpiece_new(options);
    for (size_t i = 0; i < SPECIAL_COUNT; i++) {
        sb_wordpiece_add_piece(t, specials[i], strlen(specials[i]), i, NULL);
        sb_wordpiece_add_token(t, specials[i], (int32_t)i, true, NULL);
    }
    return t;
}

/* ---- counting ---- */

struct counting {
    struct sb_word_counts *counts;
    uint64_t words;
};

static void count_word(void *context, const char *word, size_t bytes)
{
    struct counting *counting = context;
    sb_word_counts_add(counting->counts, word, bytes);
    counting->words++;
}

static int count_words(struct sb_word_counts *counts, const struct sb_vocab_options *options,
                       struct sb_vocab_stats *stats, struct sb_err *err)
{
    struct sb_wordpiece *bare = bare_tokenizer(&options->normalise);
    struct sb_encoding scratch = {0};
    struct sb_reader *reader = NULL;
    struct sb_record record;
    struct counting counting = {counts, 0};
    int rc = sb_wordpiece_finish(bare, "[UNK]", err);
    if (rc == 0)
        rc = sb_reader_open(&reader, &options->source, err);
    while (rc >= 0 && (rc = sb_reader_next(reader, &record, err)) == 1) {
        sb_wordpiece_words(bare, record.text, record.text_bytes, &scratch, count_word, &counting);
        if (record.text_pair)
            sb_wordpiece_words(bare, record.text_pair, record.text_pair_bytes, &scratch, count_word,
                               &counting);
        stats->records++;
    }
    stats->words = counting.words;
    stats->distinct_words = counts->count;
    stats->forgotten_words = counts->forgotten;
    sb_reader_free(&reader);
    sb_encoding_release(&scratch);
    sb_wordpiece_free(&bare);
    if (rc == 0 && !counts->count)
        return sb_err_set(err, SB_ERR_DATA, "there is no word to learn from in the text");
    return rc;
}

/* ---- characters ---- */

struct char_count {
    int32_t c;
    uint64_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct char_count *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->c < y->c ? -1 : x->c > y->c;
}

static int by_char(const void *a, const void *b)
{
    const struct char_count *x = a, *y = b;
    return x->c < y->c ? -1 : x->c > y->c;
}

/* A character that is always a word of its own needs no piece that goes on with a word. */
static bool stands_alone(int32_t c, const struct sb_wordpiece_options *options)
{
    uint8_t classes = sb_char_classes(c);
    return classes & SB_CHAR_PUNCT || (classes & SB_CHAR_CHINESE && options->split_chinese_chars);
}

static size_t count_chars(struct char_count **chars, const struct sb_word_counts *counts)
{
    uint64_t *totals = sb_calloc(CHAR_COUNT, sizeof(*totals));
    size_t count = 0, room = 0;
    for (size_t i = 0; i < counts->count; i++) {
        const char *at = sb_word_counts_text(counts, i), *end = at + counts->words[i].bytes;
        while (at < end)
            totals[sb_char_next(&at, end)] += counts->words[i].count;
    }
    for (int32_t c = 0; c < CHAR_COUNT; c++) {
        if (!totals[c])
            continue;
        if (count == room) {
            room = room ? 2 * room : 256;
            *chars = sb_realloc(*chars, room * sizeof(**chars));
        }
        (*chars)[count++] = (struct char_count){c, totals[c]};
    }
    free(totals);
    return count;
}

static int add_char_piece(struct sb_wordpiece *t, int32_t c, bool inside, struct sb_err *err)
{
    char text[PREFIX_BYTES + 4];
    size_t bytes = inside ? PREFIX_BYTES : 0;
    memcpy(text, prefix, bytes);
    bytes += (size_t)sb_char_put(text + bytes, c);
    return sb_wordpiece_add_piece(t, text, bytes, t->count, err);
}

/* The characters that fit, the frequent ones first; then in the order of their code points. */
static int add_chars(struct sb_wordpiece *t, const struct sb_word_counts *counts,
                     const struct sb_vocab_options *options, struct sb_vocab_stats *stats,
                     struct sb_err *err)
{
    struct char_count *chars = NULL;
    size_t count = count_chars(&chars, counts), kept = 0, pieces = t->count;
    int rc = 0;
    qsort(chars, count, sizeof(*chars), by_count);
    for (; kept < count; kept++) {
        pieces += stands_alone(chars[kept].c, &options->normalise) ? 1 : 2;
        if (pieces > options->size)
            break;
    }
    stats->chars = kept;
    stats->dropped_chars = count - kept;
    qsort(chars, kept, sizeof(*chars), by_char);
    for (size_t i = 0; rc == 0 && i < kept; i++)
        rc = add_char_piece(t, chars[i].c, false, err);
    for (size_t i = 0; rc == 0 && i < kept; i++)
        if (!stands_alone(chars[i].c, &options->normalise))
            rc = add_char_piece(t, chars[i].c, true, err);
    free(chars);
    return rc;
}

/* ---- joining ---- */

/* Before sb_wordpiece_finish: the text of a piece that is there. */
static const char *piece_text(const struct sb_wordpiece *t, int32_t id)
{
    return t->texts.data + t->text_at[id];
}

static int by_text(const void *tokenizer, int32_t a, int32_t b)
{
    return strcmp(piece_text(tokenizer, a), piece_text(tokenizer, b));
}

/* The word as the ids of its characters; 0 if one of them is no piece. */
static size_t split_word(int32_t *symbols, const struct sb_wordpiece *t, const char *word,
                         size_t bytes)
{
    size_t length = 0;
    for (const char *at = word, *end = word + bytes; at < end; length++) {
        char text[PREFIX_BYTES + 4];
        size_t skip = length ? PREFIX_BYTES : 0;
        int32_t c = sb_char_next(&at, end);
        memcpy(text, prefix, skip);
        symbols[length] =
            sb_trie_find(&t->pieces, text, skip + (size_t)sb_char_put(text + skip, c));
        if (symbols[length] < 0)
            return 0;
    }
    return length;
}

static void add_words(struct sb_pair_merge *merge, const struct sb_wordpiece *t,
                      const struct sb_word_counts *counts)
{
    int32_t *symbols = sb_alloc(t->max_word_chars * sizeof(*symbols));
    for (size_t i = 0; i < counts->count; i++) {
        const struct sb_word_count *word = &counts->words[i];
        size_t length = split_word(symbols, t, sb_word_counts_text(counts, i), word->bytes);
        sb_pair_merge_add(merge, symbols, length, word->count);
    }
    free(symbols);
}

/* The piece that two neighbours make; the same text may come from more than one pair. */
static int joined_piece(int32_t *joined, struct sb_wordpiece *t, int32_t left, int32_t right,
                        struct sb_bytes *text, struct sb_err *err)
{
    sb_bytes_clear(text);
    sb_bytes_append_text(text, piece_text(t, left));
    sb_bytes_append_text(text, piece_text(t, right) + PREFIX_BYTES);
    *joined = sb_trie_find(&t->pieces, text->data, text->count);
    if (*joined >= 0)
        return 0;
    *joined = (int32_t)t->count;
    return sb_wordpiece_add_piece(t, text->data, text->count, t->count, err);
}

static int add_joined(struct sb_wordpiece *t, const struct sb_word_counts *counts,
                      const struct sb_vocab_options *options, struct sb_err *err)
{
    struct sb_pair_merge *merge = sb_pair_merge_new(by_text, t);
    struct sb_bytes text = SB_BYTES_INIT;
    int32_t left, right, joined;
    int rc = 0;
    add_words(merge, t, counts);
    while (rc == 0 && t->count < options->size) {
        uint64_t count = sb_pair_merge_best(merge, &left, &right);
        if (count < options->min_count || !count)
            break;
        rc = joined_piece(&joined, t, left, right, &text, err);
        if (rc == 0)
            sb_pair_merge_join(merge, left, right, joined);
    }
    sb_bytes_release(&text);
    sb_pair_merge_free(&merge);
    return rc;
}

int sb_vocab_train(struct sb_wordpiece **tokenizer, const struct sb_vocab_options *options,
                   struct sb_vocab_stats *stats, struct sb_err *err)
{
    struct sb_word_counts counts;
    *tokenizer = NULL;
    *stats = (struct sb_vocab_stats){0};
    if (options->size < SB_MIN_VOCAB_SIZE || options->size > SB_MAX_VOCAB_SIZE)
        return sb_err_set(err, SB_ERR_USAGE, "a vocabulary has %d to %d pieces, not %zu",
                          SB_MIN_VOCAB_SIZE, SB_MAX_VOCAB_SIZE, options->size);
    sb_word_counts_init(&counts, options->max_words ? options->max_words : DEFAULT_MAX_WORDS);
    struct sb_wordpiece *t = bare_tokenizer(&options->normalise);
    int rc = count_words(&counts, options, stats, err);
    if (rc == 0)
        rc = add_chars(t, &counts, options, stats, err);
    if (rc == 0)
        rc = add_joined(t, &counts, options, err);
    if (rc == 0)
        rc = sb_wordpiece_finish(t, "[UNK]", err);
    if (rc < 0)
        sb_wordpiece_free(&t);
    sb_word_counts_release(&counts);
    *tokenizer = t;
    return rc;
}
