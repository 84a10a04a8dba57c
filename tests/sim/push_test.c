/* What the cluster promises about gradients, whatever the network does to its messages. */
#include "sim.h"
#include "support.h"

#include <inttypes.h>
#include <string.h>

static const struct sim_network calm = {.delay_ms_max = 3};
static const struct sim_network rough = {.drop = 60, .repeat = 80, .delay_ms_max = 40};
static const struct sim_network rough_wire = {
    .drop = 60, .repeat = 80, .damage = 20, .delay_ms_max = 40, .wire = true};

static struct sim_options options_of(uint64_t seed, uint32_t servers, uint32_t workers)
{
    return (struct sim_options){
        .seed = seed,
        .servers = servers,
        .workers = workers,
        .slots = 8,
        .steps = 7,
        .checksum = true,
        .network = rough,
        .weight_decay = 0.1,
    };
}

static bool same_weights(const struct sim_result *a, const struct sim_result *b)
{
    return a->weights && b->weights && a->float_count == b->float_count &&
           !memcmp(a->weights, b->weights, a->float_count * sizeof(float));
}

static void expect_same(const struct sim_options *o, const struct sim_result *run,
                        const struct sim_result *reference)
{
    if (run->code != 0 || !same_weights(run, reference) ||
        run->step_count != reference->step_count ||
        memcmp(run->steps, reference->steps, run->step_count * sizeof(*run->steps)))
        fail_msg("seed %" PRIu64
                 ", %u servers, %u workers: code %d '%s', %zu steps; weights or losses differ",
                 o->seed, o->servers, o->workers, run->code, run->sentence, run->step_count);
}

static void expect_reference(const struct sim_options *options)
{
    struct sim_result run, reference;
    sim_reference(options, &reference);
    sim_run(options, &run);
    expect_same(options, &run, &reference);
    sim_result_release(&run);
    sim_result_release(&reference);
}

static void a_calm_cluster_equals_the_loop(void **state)
{
    (void)state;
    struct sim_options options = options_of(1, 1, 1);
    options.network = calm;
    expect_reference(&options);
}

static void any_counts_and_any_network_give_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t servers[] = {1, 2, 4}, workers[] = {1, 2, 3, 5};
    uint64_t seed = 1;
    struct sim_result reference;
    struct sim_options options = options_of(0, 1, 1);
    sim_reference(&options, &reference);
    for (int round = 0; round < 20; round++)
        for (size_t s = 0; s < 3; s++)
            for (size_t w = 0; w < 4; w++) {
                struct sim_result run;
                options = options_of(seed++, servers[s], workers[w]);
                options.network = round % 2 ? rough : rough_wire;
                sim_run(&options, &run);
                expect_same(&options, &run, &reference);
                sim_result_release(&run);
            }
    sim_result_release(&reference);
}

static void row_sparse_equals_dense(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_options options = options_of(seed, 2, 3);
        options.weight_decay = seed % 2 ? 0.1 : 0;
        struct sim_result sparse, dense;
        sim_run(&options, &sparse);
        options.dense = true;
        sim_run(&options, &dense);
        expect_same(&options, &sparse, &dense);
        sim_result_release(&sparse);
        sim_result_release(&dense);
    }
}

static void a_tensor_of_many_parts_equals_the_loop(void **state)
{
    (void)state;
    for (int dense = 0; dense < 2; dense++) {
        struct sim_options options = options_of(7, 2, 2);
        options.big = true;
        options.dense = dense;
        options.pool = true;
        options.steps = 4;
        options.slots = 4;
        expect_reference(&options);
    }
}

static void threads_leave_no_trace(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_options options = options_of(seed, 2, 2);
        options.pool = true;
        expect_reference(&options);
    }
}

static void more_workers_than_slots_leave_some_idle(void **state)
{
    (void)state;
    struct sim_options options = options_of(3, 2, 7);
    options.slots = 4;
    expect_reference(&options);
    options.slots = 1;
    expect_reference(&options);
}

static void a_second_copy_of_a_push_is_never_counted(void **state)
{
    (void)state;
    uint64_t duplicates = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_options options = options_of(seed, 2, 3);
        struct sim_result run, reference;
        options.network = seed % 2 ? rough : rough_wire;
        options.network.repeat = 300;
        options.network.poison_repeats = true;
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        expect_same(&options, &run, &reference);
        duplicates += run.duplicates;
        sim_result_release(&run);
        sim_result_release(&reference);
    }
    assert_true(duplicates > 100);
}

