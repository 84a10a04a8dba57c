#include "support.h"

#include "arena.h"
#include "pairs.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sb_pairs open_pairs(const uint64_t *sizes, size_t classes,
                                  struct sb_pair_options options)
{
    struct sb_pairs pairs;
    struct sb_err err = SB_ERR_INIT;
    if (sb_pairs_init(&pairs, sizes, classes, &options, &err) < 0)
        fail_msg("%s", err.text);
    return pairs;
}

static uint64_t count_of(const uint64_t *sizes, size_t classes, struct sb_pair_options options)
{
    struct sb_pairs pairs = open_pairs(sizes, classes, options);
    uint64_t count = pairs.count;
    sb_pairs_release(&pairs);
    return count;
}

/* The guide of SetFit's library: 8, 4 and 8 texts; and the handbook: 16 texts of one class. */
static void counts_are_the_published_ones(void **state)
{
    (void)state;
    const uint64_t guide[] = {8, 4, 8}, handbook[] = {16}, two[] = {16, 16};
    struct sb_pairs pairs =
        open_pairs(guide, 3, (struct sb_pair_options){.strategy = SB_PAIRS_UNIQUE});
    assert_int_equal(pairs.same.count, 62);
    assert_int_equal(pairs.other.count, 128);
    assert_int_equal(pairs.text_count, 20);
    sb_pairs_release(&pairs);

    struct sb_pair_options options = {.strategy = SB_PAIRS_OVERSAMPLING};
    assert_int_equal(count_of(guide, 3, options), 256);
    options.strategy = SB_PAIRS_UNDERSAMPLING;
    assert_int_equal(count_of(guide, 3, options), 124);
    options.strategy = SB_PAIRS_UNIQUE;
    assert_int_equal(count_of(guide, 3, options), 190);
    assert_int_equal(count_of(handbook, 1, options), 120);
    options.self_pairs = true;
    assert_int_equal(count_of(handbook, 1, options), 136);
    options = (struct sb_pair_options){.strategy = SB_PAIRS_ITERATIONS, .iterations = 20};
    assert_int_equal(count_of(guide, 3, options), 800);
    assert_int_equal(count_of(two, 2, options), 1280);
}

static size_t class_of(const uint64_t *sizes, uint64_t place)
{
    size_t class = 0;
    for (; place >= sizes[class]; class ++)
        place -= sizes[class];
    return class;
}

/* How often each pair comes, [n, n], checked against what it must be. */
static void count_pairs(uint32_t *seen, const struct sb_pairs *pairs, uint64_t n)
{
    memset(seen, 0, n * n * sizeof(*seen));
    for (uint64_t k = 0; k < pairs->count; k++) {
        struct sb_pair pair = sb_pairs_at(pairs, k);
        if (pair.first > pair.second || pair.second >= n)
            fail_msg("pair %lu is (%lu, %lu) of %lu", k, pair.first, pair.second, n);
        seen[pair.first * n + pair.second]++;
    }
}

/* Random class sizes, empty classes among them: every pair once, under its right kind. */
static void unique_is_every_pair_once(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(3, SB_RNG_SAMPLE, 0);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t words[4];
        sb_rng_draw(&rng, round, 0, 0, words);
        size_t classes = 1 + sb_rng_below(words[0], 9);
        uint64_t sizes[9], n = 0;
        for (uint32_t c = 0; c < classes; c++) {
            sb_rng_draw(&rng, round, 1, c, words);
            sizes[c] = sb_rng_below(words[0], round % 2 ? 4 : 20);
            n += sizes[c];
        }
        sizes[0] += n < 2 ? 2 : 0;
        n += n < 2 ? 2 : 0;
        bool diagonal = round % 3 == 0;
        struct sb_pair_options options = {
            .strategy = SB_PAIRS_UNIQUE, .self_pairs = diagonal, .seed = round};
        struct sb_pairs pairs = open_pairs(sizes, classes, options);
        uint32_t *seen = sb_calloc(n * n, sizeof(*seen));
        count_pairs(seen, &pairs, n);
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t j = 0; j < n; j++)
                if (seen[i * n + j] != (i < j || (diagonal && i == j)))
                    fail_msg("round %u: (%lu, %lu) comes %u times", round, i, j, seen[i * n + j]);
        for (uint64_t k = 0; k < pairs.count; k++) {
            struct sb_pair pair = sb_pairs_at(&pairs, k);
            assert_int_equal(pair.same,
                             class_of(sizes, pair.first) == class_of(sizes, pair.second));
        }
        free(seen);
        sb_pairs_release(&pairs);
    }
}

