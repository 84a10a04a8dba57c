#include "norm.h"

#include "kernel.h"

#include <math.h>

SB_INLINE double row_sum(const float *x, size_t C)
{
    double lane[SB_LANES] = {0};
    size_t c = 0;
    for (; c + SB_LANES <= C; c += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += (double)x[c + j];
    for (int j = 0; c < C; c++, j++)
        lane[j] += (double)x[c];
    return sb_fold_lanes(lane);
}

SB_INLINE double row_square_sum(const float *x, double mean, size_t C)
{
    double lane[SB_LANES] = {0};
    size_t c = 0;
    for (; c + SB_LANES <= C; c += SB_LANES)
        for (int j = 0; j < SB_LANES; j++) {
            double d = (double)x[c + j] - mean;
            lane[j] += d * d;
        }
    for (int j = 0; c < C; c++, j++) {
        double d = (double)x[c] - mean;
        lane[j] += d * d;
    }
    return sb_fold_lanes(lane);
}

SB_KERNEL void sb_layernorm_forward(float *y, float *mean, float *rstd, const float *x,
                                    const float *gamma, const float *beta, size_t N, size_t C,
                                    double eps)
{
    for (size_t n = 0; n < N; n++, x += C, y += C) {
        double m = row_sum(x, C) / (double)C;
        double r = 1.0 / sqrt(row_square_sum(x, m, C) / (double)C + eps);
        float mean_n = (float)m, rstd_n = (float)r;
        mean[n] = mean_n;
        rstd[n] = rstd_n;
        for (size_t c = 0; c < C; c++)
            y[c] = gamma[c] * ((x[c] - mean_n) * rstd_n) + beta[c];
    }
}

struct two_sums {
    double g, gh;
};

/* Sums over a row of g and of g * h; products in float, sums in double. */
SB_INLINE struct two_sums row_gradient_sums(const float *dy, const float *x, const float *gamma,
                                            float mean, float rstd, size_t C)
{
    double lane_g[SB_LANES] = {0}, lane_gh[SB_LANES] = {0};
    size_t c = 0;
    for (; c + SB_LANES <= C; c += SB_LANES)
        for (int j = 0; j < SB_LANES; j++) {
            float g = dy[c + j] * gamma[c + j];
            lane_g[j] += (double)g;
            lane_gh[j] += (double)(g * ((x[c + j] - mean) * rstd));
        }
    for (int j = 0; c < C; c++, j++) {
        float g = dy[c] * gamma[c];
        lane_g[j] += (double)g;
        lane_gh[j] += (double)(g * ((x[c] - mean) * rstd));
    }
    return (struct two_sums){.g = sb_fold_lanes(lane_g), .gh = sb_fold_lanes(lane_gh)};
}

SB_KERNEL void sb_layernorm_backward(float *dx, float *restrict dgamma, float *restrict dbeta,
                                     const float *dy, const float *x, const float *mean,
                                     const float *rstd, const float *gamma, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++, x += C, dy += C, dx += C) {
        float mean_n = mean[n], rstd_n = rstd[n];
        struct two_sums sums = row_gradient_sums(dy, x, gamma, mean_n, rstd_n, C);
        float mean_g = (float)(sums.g / (double)C), mean_gh = (float)(sums.gh / (double)C);
        for (size_t c = 0; c < C; c++) {
            float h = (x[c] - mean_n) * rstd_n, d = dy[c];
            dgamma[c] += d * h;
            dbeta[c] += d;
            dx[c] = rstd_n * ((d * gamma[c] - mean_g) - h * mean_gh);
        }
    }
}
