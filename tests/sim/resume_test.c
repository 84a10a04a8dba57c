/* What the cluster promises about stopping, checkpoints, evaluations and going on. */
#include "sim.h"
#include "support.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const struct sim_network rough = {.drop = 60, .repeat = 80, .delay_ms_max = 40};

static struct sim_options options_of(uint64_t seed, uint32_t servers, uint32_t workers,
                                     struct sb_disk *disk)
{
    return (struct sim_options){
        .seed = seed,
        .servers = servers,
        .workers = workers,
        .slots = 8,
        .steps = 10,
        .checksum = true,
        .network = rough,
        .weight_decay = 0.1,
        .disk = disk,
    };
}

static bool same_weights(const struct sim_result *a, const struct sim_result *b)
{
    return a->weights && b->weights &&
           !memcmp(a->weights, b->weights, a->float_count * sizeof(float));
}

/* All of the history but the wall clock. */
static bool same_history(const struct sim_result *a, const struct sim_result *b)
{
    json_t *left = json_loads(a->history, 0, NULL), *right = json_loads(b->history, 0, NULL);
    assert_non_null(left);
    assert_non_null(right);
    static const char *const clocked[] = {"train_runtime", "train_samples_per_second",
                                          "train_steps_per_second"};
    for (size_t i = 0; i < sizeof(clocked) / sizeof(*clocked); i++) {
        json_object_del(left, clocked[i]);
        json_object_del(right, clocked[i]);
    }
    bool same = json_equal(left, right);
    json_decref(left);
    json_decref(right);
    return same;
}

static void stopped_and_resumed_with_other_counts_equals_uninterrupted(void **state)
{
    (void)state;
    struct sim_result whole;
    struct sim_options options = options_of(1, 1, 1, NULL);
    sim_run(&options, &whole);
    assert_int_equal(whole.code, 0);
    assert_true(whole.evaluations == 4); /* steps 4, 8, 10, and the test set */
    for (uint64_t stop_at = 1; stop_at < 10; stop_at++) {
        struct sb_disk *disk = sim_disk_new();
        struct sim_result first, second;
        options = options_of(10 + stop_at, 1 + stop_at % 3, 1 + stop_at % 4, disk);
        options.stop_at = stop_at;
        sim_run(&options, &first);
        if (first.code != SB_ERR_TERMINATE || first.saves != 1)
            fail_msg("stop at %" PRIu64 ": code %d '%s', %u saves", stop_at, first.code,
                     first.sentence, first.saves);
        options = options_of(30 + stop_at, 1 + (stop_at + 1) % 3, 1 + (stop_at + 2) % 4, disk);
        sim_run(&options, &second);
        assert_int_equal(second.code, 0);
        assert_int_equal(first.step_count + second.step_count, 10);
        if (!same_weights(&whole, &second) || !same_history(&whole, &second))
            fail_msg("stop at %" PRIu64 ": weights or history differ", stop_at);
        sim_result_release(&first);
        sim_result_release(&second);
        sim_disk_free(&disk);
    }
    sim_result_release(&whole);
}

/* Also where the stop comes before the evaluation of its step, which turns out to be the best. */
static void the_best_model_is_the_same_wherever_the_run_was_stopped(void **state)
{
    (void)state;
    struct sim_result whole;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 1, 1, disk);
    options.keep_first = true;
    sim_run(&options, &whole);
    assert_int_equal(whole.code, 0);
    sim_disk_free(&disk);
    for (uint64_t stop_at = 3; stop_at < 10; stop_at++) {
        struct sim_result first, second;
        disk = sim_disk_new();
        options = options_of(50 + stop_at, 2, 2, disk);
        options.keep_first = true;
        options.stop_at = stop_at;
        sim_run(&options, &first);
        assert_int_equal(first.code, SB_ERR_TERMINATE);
        options.stop_at = 0;
        sim_run(&options, &second);
        assert_int_equal(second.code, 0);
        if (!same_weights(&whole, &second) || !same_history(&whole, &second))
            fail_msg("stop at %" PRIu64 ": weights or history differ", stop_at);
        sim_result_release(&first);
        sim_result_release(&second);
        sim_disk_free(&disk);
    }
    sim_result_release(&whole);
}

