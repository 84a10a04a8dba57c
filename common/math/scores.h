/*
 * Scores of a classification, from its confusion matrix alone: so evaluations can be added up over
 * slots and workers, and scored once.
 *
 * Names and meanings are scikit-learn's (Pedregosa et al., JMLR 12, 2011; version 1.2,
 * zero_division=0) and those of Hugging Face's `evaluate`.  macro is the plain mean over the
 * classes that occur, gold or predicted; weighted the mean weighted by gold counts; micro counts
 * all decisions, so its three scores are the accuracy.  precision, recall and f1 alone are those of
 * class 1 of two.
 */
#ifndef SB_SCORES_H
#define SB_SCORES_H

#include <stdbool.h>
#include <stddef.h>

/*     field and name, two classes only */
#define SB_SCORES(X)                                                                               \
    X(accuracy, false)                                                                             \
    X(precision, true)                                                                             \
    X(recall, true)                                                                                \
    X(f1, true)                                                                                    \
    X(precision_macro, false)                                                                      \
    X(recall_macro, false)                                                                         \
    X(f1_macro, false)                                                                             \
    X(precision_micro, false)                                                                      \
    X(recall_micro, false)                                                                         \
    X(f1_micro, false)                                                                             \
    X(precision_weighted, false)                                                                   \
    X(recall_weighted, false)                                                                      \
    X(f1_weighted, false)                                                                          \
    X(mcc, false)

struct sb_scores {
#define SB_SCORE_FIELD(name, binary) double name;
    SB_SCORES(SB_SCORE_FIELD)
#undef SB_SCORE_FIELD
    size_t class_count;
};

/*
 * out  scores     those of two classes only are 0 for any other K
 * in   confusion  [K, K] counts, rows gold, columns predicted; none is negative
 *
 * A quotient without a denominator is 0; so is everything for an empty matrix.  mcc is Matthews'
 * correlation in its multi-class form (Gorodkin, 2004).
 */
void sb_scores_from_confusion(struct sb_scores *scores, const double *confusion, size_t K);

/* The names in their order; NULL after the last.  They live for ever. */
const char *sb_score_name(size_t index);
/* False if there is no such score, or none for this number of classes. */
bool sb_scores_get(double *value, const struct sb_scores *scores, const char *name);

/* exp of the mean loss per masked token, in nats; infinite where it does not fit. */
double sb_perplexity(double loss);

#endif
