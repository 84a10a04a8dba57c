/*
 * How far a score may be off because the examples are these and not others: 95 % intervals.
 *
 * They speak of the draw of the examples alone, not of the seed of the training.
 */
#ifndef SB_INTERVAL_H
#define SB_INTERVAL_H

#include "rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SB_BOOTSTRAP_DRAWS = 2000,
    SB_BOOTSTRAP_BLOCKS_MIN = 8, /* fewer say too little about how blocks differ */
    SB_BOOTSTRAP_SEED = 42,      /* the same numbers from the training and from `eval` */
};

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

/* ---- the pieces of a bootstrap: draw, score, and look where the scores lie ---- */

/*
 * Draws of the examples behind a confusion matrix: of up to 16,384 with replacement; of more, each
 * example comes Poisson(1) times, so that a cell of c examples comes Poisson(c) times (from 64 on
 * the normal distribution nearest to it) and the cost does not grow with the examples.
 * Source: Chamandy et al., "Estimating uncertainty for massive data streams", 2012.
 *
 * Life: init, draws, release; the confusion is borrowed.  init is false, and nothing is held, if
 * there are no examples or more than 2^31.
 */
struct sb_confusion_draws {
    const double *confusion;
    size_t cell_count;
    uint32_t *cells; /* [n] the cell of each example; NULL: of too many */
    uint32_t n;
    struct sb_rng rng;
};

bool sb_confusion_draws_init(struct sb_confusion_draws *draws, const double *confusion, size_t K,
                             uint64_t seed);
void sb_confusion_draws_release(struct sb_confusion_draws *draws);
/* matrix [K, K]: a pure function of the draws and the number. */
void sb_confusion_draw(double *matrix, const struct sb_confusion_draws *draws, uint32_t number);

/*
 * Draws block_count of the blocks with replacement and adds their sums: whatever is a function of
 * sums has a bootstrap.
 *
 *   out  sums    [width]
 *   in   blocks  [block_count, width]   block_count < 2^32
 */
void sb_block_draw(double *sums, const double *blocks, size_t block_count, size_t width,
                   uint64_t seed, uint32_t number);

/*
 * The share of the draws to leave out at each end, so that an interval of few blocks is not too
 * narrow: Phi(-sqrt(n/(n-1)) t), t the 97.5th percentile of Student's distribution of n-1 degrees
 * (by Abramowitz and Stegun, 26.7.5: within 0.005 for n >= 8).  n large: 0.025.  n >= 2.
 * Source: Hesterberg, "What teachers should know about the bootstrap", 2015 (the expanded
 * percentile interval).
 */
double sb_bootstrap_tail(size_t block_count);

/* From the percentile tail to 1 - tail, linear between two values; sorts values [count >= 1]. */
void sb_percentile_interval(double *low, double *high, double *values, size_t count, double tail);

#endif
