/* The definition of the bits of dropout.h: one element, by one draw. */
#ifndef SB_DROPOUT_REF_H
#define SB_DROPOUT_REF_H

#include "dropout.h"

uint16_t sb_dropout_word_ref(const struct sb_rng *rng, uint64_t sample, uint32_t site,
                             size_t element);

#endif
