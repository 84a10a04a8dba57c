#include "support.h"

#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A vocabulary of 5 specials, 5 unused places, 200 words (10 ..) and 50 continuations (210 ..). */
enum { PAD, UNK, CLS, SEP, MASK, UNUSED, WORDS = 10, PIECES = 210, VOCABULARY = 260 };

struct fixture {
    struct sb_wordpiece *tokenizer;
    struct sb_arena arena;
    struct sb_rng key;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct sb_err err = SB_ERR_INIT;
    char text[8192] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    size_t end = strlen(text);
    for (int i = 0; i < VOCABULARY - UNUSED; i++) {
        const char *format = i < 5 ? "[unused%d]\n" : i < PIECES - UNUSED ? "word%d\n" : "##s%d\n";
        end += (size_t)snprintf(text + end, sizeof(text) - end, format, i);
    }
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text);
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    if (sb_wordpiece_open_vocab(&fixture.tokenizer, path, &options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(sb_wordpiece_count(fixture.tokenizer), VOCABULARY);
    fixture.key = sb_rng_key(42, SB_RNG_MASK, 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sb_wordpiece_free(&f->tokenizer);
    sb_arena_release(&f->arena);
    return 0;
}

/* [CLS] words [SEP], every third word followed by two continuations. */
static void fill(int32_t *ids, size_t length, uint64_t sample)
{
    ids[0] = CLS;
    for (size_t t = 1; t + 1 < length; t++) {
        size_t n = (size_t)sample * 31 + t;
        ids[t] = t % 5 == 3 || t % 5 == 4 ? (int32_t)(PIECES + n % 50) : (int32_t)(WORDS + n % 200);
    }
    ids[length - 1] = SEP;
}

static size_t mask(struct fixture *f, int32_t *ids, size_t length, uint32_t *positions,
                   int32_t *originals, double probability, bool whole_word, uint64_t sample)
{
    const struct sb_mask_options masks = {.probability = probability, .whole_word = whole_word};
    size_t count = sb_mask_sequence(ids, length, positions, originals, f->tokenizer, &masks,
                                    &f->key, sample, &f->arena);
    sb_arena_reset(&f->arena);
    return count;
}

static void rate_is_rounded_and_at_least_one(void **state)
{
    struct fixture *f = *state;
    for (size_t length = 3; length <= 128; length++) {
        int32_t ids[128], originals[128];
        uint32_t positions[128];
        fill(ids, length, length);
        size_t count = mask(f, ids, length, positions, originals, 0.15, false, length);
        size_t expected = (length - 2) * 15 / 100 + ((length - 2) * 15 % 100 >= 50);
        assert_int_equal(count, expected ? expected : 1);
    }
}

static void specials_are_never_targets(void **state)
{
    struct fixture *f = *state;
    for (uint64_t sample = 0; sample < 500; sample++) {
        int32_t ids[12] = {CLS, 20, SEP, 21, UNK, 211, PAD, MASK, 22, 23, 24, SEP};
        int32_t before[12], originals[12];
        uint32_t positions[12];
        memcpy(before, ids, sizeof(ids));
        size_t count = mask(f, ids, 12, positions, originals, 0.9, sample % 2, sample);
        assert_true(count >= 1 && count <= 6);
        for (size_t i = 0; i < count; i++)
            assert_false(sb_wordpiece_is_special(f->tokenizer, originals[i]));
        for (size_t t = 0; t < 12; t++)
            if (sb_wordpiece_is_special(f->tokenizer, before[t]))
                assert_int_equal(ids[t], before[t]);
    }
}

static void sequence_of_specials_has_no_target(void **state)
{
    struct fixture *f = *state;
    int32_t ids[3] = {CLS, UNK, SEP}, originals[3];
    uint32_t positions[3];
    assert_int_equal(mask(f, ids, 3, positions, originals, 0.15, false, 0), 0);
    assert_int_equal(mask(f, ids, 3, positions, originals, 0.15, true, 0), 0);
}

static void targets_rise_and_keep_their_originals(void **state)
{
    struct fixture *f = *state;
    for (uint64_t sample = 0; sample < 200; sample++) {
        int32_t ids[64], before[64], originals[64];
        uint32_t positions[64];
        uint8_t target[64] = {0};
        fill(ids, 64, sample);
        memcpy(before, ids, sizeof(ids));
        size_t count = mask(f, ids, 64, positions, originals, 0.3, sample % 2, sample);
        for (size_t i = 0; i < count; i++) {
            assert_true(i == 0 || positions[i] > positions[i - 1]);
            assert_int_equal(originals[i], before[positions[i]]);
            target[positions[i]] = 1;
        }
        for (size_t t = 0; t < 64; t++)
            assert_true(target[t] || ids[t] == before[t]);
    }
}

/* 80 / 10 / 10, by a chi-square with two degrees of freedom: 18.4 is passed once in 10,000 times.
 */
static void fates_are_80_10_10(void **state)
{
    struct fixture *f = *state;
    double seen[3] = {0}, all = 0, chi = 0;
    for (uint64_t sample = 0; sample < 4000; sample++) {
        int32_t ids[128], originals[128];
        uint32_t positions[128];
        fill(ids, 128, sample);
        size_t count = mask(f, ids, 128, positions, originals, 0.15, false, sample);
        for (size_t i = 0; i < count; i++) {
            int32_t now = ids[positions[i]];
            seen[now == MASK ? 0 : now != originals[i] ? 1 : 2]++;
        }
        all += (double)count;
    }
    /* A random token is the old one once in 250 times. */
    const double share[3] = {0.8, 0.1 * 249 / 250, 0.1 + 0.1 / 250};
    for (int i = 0; i < 3; i++)
        chi += (seen[i] - all * share[i]) * (seen[i] - all * share[i]) / (all * share[i]);
    assert_true(all > 70000);
    if (chi > 18.4)
        fail_msg("%g of %g masked, %g changed, %g kept: chi-square %g", seen[0], all, seen[1],
                 seen[2], chi);
}

/* Chi-square with 249 degrees of freedom: mean 249, deviation 22.3. */
static void random_tokens_are_uniform_over_ordinary_ones(void **state)
{
    struct fixture *f = *state;
    double seen[VOCABULARY] = {0}, all = 0, chi = 0;
    for (uint64_t sample = 0; sample < 12000; sample++) {
        int32_t ids[100], originals[100];
        uint32_t positions[100];
        for (size_t t = 0; t < 100; t++)
            ids[t] = WORDS;
        size_t count = mask(f, ids, 100, positions, originals, 0.3, false, sample);
        for (size_t i = 0; i < count; i++) {
            int32_t now = ids[positions[i]];
            if (now != MASK && now != WORDS) {
                seen[now]++;
                all++;
            }
        }
    }
    for (int id = 0; id < WORDS; id++)
        assert_true(seen[id] == 0);
    for (int id = WORDS + 1; id < VOCABULARY; id++)
        chi += (seen[id] - all / 249) * (seen[id] - all / 249) / (all / 249);
    if (chi > 350 || chi < 165)
        fail_msg("chi-square %g over %g draws", chi, all);
}

/* Every position is drawn equally often. */
static void positions_are_uniform(void **state)
{
    struct fixture *f = *state;
    double seen[40] = {0}, all = 0, chi = 0;
    for (uint64_t sample = 0; sample < 20000; sample++) {
        int32_t ids[40], originals[40];
        uint32_t positions[40];
        fill(ids, 40, sample);
        size_t count = mask(f, ids, 40, positions, originals, 0.15, false, sample);
        for (size_t i = 0; i < count; i++)
            seen[positions[i]]++;
        all += (double)count;
    }
    for (int t = 1; t < 39; t++)
        chi += (seen[t] - all / 38) * (seen[t] - all / 38) / (all / 38);
    if (chi > 80) /* mean below 37, deviation 8.6 */
        fail_msg("chi-square %g over %g draws", chi, all);
}

static void whole_words_are_targets_together(void **state)
{
    struct fixture *f = *state;
    double targets = 0, candidates = 0;
    for (uint64_t sample = 0; sample < 1000; sample++) {
        int32_t ids[64], before[64], originals[64];
        uint32_t positions[64];
        uint8_t target[64] = {0};
        fill(ids, 64, sample);
        memcpy(before, ids, sizeof(ids));
        size_t count = mask(f, ids, 64, positions, originals, 0.15, true, sample);
        for (size_t i = 0; i < count; i++)
            target[positions[i]] = 1;
        for (size_t t = 1; t < 64; t++)
            if (before[t] >= PIECES)
                assert_int_equal(target[t], target[t - 1]);
        assert_in_range(count, 1, 9); /* round(0.15 * 62), never overshot */
        targets += (double)count;
        candidates += 62;
    }
    assert_true(targets / candidates > 0.14 && targets / candidates < 0.155);
}

/* A single word longer than k pieces is masked whole rather than not at all. */
static void long_word_alone_is_masked_whole(void **state)
{
    struct fixture *f = *state;
    int32_t ids[7] = {CLS, 20, 210, 211, 212, 213, SEP}, originals[7];
    uint32_t positions[7];
    assert_int_equal(mask(f, ids, 7, positions, originals, 0.15, true, 3), 5);
    assert_int_equal(positions[0], 1);
    assert_int_equal(positions[4], 5);
}

static void masks_depend_on_key_and_sample_only(void **state)
{
    struct fixture *f = *state;
    int32_t first[64], again[64], other[64], epoch[64], originals[64];
    uint32_t positions[64];
    fill(first, 64, 9);
    memcpy(again, first, sizeof(first));
    memcpy(other, first, sizeof(first));
    memcpy(epoch, first, sizeof(first));
    mask(f, first, 64, positions, originals, 0.5, false, 9);
    mask(f, other, 64, positions, originals, 0.5, false, 10);
    mask(f, again, 64, positions, originals, 0.5, false, 9);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
    struct sb_rng kept = f->key;
    f->key = sb_rng_key(42, SB_RNG_MASK, 1);
    mask(f, epoch, 64, positions, originals, 0.5, false, 9);
    f->key = kept;
    assert_memory_not_equal(first, epoch, sizeof(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_is_rounded_and_at_least_one),
        cmocka_unit_test(specials_are_never_targets),
        cmocka_unit_test(sequence_of_specials_has_no_target),
        cmocka_unit_test(targets_rise_and_keep_their_originals),
        cmocka_unit_test(fates_are_80_10_10),
        cmocka_unit_test(random_tokens_are_uniform_over_ordinary_ones),
        cmocka_unit_test(positions_are_uniform),
        cmocka_unit_test(whole_words_are_targets_together),
        cmocka_unit_test(long_word_alone_is_masked_whole),
        cmocka_unit_test(masks_depend_on_key_and_sample_only),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
