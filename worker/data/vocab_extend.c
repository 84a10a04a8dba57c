#include "vocab_extend.h"

#include "arena.h"
#include "word_counts.h"
#include "wordpiece_internal.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_WORDS = 2000000 };

/* A counted word, and what the old tokenizer makes of it. */
struct word {
    const char *text;
    size_t bytes;
    uint64_t count;
    uint64_t saving; /* tokens, if it were a piece; 0: it is none to add */
    uint32_t old_count;
    bool unknown; /* it was [UNK] */
    bool refused; /* as a piece it would leave another word without pieces */
};

struct extending {
    const struct sb_wordpiece *old;
    const struct sb_extend_options *options;
    struct sb_word_counts counts;
    struct word *words;   /* [counts.count] */
    struct word **ranked; /* [candidate_count] by falling saving */
    size_t candidate_count;
    struct sb_encoding encoding;
    uint64_t word_total;
};

/* ---- counting ---- */

static void count_word(void *context, const char *word, size_t bytes)
{
    struct extending *x = context;
    sb_word_counts_add(&x->counts, word, bytes);
    x->word_total++;
}

static int count_words(struct extending *x, uint64_t *records, struct sb_err *err)
{
    struct sb_reader *reader = NULL;
    struct sb_record record;
    int rc = sb_reader_open(&reader, &x->options->source, err);
    while (rc >= 0 && (rc = sb_reader_next(reader, &record, err)) == 1) {
        sb_wordpiece_words(x->old, record.text, record.text_bytes, &x->encoding, count_word, x);
        if (record.text_pair)
            sb_wordpiece_words(x->old, record.text_pair, record.text_pair_bytes, &x->encoding,
                               count_word, x);
        *records += 1;
    }
    sb_reader_free(&reader);
    if (rc == 0 && !x->counts.count)
        return sb_err_set(err, SB_ERR_DATA, "there is no word to learn from in the text");
    return rc;
}

/* ---- ranking ---- */

static bool is_number(const struct word *word)
{
    size_t digits = 0;
    while (digits < word->bytes && word->text[digits] >= '0' && word->text[digits] <= '9')
        digits++;
    return digits == word->bytes;
}

static bool is_unknown(const struct sb_encoding *encoding, const struct sb_wordpiece *tokenizer)
{
    return encoding->count == 1 && encoding->ids[0] == sb_wordpiece_specials(tokenizer).unk;
}

static int by_saving(const void *a, const void *b)
{
    const struct word *x = *(struct word *const *)a, *y = *(struct word *const *)b;
    if (x->saving != y->saving)
        return x->saving > y->saving ? -1 : 1;
    return strcmp(x->text, y->text);
}

static void rank_words(struct extending *x)
{
    x->words = sb_calloc(x->counts.count, sizeof(*x->words));
    x->ranked = sb_calloc(x->counts.count, sizeof(struct word *));
    for (size_t i = 0; i < x->counts.count; i++) {
        struct word *word = &x->words[i];
        *word = (struct word){.text = sb_word_counts_text(&x->counts, i),
                              .bytes = x->counts.words[i].bytes,
                              .count = x->counts.words[i].count};
        sb_wordpiece_encode(x->old, word->text, word->bytes, &x->encoding);
        word->old_count = (uint32_t)x->encoding.count;
        word->unknown = is_unknown(&x->encoding, x->old);
        bool split = word->old_count > 1 || word->unknown;
        if (!split || is_number(word) || word->count < x->options->min_count)
            continue;
        word->saving = word->count * (word->unknown ? 1 : word->old_count - 1);
        x->ranked[x->candidate_count++] = word;
    }
    qsort(x->ranked, x->candidate_count, sizeof(struct word *), by_saving);
}

/* ---- the extended tokenizer ---- */