/* Over whole numbers of rounds of the shorter list, and a rest: never two more than another. */
static void a_list_that_is_too_short_starts_again(void **state)
{
    (void)state;
    const uint64_t sizes[] = {8, 4, 8};
    enum { N = 20 };
    uint32_t seen[N * N];
    struct sb_pairs pairs = open_pairs(sizes, 3, (struct sb_pair_options){.seed = 42});
    count_pairs(seen, &pairs, N);
    size_t twice = 0, thrice = 0;
    for (uint64_t i = 0; i < N; i++) {
        for (uint64_t j = i + 1; j < N; j++) {
            bool same = class_of(sizes, i) == class_of(sizes, j);
            assert_in_range(seen[i * N + j], same ? 2 : 1, same ? 3 : 1);
            twice += seen[i * N + j] == 2;
            thrice += seen[i * N + j] == 3;
        }
    }
    assert_int_equal(twice, 62 - 4); /* 128 = 2 * 62 + 4 */
    assert_int_equal(thrice, 4);
    sb_pairs_release(&pairs);

    struct sb_pair_options options = {.strategy = SB_PAIRS_ITERATIONS, .iterations = 20};
    pairs = open_pairs(sizes, 3, options);
    count_pairs(seen, &pairs, N);
    for (uint64_t i = 0; i < N; i++)
        for (uint64_t j = i + 1; j < N; j++)
            if (class_of(sizes, i) == class_of(sizes, j))
                assert_in_range(seen[i * N + j], 400 / 62, 400 / 62 + 1);
            else
                assert_in_range(seen[i * N + j], 400 / 128, 400 / 128 + 1);
    sb_pairs_release(&pairs);
}

static void kinds_take_turns_and_the_rest_follows(void **state)
{
    (void)state;
    const uint64_t sizes[] = {8, 4, 8}, lopsided[] = {30, 1};
    struct sb_pairs pairs = open_pairs(sizes, 3, (struct sb_pair_options){.seed = 1});
    for (uint64_t k = 0; k < pairs.count; k++)
        assert_int_equal(sb_pairs_at(&pairs, k).same, k % 2 == 0);
    sb_pairs_release(&pairs);
    const struct sb_pair_options unique = {.strategy = SB_PAIRS_UNIQUE};
    pairs = open_pairs(sizes, 3, unique); /* 62 and 128 */
    for (uint64_t k = 0; k < pairs.count; k++)
        assert_int_equal(sb_pairs_at(&pairs, k).same, k < 124 && k % 2 == 0);
    sb_pairs_release(&pairs);
    pairs = open_pairs(lopsided, 2, unique); /* 435 and 30 */
    for (uint64_t k = 0; k < pairs.count; k++)
        assert_int_equal(sb_pairs_at(&pairs, k).same, k >= 60 || k % 2 == 0);
    sb_pairs_release(&pairs);
}

static void order_depends_on_the_seed_alone(void **state)
{
    (void)state;
    const uint64_t sizes[] = {40, 30, 50};
    struct sb_pairs one = open_pairs(sizes, 3, (struct sb_pair_options){.seed = 1});
    struct sb_pairs again = open_pairs(sizes, 3, (struct sb_pair_options){.seed = 1});
    struct sb_pairs two = open_pairs(sizes, 3, (struct sb_pair_options){.seed = 2});
    size_t equal = 0;
    for (uint64_t k = 0; k < one.count; k++) {
        struct sb_pair a = sb_pairs_at(&one, k), b = sb_pairs_at(&again, k);
        struct sb_pair c = sb_pairs_at(&two, k);
        assert_true(a.first == b.first && a.second == b.second && a.same == b.same);
        equal += a.first == c.first && a.second == c.second;
    }
    assert_true(equal < 20); /* of 9,400: about 3.5 by chance */
    sb_pairs_release(&one);
    sb_pairs_release(&again);
    sb_pairs_release(&two);
}

