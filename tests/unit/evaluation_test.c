/* The numbers of an evaluation that people trust. */
#include "evaluation.h"
#include "label_scores.h"
#include "sums.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *results, const char *key)
{
    const json_t *value = json_object_get(results, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static json_t *evaluate(const double slots[][SB_SUM_COUNT], size_t count)
{
    struct sb_evaluation evaluation;
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "validation";
    set.slot_count = count;
    sb_evaluation_begin(&evaluation, &set, 0);
    for (size_t i = count; i-- > 0;)
        assert_int_equal(sb_evaluation_take(&evaluation, i, slots[i], SB_SUM_COUNT), 1);
    assert_int_equal(evaluation.missing, 0);
    json_t *results = sb_evaluation_results(&evaluation, NULL);
    sb_evaluation_end(&evaluation);
    return results;
}

static void every_target_weighs_the_same(void **state)
{
    (void)state;
    double slots[2][SB_SUM_COUNT] = {{0}};
    slots[0][SB_SUM_TARGETS] = 1;
    slots[0][SB_SUM_LOSS] = 5;
    slots[0][SB_SUM_CORRECT] = 1;
    slots[1][SB_SUM_TARGETS] = 9;
    slots[1][SB_SUM_LOSS] = 15;
    json_t *results = evaluate(slots, 2);
    assert_true(number(results, "eval_loss") == 2);
    assert_true(number(results, "eval_perplexity") == exp(2.0));
    assert_true(number(results, "eval_accuracy") == 0.1);
    json_decref(results);
}

static void nothing_to_predict_is_no_perfect_loss(void **state)
{
    (void)state;
    double slots[1][SB_SUM_COUNT] = {{0}};
    slots[0][SB_SUM_SAMPLES] = 3;
    json_t *results = evaluate(slots, 1);
    assert_null(json_object_get(results, "eval_loss"));
    assert_null(json_object_get(results, "eval_perplexity"));
    assert_true(number(results, "eval_samples") == 3 && number(results, "eval_targets") == 0);
    json_decref(results);
}

/* Slots of 10 targets whose mean losses are 1, 2 ... count. */
static json_t *rising(size_t count)
{
    double slots[40][SB_SUM_COUNT] = {{0}};
    assert_true(count <= 40);
    for (size_t i = 0; i < count; i++) {
        slots[i][SB_SUM_SAMPLES] = slots[i][SB_SUM_TARGETS] = 10;
        slots[i][SB_SUM_LOSS] = 10 * (double)(i + 1);
    }
    return evaluate((const double(*)[SB_SUM_COUNT])slots, count);
}

/* The mean of 40 numbers: normal, with the deviation of 1 .. 40 by the root of 40, and Student's
 * 2.0227 for 39 degrees. */
static void the_numbers_of_a_regression_may_be_of_any_size(void **state)
{
    (void)state;
    enum { WIDTH = SB_SUM_COUNT + SB_VALUE_COUNTS };
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "validation";
    set.slot_count = 2;
    set.label_count = 1;
    set.problem = 2;
    struct sb_evaluation evaluation;
    double slots[2][WIDTH] = {{0}};
    sb_evaluation_begin(&evaluation, &set, 0);
    assert_int_equal(evaluation.width, WIDTH);
    for (size_t slot = 0; slot < 2; slot++) {
        slots[slot][SB_SUM_SAMPLES] = slots[slot][SB_SUM_TARGETS] = 2;
        for (size_t i = 0; i < 2; i++)
            sb_value_counts_add(slots[slot] + SB_SUM_COUNT, 1e12 * (double)(2 * slot + i),
                                slot ? 1e30 : (double)INFINITY);
        assert_int_equal(sb_evaluation_take(&evaluation, slot, slots[slot], WIDTH), 1);
    }
    json_t *results = sb_evaluation_results(&evaluation, NULL);
    assert_true(number(results, "eval_samples") == 4);
    assert_null(json_object_get(results, "eval_mse")); /* it is infinite */
    sb_evaluation_end(&evaluation);
    json_decref(results);
}

static void a_score_of_sums_has_the_interval_of_its_blocks(void **state)
{
    (void)state;
    json_t *results = rising(40), *ci = json_object_get(results, "eval_loss_ci");
    double half = 2.0227 * sqrt((40.0 * 40 - 1) / 12 / 39);
    double low = json_number_value(json_array_get(ci, 0));
    double high = json_number_value(json_array_get(ci, 1));
    assert_true(fabs(low - (20.5 - half)) < 0.1 * half && fabs(high - (20.5 + half)) < 0.1 * half);
    ci = json_object_get(results, "eval_perplexity_ci");
    assert_true(fabs(json_number_value(json_array_get(ci, 0)) / exp(low) - 1) < 1e-9);
    assert_non_null(strstr(json_string_value(json_object_get(results, "eval_ci_method")),
                           "40 blocks of 10 samples"));
    json_decref(results);
}

static void too_few_blocks_have_no_interval_and_this_is_said(void **state)
{
    (void)state;
    json_t *results = rising(7);
    assert_null(json_object_get(results, "eval_loss_ci"));
    assert_non_null(
        strstr(json_string_value(json_object_get(results, "eval_ci_method")), "fewer than 8"));
    json_decref(results);
}

static void each_score_of_a_classification_lies_in_its_interval(void **state)
{
    (void)state;
    struct sb_evaluation evaluation;
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "test";
    set.slot_count = 1;
    set.label_count = 2;
    double slot[SB_SUM_COUNT + 4] = {60, 600, 60, 40, 45, 0, 25, 5, 10, 20};
    sb_evaluation_begin(&evaluation, &set, 0);
    assert_int_equal(sb_evaluation_take(&evaluation, 0, slot, SB_SUM_COUNT + 4), 1);
    json_t *results = sb_evaluation_results(&evaluation, NULL);
    static const char *const names[] = {"test_accuracy", "test_f1_macro", "test_mcc"};
    for (size_t i = 0; i < 3; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%s_ci", names[i]);
        json_t *ci = json_object_get(results, key);
        assert_true(json_number_value(json_array_get(ci, 0)) < number(results, names[i]));
        assert_true(number(results, names[i]) < json_number_value(json_array_get(ci, 1)));
    }
    assert_null(json_object_get(results, "test_loss_ci"));
    json_decref(results);
    sb_evaluation_end(&evaluation);
}

static void of_very_many_classes_only_shares_have_an_interval(void **state)
{
    (void)state;
    enum { K = 250 };
    struct sb_evaluation evaluation;
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "validation";
    set.slot_count = 1;
    set.label_count = K;
    double *slot = calloc(SB_SUM_COUNT + K * K, sizeof(*slot));
    slot[SB_SUM_SAMPLES] = slot[SB_SUM_TARGETS] = slot[SB_SUM_LOSS] = 2 * K;
    for (size_t k = 0; k < K; k++)
        slot[SB_SUM_COUNT + k * K + k] = slot[SB_SUM_COUNT + k * K + (k + 1) % K] = 1;
    sb_evaluation_begin(&evaluation, &set, 0);
    assert_int_equal(sb_evaluation_take(&evaluation, 0, slot, SB_SUM_COUNT + K * K), 1);
    json_t *results = sb_evaluation_results(&evaluation, NULL);
    assert_true(fabs(number(results, "eval_accuracy") - 0.5) < 1e-12);
    assert_non_null(json_object_get(results, "eval_accuracy_ci"));
    assert_null(json_object_get(results, "eval_f1_macro_ci"));
    assert_null(json_object_get(results, "eval_loss_ci"));
    assert_non_null(strstr(json_string_value(json_object_get(results, "eval_ci_method")),
                           "more than 200 classes"));
    json_decref(results);
    sb_evaluation_end(&evaluation);
    free(slot);
}

/* Slots of up to 4 rows; the last one comes first and has 2. */
static void rows_are_ranked_in_the_order_of_the_slots(void **state)
{
    (void)state;
    enum { WIDTH = SB_SUM_COUNT + 8 };
    double slots[2][WIDTH] = {{0}};
    const double rows[6][2] = {{0.1, 1}, {0.4, 2}, {0.2, 3}, {0.9, 4}, {0.8, 5}, {0.7, 6}};
    struct sb_evaluation evaluation;
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "validation";
    set.slot_count = 2;
    set.row_kind = SB__ROW_KIND__ROW_SCORED;
    set.row_count = 4;
    set.row_width = 2;
    slots[0][SB_SUM_SAMPLES] = 4;
    slots[1][SB_SUM_SAMPLES] = 2;
    memcpy(slots[0] + SB_SUM_COUNT, rows, 4 * sizeof(rows[0]));
    memcpy(slots[1] + SB_SUM_COUNT, rows + 4, 2 * sizeof(rows[0]));
    sb_evaluation_begin(&evaluation, &set, 0);

    double bad[WIDTH];
    memcpy(bad, slots[0], sizeof(bad));
    bad[SB_SUM_SAMPLES] = 5;
    assert_int_equal(sb_evaluation_take(&evaluation, 0, bad, WIDTH), -1);

    assert_int_equal(sb_evaluation_take(&evaluation, 1, slots[1], WIDTH), 1);
    assert_int_equal(sb_evaluation_take(&evaluation, 0, slots[0], WIDTH), 1);
    json_t *results = sb_evaluation_results(&evaluation, NULL);
    /* ranks 1 3 2 6 5 4 against 1 .. 6: 1 - 6 * 10 / (6 * 35) */
    assert_true(fabs(number(results, "eval_spearman") - (1 - 60.0 / 210)) < 1e-14);
    assert_true(number(results, "eval_samples") == 6);
    assert_null(json_object_get(results, "eval_spearman_ci")); /* of six pairs there is none */
    sb_evaluation_end(&evaluation);
    json_decref(results);
}

/* The run has its answer, and goes on to the end that a loss without a number brings. */
static void rows_of_a_model_that_blew_up_have_no_score(void **state)
{
    (void)state;
    enum { WIDTH = SB_SUM_COUNT + 8 };
    static const char *const names[] = {"eval_spearman", "eval_pearson", "eval_accuracy"};
    const Sb__RowKind kinds[] = {SB__ROW_KIND__ROW_SCORED, SB__ROW_KIND__ROW_RANKED};
    for (size_t k = 0; k < 2; k++) {
        double slot[WIDTH] = {0};
        struct sb_evaluation evaluation;
        Sb__EvalSet set = SB__EVAL_SET__INIT;
        set.name = (char *)(uintptr_t) "validation";
        set.slot_count = 1;
        set.row_kind = kinds[k];
        set.row_count = 4;
        set.row_width = 2;
        slot[SB_SUM_SAMPLES] = 4;
        for (size_t i = 0; i < 8; i++)
            slot[SB_SUM_COUNT + i] = i % 2 ? (double)i : (double)NAN;
        sb_evaluation_begin(&evaluation, &set, 0);
        assert_int_equal(sb_evaluation_take(&evaluation, 0, slot, WIDTH), 1);
        json_t *results = sb_evaluation_results(&evaluation, NULL);
        for (size_t i = 0; i < 3; i++)
            assert_null(json_object_get(results, names[i]));
        sb_evaluation_end(&evaluation);
        json_decref(results);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_weighs_the_same),
        cmocka_unit_test(nothing_to_predict_is_no_perfect_loss),
        cmocka_unit_test(the_numbers_of_a_regression_may_be_of_any_size),
        cmocka_unit_test(a_score_of_sums_has_the_interval_of_its_blocks),
        cmocka_unit_test(too_few_blocks_have_no_interval_and_this_is_said),
        cmocka_unit_test(each_score_of_a_classification_lies_in_its_interval),
        cmocka_unit_test(of_very_many_classes_only_shares_have_an_interval),
        cmocka_unit_test(rows_are_ranked_in_the_order_of_the_slots),
        cmocka_unit_test(rows_of_a_model_that_blew_up_have_no_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
