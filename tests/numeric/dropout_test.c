#include "arrays.h"
#include "dropout.h"
#include "dropout_ref.h"
#include "support.h"

#include <string.h>

enum { COUNT = 1000 };

static const uint64_t SAMPLE = UINT64_C(0x123456789abcdef);

static void words_are_those_of_the_definition(void **state)
{
    (void)state;
    static uint16_t words[COUNT];
    struct sb_rng rng = sb_rng_key(11, SB_RNG_DROPOUT, 3);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.1);
    sb_dropout_words(words, &dropout, SAMPLE, 9, 0, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(words[i], sb_dropout_word_ref(&rng, SAMPLE, 9, i));
}

static void every_way_of_drawing_gives_the_same_words(void **state)
{
    (void)state;
    static uint16_t words[COUNT], other[COUNT];
    struct sb_rng rng = sb_rng_key(2, SB_RNG_DROPOUT, 5);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.1);
    assert_true(sb_dropout_words_by(SB_DROPOUT_PLAIN, words, &dropout, SAMPLE, 1, 100, COUNT));
    for (int way = SB_DROPOUT_AVX2; way <= SB_DROPOUT_AVX512; way++) {
        if (!sb_dropout_words_by((enum sb_dropout_way)way, other, &dropout, SAMPLE, 1, 100, COUNT))
            print_message("this processor lacks way %d\n", way);
        else
            assert_memory_equal(words, other, sizeof(words));
    }
}

static void a_piece_has_the_words_of_the_whole(void **state)
{
    (void)state;
    static uint16_t words[COUNT], piece[COUNT];
    struct sb_rng rng = sb_rng_key(11, SB_RNG_DROPOUT, 3);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.1);
    sb_dropout_words(words, &dropout, 4, 2, 0, COUNT);
    for (size_t first = 0, count = 1; first + count <= COUNT; first += 61, count += 13) {
        sb_dropout_words(piece, &dropout, 4, 2, first, count);
        assert_memory_equal(piece, words + first, count * sizeof(*piece));
    }
}

static void other_keys_samples_and_sites_have_other_words(void **state)
{
    (void)state;
    uint16_t first[64], other[64];
    struct sb_rng rng = sb_rng_key(11, SB_RNG_DROPOUT, 3), next = sb_rng_key(11, SB_RNG_DROPOUT, 4);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.1), next_step = sb_dropout_of(&next, 0.1);
    sb_dropout_words(first, &dropout, 4, 2, 0, 64);
    sb_dropout_words(other, &next_step, 4, 2, 0, 64);
    assert_memory_not_equal(first, other, sizeof(first));
    sb_dropout_words(other, &dropout, 5, 2, 0, 64);
    assert_memory_not_equal(first, other, sizeof(first));
    sb_dropout_words(other, &dropout, UINT64_C(4) + (UINT64_C(1) << 32), 2, 0, 64);
    assert_memory_not_equal(first, other, sizeof(first));
    sb_dropout_words(other, &dropout, 4, 3, 0, 64);
    assert_memory_not_equal(first, other, sizeof(first));
}

static void the_rate_and_the_mean_are_kept(void **state)
{
    (void)state;
    enum { MANY = 1 << 18 };
    static float x[MANY], y[MANY];
    static uint16_t words[MANY];
    const double rates[] = {0.05, 0.1, 0.5, 0.9};
    struct sb_rng rng = sb_rng_key(1, SB_RNG_DROPOUT, 0);
    for (int r = 0; r < 4; r++) {
        struct sb_dropout dropout = sb_dropout_of(&rng, rates[r]);
        for (int i = 0; i < MANY; i++)
            x[i] = 1;
        sb_dropout_words(words, &dropout, 0, 0, 0, MANY);
        sb_dropout_apply(y, x, words, MANY, &dropout);
        double dropped = 0, sum = 0;
        for (int i = 0; i < MANY; i++) {
            dropped += y[i] == 0;
            sum += y[i];
            assert_true(y[i] == 0 || y[i] == dropout.scale);
        }
        /* five standard deviations */
        double deviation = sqrt(rates[r] * (1 - rates[r]) / MANY);
        assert_true(fabs(dropped / MANY - rates[r]) < 5 * deviation + 1e-5);
        assert_true(fabs(sum / MANY - 1) < 5 * deviation / (1 - rates[r]) + 1e-5);
    }
}

static void no_key_or_rate_zero_drops_nothing(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(1, SB_RNG_DROPOUT, 0);
    assert_int_equal(sb_dropout_of(NULL, 0.5).threshold, 0);
    assert_int_equal(sb_dropout_of(&rng, 0.0).threshold, 0);
    assert_true(sb_dropout_of(&rng, 0.0).scale == 1.0f);
}

static void residual_is_added_to_what_stays(void **state)
{
    (void)state;
    static float x[COUNT], residual[COUNT], z[COUNT], kept[COUNT];
    static uint16_t words[COUNT];
    struct sb_rng rng = sb_rng_key(1, SB_RNG_DROPOUT, 0);
    struct sb_dropout dropout = sb_dropout_of(&rng, 0.3);
    sb_test_fill(x, COUNT, 1, -1, 1);
    sb_test_fill(residual, COUNT, 2, -1, 1);
    sb_dropout_words(words, &dropout, 0, 0, 0, COUNT);
    sb_dropout_apply(kept, x, words, COUNT, &dropout);
    sb_dropout_residual(z, x, residual, words, COUNT, &dropout);
    for (int i = 0; i < COUNT; i++)
        assert_true(z[i] == residual[i] + kept[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_those_of_the_definition),
        cmocka_unit_test(every_way_of_drawing_gives_the_same_words),
        cmocka_unit_test(a_piece_has_the_words_of_the_whole),
        cmocka_unit_test(other_keys_samples_and_sites_have_other_words),
        cmocka_unit_test(the_rate_and_the_mean_are_kept),
        cmocka_unit_test(no_key_or_rate_zero_drops_nothing),
        cmocka_unit_test(residual_is_added_to_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
