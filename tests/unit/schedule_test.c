/* Expected rates are worked out by hand from the formulas of transformers' optimization.py. */
#include "schedule.h"

#include "support.h"

#include <math.h>

static struct sb_job job_of(const char *type, const char *warmup)
{
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    char text[128];
    sb_job_init(&job);
    snprintf(text, sizeof(text), "lr_scheduler_type=%s", type);
    if (sb_job_set(&job, text, &err) < 0 || sb_job_set(&job, warmup, &err) < 0 ||
        sb_job_set(&job, "learning_rate=0.001", &err) < 0)
        fail_msg("%s", err.text);
    return job;
}

struct point {
    uint64_t step;
    double rate; /* as a share of learning_rate */
};

/* 100 steps, the first 10 of them warmup unless said otherwise. */
static void expect(const char *type, const char *warmup, const struct point *points, size_t count)
{
    struct sb_job job = job_of(type, warmup);
    for (size_t i = 0; i < count; i++) {
        double rate = sb_schedule_rate(&job, points[i].step, 100);
        if (fabs(rate - 0.001 * points[i].rate) > 1e-17)
            fail_msg("%s at %d: %.17g, expected %.17g", type, (int)points[i].step, rate,
                     0.001 * points[i].rate);
    }
    sb_job_release(&job);
}
#define EXPECT(type, warmup, ...)                                                                  \
    do {                                                                                           \
        const struct point points_[] = {__VA_ARGS__};                                              \
        expect(type, warmup, points_, sizeof(points_) / sizeof(points_[0]));                       \
    } while (0)

static void linear_rises_to_the_peak_and_falls_to_zero(void **state)
{
    (void)state;
    EXPECT("linear", "warmup_steps=10", {0, 0}, {1, 0.1}, {9, 0.9}, {10, 1}, {55, 0.5},
           {99, 1. / 90}, {100, 0}, {101, 0});
    EXPECT("linear", "warmup_steps=0", {0, 1}, {50, 0.5}, {100, 0});
}

static void cosine_is_half_a_wave(void **state)
{
    (void)state;
    EXPECT("cosine", "warmup_steps=10", {5, 0.5}, {10, 1}, {40, 0.75}, {55, 0.5}, {70, 0.25},
           {100, 0});
}

static void cosine_with_restarts_has_one_cycle_and_ends_at_zero(void **state)
{
    (void)state;
    EXPECT("cosine_with_restarts", "warmup_steps=10", {10, 1}, {40, 0.75}, {55, 0.5}, {100, 0},
           {120, 0});
}

static void constant_ignores_the_warmup(void **state)
{
    (void)state;
    EXPECT("constant", "warmup_steps=10", {0, 1}, {5, 1}, {100, 1});
    EXPECT("constant_with_warmup", "warmup_steps=10", {0, 0}, {5, 0.5}, {10, 1}, {100, 1});
}

static void polynomial_falls_straight_to_1e_7(void **state)
{
    (void)state;
    EXPECT("polynomial", "warmup_steps=10", {5, 0.5}, {10, 1},
           {55, (0.5 * (1e-3 - 1e-7) + 1e-7) / 1e-3}, {100, 1e-4}, {200, 1e-4});
}

static void inverse_sqrt_is_one_at_the_end_of_the_warmup(void **state)
{
    (void)state;
    EXPECT("inverse_sqrt", "warmup_steps=10", {5, 0.5}, {10, 1}, {40, 0.5}, {90, 1. / 3});
    EXPECT("inverse_sqrt", "warmup_steps=0", {0, 1}, {30000, 0.5});
}

static void a_warmup_ratio_is_rounded_up(void **state)
{
    (void)state;
    struct sb_job job = job_of("linear", "warmup_ratio=0.101");
    assert_int_equal(sb_schedule_warmup_steps(&job, 100), 11);
    assert_int_equal(sb_schedule_warmup_steps(&job, 0), 0);
    sb_job_release(&job);
}

static void a_warmup_longer_than_the_run_never_divides_by_zero(void **state)
{
    (void)state;
    static const char *types[] = {"linear",       "cosine",   "cosine_with_restarts", "polynomial",
                                  "inverse_sqrt", "constant", "constant_with_warmup"};
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        struct sb_job job = job_of(types[t], "warmup_steps=100");
        for (uint64_t step = 0; step < 200; step++)
            for (uint64_t total = 0; total < 200; total += 25)
                assert_true(isfinite(sb_schedule_rate(&job, step, total)) &&
                            sb_schedule_rate(&job, step, total) >= 0);
        sb_job_release(&job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_rises_to_the_peak_and_falls_to_zero),
        cmocka_unit_test(cosine_is_half_a_wave),
        cmocka_unit_test(cosine_with_restarts_has_one_cycle_and_ends_at_zero),
        cmocka_unit_test(constant_ignores_the_warmup),
        cmocka_unit_test(polynomial_falls_straight_to_1e_7),
        cmocka_unit_test(inverse_sqrt_is_one_at_the_end_of_the_warmup),
        cmocka_unit_test(a_warmup_ratio_is_rounded_up),
        cmocka_unit_test(a_warmup_longer_than_the_run_never_divides_by_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
