/* Spans, and the share of the tokens that changes over a training. */
#include "support.h"

#include "dataset.h"
#include "task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 5 specials, 200 words (5 ..) and 50 continuations (205 ..). */
enum { PAD, UNK, CLS, SEP, MASK, WORDS, PIECES = 205, VOCABULARY = 255 };

static struct sb_wordpiece *tokenizer;
static struct sb_arena arena;

static int set_up(void **state)
{
    char text[8192] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    struct sb_err err = SB_ERR_INIT;
    size_t end = strlen(text);
    (void)state;
    for (int i = WORDS; i < VOCABULARY; i++)
        end +=
            (size_t)snprintf(text + end, sizeof(text) - end, i < PIECES ? "w%d\n" : "##s%d\n", i);
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text);
    return sb_wordpiece_open_vocab(&tokenizer, path, &options, &err);
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    sb_arena_release(&arena);
    return 0;
}

/* A sequence under masks: what stood there, what stands there, and what is a target. */
struct masked {
    size_t length, count;
    int32_t *before, *ids;
    uint8_t *target;
};

/* [CLS] words [SEP]; with pieces, two of five tokens go on with a word. */
static void fill(struct masked *m, size_t length, bool pieces, uint64_t sample)
{
    sb_arena_reset(&arena);
    *m = (struct masked){.length = length,
                         .before = sb_arena_array(&arena, int32_t, length),
                         .ids = sb_arena_array(&arena, int32_t, length),
                         .target = memset(sb_arena_take(&arena, length), 0, length)};
    for (size_t t = 0; t < length; t++) {
        size_t n = (size_t)sample * 31 + t;
        bool inside = pieces && (t % 5 == 3 || t % 5 == 4);
        m->before[t] = inside ? (int32_t)(PIECES + n % 50) : (int32_t)(WORDS + n % 200);
    }
    m->before[0] = CLS;
    m->before[length - 1] = SEP;
}

static void mask(struct masked *m, double probability, uint64_t sample)
{
    const struct sb_mask_options masks = {.probability = probability, .spans = true};
    struct sb_rng key = sb_rng_key(42, SB_RNG_MASK, 0);
    uint32_t *positions = sb_arena_array(&arena, uint32_t, m->length);
    int32_t *originals = sb_arena_array(&arena, int32_t, m->length);
    memcpy(m->ids, m->before, m->length * sizeof(*m->ids));
    m->count = sb_mask_sequence(m->ids, m->length, positions, originals, tokenizer, &masks, &key,
                                sample, &arena);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(originals[i], m->before[positions[i]]);
        m->target[positions[i]] = 1;
    }
    for (size_t t = 0; t < m->length; t++)
        assert_true(m->target[t] || m->ids[t] == m->before[t]);
}

/* The end of the run of targets that begins at t. */
static size_t run_end(const struct masked *m, size_t t)
{
    while (t < m->length && m->target[t])
        t++;
    return t;
}

static void share_of_the_tokens_is_exact(void **state)
{
    (void)state;
    static const double probabilities[] = {0.01, 0.15, 0.3, 0.5, 0.9, 1};
    for (size_t length = 3; length <= 130; length += 7) {
        for (size_t p = 0; p < 6; p++) {
            struct masked m;
            fill(&m, length, false, length);
            mask(&m, probabilities[p], length);
            size_t expected = (size_t)llround(probabilities[p] * (double)(length - 2));
            assert_int_equal(m.count, expected ? expected : 1);
        }
    }
}

/* P(n) = 0.2 * 0.8^(n-1) / (1 - 0.8^10), n = 1 .. 10, over spans that are far apart: chi-square
 * with 9 degrees of freedom passes 33.7 once in 10,000 times.  Neighbours and ends cost below 2 %.
 */
static void span_lengths_are_geometric_up_to_ten(void **state)
{
    (void)state;
    double seen[11] = {0}, all = 0, words = 0, chi = 0;
    for (uint64_t sample = 0; sample < 8; sample++) {
        struct masked m;
        fill(&m, 300000, false, sample);
        mask(&m, 0.002, sample);
        for (size_t t = 0; t < m.length; t++) {
            size_t end = run_end(&m, t);
            if (end > t && end - t <= 10) {
                seen[end - t]++;
                words += (double)(end - t);
                all++;
            }
            t = end;
        }
    }
    for (int n = 1; n <= 10; n++) {
        double expected = all * 0.2 * pow(0.8, n - 1) / (1 - pow(0.8, 10));
        chi += (seen[n] - expected) * (seen[n] - expected) / expected;
    }
    assert_true(all > 1000);
    assert_true(fabs(words / all - 3.797) < 0.2); /* SpanBERT's mean: 3.8 */
    if (chi > 33.7)
        fail_msg("chi-square %g over %g spans", chi, all);
}

