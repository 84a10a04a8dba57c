#include "bert_pass.h"

#include "act.h"
#include "embed.h"
#include "err.h"
#include "norm.h"
#include "softmax.h"
#include "vec.h"

#include <math.h>
#include <string.h>

/* ---- what runs between products, as tiles over rows ---- */

struct norm_run {
    struct pass *pass;
    const struct rows *rows;
    float *z, *y, *mean, *rstd;
    const float *input, *residual, *gamma, *beta;
    uint32_t site;
};

static void residual_norm_tile(void *context, size_t tile, size_t thread)
{
    const struct norm_run *run = context;
    struct pass *pass = run->pass;
    const struct sb_dropout *dropout = &pass->hidden_dropout;
    size_t C = pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < run->rows->n ? first + TILE_ROWS : run->rows->n;
    for (size_t row = first; row < end; row++) {
        float *z = run->z + row * C;
        const float *residual = run->residual + row * C;
        if (dropout->threshold == 0) {
            sb_add(z, residual, C);
            continue;
        }
        uint16_t *words = pass->words[thread];
        sb_dropout_words(words, dropout, run->rows->sample[row], run->site,
                         run->rows->position[row] * C, C);
        sb_dropout_residual(z, z, residual, words, C, dropout);
    }
    sb_layernorm_forward(run->y + first * C, run->mean + first, run->rstd + first,
                         run->z + first * C, run->gamma, run->beta, end - first, C,
                         pass->bert->config.layer_norm_eps);
}

void bert_residual_norm(struct pass *pass, const struct rows *rows, float *z, const float *residual,
                        float *y, float *mean, float *rstd, size_t gamma, size_t beta,
                        uint32_t site)
{
    struct norm_run run = {.pass = pass,
                           .rows = rows,
                           .z = z,
                           .y = y,
                           .mean = mean,
                           .rstd = rstd,
                           .residual = residual,
                           .gamma = weight_of(pass, gamma),
                           .beta = weight_of(pass, beta),
                           .site = site};
    sb_pool_run(pass->bert->pool, tile_count_of(rows->n), residual_norm_tile, &run);
}

static void norm_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct norm_run *run = context;
    size_t C = run->pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < run->rows->n ? first + TILE_ROWS : run->rows->n;
    sb_layernorm_forward(run->y + first * C, run->mean + first, run->rstd + first,
                         run->input + first * C, run->gamma, run->beta, end - first, C,
                         run->pass->bert->config.layer_norm_eps);
}

void bert_norm(struct pass *pass, const struct rows *rows, const float *z, float *y, float *mean,
               float *rstd, size_t gamma, size_t beta)
{
    struct norm_run run = {.pass = pass,
                           .rows = rows,
                           .y = y,
                           .mean = mean,
                           .rstd = rstd,
                           .input = z,
                           .gamma = weight_of(pass, gamma),
                           .beta = weight_of(pass, beta)};
    sb_pool_run(pass->bert->pool, tile_count_of(rows->n), norm_tile, &run);
}

enum { GELU_TILE = 16384 };

struct gelu_run {
    float *a, *slope;
    size_t count;
    enum sb_gelu form;
};

static void gelu_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct gelu_run *run = context;
    size_t first = tile * GELU_TILE;
    size_t count = run->count - first < GELU_TILE ? run->count - first : GELU_TILE;
    sb_gelu_forward(run->a + first, run->slope != NULL ? run->slope + first : NULL, run->a + first,
                    count, run->form);
}

void bert_gelu(struct pass *pass, float *a, float *slope, size_t count)
{
    bool tanh_form = pass->bert->config.activation == SB_GELU_TANH;
    struct gelu_run run = {.a = a,
                           .slope = slope,
                           .count = count,
                           .form = tanh_form ? SB_GELU_IS_TANH : SB_GELU_IS_ERF};
    sb_pool_run(pass->bert->pool, (count + GELU_TILE - 1) / GELU_TILE, gelu_tile, &run);
}

void bert_gather(struct pass *pass, float *to, const float *from, const uint32_t *index, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * pass->C, from + (size_t)index[i] * pass->C, pass->C * sizeof(float));
}

/* ---- embeddings ---- */

static void embed_tile(void *context, size_t tile, size_t thread)
{
    struct pass *pass = context;
    const struct sb_params *params = &pass->bert->params;
    const struct sb_dropout *dropout = &pass->hidden_dropout;
    size_t C = pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < pass->all.n ? first + TILE_ROWS : pass->all.n;
    sb_embed_forward(pass->embed_z + first * C, weight_of(pass, params->word),
                     weight_of(pass, params->type), weight_of(pass, params->position),
                     pass->batch->ids + first, pass->batch->types + first,
                     pass->all.position + first, end - first, C);
    sb_layernorm_forward(pass->embed_y + first * C, pass->embed_mean + first,
                         pass->embed_rstd + first, pass->embed_z + first * C,
                         weight_of(pass, params->embed_ln_w), weight_of(pass, params->embed_ln_b),
                         end - first, C, pass->bert->config.layer_norm_eps);
    for (size_t row = first; row < end && dropout->threshold > 0; row++) {
        float *y = pass->embed_y + row * C;
        sb_dropout_words(pass->words[thread], dropout, pass->all.sample[row], SITE_EMBED,
                         pass->all.position[row] * C, C);
        sb_dropout_apply(y, y, pass->words[thread], C, dropout);
    }
}

