#include "sweep.h"

#include <string.h>

const char *sb_sweep_interval_words(const struct sb_sweep *sweep)
{
    const char *method = sweep->count ? sweep->rows[0].scored.interval.method : NULL;
    if (!method)
        return "no interval: too few samples (eval_ci_method in eval_results.json)";
    return !strcmp(method, "Wilson")      ? "95 % interval: Wilson"
           : !strcmp(method, "bootstrap") ? "95 % interval: bootstrap of the confusion matrix, "
                                            "2000 draws"
                                          : "95 % interval: bootstrap of blocks of samples, "
                                            "2000 draws";
}

size_t sb_sweep_choose(const struct sb_sweep *sweep)
{
    size_t best = 0;
    for (size_t i = 1; i < sweep->count; i++) {
        double gain = sweep->rows[i].scored.value - sweep->rows[best].scored.value;
        if (sb_metric_is_loss(sweep->rows[i].scored.metric) ? gain < 0 : gain > 0)
            best = i;
    }
    return best;
}

char *sb_count_text(char out[24], double count)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    while (count >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units)) {
        count /= 1000;
        unit++;
    }
    snprintf(out, 24, "%.*f%s", unit && count < 99.95 ? 1 : 0, count, units[unit]);
    return out;
}

json_t *sb_sweep_json(const struct sb_sweep *sweep)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sb_sweep_row *row = &sweep->rows[i];
        json_t *json =
            json_pack("{s:s, s:I, s:s, s:f, s:I, s:o, s:f, s:f}", "frozen", row->frozen,
                      "trained_parameters", (json_int_t)row->trained, "metric", row->scored.metric,
                      "score", row->scored.value, "examples", (json_int_t)row->scored.samples,
                      "interval", sb_interval_json(&row->scored.interval), "seconds",
                      row->scored.seconds, "bytes_per_step", row->bytes_per_step);
        sb_assert(json);
        json_array_append_new(rows, json);
    }
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:o}", "format", "shardbert-sweep-1", "job",
                  sweep->job, "task", sweep->task, "split", "validation", "parameters",
                  (json_int_t)sweep->parameters, "interval_of_the_score",
                  sb_sweep_interval_words(sweep), "bytes_per_step_are",
                  "planned: gradients pushed and weights fetched by all workers in an "
                  "average step, without heads of messages",
                  "rows", rows);
    sb_assert(json);
    if (sweep->count)
        json_object_set_new(json, "chosen_on_validation",
                            json_string(sweep->rows[sweep->chosen].frozen));
    if (sweep->test_text)
        json_object_set_new(json, "test_of_the_chosen", json_string(sweep->test_text));
    return json;
}

void sb_sweep_table(struct sb_bytes *out, const struct sb_sweep *sweep)
{
    sb_bytes_printf(out, "%-8s %12s %14s  %-18s %9s %10s %12s\n", "frozen", "trained",
                    sweep->count ? sweep->rows[0].scored.metric : "score", "95 % interval",
                    "examples", "seconds", "bytes/step");
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sb_sweep_row *row = &sweep->rows[i];
        char interval[48], bytes[24];
        sb_bytes_printf(out, "%-8s %12llu %14.4f  %-18s %9.0f %10.1f %12s\n", row->frozen,
                        (unsigned long long)row->trained, row->scored.value,
                        sb_interval_text(interval, &row->scored.interval), row->scored.samples,
                        row->scored.seconds, sb_count_text(bytes, row->bytes_per_step));
    }
    sb_bytes_printf(out, "\nvalidation split; %s\n", sb_sweep_interval_words(sweep));
    if (sweep->test_text)
        sb_bytes_printf(out, "best on validation: frozen %s; test split, of this run alone: %s\n",
                        sweep->rows[sweep->chosen].frozen, sweep->test_text);
}
