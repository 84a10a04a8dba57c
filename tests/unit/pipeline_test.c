/* The file of `shardbert run`: stages, links, seeds, and a sentence for each mistake. */
#include "pipeline.h"
#include "pipeline_report.h"
#include "support.h"

#include <string.h>

static struct sb_pipeline pipeline;
static struct sb_unit *units;
static size_t count;

static int forget(void **state)
{
    (void)state;
    sb_units_free(&units, count);
    sb_pipeline_release(&pipeline);
    return 0;
}

static const char *folder_with(const char *text)
{
    const char *folder = sb_test_dir();
    sb_test_write(folder, "p.yaml", text);
    sb_test_write(folder, "job.yaml", "task: classify\nlearning_rate: 1e-4\nseed: 7\n");
    return folder;
}

static const char *read_good(const char *text)
{
    struct sb_err err = SB_ERR_INIT;
    const char *folder = folder_with(text);
    if (sb_pipeline_read(&pipeline, sb_test_path(folder, "p.yaml"), NULL, &err) < 0)
        fail_msg("%s", err.text);
    units = sb_units_of(&pipeline, &count);
    return folder;
}

static void is_refused(const char *text, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    const char *folder = folder_with(text);
    assert_int_equal(sb_pipeline_read(&pipeline, sb_test_path(folder, "p.yaml"), NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, words);
    forget(NULL);
}

#define TWO                                                                                        \
    "stages:\n- name: domain\n  task: mlm\n- name: reviews\n  job: job.yaml\n"                     \
    "  model_name_or_path: @domain\n"

static void a_stage_starts_from_the_folder_of_an_earlier_one(void **state)
{
    (void)state;
    const char *folder = read_good("output_dir: out\n" TWO);
    assert_int_equal(count, 2);
    assert_string_equal(units[0].folder, sb_test_path(folder, "out/domain"));
    assert_string_equal(units[1].folder, sb_test_path(folder, "out/reviews"));
    assert_true(units[0].parents[0] == SB_NO_STAGE);
    assert_int_equal(units[1].parents[0], 0);
    assert_string_equal(pipeline.stages[1].task, "classify");
    assert_false(units[1].seeded);
}

static void settings_beside_a_job_file_win_and_keep_their_line(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_job job;
    const char *folder = read_good("output_dir: out\n" TWO "  learning_rate: 3e-5\n");
    const char *path = sb_test_path(folder, "p.yaml");
    sb_job_init(&job);
    assert_int_equal(sb_pipeline_job(&job, path, "reviews", &err), 0);
    assert_true(job.learning_rate == 3e-5);
    assert_int_equal(job.seed, 7);
    assert_string_equal(job.model_name_or_path, "@domain");
    err.text[0] = 0;
    sb_job_place(&job, "learning_rate", &err);
    assert_non_null(strstr(err.text, "p.yaml:8:3"));
    err.text[0] = 0;
    sb_job_place(&job, "seed", &err);
    assert_non_null(strstr(err.text, "job.yaml:3:1"));
    assert_int_equal(sb_pipeline_job(&job, path, "review", &err), -1);
    sb_test_err_is(&err, SB_ERR_USAGE, "there is no stage 'review'");
    sb_job_release(&job);
}

static void a_job_file_alone_is_a_stage_of_its_name(void **state)
{
    (void)state;
    read_good("output_dir: out\nstages: [job.yaml]\n");
    assert_string_equal(pipeline.stages[0].name, "job");
    assert_string_equal(pipeline.stages[0].task, "classify");
}

static void seeds_repeat_a_stage_from_the_parent_of_the_same_seed(void **state)
{
    (void)state;
    const char *folder = read_good("output_dir: out\nseeds: [3, 4]\n" TWO);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(units[i].seed, 3 + i % 2);
    assert_string_equal(units[1].folder, sb_test_path(folder, "out/domain/seed-4"));
    assert_string_equal(units[3].folder, sb_test_path(folder, "out/reviews/seed-4"));
    assert_int_equal(units[2].parents[0], 0);
    assert_int_equal(units[3].parents[0], 1);
}

static void a_parent_of_one_seed_is_shared(void **state)
{
    (void)state;
    const char *folder = read_good("output_dir: out\nseeds: [3, 4]\nstages:\n"
                                   "- {name: domain, task: mlm, seeds: 9}\n"
                                   "- {name: reviews, job: job.yaml, config_name: @domain}\n");
    assert_int_equal(count, 3);
    assert_int_equal(units[0].seed, 9);
    assert_string_equal(units[0].folder, sb_test_path(folder, "out/domain"));
    assert_int_equal(units[1].parents[1], 0);
    assert_int_equal(units[2].parents[1], 0);
}

static void seeds_of_a_parent_are_those_of_its_children(void **state)
{
    (void)state;
    read_good("output_dir: out\nstages:\n- {name: domain, task: mlm, seeds: [1, 2]}\n"
              "- {name: a, job: job.yaml, model_name_or_path: @domain}\n"
              "- {name: b, job: job.yaml, model_name_or_path: @domain, seeds: [2]}\n");
    assert_int_equal(count, 5);
    assert_int_equal(units[3].parents[0], 1);
    assert_int_equal(units[4].parents[0], 1);
    assert_false(units[4].repeated);
}

static void an_at_may_stand_anywhere_in_a_text(void **state)
{
    (void)state;
    read_good("output_dir: out@home\nstages:\n- name: a # @ here\n  task: mlm\n"
              "  text_column: 'x: @y'\n");
    assert_non_null(strstr(units[0].folder, "/out@home/a"));
}

static void each_mistake_has_its_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } mistakes[] = {
        {"stages:\n- job.yaml\n", "output_dir is missing"},
        {"output_dir: o\n", "it has no stages"},
        {"output_dir: o\nstages: job.yaml\n", "p.yaml:2:9: stages is a list"},
        {"output_dir: o\nstages: []\n", "stages is a list"},
        {"output_dir: o\nstages:\n- task: mlm\n", "p.yaml:3:3: a stage has a name"},
        {"output_dir: o\nstages:\n- name: a/b\n", "p.yaml:3:9: 'a/b' is no name"},
        {"output_dir: o\nstages:\n- name: cache\n", "is no name"},
        {"output_dir: o\nstages: [job.yaml, job.yaml]\n",
         "p.yaml:2:20: there are two stages 'job'"},
        {"output_dir: o\nstages:\n- name: a\n  task: mlmm\n", "p.yaml:4:9: task is one of"},
        {"output_dir: o\nstages:\n- name: a\n  tusk: mlm\n", "p.yaml:4:3: unknown key 'tusk'"},
        {"output_dir: o\nstages:\n- name: a\n  labels: {x: y}\n", "p.yaml:4:11: nested"},
        {"output_dir: o\nstages:\n- name: a\n  name: b\n", "p.yaml:4:3: 'name' is set again"},
        {"output_dir: o\nbatch_size: 8\nstages: [job.yaml]\n", "batch_size belongs into a stage"},
        {"output_dir: o\nstage: 8\nstages: [job.yaml]\n", "p.yaml:2:1: unknown key 'stage'"},
        {"output_dir: o\nseeds: [1, x]\nstages: [job.yaml]\n", "p.yaml:2:12: a seed is a whole"},
        {"output_dir: o\nseeds: [1, 1]\nstages: [job.yaml]\n", "seeds has 1 twice"},
        {"output_dir: o\nseeds: []\nstages: [job.yaml]\n", "seeds is empty"},
        {"output_dir: o\nseeds: [1, 2]\nstages:\n- name: a\n  seed: 5\n",
         "p.yaml:5:3: stage 'a' has a seed and is repeated over seeds; `seeds: [5]` runs it once"},
        {"output_dir: o\nstages:\n- name: a\n  model_name_or_path: @b\n",
         "p.yaml:4:3: there is no stage 'b' before 'a'; there is none"},
        {"output_dir: o\nstages:\n- name: a\n  model_name_or_path: @a\n",
         "cannot start from itself"},
        {"output_dir: o\nstages:\n- name: a\n  model_name_or_path: @b\n- name: b\n",
         "stage 'b' is later than 'a'"},
        {"output_dir: o\nstages:\n- {name: a, seeds: [1, 2]}\n"
         "- {name: b, model_name_or_path: @a, seeds: [2, 3]}\n",
         "stage 'b' has seed 3, but 'a' has no such"},
        {"output_dir: o\nstages:\n- {name: a, output_dir: o/b}\n- name: b\n",
         "stages 'a' and 'b' would both write"},
        {"output_dir: o\nstages:\n- {name: a, output_dir: x/}\n- {name: b, output_dir: ./x}\n",
         "stages 'a' and 'b' would both write"},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
        is_refused(mistakes[i].text, mistakes[i].words);
}

