#include "arena.h"
#include "arrays.h"
#include "gemm.h"
#include "gemm_ref.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

struct size {
    size_t M, N, K;
};

static const struct size sizes[] = {{1, 1, 1},   {1, 300, 64},  {300, 1, 64},   {17, 33, 65},
                                    {64, 64, 8}, {129, 97, 50}, {260, 400, 31}, {5, 7, 600}};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), EXTRA = 3 };

struct work {
    float *a, *b, *bias, *out, *expected;
    size_t out_count;
};

static struct work make_work(struct size size)
{
    size_t M = size.M, N = size.N, K = size.K;
    size_t a_count = (M + EXTRA) * (K + EXTRA), b_count = (K + EXTRA) * (N + EXTRA);
    struct work work = {.out_count = M * (N + EXTRA)};
    work.a = sb_alloc(a_count * sizeof(float));
    work.b = sb_alloc(b_count * sizeof(float));
    work.bias = sb_alloc(N * sizeof(float));
    work.out = sb_alloc(work.out_count * sizeof(float));
    work.expected = sb_alloc(work.out_count * sizeof(float));
    sb_test_fill(work.a, a_count, 1, -1, 1);
    sb_test_fill(work.b, b_count, 2, -1, 1);
    sb_test_fill(work.bias, N, 3, -1, 1);
    sb_test_fill(work.out, work.out_count, 4, -1, 1);
    memcpy(work.expected, work.out, work.out_count * sizeof(float));
    return work;
}

static void free_work(struct work *work)
{
    free(work->a);
    free(work->b);
    free(work->bias);
    free(work->out);
    free(work->expected);
}

/* kind, dense or strided, plain or with bias or added: each of them against the three loops. */
static void check(struct sb_pool *pool, struct size size, enum sb_gemm_kind kind, int variant)
{
    struct work work = make_work(size);
    struct sb_gemm gemm = {.kind = kind,
                           .out = work.out,
                           .a = work.a,
                           .b = work.b,
                           .M = size.M,
                           .N = size.N,
                           .K = size.K};
    if (variant & 1) {
        gemm.out_stride = size.N + EXTRA;
        gemm.a_stride = (kind == SB_GEMM_TN ? size.M : size.K) + EXTRA;
        gemm.b_stride = (kind == SB_GEMM_NT ? size.K : size.N) + EXTRA;
    }
    if (variant & 2)
        gemm.bias = work.bias;
    else if (variant & 4)
        gemm.add = true;
    if (variant & 8)
        gemm.scale = 0.125f;
    struct sb_gemm expected = gemm;
    expected.out = work.expected;
    sb_gemm_ref(&expected);
    sb_gemm_run(pool, &gemm, 1);
    for (size_t i = 0; i < work.out_count; i++)
        assert_true(fabs((double)work.out[i] - (double)work.expected[i]) <
                    1e-6 * (4 + (double)size.K / 8));
    free_work(&work);
}

static void products_match_three_loops(void **state)
{
    (void)state;
    struct sb_pool *pool = sb_pool_new(2);
    for (size_t i = 0; i < SIZES; i++)
        for (int variant = 0; variant < 16; variant++) {
            check(pool, sizes[i], SB_GEMM_NT, variant);
            check(pool, sizes[i], SB_GEMM_NN, variant);
            check(pool, sizes[i], SB_GEMM_TN, variant);
        }
    sb_pool_free(&pool);
}

static void an_empty_sum_is_the_bias_or_zero(void **state)
{
    (void)state;
    float out[6] = {9, 9, 9, 9, 9, 9}, bias[3] = {1, 2, 3}, nothing[1] = {0};
    struct sb_gemm gemm = {
        .kind = SB_GEMM_NN, .out = out, .a = nothing, .b = nothing, .M = 2, .N = 3};
    sb_gemm_run(NULL, &gemm, 1);
    for (int i = 0; i < 6; i++)
        assert_true(out[i] == 0);
    gemm.bias = bias;
    sb_gemm_run(NULL, &gemm, 1);
    for (int i = 0; i < 6; i++)
        assert_true(out[i] == bias[i % 3]);
}

static void the_number_of_threads_leaves_no_trace(void **state)
{
    (void)state;
    struct size size = {300, 500, 200};
    float *first = NULL;
    for (size_t threads = 1; threads <= 3; threads++) {
        struct sb_pool *pool = sb_pool_new(threads);
        struct work work = make_work(size);
        struct sb_gemm two[2] = {{.kind = SB_GEMM_NT,
                                  .out = work.out,
                                  .a = work.a,
                                  .b = work.b,
                                  .M = 150,
                                  .N = size.N,
                                  .K = size.K},
                                 {.kind = SB_GEMM_TN,
                                  .out = work.out + 150 * size.N,
                                  .a = work.a,
                                  .b = work.b,
                                  .M = 150,
                                  .N = size.N,
                                  .K = size.K}};
        sb_gemm_run(pool, two, 2);
        if (first == NULL) {
            first = work.out;
            work.out = NULL;
        } else {
            assert_memory_equal(first, work.out, 300 * size.N * sizeof(float));
        }
        free_work(&work);
        sb_pool_free(&pool);
    }
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_three_loops),
        cmocka_unit_test(an_empty_sum_is_the_bias_or_zero),
        cmocka_unit_test(the_number_of_threads_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