/* 80 / 10 / 10 by spans: all [MASK], all drawn anew, or all as they were.  Two degrees of freedom;
 * a drawn word is the old one once in 250 times. */
static void span_has_one_fate(void **state)
{
    (void)state;
    double seen[3] = {0}, mixed = 0, all = 0, chi = 0;
    const double share[3] = {0.8, 0.1, 0.1};
    for (uint64_t sample = 0; sample < 8; sample++) {
        struct masked m;
        fill(&m, 200000, false, sample);
        mask(&m, 0.004, sample);
        for (size_t t = 0; t < m.length; t++) {
            size_t end = run_end(&m, t), fates[3] = {0};
            for (size_t i = t; i < end; i++)
                fates[m.ids[i] == MASK ? 0 : m.ids[i] != m.before[i] ? 1 : 2]++;
            for (int fate = 0; fate < 3 && end > t; fate++)
                seen[fate] += fates[fate] == end - t;
            mixed += end > t && fates[0] < end - t && fates[1] < end - t && fates[2] < end - t;
            all += end > t;
            t = end;
        }
    }
    assert_true(all > 1000);
    assert_true(mixed < 0.03 * all); /* neighbours that touch */
    all -= mixed;
    for (int i = 0; i < 3; i++)
        chi += (seen[i] - all * share[i]) * (seen[i] - all * share[i]) / (all * share[i]);
    if (chi > 18.4)
        fail_msg("of %g spans %g masked, %g changed, %g kept", all, seen[0], seen[1], seen[2]);
}

static void spans_are_whole_words_and_no_specials(void **state)
{
    (void)state;
    double targets = 0;
    for (uint64_t sample = 0; sample < 500; sample++) {
        struct masked m;
        fill(&m, 64, true, sample);
        m.before[30] = SEP;
        m.before[31] = CLS;
        mask(&m, 0.2, sample);
        for (size_t t = 1; t < m.length; t++)
            if (m.before[t] >= PIECES && m.before[t - 1] >= WORDS)
                assert_int_equal(m.target[t], m.target[t - 1]);
        assert_false(m.target[0] || m.target[30] || m.target[31] || m.target[63]);
        assert_in_range(m.count, 1, 12); /* round(0.2 * 60) */
        targets += (double)m.count;
    }
    assert_true(targets > 0.95 * 12 * 500);
}

static void spans_depend_on_key_and_sample_only(void **state)
{
    (void)state;
    struct masked m;
    int32_t first[64];
    fill(&m, 64, true, 1);
    mask(&m, 0.3, 9);
    memcpy(first, m.ids, sizeof(first));
    fill(&m, 64, true, 1);
    mask(&m, 0.3, 9);
    assert_memory_equal(first, m.ids, sizeof(first));
    fill(&m, 64, true, 1);
    mask(&m, 0.3, 10);
    assert_memory_not_equal(first, m.ids, sizeof(first));
}

/* A straight line from the first step to the last, and a function of the step alone. */
static void probability_is_a_line_over_the_steps(void **state)
{
    (void)state;
    struct sb_job job;
    sb_job_init(&job);
    job.mlm_probability = 0.3;
    struct sb_task task = {
        .job = &job, .total_steps = 101, .masks = {.probability = 0.3, .whole_word = true}};
    assert_true(sb_task_masks(&task, 57).probability == 0.3); /* no end is set */
    job.mlm_probability_end = 0.1;
    for (uint64_t step = 0; step <= 100; step++)
        assert_true(fabs(sb_task_masks(&task, step).probability - (0.3 - 0.002 * (double)step)) <
                    1e-12);
    assert_true(sb_task_masks(&task, 3).whole_word);
    task.total_steps = 1;
    assert_true(sb_task_masks(&task, 0).probability == 0.3);
    sb_job_release(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_of_the_tokens_is_exact),
        cmocka_unit_test(span_lengths_are_geometric_up_to_ten),
        cmocka_unit_test(span_has_one_fate),
        cmocka_unit_test(spans_are_whole_words_and_no_specials),
        cmocka_unit_test(spans_depend_on_key_and_sample_only),
        cmocka_unit_test(probability_is_a_line_over_the_steps),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
