/* Scores against scikit-learn's. */
#include "support.h"

#include "scores.h"

#include "../golden/scores_golden.h"

#include <math.h>

static void scores_equal_scikit_learn(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        struct sb_scores scores;
        sb_scores_from_confusion(&scores, golden[i].confusion, golden[i].K);
        for (size_t j = 0; j < 14 && golden[i].scores[j].name; j++) {
            double value = NAN;
            assert_true(sb_scores_get(&value, &scores, golden[i].scores[j].name));
            if (!(fabs(value - golden[i].scores[j].value) < 1e-14))
                fail_msg("matrix %zu: %s is %.17g, expected %.17g", i, golden[i].scores[j].name,
                         value, golden[i].scores[j].value);
        }
    }
}

static void every_score_has_a_name(void **state)
{
    (void)state;
    struct sb_scores scores;
    double value;
    size_t count = 0;
    sb_scores_from_confusion(&scores, (const double[]){3, 1, 0, 2}, 2);
    for (; sb_score_name(count); count++)
        assert_true(sb_scores_get(&value, &scores, sb_score_name(count)));
    assert_int_equal(count, 14);
    assert_false(sb_scores_get(&value, &scores, "f2"));
}

static void scores_of_class_one_need_two_classes(void **state)
{
    (void)state;
    struct sb_scores scores;
    double value;
    sb_scores_from_confusion(&scores, (const double[]){3, 1, 0, 2, 1, 1, 0, 0, 1}, 3);
    assert_false(sb_scores_get(&value, &scores, "f1"));
    assert_true(sb_scores_get(&value, &scores, "f1_macro"));
}

static void no_samples_score_zero(void **state)
{
    (void)state;
    struct sb_scores scores;
    double value;
    sb_scores_from_confusion(&scores, (const double[]){0, 0, 0, 0}, 2);
    for (size_t i = 0; sb_score_name(i); i++) {
        assert_true(sb_scores_get(&value, &scores, sb_score_name(i)));
        assert_true(value == 0.0);
    }
    sb_scores_from_confusion(&scores, NULL, 0);
    assert_true(scores.accuracy == 0.0 && scores.mcc == 0.0);
}

static void perplexity_of_guessing_is_the_vocabulary(void **state)
{
    (void)state;
    assert_true(fabs(sb_perplexity(log(30522)) - 30522) < 1e-8);
    assert_true(sb_perplexity(0) == 1.0);
    assert_true(isinf(sb_perplexity(1e4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_equal_scikit_learn),
        cmocka_unit_test(every_score_has_a_name),
        cmocka_unit_test(scores_of_class_one_need_two_classes),
        cmocka_unit_test(no_samples_score_zero),
        cmocka_unit_test(perplexity_of_guessing_is_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
