/*
 * Scores of a classification from its confusion matrix, as sklearn.metrics defines them.
 * Source: scikit-learn 1.2, precision_recall_fscore_support and matthews_corrcoef with
 * zero_division=0; F. Pedregosa et al., "Scikit-learn", JMLR 12, 2011.
 */
#ifndef SB_METRICS_H
#define SB_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct sb_average {
    double precision, recall, f1;
};

struct sb_metrics {
    double accuracy;
    double mcc;              /* Matthews correlation, multi-class form; 0 where it has no value */
    struct sb_average macro; /* unweighted mean over the classes that occur, gold or predicted */
    struct sb_average weighted; /* mean weighted by gold counts */
    struct sb_average micro;    /* over all decisions: all three equal accuracy */
};

/* confusion [K, K]: rows gold, columns predicted.  Empty: all scores 0. */
void sb_metrics_from_confusion(struct sb_metrics *metrics, const uint64_t *confusion, size_t K);

#endif