/* Bits of labels: groups {0}, {1}, {0,1}, {} and {70}, against the rule itself. */
static void shared_labels_decide_where_texts_have_several(void **state)
{
    (void)state;
    enum { GROUPS = 5, N = 14, WORDS = 2 };
    const uint64_t sizes[GROUPS] = {3, 4, 2, 3, 2};
    const uint64_t sets[GROUPS * WORDS] = {1, 0, 2, 0, 3, 0, 0, 0, 0, 64};
    for (int diagonal = 0; diagonal < 2; diagonal++) {
        struct sb_pair_options options = {.strategy = SB_PAIRS_UNIQUE, .self_pairs = diagonal};
        struct sb_pairs pairs;
        struct sb_err err = SB_ERR_INIT;
        assert_int_equal(sb_pairs_init_shared(&pairs, sizes, sets, GROUPS, WORDS, &options, &err),
                         0);
        uint32_t seen[N * N];
        count_pairs(seen, &pairs, N);
        for (uint64_t i = 0; i < N; i++) {
            for (uint64_t j = 0; j < N; j++) {
                bool itself = diagonal && i == j && class_of(sizes, i) != 3;
                assert_int_equal(seen[i * N + j], i < j || itself);
            }
        }
        for (uint64_t k = 0; k < pairs.count; k++) {
            struct sb_pair pair = sb_pairs_at(&pairs, k);
            const uint64_t *a = sets + class_of(sizes, pair.first) * WORDS;
            const uint64_t *b = sets + class_of(sizes, pair.second) * WORDS;
            assert_int_equal(pair.same, ((a[0] & b[0]) | (a[1] & b[1])) != 0);
        }
        sb_pairs_release(&pairs);
    }
}

/* Labels that do not meet are classes: the same pairs in the same order. */
static void labels_that_never_meet_are_classes(void **state)
{
    (void)state;
    const uint64_t sizes[] = {5, 1, 7, 3}, sets[] = {1, 2, 4, 8};
    struct sb_pair_options options = {.seed = 9};
    struct sb_pairs classes = open_pairs(sizes, 4, options), shared;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_pairs_init_shared(&shared, sizes, sets, 4, 1, &options, &err), 0);
    assert_int_equal(shared.other.block_count, classes.other.block_count);
    assert_int_equal(shared.count, classes.count);
    for (uint64_t k = 0; k < classes.count; k++) {
        struct sb_pair a = sb_pairs_at(&classes, k), b = sb_pairs_at(&shared, k);
        assert_true(a.first == b.first && a.second == b.second && a.same == b.same);
    }
    sb_pairs_release(&classes);
    sb_pairs_release(&shared);
}

/* First, last and all places where a square root could round to the wrong side. */
static void numbering_is_exact_where_doubles_are_not(void **state)
{
    (void)state;
    const uint64_t n = UINT32_MAX;
    for (int diagonal = 0; diagonal < 2; diagonal++) {
        struct sb_pair_options options = {.strategy = SB_PAIRS_UNIQUE, .self_pairs = diagonal};
        struct sb_pairs pairs;
        struct sb_err err = SB_ERR_INIT;
        sb_pairs_init(&pairs, &n, 1, &options, &err);
        /* Too many to be shuffled together with others, so the numbering alone is asked. */
        sb_test_err_is(&err, SB_ERR_CONFIG, "can be numbered");
        struct sb_pair_block block = {
            .shape = diagonal ? SB_PAIR_TRIANGLE_DIAGONAL : SB_PAIR_TRIANGLE, .second_count = n};
        uint64_t count = diagonal ? n * ((n + 1) / 2) : n * ((n - 1) / 2);
        struct sb_pair_kind kind = {
            .blocks = &block, .ends = &count, .block_count = 1, .count = count};
        struct sb_rng rng = sb_rng_key(4, SB_RNG_SAMPLE, 0);
        for (uint64_t i = 0; i < 20000; i++) {
            uint32_t words[4];
            sb_rng_draw(&rng, i, 0, 0, words);
            uint64_t row = i < 4 ? n - 1 - i : 1 + words[0] % (n - 1), first, second;
            uint64_t before = diagonal ? (unsigned __int128)row * (row + 1) / 2
                                       : (unsigned __int128)row * (row - 1) / 2;
            sb_pair_kind_at(&kind, before, &first, &second);
            assert_true(first == 0 && second == row);
            if (before > 0) {
                sb_pair_kind_at(&kind, before - 1, &first, &second);
                assert_true(second == row - 1 && first == (diagonal ? row - 1 : row - 2));
            }
        }
        sb_pair_kind_at(&kind, count - 1, &(uint64_t){0}, &(uint64_t){0});
    }
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident;
}

