/* `shardbert eval --task embed`: pairs and triplets, slot by slot as training evaluates them. */
#ifndef SB_EVAL_PAIRS_H
#define SB_EVAL_PAIRS_H

#include "infer.h"
#include "pair_items.h"

#include <jansson.h>

/* Life: zero, set what the caller sets, compute, describe, release. */
struct sb_eval_pairs {
    /* by the caller */
    struct sb_embedding_options options; /* of the loss; the rest is filled in */
    bool loss_given;                     /* else what the data is trained by */
    /* results */
    double *sums; /* [slot_count, SB_SUM_COUNT] */
    double *rows; /* [count, SB_PAIR_ROW_WIDTH] */
    size_t slot_count, count;
    enum sb_pair_form form;
};

int sb_eval_pairs_compute(struct sb_eval_pairs *pairs, const struct sb_infer *infer,
                          const struct sb_dataset *dataset, size_t pass_tokens, struct sb_err *err);
/* {samples, loss, spearman ...}: the names of row_scores.h, each with its interval. */
json_t *sb_eval_pairs_describe(const struct sb_eval_pairs *pairs);
void sb_eval_pairs_release(struct sb_eval_pairs *pairs);

#endif
