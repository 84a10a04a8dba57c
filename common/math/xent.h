/*
 * Cross entropy of a softmax over classes, as sums over targets (never means).
 *
 *     loss = log(sum over k of e^x_k) - x_gold,    dx = softmax(x) - (1 at gold)
 */
#ifndef SB_XENT_H
#define SB_XENT_H

#include <stddef.h>
#include <stdint.h>

struct sb_xent_sums {
    double loss, correct, targets;
};

/*
 * Few classes (a classifier).
 *
 *   out     dx   [N, K]  gradient of the sum, 0 in rows without a label; NULL if not wanted; may be
 * x in-out  sums         the rows with a label are added in      x    [N, K]; gold [N], -1: no
 * label
 */
void sb_xent(float *dx, struct sb_xent_sums *sums, const float *x, const int32_t *gold, size_t N,
             size_t K);

/*
 * Many classes (a vocabulary), in blocks of columns, so that each block is worked on while it is in
 * the cache.  First, per block and row:  max = largest x,  x becomes e^(x - max),  sum = their sum.
 *
 *   in-out  x    [N, W]; row to row `stride` floats
 *   out     max  [N]; sum [N], in double
 */
void sb_xent_block_exp(float *x, float *max, double *sum, size_t N, size_t W, size_t stride);
/* Second, when the maximum of the whole row and its sum are known: x [N, W] *= factor [N]. */
void sb_xent_block_scale(float *x, const float *factor, size_t N, size_t W, size_t stride);

#endif
