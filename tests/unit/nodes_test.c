#include "nodes.h"
#include "support.h"

static void every_slot_is_dealt_once_in_order(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= 64; slots *= 2)
        for (uint32_t workers = 1; workers <= 70; workers++) {
            uint32_t next = 0;
            for (uint32_t worker = 0; worker < workers; worker++) {
                uint32_t nodes[64];
                size_t count = sb_nodes_deal(nodes, slots, worker, workers);
                assert_true(count <= 2 * sb_node_depth(slots) + 1);
                for (size_t i = 0; i < count; i++) {
                    assert_true(sb_node_valid(nodes[i], slots));
                    assert_int_equal(sb_node_first_slot(nodes[i], slots), next);
                    next += sb_node_slot_count(nodes[i], slots);
                }
                assert_int_equal(next, (uint64_t)(worker + 1) * slots / workers);
            }
            assert_int_equal(next, slots);
        }
}

static void runs_are_cut_into_the_largest_nodes(void **state)
{
    (void)state;
    uint32_t nodes[64];
    assert_int_equal(sb_nodes_deal(nodes, 16, 0, 1), 1);
    assert_int_equal(nodes[0], 1);
    assert_int_equal(sb_nodes_deal(nodes, 16, 0, 3), 2); /* slots 0..4: 0-3 and 4 */
    assert_int_equal(nodes[0], 4);
    assert_int_equal(nodes[1], 20);
    assert_int_equal(sb_nodes_deal(nodes, 16, 1, 3), 3); /* slots 5..9: 5, 6-7, 8-9 */
    assert_int_equal(nodes[0], 21);
    assert_int_equal(nodes[1], 11);
    assert_int_equal(nodes[2], 12);
    assert_int_equal(sb_nodes_deal(nodes, 2, 0, 3), 0);
    assert_int_equal(sb_nodes_deal(nodes, 65536, 65535, 65536), 1);
    assert_int_equal(nodes[0], 131071);
}

static void a_node_contains_itself_and_what_lies_below(void **state)
{
    (void)state;
    enum { SLOTS = 16 };
    for (uint32_t outer = 1; outer < 2 * SLOTS; outer++)
        for (uint32_t inner = 1; inner < 2 * SLOTS; inner++) {
            bool above = false; /* by walking up, one parent at a time */
            for (uint32_t node = inner; node; node /= 2)
                above = above || node == outer;
            assert_int_equal(sb_node_contains(outer, inner), above);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_dealt_once_in_order),
        cmocka_unit_test(runs_are_cut_into_the_largest_nodes),
        cmocka_unit_test(a_node_contains_itself_and_what_lies_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
