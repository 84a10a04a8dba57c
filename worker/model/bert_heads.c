#include "bert_pass.h"

#include "act.h"
#include "real.h"
#include "vec.h"
#include "xent.h"

#include <math.h>
#include <string.h>

static const float *last_output(const struct pass *pass)
{
    return pass->layers[pass->L - 1].y;
}

static void add_sums(struct pass *pass, const struct sb_xent_sums *sums)
{
    if (pass->stats == NULL)
        return;
    pass->stats->targets += sums->targets;
    pass->stats->loss += sums->loss;
    pass->stats->correct += sums->correct;
}

/* pass->dlast[at[i]] += d[i] */
static void spread(struct pass *pass, const float *d, const uint32_t *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sb_add(pass->dlast + (size_t)at[i] * pass->C, d + i * pass->C, pass->C);
}

/* y [n, out] = x [n, in] weight^T + bias */
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

/* dweight += dy^T x, dbias += column sums of dy; dx = dy weight, unless dx is NULL. */
static void linear_backward(struct pass *pass, float *dx, const float *dy, const float *x, size_t n,
                            size_t weight, size_t bias)
{
    const struct sb_tensor *w = &pass->bert->params.tensors[weight];
    float *dweight = gradient_of(pass, weight);
    struct sb_gemm gemms[2];
    size_t count = 0;
    if (dweight != NULL)
        gemms[count++] = (struct sb_gemm){.kind = SB_GEMM_TN,
                                          .out = dweight,
                                          .a = dy,
                                          .b = x,
                                          .M = w->rows,
                                          .N = w->cols,
                                          .K = n,
                                          .add = true};
    if (dx != NULL)
        gemms[count++] = (struct sb_gemm){.kind = SB_GEMM_NN,
                                          .out = dx,
                                          .a = dy,
                                          .b = weight_of(pass, weight),
                                          .M = n,
                                          .N = w->cols,
                                          .K = w->rows};
    sb_gemm_run(pass->bert->pool, gemms, count);
    bert_bias_backward(pass, bias, dy, n, w->rows, w->rows);
}

/* ---- the tied decoder of the MLM head, in blocks of rows and tiles of the vocabulary ---- */

enum { DECODE_ROWS = 128, VOCAB_TILE = 512 };

struct decode {
    struct pass *pass;
    const float *y; /* [rows, C] */
    const int32_t *gold;
    size_t rows, first; /* of this block */
    float *x;           /* per tile [rows, W]: logits, then exponentials, then gradients */
    float *max;     /* [tiles, rows], then the factor that makes probabilities of exponentials */
    double *sum;    /* [tiles, rows] */
    float *gold_x;  /* [rows] logit of the gold id */
    float *dy_part; /* [tiles, rows, C] */
    float *dword, *dbias;
};

static size_t vocab_tiles(const struct pass *pass)
{
    return (pass->V + VOCAB_TILE - 1) / VOCAB_TILE;
}

static size_t vocab_width(const struct pass *pass, size_t tile)
{
    size_t left = pass->V - tile * VOCAB_TILE;
    return left < VOCAB_TILE ? left : VOCAB_TILE;
}

/* The row of the gold id inside a tile, or SIZE_MAX if it is in another tile. */
static size_t gold_in_tile(const struct decode *decode, size_t row, size_t tile, size_t W)
{
    size_t gold = (size_t)decode->gold[row], first = tile * VOCAB_TILE;
    return gold >= first && gold < first + W ? gold - first : SIZE_MAX;
}

static void decode_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct decode *decode = context;
    struct pass *pass = decode->pass;
    const struct sb_params *params = &pass->bert->params;
    size_t C = pass->C, W = vocab_width(pass, tile), first = tile * VOCAB_TILE;
    float *x = decode->x + decode->rows * first;
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NT,
                                   .out = x,
                                   .a = decode->y,
                                   .b = weight_of(pass, params->word) + first * C,
                                   .bias = weight_of(pass, params->decoder_b) + first,
                                   .M = decode->rows,
                                   .N = W,
                                   .K = C});
    for (size_t row = 0; row < decode->rows; row++) {
        size_t at = gold_in_tile(decode, row, tile, W);
        if (at != SIZE_MAX)
            decode->gold_x[row] = x[row * W + at];
        if (pass->outputs != NULL && pass->outputs->target_logits != NULL)
            memcpy(pass->outputs->target_logits + (decode->first + row) * pass->V + first,
                   x + row * W, W * sizeof(float));
    }
    sb_xent_block_exp(x, decode->max + tile * decode->rows, decode->sum + tile * decode->rows,
                      decode->rows, W, W);
}

