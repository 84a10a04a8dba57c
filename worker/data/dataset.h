/*
 * A data set after preparation: token ids in a cache file, any sample in O(1), no memory that grows
 * with it.
 *
 * Preparation reads the sources once, tokenises on several threads and writes the cache under
 * cache_dir, named by a hash of contents and settings; a second run, or a second worker (file
 * lock), finds it.
 */
#ifndef SB_DATASET_H
#define SB_DATASET_H

#include "arena.h"
#include "batch.h"
#include "err.h"
#include "reader.h"
#include "rng.h"
#include "wordpiece.h"

/*
 * Where a document ends, a block ends: at a blank line and at the end of a file.  Records of tables
 * and JSON have no blank lines between them and so are joined up to the end of their file.
 */
enum sb_dataset_kind {
    SB_DATA_LABELLED, /* one sample a record: [CLS] text [SEP] (pair [SEP]), and a class */
    SB_DATA_LINES,    /* mlm, one sample a line that has a token */
    SB_DATA_BLOCKS,   /* mlm, lines of a document joined and cut into max_seq_length - 2 tokens */
    SB_DATA_WORDS,    /* ner, one sample a sentence (sentences.h) or window of one (windows.h) */
    SB_DATA_PACK,     /* mlm, a line is a sequence; sequences share samples (grouping.h) */
    SB_DATA_PACK_DOCUMENTS, /* the same, a document is a sequence */
    SB_DATA_HF,             /* mlm, as Hugging Face's run_mlm.py joins and cuts texts */
    SB_DATA_PAIRS, /* embed, one sample a text; those of a pair or triplet follow each other */
};

/* What the records of SB_DATA_PAIRS are, all of them. */
enum sb_pair_form {
    SB_PAIR_NONE,    /* no pairs */
    SB_PAIR_PLAIN,   /* anchor, positive */
    SB_PAIR_SCORED,  /* two texts and how alike they are, from -1 to 1 */
    SB_PAIR_TRIPLET, /* anchor, positive, negative; of several negatives there is one for each */
};

struct sb_dataset_options {
    enum sb_dataset_kind kind;
    struct sb_reader_options source;
    size_t max_seq_length; /* specials included, 4 to 65535; longer samples are cut (pairs: longest
                              first) and counted */
    /* SB_DATA_WORDS: pieces that windows share; and label all pieces of a word, not just the first.
     */
    size_t stride;
    bool label_all_tokens;
    /*
     * Class names in id order (not for scores).  A label of the data is one of them, or the number
     * of one.  NULL: the names that are found, sorted (by value if all are whole numbers).
     */
    char *const *labels;
    size_t label_count;
    /* SB_DATA_PAIRS: scores are divided by score_max, and must then be from score_min, -1 or 0, to
     * 1. */
    double score_min, score_max;
    const char *cache_dir;
    size_t threads; /* that tokenise; one more reads and writes */
    /* Called now and then while data is prepared; may be NULL.  total_bytes 0: unknown. */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes, uint64_t samples);
    void *progress_context;
};

struct sb_dataset;

/* The kind that mlm_grouping names: line, document, pack, pack_documents or hf; false: none. */
bool sb_dataset_mlm_kind(enum sb_dataset_kind *kind, const char *grouping);

/*
 * Life: open, then any number of threads may read, free.  SB_ERR_DATA: no sample at all, a label
 * that is not one of the given ones (with file and line), data that changed while it was read.
 */
int sb_dataset_open(struct sb_dataset **dataset, const struct sb_wordpiece *tokenizer,
                    const struct sb_dataset_options *options, struct sb_err *err);
void sb_dataset_free(struct sb_dataset **dataset);

uint64_t sb_dataset_count(const struct sb_dataset *dataset); /* samples */
/*
 * What a step takes one of at a time: a sample, or a pair or triplet.  Item k of the data has the
 * samples k * texts .. k * texts + texts - 1, all of type 0.
 */
uint64_t sb_dataset_item_count(const struct sb_dataset *dataset);
uint32_t sb_dataset_item_texts(const struct sb_dataset *dataset);
enum sb_pair_form sb_dataset_pair_form(const struct sb_dataset *dataset);
/* SB_PAIR_SCORED: the score of an item. */
int sb_dataset_pair_score(const struct sb_dataset *dataset, uint64_t item, float *score,
                          struct sb_err *err);
uint64_t sb_dataset_token_count(const struct sb_dataset *dataset); /* specials included */
uint64_t sb_dataset_truncated_count(const struct sb_dataset *dataset);
/* 32 hexadecimal digits: content and settings, not paths. */
const char *sb_dataset_fingerprint(const struct sb_dataset *dataset);
size_t sb_dataset_label_count(const struct sb_dataset *dataset);
/* NULL if there is no such class. */
const char *sb_dataset_label(const struct sb_dataset *dataset, size_t id);

