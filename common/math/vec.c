#include "vec.h"

#include "kernel.h"

#include <stdint.h>
#include <string.h>

SB_KERNEL void sb_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

SB_KERNEL void sb_add_zero(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += 0.0f;
}

void sb_zero(float *y, size_t n)
{
    memset(y, 0, n * sizeof(float));
}

SB_INLINE double norm2_row(const float *x, size_t n)
{
    double lane[SB_LANES] = {0};
    size_t i = 0;
    for (; i + SB_LANES <= n; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += (double)x[i] * (double)x[i];
    return sb_fold_lanes(lane);
}

SB_KERNEL double sb_norm2_rows(const float *x, size_t rows, size_t cols)
{
    double sum = 0;
    for (size_t row = 0; row < rows; row++)
        sum += norm2_row(x + row * cols, cols);
    return sum;
}

double sb_norm2(const float *x, size_t n)
{
    return sb_norm2_rows(x, 1, n);
}

/* Infinity and NaN have all bits of the exponent set; integers compare without side effects. */
SB_KERNEL static uint32_t worst_exponent(const float *x, size_t n)
{
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        bits &= 0x7f800000u;
        worst = bits > worst ? bits : worst;
    }
    return worst;
}

bool sb_all_finite(const float *x, size_t n)
{
    return worst_exponent(x, n) != 0x7f800000u;
}

enum { COLUMN_BLOCK = 64, ROW_GROUP = 8 };

SB_KERNEL static void column_block(float *dbias, const float *dy, size_t N, size_t width,
                                   size_t stride)
{
    double sum[COLUMN_BLOCK] = {0};
    for (size_t first = 0; first < N; first += ROW_GROUP) {
        float group[COLUMN_BLOCK] = {0};
        size_t end = first + ROW_GROUP < N ? first + ROW_GROUP : N;
        for (size_t row = first; row < end; row++)
            for (size_t c = 0; c < width; c++)
                group[c] += dy[row * stride + c];
        for (size_t c = 0; c < width; c++)
            sum[c] += (double)group[c];
    }
    for (size_t c = 0; c < width; c++)
        dbias[c] += (float)sum[c];
}

void sb_column_sums(float *dbias, const float *dy, size_t N, size_t C, size_t stride)
{
    for (size_t c = 0; c < C; c += COLUMN_BLOCK)
        column_block(dbias + c, dy + c, N, C - c < COLUMN_BLOCK ? C - c : COLUMN_BLOCK, stride);
}
