#include "bert_pass.h"

#include "act.h"
#include "embed.h"
#include "norm.h"
#include "softmax.h"
#include "vec.h"

#include <math.h>
#include <string.h>

/* ---- what runs between products ---- */

struct norm_back_run {
    struct pass *pass;
    const struct rows *rows; /* NULL: no dropout, no branch */
    size_t n;
    float *dz, *dbranch;
    const float *dy, *z, *mean, *rstd, *gamma;
    float *part; /* [tiles, 3, C]: sums of one tile for gamma, beta and bias */
    uint32_t site;
};

static void branch_backward(const struct norm_back_run *run, size_t row, float *dbias,
                            uint16_t *words)
{
    const struct sb_dropout *dropout = &run->pass->hidden_dropout;
    size_t C = run->pass->C;
    const float *dz = run->dz + row * C;
    float *dbranch = run->dbranch + row * C;
    if (dropout->threshold > 0) {
        sb_dropout_words(words, dropout, run->rows->sample[row], run->site,
                         run->rows->position[row] * C, C);
        sb_dropout_apply(dbranch, dz, words, C, dropout);
    } else {
        memcpy(dbranch, dz, C * sizeof(float));
    }
    sb_add(dbias, dbranch, C);
}

static void norm_back_tile(void *context, size_t tile, size_t thread)
{
    const struct norm_back_run *run = context;
    size_t C = run->pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < run->n ? first + TILE_ROWS : run->n;
    float *part = run->part + tile * 3 * C;
    sb_zero(part, 3 * C);
    sb_layernorm_backward(run->dz + first * C, part, part + C, run->dy + first * C,
                          run->z + first * C, run->mean + first, run->rstd + first, run->gamma,
                          end - first, C);
    for (size_t row = first; run->dbranch != NULL && row < end; row++)
        branch_backward(run, row, part + 2 * C, run->pass->words[thread]);
}

/* d [C] += the parts in the order of their tiles; nothing if d is NULL. */
static void fold_parts(float *d, const float *part, size_t tiles, size_t stride, size_t C)
{
    for (size_t tile = 0; d != NULL && tile < tiles; tile++)
        sb_add(d, part + tile * stride, C);
}

void bert_residual_norm_backward(struct pass *pass, const struct rows *rows, float *dz,
                                 float *dbranch, const float *dy, const float *z, const float *mean,
                                 const float *rstd, size_t gamma, size_t beta, size_t bias,
                                 uint32_t site)
{
    size_t C = pass->C, tiles = tile_count_of(rows->n);
    struct norm_back_run run = {.pass = pass,
                                .rows = rows,
                                .n = rows->n,
                                .dz = dz,
                                .dbranch = dbranch,
                                .dy = dy,
                                .z = z,
                                .mean = mean,
                                .rstd = rstd,
                                .gamma = weight_of(pass, gamma),
                                .part = take_floats(pass, tiles * 3 * C),
                                .site = site};
    sb_pool_run(pass->bert->pool, tiles, norm_back_tile, &run);
    fold_parts(gradient_of(pass, gamma), run.part, tiles, 3 * C, C);
    fold_parts(gradient_of(pass, beta), run.part + C, tiles, 3 * C, C);
    if (dbranch != NULL)
        fold_parts(gradient_of(pass, bias), run.part + 2 * C, tiles, 3 * C, C);
}

enum { COLUMN_TILE = 64 };

struct bias_run {
    float *dbias;
    const float *dy;
    size_t n, cols, stride;
};

static void bias_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct bias_run *run = context;
    size_t first = tile * COLUMN_TILE;
    size_t cols = run->cols - first < COLUMN_TILE ? run->cols - first : COLUMN_TILE;
    sb_column_sums(run->dbias + first, run->dy + first, run->n, cols, run->stride);
}

void bert_bias_backward(struct pass *pass, size_t bias, const float *dy, size_t n, size_t cols,
                        size_t stride)
{
    struct bias_run run = {
        .dbias = gradient_of(pass, bias), .dy = dy, .n = n, .cols = cols, .stride = stride};
    if (run.dbias != NULL)
        sb_pool_run(pass->bert->pool, (cols + COLUMN_TILE - 1) / COLUMN_TILE, bias_tile, &run);
}

enum { MULTIPLY_TILE = 16384 };

struct multiply_run {
    float *x;
    const float *factor;
    size_t count;
};

static void multiply_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct multiply_run *run = context;
    size_t first = tile * MULTIPLY_TILE;
    size_t count = run->count - first < MULTIPLY_TILE ? run->count - first : MULTIPLY_TILE;
    sb_multiply(run->x + first, run->factor + first, count);
}

