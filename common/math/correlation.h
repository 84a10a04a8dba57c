/*
 * How far two measures of the same things agree: Pearson's r of their values, Spearman's rho of
 * their ranks.  Everything in double, in the order of the arguments: the same bits from whoever
 * asks.
 */
#ifndef SB_CORRELATION_H
#define SB_CORRELATION_H

#include "interval.h"

#include <stddef.h>

/*
 *     r = sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2),   mx, my the means
 *
 * clipped to [-1, 1].  Not a number if n < 2, or if either does not vary, or holds a number that is
 * not finite.  Error: 1e-14 against scipy on a thousand values.
 */
double sb_pearson(const double *x, const double *y, size_t n);

/*
 * Ranks from 1; equal values share the mean of theirs.
 *
 *   out  ranks  [n]   may not be x
 *   in   x      [n]   finite
 */
void sb_ranks(double *ranks, const double *x, size_t n);

/*
 * Pearson's r of the ranks.  O(n log n) time, O(n) memory.
 * Source: Spearman, "The proof and measurement of association between two things", 1904.
 */
double sb_spearman(const double *x, const double *y, size_t n);

/*
 * 95 % intervals by Fisher's z: tanh(atanh(r) -+ 1.959964 s), s^2 = 1 / (n - 3) for Pearson's r and
 * (1 + r^2 / 2) / (n - 3) for Spearman's rho.  method NULL: fewer than 10 examples, or r is no
 * number inside (-1, 1).
 * Source: Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
 * correlations", 2000.
 */
struct sb_interval sb_interval_pearson(double r, size_t n);
struct sb_interval sb_interval_spearman(double rho, size_t n);

#endif