/* "[unused12]", and nothing that a text is searched for. */
static bool is_free_place(const struct sb_wordpiece *t, int32_t id)
{
    static const char start[] = "[unused";
    const char *text = sb_wordpiece_text(t, id);
    if (strncmp(text, start, sizeof(start) - 1) != 0)
        return false;
    text += sizeof(start) - 1;
    size_t digits = strspn(text, "0123456789");
    if (!digits || strcmp(text + digits, "]") != 0)
        return false;
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added_tokens[i].id == id)
            return false;
    return true;
}

static int add_piece(struct sb_wordpiece *made, const struct word *word, size_t id,
                     struct sb_extension *extension, struct sb_err *err)
{
    extension->pieces[extension->count++] =
        (struct sb_new_piece){.id = (int32_t)id, .count = word->count};
    return sb_wordpiece_add_piece(made, word->text, word->bytes, id, err);
}

/* The next word that may be a piece; NULL: there is none, or there are enough. */
static const struct word *next_word(const struct extending *x, size_t *next,
                                    const struct sb_extension *extension)
{
    while (*next < x->candidate_count && x->ranked[*next]->refused)
        ++*next;
    bool more = *next < x->candidate_count && extension->count < x->options->words;
    return more ? x->ranked[(*next)++] : NULL;
}

static int build(struct sb_extension *extension, const struct extending *x, struct sb_err *err)
{
    const struct sb_wordpiece *old = x->old;
    struct sb_wordpiece_options options = old->options;
    options.strip_accents = old->strip_accents_given;
    struct sb_wordpiece *made = sb_wordpiece_new(&options);
    free(made->prefix);
    made->prefix = sb_strdup(old->prefix);
    made->max_word_chars = old->max_word_chars;
    sb_wordpiece_free(&extension->tokenizer);
    extension->tokenizer = made;
    extension->count = extension->in_unused = 0;

    size_t next = 0;
    int rc = 0;
    for (size_t id = 0; rc == 0 && id < old->count; id++) {
        const char *text = sb_wordpiece_text(old, (int32_t)id);
        bool is_free = !x->options->keep_unused && is_free_place(old, (int32_t)id);
        const struct word *word = is_free ? next_word(x, &next, extension) : NULL;
        rc = word ? add_piece(made, word, id, extension, err)
                  : sb_wordpiece_add_piece(made, text, strlen(text), id, err);
    }
    extension->in_unused = extension->count;
    for (const struct word *word; rc == 0 && (word = next_word(x, &next, extension));)
        rc = add_piece(made, word, made->count, extension, err);
    for (size_t i = 0; rc == 0 && i < old->added_count; i++) {
        int32_t id = old->added_tokens[i].id;
        rc = sb_wordpiece_add_token(made, sb_wordpiece_text(old, id), id,
                                    old->added_tokens[i].special, err);
    }
    const char *unk = sb_wordpiece_text(old, sb_wordpiece_specials(old).unk);
    return rc == 0 ? sb_wordpiece_finish(made, unk, err) : rc;
}

/* ---- what the new pieces do to the words of the text ---- */

/* The new piece that a word begins with, as an index; SIZE_MAX: it begins with an old one. */
static size_t new_piece_of(const struct sb_extension *extension, const struct word *word)
{
    for (size_t bytes = word->bytes; bytes > 0; bytes--) {
        int32_t id = sb_trie_find(&extension->tokenizer->pieces, word->text, bytes);
        if (id < 0)
            continue;
        for (size_t i = 0; i < extension->count; i++)
            if (extension->pieces[i].id == id)
                return i;
        return SIZE_MAX;
    }
    return SIZE_MAX;
}

static void refuse(struct extending *x, const char *text)
{
    for (size_t i = 0; i < x->candidate_count; i++)
        if (!strcmp(x->ranked[i]->text, text))
            x->ranked[i]->refused = true;
}