void bert_multiply(struct pass *pass, float *x, const float *factor, size_t count)
{
    struct multiply_run run = {.x = x, .factor = factor, .count = count};
    sb_pool_run(pass->bert->pool, (count + MULTIPLY_TILE - 1) / MULTIPLY_TILE, multiply_tile, &run);
}

/* ---- attention ---- */

struct attention_back_run {
    struct pass *pass;
    const struct layer *layer;
    const struct rows *rows;
    const size_t *probs_first;
    const float *dcontext;
    float *dq, *dk, *dv; /* laid out as q, k, v of the layer */
};

static void clear_rows(float *x, size_t rows, size_t cols, size_t stride)
{
    for (size_t row = 0; row < rows; row++)
        sb_zero(x + row * stride, cols);
}

static void attention_back_tile(void *context, size_t tile, size_t thread)
{
    const struct attention_back_run *run = context;
    struct pass *pass = run->pass;
    const struct layer *layer = run->layer;
    size_t C = pass->C, D = pass->D, b = tile / pass->H, head = tile % pass->H;
    size_t key_first = pass->batch->starts[b], T = pass->batch->starts[b + 1] - key_first;
    size_t first = run->rows->starts[b], t = run->rows->starts[b + 1] - first;
    size_t stride = probs_stride(T), q_stride = layer->q_stride, kv_stride = layer->kv_stride;
    size_t q_at = first * q_stride + head * D, kv_at = key_first * kv_stride + head * D;
    float scale = (float)(1.0 / sqrt((double)D));
    if (t == 0) {
        clear_rows(run->dk + kv_at, T, D, kv_stride);
        clear_rows(run->dv + kv_at, T, D, kv_stride);
        return;
    }
    const float *dcontext = run->dcontext + first * C + head * D;
    const float *p = layer->probs + run->probs_first[b] + head * t * stride;
    float *ds = pass->scratch[thread], *kept = ds + t * stride;

    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NT,
                                   .out = ds,
                                   .a = dcontext,
                                   .b = layer->v + kv_at,
                                   .M = t,
                                   .N = T,
                                   .K = D,
                                   .out_stride = stride,
                                   .a_stride = C,
                                   .b_stride = kv_stride});
    sb_softmax_backward(ds, kept, p, t, T, stride, pass->probs_dropout.scale);
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_TN,
                                   .out = run->dv + kv_at,
                                   .a = kept,
                                   .b = dcontext,
                                   .M = T,
                                   .N = D,
                                   .K = t,
                                   .out_stride = kv_stride,
                                   .a_stride = stride,
                                   .b_stride = C});
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NN,
                                   .out = run->dq + q_at,
                                   .a = ds,
                                   .b = layer->k + kv_at,
                                   .M = t,
                                   .N = D,
                                   .K = T,
                                   .out_stride = q_stride,
                                   .a_stride = stride,
                                   .b_stride = kv_stride,
                                   .scale = scale});
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_TN,
                                   .out = run->dk + kv_at,
                                   .a = ds,
                                   .b = layer->q + q_at,
                                   .M = T,
                                   .N = D,
                                   .K = t,
                                   .out_stride = kv_stride,
                                   .a_stride = stride,
                                   .b_stride = q_stride,
                                   .scale = scale});
}

/* ---- layers ---- */

enum { WEIGHT_GEMMS_MAX = 9 };

/* Products that do not wait for each other, to be run together. */
struct gemm_list {
    struct sb_gemm gemms[WEIGHT_GEMMS_MAX];
    size_t count;
};

/* dweight [rows, cols] += dy^T x, unless it is frozen. */
static void add_weight_gradient(struct pass *pass, struct gemm_list *list, size_t weight,
                                const float *dy, size_t dy_stride, const float *x, size_t n)
{
    const struct sb_tensor *tensor = &pass->bert->params.tensors[weight];
    float *gradient = gradient_of(pass, weight);
    if (gradient == NULL)
        return;
    list->gemms[list->count++] = (struct sb_gemm){.kind = SB_GEMM_TN,
                                                  .out = gradient,
                                                  .a = dy,
                                                  .b = x,
                                                  .M = tensor->rows,
                                                  .N = tensor->cols,
                                                  .K = n,
                                                  .a_stride = dy_stride,
                                                  .add = true};
}

/* dx [n, K] = or += dy [n, rows] weight */
static struct sb_gemm input_gradient(struct pass *pass, float *dx, const float *dy, size_t n,
                                     size_t weight, size_t rows, bool add)
{
    size_t cols = pass->bert->params.tensors[weight].cols;
    return (struct sb_gemm){.kind = SB_GEMM_NN,
                            .out = dx,
                            .a = dy,
                            .b = weight_of(pass, weight),
                            .M = n,
                            .N = cols,
                            .K = rows,
                            .add = add};
}

