/*
 * `shardbert run PIPELINE.yaml`: jobs in a row.
 *
 *     read -> plan (all settings and files checked, every folder looked at) -> run what is not done
 *          -> report
 *
 * Each run is a `shardbert train` of its own, which resumes by itself; what is done is known from
 * its folder alone, so a pipeline that was killed goes on by the same command.
 */
#include "commands.h"

#include "arena.h"
#include "child.h"
#include "file.h"
#include "log.h"
#include "output.h"
#include "pipeline_report.h"
#include "run_args.h"
#include "run_record.h"
#include "signals.h"

#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FRESH = 256, KEY_QUIET, KEY_JSON, KEY_THREADS, KEY_PLAN };

struct order {
    const char *path, *output, *log_format;
    bool fresh, plan_only;
    struct sb_argv words; /* what every run is told */
    char **sets;          /* --set as it was given */
    size_t set_count;
};

/* What stands before a run: to do, to go on with, done, or done with something else. */
struct plan {
    struct sb_pipeline pipeline;
    struct sb_unit *units;
    size_t count;
    enum sb_output_state *states; /* by unit */
};

static void pass(struct order *order, const char *option, const char *value)
{
    sb_argv_add(&order->words, option);
    if (value)
        sb_argv_add(&order->words, value);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct order *order = state->input;
    struct sb_bytes text = SB_BYTES_INIT;
    switch (key) {
    case 's':
        order->sets = sb_realloc(order->sets, (order->set_count + 1) * sizeof(*order->sets));
        order->sets[order->set_count++] = argument;
        return 0;
    case 'S':
        pass(order, "--servers", argument);
        return 0;
    case 'W':
        pass(order, "--workers", argument);
        return 0;
    case KEY_THREADS:
        sb_bytes_printf(&text, "threads=%s", argument);
        pass(order, "--set", text.data);
        sb_bytes_release(&text);
        return 0;
    case KEY_QUIET:
        order->log_format = "quiet";
        pass(order, "--quiet", NULL);
        return 0;
    case KEY_JSON:
        order->log_format = "json";
        pass(order, "--json", NULL);
        return 0;
    case KEY_FRESH:
        order->fresh = true;
        return 0;
    case KEY_PLAN:
        order->plan_only = true;
        return 0;
    case 'o':
        order->output = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (order->path)
            argp_error(state, "one pipeline is expected, '%s' is a second", argument);
        order->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (!order->path)
            argp_error(state, "a pipeline is expected: shardbert run PIPELINE.yaml");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option OPTIONS[] = {
    {"output", 'o', "DIR", 0, "Folder of the stages and report.json (default: its output_dir)", 0},
    {"set", 's', "[STAGE.]KEY=VALUE", 0,
     "Change a setting of all stages, or of one; may be repeated", 0},
    {"servers", 'S', "N", 0, "Server processes; 0: inside the training process", 0},
    {"workers", 'W', "N", 0, "Worker processes; 0: inside the training process", 0},
    {"threads", KEY_THREADS, "N", 0, "Compute threads of a worker", 0},
    {"fresh", KEY_FRESH, NULL, 0,
     "Do anew what has changed and what starts from it; if nothing has, everything", 0},
    {"plan", KEY_PLAN, NULL, 0, "Check all stages and say what would be done, but do nothing", 0},
    {"quiet", KEY_QUIET, NULL, 0, "No reports, only errors and the table", 0},
    {"json", KEY_JSON, NULL, 0, "Reports as one JSON object a line", 0},
    {0},
};

static const struct argp ARGP = {
    .options = OPTIONS,
    .parser = parse,
    .args_doc = "PIPELINE.yaml",
    .doc = "Train jobs in a row, each perhaps from the model of an earlier one.\v"
           "The file has output_dir, stages, and perhaps seeds. A stage is a job file, or settings "
           "with a name; `model_name_or_path: @NAME` is the model of an earlier stage. With seeds "
           "a stage is run once for each, in folders seed-S. A stage that is done is not done "
           "again, an unfinished one goes on from its checkpoint, and one that was done with other "
           "settings, data or models is refused without --fresh. deploy/examples/ has pipelines "
           "to start from.",
};

/* --set STAGE.KEY=VALUE is for one stage; what the pipeline decides is not changed behind it. */
static int add_sets(struct sb_argv *words, const struct order *order, const char *stage,
                    struct sb_err *err)
{
    static const char *const own[] = {"output_dir", "model_name_or_path", "cache_dir"};
    for (size_t i = 0; i < order->set_count; i++) {
        const char *set = order->sets[i], *dot = strchr(set, '.'), *equals = strchr(set, '=');
        if (dot && equals && dot < equals) {
            if (strlen(stage) != (size_t)(dot - set) || strncmp(set, stage, strlen(stage)) != 0)
                continue;
            set = dot + 1;
        }
        for (size_t k = 0; k < sizeof(own) / sizeof(*own); k++)
            if (equals && strlen(own[k]) == (size_t)(equals - set) &&
                !strncmp(set, own[k], strlen(own[k])))
                return sb_err_set(err, SB_ERR_USAGE,
                                  "--set %s: in a pipeline this is written in its file", own[k]);
        sb_argv_add(words, "--set");
        sb_argv_add(words, set);
    }
    return 0;
}

/* A name in front of a --set that no stage has. */
static int check_sets(const struct order *order, const struct sb_pipeline *pipeline,
                      struct sb_err *err)
{
    for (size_t i = 0; i < order->set_count; i++) {
        const char *set = order->sets[i], *dot = strchr(set, '.'), *equals = strchr(set, '=');
        bool known = !dot || !equals || dot > equals;
        for (size_t k = 0; !known && k < pipeline->count; k++)
            known = strlen(pipeline->stages[k].name) == (size_t)(dot - set) &&
                    !strncmp(set, pipeline->stages[k].name, (size_t)(dot - set));
        if (!known)
            return sb_err_set(err, SB_ERR_USAGE, "--set %s: there is no stage '%.*s'", set,
                              (int)(dot - set), set);
    }
    return 0;
}

/* The command line of the run of a unit. */
static int tell(struct sb_argv *words, const struct order *order, const struct plan *plan,
                const struct sb_unit *unit, struct sb_err *err)
{
    const struct sb_stage *stage = &plan->pipeline.stages[unit->stage];
    char text[64], cache[SB_PATH_BYTES];
    sb_argv_add(words, order->path);
    sb_argv_add(words, "--stage");
    sb_argv_add(words, stage->name);
    for (size_t i = 0; i < order->words.count; i++)
        sb_argv_add(words, order->words.items[i]);
    if (add_sets(words, order, stage->name, err) < 0)
        return -1;
    sb_argv_set_text(words, "output_dir", unit->folder);
    if (!stage->own_cache)
        sb_argv_set_text(words, "cache_dir",
                         sb_path_join(cache, plan->pipeline.output_dir, "cache"));
    for (size_t link = 0; link < SB_STAGE_LINKS; link++)
        if (unit->parents[link] != SB_NO_STAGE)
            sb_argv_set_text(words, sb_stage_link_key(link),
                             plan->units[unit->parents[link]].folder);
    if (unit->seeded) {
        snprintf(text, sizeof(text), "seed=%" PRIu64, unit->seed);
        sb_argv_add(words, "--set");
        sb_argv_add(words, text);
    }
    return 0;
}

/* The first parent that is not done; NULL: all are. */
static const char *waits_for(const struct plan *plan, const struct sb_unit *unit)
{
    for (size_t link = 0; link < SB_STAGE_LINKS; link++) {
        size_t parent = unit->parents[link];
        if (parent != SB_NO_STAGE && plan->states[parent] != SB_OUTPUT_FINISHED)
            return plan->pipeline.stages[plan->units[parent].stage].name;
    }
    return NULL;
}

/* A model that is still to be made is neither missed nor compared. */
static void leave_out(struct sb_job *job, const struct plan *plan, const struct sb_unit *unit)
{
    char **links[SB_STAGE_LINKS] = {&job->model_name_or_path, &job->config_name,
                                    &job->tokenizer_name};
    for (size_t link = 0; link < SB_STAGE_LINKS; link++) {
        size_t parent = unit->parents[link];
        if (parent == SB_NO_STAGE || plan->states[parent] == SB_OUTPUT_FINISHED)
            continue;
        free(*links[link]);
        *links[link] = NULL;
    }
}

/* The job as its run will see it: is all there that it needs, and what does its folder hold? */
static int look_at_job(struct plan *plan, size_t index, struct sb_job *job, struct sb_err *err)
{
    const struct sb_unit *unit = &plan->units[index];
    const char *missing = waits_for(plan, unit);
    struct sb_bytes canonical = SB_BYTES_INIT;
    struct sb_inputs inputs;
    leave_out(job, plan, unit);
    sb_job_canonical(job, &canonical);
    int rc = -1;
    if (sb_job_check_inputs(job, err) == 0 && sb_inputs_read(&inputs, job, err) == 0)
        rc = sb_output_look(&plan->states[index], job, canonical.data, &inputs, err);
    sb_bytes_release(&canonical);
    if (rc == 0 && missing && plan->states[index] != SB_OUTPUT_FREE &&
        plan->states[index] != SB_OUTPUT_CHANGED) {
        plan->states[index] = SB_OUTPUT_CHANGED;
        sb_err_set(err, SB_ERR_CONFIG,
                   "'%s' holds a run from stage '%s', which is to be done anew; use --fresh",
                   unit->folder, missing);
    }
    return rc;
}

/* err is left with the sentence of a unit that has changed. */
static int look(struct plan *plan, size_t index, const struct order *order, struct sb_err *err)
{
    const struct sb_unit *unit = &plan->units[index];
    const char *name = plan->pipeline.stages[unit->stage].name;
    struct sb_run_args args;
    struct sb_argv words = SB_ARGV_INIT;
    sb_argv_add(&words, "shardbert run");
    int rc = tell(&words, order, plan, unit, err);
    if (rc == 0)
        rc = sb_run_args_parse(&args, (int)words.count, words.items, err);
    if (rc == 0) {
        rc = look_at_job(plan, index, &args.job, err);
        sb_run_args_release(&args);
    }
    sb_argv_release(&words);
    if (rc < 0 || plan->states[index] == SB_OUTPUT_CHANGED)
        sb_err_context(err, "stage '%s'", name);
    return rc;
}

static void say_unit(const struct plan *plan, size_t index, const char *what)
{
    const struct sb_unit *unit = &plan->units[index];
    sb_log_event("stage", sb_text("name", plan->pipeline.stages[unit->stage].name),
                 sb_u64("number", index + 1), sb_u64("of", plan->count),
                 sb_text("output_dir", unit->folder), sb_text("what", what));
}

static const char *words_of(enum sb_output_state state, bool fresh)
{
    return state == SB_OUTPUT_FINISHED  ? "is done"
           : state == SB_OUTPUT_BEGUN   ? "goes on from its checkpoint"
           : state == SB_OUTPUT_CHANGED ? (fresh ? "is done anew" : "has changed")
                                        : "is to be done";
}

/*
 * With --fresh: what has changed and, for it is known by now, what starts from it; or everything.
 * It goes at once, so that a run that is stopped on its way goes on without --fresh.
 */
static int forget(struct plan *plan, size_t changed_count, struct sb_err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (changed_count && plan->states[i] != SB_OUTPUT_CHANGED)
            continue;
        if (sb_output_forget(plan->units[i].folder, err) < 0)
            return -1;
        plan->states[i] = SB_OUTPUT_FREE;
    }
    return 0;
}

/* Looks at every run before the first one starts. */
static int make_plan(struct plan *plan, const struct order *order, struct sb_err *err)
{
    struct sb_err why = SB_ERR_INIT;
    size_t changed_count = 0;
    plan->units = sb_units_of(&plan->pipeline, &plan->count);
    plan->states = sb_calloc(plan->count, sizeof(*plan->states));
    if (check_sets(order, &plan->pipeline, err) < 0)
        return -1;
    for (size_t i = 0; i < plan->count; i++) {
        struct sb_err mine = SB_ERR_INIT;
        if (look(plan, i, order, &mine) < 0)
            return sb_err_set(err, mine.code, "%s", mine.text);
        if (plan->states[i] == SB_OUTPUT_CHANGED && !changed_count++)
            why = mine;
    }
    if (order->plan_only)
        for (size_t i = 0; i < plan->count; i++)
            say_unit(plan, i, words_of(plan->states[i], order->fresh));
    if (changed_count && !order->fresh)
        return sb_err_set(err, why.code, "%s", why.text);
    return order->fresh && !order->plan_only ? forget(plan, changed_count, err) : 0;
}

/* Its results; a run without an evaluation has no score. */
static int read_result(struct sb_unit_result *result, const struct plan *plan, size_t index,
                       struct sb_err *err)
{
    const struct sb_unit *unit = &plan->units[index];
    char path[SB_PATH_BYTES];
    struct sb_err ignored = SB_ERR_INIT;
    json_error_t fault;
    sb_path_join(path, unit->folder, "shardbert.json");
    json_t *record = json_load_file(path, 0, &fault);
    const char *model = json_string_value(json_object_get(record, "model"));
    if (!record)
        return sb_err_set(err, SB_ERR_DATA, "%s:%d: %s", path, fault.line, fault.text);
    snprintf(result->model, sizeof(result->model), "%s", model ? model : "");
    result->scores = json_incref(json_object_get(record, "scores"));
    json_decref(record);
    if (sb_scored_read(&result->scored, unit->folder, plan->pipeline.stages[unit->stage].task, NULL,
                       unit->seed, &ignored) < 0)
        result->scored.metric[0] = 0;
    return 0;
}

/* One run, if it is not there already.  Returns 0, an exit code, or -1. */
static int run_one(struct sb_unit_result *result, const struct plan *plan, size_t index,
                   const struct order *order, struct sb_err *err)
{
    struct sb_argv words = SB_ARGV_INIT;
    int code = 0;
    result->done_before = plan->states[index] == SB_OUTPUT_FINISHED;
    say_unit(plan, index, words_of(plan->states[index], order->fresh));
    if (!result->done_before) {
        code = tell(&words, order, plan, &plan->units[index], err);
        if (code == 0)
            code = sb_child_train(&words, err);
    }
    sb_argv_release(&words);
    if (code == 0 && sb_stop_code)
        code = (int)sb_stop_code;
    return code == 0 ? read_result(result, plan, index, err) : code;
}

static int write_report(const struct plan *plan, const struct sb_unit_result *results,
                        struct sb_err *err)
{
    struct sb_pipeline_report report = {&plan->pipeline, plan->units, results, plan->count};
    struct sb_bytes text = SB_BYTES_INIT;
    json_t *json = sb_pipeline_report_json(&report);
    int rc = sb_dir_make(plan->pipeline.output_dir, err);
    if (rc == 0)
        rc = sb_json_write(plan->pipeline.output_dir, "report.json", json, err);
    json_decref(json);
    sb_pipeline_report_table(&text, &report);
    if (rc == 0) {
        fwrite(text.data, 1, text.count, stdout);
        rc = sb_cmd_finish_output(err);
    }
    sb_bytes_release(&text);
    return rc;
}

static int run(struct plan *plan, const struct order *order, struct sb_err *err)
{
    if (sb_pipeline_read(&plan->pipeline, order->path, order->output, err) < 0 ||
        make_plan(plan, order, err) < 0)
        return -1;
    if (order->plan_only)
        return 0;
    struct sb_unit_result *results = sb_calloc(plan->count, sizeof(*results));
    int code = 0;
    for (size_t i = 0; code == 0 && i < plan->count; i++)
        code = run_one(&results[i], plan, i, order, err);
    if (code == 0)
        code = write_report(plan, results, err);
    for (size_t i = 0; i < plan->count; i++)
        json_decref(results[i].scores);
    free(results);
    return code;
}

int sb_cmd_run(int argc, char **argv)
{
    struct order order = {0};
    struct plan plan = {0};
    struct sb_err err = SB_ERR_INIT;
    argp_err_exit_status = SB_ERR_USAGE;
    argp_parse(&ARGP, argc, argv, 0, NULL, &order);
    sb_log_open(&(struct sb_log_options){.format = order.log_format, .role = "run"});
    int code = run(&plan, &order, &err);
    sb_units_free(&plan.units, plan.count);
    free(plan.states);
    sb_pipeline_release(&plan.pipeline);
    sb_argv_release(&order.words);
    free(order.sets);
    return code < 0 ? sb_cmd_fail(&err) : code;
}
