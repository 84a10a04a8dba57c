/* The files beside a trained model, in Hugging Face's keys. */
#include "results.h"
#include "support.h"

#include <jansson.h>

static const char history[] =
    "{\"global_step\": 4, \"max_steps\": 4, \"epoch\": 2.0, \"num_train_epochs\": 2.0,"
    " \"train_loss\": 0.5, \"train_runtime\": 2.0, \"train_samples\": 12, \"train_tokens\": 100,"
    " \"train_batch_size\": 3, \"logging_steps\": 2, \"eval_steps\": 4, \"save_steps\": 0,"
    " \"log_history\": [{\"loss\": 0.6, \"step\": 2},"
    " {\"eval_loss\": 0.4, \"eval_labels\": [\"a\", \"b\"],"
    " \"eval_confusion_matrix\": [[1, 0], [0, 1]], \"step\": 4}]}";

static json_t *load(const char *folder, const char *name)
{
    json_t *value = json_load_file(sb_test_path(folder, name), 0, NULL);
    if (!value)
        fail_msg("there is no %s", name);
    return value;
}

static double number(const json_t *object, const char *key)
{
    if (!json_is_number(json_object_get(object, key)))
        fail_msg("there is no number '%s'", key);
    return json_number_value(json_object_get(object, key));
}

static void write_results(const char *folder)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_results_write(folder, history, 7.0, &err) < 0)
        fail_msg("%s", err.text);
}

static void the_state_has_the_keys_of_a_trainer(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "epoch",      "global_step", "max_steps",        "num_train_epochs", "logging_steps",
        "eval_steps", "save_steps",  "train_batch_size", "total_flos"};
    const char *folder = sb_test_dir();
    write_results(folder);
    json_t *trainer = load(folder, "trainer_state.json");
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        number(trainer, keys[i]);
    assert_true(json_is_null(json_object_get(trainer, "best_metric")));
    assert_int_equal(json_array_size(json_object_get(trainer, "log_history")), 2);
    json_decref(trainer);
}

static void tables_stand_in_the_results_and_not_in_the_log(void **state)
{
    (void)state;
    const char *folder = sb_test_dir();
    write_results(folder);
    json_t *results = load(folder, "eval_results.json"),
           *trainer = load(folder, "trainer_state.json");
    assert_int_equal(json_array_size(json_object_get(results, "eval_confusion_matrix")), 2);
    assert_int_equal(json_array_size(json_object_get(results, "eval_labels")), 2);
    const json_t *entry = json_array_get(json_object_get(trainer, "log_history"), 1);
    assert_true(number(entry, "eval_loss") == 0.4);
    assert_null(json_object_get(entry, "eval_confusion_matrix"));
    json_decref(results);
    json_decref(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_has_the_keys_of_a_trainer),
        cmocka_unit_test(tables_stand_in_the_results_and_not_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
