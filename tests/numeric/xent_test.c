#include "arrays.h"
#include "softmax_ref.h"
#include "support.h"
#include "xent.h"

enum { N = 6, K_MAX = 100 };

static float x[N * K_MAX], dx[N * K_MAX];
static double x_ref[K_MAX], p_ref[K_MAX];

static void loss_and_gradient_match_their_definition(void **state)
{
    (void)state;
    const int32_t gold[N] = {0, 1, -1, 2, 1, -1};
    for (size_t K = 3; K <= K_MAX; K += 19) {
        struct sb_xent_sums sums = {0};
        double loss = 0, correct = 0;
        sb_test_fill(x, N * K, K, -9, 9);
        sb_xent(dx, &sums, x, gold, N, K);
        for (size_t row = 0; row < N; row++) {
            sb_test_widen(x_ref, x + row * K, K);
            sb_softmax_ref(p_ref, x_ref, K);
            bool best = gold[row] >= 0;
            for (size_t k = 0; k < K; k++) {
                double expected = p_ref[k] - (k == (size_t)gold[row]);
                assert_true(fabs(dx[row * K + k] - (gold[row] < 0 ? 0 : expected)) < 2e-7);
                best = best && x_ref[k] <= x_ref[gold[row]];
            }
            loss += gold[row] < 0 ? 0 : sb_xent_ref(x_ref, (size_t)gold[row], K);
            correct += best;
        }
        assert_true(fabs(sums.loss - loss) < 1e-6);
        assert_true(sums.correct == correct);
        assert_true(sums.targets == 4);
    }
}

static void loss_of_huge_logits_is_finite(void **state)
{
    (void)state;
    const float logits[] = {1e5f, -1e5f, 0, 300};
    const int32_t gold[] = {1};
    struct sb_xent_sums sums = {0};
    sb_xent(dx, &sums, logits, gold, 1, 4);
    assert_true(sums.loss == 2e5);
    assert_true(dx[0] == 1 && dx[1] == -1 && dx[2] == 0 && dx[3] == 0);
}

static void blocks_of_columns_together_are_the_softmax(void **state)
{
    (void)state;
    enum { K = 90, W = 37 };
    sb_test_fill(x, K, 3, -30, 30);
    sb_test_widen(x_ref, x, K);
    sb_softmax_ref(p_ref, x_ref, K);
    float max[3];
    double sum[3], total = 0;
    for (int block = 0; block < 3; block++)
        sb_xent_block_exp(x + block * W, &max[block], &sum[block], 1, block < 2 ? W : K - 2 * W, K);
    float most = fmaxf(max[0], fmaxf(max[1], max[2]));
    for (int block = 0; block < 3; block++)
        total += sum[block] * exp((double)max[block] - (double)most);
    for (int block = 0; block < 3; block++) {
        float factor = (float)(exp((double)max[block] - (double)most) / total);
        sb_xent_block_scale(x + block * W, &factor, 1, block < 2 ? W : K - 2 * W, K);
    }
    assert_true(sb_test_worst(x, p_ref, K) < 3e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient_match_their_definition),
        cmocka_unit_test(loss_of_huge_logits_is_finite),
        cmocka_unit_test(blocks_of_columns_together_are_the_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
