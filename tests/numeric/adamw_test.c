#include "adamw.h"
#include "support.h"

#include <math.h>
#include <string.h>

enum { COUNT = 1003, STEPS = 20 };

static const double LR = 1e-3, DECAY = 0.01, BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

static double gradient_at(int i, int step)
{
    return 3.0 * sin(0.37 * i + 1.7 * step) + 0.1;
}

static struct sb_adamw at(int step, double scale)
{
    return sb_adamw_at(LR, DECAY, BETA1, BETA2, EPSILON, (uint64_t)step, scale);
}

static void matches_the_formula_in_double(void **state)
{
    (void)state;
    static float w[COUNT], m[COUNT], v[COUNT], grad[COUNT];
    static double w_ref[COUNT], m_ref[COUNT], v_ref[COUNT];
    for (int i = 0; i < COUNT; i++) {
        w[i] = (float)cos(0.11 * i);
        w_ref[i] = w[i];
        m[i] = v[i] = 0;
        m_ref[i] = v_ref[i] = 0;
    }
    double scale = 0.125;
    for (int step = 1; step <= STEPS; step++) {
        struct sb_adamw adamw = at(step, scale);
        for (int i = 0; i < COUNT; i++) {
            grad[i] = (float)gradient_at(i, step);
            double g = (double)grad[i] * scale;
            w_ref[i] *= 1 - LR * DECAY;
            m_ref[i] = BETA1 * m_ref[i] + (1 - BETA1) * g;
            v_ref[i] = BETA2 * v_ref[i] + (1 - BETA2) * g * g;
            w_ref[i] -= LR / (1 - pow(BETA1, step)) * m_ref[i] /
                        (sqrt(v_ref[i]) / sqrt(1 - pow(BETA2, step)) + EPSILON);
        }
        sb_adamw_apply(w, m, v, w, grad, COUNT, &adamw);
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(fabs(w[i] - w_ref[i]) < 2e-6);
}

static void a_range_gives_the_same_bits_however_it_is_cut(void **state)
{
    (void)state;
    static float w[2][COUNT], m[2][COUNT], v[2][COUNT], grad[COUNT], fresh[COUNT];
    for (int i = 0; i < COUNT; i++) {
        w[0][i] = (float)cos(0.11 * i);
        m[0][i] = (float)sin(0.5 * i) * 0.01f;
        v[0][i] = (float)fabs(sin(0.3 * i)) * 0.01f;
        grad[i] = (float)gradient_at(i, 1);
    }
    memcpy(w[1], w[0], sizeof(w[0]));
    memcpy(m[1], m[0], sizeof(m[0]));
    memcpy(v[1], v[0], sizeof(v[0]));
    struct sb_adamw adamw = at(3, 0.01);
    sb_adamw_apply(fresh, m[0], v[0], w[0], grad, COUNT, &adamw);
    for (size_t start = 0, piece = 1; start < COUNT; start += piece, piece = piece % 37 + 1) {
        size_t count = COUNT - start < piece ? COUNT - start : piece;
        sb_adamw_apply(w[1] + start, m[1] + start, v[1] + start, w[1] + start, grad + start, count,
                       &adamw);
    }
    assert_memory_equal(fresh, w[1], sizeof(fresh));
    assert_memory_equal(m[0], m[1], sizeof(m[0]));
    assert_memory_equal(v[0], v[1], sizeof(v[0]));
}

static void no_gradient_is_a_gradient_of_zeros(void **state)
{
    (void)state;
    static float w[2][COUNT], m[2][COUNT], v[2][COUNT], zeros[COUNT];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < COUNT; i++) {
            w[k][i] = (float)cos(0.11 * i);
            m[k][i] = (float)sin(0.5 * i) * 0.01f;
            v[k][i] = (float)fabs(sin(0.3 * i)) * 0.01f;
        }
    for (int step = 5; step < 9; step++) {
        struct sb_adamw adamw = at(step, 0.3);
        sb_adamw_apply(w[0], m[0], v[0], w[0], NULL, COUNT, &adamw);
        sb_adamw_apply(w[1], m[1], v[1], w[1], zeros, COUNT, &adamw);
    }
    assert_memory_equal(w[0], w[1], sizeof(w[0]));
    assert_memory_equal(m[0], m[1], sizeof(m[0]));
    assert_memory_equal(v[0], v[1], sizeof(v[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_formula_in_double),
        cmocka_unit_test(a_range_gives_the_same_bits_however_it_is_cut),
        cmocka_unit_test(no_gradient_is_a_gradient_of_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