/* Memory that all layers share on the way down. */
struct back {
    float *d;                              /* [N, C] gradient of the output, then of the input */
    float *dbranch1, *dbranch2, *dcontext; /* [N, C] */
    float *da;                             /* [N, F] */
    float *dqkv;                           /* [N, 3C] */
};

static void qkv_bias_backward(struct pass *pass, const struct layer *layer, const struct rows *rows,
                              const struct sb_layer_index *t, const float *dq, const float *dk,
                              const float *dv)
{
    size_t N = pass->batch->N, C = pass->C;
    bert_bias_backward(pass, t->query_b, dq, rows->n, C, layer->q_stride);
    bert_bias_backward(pass, t->key_b, dk, N, C, layer->kv_stride);
    bert_bias_backward(pass, t->value_b, dv, N, C, layer->kv_stride);
}

/* From d of the asked rows to back->d of all rows: the gradient of this layer's input. */
static void spread_asked(struct pass *pass, struct back *back, float *d, const struct rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        sb_add(back->d + (size_t)rows->index[i] * pass->C, d + i * pass->C, pass->C);
}

static void layer_backward(struct pass *pass, struct back *back, const struct layer *layer,
                           const struct rows *rows, float *d, size_t l, bool want_input)
{
    const struct sb_layer_index *t = &pass->bert->params.layers[l];
    struct sb_pool *pool = pass->bert->pool;
    size_t N = pass->batch->N, n = rows->n, C = pass->C, F = pass->F;
    uint32_t site = (uint32_t)(SITES_PER_LAYER * l);
    bool all = rows->index == NULL;
    float *dq = back->dqkv;
    float *dk = all ? dq + C : dq + n * C, *dv = dk + C;
    struct sb_gemm one;

    bert_residual_norm_backward(pass, rows, d, back->dbranch2, d, layer->z2, layer->mean2,
                                layer->rstd2, t->out_ln_w, t->out_ln_b, t->out_b,
                                site + SITE_FFN_OUT);
    one = input_gradient(pass, back->da, back->dbranch2, n, t->out_w, C, false);
    sb_gemm_run(pool, &one, 1);
    bert_multiply(pass, back->da, layer->slope, n * F);
    bert_bias_backward(pass, t->inter_b, back->da, n, F, F);
    one = input_gradient(pass, d, back->da, n, t->inter_w, F, true);
    sb_gemm_run(pool, &one, 1);

    bert_residual_norm_backward(pass, rows, d, back->dbranch1, d, layer->z1, layer->mean1,
                                layer->rstd1, t->attn_ln_w, t->attn_ln_b, t->attn_out_b,
                                site + SITE_ATTN_OUT);
    one = input_gradient(pass, back->dcontext, back->dbranch1, n, t->attn_out_w, C, false);
    sb_gemm_run(pool, &one, 1);
    struct attention_back_run attention = {.pass = pass,
                                           .layer = layer,
                                           .rows = rows,
                                           .probs_first =
                                               all ? pass->probs_first : pass->probs_first_asked,
                                           .dcontext = back->dcontext,
                                           .dq = dq,
                                           .dk = dk,
                                           .dv = dv};
    sb_pool_run(pool, pass->batch->B * pass->H, attention_back_tile, &attention);
    qkv_bias_backward(pass, layer, rows, t, dq, dk, dv);

    struct gemm_list list = {.count = 0};
    add_weight_gradient(pass, &list, t->out_w, back->dbranch2, C, layer->a, n);
    add_weight_gradient(pass, &list, t->inter_w, back->da, F, layer->h, n);
    add_weight_gradient(pass, &list, t->attn_out_w, back->dbranch1, C, layer->context, n);
    add_weight_gradient(pass, &list, t->query_w, dq, layer->q_stride, layer->x_q, n);
    add_weight_gradient(pass, &list, t->key_w, dk, layer->kv_stride, layer->x, N);
    add_weight_gradient(pass, &list, t->value_w, dv, layer->kv_stride, layer->x, N);
    if (want_input && all) {
        list.gemms[list.count++] = input_gradient(pass, d, dq, N, t->query_w, 3 * C, true);
    } else if (want_input) {
        list.gemms[list.count++] = input_gradient(pass, d, dq, n, t->query_w, C, true);
        list.gemms[list.count++] = input_gradient(pass, back->d, dk, N, t->key_w, 2 * C, false);
    }
    sb_gemm_run(pool, list.gemms, list.count);
    if (want_input && !all)
        spread_asked(pass, back, d, rows);
}

/* ---- embeddings ---- */

