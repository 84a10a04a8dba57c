/* The sums of an evaluation's slots, and what is made of them when all are there. */
#include "support.h"

#include "entities.h"
#include "evaluation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPES = 2,
    WIDTH = SB_SUM_COUNT + SB_TOKEN_COUNTS + SB_ENTITY_MODES * SB_ENTITY_COUNTS * TYPES
};

static char *types[TYPES] = {(char *)(uintptr_t) "PER", (char *)(uintptr_t) "LOC"};

static Sb__EvalSet tag_set(const char *name)
{
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t)name;
    set.slot_count = 2;
    set.label_count = 5;
    set.types = types;
    set.n_types = TYPES;
    return set;
}

static double value(const json_t *results, const char *key)
{
    const json_t *found = json_object_get(results, key);
    if (!json_is_number(found))
        fail_msg("there is no number '%s'", key);
    return json_number_value(found);
}

static void is_close(const json_t *results, const char *key, double expected)
{
    if (!(fabs(value(results, key) - expected) < 1e-12))
        fail_msg("%s is %.17g, expected %.17g", key, value(results, key), expected);
}

/* Entities (right, predicted, gold): PER 1 3 2, LOC 1 1 2; strictly PER 0 2 2, LOC 1 1 2. */
static void counts_of_entities_become_scores(void **state)
{
    (void)state;
    static const double first[WIDTH] = {3, 40, 8, 4.0, 6, 0, 8, 6, 4, 5, 6, 1,
                                        2, 1,  0, 0,   1, 0, 1, 1, 0, 0, 1};
    static const double second[WIDTH] = {2, 20, 4, 2.0, 3, 0, 4, 3, 1, 2, 2, 0,
                                         1, 1,  1, 1,   1, 0, 1, 1, 1, 1, 1};
    struct sb_evaluation evaluation;
    Sb__EvalSet set = tag_set("validation");
    assert_int_equal(sb_evaluation_width(&set), WIDTH);
    sb_evaluation_begin(&evaluation, &set, 0);
    assert_int_equal(sb_evaluation_take(&evaluation, 1, second, WIDTH), 1);
    assert_int_equal(sb_evaluation_take(&evaluation, 1, second, WIDTH), 0);
    assert_int_equal(sb_evaluation_take(&evaluation, 0, first, WIDTH - 1), -1);
    assert_int_equal(sb_evaluation_take(&evaluation, 2, first, WIDTH), -1);
    assert_int_equal(sb_evaluation_take(&evaluation, 0, first, WIDTH), 1);
    assert_int_equal(evaluation.missing, 0);
    json_t *results = sb_evaluation_results(&evaluation);
    is_close(results, "eval_loss", 6.0 / 12);
    is_close(results, "eval_samples", 5);
    is_close(results, "eval_accuracy", 9.0 / 12);
    is_close(results, "eval_token_f1", 2.0 * 5 / (7 + 8));
    is_close(results, "eval_precision", 2.0 / 4);
    is_close(results, "eval_recall", 2.0 / 4);
    is_close(results, "eval_f1", 2.0 * 2 / (4 + 4));
    is_close(results, "eval_f1_macro", (2.0 / 5 + 2.0 / 3) / 2);
    is_close(results, "eval_precision_strict", 1.0 / 3);
    is_close(results, "eval_f1_weighted_strict", (2 * 0.0 + 2 * 2.0 / 3) / 4);
    is_close(results, "eval_PER_precision", 1.0 / 3);
    is_close(results, "eval_LOC_recall", 1.0 / 2);
    assert_null(json_object_get(results, "eval_perplexity"));
    json_decref(results);
    sb_evaluation_end(&evaluation);
}

static void the_test_set_has_its_own_prefix(void **state)
{
    (void)state;
    static const double none[WIDTH];
    struct sb_evaluation evaluation;
    Sb__EvalSet set = tag_set("test");
    sb_evaluation_begin(&evaluation, &set, 1);
    sb_evaluation_take(&evaluation, 0, none, WIDTH);
    sb_evaluation_take(&evaluation, 1, none, WIDTH);
    json_t *results = sb_evaluation_results(&evaluation);
    is_close(results, "test_f1", 0);
    is_close(results, "test_PER_f1", 0);
    json_decref(results);
    sb_evaluation_end(&evaluation);
}

static void classes_come_with_their_confusion_matrix(void **state)
{
    (void)state;
    double sums[SB_SUM_COUNT + 4] = {[SB_SUM_COUNT] = 3, 1, 2, 4};
    struct sb_evaluation evaluation;
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t) "validation";
    set.slot_count = 1;
    set.label_count = 2;
    sb_evaluation_begin(&evaluation, &set, 0);
    sb_evaluation_take(&evaluation, 0, sums, SB_SUM_COUNT + 4);
    json_t *results = sb_evaluation_results(&evaluation);
    char *matrix = json_dumps(json_object_get(results, "eval_confusion_matrix"), JSON_COMPACT);
    assert_string_equal(matrix, "[[3,1],[2,4]]");
    is_close(results, "eval_accuracy", 0.7);
    free(matrix);
    json_decref(results);
    sb_evaluation_end(&evaluation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_of_entities_become_scores),
        cmocka_unit_test(the_test_set_has_its_own_prefix),
        cmocka_unit_test(classes_come_with_their_confusion_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
