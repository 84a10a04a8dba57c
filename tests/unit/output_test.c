/* What an output folder holds, the names of inputs, the lineage of a record, and the model card. */
#include "card.h"
#include "output.h"
#include "run_record.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A job whose starting model is a folder with a config.json, and whose data is one file. */
struct site {
    const char *folder, *model, *output;
    struct sb_job job;
    struct sb_bytes canonical;
    struct sb_inputs inputs;
};

static void set(struct sb_job *job, const char *key, const char *value)
{
    struct sb_err err = SB_ERR_INIT;
    char text[SB_PATH_BYTES + 64];
    snprintf(text, sizeof(text), "%s=%s", key, value);
    if (sb_job_set(job, text, &err) < 0)
        fail_msg("%s", err.text);
}

static void look_around(struct site *site)
{
    struct sb_err err = SB_ERR_INIT;
    sb_bytes_clear(&site->canonical);
    sb_job_canonical(&site->job, &site->canonical);
    if (sb_inputs_read(&site->inputs, &site->job, &err) < 0)
        fail_msg("%s", err.text);
}

static void set_up(struct site *site)
{
    struct sb_err err = SB_ERR_INIT;
    *site = (struct site){.folder = sb_test_dir()};
    site->model = sb_test_path(site->folder, "base");
    site->output = sb_test_path(site->folder, "out");
    assert_int_equal(sb_dir_make(site->model, &err), 0);
    assert_int_equal(sb_dir_make(site->output, &err), 0);
    sb_test_write(site->model, "config.json", "{}");
    sb_job_init(&site->job);
    set(&site->job, "task", "classify");
    set(&site->job, "model_name_or_path", site->model);
    set(&site->job, "train_file", sb_test_write(site->folder, "train.tsv", "a\tb\n"));
    set(&site->job, "output_dir", site->output);
    look_around(site);
}

static void tear_down(struct site *site)
{
    sb_job_release(&site->job);
    sb_bytes_release(&site->canonical);
}

static void begin(struct site *site)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_run_record_begin(&site->job, site->canonical.data, &site->inputs, &err) < 0)
        fail_msg("%s", err.text);
}

/* As sb_run_record_finish leaves it, without a model. */
static void finish(const char *folder, const char *model)
{
    const char *path = sb_test_path(folder, "shardbert.json");
    json_t *json = json_load_file(path, 0, NULL);
    json_object_set_new(json, "finished", json_true());
    json_object_set_new(json, "model", json_string(model));
    assert_int_equal(json_dump_file(json, path, 0), 0);
    json_decref(json);
}