static void a_job_file_that_is_wrong_or_missing_is_named(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *folder = folder_with("output_dir: o\nstages: [bad.yaml]\n");
    const char *path = sb_test_path(folder, "p.yaml");
    assert_int_equal(sb_pipeline_read(&pipeline, path, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "bad.yaml");
    forget(NULL);
    sb_test_write(folder, "bad.yaml", "task: mlm\nbatch_size: many\n");
    assert_int_equal(sb_pipeline_read(&pipeline, path, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "bad.yaml:2:13: batch_size is a whole number");
}

/* 1, 2, 4: mean 7/3, squares 16/9 + 1/9 + 25/9 = 42/9, deviation sqrt(21/9). */
static void the_spread_over_seeds_is_mean_and_deviation(void **state)
{
    (void)state;
    double mean, deviation;
    read_good("output_dir: o\nstages:\n- {name: a, task: mlm, seeds: [1, 2, 3]}\n"
              "- {name: b, task: mlm}\n");
    struct sb_unit_result results[4] = {
        {.scored = {.metric = "eval_loss", .value = 1}},
        {.scored = {.metric = "eval_loss", .value = 2}},
        {.scored = {.metric = "eval_loss", .value = 4}},
        {.scored = {.metric = ""}},
    };
    struct sb_pipeline_report report = {&pipeline, units, results, count};
    assert_int_equal(sb_stage_spread(&mean, &deviation, &report, 0), 3);
    assert_float_equal(mean, 2.3333333333, 1e-9);
    assert_float_equal(deviation, 1.5275252317, 1e-9);
    assert_int_equal(sb_stage_spread(&mean, &deviation, &report, 1), 0);
    json_t *json = sb_pipeline_report_json(&report);
    const json_t *stage = json_array_get(json_object_get(json, "stages"), 0);
    assert_int_equal(json_array_size(json_object_get(stage, "runs")), 3);
    assert_float_equal(
        json_number_value(json_object_get(json_object_get(stage, "over_seeds"), "deviation")),
        1.5275252317, 1e-9);
    json_decref(json);
    struct sb_bytes table = SB_BYTES_INIT;
    sb_pipeline_report_table(&table, &report);
    assert_non_null(strstr(table.data, "2.3333  +- 1.5275 over 3 seeds"));
    sb_bytes_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_stage_starts_from_the_folder_of_an_earlier_one, forget),
        cmocka_unit_test_teardown(settings_beside_a_job_file_win_and_keep_their_line, forget),
        cmocka_unit_test_teardown(a_job_file_alone_is_a_stage_of_its_name, forget),
        cmocka_unit_test_teardown(seeds_repeat_a_stage_from_the_parent_of_the_same_seed, forget),
        cmocka_unit_test_teardown(a_parent_of_one_seed_is_shared, forget),
        cmocka_unit_test_teardown(seeds_of_a_parent_are_those_of_its_children, forget),
        cmocka_unit_test_teardown(an_at_may_stand_anywhere_in_a_text, forget),
        cmocka_unit_test_teardown(each_mistake_has_its_sentence, forget),
        cmocka_unit_test_teardown(a_job_file_that_is_wrong_or_missing_is_named, forget),
        cmocka_unit_test_teardown(the_spread_over_seeds_is_mean_and_deviation, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
