/*
 * Dropout as a pure function: whether an element is dropped follows from (key of the step, sample,
 * site, element) and nothing else, so a mask does not know its batch, slot or thread and is drawn
 * again in the backward pass instead of being kept.
 *
 * Each element has 16 random bits.  Elements are numbered inside their (sample, site), in groups of
 * 128: the 32-bit word i = 0..63 of group g is word i / 16 of the draw for block 16 g + i % 16, and
 * holds element 2 i in its lower half and 2 i + 1 in its upper half.  (So sixteen draws stand side
 * by side in one vector.)  An element is dropped if its bits are below the threshold.
 */
#ifndef SB_DROPOUT_H
#define SB_DROPOUT_H

#include "rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_dropout {
    struct sb_rng rng;
    uint32_t threshold; /* of 65536; 0: nothing is ever dropped, and nothing is drawn */
    float scale;        /* of what stays: 65536 / (65536 - threshold) */
};

/* rate in [0, 1), rounded to a multiple of 1/65536; rng NULL: no dropout. */
struct sb_dropout sb_dropout_of(const struct sb_rng *rng, double rate);

/* words [count]: the bits of elements first .. first + count - 1. */
void sb_dropout_words(uint16_t *words, const struct sb_dropout *dropout, uint64_t sample,
                      uint32_t site, size_t first, size_t count);

/* The same by each way of drawing that this processor has: for tests.  false if it lacks this one.
 */
enum sb_dropout_way { SB_DROPOUT_PLAIN, SB_DROPOUT_AVX2, SB_DROPOUT_AVX512 };
bool sb_dropout_words_by(enum sb_dropout_way way, uint16_t *words, const struct sb_dropout *dropout,
                         uint64_t sample, uint32_t site, size_t first, size_t count);

/* y = x * scale where the element stays, else 0.  y may be x. */
void sb_dropout_apply(float *y, const float *x, const uint16_t *words, size_t n,
                      const struct sb_dropout *dropout);

/* z = residual + dropout(x).  z may be x. */
void sb_dropout_residual(float *z, const float *x, const float *residual, const uint16_t *words,
                         size_t n, const struct sb_dropout *dropout);

#endif
