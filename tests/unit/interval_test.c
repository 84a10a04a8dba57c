/* Intervals of scores, against closed forms and published values. */
#include "interval.h"
#include "scores.h"
#include "support.h"

#include <math.h>

static void is_near(double got, double wanted, double within)
{
    if (!(fabs(got - wanted) <= within))
        fail_msg("got %.9g, expected %.9g", got, wanted);
}

/* Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3. */
static void wilson_gives_the_published_values(void **state)
{
    (void)state;
    static const double rows[][4] = {{81, 263, 0.2553, 0.3662},
                                     {15, 148, 0.0624, 0.1605},
                                     {0, 20, 0.0000, 0.1611},
                                     {1, 29, 0.0061, 0.1718}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sb_interval interval = sb_interval_wilson(rows[i][0], rows[i][1]);
        is_near(interval.low, rows[i][2], 5e-5);
        is_near(interval.high, rows[i][3], 5e-5);
    }
}

static void wilson_of_no_examples_says_nothing(void **state)
{
    (void)state;
    struct sb_interval interval = sb_interval_wilson(0, 0);
    assert_true(interval.low == 0 && interval.high == 1);
}

/* Accuracy is a mean of n draws: its bootstrap is the binomial distribution, for large n normal. */
static void the_bootstrap_of_accuracy_is_the_binomial_distribution(void **state)
{
    (void)state;
    const double confusion[] = {700, 100, 200, 1000};
    double p = 0.85, half = 1.959963984540054 * sqrt(p * (1 - p) / 2000);
    struct sb_interval interval = sb_interval_bootstrap(confusion, 2, "accuracy", 7);
    is_near(interval.low, p - half, 0.1 * half);
    is_near(interval.high, p + half, 0.1 * half);
    assert_string_equal(interval.method, "bootstrap");
}

static void a_perfect_matrix_has_no_spread(void **state)
{
    (void)state;
    const double confusion[] = {5, 0, 0, 0, 6, 0, 0, 0, 7};
    struct sb_interval interval = sb_interval_bootstrap(confusion, 3, "f1_macro", 1);
    assert_true(interval.low == 1 && interval.high == 1);
}

static void the_interval_holds_the_score_and_follows_the_seed_alone(void **state)
{
    (void)state;
    const double confusion[] = {30, 10, 2, 25};
    struct sb_scores scores;
    sb_scores_from_confusion(&scores, confusion, 2);
    struct sb_interval a = sb_interval_bootstrap(confusion, 2, "f1_macro", 1);
    struct sb_interval b = sb_interval_bootstrap(confusion, 2, "f1_macro", 1);
    assert_true(a.low < scores.f1_macro && scores.f1_macro < a.high);
    assert_true(a.low == b.low && a.high == b.high);
}

static void each_score_gets_what_fits_it(void **state)
{
    (void)state;
    const double confusion[] = {30, 10, 2, 25}, empty[4] = {0};
    struct sb_interval wilson = sb_interval_wilson(55, 67);
    struct sb_interval accuracy = sb_interval_of_score(confusion, 2, "accuracy", 1);
    assert_true(accuracy.low == wilson.low && accuracy.high == wilson.high);
    assert_string_equal(sb_interval_of_score(confusion, 2, "f1_macro", 1).method, "bootstrap");
    assert_null(sb_interval_of_score(confusion, 2, "loss", 1).method);
    assert_null(sb_interval_of_score(empty, 2, "f1_macro", 1).method);
    assert_null(sb_interval_of_score(empty, 2, "accuracy", 1).method);
}

/* Means of n normal numbers: Student's interval is the truth that the expanded one follows. */
static void few_blocks_widen_the_interval_as_student_does(void **state)
{
    (void)state;
    static const double rows[][2] = {{8, 2.364624}, {9, 2.306004}, {21, 2.085963}, {513, 1.964620}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        double n = rows[i][0];
        is_near(sb_bootstrap_tail((size_t)n), 0.5 * erfc(sqrt(n / (n - 1)) * rows[i][1] / M_SQRT2),
                2e-4);
    }
}

/* Of 400 sets of ten blocks, each the mean of uniform numbers, how many intervals hold 0.5? */
static void about_nineteen_of_twenty_intervals_hold_the_truth(void **state)
{
    (void)state;
    enum { SETS = 400, BLOCKS = 10, DRAWS = 500 };
    struct sb_rng rng = sb_rng_key(3, SB_RNG_SAMPLE, 77);
    double blocks[2 * BLOCKS], values[DRAWS];
    int held = 0;
    for (uint32_t set = 0; set < SETS; set++) {
        for (uint32_t i = 0; i < BLOCKS; i++) {
            uint32_t words[4];
            sb_rng_draw(&rng, set, 0, i, words);
            blocks[2 * i] = 1;
            blocks[2 * i + 1] = 0;
            for (size_t k = 0; k < 4; k++)
                blocks[2 * i + 1] += 0.25 * sb_rng_unit(words[k]);
        }
        for (uint32_t draw = 0; draw < DRAWS; draw++) {
            double sums[2];
            sb_block_draw(sums, blocks, BLOCKS, 2, set, draw);
            values[draw] = sums[1] / sums[0];
        }
        double low, high;
        sb_percentile_interval(&low, &high, values, DRAWS, sb_bootstrap_tail(BLOCKS));
        held += low <= 0.5 && 0.5 <= high;
    }
    assert_true(held >= 0.92 * SETS && held <= 0.98 * SETS);
}

/* Of many examples each cell is drawn by itself: the same spread, whatever their number. */
static void many_examples_have_the_spread_of_few(void **state)
{
    (void)state;
    const double confusion[] = {35000, 5000, 9, 50000}, n = 90009;
    double p = 85000 / n, half = 1.959963984540054 * sqrt(p * (1 - p) / n);
    struct sb_interval interval = sb_interval_bootstrap(confusion, 2, "accuracy", 7);
    is_near(interval.low, p - half, 0.1 * half);
    is_near(interval.high, p + half, 0.1 * half);
    struct sb_confusion_draws draws;
    double matrix[4], sum = 0, squares = 0;
    assert_true(sb_confusion_draws_init(&draws, confusion, 2, 1));
    for (uint32_t draw = 0; draw < 4000; draw++) {
        sb_confusion_draw(matrix, &draws, draw);
        sum += matrix[2];
        squares += matrix[2] * matrix[2];
    }
    double mean = sum / 4000;
    is_near(mean, 9, 0.2);
    is_near(squares / 4000 - mean * mean, 9, 0.8);
    sb_confusion_draws_release(&draws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson_gives_the_published_values),
        cmocka_unit_test(wilson_of_no_examples_says_nothing),
        cmocka_unit_test(the_bootstrap_of_accuracy_is_the_binomial_distribution),
        cmocka_unit_test(a_perfect_matrix_has_no_spread),
        cmocka_unit_test(the_interval_holds_the_score_and_follows_the_seed_alone),
        cmocka_unit_test(each_score_gets_what_fits_it),
        cmocka_unit_test(few_blocks_widen_the_interval_as_student_does),
        cmocka_unit_test(about_nineteen_of_twenty_intervals_hold_the_truth),
        cmocka_unit_test(many_examples_have_the_spread_of_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
