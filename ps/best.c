#include "best.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool sb_best_wanted(const struct sb_job *job)
{
    return job->load_best_model_at_end || job->early_stopping_patience ||
           job->metric_for_best_model;
}

void sb_best_metric_name(char name[128], const struct sb_job *job)
{
    const char *given = job->metric_for_best_model ? job->metric_for_best_model : "loss";
    snprintf(name, 128, "%s%.100s", strncmp(given, "eval_", 5) ? "eval_" : "", given);
}

/* A loss, an error or a perplexity is better where it is less. */
static bool greater_is_better(const struct sb_job *job, const char *name)
{
    static const char *const less[] = {"loss", "perplexity", "mse", "mae", "error"};
    if (strcmp(job->greater_is_better, "auto") != 0)
        return !strcmp(job->greater_is_better, "true");
    for (size_t i = 0; i < sizeof(less) / sizeof(less[0]); i++)
        if (strstr(name, less[i]))
            return false;
    return true;
}

bool sb_best_judge(struct sb_best *best, const struct sb_job *job, const json_t *results,
                   uint64_t step)
{
    char name[128];
    sb_best_metric_name(name, job);
    const json_t *value = json_object_get(results, name);
    double metric = json_number_value(value);
    double gain = greater_is_better(job, name) ? metric - best->metric : best->metric - metric;
    bool is_number = json_is_number(value) && isfinite(metric);
    bool better = is_number && (!best->known || gain > 0);
    bool improved = is_number && (!best->known || gain > job->early_stopping_threshold);
    best->waited = improved ? 0 : best->waited + 1;
    if (job->early_stopping_patience && best->waited >= job->early_stopping_patience)
        best->stop = true;
    if (!better)
        return false;
    best->known = true;
    best->saved = false;
    best->metric = metric;
    best->step = step;
    return true;
}

json_t *sb_best_to_json(const struct sb_best *best)
{
    json_t *object = json_object();
    json_object_set_new(object, "known", json_boolean(best->known));
    json_object_set_new(object, "saved", json_boolean(best->saved));
    json_object_set_new(object, "stop", json_boolean(best->stop));
    json_object_set_new(object, "metric", json_real(best->metric));
    json_object_set_new(object, "step", json_integer((json_int_t)best->step));
    json_object_set_new(object, "waited", json_integer(best->waited));
    return object;
}

void sb_best_from_json(struct sb_best *best, const json_t *object)
{
    *best = (struct sb_best){
        .known = json_is_true(json_object_get(object, "known")),
        .saved = json_is_true(json_object_get(object, "saved")),
        .stop = json_is_true(json_object_get(object, "stop")),
        .metric = json_number_value(json_object_get(object, "metric")),
        .step = (uint64_t)json_integer_value(json_object_get(object, "step")),
        .waited = (uint32_t)json_integer_value(json_object_get(object, "waited")),
    };
}
