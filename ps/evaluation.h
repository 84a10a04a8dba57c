/*
 * An evaluation: the sums of its slots, added in slot order when all are here, and the scores made
 * from them. A slot that comes twice counts once.
 */
#ifndef SB_EVALUATION_H
#define SB_EVALUATION_H

#include "embed_head.h"
#include "msg.h"
#include "sums.h"

#include <jansson.h>

struct sb_evaluation {
    const Sb__EvalSet *set;           /* NULL: none is running */
    uint32_t index;                   /* of the set in the plan */
    const struct sb_embed_head *head; /* turns vectors into counts as they come; may be NULL */
    size_t width; /* sums of a slot: SB_SUM_COUNT, and counts, rows or vectors behind them */
    double *sums; /* [slot_count, width] */
    bool *here;   /* [slot_count] */
    uint64_t missing;
};

/* Sums of one slot of this set: with K*K confusion counts, those of entities, rows, or vectors. */
uint64_t sb_evaluation_width(const Sb__EvalSet *set);
void sb_evaluation_begin(struct sb_evaluation *evaluation, const Sb__EvalSet *set, uint32_t index);
/* Of a set whose slots bring vectors: the head, which outlives the evaluation, makes classes of
 * them as soon as they are here, so that they need not be kept. */
void sb_evaluation_begin_scored(struct sb_evaluation *evaluation, const Sb__EvalSet *set,
                                uint32_t index, const struct sb_embed_head *head);
void sb_evaluation_end(struct sb_evaluation *evaluation);
/* -1: not a slot of this set, not as many sums, or what is behind SB_SUM_COUNT is no count or no
 * row; 0: known; 1: new. */
int sb_evaluation_take(struct sb_evaluation *evaluation, uint64_t slot, const double *sums,
                       size_t count);
/*
 * The vectors of a set whose slots brought such: *x [n, vector_size] and *gold [n], or of several
 * labels [n, label_count] of 0 and 1, in the order of the set, to be freed by the caller.  Rows
 * without a label, or without a text, are left out.  Returns n.
 */
bool sb_evaluation_has_sets(const struct sb_evaluation *evaluation); /* several labels each */
size_t sb_evaluation_vectors(const struct sb_evaluation *evaluation, float **x, int32_t **gold);
/*
 * {eval_loss, eval_accuracy, ...}; eval_perplexity for masked words (label_count 0), the scores of
 * scores.h and eval_confusion_matrix for classes; for entities {eval_precision, eval_recall,
 * eval_f1}, also with _macro and _weighted, each also with _strict, and eval_TYPE_f1 and the like
 * for every type, beside eval_accuracy and eval_token_f1 of the words; the scores of
 * label_scores.h for several labels a sample, with eval_LABEL_f1 and the like for each of labels
 * (NULL: no names), and for numbers; for rows eval_loss and the scores of row_scores.h.  The set
 * "test" has the
 * prefix "test_".  Behind each of them stands its 95 % interval, eval_f1_ci: [low, high], if it has
 * one; eval_ci_method says how they were made (intervals.h).
 */
json_t *sb_evaluation_results(const struct sb_evaluation *evaluation, char *const *labels);

#endif
