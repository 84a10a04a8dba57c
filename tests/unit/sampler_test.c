#include "support.h"

#include "dataset.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t counts[] = {1,     2,     3,     17,    4095,  4096,   4097,   8191,
                                  12289, 65535, 65536, 65537, 69631, 131073, 139264, 200003};

static void order_is_a_permutation_for_many_counts(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            uint8_t *seen = calloc(counts[c], 1);
            for (uint64_t k = 0; k < counts[c]; k++) {
                uint64_t sample = sb_order_sample(counts[c], 7, epoch, true, k);
                if (sample >= counts[c] || seen[sample])
                    fail_msg("count %lu epoch %lu: position %lu gives %lu", counts[c], epoch, k,
                             sample);
                seen[sample] = 1;
            }
            free(seen);
        }
    }
}

static void order_without_shuffle_is_the_identity(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 10000; k++)
        assert_int_equal(sb_order_sample(10000, 3, k, false, k), k);
}

static size_t fixed_points(uint64_t count, uint64_t seed, uint64_t epoch, uint64_t other_seed,
                           uint64_t other_epoch)
{
    size_t same = 0;
    for (uint64_t k = 0; k < count; k++)
        same += sb_order_sample(count, seed, epoch, true, k) ==
                sb_order_sample(count, other_seed, other_epoch, true, k);
    return same;
}

/* Two random orders agree at one place on average; 12 is beyond chance. */
static void order_depends_on_seed_and_epoch_only(void **state)
{
    (void)state;
    assert_int_equal(fixed_points(9000, 1, 0, 1, 0), 9000);
    assert_true(fixed_points(9000, 1, 0, 2, 0) < 12);
    assert_true(fixed_points(9000, 1, 0, 1, 1) < 12);
    assert_true(fixed_points(100000, 1, 5, 1, 6) < 12);
}

/* Reads stay near each other: a window touches 16 chunks of 4096 and no more. */
static void order_reads_few_chunks_at_a_time(void **state)
{
    (void)state;
    const uint64_t count = 304 * 4096;
    for (uint64_t window = 0; window < 19; window++) {
        uint8_t seen[304] = {0};
        size_t chunks = 0;
        for (uint64_t k = window * 65536; k < (window + 1) * 65536; k += 5)
            seen[sb_order_sample(count, 11, 0, true, k) / 4096] = 1;
        for (size_t i = 0; i < 304; i++)
            chunks += seen[i];
        assert_int_equal(chunks, 16);
    }
}

/* A sorted data set (all of one class, then all of the other) comes mixed. */
static void order_mixes_a_sorted_set(void **state)
{
    (void)state;
    size_t low = 0;
    for (uint64_t k = 0; k < 1000; k++)
        low += sb_order_sample(8530, 42, 0, true, k) < 4265;
    assert_in_range(low, 430, 570); /* 500 +- 4.4 sigma */
}

/* The same rule, said as slowly as possible. */
static void deal_slowly(uint32_t *slot_of, const uint32_t *lengths, size_t count, size_t slot_count)
{
    uint64_t tokens[64] = {0};
    uint8_t *dealt = calloc(count, 1);
    for (size_t i = 0; i < count; i++) {
        size_t longest = count;
        for (size_t j = 0; j < count; j++)
            if (!dealt[j] && (longest == count || lengths[j] > lengths[longest]))
                longest = j;
        size_t slot = 0;
        for (size_t s = 1; s < slot_count; s++)
            if (tokens[s] < tokens[slot])
                slot = s;
        dealt[longest] = 1;
        tokens[slot] += lengths[longest];
        slot_of[longest] = (uint32_t)slot;
    }
    free(dealt);
}

static void deal_equals_the_plain_rule(void **state)
{
    (void)state;
    struct sb_arena arena = SB_ARENA_INIT;
    uint32_t lengths[300], dealt[300], expected[300];
    struct sb_rng rng = sb_rng_key(5, SB_RNG_SAMPLE, 0);
    for (uint32_t round = 0; round < 40; round++) {
        size_t count = round * 7, slot_count = (size_t)1 << (round % 7);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t words[4];
            sb_rng_draw(&rng, round, 0, i, words);
            lengths[i] = 2 + sb_rng_below(words[0], round % 3 ? 126 : 4);
        }
        sb_deal_slots(dealt, lengths, count, slot_count, &arena);
        deal_slowly(expected, lengths, count, slot_count);
        assert_memory_equal(dealt, expected, count * sizeof(*dealt));
        sb_arena_reset(&arena);
    }
    sb_arena_release(&arena);
}

static void deal_breaks_ties_by_index(void **state)
{
    (void)state;
    struct sb_arena arena = SB_ARENA_INIT;
    const uint32_t lengths[6] = {5, 5, 5, 5, 5, 5}, expected[6] = {0, 1, 2, 3, 0, 1};
    uint32_t dealt[6];
    sb_deal_slots(dealt, lengths, 6, 4, &arena);
    assert_memory_equal(dealt, expected, sizeof(expected));
    sb_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_a_permutation_for_many_counts),
        cmocka_unit_test(order_without_shuffle_is_the_identity),
        cmocka_unit_test(order_depends_on_seed_and_epoch_only),
        cmocka_unit_test(order_reads_few_chunks_at_a_time),
        cmocka_unit_test(order_mixes_a_sorted_set),
        cmocka_unit_test(deal_equals_the_plain_rule),
        cmocka_unit_test(deal_breaks_ties_by_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
