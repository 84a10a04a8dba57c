#include "norm_ref.h"

#include <math.h>

void sb_layernorm_forward_ref(double *y, const double *x, const double *gamma, const double *beta,
                              size_t N, size_t C, double eps)
{
    for (size_t n = 0; n < N; n++, x += C, y += C) {
        double mean = 0, var = 0;
        for (size_t c = 0; c < C; c++)
            mean += x[c] / (double)C;
        for (size_t c = 0; c < C; c++)
            var += (x[c] - mean) * (x[c] - mean) / (double)C;
        for (size_t c = 0; c < C; c++)
            y[c] = gamma[c] * (x[c] - mean) / sqrt(var + eps) + beta[c];
    }
}
