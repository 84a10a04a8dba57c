/* Plain passes over arrays. */
#ifndef SB_VEC_H
#define SB_VEC_H

#include <stdbool.h>
#include <stddef.h>

/* y [n] += x [n] */
void sb_add(float *y, const float *x, size_t n);
/* y [n] += 0: turns -0 into 0, as a sum with a row of zeros does. */
void sb_add_zero(float *y, size_t n);
/* y [n] = 0 */
void sb_zero(float *y, size_t n);

/*
 * Sum of squares of x [rows, cols], in double: each row in SB_LANES partial sums, then the rows one
 * after another.  A row of zeros adds 0 exactly, so a matrix of which only the rows that are not
 * zero are given, in order, has the same norm.  Not a number if any element is none.
 */
double sb_norm2_rows(const float *x, size_t rows, size_t cols);
double sb_norm2(const float *x, size_t n);

/* No element is infinite or not a number. */
bool sb_all_finite(const float *x, size_t n);

/*
 * dbias [C] += sum over rows of dy [N, C] (row to row: stride floats), in a stated order: rows in
 * groups of 8, each group added up in float from its first row, groups added in double.
 */
void sb_column_sums(float *dbias, const float *dy, size_t N, size_t C, size_t stride);

#endif