/* Negative control: the comparison does see a push that carries other numbers. */
static void a_poisoned_first_copy_is_noticed(void **state)
{
    (void)state;
    struct sim_options options = options_of(1, 2, 3);
    struct sim_result run, reference;
    options.network.poison_first = true;
    sim_reference(&options, &reference);
    sim_run(&options, &run);
    assert_int_equal(run.code, 0);
    assert_false(same_weights(&run, &reference));
    sim_result_release(&run);
    sim_result_release(&reference);
}

static void a_gradient_that_is_not_finite_stops_the_run(void **state)
{
    (void)state;
    struct sim_options options = options_of(5, 2, 3);
    struct sim_result run;
    options.nonfinite_at = 5;
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_DATA);
    assert_non_null(strstr(run.sentence, "step 5 is not finite"));
    if (!strstr(run.sentence, "computed by worker"))
        fail_msg("%s", run.sentence);
    assert_int_equal(run.step_count, 4);
    sim_result_release(&run);
}

static void steps_that_are_not_finite_are_skipped_in_every_shape(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4);
        struct sim_result run, reference;
        options.nonfinite_at = 2;
        options.nonfinite_steps = 1 + seed % 4;
        options.skip_nonfinite = true;
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        assert_int_equal(run.code, 0);
        assert_int_equal(run.step_count, options.steps);
        assert_memory_equal(run.weights, reference.weights, run.float_count * sizeof(float));
        assert_memory_equal(run.steps, reference.steps, options.steps * sizeof(*run.steps));
        sim_result_release(&run);
        sim_result_release(&reference);
    }
}

static void too_many_in_a_row_end_the_run(void **state)
{
    (void)state;
    struct sim_options options = options_of(5, 2, 3);
    struct sim_result run;
    options.steps = 12;
    options.nonfinite_at = 5;
    options.nonfinite_steps = 5;
    options.skip_nonfinite = true;
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_DATA);
    assert_non_null(strstr(run.sentence, "the 5th step in a row"));
    assert_int_equal(run.step_count, 8);
    sim_result_release(&run);
}

static void silence_of_all_workers_ends_the_run_and_names_them(void **state)
{
    (void)state;
    struct sim_options options = options_of(5, 2, 1);
    struct sim_result run;
    options.silent_at = 3;
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_PEER);
    assert_non_null(strstr(run.sentence, "no progress for 30 s"));
    assert_non_null(strstr(run.sentence, "nodes of worker:"));
    sim_result_release(&run);
}

static void a_dead_worker_leaves_its_share_to_the_others(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 2 + seed % 4);
        struct sim_result run, reference;
        options.network = seed % 2 ? rough : rough_wire;
        options.kill_at = 1 + seed % 6;
        options.killed = (uint32_t)(seed % options.workers);
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        lost += run.lost;
        expect_same(&options, &run, &reference);
        sim_result_release(&run);
        sim_result_release(&reference);
    }
    assert_true(lost >= 15);
}

static void a_worker_that_comes_back_takes_its_place(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4);
        options.kill_at = 1 + seed % 6;
        options.killed = (uint32_t)(seed % options.workers);
        options.revive = true;
        expect_reference(&options);
    }
}

/* Whoever speaks, whatever he says: the servers stay up, and the run ends one way or another. */
static void forged_messages_stop_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4);
        struct sim_result run;
        options.network.forge = 400;
        options.checksum = seed % 2;
        sim_run(&options, &run);
        if (run.code < 0)
            fail_msg("seed %" PRIu64 ": no end after %g s", seed, run.virtual_seconds);
        sim_result_release(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_calm_cluster_equals_the_loop),
        cmocka_unit_test(any_counts_and_any_network_give_the_same_bits),
        cmocka_unit_test(row_sparse_equals_dense),
        cmocka_unit_test(a_tensor_of_many_parts_equals_the_loop),
        cmocka_unit_test(threads_leave_no_trace),
        cmocka_unit_test(more_workers_than_slots_leave_some_idle),
        cmocka_unit_test(a_second_copy_of_a_push_is_never_counted),
        cmocka_unit_test(a_poisoned_first_copy_is_noticed),
        cmocka_unit_test(a_gradient_that_is_not_finite_stops_the_run),
        cmocka_unit_test(silence_of_all_workers_ends_the_run_and_names_them),
        cmocka_unit_test(a_dead_worker_leaves_its_share_to_the_others),
        cmocka_unit_test(a_worker_that_comes_back_takes_its_place),
        cmocka_unit_test(forged_messages_stop_nobody),
        cmocka_unit_test(steps_that_are_not_finite_are_skipped_in_every_shape),
        cmocka_unit_test(too_many_in_a_row_end_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
