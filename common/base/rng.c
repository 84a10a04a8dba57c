#include "rng.h"

#include "err.h"
#include "hash.h"

#include <Random123/philox.h>

struct sb_rng sb_rng_key(uint64_t seed, enum sb_rng_purpose purpose, uint64_t round)
{
    uint64_t words[3] = {seed, (uint64_t)purpose, round};
    uint64_t key = sb_hash(words, sizeof(words));
    return (struct sb_rng){.key = {(uint32_t)key, (uint32_t)(key >> 32)}};
}

void sb_rng_draw(const struct sb_rng *rng, uint64_t sample, uint32_t site, uint32_t block,
                 uint32_t out[4])
{
    philox4x32_ctr_t counter = {{(uint32_t)sample, (uint32_t)(sample >> 32), site, block}};
    philox4x32_key_t key = {{rng->key[0], rng->key[1]}};
    philox4x32_ctr_t drawn = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        out[i] = drawn.v[i];
}

enum { FEISTEL_ROUNDS = 4 };

struct feistel {
    uint32_t half_bits;
    uint64_t half_mask;
};

static struct feistel feistel_over(uint64_t n)
{
    uint32_t bits = 2;
    while (bits < 64 && (UINT64_C(1) << bits) < n)
        bits += 2;
    return (struct feistel){.half_bits = bits / 2, .half_mask = (UINT64_C(1) << (bits / 2)) - 1};
}

static uint64_t feistel_mix(const struct sb_rng *rng, uint64_t half, uint32_t round)
{
    uint32_t out[4];
    sb_rng_draw(rng, half, 0xfe157e1u, round, out);
    return out[0];
}

static uint64_t forward_once(const struct sb_rng *rng, struct feistel f, uint64_t value)
{
    uint64_t left = value >> f.half_bits, right = value & f.half_mask;
    for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint64_t next = (left ^ feistel_mix(rng, right, round)) & f.half_mask;
        left = right;
        right = next;
    }
    return left << f.half_bits | right;
}

static uint64_t backward_once(const struct sb_rng *rng, struct feistel f, uint64_t value)
{
    uint64_t left = value >> f.half_bits, right = value & f.half_mask;
    for (uint32_t round = FEISTEL_ROUNDS; round-- > 0;) {
        uint64_t before = (right ^ feistel_mix(rng, left, round)) & f.half_mask;
        right = left;
        left = before;
    }
    return left << f.half_bits | right;
}

uint64_t sb_rng_permute(const struct sb_rng *rng, uint64_t n, uint64_t i)
{
    sb_assert(i < n);
    struct feistel f = feistel_over(n);
    do
        i = forward_once(rng, f, i);
    while (i >= n);
    return i;
}

uint64_t sb_rng_permute_inverse(const struct sb_rng *rng, uint64_t n, uint64_t value)
{
    sb_assert(value < n);
    struct feistel f = feistel_over(n);
    do
        value = backward_once(rng, f, value);
    while (value >= n);
    return value;
}
