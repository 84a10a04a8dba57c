/*
 * `shardbert sweep freeze JOB.yaml --output DIR`: the same job with nothing, the embeddings and the
 * first 1 .. L layers, and the whole body frozen.  Each is a run of its own in DIR/frozen-K.
 */
#include "commands.h"

#include "arena.h"
#include "child.h"
#include "file.h"
#include "log.h"
#include "role.h"
#include "signals.h"
#include "sweep.h"
#include "traffic.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_METRIC = 256, KEY_FRESH, KEY_QUIET, KEY_JSON };

struct order {
    const char *kind, *job, *output, *metric;
    struct sb_argv words; /* what every run is told */
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
    switch (key) {
    case 's':
        pass(order, "--set", argument);
        return 0;
    case 'S':
        pass(order, "--servers", argument);
        return 0;
    case 'W':
        pass(order, "--workers", argument);
        return 0;
    case KEY_FRESH:
        pass(order, "--fresh", NULL);
        return 0;
    case KEY_QUIET:
        pass(order, "--quiet", NULL);
        return 0;
    case KEY_JSON:
        pass(order, "--json", NULL);
        return 0;
    case 'o':
        order->output = argument;
        return 0;
    case KEY_METRIC:
        order->metric = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (!order->kind)
            order->kind = argument;
        else if (!order->job)
            order->job = argument;
        else
            argp_error(state, "one job file is expected, '%s' is a second", argument);
        return 0;
    case ARGP_KEY_END:
        if (!order->kind || strcmp(order->kind, "freeze") != 0)
            argp_error(state, "what is swept? There is `shardbert sweep freeze JOB.yaml`");
        if (!order->job)
            argp_error(state, "a job file is expected: shardbert sweep freeze JOB.yaml");
        if (!order->output)
            argp_error(state, "--output DIR is missing: where to?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option OPTIONS[] = {
    {"output", 'o', "DIR", 0, "Folder of the runs, sweep.json and sweep.svg (required)", 0},
    {"metric", KEY_METRIC, "NAME", 0,
     "Score of the validation split (default: eval_f1_macro; ner: eval_f1; mlm: eval_loss)", 0},
    {"set", 's', "KEY=VALUE", 0, "Change a setting of the job file; may be repeated", 0},
    {"servers", 'S', "N", 0, "Server processes; 0: inside the training process", 0},
    {"workers", 'W', "N", 0, "Worker processes; 0: inside the training process", 0},
    {"fresh", KEY_FRESH, NULL, 0, "Start all runs over", 0},
    {"quiet", KEY_QUIET, NULL, 0, "No reports, only errors and the table", 0},
    {"json", KEY_JSON, NULL, 0, "Reports as one JSON object a line", 0},
    {0},
};

static const struct argp ARGP = {
    .options = OPTIONS,
    .parser = parse,
    .args_doc = "freeze JOB.yaml --output DIR",
    .doc = "Train the same job with more and more of the model frozen.\v"
           "Runs, in folders of their own: frozen-0 (nothing), frozen-1 to frozen-L (the "
           "embeddings and the first layers), frozen-body. A finished one is not done again; an "
           "unfinished one goes on. Scores are those of the validation split: a test split is for "
           "the one model that was chosen. Intervals of accuracy are Wilson's, of other scores of "
           "a classifier a seeded bootstrap of its confusion matrix.",
};

/* The command line of the run that freezes this. */
static void tell(struct sb_argv *words, const struct order *order, const char *frozen,
                 bool own_cache, char folder[SB_PATH_BYTES])
{
    char name[32], cache[SB_PATH_BYTES], rule[48];
    snprintf(name, sizeof(name), "frozen-%s", frozen);
    sb_path_join(folder, order->output, name);
    sb_argv_add(words, order->job);
    for (size_t i = 0; i < order->words.count; i++)
        sb_argv_add(words, order->words.items[i]);
    sb_argv_set_text(words, "output_dir", folder);
    if (!own_cache)
        sb_argv_set_text(words, "cache_dir", sb_path_join(cache, order->output, "cache"));
    if (!strcmp(frozen, "0"))
        snprintf(rule, sizeof(rule), "freeze=[]");
    else
        snprintf(rule, sizeof(rule), "freeze=%s%s", strcmp(frozen, "body") ? "layers:" : "",
                 frozen);
    sb_argv_add(words, "--set");
    sb_argv_add(words, rule);
}

/* What is known before the run starts: sizes, and how many layers there are. */
static int look(struct sb_sweep *sweep, struct sb_sweep_row *row, size_t *layer_count,
                const struct sb_argv *words, struct sb_err *err)
{
    struct sb_role role;
    struct sb_task *task = NULL;
    struct sb_traffic traffic;
    char **argv = sb_calloc(words->count + 2, sizeof(*argv)), program[] = "shardbert sweep";
    int rc = -1;
    argv[0] = program;
    memcpy(argv + 1, words->items, words->count * sizeof(*argv));
    if (sb_role_begin(&role, "sweep", (int)words->count + 1, argv, err) < 0)
        goto done;
    const struct sb_job *job = &role.args.job;
    if (!job->validation_file.count)
        sb_err_set(err, SB_ERR_CONFIG, "'%s' has no validation_file: there would be no score",
                   job->job_path);
    else if (sb_dir_make(job->output_dir, err) == 0 &&
             sb_task_open(&task, job, role.pool, sb_report_prepare, &role.report, err) == 0)
        rc = sb_traffic_plan(&traffic, task, err);
    if (rc == 0) {
        *layer_count = task->bert.config.layer_count;
        sweep->parameters = task->bert.params.float_count;
        row->trained = sb_trained_count(task);
        row->bytes_per_step = traffic.push_bytes + traffic.weight_bytes;
    }
    sb_task_free(&task);
    sb_role_end(&role);
done:
    free(argv);
    return rc;
}

/* The settings that all runs share. */
struct common {
    bool own_cache;
    char task[32];
    uint64_t seed;
};

static int read_common(struct common *common, const struct order *order, struct sb_err *err)
{
    struct sb_run_args args;
    struct sb_argv words = SB_ARGV_INIT;
    sb_argv_add(&words, "shardbert sweep");
    sb_argv_add(&words, order->job);
    sb_argv_set_text(&words, "output_dir", order->output);
    for (size_t i = 0; i < order->words.count; i++)
        sb_argv_add(&words, order->words.items[i]);
    int rc = sb_run_args_parse(&args, (int)words.count, words.items, err);
    if (rc == 0) {
        const struct sb_job *job = &args.job;
        *common = (struct common){.own_cache = job->cache_dir != NULL, .seed = job->seed};
        snprintf(common->task, sizeof(common->task), "%s", job->task);
        if (sb_job_given(job, "freeze") && job->freeze.count)
            sb_log_warning("the job's own freeze is left out: the sweep sets it");
        if (job->test_file.count)
            sb_log_warning("scores shown are of the validation split: nothing is chosen on "
                           "test_file, which is shown for the chosen run alone");
        sb_run_args_release(&args);
    }
    sb_argv_release(&words);
    return rc;
}

/* One run, if it is not there already.  Returns 0, an exit code, or -1. */
static int run_one(struct sb_sweep *sweep, struct sb_sweep_row *row, size_t *layer_count,
                   const struct order *order, const struct common *common, struct sb_err *err)
{
    struct sb_argv words = SB_ARGV_INIT;
    char folder[SB_PATH_BYTES];
    tell(&words, order, row->frozen, common->own_cache, folder);
    int code = look(sweep, row, layer_count, &words, err);
    if (code == 0 && sb_stop_code)
        code = (int)sb_stop_code;
    if (code == 0)
        code = sb_child_train(&words, err);
    if (code == 0)
        code = sb_scored_read(&row->scored, folder, common->task,
                              order->metric ? order->metric : sb_metric_of_task(common->task),
                              common->seed, err);
    sb_argv_release(&words);
    return code;
}

static int write_all(const struct sb_sweep *sweep, const struct order *order, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    char path[SB_PATH_BYTES];
    json_t *json = sb_sweep_json(sweep);
    int rc = sb_json_write(order->output, "sweep.json", json, err);
    json_decref(json);
    sb_sweep_svg(&text, sweep);
    if (rc == 0)
        rc = sb_file_write_atomic(sb_path_join(path, order->output, "sweep.svg"), text.data,
                                  text.count, err);
    sb_bytes_clear(&text);
    sb_sweep_table(&text, sweep);
    if (rc == 0) {
        fwrite(text.data, 1, text.count, stdout);
        rc = sb_cmd_finish_output(err);
    }
    sb_bytes_release(&text);
    return rc;
}

static void choose(struct sb_sweep *sweep, const struct order *order)
{
    char name[32], folder[SB_PATH_BYTES];
    sweep->chosen = sb_sweep_choose(sweep);
    const struct sb_sweep_row *row = &sweep->rows[sweep->chosen];
    snprintf(name, sizeof(name), "frozen-%s", row->frozen);
    if (row->scored.metric[0])
        sweep->test_text =
            sb_scored_test_text(sb_path_join(folder, order->output, name), row->scored.metric);
}

static int sweep_freeze(const struct order *order, struct sb_err *err)
{
    struct common common;
    struct sb_sweep sweep = {.job = order->job};
    size_t layer_count = 0;
    if (read_common(&common, order, err) < 0)
        return -1;
    sweep.task = common.task;
    int code = 0;
    for (size_t k = 0; code == 0 && k < layer_count + 2; k++) {
        sweep.rows = sb_realloc(sweep.rows, (k + 1) * sizeof(*sweep.rows));
        struct sb_sweep_row *row = &sweep.rows[k];
        *row = (struct sb_sweep_row){0};
        bool is_body = k > 0 && k == layer_count + 1;
        if (is_body)
            snprintf(row->frozen, sizeof(row->frozen), "body");
        else
            snprintf(row->frozen, sizeof(row->frozen), "%u", (unsigned)k);
        snprintf(row->label, sizeof(row->label), "%s", k ? row->frozen : "nothing");
        code = run_one(&sweep, row, &layer_count, order, &common, err);
        sweep.count = k + 1;
    }
    if (code == 0) {
        choose(&sweep, order);
        code = write_all(&sweep, order, err);
    }
    free(sweep.test_text);
    free(sweep.rows);
    return code;
}

int sb_cmd_sweep(int argc, char **argv)
{
    struct order order = {0};
    struct sb_err err = SB_ERR_INIT;
    argp_err_exit_status = SB_ERR_USAGE;
    argp_parse(&ARGP, argc, argv, 0, NULL, &order);
    int code = sweep_freeze(&order, &err);
    sb_argv_release(&order.words);
    return code < 0 ? sb_cmd_fail(&err) : code;
}