static void holds(const struct site *site, enum sb_output_state wanted, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    enum sb_output_state state;
    if (sb_output_look(&state, &site->job, site->canonical.data, &site->inputs, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(state, wanted);
    if (words)
        sb_test_err_is(&err, SB_ERR_CONFIG, words);
}

static void make_checkpoint(const struct site *site)
{
    struct sb_err err = SB_ERR_INIT;
    const char *folder = sb_test_path(site->output, "checkpoint-4");
    assert_int_equal(sb_dir_make(folder, &err), 0);
    sb_test_write(folder, "MANIFEST.json", "{}");
}

static void a_folder_is_free_begun_or_finished(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    holds(&site, SB_OUTPUT_FREE, NULL);
    begin(&site);
    holds(&site, SB_OUTPUT_FREE, NULL);
    make_checkpoint(&site);
    holds(&site, SB_OUTPUT_BEGUN, NULL);
    finish(site.output, "");
    holds(&site, SB_OUTPUT_FINISHED, NULL);
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_output_forget(site.output, &err), 0);
    holds(&site, SB_OUTPUT_FREE, NULL);
    assert_false(sb_dir_exists(sb_test_path(site.output, "checkpoint-4")));
    tear_down(&site);
}

static void another_setting_is_noticed(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    begin(&site);
    set(&site.job, "batch_size", "8");
    look_around(&site);
    holds(&site, SB_OUTPUT_FREE, NULL); /* nothing was kept of it */
    make_checkpoint(&site);
    holds(&site, SB_OUTPUT_CHANGED, "unfinished run of other settings: batch_size is 8 here");
    finish(site.output, "");
    holds(&site, SB_OUTPUT_CHANGED, "a finished run of other settings");
    tear_down(&site);
}

static void other_data_and_another_model_are_noticed(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    begin(&site);
    finish(site.output, "");
    sb_test_write(site.folder, "train.tsv", "a\tc\n");
    look_around(&site);
    holds(&site, SB_OUTPUT_CHANGED, "another train_file");
    sb_test_write(site.folder, "train.tsv", "a\tb\n");
    sb_test_write(site.model, "config.json", "{ }");
    look_around(&site);
    holds(&site, SB_OUTPUT_CHANGED, "another model_name_or_path");
    tear_down(&site);
}

static void the_same_content_elsewhere_is_the_same(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    begin(&site);
    finish(site.output, "");
    const char *moved = sb_test_path(site.folder, "moved");
    assert_int_equal(rename(site.model, moved), 0);
    set(&site.job, "model_name_or_path", moved);
    set(&site.job, "train_file", sb_test_write(site.folder, "other.tsv", "a\tb\n"));
    look_around(&site);
    holds(&site, SB_OUTPUT_FINISHED, NULL);
    /* What only one of them has is not compared. */
    set(&site.job, "test_file", sb_test_write(site.folder, "test.tsv", "a\tb\n"));
    look_around(&site);
    holds(&site, SB_OUTPUT_FINISHED, NULL);
    tear_down(&site);
}

static void a_record_that_is_none_is_bad_data(void **state)
{
    (void)state;
    struct site site;
    struct sb_err err = SB_ERR_INIT;
    enum sb_output_state found;
    set_up(&site);
    static const char *const texts[] = {"", "{", "[]", "{}", "{\"settings\": 4}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        sb_test_write(site.output, "shardbert.json", texts[i]);
        assert_int_equal(sb_output_look(&found, &site.job, site.canonical.data, &site.inputs, &err),
                         -1);
        sb_test_err_is(&err, SB_ERR_DATA, "not a record of a run");
    }
    tear_down(&site);
}

static void the_lineage_of_a_model_goes_on_in_the_next(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    begin(&site);
    /* out is finished as what its files say, then is the start of a second run, then changed. */
    char model[SB_HASH_TEXT_BYTES];
    struct sb_err err = SB_ERR_INIT;
    sb_test_write(site.output, "config.json", "{}");
    assert_int_equal(sb_model_hash(model, site.output, &err), 0);
    finish(site.output, model);
    const char *second = sb_test_path(site.folder, "second");
    assert_int_equal(sb_dir_make(second, &err), 0);
    set(&site.job, "model_name_or_path", site.output);
    set(&site.job, "output_dir", second);
    look_around(&site);
    begin(&site);
    finish(second, "no hash");
    const char *third = sb_test_path(site.folder, "third");
    assert_int_equal(sb_dir_make(third, &err), 0);
    set(&site.job, "model_name_or_path", second);
    set(&site.job, "output_dir", third);
    look_around(&site);
    begin(&site);
    json_t *json = json_load_file(sb_test_path(third, "shardbert.json"), 0, NULL);
    const json_t *lineage = json_object_get(json, "lineage");
    assert_int_equal(json_array_size(lineage), 2);
    const json_t *oldest = json_array_get(lineage, 0), *parent = json_array_get(lineage, 1);
    assert_string_equal(json_string_value(json_object_get(oldest, "name")), "out");
    assert_string_equal(json_string_value(json_object_get(parent, "name")), "second");
    assert_null(json_object_get(oldest, "changed"));
    assert_true(json_is_true(json_object_get(parent, "changed")));
    assert_null(json_object_get(parent, "lineage"));
    json_decref(json);
    tear_down(&site);
}

static void take_setting(void *context, const char *key, const char *value)
{
    sb_bytes_printf(context, "%s is %s; ", key, value);
}

static void a_resume_may_evaluate_on_other_data_where_that_chooses_nothing(void **state)
{
    (void)state;
    struct site site;
    set_up(&site);
    set(&site.job, "validation_file", sb_test_write(site.folder, "v.tsv", "a\tb\n"));
    set(&site.job, "test_file", sb_test_write(site.folder, "t.tsv", "a\tb\n"));
    look_around(&site);
    begin(&site);
    make_checkpoint(&site);
    set(&site.job, "validation_file", sb_test_write(site.folder, "w.tsv", "b\tc\n"));
    set(&site.job, "test_file", sb_test_write(site.folder, "u.tsv", "b\tc\n"));
    look_around(&site);
    holds(&site, SB_OUTPUT_BEGUN, NULL);
    set(&site.job, "load_best_model_at_end", "true");
    look_around(&site);
    begin(&site);
    holds(&site, SB_OUTPUT_BEGUN, NULL);
    set(&site.job, "validation_file", sb_test_path(site.folder, "v.tsv"));
    look_around(&site);
    holds(&site, SB_OUTPUT_CHANGED, "an unfinished run of another validation_file");
    set(&site.job, "load_best_model_at_end", "false");
    look_around(&site);
    begin(&site);
    finish(site.output, "");
    set(&site.job, "validation_file", sb_test_path(site.folder, "w.tsv"));
    look_around(&site);
    holds(&site, SB_OUTPUT_CHANGED, "a finished run of another validation_file");
    tear_down(&site);
}

static void settings_that_differ_from_the_defaults_are_found(void **state)
{
    (void)state;
    struct site site;
    struct sb_bytes out = SB_BYTES_INIT;
    set_up(&site);
    set(&site.job, "batch_size", "8");
    set(&site.job, "labels", "[a, b]");
    look_around(&site);
    sb_settings_chosen(site.canonical.data, take_setting, &out);
    assert_string_equal(out.data, "task is classify; labels is [\"a\",\"b\"]; batch_size is 8; ");
    sb_bytes_release(&out);
    tear_down(&site);
}

static void a_card_tells_lineage_data_and_scores(void **state)
{
    (void)state;
    static const char text[] =
        "{\"task\": \"classify\", \"settings\": \"task=classify\\nbatch_size=8\\n\","
        "\"inputs\": {\"train_file\": {\"names\": [\"a|b.tsv\"], \"content\": \"12ab\"}},"
        "\"lineage\": [{\"task\": \"mlm\", \"name\": \"domain\", \"model\": \"77\", \"inputs\": "
        "{\"model_name_or_path\": {\"names\": [\"base\"], \"content\": \"55\"}}}],"
        "\"data\": {\"train\": {\"samples\": 12, \"tokens\": 345}},"
        "\"scores\": {\"validation\": {\"eval_f1\": 0.75, \"eval_f1_ci\": [0.5, 0.9], "
        "\"eval_samples\": 80}}, \"versions\": {\"shardbert\": \"1\"}, \"model\": \"88\"}";
    json_t *record = json_loads(text, 0, NULL);
    char *labels[] = {(char *)(uintptr_t) "no", (char *)(uintptr_t) "<yes>"};
    struct sb_card card = {"reviews", record, labels, 2, 1000};
    struct sb_bytes out = SB_BYTES_INIT;
    assert_non_null(record);
    sb_card_print(&out, &card);
    static const char *const parts[] = {
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\n",
        "    - type: \"f1\"\n      value: 0.75\n",
        "Classes: no, \\<yes>.",
        "1. **base**: a model without a record",
        "2. **domain**: mlm on",
        "3. **reviews**: classify on a\\|b.tsv (12 samples, 345 tokens)",
        "| train | a\\|b.tsv | 12 | 345 | `12ab` |",
        "| batch_size | 8 |",
        "| validation | eval_f1 | 0.7500 | [0.5000, 0.9000] | 80 |",
        "The owner of this model says here",
        "AutoModelForSequenceClassification.from_pretrained(\"reviews\")",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!strstr(out.data, parts[i]))
            fail_msg("the card does not say '%s':\n%s", parts[i], out.data);
    assert_null(strstr(out.data, "licence:"));
    assert_null(strstr(out.data, "language:"));
    sb_bytes_release(&out);
    json_decref(record);
}

static void a_model_is_called_by_its_folder(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"bert", "bert"},
                                           {"models/bert/", "bert"},
                                           {"runs/reviews/seed-42", "reviews/seed-42"},
                                           {"runs/reviews/seed-42//", "reviews/seed-42"},
                                           {"seed-42", "seed-42"},
                                           {"/seed-42", "seed-42"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char name[64];
        sb_model_name(name, sizeof(name), names[i][0]);
        assert_string_equal(name, names[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_free_begun_or_finished),
        cmocka_unit_test(another_setting_is_noticed),
        cmocka_unit_test(other_data_and_another_model_are_noticed),
        cmocka_unit_test(the_same_content_elsewhere_is_the_same),
        cmocka_unit_test(a_record_that_is_none_is_bad_data),
        cmocka_unit_test(the_lineage_of_a_model_goes_on_in_the_next),
        cmocka_unit_test(a_resume_may_evaluate_on_other_data_where_that_chooses_nothing),
        cmocka_unit_test(settings_that_differ_from_the_defaults_are_found),
        cmocka_unit_test(a_card_tells_lineage_data_and_scores),
        cmocka_unit_test(a_model_is_called_by_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
