#include "account.h"

#include <inttypes.h>

static const struct {
    const char *key;
    size_t offset;
} counts[] = {
    {"workers_came_back", offsetof(struct sb_account, workers)},
    {"servers_came_back", offsetof(struct sb_account, servers)},
    {"coordinators_came_back", offsetof(struct sb_account, coordinators)},
    {"workers_lost", offsetof(struct sb_account, lost)},
    {"workers_slow", offsetof(struct sb_account, slow)},
    {"nodes_passed_on", offsetof(struct sb_account, passed_on)},
    {"nodes_done_twice", offsetof(struct sb_account, twice)},
    {"steps_done_again", offsetof(struct sb_account, steps)},
    {"checkpoints_written", offsetof(struct sb_account, saved)},
    {"checkpoints_failed", offsetof(struct sb_account, save_failed)},
};
enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };
static const char seconds_key[] = "seconds_done_again";

static uint64_t *count_of(struct sb_account *account, size_t i)
{
    return (uint64_t *)(void *)((char *)account + counts[i].offset);
}

void sb_account_add(struct sb_account *account, const struct sb_account *before)
{
    struct sb_account copy = *before;
    for (size_t i = 0; i < COUNTS; i++)
        *count_of(account, i) += *count_of(&copy, i);
    account->seconds += before->seconds;
}

json_t *sb_account_to_json(const struct sb_account *account)
{
    struct sb_account copy = *account;
    json_t *object = json_object();
    for (size_t i = 0; i < COUNTS; i++)
        json_object_set_new(object, counts[i].key, json_integer((json_int_t)*count_of(&copy, i)));
    json_object_set_new(object, seconds_key, json_real(copy.seconds));
    return object;
}

void sb_account_from_json(struct sb_account *account, const json_t *object)
{
    *account = (struct sb_account){0};
    for (size_t i = 0; i < COUNTS; i++) {
        json_int_t value = json_integer_value(json_object_get(object, counts[i].key));
        *count_of(account, i) = value > 0 ? (uint64_t)value : 0;
    }
    double seconds = json_number_value(json_object_get(object, seconds_key));
    account->seconds = seconds > 0 ? seconds : 0;
}

/* ---- words ---- */

/* "1 worker", "3 workers". */
static void say_count(struct sb_bytes *out, uint64_t count, const char *thing)
{
    sb_bytes_printf(out, "%" PRIu64 " %s%s", count, thing, count == 1 ? "" : "s");
}

static void say_next(struct sb_bytes *out, const char *separator)
{
    if (out->count)
        sb_bytes_append_text(out, separator);
}

static void say_returns(const struct sb_account *a, struct sb_bytes *out)
{
    if (a->workers)
        say_count(out, a->workers, "worker");
    if (a->servers) {
        say_next(out, a->coordinators ? ", " : " and ");
        say_count(out, a->servers, "server");
    }
    if (a->coordinators) {
        say_next(out, " and ");
        sb_bytes_append_text(out, "the coordinator");
    }
    if (a->coordinators > 1)
        sb_bytes_printf(out, " (%" PRIu64 " times)", a->coordinators);
    if (out->count)
        sb_bytes_append_text(out, " came back");
}

static void say_shares(const struct sb_account *a, struct sb_bytes *out)
{
    say_next(out, "; ");
    if (a->lost)
        say_count(out, a->lost, "silent worker");
    if (a->lost && a->slow)
        sb_bytes_append_text(out, " and ");
    if (a->slow)
        say_count(out, a->slow, "slow worker");
    if (!a->passed_on)
        return;
    sb_bytes_append_text(out, a->lost || a->slow ? ": " : "");
    say_count(out, a->passed_on, "node");
    sb_bytes_printf(out, " %s passed on", a->passed_on == 1 ? "was" : "were");
    if (a->twice)
        sb_bytes_printf(out, ", %" PRIu64 " computed twice", a->twice);
}

bool sb_account_say(const struct sb_account *a, struct sb_bytes *out)
{
    sb_bytes_clear(out);
    if (!a->workers && !a->servers && !a->coordinators && !a->lost && !a->slow && !a->steps &&
        !a->save_failed)
        return false;
    say_returns(a, out);
    if (a->steps) {
        say_next(out, "; ");
        say_count(out, a->steps, "step");
        sb_bytes_printf(out, " %s done again in %.1f s", a->steps == 1 ? "was" : "were",
                        a->seconds);
    }
    if (a->lost || a->slow || a->passed_on)
        say_shares(a, out);
    if (a->saved || a->save_failed) {
        say_next(out, "; ");
        say_count(out, a->saved, "checkpoint");
        sb_bytes_printf(out, " %s written", a->saved == 1 ? "was" : "were");
    }
    if (a->save_failed)
        sb_bytes_printf(out, ", %" PRIu64 " failed", a->save_failed);
    return true;
}
