/*
 * Workers that stand still, or answer and compute nothing, come or leave: the run goes on, and ends
 * with the bits of the loop.  Seeds by SEEDS=first-last.
 */
#include "sim.h"
#include "support.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 60 };

/* A seed names the whole run. */
static struct sim_options options_of(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed,
        .servers = 1 + seed % 3,
        .workers = 2 + seed / 3 % 3,
        .slots = seed % 5 ? 8 : 4,
        .steps = 6 + seed % 7,
        .dense = seed % 4 == 0,
        .grouped = seed % 7 == 3,
        .checksum = true,
        .network = {.drop = seed % 4 * 10,
                    .repeat = seed % 3 * 15,
                    .delay_ms_max = 1 + seed % 20,
                    .wire = true},
        .weight_decay = 0.1,
        .uneven = seed % 2,
    };
}

static bool right(const struct sim_options *o, const struct sim_result *run)
{
    struct sim_result reference;
    sim_reference(o, &reference);
    bool same = run->code == 0 && run->weights && run->step_count == reference.step_count &&
                !memcmp(run->weights, reference.weights, run->float_count * sizeof(float)) &&
                !memcmp(run->steps, reference.steps, o->steps * sizeof(*run->steps));
    sim_result_release(&reference);
    return same;
}

static void read_seeds(uint64_t *first, uint64_t *last)
{
    const char *text = getenv("SEEDS");
    char *end;
    *first = 1;
    *last = SEEDS;
    if (!text)
        return;
    *first = *last = strtoull(text, &end, 10);
    if (*end == '-')
        *last = strtoull(end + 1, NULL, 10);
}

/* worker_timeout_s is 25 here, and all rest together is no more than a few seconds of virtual time.
 */
static void run_seeds(void (*change)(struct sim_options *options, uint64_t seed))
{
    uint64_t first, last, stalled = 0, slow = 0, left = 0, wrong = 0;
    double longest = 0;
    read_seeds(&first, &last);
    for (uint64_t seed = first; seed <= last; seed++) {
        struct sim_options options = options_of(seed);
        struct sim_result run;
        change(&options, seed);
        sim_run(&options, &run);
        if (!right(&options, &run) || run.lost) {
            wrong++;
            print_error("code %d '%s', %zu of %" PRIu64 " steps, %u lost, %.1f s; again by:\n"
                        "  SEEDS=%" PRIu64 " build/tests/members_test\n",
                        run.code, run.sentence, run.step_count, options.steps, run.lost,
                        run.virtual_seconds, seed);
        }
        stalled += run.stalled;
        slow += run.slow;
        left += run.left;
        longest = run.virtual_seconds > longest ? run.virtual_seconds : longest;
        sim_result_release(&run);
    }
    print_message("%" PRIu64 " runs, %" PRIu64 " stalls, %" PRIu64
                  " shares computed twice, %" PRIu64 " signals, longest %.1f s\n",
                  last - first + 1, stalled, slow, left, longest);
    assert_int_equal(wrong, 0);
}

static void freeze(struct sim_options *options, uint64_t seed)
{
    options->freezes = 1 + seed % 3;
}

static void hang(struct sim_options *options, uint64_t seed)
{
    options->hangs = 1 + seed % 3;
}

static void come_and_go(struct sim_options *options, uint64_t seed)
{
    options->steps += 10;
    options->joiners = seed % 4;
    options->leavers = 1 + seed / 2 % 2;
    options->uneven = false;
}

static void whoever_comes_or_leaves_changes_no_bit(void **state)
{
    (void)state;
    run_seeds(come_and_go);
}

static void one_that_stands_still_costs_a_moment_and_no_bit(void **state)
{
    (void)state;
    run_seeds(freeze);
}

static void one_that_answers_and_computes_nothing_loses_its_lease(void **state)
{
    (void)state;
    run_seeds(hang);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_stands_still_costs_a_moment_and_no_bit),
        cmocka_unit_test(whoever_comes_or_leaves_changes_no_bit),
        cmocka_unit_test(one_that_answers_and_computes_nothing_loses_its_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
