/* What the cluster promises about losses that compare the items of different slots. */
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
        .steps = 6,
        .grouped = true,
        .checksum = true,
        .network = seed % 2 ? rough : rough_wire,
        .weight_decay = 0.1,
    };
}

static bool same_weights(const struct sim_result *a, const struct sim_result *b)
{
    return a->weights && b->weights && a->float_count == b->float_count &&
           !memcmp(a->weights, b->weights, a->float_count * sizeof(float));
}

/* Returns how many workers were lost. */
static unsigned expect_reference(const struct sim_options *o)
{
    struct sim_result run, reference;
    sim_reference(o, &reference);
    sim_run(o, &run);
    if (run.code != 0 || !same_weights(&run, &reference) ||
        run.step_count != reference.step_count ||
        memcmp(run.steps, reference.steps, run.step_count * sizeof(*run.steps)) != 0)
        fail_msg("seed %" PRIu64
                 ", %u servers, %u workers: code %d '%s', %zu steps; weights or losses differ",
                 o->seed, o->servers, o->workers, run.code, run.sentence, run.step_count);
    unsigned lost = run.lost;
    sim_result_release(&run);
    sim_result_release(&reference);
    return lost;
}

static void a_calm_cluster_that_compares_slots_equals_the_loop(void **state)
{
    (void)state;
    struct sim_options options = options_of(1, 1, 1);
    options.network = calm;
    expect_reference(&options);
}

/* Negative control: the loop without the group ends elsewhere. */
static void the_group_is_seen_in_the_weights(void **state)
{
    (void)state;
    struct sim_options options = options_of(1, 1, 1);
    struct sim_result with, without;
    sim_reference(&options, &with);
    options.grouped = false;
    sim_reference(&options, &without);
    assert_false(same_weights(&with, &without));
    sim_result_release(&with);
    sim_result_release(&without);
}

static void groups_on_any_counts_and_any_network_give_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t servers[] = {1, 2, 4}, workers[] = {1, 2, 3, 5};
    uint64_t seed = 1;
    for (int round = 0; round < 3; round++)
        for (size_t s = 0; s < 3; s++)
            for (size_t w = 0; w < 4; w++) {
                struct sim_options options = options_of(seed, servers[s], workers[w]);
                options.dense = seed++ % 5 == 0;
                expect_reference(&options);
            }
}

static void more_workers_than_slots_of_a_group_leave_some_idle(void **state)
{
    (void)state;
    struct sim_options options = options_of(3, 2, 7);
    options.slots = 4;
    expect_reference(&options);
    options.slots = 1;
    expect_reference(&options);
}

static void
a_worker_that_dies_before_or_after_publishing_leaves_its_share_to_the_others(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 2 + seed % 4);
        options.kill_at = 1 + seed % 5;
        options.killed = (uint32_t)(seed % options.workers);
        lost += expect_reference(&options);
    }
    assert_true(lost >= 12);
}

static void a_worker_that_comes_back_publishes_and_asks_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4);
        options.kill_at = 1 + seed % 5;
        options.killed = (uint32_t)(seed % options.workers);
        options.revive = true;
        expect_reference(&options);
    }
}

static void stopped_and_resumed_groups_equal_an_uninterrupted_run(void **state)
{
    (void)state;
    for (uint64_t stop_at = 1; stop_at < 6; stop_at++) {
        struct sb_disk *disk = sim_disk_new();
        struct sim_result first, second, reference;
        struct sim_options options = options_of(10 + stop_at, 1 + stop_at % 3, 1 + stop_at % 4);
        sim_reference(&options, &reference);
        options.disk = disk;
        options.stop_at = stop_at;
        sim_run(&options, &first);
        assert_int_equal(first.code, SB_ERR_TERMINATE);
        options = options_of(30 + stop_at, 1 + (stop_at + 1) % 3, 1 + (stop_at + 2) % 4);
        options.disk = disk;
        sim_run(&options, &second);
        assert_int_equal(second.code, 0);
        assert_int_equal(first.step_count + second.step_count, options.steps);
        assert_true(same_weights(&second, &reference));
        sim_result_release(&first);
        sim_result_release(&second);
        sim_result_release(&reference);
        sim_disk_free(&disk);
    }
}

static void silence_while_vectors_are_published_ends_the_run_and_names_the_slots(void **state)
{
    (void)state;
    struct sim_options options = options_of(5, 2, 1);
    struct sim_result run;
    options.silent_at = 3;
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_PEER);
    assert_non_null(strstr(run.sentence, "no progress for 30 s"));
    assert_non_null(strstr(run.sentence, "slots of worker:"));
    sim_result_release(&run);
}

static void vectors_that_are_not_finite_stop_the_run(void **state)
{
    (void)state;
    struct sim_options options = options_of(5, 2, 3);
    struct sim_result run;
    options.nonfinite_at = 3;
    sim_run(&options, &run);
    assert_int_equal(run.code, SB_ERR_DATA);
    assert_non_null(strstr(run.sentence, "the vectors of step 3 are not finite"));
    assert_int_equal(run.step_count, 2);
    sim_result_release(&run);
}

static void steps_whose_vectors_are_not_finite_are_skipped(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct sim_options options = options_of(seed, 1 + seed % 3, 1 + seed % 4);
        struct sim_result run, reference;
        options.nonfinite_at = 2;
        options.nonfinite_steps = 1 + seed % 3;
        options.skip_nonfinite = true;
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        if (run.code != 0)
            fail_msg("seed %" PRIu32 ": %s", seed, run.sentence);
        assert_int_equal(run.step_count, options.steps);
        assert_memory_equal(run.weights, reference.weights, run.float_count * sizeof(float));
        sim_result_release(&run);
        sim_result_release(&reference);
    }
}

static void forged_messages_about_groups_stop_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
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
        cmocka_unit_test(a_calm_cluster_that_compares_slots_equals_the_loop),
        cmocka_unit_test(the_group_is_seen_in_the_weights),
        cmocka_unit_test(groups_on_any_counts_and_any_network_give_the_same_bits),
        cmocka_unit_test(more_workers_than_slots_of_a_group_leave_some_idle),
        cmocka_unit_test(
            a_worker_that_dies_before_or_after_publishing_leaves_its_share_to_the_others),
        cmocka_unit_test(a_worker_that_comes_back_publishes_and_asks_again),
        cmocka_unit_test(stopped_and_resumed_groups_equal_an_uninterrupted_run),
        cmocka_unit_test(silence_while_vectors_are_published_ends_the_run_and_names_the_slots),
        cmocka_unit_test(vectors_that_are_not_finite_stop_the_run),
        cmocka_unit_test(steps_whose_vectors_are_not_finite_are_skipped),
        cmocka_unit_test(forged_messages_about_groups_stop_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
