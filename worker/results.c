#include "results.h"

#include "embed_head.h"
#include "file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int write_json(const char *folder, const char *name, const json_t *value, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    sb_assert(text);
    struct sb_bytes line = SB_BYTES_INIT;
    sb_bytes_append_text(&line, text);
    sb_bytes_append_text(&line, "\n");
    int rc = sb_file_write_atomic(sb_path_join(path, folder, name), line.data, line.count, err);
    sb_bytes_release(&line);
    free(text);
    return rc;
}

static void copy_key(json_t *to, const char *to_key, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    if (value)
        json_object_set(to, to_key, value);
}

/* The last record of the log, or that of a step (-1: of any), that has a key with this prefix:
 * eval_ or test_. */
static json_t *last_with_prefix(json_t *log, const char *prefix, json_int_t step)
{
    for (size_t i = json_array_size(log); i-- > 0;) {
        json_t *record = json_array_get(log, i);
        if (step >= 0 && json_integer_value(json_object_get(record, "step")) != step)
            continue;
        const char *key;
        json_t *value;
        json_object_foreach(record, key, value)
        {
            if (!strncmp(key, prefix, strlen(prefix)))
                return record;
        }
    }
    return NULL;
}

static json_t *train_results(const json_t *history)
{
    static const char *const keys[] = {"epoch",
                                       "train_loss",
                                       "train_runtime",
                                       "train_samples",
                                       "train_tokens",
                                       "train_samples_per_second",
                                       "train_steps_per_second",
                                       "total_flos"};
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        copy_key(out, keys[i], history, keys[i]);
    return out;
}

/* The log without the tables, intervals and sentences of an evaluation, which stand in
 * eval_results.json. */
static json_t *plain_log(const json_t *log)
{
    json_t *out = json_deep_copy(log);
    for (size_t i = 0; i < json_array_size(out); i++) {
        json_t *entry = json_array_get(out, i), *value;
        const char *key;
        void *next;
        json_object_foreach_safe(entry, next, key, value)
        {
            if (json_is_array(value) || json_is_string(value))
                json_object_del(entry, key);
        }
    }
    return out;
}

static void set_best(json_t *out, const json_t *best, const char *folder)
{
    bool known = json_is_true(json_object_get(best, "known"));
    json_t *checkpoint = json_null();
    if (known && json_is_true(json_object_get(best, "saved"))) {
        char path[SB_PATH_BYTES], name[64];
        snprintf(name, sizeof(name), "checkpoint-%lld",
                 (long long)json_integer_value(json_object_get(best, "step")));
        checkpoint = json_string(sb_path_join(path, folder, name));
    }
    json_object_set_new(out, "best_metric",
                        known ? json_incref(json_object_get(best, "metric")) : json_null());
    json_object_set_new(out, "best_model_checkpoint", checkpoint);
}

static json_t *trainer_state(json_t *history, const char *folder)
{
    json_t *out = json_object();
    static const char *const keys[] = {
        "epoch",      "global_step", "max_steps",  "num_train_epochs", "logging_steps",
        "eval_steps", "save_steps",  "total_flos", "train_batch_size"};
    set_best(out, json_object_get(history, "best"), folder);
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        copy_key(out, keys[i], history, keys[i]);
    json_object_set_new(out, "log_history", plain_log(json_object_get(history, "log_history")));
    json_object_set_new(out, "is_local_process_zero", json_true());
    json_object_set_new(out, "is_world_process_zero", json_true());
    return out;
}

int sb_results_write(const char *folder, const char *text, double flos_per_token,
                     struct sb_err *err)
{
    json_error_t fault;
    json_t *history = json_loads(text ? text : "{}", 0, &fault);
    if (!json_is_object(history)) {
        json_decref(history);
        return sb_err_set(err, SB_ERR_PEER, "the coordinator's history is not JSON: %s",
                          fault.text);
    }
    double tokens = json_number_value(json_object_get(history, "train_tokens"));
    json_object_set_new(history, "total_flos", json_real(flos_per_token * tokens));
    json_t *log = json_object_get(history, "log_history");
    json_t *train = train_results(history);
    json_t *all = json_copy(train);
    json_t *state = trainer_state(history, folder);
    int rc = write_json(folder, "train_results.json", train, err);
    static const struct {
        const char *prefix, *name;
    } sets[] = {{"eval_", "eval_results.json"}, {"test_", "test_results.json"}};
    for (size_t i = 0; rc == 0 && i < sizeof(sets) / sizeof(*sets); i++) {
        /* Of the model that is written, which may be that of an earlier step. */
        bool best = json_is_true(json_object_get(history, "best_is_model")) && i == 0;
        json_int_t step =
            json_integer_value(json_object_get(json_object_get(history, "best"), "step"));
        json_t *record = last_with_prefix(log, sets[i].prefix, best ? step : -1);
        if (!record)
            continue;
        json_object_update(all, record);
        rc = write_json(folder, sets[i].name, record, err);
    }
    json_object_del(all, "step");
    if (rc == 0)
        rc = write_json(folder, "all_results.json", all, err);
    if (rc == 0)
        rc = write_json(folder, "trainer_state.json", state, err);
    json_decref(state);
    json_decref(all);
    json_decref(train);
    json_decref(history);
    return rc;
}

/* config_setfit.json, as SetFit reads it. */
static int write_setfit_config(const char *folder, const struct sb_embed_head *head,
                               struct sb_err *err)
{
    json_t *labels = json_array();
    for (size_t l = 0; l < head->label_count; l++)
        json_array_append_new(labels, json_string(head->labels[l]));
    json_t *config =
        json_pack("{s:b, s:o}", "normalize_embeddings", head->normalize, "labels", labels);
    int rc = write_json(folder, "config_setfit.json", config, err);
    json_decref(config);
    return rc;
}

int sb_results_write_head(const char *folder, const char *text, struct sb_err *err)
{
    json_t *history = json_loads(text ? text : "{}", 0, NULL);
    const json_t *packed = json_object_get(history, "head");
    struct sb_embed_head head = SB_EMBED_HEAD_INIT;
    int rc = 0;
    if (packed && sb_embed_head_unpack(&head, packed, "the coordinator's head", err) < 0) {
        err->code = SB_ERR_PEER;
        rc = -1;
    } else if (packed) {
        rc = write_setfit_config(folder, &head, err);
        if (rc == 0)
            rc = sb_embed_head_write(&head, folder, err);
    }
    sb_embed_head_release(&head);
    json_decref(history);
    return rc;
}
