/* Arrays of pseudo-random floats for numeric tests: the same in every run. */
#ifndef SB_ARRAYS_H
#define SB_ARRAYS_H

#include "rng.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Uniform in [low, high). */
static inline void sb_test_fill(float *x, size_t n, uint64_t seed, double low, double high)
{
    struct sb_rng rng = sb_rng_key(seed, SB_RNG_SAMPLE, 77);
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        sb_rng_draw(&rng, i, 0, 0, words);
        x[i] = (float)(low + (high - low) * sb_rng_unit(words[0]));
    }
}

static inline void sb_test_widen(double *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i];
}

/* Largest |a - b|; infinite if one is not a number. */
static inline double sb_test_worst(const float *a, const double *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference <= worst))
            worst = isnan(difference) ? INFINITY : difference;
    }
    return worst;
}

#endif
