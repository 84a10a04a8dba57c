#include "support.h"

#include "arrays.h"
#include "golden_doubles.h"
#include "pooling.h"

/* The ragged batch of the golden file. */
enum { B = 4, N = 13, C = 19, WIDE = 600 };

static const uint32_t starts[B + 1] = {0, 3, 4, 11, 13};
static struct sb_safetensors file;
static float h[N * C], dy[B * C];

static int set_up(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    if (sb_safetensors_open(&file, "tests/golden/embed_losses_golden.safetensors", &err) < 0 ||
        sb_safetensors_floats(h, &file, sb_safetensors_find(&file, "h"), &err) < 0)
        return -1;
    return sb_safetensors_floats(dy, &file, sb_safetensors_find(&file, "dy"), &err);
}

static int tear_down(void **state)
{
    (void)state;
    sb_safetensors_close(&file);
    return 0;
}

static const char *const names[] = {
    [SB_POOLING_MEAN] = "mean", [SB_POOLING_CLS] = "cls", [SB_POOLING_MAX] = "max"};

static void pooling_and_its_gradient_are_those_of_pytorch(void **state)
{
    (void)state;
    for (enum sb_pooling pooling = SB_POOLING_MEAN; pooling <= SB_POOLING_MAX; pooling++) {
        float y[B * C], dh[N * C] = {0};
        uint32_t winner[B * C];
        char name[32];
        sb_pooling_forward(y, winner, h, starts, B, C, pooling);
        sb_pooling_backward(dh, dy, winner, starts, B, C, pooling);
        snprintf(name, sizeof(name), "%s.y", names[pooling]);
        double *expected = sb_golden_doubles(&file, name, B * C);
        double worst = sb_test_worst(y, expected, B * C);
        free(expected);
        snprintf(name, sizeof(name), "%s.dh", names[pooling]);
        expected = sb_golden_doubles(&file, name, N * C);
        double worst_gradient = sb_test_worst(dh, expected, N * C);
        free(expected);
        print_message("%s: %.1e, gradient %.1e off\n", names[pooling], worst, worst_gradient);
        assert_true(worst < (pooling == SB_POOLING_MEAN ? 2e-7 : 1e-30));
        assert_true(worst_gradient < (pooling == SB_POOLING_MEAN ? 2e-7 : 1e-30));
    }
}

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    const float step = 0x1p-9f; /* y is linear between two changes of the maximum */
    for (enum sb_pooling pooling = SB_POOLING_MEAN; pooling <= SB_POOLING_MAX; pooling++) {
        float x[N * C], y[B * C], dh[N * C] = {0};
        uint32_t winner[B * C];
        sb_test_fill(x, N * C, 3, -1, 1);
        sb_pooling_forward(y, winner, x, starts, B, C, pooling);
        sb_pooling_backward(dh, dy, winner, starts, B, C, pooling);
        for (size_t i = 0; i < N * C; i++) {
            float kept = x[i];
            double slope = 0;
            for (int sign = -1; sign <= 1; sign += 2) {
                x[i] = kept + (float)sign * step;
                sb_pooling_forward(y, NULL, x, starts, B, C, pooling);
                for (size_t k = 0; k < B * C; k++)
                    slope += sign * (double)dy[k] * (double)y[k] / (2 * (double)step);
            }
            x[i] = kept;
            assert_true(fabs(slope - (double)dh[i]) < 3e-4);
        }
    }
}

/* A row is the same in any batch; columns past the first block are pooled like the others. */
static void a_sequence_does_not_see_its_neighbours(void **state)
{
    (void)state;
    static float x[N * WIDE], all[B * WIDE], one[WIDE];
    sb_test_fill(x, N * WIDE, 8, -2, 2);
    for (enum sb_pooling pooling = SB_POOLING_MEAN; pooling <= SB_POOLING_MAX; pooling++) {
        sb_pooling_forward(all, NULL, x, starts, B, WIDE, pooling);
        for (size_t b = 0; b < B; b++) {
            const uint32_t alone[2] = {0, starts[b + 1] - starts[b]};
            sb_pooling_forward(one, NULL, x + starts[b] * WIDE, alone, 1, WIDE, pooling);
            assert_memory_equal(one, all + b * WIDE, sizeof(one));
        }
    }
    sb_pooling_forward(all, NULL, x, starts, B, WIDE, SB_POOLING_MEAN);
    for (size_t c = 0; c < WIDE; c++) {
        double sum = 0;
        for (size_t row = starts[2]; row < starts[3]; row++)
            sum += (double)x[row * WIDE + c];
        assert_true(all[2 * WIDE + c] == (float)(sum / 7));
    }
}

static void gradients_are_added_and_empty_sequences_are_zeros(void **state)
{
    (void)state;
    const uint32_t gaps[4] = {0, 0, 2, 2};
    const float x[4] = {1, 2, 3, -4}, d[6] = {9, 9, 1, 2, 9, 9};
    const float dh_of[3][4] = {{0.5f, 1, 0.5f, 1}, {1, 2, 0, 0}, {0, 2, 1, 0}};
    const float y_of[3][2] = {{2, -1}, {1, 2}, {3, 2}};
    for (enum sb_pooling pooling = SB_POOLING_MEAN; pooling <= SB_POOLING_MAX; pooling++) {
        float y[6], dh[4] = {10, 10, 10, 10};
        uint32_t winner[6];
        sb_pooling_forward(y, winner, x, gaps, 3, 2, pooling);
        sb_pooling_backward(dh, d, winner, gaps, 3, 2, pooling);
        for (size_t i = 0; i < 2; i++)
            assert_true(y[i] == 0 && y[4 + i] == 0 && y[2 + i] == y_of[pooling][i]);
        for (size_t i = 0; i < 4; i++)
            assert_true(dh[i] == 10 + dh_of[pooling][i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pooling_and_its_gradient_are_those_of_pytorch),
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(a_sequence_does_not_see_its_neighbours),
        cmocka_unit_test(gradients_are_added_and_empty_sequences_are_zeros),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
