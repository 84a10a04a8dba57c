#include "run_record.h"

#include "card.h"
#include "file.h"
#include "fingerprint.h"

#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "shardbert-run-1";
static const char NAME[] = "shardbert.json";
enum { ANCESTORS_MAX = 64 };

/* The object of folder/shardbert.json; NULL with an empty err: there is none. */
static json_t *load(const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    json_error_t fault;
    if (!sb_file_exists(sb_path_join(path, folder, NAME)))
        return NULL;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    if (json_is_string(json_object_get(json, "settings")))
        return json;
    sb_err_set(err, SB_ERR_DATA, "%s:%d: not a record of a run: %s", path,
               fault.line > 0 ? fault.line : 1, json ? "it has no settings" : fault.text);
    json_decref(json);
    return NULL;
}

int sb_run_record_read(struct sb_run_record *record, const char *folder, struct sb_err *err)
{
    struct sb_err trouble = SB_ERR_INIT;
    *record = (struct sb_run_record){.state = SB_RUN_NONE};
    json_t *json = load(folder, &trouble);
    if (!json && trouble.text[0])
        return sb_err_set(err, trouble.code, "%s", trouble.text);
    if (!json)
        return 0;
    bool finished = json_is_true(json_object_get(json, "finished"));
    record->state = finished ? SB_RUN_FINISHED : SB_RUN_BEGUN;
    sb_bytes_append_text(&record->settings, json_string_value(json_object_get(json, "settings")));
    sb_inputs_from_json(&record->inputs, json_object_get(json, "inputs"));
    json_decref(json);
    return 0;
}

void sb_run_record_release(struct sb_run_record *record)
{
    sb_bytes_release(&record->settings);
}

static int store(const char *folder, const json_t *json, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    sb_assert(text);
    struct sb_bytes line = SB_BYTES_INIT;
    sb_bytes_printf(&line, "%s\n", text);
    int rc = sb_file_write_atomic(sb_path_join(path, folder, NAME), line.data, line.count, err);
    sb_bytes_release(&line);
    free(text);
    return rc;
}

/*
 * The records of the starting model and of those before it.  A model without a readable record has
 * no lineage: it is named by its content in the inputs, and that is all that is known.
 */
static json_t *lineage_of(const struct sb_job *job, const struct sb_inputs *inputs)
{
    json_t *lineage = json_array();
    json_t *parent = job->model_name_or_path ? load(job->model_name_or_path, NULL) : NULL;
    if (!json_is_true(json_object_get(parent, "finished"))) {
        json_decref(parent);
        return lineage;
    }
    const json_t *before = json_object_get(parent, "lineage");
    for (size_t i = 0; i < json_array_size(before) && i < ANCESTORS_MAX; i++)
        if (json_is_object(json_array_get(before, i)))
            json_array_append(lineage, json_array_get(before, i));
    char name[256];
    sb_model_name(name, sizeof(name), job->model_name_or_path);
    const char *model = json_string_value(json_object_get(parent, "model"));
    json_object_del(parent, "lineage");
    json_object_del(parent, "finished");
    json_object_set_new(parent, "name", json_string(name));
    if (model && strcmp(model, inputs->hash[SB_INPUT_MODEL]) != 0)
        json_object_set_new(parent, "changed", json_true());
    json_array_append_new(lineage, parent);
    return lineage;
}

static json_t *begun(const struct sb_job *job, const char *canonical,
                     const struct sb_inputs *inputs)
{
    json_t *json = json_pack("{s:s, s:b, s:s, s:s, s:o, s:o}", "format", FORMAT, "finished", 0,
                             "task", job->task, "settings", canonical, "inputs",
                             sb_inputs_to_json(inputs, job), "lineage", lineage_of(job, inputs));
    sb_assert(json);
    return json;
}

