/* A model with more words: the same tensors, with rows added to (or put in place of others in) the
 * word embeddings. */
#ifndef SB_GROW_H
#define SB_GROW_H

#include "params.h"

/* A word that has become a piece: its row, and the rows of the pieces that stood for it. */
struct sb_grown_row {
    size_t row;
    const int32_t *from; /* [count] */
    size_t count;
};

/*
 * Fills the weights of a model that differs from an old one in its vocab_size only.
 *
 *   out  weights      [params->float_count]
 *   in   old_weights  [old->float_count], with the same heads
 *        rows         [row_count]; every row beyond the old ones is among them
 *
 * A grown row is the mean of the old rows of its pieces, and its decoder bias the mean of theirs:
 * so its score at a [MASK], which is linear in both, begins as the mean of the scores of its
 * pieces.  Sums run in double, in the order of the pieces.
 */
void sb_model_grow(float *weights, const struct sb_params *params, const float *old_weights,
                   const struct sb_params *old, const struct sb_grown_row *rows, size_t row_count);

#endif
