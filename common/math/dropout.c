#include "dropout.h"

#include "kernel.h"

#include <math.h>
#include <string.h>

enum { GROUP = 128, GROUP_WORDS = 64, GROUP_BLOCKS = 16 };

struct sb_dropout sb_dropout_of(const struct sb_rng *rng, double rate)
{
    if (rng == NULL || !(rate > 0))
        return (struct sb_dropout){.threshold = 0, .scale = 1.0f};
    double threshold = floor(rate * 65536.0 + 0.5);
    threshold = threshold > 65535.0 ? 65535.0 : threshold;
    return (struct sb_dropout){.rng = *rng,
                               .threshold = (uint32_t)threshold,
                               .scale = (float)(65536.0 / (65536.0 - threshold))};
}

/*
 * Philox4x32-10 (Salmon et al., 2011) for 16 counters that differ in their last word only; the same
 * numbers as sb_rng_draw, which takes one counter at a time.
 */
SB_KERNEL static void draw_groups(uint32_t *out, const struct sb_rng *rng, uint64_t sample,
                                  uint32_t site, uint32_t first_group, size_t group_count)
{
    for (size_t g = 0; g < group_count; g++, out += GROUP_WORDS) {
        uint32_t first_block = (first_group + (uint32_t)g) * GROUP_BLOCKS;
        for (uint32_t j = 0; j < GROUP_BLOCKS; j++) {
            uint32_t a = (uint32_t)sample, b = (uint32_t)(sample >> 32), c = site;
            uint32_t d = first_block + j;
            uint32_t key0 = rng->key[0], key1 = rng->key[1];
#pragma GCC unroll 10
            for (int round = 0; round < 10; round++) {
                uint64_t p = (uint64_t)a * 0xD2511F53u, q = (uint64_t)c * 0xCD9E8D57u;
                a = (uint32_t)(q >> 32) ^ b ^ key0;
                b = (uint32_t)q;
                c = (uint32_t)(p >> 32) ^ d ^ key1;
                d = (uint32_t)p;
                key0 += 0x9E3779B9u;
                key1 += 0xBB67AE85u;
            }
            out[j] = a;
            out[GROUP_BLOCKS + j] = b;
            out[2 * GROUP_BLOCKS + j] = c;
            out[3 * GROUP_BLOCKS + j] = d;
        }
    }
}

void sb_dropout_words(uint16_t *words, const struct sb_dropout *dropout, uint64_t sample,
                      uint32_t site, size_t first, size_t count)
{
    enum { AT_ONCE = 4 };
    uint32_t drawn[AT_ONCE * GROUP_WORDS];
    size_t skip = first % GROUP;
    uint32_t group = (uint32_t)(first / GROUP);
    while (count > 0) {
        size_t groups = (skip + count + GROUP - 1) / GROUP;
        groups = groups > AT_ONCE ? AT_ONCE : groups;
        draw_groups(drawn, &dropout->rng, sample, site, group, groups);
        size_t taken = groups * GROUP - skip;
        taken = taken > count ? count : taken;
        memcpy(words, (const uint16_t *)drawn + skip, taken * sizeof(*words));
        words += taken;
        count -= taken;
        group += (uint32_t)groups;
        skip = 0;
    }
}

SB_KERNEL void sb_dropout_apply(float *y, const float *x, const uint16_t *words, size_t n,
                                const struct sb_dropout *dropout)
{
    const int32_t threshold = (int32_t)dropout->threshold;
    const float scale = dropout->scale;
    for (size_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        y[i] = (int32_t)words[i] < threshold ? 0.0f : kept;
    }
}

SB_KERNEL void sb_dropout_residual(float *z, const float *x, const float *residual,
                                   const uint16_t *words, size_t n,
                                   const struct sb_dropout *dropout)
{
    const int32_t threshold = (int32_t)dropout->threshold;
    const float scale = dropout->scale;
    for (size_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        z[i] = residual[i] + ((int32_t)words[i] < threshold ? 0.0f : kept);
    }
}