static void check_ids(const struct pass *pass)
{
    const struct sb_bert_config *config = &pass->bert->config;
    for (size_t row = 0; row < pass->batch->N; row++) {
        sb_assert(pass->batch->ids[row] >= 0);
        sb_assert((size_t)pass->batch->ids[row] < config->vocab_size);
        sb_assert(pass->batch->types[row] < config->type_count);
    }
}

void bert_embed_forward(struct pass *pass)
{
    size_t N = pass->batch->N;
    check_ids(pass);
    pass->embed_z = take_floats(pass, N * pass->C);
    pass->embed_y = take_floats(pass, N * pass->C);
    pass->embed_mean = take_floats(pass, N);
    pass->embed_rstd = take_floats(pass, N);
    sb_pool_run(pass->bert->pool, tile_count_of(N), embed_tile, pass);
}

/* ---- attention, as tiles over (sequence, head) ---- */

struct attention_run {
    struct pass *pass;
    const struct layer *layer;
    const struct rows *rows;
    const size_t *probs_first;
    uint32_t site;
};

/* Bits for the asked rows of one head: element (head T + row) T + column of the sample. */
static void probs_words(const struct attention_run *run, uint16_t *words, size_t b, size_t head,
                        size_t T)
{
    const struct sb_dropout *dropout = &run->pass->probs_dropout;
    uint64_t sample = run->pass->batch->samples[b];
    const struct rows *rows = run->rows;
    if (rows->index == NULL) {
        sb_dropout_words(words, dropout, sample, run->site, head * T * T, T * T);
        return;
    }
    for (size_t row = rows->starts[b]; row < rows->starts[b + 1]; row++, words += T)
        sb_dropout_words(words, dropout, sample, run->site, (head * T + rows->position[row]) * T,
                         T);
}

static void attention_tile(void *context, size_t tile, size_t thread)
{
    const struct attention_run *run = context;
    struct pass *pass = run->pass;
    const struct layer *layer = run->layer;
    size_t C = pass->C, D = pass->D, b = tile / pass->H, head = tile % pass->H;
    size_t key_first = pass->batch->starts[b], T = pass->batch->starts[b + 1] - key_first;
    size_t first = run->rows->starts[b], t = run->rows->starts[b + 1] - first;
    size_t stride = probs_stride(T);
    if (t == 0)
        return;
    const float *q = layer->q + first * layer->q_stride + head * D;
    const float *k = layer->k + key_first * layer->kv_stride + head * D;
    const float *v = layer->v + key_first * layer->kv_stride + head * D;
    float *p = layer->probs + run->probs_first[b] + head * t * stride;
    const float *kept = p;

    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NT,
                                   .out = p,
                                   .a = q,
                                   .b = k,
                                   .M = t,
                                   .N = T,
                                   .K = D,
                                   .out_stride = stride,
                                   .a_stride = layer->q_stride,
                                   .b_stride = layer->kv_stride,
                                   .scale = (float)(1.0 / sqrt((double)D))});
    sb_softmax_forward(p, t, T, stride);
    if (pass->probs_dropout.threshold > 0) {
        probs_words(run, pass->words[thread], b, head, T);
        sb_softmax_dropout(pass->scratch[thread], p, pass->words[thread], t, T, stride,
                           &pass->probs_dropout);
        kept = pass->scratch[thread];
    }
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NN,
                                   .out = layer->context + first * C + head * D,
                                   .a = kept,
                                   .b = v,
                                   .M = t,
                                   .N = D,
                                   .K = T,
                                   .out_stride = C,
                                   .a_stride = stride,
                                   .b_stride = layer->kv_stride});
}

/* ---- layers ---- */

