/* When the clock asks for a checkpoint. */
#include "save_interval.h"
#include "support.h"

static struct sb_job job_of(const char *a, const char *b)
{
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    sb_job_init(&job);
    if (a)
        assert_int_equal(sb_job_set(&job, a, &err), 0);
    if (b)
        assert_int_equal(sb_job_set(&job, b, &err), 0);
    return job;
}

static double interval_of(const char *a, const char *b, double stall_s, double write_s)
{
    struct sb_job job = job_of(a, b);
    double seconds = sb_save_interval_s(&job, stall_s, write_s);
    sb_job_release(&job);
    return seconds;
}

static double interval(const char *a, const char *b, double stall_s)
{
    return interval_of(a, b, stall_s, 0);
}

static void the_root_of_twice_cost_times_failures_is_taken(void **state)
{
    (void)state;
    /* sqrt(2 * 0.01 * 86400) = 41.569 */
    assert_float_equal(interval(NULL, NULL, 0.01), 41.5692, 1e-4);
    /* sqrt(2 * 0.5 * 100) = 10 */
    assert_float_equal(interval("failure_interval_s=100", NULL, 0.5), 10, 1e-12);
}

static void lost_work_is_bounded_where_checkpoints_are_cheap(void **state)
{
    (void)state;
    assert_float_equal(interval(NULL, NULL, 0.3), 60, 0); /* the root is 228 */
    assert_float_equal(interval(NULL, NULL, 0), 60, 0);   /* not measured yet */
    assert_float_equal(interval(NULL, NULL, 1), 200, 0);  /* 0.5 % of the time */
    assert_float_equal(interval("max_lost_s=900", NULL, 1), 415.692, 1e-3);
}

static void a_given_interval_or_count_is_heeded(void **state)
{
    (void)state;
    assert_float_equal(interval("save_interval_s=7", NULL, 100), 7, 0);
    assert_float_equal(interval("save_steps=10", NULL, 0.1), 0, 0);
    assert_float_equal(interval("save_steps=10", "save_interval_s=7", 0.1), 7, 0);
}

/* The run goes on meanwhile: a twentieth of the time counts. */
static void writing_beside_the_training_costs_a_share_of_its_time(void **state)
{
    (void)state;
    assert_float_equal(interval_of(NULL, NULL, 0.01, 0.2), interval(NULL, NULL, 0.02), 1e-9);
    assert_float_equal(interval_of(NULL, NULL, 0, 20), 200, 1e-9);
}

static void two_checkpoints_are_never_due_at_once(void **state)
{
    (void)state;
    /* The root is sqrt(2 * 1 * 10) = 4.5 s: less than writing takes. */
    assert_float_equal(interval_of("failure_interval_s=10", NULL, 0, 20), 40, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_of_twice_cost_times_failures_is_taken),
        cmocka_unit_test(lost_work_is_bounded_where_checkpoints_are_cheap),
        cmocka_unit_test(writing_beside_the_training_costs_a_share_of_its_time),
        cmocka_unit_test(two_checkpoints_are_never_due_at_once),
        cmocka_unit_test(a_given_interval_or_count_is_heeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
