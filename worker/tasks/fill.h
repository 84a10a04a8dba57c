/* The likeliest pieces at a [MASK]: for fill-mask, and for the probes of a training. */
#ifndef SB_FILL_H
#define SB_FILL_H

#include "wordpiece.h"

#include <jansson.h>

/*
 * The ids of the count highest logits, highest first and smaller ids first among equals.  Returns
 * how many there are.
 *
 *   out  best    [count]
 *   in   logits  [pieces]
 */
size_t sb_fill_best(uint32_t *best, size_t count, const float *logits, size_t pieces);

/*
 * [{"token", "id", "score"}...]: score is the softmax over all V logits; rows behind the
 * vocabulary, which some models have, are never proposed.  best [count] is room to work in.
 */
json_t *sb_fill_describe(const float *logits, size_t V, const struct sb_wordpiece *tokenizer,
                         uint32_t *best, size_t count);

#endif
