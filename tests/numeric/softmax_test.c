#include "arrays.h"
#include "softmax.h"
#include "softmax_ref.h"
#include "support.h"

#include <string.h>

enum { ROWS = 4, STRIDE = 80 };

static float p[ROWS * STRIDE], kept[ROWS * STRIDE], x[ROWS * STRIDE], ds[ROWS * STRIDE];
static double x_ref[STRIDE], p_ref[STRIDE];
static uint16_t words[ROWS * STRIDE];

static void softmax_matches_its_definition(void **state)
{
    (void)state;
    for (size_t cols = 1; cols <= STRIDE; cols++) {
        sb_test_fill(x, ROWS * STRIDE, cols, -20, 20);
        memcpy(p, x, sizeof(p));
        sb_softmax_forward(p, ROWS, cols, STRIDE);
        for (int row = 0; row < ROWS; row++) {
            sb_test_widen(x_ref, x + row * STRIDE, cols);
            sb_softmax_ref(p_ref, x_ref, cols);
            assert_true(sb_test_worst(p + row * STRIDE, p_ref, cols) < 3e-7);
            for (size_t i = cols; i < (cols + 15) / 16 * 16; i++)
                assert_true(p[row * STRIDE + i] == 0);
        }
    }
}

static void softmax_does_not_see_a_shift_or_a_masked_score(void **state)
{
    (void)state;
    float shifted[16];
    sb_test_fill(p, 16, 1, -3, 3);
    for (int i = 0; i < 16; i++)
        shifted[i] = p[i] + 512.0f;
    p[3] = shifted[3] = -INFINITY;
    sb_softmax_forward(p, 1, 16, 16);
    sb_softmax_forward(shifted, 1, 16, 16);
    assert_true(p[3] == 0 && shifted[3] == 0);
    for (int i = 0; i < 16; i++)
        assert_true(fabsf(p[i] - shifted[i]) < 2e-5f);
}

static void no_dropout_keeps_every_probability(void **state)
{
    (void)state;
    struct sb_dropout none = sb_dropout_of(NULL, 0.5);
    sb_test_fill(p, ROWS * STRIDE, 1, -3, 3);
    sb_softmax_forward(p, ROWS, STRIDE, STRIDE);
    sb_softmax_dropout(kept, p, NULL, ROWS, STRIDE, STRIDE, &none);
    assert_memory_equal(kept, p, sizeof(p));
}

/* The scalar of which sb_softmax_backward gives the gradient: sum of dkept * dropout(softmax(x)).
 */
static double value(const double *scores, const float *dkept, const uint16_t *bits, size_t cols,
                    const struct sb_dropout *dropout)
{
    double sum = 0;
    sb_softmax_ref(p_ref, scores, cols);
    for (size_t i = 0; i < cols; i++)
        if (bits[i] >= dropout->threshold)
            sum += (double)dkept[i] * p_ref[i] * 65536.0 / (65536.0 - dropout->threshold);
    return sum;
}

static void softmax_gradient_matches_finite_difference(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(5, SB_RNG_DROPOUT, 0);
    const double rates[] = {0, 0.1, 0.5};
    const size_t columns[] = {1, 7, 16, 33, 80};
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 5; c++) {
            size_t cols = columns[c];
            struct sb_dropout dropout = sb_dropout_of(&rng, rates[r]);
            static float dkept[ROWS * STRIDE], again[ROWS * STRIDE];
            sb_test_fill(x, ROWS * STRIDE, 7, -2, 2);
            sb_test_fill(dkept, ROWS * STRIDE, 8, -1, 1);
            memcpy(p, x, sizeof(p));
            memcpy(ds, dkept, sizeof(ds));
            sb_dropout_words(words, &dropout, 3, 1, 0, ROWS * cols);
            sb_softmax_forward(p, ROWS, cols, STRIDE);
            sb_softmax_dropout(kept, p, dropout.threshold > 0 ? words : NULL, ROWS, cols, STRIDE,
                               &dropout);
            sb_softmax_backward(ds, again, p, ROWS, cols, STRIDE, dropout.scale);
            for (size_t row = 0; row < ROWS; row++) {
                const uint16_t *bits = words + row * cols;
                sb_test_widen(x_ref, x + row * STRIDE, cols);
                assert_memory_equal(kept + row * STRIDE, again + row * STRIDE,
                                    cols * sizeof(float));
                for (size_t i = 0; i < cols; i++) {
                    double h = 1e-5, center = x_ref[i];
                    x_ref[i] = center + h;
                    double up = value(x_ref, dkept + row * STRIDE, bits, cols, &dropout);
                    x_ref[i] = center - h;
                    double down = value(x_ref, dkept + row * STRIDE, bits, cols, &dropout);
                    x_ref[i] = center;
                    assert_true(fabs((up - down) / (2 * h) - ds[row * STRIDE + i]) < 2e-6);
                }
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_matches_its_definition),
        cmocka_unit_test(softmax_does_not_see_a_shift_or_a_masked_score),
        cmocka_unit_test(no_dropout_keeps_every_probability),
        cmocka_unit_test(softmax_gradient_matches_finite_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
