#include "support.h"

#include "history.h"

#include <math.h>
#include <string.h>

static json_t *load(const char *path)
{
    json_error_t trouble;
    json_t *json = json_load_file(path, 0, &trouble);
    if (!json)
        fail_msg("%s: %s", path, trouble.text);
    return json;
}

static void state_has_hugging_faces_keys(void **state)
{
    (void)state;
    /* The members of transformers' TrainerState that its loader accepts, besides newer optional
     * ones. */
    static const char *const keys[] = {"best_metric",
                                       "best_model_checkpoint",
                                       "epoch",
                                       "eval_steps",
                                       "global_step",
                                       "is_hyper_param_search",
                                       "log_history",
                                       "is_local_process_zero",
                                       "is_world_process_zero",
                                       "logging_steps",
                                       "max_steps",
                                       "num_train_epochs",
                                       "save_steps",
                                       "total_flos",
                                       "train_batch_size",
                                       "trial_name",
                                       "trial_params"};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "trainer_state.json");
    struct sb_history *history = sb_history_new();
    struct sb_trainer_state run = {.epoch = 1.5,
                                   .global_step = 20,
                                   .max_steps = 40,
                                   .num_train_epochs = 3,
                                   .best_metric = (double)NAN};
    sb_history_add(history, 0.75, 10, SB_FIELDS(sb_real("loss", 2.5), sb_real("grad_norm", 1.25)));
    sb_history_add(history, 1.5, 20, SB_FIELDS(sb_real("eval_loss", 2.25)));
    assert_int_equal(sb_history_write(history, path, &run, &err), 0);
    json_t *json = load(path);
    assert_int_equal(json_object_size(json), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        if (!json_object_get(json, keys[i]))
            fail_msg("%s is missing", keys[i]);
    }
    assert_true(json_is_null(json_object_get(json, "best_metric")));
    assert_int_equal(json_integer_value(json_object_get(json, "global_step")), 20);
    assert_int_equal(json_integer_value(json_object_get(json, "num_train_epochs")), 3);
    const json_t *first = json_array_get(json_object_get(json, "log_history"), 0);
    assert_true(json_real_value(json_object_get(first, "loss")) == 2.5);
    assert_true(json_real_value(json_object_get(first, "epoch")) == 0.75);
    assert_int_equal(json_integer_value(json_object_get(first, "step")), 10);
    json_decref(json);
    sb_history_free(&history);
}

static void resumed_history_ends_at_the_checkpoint(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "trainer_state.json");
    struct sb_history *history = sb_history_new();
    struct sb_trainer_state run = {.num_train_epochs = 0.5};
    for (uint64_t step = 10; step <= 40; step += 10)
        sb_history_add(history, 0, step, SB_FIELDS(sb_real("loss", 1)));
    assert_int_equal(sb_history_write(history, path, &run, &err), 0);
    sb_history_add(history, 0, 50, SB_FIELDS(sb_real("loss", 1)));
    assert_int_equal(sb_history_read(history, path, 20, &err), 0);
    assert_int_equal(sb_history_count(history), 2);
    sb_history_free(&history);
}

static void damaged_state_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {{"", "trainer_state.json:1:0: "},
                 {"{\n\"log_history\": [}", "trainer_state.json:2:"},
                 {"[]", "not a JSON object"},
                 {"{}", "log_history is not a list"},
                 {"{\"log_history\": [3]}", "report 0 of log_history has no step"},
                 {"{\"log_history\": [{\"step\": \"3\"}]}", "report 0 of log_history has no step"}};
    struct sb_history *history = sb_history_new();
    struct sb_err err = SB_ERR_INIT;
    sb_history_add(history, 0, 1, SB_FIELDS(sb_real("loss", 1)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = sb_test_write(sb_test_dir(), "trainer_state.json", cases[i].text);
        assert_int_equal(sb_history_read(history, path, 9, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        assert_int_equal(sb_history_count(history), 1);
    }
    assert_int_equal(sb_history_read(history, sb_test_path(sb_test_dir(), "none"), 9, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "none");
    sb_history_free(&history);
}

static void results_of_all_splits_are_collected(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    sb_test_write(dir, "all_results.json", "damaged");
    assert_int_equal(
        sb_history_write_results(dir, "train", SB_FIELDS(sb_real("train_loss", 0.5)), &err), 0);
    assert_int_equal(
        sb_history_write_results(
            dir, "eval", SB_FIELDS(sb_real("eval_loss", 0.75), sb_u64("eval_samples", 7)), &err),
        0);
    json_t *eval = load(sb_test_path(dir, "eval_results.json"));
    json_t *all = load(sb_test_path(dir, "all_results.json"));
    assert_int_equal(json_object_size(eval), 2);
    assert_int_equal(json_object_size(all), 3);
    assert_true(json_real_value(json_object_get(all, "train_loss")) == 0.5);
    assert_int_equal(json_integer_value(json_object_get(all, "eval_samples")), 7);
    json_decref(eval);
    json_decref(all);
    assert_int_equal(sb_history_write_results(sb_test_path(dir, "none"), "eval",
                                              SB_FIELDS(sb_u64("a", 1)), &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_has_hugging_faces_keys),
        cmocka_unit_test(resumed_history_ends_at_the_checkpoint),
        cmocka_unit_test(damaged_state_is_refused),
        cmocka_unit_test(results_of_all_splits_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
