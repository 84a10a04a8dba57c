#include "scored.h"

#include "arena.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "eval_";
enum { PREFIX_BYTES = sizeof(prefix) - 1 };

const char *sb_metric_of_task(const char *task)
{
    return !strcmp(task, "mlm")     ? "eval_loss"
           : !strcmp(task, "ner")   ? "eval_f1"
           : !strcmp(task, "embed") ? "eval_spearman"
                                    : "eval_f1_macro";
}

int sb_metric_is_loss(const char *metric)
{
    return strstr(metric, "loss") || strstr(metric, "perplexity");
}

/* The matrix of the evaluation as an array, or NULL if there is none that can be used. */
static double *read_confusion(const json_t *results, size_t *K)
{
    const json_t *rows = json_object_get(results, "eval_confusion_matrix");
    *K = json_array_size(rows);
    if (!*K)
        return NULL;
    double *confusion = sb_calloc(*K * *K, sizeof(*confusion));
    for (size_t i = 0; i < *K * *K; i++) {
        const json_t *count = json_array_get(json_array_get(rows, i / *K), i % *K);
        confusion[i] = json_number_value(count);
        if (!json_is_number(count) || confusion[i] < 0) {
            free(confusion);
            return NULL;
        }
    }
    return confusion;
}

/* {low, high} of NAME_ci; false if there is none. */
static int read_interval(double ends[2], const json_t *results, const char *key)
{
    char name[SB_METRIC_NAME_BYTES + 8];
    snprintf(name, sizeof(name), "%.60s_ci", key);
    const json_t *pair = json_object_get(results, name);
    for (size_t i = 0; i < 2; i++) {
        if (!json_is_number(json_array_get(pair, i)))
            return 0;
        ends[i] = json_number_value(json_array_get(pair, i));
    }
    return 1;
}

static int unknown_metric(const json_t *results, const char *folder, const char *metric,
                          struct sb_err *err)
{
    struct sb_bytes names = SB_BYTES_INIT;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)results, key, value)
    {
        if (json_is_number(value) && !strncmp(key, prefix, PREFIX_BYTES))
            sb_bytes_printf(&names, "%s%s", names.count ? ", " : "", key);
    }
    sb_err_set(err, SB_ERR_USAGE, "there is no metric '%s' in '%s/eval_results.json'; there are %s",
               metric, folder, names.count ? names.data : "none");
    sb_bytes_release(&names);
    return -1;
}

static int read_score(struct sb_scored *scored, const json_t *results, const char *folder,
                      const char *metric, uint64_t seed, struct sb_err *err)
{
    snprintf(scored->metric, sizeof(scored->metric), "%s%.40s",
             strncmp(metric, prefix, PREFIX_BYTES) ? prefix : "", metric);
    const json_t *value = json_object_get(results, scored->metric);
    if (!json_is_number(value))
        return unknown_metric(results, folder, metric, err);
    scored->value = json_number_value(value);
    scored->samples = json_number_value(json_object_get(results, "eval_samples"));
    /* Results of an older version have no intervals, but their matrix makes them. */
    double ends[2];
    size_t K;
    double *confusion = read_confusion(results, &K);
    const char *name = scored->metric + PREFIX_BYTES;
    if (confusion)
        scored->interval = sb_interval_of_score(confusion, K, name, seed);
    if (read_interval(ends, results, scored->metric)) {
        const char *method = scored->interval.method;
        scored->interval =
            (struct sb_interval){ends[0], ends[1], method ? method : "bootstrap of blocks"};
    }
    free(confusion);
    return 0;
}

int sb_scored_read(struct sb_scored *scored, const char *folder, const char *task,
                   const char *metric, uint64_t seed, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    *scored = (struct sb_scored){0};
    json_t *train = json_load_file(sb_path_join(path, folder, "train_results.json"), 0, NULL);
    scored->seconds = json_number_value(json_object_get(train, "train_runtime"));
    json_decref(train);
    sb_path_join(path, folder, "eval_results.json");
    if (!sb_file_exists(path) && !metric)
        return 0;
    json_error_t fault;
    json_t *results = json_load_file(path, 0, &fault);
    int rc;
    if (!json_is_object(results))
        rc = sb_err_set(err, SB_ERR_DATA, "%s:%d: not the results of an evaluation: %s", path,
                        fault.line, fault.text);
    else {
        /* Only what the user asked for must be there. */
        const char *own = sb_metric_of_task(task);
        if (!metric && !json_object_get(results, own))
            own = "eval_loss";
        rc = read_score(scored, results, folder, metric ? metric : own, seed, err);
    }
    json_decref(results);
    return rc;
}

char *sb_value_text(char out[SB_SCORE_TEXT_BYTES], const json_t *results, const char *key)
{
    char interval[48] = "";
    double ends[2];
    if (read_interval(ends, results, key))
        snprintf(interval, sizeof(interval), " [%.3f, %.3f]", ends[0], ends[1]);
    snprintf(out, SB_SCORE_TEXT_BYTES, "%.4f%s", json_number_value(json_object_get(results, key)),
             interval);
    return out;
}

char *sb_score_text(char out[SB_SCORE_TEXT_BYTES], const json_t *results, const char *key,
                    const char *count_key)
{
    sb_value_text(out, results, key);
    size_t used = strlen(out);
    snprintf(out + used, SB_SCORE_TEXT_BYTES - used, " of %.0f",
             json_number_value(json_object_get(results, count_key)));
    return out;
}

char *sb_scored_test_text(const char *folder, const char *metric)
{
    char path[SB_PATH_BYTES], key[SB_METRIC_NAME_BYTES], text[SB_SCORE_TEXT_BYTES];
    struct sb_bytes line = SB_BYTES_INIT;
    json_t *results = json_load_file(sb_path_join(path, folder, "test_results.json"), 0, NULL);
    snprintf(key, sizeof(key), "test_%.50s", metric + PREFIX_BYTES);
    if (json_is_number(json_object_get(results, key)))
        sb_bytes_printf(&line, "%s %s", key, sb_score_text(text, results, key, "test_samples"));
    json_decref(results);
    return line.data;
}

char *sb_interval_text(char out[48], const struct sb_interval *interval)
{
    if (interval->method)
        snprintf(out, 48, "[%.4f, %.4f]", interval->low, interval->high);
    else
        snprintf(out, 48, "-");
    return out;
}

json_t *sb_interval_json(const struct sb_interval *interval)
{
    if (!interval->method)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:s}", "low", interval->low, "high", interval->high, "level",
                     0.95, "method", interval->method);
}

int sb_json_write(const char *folder, const char *name, const json_t *value, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    sb_assert(text);
    struct sb_bytes line = SB_BYTES_INIT;
    sb_bytes_printf(&line, "%s\n", text);
    int rc = sb_file_write_atomic(sb_path_join(path, folder, name), line.data, line.count, err);
    sb_bytes_release(&line);
    free(text);
    return rc;
}
