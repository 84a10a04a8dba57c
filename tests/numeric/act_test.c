#include "act.h"
#include "act_ref.h"
#include "arrays.h"
#include "support.h"

#include <string.h>

enum { COUNT = 200001 };

static float x[COUNT], y[COUNT], slope[COUNT];

static void fill_evenly(double low, double high)
{
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(low + (high - low) * i / (COUNT - 1));
}

static void exp_is_within_its_error(void **state)
{
    (void)state;
    double worst = 0;
    fill_evenly(-87.3, 88.3);
    sb_exp(y, x, COUNT);
    for (int i = 0; i < COUNT; i++)
        worst = fmax(worst, fabs((double)((y[i] - expl(x[i])) / expl(x[i]))));
    print_message("exp: worst relative error %.2g\n", worst);
    assert_true(worst < 2e-7);
}

static void exp_knows_its_limits(void **state)
{
    (void)state;
    const float in[] = {0.0f, -88.0f, -INFINITY, 89.0f, INFINITY, NAN, -1e30f};
    float out[7];
    sb_exp(out, in, 7);
    assert_true(out[0] == 1.0f && out[1] == 0.0f && out[2] == 0.0f);
    assert_true(isinf(out[3]) && isinf(out[4]) && isnan(out[5]) && out[6] == 0.0f);
}

static void tanh_is_within_its_error(void **state)
{
    (void)state;
    double worst = 0;
    fill_evenly(-12, 12);
    sb_tanh_forward(y, x, COUNT);
    for (int i = 0; i < COUNT; i++)
        if (x[i] != 0)
            worst = fmax(worst, fabs((double)((y[i] - tanhl(x[i])) / tanhl(x[i]))));
    print_message("tanh: worst relative error %.2g\n", worst);
    assert_true(worst < 2e-7);
}

static void check_gelu(enum sb_gelu form, const char *name, double error, double slope_error)
{
    double worst = 0, worst_slope = 0;
    static float plain[COUNT];
    fill_evenly(-10, 10);
    sb_gelu_forward(y, slope, x, COUNT, form);
    sb_gelu_forward(plain, NULL, x, COUNT, form);
    assert_memory_equal(plain, y, sizeof(plain));
    for (int i = 0; i < COUNT; i++) {
        double in = x[i], h = 1e-5, size = fmax(1.0, fabs(in) / 4);
        double difference = (sb_gelu_ref(in + h, form) - sb_gelu_ref(in - h, form)) / (2 * h);
        worst = fmax(worst, fabs(y[i] - sb_gelu_ref(in, form)) / size);
        worst_slope = fmax(worst_slope, fabs(slope[i] - difference));
    }
    print_message("gelu %s: worst error %.2g, of its slope %.2g\n", name, worst, worst_slope);
    assert_true(worst < error);
    assert_true(worst_slope < slope_error);
}

static void gelu_and_its_slope_are_within_their_error(void **state)
{
    (void)state;
    check_gelu(SB_GELU_IS_ERF, "erf", 4e-7, 3e-7);
    check_gelu(SB_GELU_IS_TANH, "tanh", 6e-7, 3e-6);
}

static void gelu_far_out_is_zero_or_the_identity(void **state)
{
    (void)state;
    const float in[] = {-60.0f, 60.0f, -1e4f, 1e4f};
    for (int form = SB_GELU_IS_ERF; form <= SB_GELU_IS_TANH; form++) {
        float out[4], d[4];
        sb_gelu_forward(out, d, in, 4, (enum sb_gelu)form);
        for (int i = 0; i < 4; i++) {
            assert_true(out[i] == (in[i] > 0 ? in[i] : 0.0f));
            assert_true(d[i] == (in[i] > 0 ? 1.0f : 0.0f));
        }
    }
}

static void tanh_backward_matches_finite_difference(void **state)
{
    (void)state;
    float dy[64], dx[64];
    sb_test_fill(x, 64, 1, -3, 3);
    sb_test_fill(dy, 64, 2, -1, 1);
    sb_tanh_forward(y, x, 64);
    sb_tanh_backward(dx, dy, y, 64);
    for (int i = 0; i < 64; i++) {
        double h = 1e-6, slope_ref = (tanh(x[i] + h) - tanh(x[i] - h)) / (2 * h);
        assert_true(fabs(dx[i] - dy[i] * slope_ref) < 1e-6);
    }
}

static void how_a_range_is_cut_leaves_no_trace(void **state)
{
    (void)state;
    enum { N = 203 };
    float whole[2][N], cut[2][N];
    sb_test_fill(x, N, 3, -5, 5);
    sb_gelu_forward(whole[0], whole[1], x, N, SB_GELU_IS_ERF);
    for (size_t first = 0, piece = 1; first < N; first += piece, piece = piece % 29 + 1) {
        size_t count = N - first < piece ? N - first : piece;
        sb_gelu_forward(cut[0] + first, cut[1] + first, x + first, count, SB_GELU_IS_ERF);
    }
    assert_memory_equal(whole, cut, sizeof(whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_its_error),
        cmocka_unit_test(exp_knows_its_limits),
        cmocka_unit_test(tanh_is_within_its_error),
        cmocka_unit_test(gelu_and_its_slope_are_within_their_error),
        cmocka_unit_test(gelu_far_out_is_zero_or_the_identity),
        cmocka_unit_test(tanh_backward_matches_finite_difference),
        cmocka_unit_test(how_a_range_is_cut_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
