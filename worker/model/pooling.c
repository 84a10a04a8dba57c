#include "pooling.h"

#include "kernel.h"

#include <string.h>

enum { COLUMNS = 256 }; /* of which the sums fit the stack and the first cache */

/* y [width] = mean of T rows, `stride` apart */
SB_KERNEL static void mean_columns(float *y, const float *h, size_t T, size_t width, size_t stride)
{
    double sum[COLUMNS] = {0};
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < width; c++)
            sum[c] += (double)h[t * stride + c];
    for (size_t c = 0; c < width; c++)
        y[c] = (float)(sum[c] / (double)T);
}

static void mean_rows(float *y, const float *h, size_t T, size_t C)
{
    for (size_t c = 0; c < C; c += COLUMNS)
        mean_columns(y + c, h + c, T, C - c < COLUMNS ? C - c : COLUMNS, C);
}

static void max_rows(float *y, uint32_t *winner, const float *h, uint32_t start, uint32_t end,
                     size_t C)
{
    memcpy(y, h + start * C, C * sizeof(*y));
    for (size_t c = 0; winner && c < C; c++)
        winner[c] = start;
    for (uint32_t row = start + 1; row < end; row++) {
        const float *x = h + (size_t)row * C;
        for (size_t c = 0; c < C; c++) {
            if (!(x[c] > y[c]))
                continue;
            y[c] = x[c];
            if (winner)
                winner[c] = row;
        }
    }
}

void sb_pooling_forward(float *y, uint32_t *winner, const float *h, const uint32_t *starts,
                        size_t B, size_t C, enum sb_pooling pooling)
{
    for (size_t b = 0; b < B; b++, y += C) {
        size_t T = starts[b + 1] - starts[b];
        const float *first = h + starts[b] * C;
        if (T == 0)
            memset(y, 0, C * sizeof(*y));
        else if (pooling == SB_POOLING_MEAN)
            mean_rows(y, first, T, C);
        else if (pooling == SB_POOLING_CLS)
            memcpy(y, first, C * sizeof(*y));
        else
            max_rows(y, winner ? winner + b * C : NULL, h, starts[b], starts[b + 1], C);
    }
}

void sb_pooling_backward(float *dh, const float *dy, const uint32_t *winner, const uint32_t *starts,
                         size_t B, size_t C, enum sb_pooling pooling)
{
    for (size_t b = 0; b < B; b++, dy += C) {
        size_t begin = starts[b], end = starts[b + 1];
        float share = 1.0f / (float)(end - begin);
        if (begin == end)
            continue;
        if (pooling == SB_POOLING_CLS)
            end = begin + 1;
        for (size_t row = begin; pooling != SB_POOLING_MAX && row < end; row++)
            for (size_t c = 0; c < C; c++)
                dh[row * C + c] += pooling == SB_POOLING_MEAN ? share * dy[c] : dy[c];
        for (size_t c = 0; pooling == SB_POOLING_MAX && c < C; c++)
            dh[winner[b * C + c] * C + c] += dy[c];
    }
}
