#include "arrays.h"
#include "norm.h"
#include "norm_ref.h"
#include "support.h"

#include <string.h>

enum { N = 5, C_MAX = 768 };

static float x[N * C_MAX], y[N * C_MAX], gamma_[C_MAX], beta[C_MAX], mean[N], rstd[N];
static double x_ref[N * C_MAX], y_ref[N * C_MAX], gamma_ref[C_MAX], beta_ref[C_MAX];

static void fill(size_t C, double offset)
{
    sb_test_fill(x, N * C, 1, offset - 2, offset + 2);
    sb_test_fill(gamma_, C, 2, 0.5, 1.5);
    sb_test_fill(beta, C, 3, -1, 1);
    sb_test_widen(x_ref, x, N * C);
    sb_test_widen(gamma_ref, gamma_, C);
    sb_test_widen(beta_ref, beta, C);
}

static double forward_error(size_t C, double offset)
{
    fill(C, offset);
    sb_layernorm_forward(y, mean, rstd, x, gamma_, beta, N, C, 1e-12);
    sb_layernorm_forward_ref(y_ref, x_ref, gamma_ref, beta_ref, N, C, 1e-12);
    return sb_test_worst(y, y_ref, N * C);
}

static void layernorm_matches_its_definition(void **state)
{
    (void)state;
    const size_t sizes[] = {15, 16, 33, 128, 768};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        double error = forward_error(sizes[i], 0);
        print_message("C = %zu: worst error %.2g\n", sizes[i], error);
        assert_true(error < 1e-6);
    }
}

static void layernorm_survives_a_large_common_offset(void **state)
{
    (void)state;
    /* x itself has only 6e-5 of resolution there; the float mean is off by half of that. */
    assert_true(forward_error(768, 1000) < 1e-4);
}

static void layernorm_of_equal_values_is_beta(void **state)
{
    (void)state;
    fill(48, 0);
    for (int i = 0; i < 48; i++)
        x[i] = 0.75f;
    sb_layernorm_forward(y, mean, rstd, x, gamma_, beta, 1, 48, 1e-12);
    assert_memory_equal(y, beta, 48 * sizeof(float));
}

/* sum over all of y * dy: the scalar whose gradient sb_layernorm_backward gives. */
static double value(const double *dy, size_t C)
{
    double sum = 0;
    sb_layernorm_forward_ref(y_ref, x_ref, gamma_ref, beta_ref, N, C, 1e-12);
    for (size_t i = 0; i < N * C; i++)
        sum += y_ref[i] * dy[i];
    return sum;
}

static void check_differences(double *place, const float *gradient, size_t count, const double *dy,
                              size_t C)
{
    double h = 1e-5;
    for (size_t i = 0; i < count; i++) {
        double kept = place[i];
        place[i] = kept + h;
        double up = value(dy, C);
        place[i] = kept - h;
        double down = value(dy, C);
        place[i] = kept;
        assert_true(fabs((up - down) / (2 * h) - gradient[i]) < 5e-6);
    }
}

static void layernorm_gradient_matches_finite_difference(void **state)
{
    (void)state;
    const size_t sizes[] = {3, 16, 37, 64};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t C = sizes[s];
        static float dy[N * C_MAX], dx[N * C_MAX], dgamma[C_MAX], dbeta[C_MAX];
        static double dy_ref[N * C_MAX];
        fill(C, 0.5);
        sb_test_fill(dy, N * C, 4, -1, 1);
        sb_test_widen(dy_ref, dy, N * C);
        memset(dgamma, 0, sizeof(dgamma));
        memset(dbeta, 0, sizeof(dbeta));
        sb_layernorm_forward(y, mean, rstd, x, gamma_, beta, N, C, 1e-12);
        sb_layernorm_backward(dx, dgamma, dbeta, dy, x, mean, rstd, gamma_, N, C);
        check_differences(x_ref, dx, N * C, dy_ref, C);
        check_differences(gamma_ref, dgamma, C, dy_ref, C);
        check_differences(beta_ref, dbeta, C, dy_ref, C);
    }
}

static void layernorm_backward_adds_to_the_gradients_of_its_weights(void **state)
{
    (void)state;
    enum { C = 32 };
    static float dy[N * C], dx[N * C], once[2][C], twice[2][C];
    fill(C, 0);
    sb_test_fill(dy, N * C, 4, -1, 1);
    sb_layernorm_forward(y, mean, rstd, x, gamma_, beta, N, C, 1e-12);
    sb_layernorm_backward(dx, once[0], once[1], dy, x, mean, rstd, gamma_, N, C);
    for (int i = 0; i < 2; i++)
        sb_layernorm_backward(dx, twice[0], twice[1], dy, x, mean, rstd, gamma_, N, C);
    for (int i = 0; i < C; i++) {
        assert_true(fabsf(twice[0][i] - 2 * once[0][i]) < 1e-5f);
        assert_true(fabsf(twice[1][i] - 2 * once[1][i]) < 1e-5f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_matches_its_definition),
        cmocka_unit_test(layernorm_survives_a_large_common_offset),
        cmocka_unit_test(layernorm_of_equal_values_is_beta),
        cmocka_unit_test(layernorm_gradient_matches_finite_difference),
        cmocka_unit_test(layernorm_backward_adds_to_the_gradients_of_its_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
