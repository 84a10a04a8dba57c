/* The log of a run. */
#include "history.h"
#include "support.h"

static json_int_t step_of(const struct sb_history *history, size_t entry)
{
    return json_integer_value(json_object_get(json_array_get(history->log, entry), "step"));
}

static void a_long_run_keeps_a_log_that_can_be_sent(void **state)
{
    (void)state;
    enum { STEPS = 3 * SB_HISTORY_ENTRIES_MAX };
    struct sb_history history;
    sb_history_init(&history);
    for (uint64_t step = 1; step <= STEPS; step++)
        sb_history_report(&history, step, 0.5, 1, 1e-5);
    size_t count = json_array_size(history.log);
    assert_in_range(count, SB_HISTORY_ENTRIES_MAX / 2, SB_HISTORY_ENTRIES_MAX);
    assert_int_equal(step_of(&history, 0), 1);
    for (size_t i = 1; i < count; i++)
        assert_true(step_of(&history, i) > step_of(&history, i - 1));
    for (size_t i = 0; i < SB_HISTORY_ENTRIES_MAX / 4; i++) /* what is new is whole */
        assert_int_equal(step_of(&history, count - 1 - i), STEPS - i);
    sb_history_release(&history);
}

static void an_evaluation_takes_the_tables_of_older_ones_away(void **state)
{
    (void)state;
    struct sb_history history;
    sb_history_init(&history);
    for (uint64_t step = 1; step <= 2; step++) {
        json_t *results =
            json_pack("{s:f, s:[[i]]}", "eval_loss", 0.25, "eval_confusion_matrix", 7);
        sb_history_evaluated(&history, step, 1, results);
        json_decref(results);
    }
    assert_null(json_object_get(json_array_get(history.log, 0), "eval_confusion_matrix"));
    assert_non_null(json_object_get(json_array_get(history.log, 0), "eval_loss"));
    assert_non_null(json_object_get(json_array_get(history.log, 1), "eval_confusion_matrix"));
    sb_history_release(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_run_keeps_a_log_that_can_be_sent),
        cmocka_unit_test(an_evaluation_takes_the_tables_of_older_ones_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