/* Losses of the block; max becomes the factor of each tile and row. */
static void finish_rows(struct decode *decode, struct sb_xent_sums *sums)
{
    size_t tiles = vocab_tiles(decode->pass), rows = decode->rows;
    for (size_t row = 0; row < rows; row++) {
        float max = decode->max[row];
        for (size_t tile = 1; tile < tiles; tile++) {
            float tile_max = decode->max[tile * rows + row];
            max = tile_max > max ? tile_max : max;
        }
        double sum = 0;
        for (size_t tile = 0; tile < tiles; tile++)
            sum += decode->sum[tile * rows + row] *
                   (double)sb_exp_inline(decode->max[tile * rows + row] - max);
        for (size_t tile = 0; tile < tiles; tile++) {
            float *place = &decode->max[tile * rows + row];
            *place = (float)((double)sb_exp_inline(*place - max) / sum);
        }
        sums->loss += log(sum) + ((double)max - (double)decode->gold_x[row]);
        sums->correct += decode->gold_x[row] == max ? 1.0 : 0.0;
        sums->targets += 1.0;
    }
}

static void decode_back_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct decode *decode = context;
    struct pass *pass = decode->pass;
    size_t C = pass->C, W = vocab_width(pass, tile), first = tile * VOCAB_TILE;
    size_t rows = decode->rows;
    float *dx = decode->x + rows * first;
    sb_xent_block_scale(dx, decode->max + tile * rows, rows, W, W);
    for (size_t row = 0; row < rows; row++) {
        size_t at = gold_in_tile(decode, row, tile, W);
        if (at != SIZE_MAX)
            dx[row * W + at] -= 1.0f;
    }
    if (decode->dbias != NULL)
        sb_column_sums(decode->dbias + first, dx, rows, W, W);
    if (decode->dword != NULL)
        sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_TN,
                                       .out = decode->dword + first * C,
                                       .a = dx,
                                       .b = decode->y,
                                       .M = W,
                                       .N = C,
                                       .K = rows,
                                       .add = true});
    sb_gemm_here(&(struct sb_gemm){.kind = SB_GEMM_NN,
                                   .out = decode->dy_part + tile * rows * C,
                                   .a = dx,
                                   .b = weight_of(pass, pass->bert->params.word) + first * C,
                                   .M = rows,
                                   .N = C,
                                   .K = W});
}

struct fold_run {
    const struct decode *decode;
    float *dy;
};

/* dy of one row: the parts of all tiles, in order. */
static void fold_tile(void *context, size_t row, size_t thread)
{
    (void)thread;
    const struct fold_run *run = context;
    const struct decode *decode = run->decode;
    size_t C = decode->pass->C, tiles = vocab_tiles(decode->pass);
    float *dy = run->dy + row * C;
    sb_zero(dy, C);
    for (size_t tile = 0; tile < tiles; tile++)
        sb_add(dy, decode->dy_part + (tile * decode->rows + row) * C, C);
}

