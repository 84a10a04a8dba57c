#include "correlation.h"

#include "arena.h"

#include <math.h>
#include <stdlib.h>

double sb_pearson(const double *x, const double *y, size_t n)
{
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        mx += x[i];
        my += y[i];
    }
    mx /= (double)n;
    my /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double dx = x[i] - mx, dy = y[i] - my;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    /* Equal values can leave rounding errors of their mean: they do not vary. */
    double noise_x = 0x1p-50 * mx, noise_y = 0x1p-50 * my;
    if (n < 2 || !(xx > (double)n * noise_x * noise_x) || !(yy > (double)n * noise_y * noise_y))
        return NAN;
    double r = xy / sqrt(xx) / sqrt(yy);
    return r > 1 ? 1 : r < -1 ? -1 : r;
}

struct place {
    double value;
    size_t index;
};

static int by_value(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    if (left->value != right->value)
        return left->value < right->value ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

void sb_ranks(double *ranks, const double *x, size_t n)
{
    struct place *places = sb_alloc((n + 1) * sizeof(*places));
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){x[i], i};
    qsort(places, n, sizeof(*places), by_value);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && places[end].value == places[first].value;)
            end++;
        /* ranks first+1 .. end */
        double mean = (double)(first + 1 + end) / 2;
        for (size_t i = first; i < end; i++)
            ranks[places[i].index] = mean;
    }
    free(places);
}

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

double sb_spearman(const double *x, const double *y, size_t n)
{
    if (!all_finite(x, n) || !all_finite(y, n))
        return NAN;
    double *ranks = sb_alloc((2 * n + 1) * sizeof(*ranks));
    sb_ranks(ranks, x, n);
    sb_ranks(ranks + n, y, n);
    double rho = sb_pearson(ranks, ranks + n, n);
    free(ranks);
    return rho;
}

static struct sb_interval by_fisher(double r, double variance, size_t n)
{
    const double z = 1.959963984540054;
    if (n < 10 || !(fabs(r) < 1))
        return (struct sb_interval){0};
    double half = z * sqrt(variance / (double)(n - 3));
    return (struct sb_interval){tanh(atanh(r) - half), tanh(atanh(r) + half), "Fisher's z"};
}

struct sb_interval sb_interval_pearson(double r, size_t n)
{
    return by_fisher(r, 1, n);
}

struct sb_interval sb_interval_spearman(double rho, size_t n)
{
    return by_fisher(rho, 1 + rho * rho / 2, n);
}
