#include "pipeline_report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

size_t sb_stage_spread(double *mean, double *deviation, const struct sb_pipeline_report *report,
                       size_t stage)
{
    const char *metric = NULL;
    double sum = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct sb_scored *scored = &report->results[i].scored;
        if (report->units[i].stage != stage)
            continue;
        if (!*scored->metric || (metric && strcmp(metric, scored->metric) != 0))
            return 0;
        metric = scored->metric;
        sum += scored->value;
        n++;
    }
    if (!n)
        return 0;
    *mean = sum / (double)n;
    for (size_t i = 0; i < report->count; i++)
        if (report->units[i].stage == stage)
            squares += (report->results[i].scored.value - *mean) *
                       (report->results[i].scored.value - *mean);
    *deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
    return n;
}

static json_t *unit_json(const struct sb_unit *unit, const struct sb_unit_result *result)
{
    const struct sb_scored *scored = &result->scored;
    json_t *json = json_pack("{s:s, s:s, s:b}", "output_dir", unit->folder, "model", result->model,
                             "done_before", result->done_before);
    sb_assert(json);
    if (unit->seeded)
        json_object_set_new(json, "seed", json_integer((json_int_t)unit->seed));
    if (*scored->metric) {
        json_object_set_new(json, "metric", json_string(scored->metric));
        json_object_set_new(json, "score", json_real(scored->value));
        json_object_set_new(json, "interval", sb_interval_json(&scored->interval));
        json_object_set_new(json, "examples", json_integer((json_int_t)scored->samples));
    }
    json_object_set_new(json, "seconds", json_real(scored->seconds));
    if (result->scores)
        json_object_set(json, "scores", result->scores);
    return json;
}

static json_t *stage_json(const struct sb_pipeline_report *report, size_t index)
{
    const struct sb_stage *stage = &report->pipeline->stages[index];
    double mean, deviation;
    json_t *runs = json_array(), *from = json_object();
    for (size_t link = 0; link < SB_STAGE_LINKS; link++)
        if (stage->parents[link] != SB_NO_STAGE)
            json_object_set_new(from, sb_stage_link_key(link),
                                json_string(report->pipeline->stages[stage->parents[link]].name));
    for (size_t i = 0; i < report->count; i++)
        if (report->units[i].stage == index)
            json_array_append_new(runs, unit_json(&report->units[i], &report->results[i]));
    json_t *json = json_pack("{s:s, s:s, s:o, s:o}", "name", stage->name, "task", stage->task,
                             "from", from, "runs", runs);
    sb_assert(json);
    size_t n = sb_stage_spread(&mean, &deviation, report, index);
    if (n > 1)
        json_object_set_new(json, "over_seeds",
                            json_pack("{s:I, s:f, s:f}", "runs", (json_int_t)n, "mean", mean,
                                      "deviation", deviation));
    return json;
}

json_t *sb_pipeline_report_json(const struct sb_pipeline_report *report)
{
    json_t *stages = json_array();
    for (size_t i = 0; i < report->pipeline->count; i++)
        json_array_append_new(stages, stage_json(report, i));
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:o}", "format", "shardbert-pipeline-1",
                             "pipeline", report->pipeline->path, "scores_are_of",
                             "the validation split; scores holds all splits", "deviation_is",
                             "of the runs over seeds, with n - 1", "stages", stages);
    sb_assert(json);
    return json;
}

static const char *parent_name(const struct sb_pipeline *pipeline, const struct sb_stage *stage)
{
    for (size_t link = 0; link < SB_STAGE_LINKS; link++)
        if (stage->parents[link] != SB_NO_STAGE)
            return pipeline->stages[stage->parents[link]].name;
    return "-";
}

void sb_pipeline_report_table(struct sb_bytes *out, const struct sb_pipeline_report *report)
{
    const struct sb_pipeline *pipeline = report->pipeline;
    int width = 5;
    for (size_t i = 0; i < pipeline->count; i++)
        width = (int)strlen(pipeline->stages[i].name) > width
                    ? (int)strlen(pipeline->stages[i].name)
                    : width;
    sb_bytes_printf(out, "%-*s  %-8s  %-*s  %6s  %-13s %10s  %-18s %9s %9s\n", width, "stage",
                    "task", width, "from", "seed", "score", "value", "95 % interval", "examples",
                    "seconds");
    for (size_t i = 0; i < report->count; i++) {
        const struct sb_unit *unit = &report->units[i];
        const struct sb_stage *stage = &pipeline->stages[unit->stage];
        const struct sb_scored *scored = &report->results[i].scored;
        char interval[48], seed[24] = "-", value[32] = "-", examples[32] = "-";
        if (unit->seeded)
            snprintf(seed, sizeof(seed), "%" PRIu64, unit->seed);
        if (*scored->metric) {
            snprintf(value, sizeof(value), "%.4f", scored->value);
            snprintf(examples, sizeof(examples), "%.0f", scored->samples);
        }
        sb_bytes_printf(out, "%-*s  %-8s  %-*s  %6s  %-13s %10s  %-18s %9s %9.1f%s\n", width,
                        stage->name, stage->task, width, parent_name(pipeline, stage), seed,
                        *scored->metric ? scored->metric : "-", value,
                        sb_interval_text(interval, &scored->interval), examples, scored->seconds,
                        report->results[i].done_before ? "  done before" : "");
        bool last = i + 1 == report->count || report->units[i + 1].stage != unit->stage;
        double mean, deviation;
        size_t n = last ? sb_stage_spread(&mean, &deviation, report, unit->stage) : 0;
        if (n > 1)
            sb_bytes_printf(out, "%-*s  %-8s  %-*s  %6s  %-13s %10.4f  +- %.4f over %zu seeds\n",
                            width, stage->name, "mean", width, "", "", scored->metric, mean,
                            deviation, n);
    }
    sb_bytes_printf(out, "\nvalidation split; intervals are of the examples, +- is the deviation "
                         "over seeds\n");
}
