#include "run_args.h"

#include "arena.h"
#include "pipeline.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_SET = 's',
    KEY_SERVERS = 'S',
    KEY_WORKERS = 'W',
    KEY_FRESH = 256,
    KEY_INDEX,
    KEY_BIND,
    KEY_ADDRESS,
    KEY_CHILD,
    KEY_STAGE,
    KEY_LIFE,
    KEY_INSECURE,
    KEY_QUIET,
    KEY_JSON
};

static const struct argp_option OPTIONS[] = {
    {"set", KEY_SET, "KEY=VALUE", 0, "Change a setting of the job file; may be repeated", 0},
    {"servers", KEY_SERVERS, "N", 0, "Server processes; 0: inside this one", 0},
    {"workers", KEY_WORKERS, "N", 0, "Worker processes; 0: inside this one", 0},
    {"fresh", KEY_FRESH, NULL, 0, "Start over: forget the checkpoints and results in output_dir",
     0},
    {"quiet", KEY_QUIET, NULL, 0, "No reports, only errors", 0},
    {"json", KEY_JSON, NULL, 0, "Reports as one JSON object a line", 0},
    {"index", KEY_INDEX, "N", 0, "Roles: which server this is; 0 has the coordinator", 1},
    {"address", KEY_ADDRESS, "ENDPOINT", 0,
     "Roles: endpoint of the coordinator, as tcp://HOST:PORT", 1},
    {"bind", KEY_BIND, "ENDPOINT", 0, "Roles: endpoint that this server listens on", 1},
    {"insecure", KEY_INSECURE, NULL, 0,
     "Roles: listen for other hosts although nothing is encrypted", 1},
    {"child", KEY_CHILD, NULL, OPTION_HIDDEN, NULL, 1},
    {"stage", KEY_STAGE, "NAME", OPTION_HIDDEN, NULL, 1}, /* the job is a stage of a pipeline */
    {"life", KEY_LIFE, "N", OPTION_HIDDEN, NULL, 1},
    {0},
};

struct parsing {
    struct sb_run_args *args;
    const char *job_path, *stage;
    char **sets;
    size_t set_count;
    struct sb_err *err;
};

/* A named option is --set under another name. */
static void add_set(struct parsing *parsing, const char *key, const char *value)
{
    struct sb_bytes text = SB_BYTES_INIT;
    if (key)
        sb_bytes_printf(&text, "%s=%s", key, value);
    else
        sb_bytes_append_text(&text, value);
    parsing->sets = sb_realloc(parsing->sets, (parsing->set_count + 1) * sizeof(char *));
    parsing->sets[parsing->set_count++] = text.data;
}

static error_t add_count(struct parsing *parsing, const char *key, const char *value)
{
    if (!*value || value[strspn(value, "0123456789")]) {
        sb_err_set(parsing->err, SB_ERR_USAGE, "--%s is '%s', expected a number from 0", key,
                   value);
        return EINVAL;
    }
    add_set(parsing, key, value);
    return 0;
}

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct sb_run_args *args = parsing->args;
    char *end;
    switch (key) {
    case KEY_SET:
        add_set(parsing, NULL, value);
        return 0;
    case KEY_SERVERS:
        return add_count(parsing, "servers", value);
    case KEY_WORKERS:
        return add_count(parsing, "workers", value);
    case KEY_ADDRESS:
        add_set(parsing, "address", value);
        return 0;
    case KEY_QUIET:
        add_set(parsing, "log_format", "quiet");
        return 0;
    case KEY_JSON:
        add_set(parsing, "log_format", "json");
        return 0;
    case KEY_FRESH:
        args->fresh = true;
        return 0;
    case KEY_INDEX:
        args->index = (uint32_t)strtoul(value, &end, 10);
        if (!*value || *end) {
            sb_err_set(parsing->err, SB_ERR_USAGE, "--index is '%s', expected a number from 0",
                       value);
            return EINVAL;
        }
        return 0;
    case KEY_BIND:
        args->bind = value;
        return 0;
    case KEY_LIFE:
        args->life = (uint32_t)strtoul(value, &end, 10);
        return 0;
    case KEY_CHILD:
        args->child = true;
        return 0;
    case KEY_STAGE:
        parsing->stage = value;
        return 0;
    case KEY_INSECURE:
        args->insecure = true;
        return 0;
    case ARGP_KEY_ARG:
        if (parsing->job_path) {
            sb_err_set(parsing->err, SB_ERR_USAGE, "one job file is expected, '%s' is a second",
                       value);
            return EINVAL;
        }
        parsing->job_path = value;
        return 0;
    case ARGP_KEY_NO_ARGS:
        sb_err_set(parsing->err, SB_ERR_USAGE, "a job file is expected: %s JOB.yaml", state->name);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the program or command of this name does. */
static const char *doc_of(const char *name)
{
    static const char *const docs[][2] = {
        {"shardbert plan",
         "Say what a job needs and does before it is started: memory, traffic, steps."},
        {"shardbert-ps", "A parameter server of a job."},
        {"shardbert-worker", "A worker of a job."},
    };
    const char *slash = strrchr(name, '/');
    for (size_t i = 0; i < sizeof(docs) / sizeof(*docs); i++)
        if (!strcmp(slash ? slash + 1 : name, docs[i][0]))
            return docs[i][1];
    return "Train as a job file says.";
}

int sb_run_args_parse(struct sb_run_args *args, int argc, char **argv, struct sb_err *err)
{
    *args = (struct sb_run_args){.argv = argv + 1, .argc = argc - 1};
    struct parsing parsing = {.args = args, .err = err};
    sb_job_init(&args->job);
    int rc = -1;
    argp_err_exit_status = SB_ERR_USAGE;
    char doc[256];
    snprintf(doc, sizeof(doc),
             "%s\vEvery key of the job file is explained in common/config/REFERENCE.md.",
             doc_of(argv[0]));
    const struct argp argp = {
        .options = OPTIONS, .parser = on_option, .args_doc = "JOB.yaml", .doc = doc};
    if (argp_parse(&argp, argc, argv, 0, NULL, &parsing) != 0) {
        if (!err->text[0])
            sb_err_set(err, SB_ERR_USAGE, "the command line is not understood");
        goto done;
    }
    if ((parsing.stage ? sb_pipeline_job(&args->job, parsing.job_path, parsing.stage, err)
                       : sb_job_read(&args->job, parsing.job_path, err)) < 0 ||
        sb_job_environment(&args->job, err) < 0)
        goto done;
    for (size_t i = 0; i < parsing.set_count; i++)
        if (sb_job_set(&args->job, parsing.sets[i], err) < 0)
            goto done;
    sb_job_settle(&args->job);
    rc = sb_job_check(&args->job, err);
done:
    for (size_t i = 0; i < parsing.set_count; i++)
        free(parsing.sets[i]);
    free(parsing.sets);
    if (rc < 0)
        sb_run_args_release(args);
    return rc;
}

void sb_run_args_release(struct sb_run_args *args)
{
    sb_job_release(&args->job);
}
