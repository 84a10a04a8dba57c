/* Counter-based random numbers: the published values, and permutations that can be turned back. */
#include "support.h"

#include "arena.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Known answers of philox4x32 with 10 rounds, as published with Random123. */
static void philox_gives_its_published_values(void **state)
{
    (void)state;
    static const struct {
        uint64_t sample;
        uint32_t site, block;
        uint32_t key[2], expected[4];
    } cases[] = {
        {0, 0, 0, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX,
         UINT32_MAX,
         UINT32_MAX,
         {UINT32_MAX, UINT32_MAX},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {UINT64_C(0x85a308d3243f6a88),
         0x13198a2e,
         0x03707344,
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_rng rng = {.key = {cases[i].key[0], cases[i].key[1]}};
        uint32_t out[4];
        sb_rng_draw(&rng, cases[i].sample, cases[i].site, cases[i].block, out);
        assert_memory_equal(out, cases[i].expected, sizeof(out));
    }
}

static void keys_differ_in_seed_purpose_and_round(void **state)
{
    (void)state;
    struct sb_rng keys[] = {
        sb_rng_key(1, SB_RNG_INIT, 0),    sb_rng_key(2, SB_RNG_INIT, 0),
        sb_rng_key(1, SB_RNG_DROPOUT, 0), sb_rng_key(1, SB_RNG_INIT, 1),
        sb_rng_key(0, SB_RNG_INIT, 1),
    };
    enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
    for (size_t i = 0; i < KEYS; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&keys[i], &keys[j], sizeof(keys[i]));
    struct sb_rng again = sb_rng_key(1, SB_RNG_INIT, 0);
    assert_memory_equal(&again, &keys[0], sizeof(again));
}

static void units_stay_inside_and_words_below_their_bound(void **state)
{
    (void)state;
    assert_true(sb_rng_unit(0) > 0.0 && sb_rng_unit(UINT32_MAX) < 1.0);
    assert_int_equal(sb_rng_below(UINT32_MAX, 7), 6);
    assert_int_equal(sb_rng_below(0, 7), 0);
    assert_int_equal(sb_rng_below(UINT32_MAX, 1), 0);
    assert_int_equal(sb_rng_below(UINT32_MAX, UINT32_MAX), UINT32_MAX - 1);
}

static void draws_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 16, DRAWS = 16000 };
    struct sb_rng rng = sb_rng_key(5, SB_RNG_MASK, 3);
    size_t counts[BINS] = {0};
    for (uint32_t i = 0; i < DRAWS / 4; i++) {
        uint32_t out[4];
        sb_rng_draw(&rng, i, 1, 0, out);
        for (int j = 0; j < 4; j++)
            counts[sb_rng_below(out[j], BINS)]++;
    }
    double chi = 0, expected = (double)DRAWS / BINS;
    for (size_t i = 0; i < BINS; i++)
        chi += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    assert_true(chi < 37.7); /* 15 degrees of freedom: one seed in a thousand lies above */
}

static void permutation_hits_every_place_once_and_can_be_turned_back(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 16, 17, 64, 65, 1000, 4096, 5000};
    bool *seen = sb_alloc(5000);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            struct sb_rng rng = sb_rng_key(42, SB_RNG_SHUFFLE, epoch);
            memset(seen, 0, 5000);
            for (uint64_t i = 0; i < sizes[s]; i++) {
                uint64_t place = sb_rng_permute(&rng, sizes[s], i);
                assert_true(place < sizes[s]);
                assert_false(seen[place]);
                seen[place] = true;
                assert_true(sb_rng_permute_inverse(&rng, sizes[s], place) == i);
            }
        }
    }
    free(seen);
}

static void permutation_of_huge_ranges_can_be_turned_back(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {(UINT64_C(1) << 40) + 12345, UINT64_C(1) << 63, UINT64_MAX};
    struct sb_rng rng = sb_rng_key(1, SB_RNG_SAMPLE, 0);
    for (size_t s = 0; s < 3; s++) {
        for (uint64_t k = 0; k < 100; k++) {
            uint64_t i = sizes[s] / 100 * k;
            uint64_t place = sb_rng_permute(&rng, sizes[s], i);
            assert_true(place < sizes[s]);
            assert_true(sb_rng_permute_inverse(&rng, sizes[s], place) == i);
        }
    }
}

/* Rank correlation with the identity: about 1/sqrt(n) for a random order. */
static void permutation_leaves_no_trace_of_the_order(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct sb_rng first = sb_rng_key(9, SB_RNG_SHUFFLE, 0),
                  second = sb_rng_key(9, SB_RNG_SHUFFLE, 1);
    double with_order = 0, with_each_other = 0, middle = (N - 1) / 2.0;
    for (uint64_t i = 0; i < N; i++) {
        double a = (double)sb_rng_permute(&first, N, i) - middle;
        double b = (double)sb_rng_permute(&second, N, i) - middle;
        with_order += a * ((double)i - middle);
        with_each_other += a * b;
    }
    double scale = N * ((double)N * N - 1) / 12.0;
    assert_true(fabs(with_order / scale) < 0.04);
    assert_true(fabs(with_each_other / scale) < 0.04);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_its_published_values),
        cmocka_unit_test(keys_differ_in_seed_purpose_and_round),
        cmocka_unit_test(units_stay_inside_and_words_below_their_bound),
        cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(permutation_hits_every_place_once_and_can_be_turned_back),
        cmocka_unit_test(permutation_of_huge_ranges_can_be_turned_back),
        cmocka_unit_test(permutation_leaves_no_trace_of_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