/* Losses of y [n, C]; in training dy [n, C] and the gradients of the decoder. */
static void decode_all(struct pass *pass, float *dy, const float *y, size_t n,
                       struct sb_xent_sums *sums)
{
    const struct sb_params *params = &pass->bert->params;
    struct sb_pool *pool = pass->bert->pool;
    size_t tiles = vocab_tiles(pass), blocks = (n + DECODE_ROWS - 1) / DECODE_ROWS;
    size_t most = (n + blocks - 1) / blocks;
    struct decode decode = {.pass = pass,
                            .x = take_floats(pass, most * pass->V),
                            .max = take_floats(pass, tiles * most),
                            .sum = sb_arena_array(pass->arena, double, tiles *most),
                            .gold_x = take_floats(pass, most)};
    if (pass_trains(pass)) {
        decode.dy_part = take_floats(pass, tiles * most * pass->C);
        decode.dword = gradient_of(pass, params->word);
        decode.dbias = gradient_of(pass, params->decoder_b);
    }
    for (size_t first = 0; first < n; first += most) {
        decode.first = first;
        decode.rows = n - first < most ? n - first : most;
        decode.y = y + first * pass->C;
        decode.gold = pass->batch->target_ids + first;
        sb_pool_run(pool, tiles, decode_tile, &decode);
        finish_rows(&decode, sums);
        if (!pass_trains(pass))
            continue;
        sb_pool_run(pool, tiles, decode_back_tile, &decode);
        struct fold_run fold = {.decode = &decode, .dy = dy + first * pass->C};
        sb_pool_run(pool, decode.rows, fold_tile, &fold);
    }
}

void bert_mlm_head(struct pass *pass)
{
    const struct sb_params *params = &pass->bert->params;
    size_t n = pass->batch->target_count, C = pass->C;
    const struct rows rows = {.n = n};
    float *x = take_floats(pass, n * C), *z = take_floats(pass, n * C);
    float *slope = pass_trains(pass) ? take_floats(pass, n * C) : NULL;
    float *y = take_floats(pass, n * C), *moments = take_floats(pass, 2 * n);
    float *dy = pass_trains(pass) ? take_floats(pass, n * C) : NULL;
    struct sb_xent_sums sums = {0};

    bert_gather(pass, x, last_output(pass), pass->target_at, n);
    linear(pass, z, x, n, params->transform_w, params->transform_b);
    bert_gelu(pass, z, slope, n * C);
    bert_norm(pass, &rows, z, y, moments, moments + n, params->transform_ln_w,
              params->transform_ln_b);
    decode_all(pass, dy, y, n, &sums);
    add_sums(pass, &sums);
    if (!pass_trains(pass))
        return;

    bert_residual_norm_backward(pass, &rows, dy, NULL, dy, z, moments, moments + n,
                                params->transform_ln_w, params->transform_ln_b, SIZE_MAX, 0);
    bert_multiply(pass, dy, slope, n * C);
    float *dx = pass->dlast != NULL ? y : NULL; /* y has done its work */
    linear_backward(pass, dx, dy, x, n, params->transform_w, params->transform_b);
    if (dx != NULL)
        spread(pass, dx, pass->target_at, n);
}

/* ---- the classifier on the pooled [CLS] ---- */

static void pooled_dropout(struct pass *pass, float *y, const float *x)
{
    const struct sb_dropout *dropout = &pass->head_dropout;
    uint32_t site = (uint32_t)(SITES_PER_LAYER * pass->L + 1);
    for (size_t b = 0; b < pass->batch->B; b++) {
        sb_dropout_words(pass->words[0], dropout, pass->batch->samples[b], site, 0, pass->C);
        sb_dropout_apply(y + b * pass->C, x + b * pass->C, pass->words[0], pass->C, dropout);
    }
}

/* Adds to sums; in training the logits become their gradient. */
static void class_loss(struct pass *pass, float *logits, size_t B, size_t K,
                       struct sb_xent_sums *sums)
{
    const struct sb_bert *bert = pass->bert;
    const struct sb_batch *batch = pass->batch;
    const struct sb_class_loss none = {0}, *loss = pass_trains(pass) ? &bert->loss : &none;
    float *dlogits = pass_trains(pass) ? logits : NULL;
    bool plain = !loss->weights && !(loss->smoothing > 0) && !(loss->gamma > 0);
    if (batch->values && bert->config.problem == SB_REGRESSION)
        sb_class_loss_score(dlogits, sums, logits, batch->values, B * K);
    else if (batch->values)
        sb_class_loss_multi(dlogits, sums, logits, batch->values, B, K, loss);
    else if (plain)
        sb_xent(dlogits, sums, logits, batch->labels, B, K);
    else
        sb_class_loss_single(dlogits, sums, logits, batch->labels, B, K, loss);
}

