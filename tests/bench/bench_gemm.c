/*
 * Rates of the products of BERT's layers, best of many, in GFLOPS.
 *
 *     bench_gemm [threads [tokens]]
 */
#include "arena.h"
#include "clock.h"
#include "gemm.h"

#include <stdio.h>
#include <stdlib.h>

struct shape {
    const char *name;
    size_t C, F;
};

static const struct shape shapes[] = {
    {"tiny", 128, 512}, {"mini", 256, 1024}, {"small", 512, 2048}, {"base", 768, 3072}};

static double rate(struct sb_pool *pool, const struct sb_gemm *gemm)
{
    double best = 1e30, flops = 2.0 * (double)gemm->M * (double)gemm->N * (double)gemm->K;
    int runs = flops > 2e9 ? 4 : flops > 2e8 ? 12 : 40;
    for (int run = 0; run < runs; run++) {
        double start = sb_clock_seconds();
        sb_gemm_run(pool, gemm, 1);
        double taken = sb_clock_seconds() - start;
        best = taken < best ? taken : best;
    }
    return flops / best * 1e-9;
}

static void measure(struct sb_pool *pool, const char *name, const char *part, float *const *m,
                    size_t tokens, size_t in, size_t out)
{
    struct sb_gemm forward = {
        .kind = SB_GEMM_NT, .out = m[0], .a = m[1], .b = m[2], .M = tokens, .N = out, .K = in};
    struct sb_gemm input = {
        .kind = SB_GEMM_NN, .out = m[1], .a = m[0], .b = m[2], .M = tokens, .N = in, .K = out};
    struct sb_gemm weight = {.kind = SB_GEMM_TN,
                             .out = m[2],
                             .a = m[0],
                             .b = m[1],
                             .M = out,
                             .N = in,
                             .K = tokens,
                             .add = true};
    printf("shape=%s part=%s tokens=%zu forward_gflops=%.0f", name, part, tokens,
           rate(pool, &forward));
    printf(" input_gradient_gflops=%.0f", rate(pool, &input));
    printf(" weight_gradient_gflops=%.0f\n", rate(pool, &weight));
}

int main(int argc, char **argv)
{
    struct sb_pool *pool = sb_pool_new(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
    size_t tokens = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *s = &shapes[i];
        size_t wide = (s->F > 3 * s->C ? s->F : 3 * s->C) * sizeof(float);
        size_t bytes = tokens > s->C ? tokens * wide : s->C * wide;
        float *m[3];
        for (int a = 0; a < 3; a++) {
            m[a] = sb_alloc_pages(bytes);
            for (size_t j = 0; j < bytes / sizeof(float); j++)
                m[a][j] = (float)(j % 7) * 0.01f - 0.03f;
        }
        measure(pool, s->name, "qkv", m, tokens, s->C, 3 * s->C);
        measure(pool, s->name, "attention_out", m, tokens, s->C, s->C);
        measure(pool, s->name, "inner", m, tokens, s->C, s->F);
        measure(pool, s->name, "out", m, tokens, s->F, s->C);
        for (int a = 0; a < 3; a++)
            sb_free_pages(m[a], bytes);
    }
    sb_pool_free(&pool);
    return 0;
}