/* Refuses new pieces that leave a word without pieces.  Returns how many. */
static size_t refuse_harmful(struct extending *x, const struct sb_extension *extension)
{
    size_t refused = 0;
    for (size_t i = 0; i < x->counts.count; i++) {
        struct word *word = &x->words[i];
        if (word->unknown)
            continue;
        sb_wordpiece_encode(extension->tokenizer, word->text, word->bytes, &x->encoding);
        if (!is_unknown(&x->encoding, extension->tokenizer))
            continue;
        size_t piece = new_piece_of(extension, word);
        if (piece == SIZE_MAX)
            continue;
        refuse(x, sb_wordpiece_text(extension->tokenizer, extension->pieces[piece].id));
        refused++;
    }
    return refused;
}

static bool same_ids(const struct sb_encoding *a, const struct sb_encoding *b)
{
    return a->count == b->count && !memcmp(a->ids, b->ids, a->count * sizeof(*a->ids));
}

static void measure(struct sb_extension *extension, struct extending *x)
{
    struct sb_encoding now = {0};
    for (size_t i = 0; i < x->counts.count; i++) {
        const struct word *word = &x->words[i];
        sb_wordpiece_encode(x->old, word->text, word->bytes, &x->encoding);
        sb_wordpiece_encode(extension->tokenizer, word->text, word->bytes, &now);
        extension->pieces_before += word->count * x->encoding.count;
        extension->pieces_after += word->count * now.count;
        extension->unknown_before += word->unknown ? word->count : 0;
        extension->unknown_after += is_unknown(&now, extension->tokenizer) ? word->count : 0;
        extension->words += word->count;
        extension->changed_words += now.count > 1 && !same_ids(&x->encoding, &now);
    }
    sb_encoding_release(&now);
}

static void keep_old_ids(struct sb_extension *extension, struct extending *x)
{
    for (size_t i = 0; i < extension->count; i++) {
        struct sb_new_piece *piece = &extension->pieces[i];
        const char *text = sb_wordpiece_text(extension->tokenizer, piece->id);
        sb_wordpiece_encode(x->old, text, strlen(text), &x->encoding);
        piece->old_count = x->encoding.count;
        piece->old_ids = sb_calloc(piece->old_count, sizeof(*piece->old_ids));
        memcpy(piece->old_ids, x->encoding.ids, piece->old_count * sizeof(*piece->old_ids));
    }
}

int sb_vocab_extend(struct sb_extension *extension, const struct sb_wordpiece *tokenizer,
                    const struct sb_extend_options *options, struct sb_err *err)
{
    struct extending x = {.old = tokenizer, .options = options};
    *extension =
        (struct sb_extension){.pieces = sb_calloc(options->words + 1, sizeof(*extension->pieces))};
    sb_word_counts_init(&x.counts, options->max_words ? options->max_words : DEFAULT_MAX_WORDS);
    int rc = count_words(&x, &extension->records, err);
    if (rc == 0) {
        rank_words(&x);
        /* Each round refuses a piece or is the last one. */
        do
            rc = build(extension, &x, err);
        while (rc == 0 && refuse_harmful(&x, extension));
    }
    if (rc == 0 && !extension->count)
        rc = sb_err_set(err, SB_ERR_DATA,
                        "no word of the text is split and occurs at least %llu times: there is "
                        "nothing to add",
                        (unsigned long long)options->min_count);
    if (rc == 0) {
        extension->candidates = x.candidate_count;
        extension->distinct_words = x.counts.count;
        measure(extension, &x);
        keep_old_ids(extension, &x);
    } else {
        sb_extension_release(extension);
    }
    sb_word_counts_release(&x.counts);
    sb_encoding_release(&x.encoding);
    free(x.words);
    free(x.ranked);
    return rc;
}

void sb_extension_release(struct sb_extension *extension)
{
    for (size_t i = 0; i < extension->count; i++)
        free(extension->pieces[i].old_ids);
    free(extension->pieces);
    sb_wordpiece_free(&extension->tokenizer);
    *extension = (struct sb_extension){0};
}