struct embed_back_run {
    struct pass *pass;
    float *dz;
    float *word, *type, *position;                /* tables of gradients, NULL if frozen */
    uint32_t *word_row, *type_row, *position_row; /* [N] */
};

static void embed_back_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct embed_back_run *run = context;
    size_t N = run->pass->batch->N, C = run->pass->C, first = tile * COLUMN_TILE;
    size_t end = first + COLUMN_TILE < C ? first + COLUMN_TILE : C;
    if (run->word != NULL)
        sb_embed_backward(run->word, run->dz, run->word_row, N, C, first, end, UINT32_MAX);
    if (run->type != NULL)
        sb_embed_backward(run->type, run->dz, run->type_row, N, C, first, end, UINT32_MAX);
    if (run->position != NULL)
        sb_embed_backward(run->position, run->dz, run->position_row, N, C, first, end, UINT32_MAX);
}

/* The rows that the word gradient goes to, in the dense table or among the sparse rows. */
static void choose_word_rows(struct pass *pass, struct embed_back_run *run)
{
    const struct sb_params *params = &pass->bert->params;
    const struct sb_tensor *word = &params->tensors[params->word];
    const struct sb_batch *batch = pass->batch;
    run->word = gradient_of(pass, params->word);
    if (run->word == NULL)
        return;
    for (size_t row = 0; row < batch->N; row++)
        run->word_row[row] =
            batch->ids[row] == pass->bert->config.pad_id ? UINT32_MAX : (uint32_t)batch->ids[row];
    if (!word->row_sparse)
        return;
    uint32_t *sorted = sb_arena_array(pass->arena, uint32_t, batch->N);
    bert_grad_add_rows(pass->grad, params, run->word_row, sorted, batch->N);
    run->word = pass->grad->values;
}

static void embed_dropout_tile(void *context, size_t tile, size_t thread)
{
    const struct embed_back_run *run = context;
    struct pass *pass = run->pass;
    const struct sb_dropout *dropout = &pass->hidden_dropout;
    size_t C = pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < pass->all.n ? first + TILE_ROWS : pass->all.n;
    for (size_t row = first; row < end; row++) {
        sb_dropout_words(pass->words[thread], dropout, pass->all.sample[row], SITE_EMBED,
                         pass->all.position[row] * C, C);
        sb_dropout_apply(run->dz + row * C, run->dz + row * C, pass->words[thread], C, dropout);
    }
}

static void embed_backward(struct pass *pass, float *d)
{
    const struct sb_params *params = &pass->bert->params;
    size_t N = pass->batch->N, C = pass->C;
    struct embed_back_run run = {.pass = pass,
                                 .dz = d,
                                 .type = gradient_of(pass, params->type),
                                 .position = gradient_of(pass, params->position),
                                 .word_row = sb_arena_array(pass->arena, uint32_t, N),
                                 .type_row = sb_arena_array(pass->arena, uint32_t, N),
                                 .position_row = sb_arena_array(pass->arena, uint32_t, N)};
    if (pass->hidden_dropout.threshold > 0)
        sb_pool_run(pass->bert->pool, tile_count_of(N), embed_dropout_tile, &run);
    bert_residual_norm_backward(pass, &pass->all, d, NULL, d, pass->embed_z, pass->embed_mean,
                                pass->embed_rstd, params->embed_ln_w, params->embed_ln_b, SIZE_MAX,
                                SITE_EMBED);

    for (size_t row = 0; row < N; row++) {
        run.type_row[row] = pass->batch->types[row];
        run.position_row[row] = pass->all.position[row];
    }
    choose_word_rows(pass, &run);
    sb_pool_run(pass->bert->pool, (C + COLUMN_TILE - 1) / COLUMN_TILE, embed_back_tile, &run);
}

void bert_layers_backward(struct pass *pass)
{
    size_t N = pass->batch->N, C = pass->C;
    int lowest = sb_params_lowest_trainable(&pass->bert->params, &pass->bert->config);
    struct back back = {.d = pass->asked.index == NULL ? pass->dlast : take_floats(pass, N * C),
                        .dbranch1 = take_floats(pass, N * C),
                        .dbranch2 = take_floats(pass, N * C),
                        .dcontext = take_floats(pass, N * C),
                        .da = take_floats(pass, N * pass->F),
                        .dqkv = take_floats(pass, N * 3 * C)};
    float *d = pass->dlast;
    for (int l = (int)pass->L - 1; l >= 0 && l >= lowest; l--) {
        const struct rows *rows = l + 1 == (int)pass->L ? &pass->asked : &pass->all;
        layer_backward(pass, &back, &pass->layers[l], rows, d, (size_t)l, l > lowest);
        d = back.d;
    }
    if (lowest < 0)
        embed_backward(pass, d);
}
