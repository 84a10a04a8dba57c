/*
 * One vector from the last states of a sequence, [CLS] and [SEP] included, on ragged batches; as
 * sentence-transformers pools (mean, cls and max tokens).
 */
#ifndef SB_POOLING_H
#define SB_POOLING_H

#include <stddef.h>
#include <stdint.h>

enum sb_pooling {
    SB_POOLING_MEAN,
    SB_POOLING_CLS, /* the first state */
    SB_POOLING_MAX, /* the largest of each element; of equal ones the first */
};

/*
 *   out  y       [B, C]
 *        winner  [B, C]  row of h that gave the maximum, kept for the backward pass; max only, may
 *                        be NULL for the others, or if no backward pass follows
 *   in   h       [N, C]  the rows of sequence b are starts[b] .. starts[b+1]-1
 *        starts  [B+1]
 *
 * Means are summed in double, row after row.  An empty sequence gives zeros.
 */
void sb_pooling_forward(float *y, uint32_t *winner, const float *h, const uint32_t *starts,
                        size_t B, size_t C, enum sb_pooling pooling);

/* dh [N, C] is added to; dy [B, C]; winner as the forward pass left it. */
void sb_pooling_backward(float *dh, const float *dy, const uint32_t *winner, const uint32_t *starts,
                         size_t B, size_t C, enum sb_pooling pooling);

#endif