int sb_run_record_begin(const struct sb_job *job, const char *canonical,
                        const struct sb_inputs *inputs, struct sb_err *err)
{
    json_t *json = begun(job, canonical, inputs);
    int rc = store(job->output_dir, json, err);
    json_decref(json);
    return rc;
}

/* The record that this run began, or one that is begun now. */
static json_t *take_up(const struct sb_job *job, const char *canonical, struct sb_err *err)
{
    json_t *json = load(job->output_dir, NULL);
    const char *settings = json_string_value(json_object_get(json, "settings"));
    if (settings && !strcmp(settings, canonical) && json_object_get(json, "inputs"))
        return json;
    struct sb_inputs inputs;
    json_decref(json);
    return sb_inputs_read(&inputs, job, err) < 0 ? NULL : begun(job, canonical, &inputs);
}

static json_t *describe_data(const struct sb_dataset *data)
{
    return json_pack("{s:I, s:I, s:I, s:s}", "samples", (json_int_t)sb_dataset_count(data),
                     "tokens", (json_int_t)sb_dataset_token_count(data), "cut",
                     (json_int_t)sb_dataset_truncated_count(data), "fingerprint",
                     sb_dataset_fingerprint(data));
}

static json_t *describe_all_data(const struct sb_task *task)
{
    json_t *data = json_object();
    if (task->train)
        json_object_set_new(data, "train", describe_data(task->train));
    /* setfit also counts the texts of its head among the evaluations: they are the training's. */
    for (size_t i = 0; i < task->eval_count; i++)
        if (!strcmp(task->evals[i].name, "validation") || !strcmp(task->evals[i].name, "test"))
            json_object_set_new(data, task->evals[i].name, describe_data(task->evals[i].data));
    return data;
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && !strcmp(text + bytes - end_bytes, end);
}

/* Single numbers, and intervals of two; speeds are no scores. */
static json_t *scores_of(const char *folder, const char *name, const char *prefix)
{
    char path[SB_PATH_BYTES];
    json_t *results = json_load_file(sb_path_join(path, folder, name), 0, NULL);
    json_t *scores = json_object(), *value;
    const char *key;
    json_object_foreach(results, key, value)
    {
        bool is_interval = ends_with(key, "_ci") && json_array_size(value) == 2;
        if (strncmp(key, prefix, strlen(prefix)) != 0 || ends_with(key, "_runtime") ||
            ends_with(key, "_per_second"))
            continue;
        if (json_is_number(value) || is_interval)
            json_object_set(scores, key, value);
    }
    json_decref(results);
    return scores;
}

static json_t *all_scores(const char *folder)
{
    static const struct {
        const char *split, *name, *prefix;
    } sets[] = {{"validation", "eval_results.json", "eval_"},
                {"test", "test_results.json", "test_"}};
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        json_t *scores = scores_of(folder, sets[i].name, sets[i].prefix);
        if (json_object_size(scores))
            json_object_set(all, sets[i].split, scores);
        json_decref(scores);
    }
    return all;
}

int sb_run_record_finish(const struct sb_task *task, const char *canonical, struct sb_err *err)
{
    const char *folder = task->job->output_dir;
    char model[SB_HASH_TEXT_BYTES], numerics[SB_FINGERPRINT_BYTES];
    if (sb_model_hash(model, folder, err) < 0)
        return -1;
    json_t *json = take_up(task->job, canonical, err);
    if (!json)
        return -1;
    sb_fingerprint(numerics);
    json_object_set_new(json, "data", describe_all_data(task));
    json_object_set_new(json, "scores", all_scores(folder));
    json_object_set_new(json, "model", json_string(model));
    json_object_set_new(json, "versions",
                        json_pack("{s:s, s:s}", "shardbert", SB_VERSION, "numerics", numerics));
    json_object_set_new(json, "finished", json_true());
    int rc = sb_card_write(task, json, err);
    if (rc == 0)
        rc = store(folder, json, err);
    json_decref(json);
    return rc;
}
