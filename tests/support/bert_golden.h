/*
 * Models and batches with known results: weights, padded token arrays and PyTorch's outputs and
 * gradients from safetensors files.  The padded arrays become ragged batches here.
 */
#ifndef SB_BERT_GOLDEN_H
#define SB_BERT_GOLDEN_H

#include "bert.h"
#include "safetensors.h"

struct sb_golden {
    struct sb_safetensors file; /* of results */
    struct sb_bert bert;
    float *weights;
    struct sb_batch batch; /* masked targets in target_*, classes in labels */
    int32_t *labels;       /* what batch.labels points at */
    uint32_t *padded_row;  /* [N] row of the padded [B, S] array */
    struct sb_arena arena; /* of a pass */
    struct sb_grad grad;
    struct sb_stats stats;
};

/* Fails the running test if a file cannot be read.  threads as sb_pool_new; heads as enum sb_head.
 */
void sb_golden_open(struct sb_golden *golden, const struct sb_bert_config *config, unsigned heads,
                    const char *weights_path, const char *results_path, size_t threads);
void sb_golden_close(struct sb_golden *golden);

/* A tensor of the results as floats or integers; the caller frees it.  NULL if there is none. */
float *sb_golden_floats(const struct sb_golden *golden, const char *name, size_t *count);
int64_t *sb_golden_ints(const struct sb_golden *golden, const char *name, size_t *count);

/* Euclidean norm of a - b. */
double sb_golden_distance(const float *a, const float *b, size_t count);
double sb_golden_norm(const float *a, size_t count);

#endif
