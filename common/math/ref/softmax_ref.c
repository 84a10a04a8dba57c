#include "softmax_ref.h"

#include <math.h>

void sb_softmax_ref(double *p, const double *x, size_t n)
{
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    for (size_t i = 0; i < n; i++)
        p[i] = exp(x[i] - max) / sum;
}

double sb_xent_ref(const double *x, size_t gold, size_t n)
{
    double max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return log(sum) + max - x[gold];
}
