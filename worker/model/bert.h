/*
 * BERT on ragged batches: forward, losses, backward.
 *
 * struct sb_bert holds no weights: it points at a flat block of floats laid out by its tensor
 * table. A pass takes all its memory from the arena that it is given; the caller resets that arena
 * between passes.  One thread calls; the arithmetic runs as tiles on the pool.
 *
 * The result of a pass is a pure function of (weights, batch, dropout key); neither the number of
 * threads nor what was computed before can be seen in it.
 */
#ifndef SB_BERT_H
#define SB_BERT_H

#include "arena.h"
#include "batch.h"
#include "bert_config.h"
#include "class_loss.h"
#include "params.h"
#include "pool.h"
#include "pooling.h"
#include "rng.h"

struct sb_bert {
    struct sb_bert_config config;
    struct sb_params params;
    const float *weights; /* [params.float_count], not owned */
    struct sb_pool *pool; /* not owned */
    /* How a classifier of sequences is trained.  Evaluation has the plain loss, whatever stands
     * here: it can be compared. */
    struct sb_class_loss loss;
};

/*
 * Gradient sums of one slot or node.  dense is the flat space (row-sparse and frozen tensors are
 * never touched there).  A row-sparse tensor (only word_embeddings can be one) has its gradient as
 * rows: rows[] are ids in rising order without repeats, values[i*C ...] their sums.
 */
struct sb_grad {
    float *dense;   /* [params.float_count] */
    uint32_t *rows; /* [row_count] */
    float *values;  /* [row_count, C] */
    size_t row_count, row_capacity;
};

void sb_grad_init(struct sb_grad *grad, const struct sb_params *params);
void sb_grad_release(struct sb_grad *grad, const struct sb_params *params);
/* Sets all to zero, touching trainable ranges only. */
void sb_grad_clear(struct sb_grad *grad, const struct sb_params *params, struct sb_pool *pool);
/* left += right: the fold of two sibling nodes. */
void sb_grad_add(struct sb_grad *left, const struct sb_grad *right, const struct sb_params *params,
                 struct sb_pool *pool);
/* None of its numbers is NaN or infinite. */
bool sb_grad_finite(const struct sb_grad *grad, const struct sb_params *params,
                    struct sb_pool *pool);

/*
 * Can this model take this batch?  Ids, token types and lengths come from files: a pass asserts
 * what is checked here.  SB_ERR_DATA with the sample otherwise.
 */
int sb_bert_check(const struct sb_bert *bert, const struct sb_batch *batch, struct sb_err *err);

/*
 * One training pass over a batch: forward, loss, backward, for the heads that the batch has targets
 * for.
 *
 *   in-out  grad, stats  sums are added
 *   in      dropout      key of this step, or NULL for no dropout
 *
 * stats: targets, loss and correct; what was seen (samples, tokens) the collation has counted.
 * The loss is a sum over targets (masked tokens; labelled sequences; labelled tokens); so are the
 * gradients.
 */
void sb_bert_train(const struct sb_bert *bert, const struct sb_batch *batch,
                   const struct sb_rng *dropout, struct sb_arena *arena, struct sb_grad *grad,
                   struct sb_stats *stats);

/* Forward only.  Adds to stats where the batch has targets; any output pointer may be NULL. */
struct sb_outputs {
    float *hidden;        /* [N, C] last layer; then nothing below is cut short */
    float *class_logits;  /* [B, K] */
    float *target_logits; /* of the target_rows: [target_count, V] of the MLM head, or
                             [target_count, K] of the token head */
};
void sb_bert_eval(const struct sb_bert *bert, const struct sb_batch *batch, struct sb_arena *arena,
                  struct sb_outputs *outputs, struct sb_stats *stats);

/*
 * Sentence vectors: the last states of each sequence, pooled to one.
 *
 *   out  vectors  [B, C]
 *   in   dropout  key of the step for what a training pass would see, or NULL
 */
void sb_bert_vectors(const struct sb_bert *bert, const struct sb_batch *batch,
                     enum sb_pooling pooling, const struct sb_rng *dropout, struct sb_arena *arena,
                     float *vectors);

/* Given vectors [B, C], adds the gradient of its loss to dvectors [B, C], which is zero before. */
typedef void sb_vectors_loss_fn(void *context, const float *vectors, float *dvectors);
/* One training pass whose loss is a function of the sentence vectors: gradient sums are added to
 * grad. */
void sb_bert_train_vectors(const struct sb_bert *bert, const struct sb_batch *batch,
                           enum sb_pooling pooling, const struct sb_rng *dropout,
                           sb_vectors_loss_fn *loss, void *context, struct sb_arena *arena,
                           struct sb_grad *grad);

#endif
