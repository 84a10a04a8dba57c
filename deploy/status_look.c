#include "status_look.h"

#include "account_file.h"
#include "beacon.h"
#include "ckpt.h"
#include "file.h"
#include "http_get.h"
#include "run_record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static void say(json_t *object, const char *state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(json_t *object, const char *state, const char *format, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    json_object_set_new(object, "state", json_string(state));
    json_object_set_new(object, "sentence", json_string(sentence));
}

/* ---- asking ---- */

/* {"age_seconds", "status"} of the coordinator, or NULL with err. */
static json_t *ask(const char *address, double timeout_s, struct sb_err *err)
{
    struct sb_bytes page = SB_BYTES_INIT;
    json_t *answer = NULL;
    if (sb_http_get(&page, address, "/status", timeout_s, err) == 0) {
        answer = json_loadb(page.data ? page.data : "", page.count, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(json_object_get(answer, "status"))) {
            json_decref(answer);
            answer = NULL;
            sb_err_set(err, SB_ERR_DATA, "what answers there is no coordinator of shardbert");
        }
    }
    sb_bytes_release(&page);
    return answer;
}

static void take_answer(json_t *object, json_t *answer)
{
    json_t *run = json_object_get(answer, "status");
    json_object_set(run, "age_seconds", json_object_get(answer, "age_seconds"));
    json_object_set(object, "run", run);
    json_object_set(object, "account", json_object_get(run, "account"));
    json_object_set_new(object, "state", json_string("running"));
}

static json_t *look_at_address(const char *address, double timeout_s, struct sb_err *err)
{
    json_t *answer = ask(address, timeout_s, err);
    if (!answer) {
        sb_err_context(err, "asking %s", address);
        return NULL;
    }
    json_t *object = json_object();
    take_answer(object, answer);
    json_decref(answer);
    return object;
}

/* ---- checkpoints ---- */

struct listing {
    json_t *array;
    const char *output_dir;
    bool running; /* one without a manifest may be in the making */
};

/* Seconds since the manifest was written; 0 if the clock went back. */
static double age_of(const char *folder)
{
    char path[SB_PATH_BYTES];
    struct stat status;
    if (stat(sb_path_join(path, folder, "MANIFEST.json"), &status) < 0)
        return -1;
    double age = difftime(time(NULL), status.st_mtime);
    return age > 0 ? age : 0;
}

static json_t *describe(const char *folder, uint64_t step, const char *why)
{
    json_t *entry = json_pack("{s:I, s:s, s:b}", "step", (json_int_t)step, "folder", folder,
                              "complete", why == NULL);
    double age = age_of(folder);
    if (entry && age >= 0)
        json_object_set_new(entry, "age_seconds", json_real(age));
    if (entry && why)
        json_object_set_new(entry, "why", json_string(why));
    return entry;
}

static void note_damaged(void *context, const char *folder, uint64_t step, const char *sentence)
{
    struct listing *listing = context;
    char path[SB_PATH_BYTES];
    bool begun = sb_file_exists(sb_path_join(path, folder, "MANIFEST.json"));
    if (!sb_dir_exists(folder) || (listing->running && !begun))
        return;
    json_array_append_new(listing->array, describe(folder, step, sentence));
}

/* Lists what stands before the newest that verifies, and that one; total: the steps of its plan. */
static int list_checkpoints(struct listing *listing, uint64_t *total, struct sb_err *err)
{
    char folder[SB_PATH_BYTES];
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    int found = sb_ckpt_newest(listing->output_dir, folder, &manifest, note_damaged, listing, err);
    if (found > 0) {
        json_array_append_new(listing->array, describe(folder, manifest.step, NULL));
        *total = (uint64_t)json_integer_value(json_object_get(manifest.plan, "total_steps"));
    }
    sb_ckpt_manifest_release(&manifest);
    return found;
}

/* ---- a run that does not run ---- */

static void say_finished(json_t *object, const char *output_dir)
{
    char path[SB_PATH_BYTES];
    json_t *results = json_load_file(sb_path_join(path, output_dir, "all_results.json"), 0, NULL);
    if (json_is_object(results))
        json_object_set(object, "results", results);
    json_decref(results);
    say(object, "finished", "finished: the model is in '%s'", output_dir);
}

static void say_unfinished(json_t *object, const char *output_dir, bool killed, int found,
                           uint64_t total)
{
    const json_t *list = json_object_get(object, "checkpoints");
    const json_t *newest = json_array_get(list, json_array_size(list) - 1);
    const char *how = killed ? "it was killed" : "it has stopped";
    const char *state = killed ? "killed" : "unfinished";
    json_int_t step = json_integer_value(json_object_get(newest, "step"));
    if (found > 0 && (uint64_t)step >= total)
        say(object, state,
            "unfinished: %s after the last step; the same command writes the model from the "
            "checkpoint of step %" JSON_INTEGER_FORMAT,
            how, step);
    else if (found > 0)
        say(object, state,
            "unfinished: %s; the same command goes on from step %" JSON_INTEGER_FORMAT
            " of %" PRIu64,
            how, step, total);
    else
        say(object, state, "unfinished: %s, and %s; the same command begins anew in '%s'", how,
            json_array_size(list) ? "no checkpoint is whole" : "there is no checkpoint yet",
            output_dir);
}

