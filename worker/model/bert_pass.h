/*
 * What the files of one pass share: bert.c (order of things), bert_forward.c, bert_backward.c,
 * bert_heads.c.  Nobody else includes this.
 *
 * All memory is the pass's arena.  Axis letters are those of batch.h, and n: the rows that a layer
 * is asked for (all N of them, but in the last layer often only the masked tokens or the [CLS]).
 */
#ifndef SB_BERT_PASS_H
#define SB_BERT_PASS_H

#include "bert.h"
#include "dropout.h"
#include "gemm.h"

/* Dropout sites: 0 the embeddings, three per layer, and last the classifier. */
enum { SITE_EMBED = 0, SITE_PROBS = 1, SITE_ATTN_OUT = 2, SITE_FFN_OUT = 3, SITES_PER_LAYER = 3 };

/* Rows of a tile of what runs between products: their [row, C] block stays in the cache. */
enum { TILE_ROWS = 32 };

/* A choice of the batch's tokens, in rising order. */
struct rows {
    size_t n;
    const uint32_t *index;    /* [n] row of the batch; NULL: all, in order */
    const uint32_t *starts;   /* [B+1] the rows of sequence b are starts[b] .. starts[b+1]-1 */
    const uint32_t *position; /* [n] inside the sequence */
    const uint64_t *sample;   /* [n] */
};

/* What one layer computes; kept for backward, or used again two layers on. */
struct layer {
    const float *x;   /* [N, C] input */
    const float *x_q; /* [n, C] its rows that are asked for */
    float *q, *k, *v; /* [n or N, C], row to row q_stride or kv_stride floats */
    size_t q_stride, kv_stride;
    float *probs;              /* per sequence, head and asked row: [T] padded to probs_stride(T) */
    float *context;            /* [n, C] */
    float *z1, *mean1, *rstd1; /* [n, C], [n], [n] before the first LayerNorm */
    float *h;                  /* [n, C] after it */
    float *slope;              /* [n, F] derivative of GELU; NULL in evaluation */
    float *a;                  /* [n, F] after GELU */
    float *z2, *mean2, *rstd2;
    float *y; /* [n, C] output */
};

struct pass {
    const struct sb_bert *bert;
    const struct sb_batch *batch;
    struct sb_arena *arena;
    struct sb_grad *grad; /* NULL in evaluation */
    struct sb_stats *stats;
    struct sb_outputs *outputs; /* NULL in training */
    size_t C, H, D, F, L, V;
    struct sb_dropout hidden_dropout, probs_dropout, head_dropout;

    struct rows all, asked; /* every token; those that the last layer is asked for */
    size_t *probs_first;    /* [B+1] floats before sequence b in layer.probs, all rows asked */
    size_t *probs_first_asked;
    const uint32_t *target_at; /* [target_count] place in asked of each masked token */
    const uint32_t *cls_at;    /* [B] place in asked of each [CLS] */
    size_t longest;            /* tokens of the longest sequence */
    float **scratch;           /* [threads] each of scratch_floats */
    uint16_t **words;          /* [threads] bits of dropout */

    float *embed_z, *embed_mean, *embed_rstd, *embed_y; /* [N, C], [N], [N], [N, C] */
    struct layer *layers;                               /* [L] */
    float *dlast; /* [asked.n, C] gradient of the last layer's output; NULL if the body is frozen */
};

static inline bool pass_trains(const struct pass *pass)
{
    return pass->grad != NULL;
}

static inline const float *weight_of(const struct pass *pass, size_t tensor)
{
    return pass->bert->weights + pass->bert->params.tensors[tensor].offset;
}

/* Where the gradient of a tensor is added, or NULL if it is frozen. */
static inline float *gradient_of(const struct pass *pass, size_t tensor)
{
    const struct sb_tensor *t = &pass->bert->params.tensors[tensor];
    return t->trainable ? pass->grad->dense + t->offset : NULL;
}

static inline float *take_floats(const struct pass *pass, size_t count)
{
    return sb_arena_array(pass->arena, float, count > 0 ? count : 1);
}

static inline size_t tile_count_of(size_t rows)
{
    return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static inline size_t probs_stride(size_t T)
{
    return (T + 15) / 16 * 16;
}

/* bert_forward.c */
void bert_embed_forward(struct pass *pass);
void bert_layers_forward(struct pass *pass);
/* y = LN(z) with z = residual + dropout(z); z is kept. */
void bert_residual_norm(struct pass *pass, const struct rows *rows, float *z, const float *residual,
                        float *y, float *mean, float *rstd, size_t gamma, size_t beta,
                        uint32_t site);
/* y = LN(z), nothing added. */
void bert_norm(struct pass *pass, const struct rows *rows, const float *z, float *y, float *mean,
               float *rstd, size_t gamma, size_t beta);
void bert_gather(struct pass *pass, float *to, const float *from, const uint32_t *index, size_t n);
/* a [n, F] = GELU(a); slope [n, F] or NULL */
void bert_gelu(struct pass *pass, float *a, float *slope, size_t count);

/* bert_backward.c */
void bert_layers_backward(struct pass *pass);
/*
 * Backward of bert_residual_norm, and of the bias in front of it: dz for the residual, dbranch for
 * the product.  dz may be dy.  dbranch NULL: no dropout, and no bias, in between.
 */
void bert_residual_norm_backward(struct pass *pass, const struct rows *rows, float *dz,
                                 float *dbranch, const float *dy, const float *z, const float *mean,
                                 const float *rstd, size_t gamma, size_t beta, size_t bias,
                                 uint32_t site);
/* dbias += column sums of dy [n, cols]; nothing if it is frozen. */
void bert_bias_backward(struct pass *pass, size_t bias, const float *dy, size_t n, size_t cols,
                        size_t stride);
/* x [count] *= factor [count] */
void bert_multiply(struct pass *pass, float *x, const float *factor, size_t count);

/*
 * bert_grad.c: makes room in a row-sparse gradient for the rows of these ids, new ones zero, and
 * turns each id into its place there.  UINT32_MAX stands for no row and stays.
 */
void bert_grad_add_rows(struct sb_grad *grad, const struct sb_params *params, uint32_t *ids,
                        uint32_t *scratch, size_t count);

/* bert_heads.c: losses are added to stats, gradients to grad and to pass->dlast. */
void bert_mlm_head(struct pass *pass);
void bert_token_head(struct pass *pass);
void bert_class_head(struct pass *pass, size_t weight, size_t bias, size_t K);

#endif