void bert_class_head(struct pass *pass, size_t weight, size_t bias, size_t K)
{
    const struct sb_params *params = &pass->bert->params;
    size_t B = pass->batch->B, C = pass->C;
    bool drops = weight == params->classifier_w && pass->head_dropout.threshold > 0;
    float *x = take_floats(pass, B * C), *pooled = take_floats(pass, B * C);
    float *kept = drops ? take_floats(pass, B * C) : pooled;
    float *logits = take_floats(pass, B * K);
    struct sb_xent_sums sums = {0};

    bert_gather(pass, x, last_output(pass), pass->cls_at, B);
    linear(pass, pooled, x, B, params->pooler_w, params->pooler_b);
    sb_tanh_forward(pooled, pooled, B * C);
    if (drops)
        pooled_dropout(pass, kept, pooled);
    linear(pass, logits, kept, B, weight, bias);
    if (pass->outputs != NULL && pass->outputs->class_logits != NULL)
        memcpy(pass->outputs->class_logits, logits, B * K * sizeof(float));
    if (pass->batch->labels == NULL && pass->batch->values == NULL)
        return;
    class_loss(pass, logits, B, K, &sums);
    add_sums(pass, &sums);
    if (!pass_trains(pass))
        return;

    const float *dlogits = logits;
    float *dpooled = take_floats(pass, B * C);
    linear_backward(pass, dpooled, dlogits, kept, B, weight, bias);
    if (drops)
        pooled_dropout(pass, dpooled, dpooled);
    sb_tanh_backward(dpooled, dpooled, pooled, B * C);
    float *dx = pass->dlast != NULL ? take_floats(pass, B * C) : NULL;
    linear_backward(pass, dx, dpooled, x, B, params->pooler_w, params->pooler_b);
    if (dx != NULL)
        spread(pass, dx, pass->cls_at, B);
}

/* ---- the classifier of tokens ---- */

struct token_drop {
    struct pass *pass;
    float *y;
    const float *x;
};

static void drop_token_tile(void *context, size_t tile, size_t thread)
{
    const struct token_drop *run = context;
    struct pass *pass = run->pass;
    const struct sb_batch *batch = pass->batch;
    uint32_t site = (uint32_t)(SITES_PER_LAYER * pass->L + 1);
    size_t C = pass->C, first = tile * TILE_ROWS;
    size_t end = first + TILE_ROWS < batch->target_count ? first + TILE_ROWS : batch->target_count;
    for (size_t i = first; i < end; i++) {
        size_t row = batch->target_rows[i];
        sb_dropout_words(pass->words[thread], &pass->head_dropout, pass->all.sample[row], site,
                         pass->all.position[row] * C, C);
        sb_dropout_apply(run->y + i * C, run->x + i * C, pass->words[thread], C,
                         &pass->head_dropout);
    }
}

static void token_dropout(struct pass *pass, float *y, const float *x)
{
    struct token_drop run = {.pass = pass, .y = y, .x = x};
    sb_pool_run(pass->bert->pool, tile_count_of(pass->batch->target_count), drop_token_tile, &run);
}

void bert_token_head(struct pass *pass)
{
    const struct sb_params *params = &pass->bert->params;
    size_t n = pass->batch->target_count, C = pass->C, K = pass->bert->config.label_count;
    bool drops = pass->head_dropout.threshold > 0;
    float *x = take_floats(pass, n * C), *logits = take_floats(pass, n * K);
    struct sb_xent_sums sums = {0};

    bert_gather(pass, x, last_output(pass), pass->target_at, n);
    if (drops)
        token_dropout(pass, x, x);
    linear(pass, logits, x, n, params->classifier_w, params->classifier_b);
    if (pass->outputs != NULL && pass->outputs->target_logits != NULL)
        memcpy(pass->outputs->target_logits, logits, n * K * sizeof(float));
    sb_xent(pass_trains(pass) ? logits : NULL, &sums, logits, pass->batch->target_ids, n, K);
    add_sums(pass, &sums);
    if (!pass_trains(pass))
        return;

    float *dx = pass->dlast != NULL ? take_floats(pass, n * C) : NULL;
    linear_backward(pass, dx, logits, x, n, params->classifier_w, params->classifier_b);
    if (dx == NULL)
        return;
    if (drops)
        token_dropout(pass, dx, dx);
    spread(pass, dx, pass->target_at, n);
}
