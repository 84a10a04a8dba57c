/*
 * Nanoseconds per element of the kernels between products, on one thread, best of many.
 *
 *     bench_kernels [C]
 */
#include "act.h"
#include "adamw.h"
#include "arena.h"
#include "clock.h"
#include "dropout.h"
#include "norm.h"
#include "pool.h"
#include "softmax.h"
#include "vec.h"
#include "xent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, RUNS = 60 };

struct bench {
    size_t C, n;
    float *x, *y, *z, *mean, *rstd, *gamma, *beta;
    double *sum;
    uint16_t *words;
    struct sb_dropout dropout;
    struct sb_adamw adamw;
};

static void gelu_both(struct bench *b)
{
    sb_gelu_forward(b->y, b->z, b->y, b->n, SB_GELU_IS_ERF);
}

static void gelu_value(struct bench *b)
{
    sb_gelu_forward(b->y, NULL, b->x, b->n, SB_GELU_IS_ERF);
}

static void gelu_tanh(struct bench *b)
{
    sb_gelu_forward(b->y, b->z, b->x, b->n, SB_GELU_IS_TANH);
}

static void multiply(struct bench *b)
{
    sb_multiply(b->y, b->x, b->n);
}

static void dropout_words(struct bench *b)
{
    sb_dropout_words(b->words, &b->dropout, 1, 2, 0, b->n);
}

static void dropout_residual(struct bench *b)
{
    sb_dropout_residual(b->y, b->y, b->x, b->words, b->n, &b->dropout);
}

static void dropout_apply(struct bench *b)
{
    sb_dropout_apply(b->y, b->x, b->words, b->n, &b->dropout);
}

static void norm_forward(struct bench *b)
{
    sb_layernorm_forward(b->y, b->mean, b->rstd, b->x, b->gamma, b->beta, ROWS, b->C, 1e-12);
}

static void norm_backward(struct bench *b)
{
    sb_layernorm_backward(b->y, b->z, b->beta, b->y, b->x, b->mean, b->rstd, b->gamma, ROWS, b->C);
}

static void softmax_forward(struct bench *b)
{
    memcpy(b->y, b->x, b->n * sizeof(float));
    sb_softmax_forward(b->y, ROWS, b->C, b->C);
}

static void softmax_dropout(struct bench *b)
{
    sb_softmax_dropout(b->z, b->y, b->words, ROWS, b->C, b->C, &b->dropout);
}

static void softmax_backward(struct bench *b)
{
    sb_softmax_backward(b->z, b->y, b->x, ROWS, b->C, b->C, 1.1f);
}

static void xent_exp(struct bench *b)
{
    sb_xent_block_exp(b->y, b->mean, b->sum, ROWS, b->C, b->C);
}

static void xent_scale(struct bench *b)
{
    sb_xent_block_scale(b->y, b->gamma, ROWS, b->C, b->C);
}

static void column_sums(struct bench *b)
{
    sb_column_sums(b->gamma, b->x, ROWS, b->C, b->C);
}

static void add(struct bench *b)
{
    sb_add(b->y, b->x, b->n);
}

static void norm2(struct bench *b)
{
    b->sum[0] += sb_norm2(b->x, b->n);
}

static void all_finite(struct bench *b)
{
    b->sum[1] += sb_all_finite(b->x, b->n);
}

static void adamw(struct bench *b)
{
    sb_adamw_apply(b->x, b->y, b->z, b->x, b->x, b->n, &b->adamw);
}

struct row {
    const char *name;
    void (*run)(struct bench *b);
};

static const struct row rows[] = {
    {"gelu_and_slope", gelu_both},
    {"gelu", gelu_value},
    {"gelu_tanh_and_slope", gelu_tanh},
    {"multiply", multiply},
    {"dropout_words", dropout_words},
    {"dropout_residual", dropout_residual},
    {"dropout_apply", dropout_apply},
    {"layernorm_forward", norm_forward},
    {"layernorm_backward", norm_backward},
    {"softmax_forward", softmax_forward},
    {"softmax_dropout", softmax_dropout},
    {"softmax_backward", softmax_backward},
    {"xent_block_exp", xent_exp},
    {"xent_block_scale", xent_scale},
    {"column_sums", column_sums},
    {"add", add},
    {"norm2", norm2},
    {"all_finite", all_finite},
    {"adamw", adamw},
};

static float *fill(size_t n)
{
    float *x = sb_alloc_pages(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((i * 2654435761u >> 8) % 1000) / 250.0f - 1.99f;
    return x;
}

int main(int argc, char **argv)
{
    struct bench b = {.C = argc > 1 ? strtoul(argv[1], NULL, 10) : 768};
    struct sb_rng rng = sb_rng_key(1, SB_RNG_DROPOUT, 1);
    sb_pool_set_float_mode();
    b.n = ROWS * b.C;
    b.words = sb_alloc_pages(b.n * sizeof(*b.words));
    b.dropout = sb_dropout_of(&rng, 0.1);
    b.adamw = sb_adamw_at(1e-4, 0.01, 0.9, 0.999, 1e-8, 3, 1.0);
    b.sum = sb_alloc_pages((ROWS + 2) * sizeof(double));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        float **arrays[] = {&b.x, &b.y, &b.z, &b.mean, &b.rstd, &b.gamma, &b.beta};
        for (int a = 0; a < 7; a++)
            *arrays[a] = fill(b.n);
        uint64_t best = UINT64_MAX;
        for (int run = 0; run < RUNS; run++) {
            uint64_t start = sb_clock_ns();
            rows[i].run(&b);
            uint64_t taken = sb_clock_ns() - start;
            best = taken < best ? taken : best;
        }
        printf("kernel=%s C=%zu ns_per_element=%.3f\n", rows[i].name, b.C,
               (double)best / (double)b.n);
        for (int a = 0; a < 7; a++)
            sb_free_pages(*arrays[a], b.n * sizeof(float));
    }
    return 0;
}