static void a_run_that_saves_often_equals_one_that_does_not(void **state)
{
    (void)state;
    struct sim_result plain, saving;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 2, 3, NULL);
    sim_run(&options, &plain);
    options.disk = disk;
    options.save_steps = 3;
    sim_run(&options, &saving);
    assert_int_equal(saving.saves, 4);
    assert_true(same_weights(&plain, &saving));
    sim_result_release(&plain);
    sim_result_release(&saving);
    sim_disk_free(&disk);
}

static void a_failed_write_costs_only_that_checkpoint(void **state)
{
    (void)state;
    struct sim_result reference, run;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 2, 2, disk);
    options.save_steps = 4;
    sim_disk_fail_writes(disk, 1);
    sim_reference(&options, &reference);
    sim_run(&options, &run);
    assert_int_equal(run.code, 0);
    assert_int_equal(run.save_failures, 1);
    assert_int_equal(run.saves, 2);
    assert_true(same_weights(&run, &reference));
    sim_result_release(&run);
    sim_result_release(&reference);
    sim_disk_free(&disk);
}

/* Writing takes many steps: each goes on, what comes due meanwhile is left out, and the end waits.
 */
static void steps_are_committed_while_a_checkpoint_is_written(void **state)
{
    (void)state;
    unsigned beside = 0, left_out = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_result reference, run;
        struct sb_disk *disk = sim_disk_new();
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4, disk);
        options.save_steps = 2;
        sim_disk_slow(disk, seed, 5000);
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        assert_int_equal(run.code, 0);
        assert_true(same_weights(&run, &reference));
        assert_int_equal(run.newest_saved, 10); /* that of the end is always made */
        assert_int_equal(run.saves + run.saves_left_out, 5);
        assert_int_equal(run.save_failures, 0);
        beside += run.steps_beside;
        left_out += run.saves_left_out;
        sim_result_release(&run);
        sim_result_release(&reference);
        sim_disk_free(&disk);
    }
    assert_true(beside > 10);
    assert_true(left_out > 10);
}

/* What is kept while steps go on is what a run that stopped there would have written. */
static void
a_checkpoint_that_was_written_beside_the_training_resumes_with_the_same_bits(void **state)
{
    (void)state;
    struct sim_result whole;
    struct sim_options options = options_of(1, 1, 1, NULL);
    options.save_steps = 2;
    sim_run(&options, &whole);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_result first, second;
        struct sb_disk *disk = sim_disk_new();
        options = options_of(seed, 1 + seed % 3, 1 + seed % 4, disk);
        options.save_steps = 2;
        options.stop_at = 7;
        sim_disk_slow(disk, seed, 3000);
        sim_disk_fail_step(disk, 7); /* that of the stop: an earlier one is taken */
        sim_run(&options, &first);
        options.stop_at = 0;
        sim_run(&options, &second);
        assert_int_equal(second.code, 0);
        assert_true(second.first_step < 7);
        if (!same_weights(&whole, &second) || !same_history(&whole, &second))
            fail_msg("seed %" PRIu64 ": weights or history differ", seed);
        sim_result_release(&first);
        sim_result_release(&second);
        sim_disk_free(&disk);
    }
    sim_result_release(&whole);
}

static void a_thread_that_does_not_start_costs_only_that_checkpoint(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures <= 3; failures++) {
        struct sim_result reference, run;
        struct sb_disk *disk = sim_disk_new();
        struct sim_options options = options_of(1, 2, 2, disk);
        options.save_steps = 4;
        sim_disk_fail_starts(disk, failures);
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        assert_int_equal(run.code, 0);
        assert_in_range(run.save_failures, 1, 2);
        assert_true(run.saves >= 1);
        assert_true(same_weights(&run, &reference));
        sim_result_release(&run);
        sim_result_release(&reference);
        sim_disk_free(&disk);
    }
}

