/*
 * The tensor table: every tensor of a model in its place in one flat block of floats.
 *
 * The order is fixed by the config and the head.  word_embeddings comes first; then, per layer, the
 * matrices (query, key and value stand together: one [3C, C] matrix) and after them the layer's
 * vectors (query, key and value bias together); the pooler and the head last.  Names are Hugging
 * Face's, with the `bert.` prefix.
 */
#ifndef SB_PARAMS_H
#define SB_PARAMS_H

#include "bert_config.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_init_kind { SB_INIT_NORMAL, SB_INIT_ZERO, SB_INIT_ONE };

struct sb_tensor {
    char name[96];
    size_t rows, cols; /* a vector has rows 1 */
    size_t offset;     /* first float in the flat space */
    bool is_vector;    /* 1-d in files */
    bool decay;        /* weight decay applies (no bias, no LayerNorm) */
    bool trainable;
    bool row_sparse;    /* its gradient touches only the batch's rows (word embeddings without tied
                           decoder) */
    double rate;        /* times the learning rate */
    uint64_t from_step; /* frozen before this step (sb_params_thaw) */
    bool fresh;         /* made from the seed, also where a file has it */
    enum sb_init_kind init;
};

static inline size_t sb_tensor_count(const struct sb_tensor *tensor)
{
    return tensor->rows * tensor->cols;
}

/* Index of each tensor in the table; layer tensors as layer[l].field.  SIZE_MAX where absent. */
struct sb_layer_index {
    size_t query_w, key_w, value_w, attn_out_w, inter_w, out_w;
    size_t query_b, key_b, value_b, attn_out_b, attn_ln_w, attn_ln_b, inter_b, out_b, out_ln_w,
        out_ln_b;
};

struct sb_params {
    struct sb_tensor *tensors;
    size_t count;
    size_t float_count; /* of the flat space */
    size_t word, position, type, embed_ln_w, embed_ln_b;
    struct sb_layer_index *layers; /* [L] */
    size_t pooler_w, pooler_b;     /* with a classify or nsp head */
    size_t transform_w, transform_b, transform_ln_w, transform_ln_b, decoder_b; /* mlm */
    size_t classifier_w, classifier_b; /* classify, tokens */
    size_t nsp_w, nsp_b;               /* pretraining: parity only */
};

void sb_params_init(struct sb_params *params, const struct sb_bert_config *config, unsigned heads);
void sb_params_release(struct sb_params *params);
/* SIZE_MAX if there is none. */
size_t sb_params_find(const struct sb_params *params, const char *name);

/*
 * Marks tensors as not trainable.  rule: "body" (all but the head; the pooler belongs to the body),
 * "layers:K" (embeddings and the first K layers), or a name pattern (fnmatch, the `bert.` prefix
 * may be left out).  A rule that matches nothing is an error (SB_ERR_CONFIG).  Rules are separated
 * by commas.
 */
int sb_params_freeze(struct sb_params *params, const struct sb_bert_config *config,
                     const char *rules, struct sb_err *err);
/*
 * The rates of tensors: the classifier's is head; layer l's decay^(L-1-l), and that of the
 * embeddings decay^L; pooler and other heads have 1.
 */
void sb_params_set_rates(struct sb_params *params, const struct sb_bert_config *config, double head,
                         double decay);
/*
 * Gradual unfreezing: layer l is frozen before step first_steps[L-1-l], the embeddings before
 * first_steps[L].  What freeze named stays frozen.
 */
void sb_params_freeze_until(struct sb_params *params, const struct sb_bert_config *config,
                            const uint64_t *first_steps);
/* From here on a pass is one of this step: what is frozen until later has no gradient. */
void sb_params_thaw(struct sb_params *params, uint64_t step);
/* The names of BertModel, which stands alone: those of the models around it start with "bert." */
void sb_params_drop_prefix(struct sb_params *params);
/* The lowest layer that anything trainable needs backward to reach: -1 embeddings, 0..L-1 a layer,
 * L the head only. */
int sb_params_lowest_trainable(const struct sb_params *params, const struct sb_bert_config *config);

/* Fresh weights: N(0, initializer_range) by tensor and element from the seed, zeros, ones; pad row
 * 0. */
void sb_params_fill(float *weights, const struct sb_params *params,
                    const struct sb_bert_config *config, uint64_t seed, size_t first_tensor,
                    size_t end_tensor);

#endif
