/*
 * `shardbert status [OUTPUT_DIR|ADDRESS]`: how a run is: its step, its members, its checkpoints,
 * and what it has lost; also of a run that does not run.
 */
#include "commands.h"

#include "signals.h"
#include "status_look.h"
#include "status_text.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *target;
    bool json;
    double watch_s; /* 0: once */
    double timeout_s;
};

enum { WATCH = 'w', JSON = 'j', TIMEOUT = 't' };

static double seconds(const struct argp_state *state, const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0.1 && value <= 86400))
        argp_error(state, "%s is '%s', expected seconds from 0.1 to 86400", option, text);
    return value;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case WATCH:
        options->watch_s = argument ? seconds(state, "--watch", argument) : 2;
        return 0;
    case JSON:
        options->json = true;
        return 0;
    case TIMEOUT:
        options->timeout_s = seconds(state, "--timeout", argument);
        return 0;
    case ARGP_KEY_ARG:
        if (options->target)
            argp_error(state, "one run at a time, not '%s' as well", argument);
        options->target = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int print(const json_t *status, const struct options *options, bool again,
                 struct sb_err *err)
{
    struct sb_bytes out = SB_BYTES_INIT;
    if (again && isatty(STDOUT_FILENO))
        sb_bytes_append_text(&out, "\x1b[H\x1b[2J");
    else if (again && !options->json)
        sb_bytes_append_text(&out, "\n");
    if (options->json) {
        size_t flags = options->watch_s > 0 ? JSON_COMPACT : JSON_INDENT(2);
        char *text = json_dumps(status, flags | JSON_REAL_PRECISION(6));
        sb_bytes_printf(&out, "%s\n", text ? text : "{}");
        free(text);
    } else {
        sb_status_print(status, &out);
    }
    fwrite(out.data, 1, out.count, stdout);
    sb_bytes_release(&out);
    return sb_cmd_finish_output(err);
}

/* A run that is not there any more will not change. */
static bool goes_on(const json_t *status)
{
    const char *state = json_string_value(json_object_get(status, "state"));
    return state &&
           (!strcmp(state, "running") || !strcmp(state, "restarting") || !strcmp(state, "mute"));
}

static void wait_for_next(double wait_s)
{
    struct timespec time = {.tv_sec = (time_t)wait_s};
    time.tv_nsec = (long)((wait_s - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL); /* a signal ends it */
}

static int watch(const struct options *options, struct sb_err *err)
{
    bool again = false, more = true;
    while (more && !sb_stop_code) {
        json_t *status = sb_status_look(options->target, options->timeout_s, err);
        if (!status)
            return -1;
        int rc = print(status, options, again, err);
        more = options->watch_s > 0 && goes_on(status);
        json_decref(status);
        if (rc < 0)
            return -1;
        again = true;
        if (more)
            wait_for_next(options->watch_s);
    }
    return 0;
}

int sb_cmd_status(int argc, char **argv)
{
    static const struct argp_option list[] = {
        {"json", JSON, NULL, 0, "One object for programs", 0},
        {"timeout", TIMEOUT, "SECONDS", 0, "Wait for an answer, 5 unless set", 0},
        {"watch", WATCH, "SECONDS", OPTION_ARG_OPTIONAL,
         "Say it again every 2 seconds, or so many, while the run goes on", 0},
        {0},
    };
    static const struct argp argp = {
        .options = list,
        .parser = parse,
        .args_doc = "[OUTPUT_DIR|ADDRESS]",
        .doc =
            "Say how a run is: its step, who takes part, its checkpoints, and what was lost and "
            "done again.\vOUTPUT_DIR is that of the run, the current folder unless it is given; "
            "ADDRESS is host:port where server 0 serves its metrics (metrics_address), for a run "
            "whose files are not here.",
    };
    struct options options = {.timeout_s = 5};
    struct sb_err err = SB_ERR_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (!options.target)
        options.target = ".";
    sb_signals_install(SB_SIGNALS_ALONE, 0);
    return watch(&options, &err) < 0 ? sb_cmd_fail(&err) : 0;
}
