/*
 * Random numbers without a state: every draw is a pure function of a key and a counter
 * (Philox4x32-10, Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011; the code
 * is Random123's).  The key names (seed, purpose, epoch or step); the counter names (sample, site,
 * block).  So a slot draws the same numbers whoever computes it, and nothing has to be saved.
 */
#ifndef SB_RNG_H
#define SB_RNG_H

#include <stdint.h>

enum sb_rng_purpose {
    SB_RNG_INIT = 1,  /* initial weights; round = hash of the tensor's name */
    SB_RNG_SHUFFLE,   /* order of samples; round = epoch */
    SB_RNG_MASK,      /* MLM masks of training; round = epoch */
    SB_RNG_EVAL_MASK, /* MLM masks of evaluation: round 0, for ever the same */
    SB_RNG_DROPOUT,   /* round = step */
    SB_RNG_SAMPLE,    /* choosing examples; round = free */
};

struct sb_rng {
    uint32_t key[2];
};

struct sb_rng sb_rng_key(uint64_t seed, enum sb_rng_purpose purpose, uint64_t round);

/* Four uniform 32-bit words for (sample, site, block). */
void sb_rng_draw(const struct sb_rng *rng, uint64_t sample, uint32_t site, uint32_t block,
                 uint32_t out[4]);

/* Uniform in [0, n) without bias worth naming (Lemire's multiplication of a 32-bit word, n < 2^32).
 */
static inline uint32_t sb_rng_below(uint32_t word, uint32_t n)
{
    return (uint32_t)(((uint64_t)word * n) >> 32);
}

/* Uniform in (0, 1), 32 bits. */
static inline double sb_rng_unit(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

/*
 * Element i of a keyed permutation of 0..n-1, by a four-round Feistel network over the next even
 * power of two and cycle walking.  O(1) memory, expected at most four walks.  i < n.
 */
uint64_t sb_rng_permute(const struct sb_rng *rng, uint64_t n, uint64_t i);
/* The i for which sb_rng_permute gives value. */
uint64_t sb_rng_permute_inverse(const struct sb_rng *rng, uint64_t n, uint64_t value);

#endif
