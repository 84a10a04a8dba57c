#include "history.h"

#include "arena.h"
#include "file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sb_history {
    json_t *reports; /* array of objects */
};

struct sb_history *sb_history_new(void)
{
    struct sb_history *history = sb_calloc(1, sizeof(*history));
    history->reports = json_array();
    sb_assert(history->reports);
    return history;
}

void sb_history_free(struct sb_history **history)
{
    if (!*history)
        return;
    json_decref((*history)->reports);
    free(*history);
    *history = NULL;
}

void sb_history_add(struct sb_history *history, double epoch, uint64_t step,
                    const struct sb_field *fields, size_t count)
{
    json_t *report = json_object();
    sb_fields_json(report, fields, count);
    sb_fields_json(report, SB_FIELDS(sb_real("epoch", epoch), sb_u64("step", step)));
    json_array_append_new(history->reports, report);
}

size_t sb_history_count(const struct sb_history *history)
{
    return json_array_size(history->reports);
}

/* Sorted keys: equal contents are equal bytes. */
static int write_json(const json_t *json, const char *path, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    char *dump = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    sb_assert(dump);
    sb_bytes_printf(&text, "%s\n", dump);
    free(dump);
    int rc = sb_file_write_atomic(path, text.data, text.count, err);
    sb_bytes_release(&text);
    return rc;
}

/* An object from a file, or NULL. */
static json_t *read_object(const char *path, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    json_error_t trouble;
    if (sb_file_read(&text, path, err) < 0)
        return NULL;
    json_t *json =
        json_loadb(text.count ? text.data : "", text.count, JSON_REJECT_DUPLICATES, &trouble);
    sb_bytes_release(&text);
    if (!json) {
        sb_err_set(err, SB_ERR_DATA, "%s:%d:%d: %s", path, trouble.line, trouble.column,
                   trouble.text);
        return NULL;
    }
    if (!json_is_object(json)) {
        sb_err_set(err, SB_ERR_DATA, "%s: not a JSON object", path);
        json_decref(json);
        return NULL;
    }
    return json;
}

int sb_history_write(const struct sb_history *history, const char *path,
                     const struct sb_trainer_state *state, struct sb_err *err)
{
    json_t *json = json_object();
    /* The last five say nothing here; transformers' loader knows them and some tools expect them.
     */
    sb_fields_json(
        json,
        SB_FIELDS(sb_real("best_metric", state->best_metric), sb_real("epoch", state->epoch),
                  sb_u64("global_step", state->global_step), sb_u64("max_steps", state->max_steps),
                  sb_u64("eval_steps", state->eval_steps),
                  sb_u64("logging_steps", state->logging_steps),
                  sb_u64("save_steps", state->save_steps), sb_real("total_flos", state->total_flos),
                  sb_u64("train_batch_size", state->train_batch_size),
                  sb_flag("is_hyper_param_search", false), sb_flag("is_local_process_zero", true),
                  sb_flag("is_world_process_zero", true), sb_real("trial_name", (double)NAN),
                  sb_real("trial_params", (double)NAN)));
    json_object_set_new(json, "best_model_checkpoint",
                        state->best_model_checkpoint ? json_string(state->best_model_checkpoint)
                                                     : json_null());
    /* Whole in most jobs, and then an integer as Hugging Face writes it. */
    double epochs = state->num_train_epochs;
    json_object_set_new(json, "num_train_epochs",
                        epochs == floor(epochs) ? json_integer((json_int_t)epochs)
                                                : json_real(epochs));
    json_object_set(json, "log_history", history->reports);
    int rc = write_json(json, path, err);
    json_decref(json);
    return rc;
}

int sb_history_read(struct sb_history *history, const char *path, uint64_t last_step,
                    struct sb_err *err)
{
    json_t *json = read_object(path, err);
    if (!json)
        return -1;
    int rc = -1;
    json_t *kept = json_array();
    const json_t *reports = json_object_get(json, "log_history");
    if (!json_is_array(reports)) {
        sb_err_set(err, SB_ERR_DATA, "%s: log_history is not a list", path);
        goto done;
    }
    for (size_t i = 0; i < json_array_size(reports); i++) {
        json_t *report = json_array_get(reports, i);
        const json_t *step = json_object_get(report, "step");
        if (!json_is_integer(step)) {
            sb_err_set(err, SB_ERR_DATA, "%s: report %zu of log_history has no step", path, i);
            goto done;
        }
        if (json_integer_value(step) >= 0 && (uint64_t)json_integer_value(step) <= last_step)
            json_array_append(kept, report);
    }
    json_decref(history->reports);
    history->reports = json_incref(kept);
    rc = 0;
done:
    json_decref(kept);
    json_decref(json);
    return rc;
}

int sb_history_write_results(const char *folder, const char *split, const struct sb_field *fields,
                             size_t count, struct sb_err *err)
{
    char name[64], path[SB_PATH_BYTES];
    struct sb_err old = SB_ERR_INIT;
    json_t *json = json_object();
    sb_fields_json(json, fields, count);
    snprintf(name, sizeof(name), "%.32s_results.json", split);
    int rc = write_json(json, sb_path_join(path, folder, name), err);
    if (rc == 0) {
        /* A damaged all_results.json of an earlier run is only a summary: it is made anew. */
        json_t *all = read_object(sb_path_join(path, folder, "all_results.json"), &old);
        if (!all)
            all = json_object();
        json_object_update(all, json);
        rc = write_json(all, path, err);
        json_decref(all);
    }
    json_decref(json);
    return rc;
}