/* 5 * 10^11 pairs, of which a hundred thousand are looked at, from everywhere. */
static void a_million_texts_cost_no_memory(void **state)
{
    (void)state;
    enum { CLASSES = 50, LOOKS = 100000 };
    uint64_t sizes[CLASSES], sum = 0, same = 0;
    for (size_t c = 0; c < CLASSES; c++)
        sizes[c] = 20000;
    long before = resident_pages();
    size_t allocated = mallinfo2().uordblks;
    struct sb_pairs pairs = open_pairs(sizes, CLASSES, (struct sb_pair_options){.seed = 5});
    assert_int_equal(pairs.text_count, 1000000);
    assert_int_equal(pairs.same.count, 50 * (20000ull * 19999 / 2));
    assert_int_equal(pairs.other.count, 1000000ull * 999999 / 2 - pairs.same.count);
    for (uint64_t i = 0; i < LOOKS; i++) {
        struct sb_pair pair = sb_pairs_at(&pairs, i * (pairs.count / LOOKS));
        assert_int_equal(pair.same, pair.first / 20000 == pair.second / 20000);
        sum += pair.first + pair.second;
        same += pair.same;
    }
    assert_true(mallinfo2().uordblks - allocated < 16384);
    assert_true(resident_pages() - before < 64);
    assert_in_range(sum / LOOKS, 990000, 1010000);
    assert_in_range(same, 1, LOOKS);
    sb_pairs_release(&pairs);
}

static void impossible_demands_are_refused_in_words(void **state)
{
    (void)state;
    const struct {
        uint64_t sizes[2];
        struct sb_pair_options options;
        enum sb_err_code code;
        const char *words;
    } demands[] = {
        {{0, 0}, {.seed = 0}, SB_ERR_DATA, "0 texts: a pair needs two"},
        {{1, 0}, {.seed = 0}, SB_ERR_DATA, "1 text: a pair needs two"},
        {{5, 0}, {.strategy = SB_PAIRS_UNDERSAMPLING}, SB_ERR_DATA, "of different classes"},
        {{1, 1}, {.strategy = SB_PAIRS_UNDERSAMPLING}, SB_ERR_DATA, "of one class"},
        {{2, 2}, {.strategy = SB_PAIRS_ITERATIONS}, SB_ERR_CONFIG, "num_iterations is 0"},
        {{UINT32_MAX, 1}, {.seed = 0}, SB_ERR_CONFIG, "more than 4294967295 texts"},
    };
    for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
        struct sb_pairs pairs;
        struct sb_err err = SB_ERR_INIT;
        assert_int_equal(sb_pairs_init(&pairs, demands[i].sizes, 2, &demands[i].options, &err), -1);
        sb_test_err_is(&err, demands[i].code, demands[i].words);
        sb_pairs_release(&pairs);
    }
    const uint64_t *sizes = sb_calloc(4097, sizeof(*sizes));
    struct sb_pairs pairs;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_pair_options options = {.seed = 0};
    assert_int_equal(sb_pairs_init_shared(&pairs, sizes, sizes, 4097, 1, &options, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "4097 different sets");
    free((void *)(uintptr_t)sizes);
}

/* One class, or one text in each: the kind that has no pair is left out. */
static void a_kind_without_pairs_is_left_out(void **state)
{
    (void)state;
    const uint64_t one[] = {6}, singles[] = {1, 1, 1, 1};
    struct sb_pairs pairs = open_pairs(one, 1, (struct sb_pair_options){.seed = 0});
    assert_int_equal(pairs.count, 15);
    for (uint64_t k = 0; k < pairs.count; k++)
        assert_true(sb_pairs_at(&pairs, k).same);
    sb_pairs_release(&pairs);
    pairs = open_pairs(singles, 4, (struct sb_pair_options){.seed = 0});
    assert_int_equal(pairs.count, 6);
    for (uint64_t k = 0; k < pairs.count; k++)
        assert_false(sb_pairs_at(&pairs, k).same);
    sb_pairs_release(&pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_the_published_ones),
        cmocka_unit_test(unique_is_every_pair_once),
        cmocka_unit_test(a_list_that_is_too_short_starts_again),
        cmocka_unit_test(kinds_take_turns_and_the_rest_follows),
        cmocka_unit_test(order_depends_on_the_seed_alone),
        cmocka_unit_test(shared_labels_decide_where_texts_have_several),
        cmocka_unit_test(labels_that_never_meet_are_classes),
        cmocka_unit_test(numbering_is_exact_where_doubles_are_not),
        cmocka_unit_test(a_million_texts_cost_no_memory),
        cmocka_unit_test(impossible_demands_are_refused_in_words),
        cmocka_unit_test(a_kind_without_pairs_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