static void take_layer(struct pass *pass, struct layer *layer, const struct rows *rows)
{
    size_t N = pass->batch->N, n = rows->n, C = pass->C, F = pass->F, B = pass->batch->B;
    if (rows->index == NULL) {
        layer->q = take_floats(pass, N * 3 * C);
        layer->k = layer->q + C;
        layer->v = layer->q + 2 * C;
        layer->q_stride = layer->kv_stride = 3 * C;
    } else {
        layer->x_q = take_floats(pass, n * C);
        layer->q = take_floats(pass, n * C);
        layer->k = take_floats(pass, N * 2 * C);
        layer->v = layer->k + C;
        layer->q_stride = C;
        layer->kv_stride = 2 * C;
    }
    layer->probs =
        take_floats(pass, rows->index == NULL ? pass->probs_first[B] : pass->probs_first_asked[B]);
    layer->context = take_floats(pass, n * C);
    layer->z1 = take_floats(pass, n * C);
    layer->h = take_floats(pass, n * C);
    layer->a = take_floats(pass, n * F);
    layer->slope = pass_trains(pass) ? take_floats(pass, n * F) : NULL;
    layer->z2 = take_floats(pass, n * C);
    layer->y = take_floats(pass, n * C);
    float *moments = take_floats(pass, 4 * n);
    layer->mean1 = moments;
    layer->rstd1 = moments + n;
    layer->mean2 = moments + 2 * n;
    layer->rstd2 = moments + 3 * n;
}

/* Queries, keys and values: one product, or two where only some rows ask. */
static void project(struct pass *pass, struct layer *layer, const struct rows *rows,
                    const struct sb_layer_index *t)
{
    size_t N = pass->batch->N, C = pass->C;
    struct sb_gemm all = {.kind = SB_GEMM_NT,
                          .out = layer->q,
                          .a = layer->x,
                          .b = weight_of(pass, t->query_w),
                          .bias = weight_of(pass, t->query_b),
                          .M = N,
                          .N = 3 * C,
                          .K = C};
    if (rows->index == NULL) {
        layer->x_q = layer->x;
        sb_gemm_run(pass->bert->pool, &all, 1);
        return;
    }
    float *x_q = take_floats(pass, rows->n * C);
    bert_gather(pass, x_q, layer->x, rows->index, rows->n);
    layer->x_q = x_q;
    struct sb_gemm two[2] = {all, all};
    two[0].out = layer->k;
    two[0].b = weight_of(pass, t->key_w);
    two[0].bias = weight_of(pass, t->key_b);
    two[0].N = 2 * C;
    two[1].a = x_q;
    two[1].M = rows->n;
    two[1].N = C;
    sb_gemm_run(pass->bert->pool, two, 2);
}

static void linear(struct pass *pass, float *y, const float *x, size_t n, size_t weight,
                   size_t bias)
{
    const struct sb_tensor *w = &pass->bert->params.tensors[weight];
    struct sb_gemm gemm = {.kind = SB_GEMM_NT,
                           .out = y,
                           .a = x,
                           .b = weight_of(pass, weight),
                           .bias = weight_of(pass, bias),
                           .M = n,
                           .N = w->rows,
                           .K = w->cols};
    sb_gemm_run(pass->bert->pool, &gemm, 1);
}

static void layer_forward(struct pass *pass, struct layer *layer, const struct rows *rows, size_t l)
{
    const struct sb_layer_index *t = &pass->bert->params.layers[l];
    uint32_t site = (uint32_t)(SITES_PER_LAYER * l);
    size_t n = rows->n;
    struct attention_run attention = {.pass = pass,
                                      .layer = layer,
                                      .rows = rows,
                                      .probs_first = rows->index == NULL ? pass->probs_first
                                                                         : pass->probs_first_asked,
                                      .site = site + SITE_PROBS};

    project(pass, layer, rows, t);
    sb_pool_run(pass->bert->pool, pass->batch->B * pass->H, attention_tile, &attention);
    linear(pass, layer->z1, layer->context, n, t->attn_out_w, t->attn_out_b);
    bert_residual_norm(pass, rows, layer->z1, layer->x_q, layer->h, layer->mean1, layer->rstd1,
                       t->attn_ln_w, t->attn_ln_b, site + SITE_ATTN_OUT);
    linear(pass, layer->a, layer->h, n, t->inter_w, t->inter_b);
    bert_gelu(pass, layer->a, layer->slope, n * pass->F);
    linear(pass, layer->z2, layer->a, n, t->out_w, t->out_b);
    bert_residual_norm(pass, rows, layer->z2, layer->h, layer->y, layer->mean2, layer->rstd2,
                       t->out_ln_w, t->out_ln_b, site + SITE_FFN_OUT);
}

void bert_layers_forward(struct pass *pass)
{
    pass->layers = sb_arena_array(pass->arena, struct layer, pass->L + 1);
    const float *x = pass->embed_y;
    for (size_t l = 0; l < pass->L; l++) {
        struct layer *layer = &pass->layers[l];
        const struct rows *rows = l + 1 == pass->L ? &pass->asked : &pass->all;
        /* Nothing is kept in evaluation: a layer works in the memory of the one before last. */
        if (!pass_trains(pass) && l >= 2 && rows->index == NULL) {
            *layer = pass->layers[l - 2];
        } else {
            *layer = (struct layer){0};
            take_layer(pass, layer, rows);
        }
        layer->x = x;
        layer_forward(pass, layer, rows, l);
        x = layer->y;
    }
}
