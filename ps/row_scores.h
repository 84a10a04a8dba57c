/*
 * Scores that are no function of sums: they need a row for each sample of an evaluation.
 *
 *   ROW_SCORED  what the model says, and what is right:    spearman, pearson (correlation.h)
 *   ROW_RANKED  what should be larger, what smaller:       accuracy, the share where it is
 */
#ifndef SB_ROW_SCORES_H
#define SB_ROW_SCORES_H

#include "msg.h"

#include <jansson.h>
#include <stddef.h>

enum { SB_SCORED_ROW_WIDTH = 2 };

/*
 * Adds NAME and NAME_ci: [low, high] for each of them; both are left out where they do not exist (a
 * correlation with what does not vary).  rows [count, 2], in the order of the samples; prefix: in
 * front of the names, like "eval_".  Returns how the intervals are made, in words.
 */
const char *sb_row_scores_add(json_t *results, const char *prefix, Sb__RowKind kind,
                              const double *rows, size_t count);

#endif
