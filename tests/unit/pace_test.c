/* How a step is cut by speed, against all cuts that there are. */
#include "nodes.h"
#include "pace.h"
#include "support.h"

#include <math.h>

enum { COUNT = 3, SLOTS = 16 };

static double seconds_of(const double *speeds, const uint64_t *ends, double node_seconds)
{
    double last = 0;
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t nodes[64];
        uint64_t first = i ? ends[i - 1] : 0;
        double seconds = (double)(ends[i] - first) / speeds[i] +
                         node_seconds * (double)sb_nodes_of_run(nodes, SLOTS, (uint32_t)first,
                                                                (uint32_t)ends[i]);
        last = fmax(last, seconds);
    }
    return last;
}

static double best_of_all(const double *speeds, double node_seconds)
{
    double best = INFINITY;
    for (uint64_t a = 0; a <= SLOTS; a++)
        for (uint64_t b = a; b <= SLOTS; b++)
            best = fmin(best, seconds_of(speeds, (uint64_t[]){a, b, SLOTS}, node_seconds));
    return best;
}

static void equal_or_unknown_speeds_are_dealt_evenly(void **state)
{
    (void)state;
    static const double cases[][COUNT] = {{0, 0, 0}, {2, 2, 2}, {2, 2.1, 1.95}, {5, 0, 0}};
    for (size_t i = 0; i < 4; i++)
        for (uint32_t total = 1; total < 40; total++) {
            uint64_t ends[COUNT];
            sb_pace_cut(ends, COUNT, total, cases[i], 0, 0.5);
            for (uint32_t w = 0; w < COUNT; w++)
                assert_int_equal(ends[w], (w + 1) * total / COUNT);
        }
}

static void no_cut_is_a_fifth_faster(void **state)
{
    (void)state;
    double worst = 1;
    for (int i = 0; i < 300; i++) {
        double speeds[COUNT], node_seconds = i % 4 * 0.1;
        uint64_t ends[COUNT];
        for (int w = 0; w < COUNT; w++)
            speeds[w] = 1 + (i * 7919 + w * 104729) % 97 / 10.0;
        sb_pace_cut(ends, COUNT, SLOTS, speeds, SLOTS, node_seconds);
        assert_int_equal(ends[COUNT - 1], SLOTS);
        worst =
            fmax(worst, seconds_of(speeds, ends, node_seconds) / best_of_all(speeds, node_seconds));
    }
    print_message("at worst %.3f of the best\n", worst);
    assert_true(worst < 1.2);
}

static void one_who_is_much_slower_gets_nothing(void **state)
{
    (void)state;
    uint64_t ends[2];
    sb_pace_cut(ends, 2, 8, (double[]){10, 0.5}, 8, 0);
    assert_int_equal(ends[0], 8);
    sb_pace_cut(ends, 2, 8, (double[]){3, 1}, 8, 0);
    assert_int_equal(ends[0], 6);
    /* Six slots are two nodes, and eight are one. */
    sb_pace_cut(ends, 2, 8, (double[]){3, 1}, 8, 2);
    assert_true(ends[0] == 4 || ends[0] == 8);
}

static void a_moment_of_standing_still_is_forgotten(void **state)
{
    (void)state;
    struct sb_pace pace = {0};
    for (int i = 0; i < 10; i++) {
        sb_pace_add(&pace, 100, i % 5 == 3 ? 50 : 1);
        sb_pace_add(&pace, 100, NAN);
        sb_pace_add(&pace, 100, -1);
        sb_pace_end_step(&pace);
        double expected = i < 2 ? 0 : 100;
        assert_true(sb_recent_median(&pace.speeds) == expected);
    }
    for (int i = 0; i < 500; i++)
        sb_pace_end_step(&pace);
    assert_true(sb_recent_median(&pace.speeds) == 0); /* too long ago */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_or_unknown_speeds_are_dealt_evenly),
        cmocka_unit_test(no_cut_is_a_fifth_faster),
        cmocka_unit_test(one_who_is_much_slower_gets_nothing),
        cmocka_unit_test(a_moment_of_standing_still_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
