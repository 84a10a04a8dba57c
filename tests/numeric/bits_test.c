/*
 * The bits of every kernel, written down.  Whatever clone the loader takes (AVX-512, AVX2, plain),
 * and in sanitizer builds that have only the plain one, they must come out the same: the sums have
 * a stated order and every operation is correctly rounded.  A change of these numbers is a change
 * of every training run.
 */
#include "act.h"
#include "adamw.h"
#include "arrays.h"
#include "hash.h"
#include "norm.h"
#include "pool.h"
#include "softmax.h"
#include "support.h"
#include "vec.h"
#include "xent.h"

#include <inttypes.h>
#include <string.h>

enum { N = 13, C = 93, STRIDE = 96, COUNT = N * STRIDE };

static float x[COUNT], y[COUNT], z[COUNT], w[COUNT], v[COUNT];
static uint16_t words[COUNT];

static void fill(void)
{
    sb_pool_set_float_mode();
    sb_test_fill(x, COUNT, 1, -6, 6);
    sb_test_fill(y, COUNT, 2, -2, 2);
    sb_test_fill(z, COUNT, 3, -1, 1);
    sb_test_fill(w, COUNT, 4, 0.5, 1.5);
    sb_test_fill(v, COUNT, 5, 0, 1);
}

static void assert_bits(const char *what, uint64_t expected)
{
    struct sb_hasher hasher;
    sb_hasher_init(&hasher);
    sb_hasher_add(&hasher, x, sizeof(x));
    sb_hasher_add(&hasher, y, sizeof(y));
    sb_hasher_add(&hasher, z, sizeof(z));
    sb_hasher_add(&hasher, w, sizeof(w));
    sb_hasher_add(&hasher, v, sizeof(v));
    uint64_t value = sb_hasher_value64(&hasher);
    sb_hasher_release(&hasher);
    if (value != expected)
        fail_msg("%s: 0x%016" PRIx64 ", expected 0x%016" PRIx64, what, value, expected);
}

static void activations_keep_their_bits(void **state)
{
    (void)state;
    fill();
    sb_gelu_forward(y, z, x, COUNT - 3, SB_GELU_IS_ERF);
    sb_gelu_forward(w, v, x, COUNT - 3, SB_GELU_IS_TANH);
    assert_bits("gelu", 0xe5d92d731984f350);
    fill();
    sb_tanh_forward(y, x, COUNT - 3);
    sb_tanh_backward(z, z, y, COUNT - 3);
    sb_exp(v, x, COUNT - 3);
    sb_multiply(w, x, COUNT - 3);
    assert_bits("tanh and exp", 0x8ca96ec1bf4634f1);
}

static void norms_and_sums_keep_their_bits(void **state)
{
    (void)state;
    static float mean[N], rstd[N];
    fill();
    sb_layernorm_forward(y, mean, rstd, x, w, v, N, C, 1e-12);
    sb_layernorm_backward(z, w, v, z, x, mean, rstd, y, N, C);
    assert_bits("layernorm", 0x80aae3c8f20ee6d1);
    fill();
    sb_column_sums(w, x, N, C, STRIDE);
    sb_add(v, x, COUNT - 3);
    v[0] = (float)sb_norm2_rows(x, N, C);
    double norm2 = sb_norm2(x, COUNT - 3);
    memcpy(y, &norm2, sizeof(norm2));
    assert_bits("sums", 0xe19602fb0b6cfc19);
}

static void softmax_and_dropout_keep_their_bits(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(1, SB_RNG_DROPOUT, 2);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.1);
    fill();
    sb_dropout_words(words, &dropout, 77, 3, 5, N * C);
    sb_softmax_forward(x, N, C, STRIDE);
    sb_softmax_dropout(y, x, words, N, C, STRIDE, &dropout);
    sb_softmax_backward(z, y, x, N, C, STRIDE, dropout.scale);
    sb_dropout_residual(w, w, v, words, N * C, &dropout);
    sb_dropout_apply(v, v, words, N * C, &dropout);
    assert_bits("softmax and dropout", 0x813b050a297028f7);
}

static void cross_entropy_keeps_its_bits(void **state)
{
    (void)state;
    const int32_t gold[N] = {1, 0, -1, 5, 92, 7, 8, 9, 10, 11, 12, 13, 14};
    double sum[N];
    struct sb_xent_sums sums = {0};
    fill();
    sb_xent(y, &sums, x, gold, N, C);
    sb_xent_block_exp(x, w, sum, N, C, STRIDE);
    memcpy(v, sum, sizeof(sum));
    sb_xent_block_scale(x, w, N, C, STRIDE);
    assert_bits("cross entropy", 0x5feefaab2dca0d87);
}

static void adamw_keeps_its_bits(void **state)
{
    (void)state;
    struct sb_adamw adamw = {.scale = 0.25f,
                             .keep = 0.999f,
                             .beta1 = 0.9f,
                             .beta2 = 0.999f,
                             .rate = 1e-3f,
                             .root = 20.0f,
                             .epsilon = 1e-8f};
    fill();
    sb_adamw_apply(w, y, v, x, z, COUNT - 3, &adamw);
    sb_adamw_apply(x, y, v, w, NULL, COUNT - 3, &adamw);
    assert_bits("adamw", 0xe3c4f74838423a44);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_keep_their_bits),
        cmocka_unit_test(norms_and_sums_keep_their_bits),
        cmocka_unit_test(softmax_and_dropout_keep_their_bits),
        cmocka_unit_test(cross_entropy_keeps_its_bits),
        cmocka_unit_test(adamw_keeps_its_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