enum sb_label_form sb_dataset_label_form(const struct sb_dataset *dataset);
/*
 * What a label that sb_dataset_read gave stands for, where it is not one class: values [classes]
 * with 1 for each class of the set, or values [1] with the number.
 */
void sb_dataset_values(const struct sb_dataset *dataset, int32_t label, float *values);

/* Tokens of one sample with specials, at most max_seq_length; O(1).  0 if it cannot be read: then
 * sb_dataset_read says why. */
uint32_t sb_dataset_length(const struct sb_dataset *dataset, uint64_t sample);
/* ids and types [length]; label (-1: none); truncated: 1 if it was cut.  All but ids may be NULL.
 */
int sb_dataset_read(const struct sb_dataset *dataset, uint64_t sample, int32_t *ids, uint8_t *types,
                    int32_t *label, int *truncated, struct sb_err *err);
/* Is the sample a further window of the sentence that the one before is of?  Only SB_DATA_WORDS has
 * such. */
bool sb_dataset_continues(const struct sb_dataset *dataset, uint64_t sample);

/*
 * The order of an epoch: a keyed order of chunks, and a keyed order inside windows of chunks, so
 * that reads stay near each other.  Position k of the epoch -> sample, O(1).  With shuffle off the
 * identity.  Below 65,536 samples there is one window, and any order may come out.
 */
uint64_t sb_order_sample(uint64_t count, uint64_t seed, uint64_t epoch, bool shuffle, uint64_t k);
uint64_t sb_dataset_order(const struct sb_dataset *dataset, uint64_t seed, uint64_t epoch,
                          bool shuffle, uint64_t k);

/*
 * Deals the samples of a step to slots: longest first to the slot with the fewest tokens, ties by
 * index.  slot_of [count] receives the slot of each.  Pure.
 */
void sb_deal_slots(uint32_t *slot_of, const uint32_t *lengths, size_t count, size_t slot_count,
                   struct sb_arena *arena);

struct sb_mask_options {
    double probability; /* mlm_probability */
    bool whole_word;    /* the pieces of a word are targets together or not at all */
    bool spans;         /* runs of whole words are */
};

/*
 * Spans have 1 to 10 words, by a geometric distribution with p = 0.2 that is cut at 10 (3.8 on
 * average): Joshi et al., "SpanBERT", 2020, section 3.1.  They end earlier at a special token, at
 * a word that is taken, and where the targets are enough.
 */
enum { SB_SPAN_WORDS_MAX = 10 };
#define SB_SPAN_P 0.2

/*
 * Collates samples into one ragged batch.  masks NULL: no MLM targets.  mask_key: sb_rng_key of
 * SB_RNG_MASK and the epoch, or SB_RNG_EVAL_MASK.  Masking: 80 % [MASK], 10 % a random ordinary
 * token, 10 % kept, for each token by itself, and for a span as a whole; specials never;
 * k = max(1, round(probability * candidates)) targets in each sequence that has a candidate, drawn
 * without replacement; whole words, or spans of them, as units.
 *
 * A sample that is packed (SB_DATA_PACK...) is as many sequences of the batch as it has; their
 * numbers in batch->samples tell them apart (sb_sequence_number).  It is cut wherever a [CLS]
 * follows upon a [SEP].
 *
 * SB_DATA_WORDS has targets of its own: the pieces of the words that a window decides, each with
 * its tag; with label_all_tokens a B is an I from the second piece on, if there is such a label.
 *
 * All arrays of the batch lie in arena.  stats (may be NULL) receives samples, tokens and
 * truncated; targets, loss and correct are the model's to count.
 */
int sb_collate(struct sb_batch *batch, const struct sb_dataset *dataset,
               const struct sb_wordpiece *tokenizer, const uint64_t *samples, size_t count,
               const struct sb_mask_options *masks, const struct sb_rng *mask_key,
               struct sb_arena *arena, struct sb_stats *stats, struct sb_err *err);

/*
 * The masking of one sequence, in place; returns the number of targets.
 *
 *   in-out  ids        [length]
 *   out     positions  [length] the targets, rising; the first of them are filled
 *           originals  [length] what stood there
 *
 * A whole word that would bring more than k targets is passed over, unless it is the first drawn.
 */
size_t sb_mask_sequence(int32_t *ids, size_t length, uint32_t *positions, int32_t *originals,
                        const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                        const struct sb_rng *key, uint64_t sample, struct sb_arena *arena);

#endif
