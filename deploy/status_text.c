#include "status_text.h"

#include "account.h"
#include "log.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Beyond this the coordinator has not turned its loop: what it says is old. */
#define STALE_SECONDS 10.0

static double real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* Texts that came over the net: control characters could move the cursor. */
static void append_plain(struct sb_bytes *out, const char *words)
{
    for (; *words; words++)
        sb_bytes_printf(out, "%c", (unsigned char)*words < ' ' || *words == 127 ? '?' : *words);
}

/* "12 s", "4:31 min", "1:04:31 h". */
static const char *duration(char out[48], double seconds)
{
    char digits[32];
    if (seconds < 9.95)
        snprintf(out, 48, "%.1f s", seconds);
    else if (seconds < 119.5)
        snprintf(out, 48, "%.0f s", seconds);
    else {
        sb_log_duration(digits, sizeof(digits), seconds);
        snprintf(out, 48, "%s%s", digits,
                 seconds < 3599.5    ? " min"
                 : seconds < 86399.5 ? " h"
                                     : "");
    }
    return out;
}

static void bytes_text(char out[32], double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

/* ---- a run ---- */

static const char *sentence_of(const char *state)
{
    static const char *const words[][2] = {
        {"starting", "starts"},
        {"preparing", "prepares its data"},
        {"joining", "waits for its peers"},
        {"loading", "loads its weights"},
        {"short", "waits for workers"},
        {"training", "trains"},
        {"evaluating", "evaluates"},
        {"saving", "writes a checkpoint"},
        {"reloading", "takes the best weights back"},
        {"finishing", "ends"},
        {"over", "has ended"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(state, words[i][0]))
            return words[i][1];
    return "runs";
}

/* "trains: step 120 of 1000 (12 %), epoch 0.48, loss 3.4127, 81 samples/s, 4:31 min left". */
static void print_progress(const json_t *run, struct sb_bytes *out)
{
    char time[48];
    const char *between = ": ";
    double total = real(run, "total_steps"), step = real(run, "step");
    if (total > 0 && step >= 0) {
        sb_bytes_printf(out, ": step %.0f of %.0f (%.0f %%)", step, total,
                        floor(100 * step / total));
        between = ", ";
    }
    if (!isnan(real(run, "epoch"))) {
        sb_bytes_printf(out, "%sepoch %.2f", between, real(run, "epoch"));
        between = ", ";
    }
    if (!isnan(real(run, "loss")))
        sb_bytes_printf(out, "%sloss %.4f", between, real(run, "loss"));
    if (!isnan(real(run, "samples_per_second")))
        sb_bytes_printf(out, ", %.3g samples/s", real(run, "samples_per_second"));
    if (real(run, "left_seconds") > 0)
        sb_bytes_printf(out, ", about %s left", duration(time, real(run, "left_seconds")));
}

static void print_head(const json_t *run, const char *output_dir, struct sb_bytes *out)
{
    char time[48];
    if (*output_dir) {
        append_plain(out, output_dir);
        sb_bytes_append_text(out, " ");
    }
    sb_bytes_append_text(out, sentence_of(text(run, "state")));
    if (*text(run, "waiting_for")) {
        sb_bytes_append_text(out, "; missing: ");
        append_plain(out, text(run, "waiting_for"));
        if (!isnan(real(run, "state_seconds")))
            sb_bytes_printf(out, ", for %s", duration(time, real(run, "state_seconds")));
    }
    print_progress(run, out);
    if (real(run, "term") > 1)
        sb_bytes_printf(out, "; term %.0f", real(run, "term"));
    sb_bytes_append_text(out, "\n");
    if (real(run, "age_seconds") > STALE_SECONDS)
        sb_bytes_printf(out, "its coordinator has said nothing for %s: what follows is old\n",
                        duration(time, real(run, "age_seconds")));
    if (*text(run, "why")) {
        sb_bytes_append_text(out, "it ends because: ");
        append_plain(out, text(run, "why"));
        sb_bytes_append_text(out, "\n");
    }
}

static void slots_text(char out[48], const json_t *runs)
{
    size_t used = 0, i;
    json_t *run;
    out[0] = 0;
    json_array_foreach(runs, i, run)
    {
        json_int_t first = json_integer_value(json_array_get(run, 0));
        json_int_t last = json_integer_value(json_array_get(run, 1));
        if (used > 24) {
            snprintf(out + used, 48 - used, " ...");
            return;
        }
        used +=
            (size_t)snprintf(out + used, 48 - used, "%s%" JSON_INTEGER_FORMAT, i ? " " : "", first);
        if (last > first && used < 40)
            used += (size_t)snprintf(out + used, 48 - used, "-%" JSON_INTEGER_FORMAT, last);
    }
}

static void print_workers(const json_t *workers, struct sb_bytes *out)
{
    size_t i;
    json_t *worker;
    if (json_array_size(workers))
        sb_bytes_printf(out, "\n%-12s %-10s %14s %10s %-16s %s\n", "worker", "state",
                        "last progress", "samples/s", "slots", "where");
    json_array_foreach(workers, i, worker)
    {
        char time[48] = "-", ago[64], rate[32] = "-", slots[48];
        if (!isnan(real(worker, "progress_seconds")))
            snprintf(ago, sizeof(ago), "%s ago", duration(time, real(worker, "progress_seconds")));
        else
            snprintf(ago, sizeof(ago), "-");
        if (!isnan(real(worker, "samples_per_second")))
            snprintf(rate, sizeof(rate), "%.3g", real(worker, "samples_per_second"));
        slots_text(slots, json_object_get(worker, "slots"));
        struct sb_bytes line = SB_BYTES_INIT;
        sb_bytes_printf(&line, "%-12.60s %-10.20s %14s %10s %-16s %.100s", text(worker, "name"),
                        text(worker, "state"), ago, rate, slots, text(worker, "where"));
        append_plain(out, line.data);
        sb_bytes_append_text(out, "\n");
        sb_bytes_release(&line);
    }
}

static void print_servers(const json_t *servers, struct sb_bytes *out)
{
    size_t i;
    json_t *server;
    if (json_array_size(servers))
        sb_bytes_printf(out, "\n%-12s %-10s %14s %10s %-16s %s\n", "server", "state", "last heard",
                        "step", "weights, moments", "where");
    json_array_foreach(servers, i, server)
    {
        char time[48] = "-", ago[64], step[32] = "-", bytes[32] = "-";
        if (!isnan(real(server, "heard_seconds")))
            snprintf(ago, sizeof(ago), "%s ago", duration(time, real(server, "heard_seconds")));
        else
            snprintf(ago, sizeof(ago), "-");
        if (!isnan(real(server, "step")))
            snprintf(step, sizeof(step), "%.0f", real(server, "step"));
        if (real(server, "bytes") >= 0)
            bytes_text(bytes, real(server, "bytes"));
        struct sb_bytes line = SB_BYTES_INIT;
        sb_bytes_printf(&line, "%-12.60s %-10.20s %14s %10s %-16s %.100s", text(server, "name"),
                        text(server, "state"), ago, step, bytes, text(server, "where"));
        append_plain(out, line.data);
        sb_bytes_append_text(out, "\n");
        sb_bytes_release(&line);
    }
}

/* ---- checkpoints ---- */

static void print_due(const json_t *said, struct sb_bytes *out)
{
    char time[48];
    double step = real(said, "next_step"), seconds = real(said, "next_seconds");
    if (!isnan(step) || !isnan(seconds))
        sb_bytes_append_text(out, "; the next is due");
    if (!isnan(step))
        sb_bytes_printf(out, " at step %.0f", step);
    if (!isnan(step) && !isnan(seconds))
        sb_bytes_append_text(out, " or");
    if (!isnan(seconds))
        sb_bytes_printf(out, " in %s", duration(time, seconds));
    if (real(said, "failed") > 0)
        sb_bytes_printf(out, "; %.0f could not be written", real(said, "failed"));
}

/* list: what lies in the folder, newest first, the last of them whole; NULL: only said is known. */
static void print_checkpoints(const json_t *list, const json_t *said, struct sb_bytes *out)
{
    char time[48];
    size_t i;
    json_t *entry;
    double step = real(said, "step"), age = real(said, "age_seconds");
    bool found = false;
    json_array_foreach(list, i, entry)
    {
        if (json_is_true(json_object_get(entry, "complete"))) {
            step = real(entry, "step");
            age = real(entry, "age_seconds");
            found = true;
            continue;
        }
        sb_bytes_printf(out, "\nthe checkpoint of step %.0f cannot be used: ", real(entry, "step"));
        append_plain(out, text(entry, "why"));
    }
    sb_bytes_append_text(out, "\ncheckpoints: ");
    if (isnan(step) || (list && !found))
        sb_bytes_append_text(out, "none yet");
    else
        sb_bytes_printf(out, "the newest is of step %.0f", step);
    if (!isnan(step) && !isnan(age) && (!list || found))
        sb_bytes_printf(out, ", %s old", duration(time, age));
    if (found)
        sb_bytes_append_text(out, ", and whole");
    print_due(said, out);
    sb_bytes_append_text(out, "\n");
}

static void print_account(const json_t *object, struct sb_bytes *out)
{
    struct sb_account account;
    struct sb_bytes words = SB_BYTES_INIT;
    if (!json_is_object(object))
        return;
    sb_account_from_json(&account, object);
    if (sb_account_say(&account, &words))
        sb_bytes_printf(out, "lost and done again: %s\n", words.data);
    else
        sb_bytes_append_text(out, "nothing was lost\n");
    sb_bytes_release(&words);
}

static void print_results(const json_t *results, struct sb_bytes *out)
{
    static const char *const keys[] = {
        "epoch",   "train_loss", "train_runtime", "eval_loss",     "eval_accuracy", "eval_f1_macro",
        "eval_f1", "test_loss",  "test_accuracy", "test_f1_macro", "test_f1"};
    const char *between = "";
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (isnan(real(results, keys[i])))
            continue;
        sb_bytes_printf(out, "%s%s %.6g", between, keys[i], real(results, keys[i]));
        between = ", ";
    }
    if (*between)
        sb_bytes_append_text(out, "\n");
}

void sb_status_print(const json_t *status, struct sb_bytes *out)
{
    const json_t *run = json_object_get(status, "run");
    const json_t *list = json_object_get(status, "checkpoints");
    const char *output_dir = text(status, "output_dir");
    if (*text(status, "sentence")) {
        if (strcmp(text(status, "state"), "finished") != 0) {
            append_plain(out, output_dir);
            sb_bytes_append_text(out, ": ");
        }
        append_plain(out, text(status, "sentence"));
        sb_bytes_append_text(out, "\n");
    }
    if (run) {
        print_head(run, *output_dir ? output_dir : text(run, "output_dir"), out);
        print_workers(json_object_get(run, "workers"), out);
        print_servers(json_object_get(run, "servers"), out);
    }
    print_results(json_object_get(status, "results"), out);
    if (list || json_object_get(run, "checkpoints"))
        print_checkpoints(list, json_object_get(run, "checkpoints"), out);
    print_account(json_object_get(status, "account"), out);
}
