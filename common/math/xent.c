#include "xent.h"

#include "real.h"

#include <math.h>

SB_KERNEL void sb_xent_block_exp(float *x, float *max, double *sum, size_t N, size_t W,
                                 size_t stride)
{
    for (size_t row = 0; row < N; row++, x += stride) {
        float most[SB_LANES];
        double lane[SB_LANES] = {0};
        for (int j = 0; j < SB_LANES; j++)
            most[j] = x[0];
        size_t i = 0;
        for (; i + SB_LANES <= W; i += SB_LANES)
            for (int j = 0; j < SB_LANES; j++)
                most[j] = most[j] > x[i + j] ? most[j] : x[i + j];
        for (; i < W; i++)
            most[0] = most[0] > x[i] ? most[0] : x[i];
        float largest = sb_fold_lanes_max(most);
        for (i = 0; i < W; i++)
            x[i] = sb_exp_inline(x[i] - largest);
        for (i = 0; i + SB_LANES <= W; i += SB_LANES)
            for (int j = 0; j < SB_LANES; j++)
                lane[j] += (double)x[i + j];
        for (int j = 0; i < W; i++, j++)
            lane[j] += (double)x[i];
        max[row] = largest;
        sum[row] = sb_fold_lanes(lane);
    }
}

SB_KERNEL void sb_xent_block_scale(float *x, const float *factor, size_t N, size_t W, size_t stride)
{
    for (size_t row = 0; row < N; row++, x += stride)
        for (size_t i = 0; i < W; i++)
            x[i] *= factor[row];
}

void sb_xent(float *dx, struct sb_xent_sums *sums, const float *x, const int32_t *gold, size_t N,
             size_t K)
{
    for (size_t row = 0; row < N; row++, x += K, dx += dx != NULL ? K : 0) {
        if (gold[row] < 0) {
            for (size_t k = 0; dx != NULL && k < K; k++)
                dx[k] = 0.0f;
            continue;
        }
        float max = x[0];
        for (size_t k = 1; k < K; k++)
            max = x[k] > max ? x[k] : max;
        double sum = 0;
        float gold_x = x[gold[row]];
        for (size_t k = 0; k < K; k++)
            sum += (double)sb_exp_inline(x[k] - max);
        sums->loss += log(sum) + ((double)max - (double)gold_x);
        sums->correct += gold_x == max ? 1.0 : 0.0;
        sums->targets += 1.0;
        for (size_t k = 0; dx != NULL && k < K; k++) {
            float p = (float)((double)sb_exp_inline(x[k] - max) / sum);
            dx[k] = p - (k == (size_t)gold[row] ? 1.0f : 0.0f);
        }
    }
}
