/*
 * Scores of several labels a sample, and of numbers, from sums alone: so evaluations can be added
 * up over slots and workers, and scored once.
 *
 * Names and meanings are scikit-learn's (zero_division=0) and, for the correlation, Pearson's.
 */
#ifndef SB_LABEL_SCORES_H
#define SB_LABEL_SCORES_H

#include <stdbool.h>
#include <stddef.h>

/* ---- several labels ---- */

/* gold, predicted and hits of each label, then rows, rows that are right, and the sum of their f1.
 */
static inline size_t sb_label_count_count(size_t K)
{
    return 3 * K + 3;
}

/* Adds one row: gold [K] and predicted [K] are 0 or 1. */
void sb_label_counts_add(double *counts, const float *gold, const float *predicted, size_t K);

/* accuracy: rows in which every label is right; macro: plain mean over the labels; f1_samples: mean
 * over the rows. */
#define SB_LABEL_SCORES(X)                                                                         \
    X(accuracy)                                                                                    \
    X(precision_macro)                                                                             \
    X(recall_macro)                                                                                \
    X(f1_macro)                                                                                    \
    X(precision_micro)                                                                             \
    X(recall_micro)                                                                                \
    X(f1_micro)                                                                                    \
    X(precision_weighted)                                                                          \
    X(recall_weighted)                                                                             \
    X(f1_weighted)                                                                                 \
    X(f1_samples)                                                                                  \
    X(hamming_loss)

struct sb_label_scores {
#define SB_LABEL_SCORE(name) double name;
    SB_LABEL_SCORES(SB_LABEL_SCORE)
#undef SB_LABEL_SCORE
};
void sb_label_scores_from_counts(struct sb_label_scores *scores, const double *counts, size_t K);
/* Of label k alone. */
void sb_label_scores_of(double *precision, double *recall, double *f1, const double *counts,
                        size_t k);

/* ---- numbers ---- */

/* No sum is negative: those that can be have one place for what is above 0 and one for below. */
enum { SB_VALUE_COUNTS = 11 };

/* Adds one row. */
void sb_value_counts_add(double *counts, double gold, double predicted);

/* The last two are 0 where nothing varies. */
#define SB_VALUE_SCORES(X) X(mse) X(rmse) X(mae) X(r2) X(pearson)

struct sb_value_scores {
#define SB_VALUE_SCORE(name) double name;
    SB_VALUE_SCORES(SB_VALUE_SCORE)
#undef SB_VALUE_SCORE
};
void sb_value_scores_from_counts(struct sb_value_scores *scores, const double *counts);

#endif
