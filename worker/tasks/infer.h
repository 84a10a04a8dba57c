/*
 * A trained model, opened to answer for texts: folder -> weights, tokenizer, threads; texts ->
 * ragged batch -> sb_bert_eval.
 *
 * Owner: one thread.  A struct sb_texts gathers texts until it is full, is run, and is cleared;
 * nothing grows with the number of texts.  What a text is answered may depend in the last bits of a
 * float on the texts that it shares a pass with, never on the number of threads.
 */
#ifndef SB_INFER_H
#define SB_INFER_H

#include "bert.h"
#include "wordpiece.h"

#include <stdbool.h>

enum { SB_INFER_PASS_TOKENS = 4096 };

struct sb_infer {
    struct sb_bert bert;
    float *weights; /* [bert.params.float_count] */
    struct sb_pool *pool;
    struct sb_wordpiece *tokenizer;
};

#define SB_INFER_INIT                                                                              \
    {                                                                                              \
        .weights = NULL                                                                            \
    }

/*
 * Opens a model folder with the heads (enum sb_head, or-ed) that the caller is going to use; all of
 * them must be in the file.  thread_count 0: the usable cores.
 * SB_ERR_NO_INPUT: no such folder or file; SB_ERR_DATA: damaged, or without such a head.
 * Release is harmless after a failure.
 */
int sb_infer_open(struct sb_infer *infer, const char *folder, unsigned heads, size_t thread_count,
                  struct sb_err *err);
void sb_infer_release(struct sb_infer *infer);

struct sb_texts {
    const struct sb_infer *infer; /* not owned */
    size_t max_length;            /* tokens of one text, specials included */
    size_t pass_tokens;           /* most tokens of one pass; at least max_length */
    struct sb_batch batch;        /* over the arrays below; no labels */
    uint32_t *starts;
    int32_t *ids;
    uint8_t *types;
    uint64_t *samples;
    uint32_t *target_rows; /* the [MASK] tokens, for the MLM head */
    int32_t *target_ids;
    struct sb_encoding first, second;
    uint64_t text_count;      /* since init */
    uint64_t truncated_count; /* texts that were cut, since init */
};

/* max_length 0: the positions of the model. */
void sb_texts_init(struct sb_texts *texts, const struct sb_infer *infer, size_t max_length);
void sb_texts_release(struct sb_texts *texts);
void sb_texts_clear(struct sb_texts *texts);
/* No room for another text of full length: run and clear first. */
bool sb_texts_full(const struct sb_texts *texts);
/* Adds [CLS] text [SEP], or [CLS] text [SEP] pair [SEP] (pair NULL: none); valid UTF-8, not full.
 */
void sb_texts_add(struct sb_texts *texts, const char *text, size_t text_bytes, const char *pair,
                  size_t pair_bytes);

#endif