/* ---- a coordinator that gives no answer ---- */

/* True if this is all that can be said: it may be alive. */
static bool say_mute(json_t *object, const struct sb_beacon *beacon, const struct sb_err *why)
{
    bool here = sb_beacon_is_here(beacon);
    const char *own = !strncmp(beacon->address, "127.", 4) || !strncmp(beacon->address, "[::1]", 5)
                          ? ", which only that host can reach: ask there, or set metrics_address"
                          : "";
    if (here && !sb_beacon_alive(beacon)) {
        if (!sb_beacon_watched(beacon))
            return false;
        say(object, "restarting",
            "running, but its coordinator (process %" PRId64
            ") was killed just now, and is started again",
            beacon->process);
    } else if (!*beacon->address) {
        say(object, "mute",
            "%s in process %" PRId64
            " of %s, which does not serve how it is (metrics_address: off)",
            here ? "running" : "perhaps running", beacon->process, beacon->host);
    } else if (here) {
        say(object, "mute",
            "running, but its coordinator (process %" PRId64 ") gives no answer at %s: %s",
            beacon->process, beacon->address, why->text);
    } else {
        say(object, "mute",
            "perhaps running: process %" PRId64 " of %s gives no answer at %s%s (%s)",
            beacon->process, beacon->host, beacon->address, own, why->text);
    }
    return true;
}

/* Another process may have got the port meanwhile. */
static bool is_of(const json_t *answer, const struct sb_beacon *beacon)
{
    const char *run = json_string_value(json_object_get(json_object_get(answer, "status"), "run"));
    return run && !strcmp(run, beacon->run);
}

/* 1: it runs, or may; 0: it does not. */
static int ask_beacon(json_t *object, const struct sb_beacon *beacon, double timeout_s)
{
    struct sb_err why = SB_ERR_INIT;
    json_t *answer = *beacon->address ? ask(beacon->address, timeout_s, &why) : NULL;
    int rc = 1;
    if (answer && is_of(answer, beacon))
        take_answer(object, answer);
    else {
        if (answer)
            sb_err_set(&why, SB_ERR_PEER, "another run answers there");
        rc = say_mute(object, beacon, &why);
    }
    json_decref(answer);
    return rc;
}

static json_t *look_at_folder(const char *output_dir, double timeout_s, struct sb_err *err)
{
    struct sb_beacon beacon;
    struct sb_run_record record;
    struct sb_account account;
    uint64_t total = 0;
    json_t *object = json_pack("{s:s}", "output_dir", output_dir);
    struct listing listing = {.array = json_array(), .output_dir = output_dir};
    int rc = -1, lit = sb_beacon_read(&beacon, output_dir, err);
    bool runs = lit > 0 && ask_beacon(object, &beacon, timeout_s);
    listing.running = runs;
    if (lit < 0 || sb_run_record_read(&record, output_dir, err) < 0)
        goto done;
    bool begun = record.state != SB_RUN_NONE, finished = record.state == SB_RUN_FINISHED;
    sb_run_record_release(&record);
    int found = list_checkpoints(&listing, &total, err);
    if (found < 0)
        goto done;
    json_object_set(object, "checkpoints", listing.array);
    if (sb_account_read(&account, output_dir) && !json_object_get(object, "account"))
        json_object_set_new(object, "account", sb_account_to_json(&account));
    if (!runs && !begun && lit == 0 && json_array_size(listing.array) == 0) {
        sb_err_set(err, SB_ERR_NO_INPUT, "no run has begun in '%s'", output_dir);
        goto done;
    }
    if (!runs && finished)
        say_finished(object, output_dir);
    else if (!runs)
        say_unfinished(object, output_dir, lit > 0, found, total);
    rc = 0;
done:
    json_decref(listing.array);
    if (rc == 0)
        return object;
    json_decref(object);
    return NULL;
}

json_t *sb_status_look(const char *target, double timeout_s, struct sb_err *err)
{
    if (sb_dir_exists(target))
        return look_at_folder(target, timeout_s, err);
    if (strchr(target, ':') && !strpbrk(target, " \t") && !sb_file_exists(target))
        return look_at_address(target, timeout_s, err);
    if (sb_file_exists(target))
        sb_err_set(err, SB_ERR_USAGE,
                   "'%s' is a file: expected an output_dir, or host:port of a coordinator", target);
    else
        sb_err_set(err, SB_ERR_NO_INPUT,
                   "there is no folder '%s': no run has begun there (an address is host:port)",
                   target);
    return NULL;
}
