/*
 * How far a score may be off because the examples are these and not others: 95 % intervals.
 *
 * They speak of the draw of the examples alone, not of the seed of the training.
 */
#ifndef SB_INTERVAL_H
#define SB_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SB_BOOTSTRAP_DRAWS = 2000 };

struct sb_interval {
    double low, high;
    const char *method; /* "Wilson", "bootstrap"; NULL: there is none */
};

/*
 * Wilson's score interval of a share of n independent examples:
 *
 *     (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n),   p = right/n,  z = 1.959964
 *
 * 0 <= right <= n; n = 0 gives [0, 1].
 * Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
 */
struct sb_interval sb_interval_wilson(double right, double n);

/*
 * Percentile bootstrap of a score of scores.h: the examples behind the confusion matrix are drawn
 * SB_BOOTSTRAP_DRAWS times with replacement, and the interval goes from the 2.5th to the 97.5th
 * percentile of the scores (linear between two draws).  A pure function of its arguments.
 *
 *   in  confusion  [K, K] whole counts, rows gold, columns predicted
 *       name       a score of scores.h, without a prefix
 *
 * method is NULL if there is no such score for K classes, or there are no examples, or more than
 * 2^31.
 * Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
 */
struct sb_interval sb_interval_bootstrap(const double *confusion, size_t K, const char *name,
                                         uint64_t seed);

/*
 * What fits the score: Wilson for accuracy (and f1_micro, which is the same), else the bootstrap.
 */
struct sb_interval sb_interval_of_score(const double *confusion, size_t K, const char *name,
                                        uint64_t seed);

#endif
