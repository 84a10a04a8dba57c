/*
 * A head on embeddings (embed_head.h) as one linear map with one row for every label:
 *
 *     logits = W x + b;    p = softmax logits, or 1 / (1 + e^-logits) with one against the rest
 *
 * gives the head's probabilities: this is what programs that know plain classifiers compute.
 */
#ifndef SB_FOLDED_HEAD_H
#define SB_FOLDED_HEAD_H

#include "embed_head.h"

#include <stdbool.h>
#include <stddef.h>

struct sb_folded_head {
    size_t label_count, embedding_size;
    float *weight;  /* [label_count, embedding_size] */
    float *bias;    /* [label_count]; lowest for labels that the head has never seen */
    bool normalize; /* x is scaled to length 1 first */
};

void sb_folded_head_init(struct sb_folded_head *folded, const struct sb_embed_head *head);
void sb_folded_head_release(struct sb_folded_head *folded);

#endif
