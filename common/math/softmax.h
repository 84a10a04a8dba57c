/*
 * The softmax of attention, with its dropout, on a block of rows.
 *
 * Rows lie `stride` floats apart; stride is a multiple of SB_SOFTMAX_PAD and at least cols.  What
 * stands behind a row's last column is written as 0, so that loops run over whole vectors.
 */
#ifndef SB_SOFTMAX_H
#define SB_SOFTMAX_H

#include "dropout.h"

#include <stddef.h>
#include <stdint.h>

enum { SB_SOFTMAX_PAD = 16 };

/*
 * p = softmax of each row, in place.  Error 3e-7.  A row of no columns stays as it is; a row whose
 * scores are all -infinity becomes NaN.
 */
void sb_softmax_forward(float *p, size_t rows, size_t cols, size_t stride);

/*
 * Dropout of probabilities.  Which of them were dropped is kept in the sign of p.
 *
 *   in-out  p     rows of probabilities; a dropped one becomes -p (or -0)
 *   out     kept  rows of the same stride: p * scale, or 0 where dropped
 *   in      words [rows, cols] dense; NULL: nothing is dropped and kept = p
 */
void sb_softmax_dropout(float *kept, float *p, const uint16_t *words, size_t rows, size_t cols,
                        size_t stride, const struct sb_dropout *dropout);

/*
 * Backward through dropout and softmax:
 *
 *     g = dkept * scale where kept, else 0;   ds = |p| (g - sum over the row of g |p|)
 *
 *   in-out  ds    rows; on entry dkept
 *   out     kept  as sb_softmax_dropout made it
 *   in      p     rows with signs
 */
void sb_softmax_backward(float *ds, float *kept, const float *p, size_t rows, size_t cols,
                         size_t stride, float scale);

#endif
