/* The numbers of an evaluation that people trust. */
#include "evaluation.h"
#include "sums.h"
#include "support.h"

#include <math.h>

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
    json_t *results = sb_evaluation_results(&evaluation);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_weighs_the_same),
        cmocka_unit_test(nothing_to_predict_is_no_perfect_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