/* The disk was full when the best was to be kept: who asked for it hears that this is another. */
static void a_best_model_that_was_not_kept_is_missed_aloud(void **state)
{
    (void)state;
    struct sim_result run;
    for (unsigned failures = 0; failures < 2; failures++) {
        struct sb_disk *disk = sim_disk_new();
        struct sim_options options = options_of(1, 2, 2, disk);
        options.keep_first = true;
        sim_disk_fail_writes(disk, failures);
        sim_run(&options, &run);
        assert_int_equal(run.code, 0);
        assert_int_equal(run.save_failures, failures);
        assert_int_equal(run.warnings, failures);
        sim_result_release(&run);
        sim_disk_free(&disk);
    }
}

static void a_stop_without_a_checkpoint_says_so(void **state)
{
    (void)state;
    struct sim_result run;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 2, 2, disk);
    options.stop_at = 3;
    sim_disk_fail_writes(disk, 2);
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_IO);
    sim_result_release(&run);
    sim_disk_free(&disk);
}

static void a_finished_run_starts_and_ends_again_without_a_step(void **state)
{
    (void)state;
    struct sim_result first, second;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 2, 2, disk);
    sim_run(&options, &first);
    sim_run(&options, &second);
    assert_int_equal(second.code, 0);
    assert_int_equal(second.step_count, 0);
    assert_int_equal(second.saves + second.evaluations, 0);
    assert_true(same_weights(&first, &second));
    assert_true(same_history(&first, &second));
    sim_result_release(&first);
    sim_result_release(&second);
    sim_disk_free(&disk);
}

static void other_settings_are_refused_with_the_key(void **state)
{
    (void)state;
    struct sim_result first, second;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 2, 2, disk);
    options.stop_at = 5;
    sim_run(&options, &first);
    options.stop_at = 0;
    options.weight_decay = 0.2;
    sim_run(&options, &second);
    assert_int_equal(second.code, SB_ERR_CONFIG);
    assert_non_null(strstr(second.sentence, "checkpoint-5"));
    assert_non_null(strstr(second.sentence, "weight_decay is 0.2 here, 0.1 there"));
    assert_non_null(strstr(second.sentence, "--fresh"));
    sim_result_release(&first);
    sim_result_release(&second);
    sim_disk_free(&disk);
}

static void another_plan_is_refused_with_both_numbers(void **state)
{
    (void)state;
    struct sim_result first, second;
    struct sb_disk *disk = sim_disk_new();
    struct sim_options options = options_of(1, 1, 2, disk);
    options.stop_at = 5;
    sim_run(&options, &first);
    options.stop_at = 0;
    options.steps = 12;
    sim_run(&options, &second);
    assert_int_equal(second.code, SB_ERR_CONFIG);
    assert_non_null(strstr(second.sentence, "steps in all: 12 at this run, 10 at checkpoint-5"));
    sim_result_release(&first);
    sim_result_release(&second);
    sim_disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_and_resumed_with_other_counts_equals_uninterrupted),
        cmocka_unit_test(the_best_model_is_the_same_wherever_the_run_was_stopped),
        cmocka_unit_test(a_run_that_saves_often_equals_one_that_does_not),
        cmocka_unit_test(a_failed_write_costs_only_that_checkpoint),
        cmocka_unit_test(steps_are_committed_while_a_checkpoint_is_written),
        cmocka_unit_test(
            a_checkpoint_that_was_written_beside_the_training_resumes_with_the_same_bits),
        cmocka_unit_test(a_thread_that_does_not_start_costs_only_that_checkpoint),
        cmocka_unit_test(a_best_model_that_was_not_kept_is_missed_aloud),
        cmocka_unit_test(a_stop_without_a_checkpoint_says_so),
        cmocka_unit_test(a_finished_run_starts_and_ends_again_without_a_step),
        cmocka_unit_test(other_settings_are_refused_with_the_key),
        cmocka_unit_test(another_plan_is_refused_with_both_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
