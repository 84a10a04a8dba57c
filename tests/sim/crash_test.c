/*
 * Whoever dies, and whenever: the run ends with the bits of the loop.  A thousand seeds, each with
 * its own cluster, network and crashes; any others by SEEDS=first-last.
 */
#include "sim.h"
#include "support.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 1000 };

/* A seed names the whole run. */
static struct sim_options options_of(uint64_t seed, struct sb_disk *disk)
{
    return (struct sim_options){
        .seed = seed,
        .servers = 1 + seed % 3,
        .workers = 1 + seed / 3 % 4,
        .slots = seed % 5 ? 8 : 4,
        .steps = 6 + seed % 7,
        .dense = seed % 4 == 0,
        .checksum = true,
        .network = {.drop = seed % 7 * 10,
                    .repeat = seed % 6 * 15,
                    .damage = seed % 3 * 5,
                    .delay_ms_max = 1 + seed % 40,
                    .wire = true},
        .weight_decay = 0.1,
        .disk = disk,
        .save_steps = seed / 2 % 5,
        .crashes = 1 + seed % 6,
    };
}

static bool right(const struct sim_options *o, const struct sim_result *run,
                  const struct sim_result *reference)
{
    if (run->code == SB_ERR_PEER && run->left_early)
        return true; /* the same command goes on */
    if (run->code != 0 || !run->weights || run->step_count != reference->step_count)
        return false;
    return !memcmp(run->weights, reference->weights, run->float_count * sizeof(float)) &&
           !memcmp(run->steps, reference->steps, o->steps * sizeof(*run->steps));
}

/* SEEDS=7 or SEEDS=1-5000 */
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

static void whoever_dies_and_is_started_again_leaves_no_trace_in_the_bits(void **state)
{
    (void)state;
    uint64_t first, last, crashes = 0, redone = 0, servers = 0, applied = 0, wrong = 0;
    read_seeds(&first, &last);
    for (uint64_t seed = first; seed <= last; seed++) {
        static const uint64_t slowest_ms[] = {20, 400, 4000};
        struct sb_disk *disk = sim_disk_new();
        sim_disk_slow(disk, seed, slowest_ms[seed / 7 % 3]);
        struct sim_options options = options_of(seed, disk);
        struct sim_result run, reference;
        sim_reference(&options, &reference);
        sim_run(&options, &run);
        if (!right(&options, &run, &reference)) {
            wrong++;
            print_error("code %d '%s', %zu of %" PRIu64 " steps, %u crashes; again by:\n"
                        "  SEEDS=%" PRIu64 " build/tests/crash_test\n",
                        run.code, run.sentence, run.step_count, options.steps, run.crashed, seed);
        }
        crashes += run.crashed;
        servers += run.restarted_servers;
        redone += run.redone;
        applied += run.applied;
        sim_result_release(&run);
        sim_result_release(&reference);
        sim_disk_free(&disk);
    }
    print_message("%" PRIu64 " runs, %" PRIu64 " crashes (%" PRIu64 " of servers), %" PRIu64
                  " steps done again, %" PRIu64 " pushes applied, each audited\n",
                  last - first + 1, crashes, servers, redone, applied);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_dies_and_is_started_again_leaves_no_trace_in_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
