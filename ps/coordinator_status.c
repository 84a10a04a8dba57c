#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"
#include "save_interval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the run is doing, as one object: the page /status, and what `shardbert status` prints.  Keys
 * carry their unit at the end.  What is not known is left out.
 */

static const char *state_name(const struct sb_coordinator *c)
{
    switch (c->state) {
    case SB_COORDINATOR_JOINING:
        return "joining";
    case SB_COORDINATOR_LOADING:
    case SB_COORDINATOR_SEEDING:
        return "loading";
    case SB_COORDINATOR_SHORT:
        return "short";
    case SB_COORDINATOR_GATHERING:
    case SB_COORDINATOR_TRAINING:
        return "training";
    case SB_COORDINATOR_EVALUATING:
        return "evaluating";
    case SB_COORDINATOR_SAVING:
        return "saving";
    case SB_COORDINATOR_RELOADING:
        return "reloading";
    case SB_COORDINATOR_FINISHING:
        return "finishing";
    case SB_COORDINATOR_OVER:
        break;
    }
    return "over";
}

static void set_real(json_t *object, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(object, key, json_real(value));
}

static void set_whole(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* ---- shares ---- */

static size_t add_run(uint64_t runs[64][2], size_t count, uint64_t first, uint64_t last)
{
    if (count && runs[count - 1][1] + 1 == first) {
        runs[count - 1][1] = last;
        return count;
    }
    if (count == 64)
        return count;
    runs[count][0] = first;
    runs[count][1] = last;
    return count + 1;
}

size_t sb_coordinator_share(const struct sb_coordinator *c, uint32_t worker, bool missing,
                            uint64_t runs[64][2])
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    size_t count = 0;
    if (sb_coordinator_deals_slots(c)) {
        for (uint64_t slot = w->first_slot; slot < w->end_slot; slot++)
            if (!missing || !sb_coordinator_slot_here(c, slot))
                count = add_run(runs, count, slot, slot);
        return count;
    }
    for (size_t i = 0; i < w->node_count; i++) {
        uint64_t first = sb_node_first_slot(w->nodes[i], c->sums.slots);
        if (!missing || !sb_sums_tree_covers(&c->sums, w->nodes[i]))
            count = add_run(runs, count, first,
                            first + sb_node_slot_count(w->nodes[i], c->sums.slots) - 1);
    }
    return count;
}

void sb_coordinator_say_slots(const struct sb_coordinator *c, uint32_t worker, bool missing,
                              struct sb_bytes *out)
{
    uint64_t runs[64][2];
    size_t count = sb_coordinator_share(c, worker, missing, runs);
    for (size_t i = 0; i < count; i++) {
        sb_bytes_printf(out, "%s%" PRIu64, i ? " " : "", runs[i][0]);
        if (runs[i][1] > runs[i][0])
            sb_bytes_printf(out, "-%" PRIu64, runs[i][1]);
    }
}

const char *sb_coordinator_slot_word(const char *slots)
{
    return slots && strpbrk(slots, "- ") ? "slots" : "slot";
}

/* ---- workers ---- */

/* "worker 2 at host, process 123" in two: who, and where. */
static void set_name(json_t *object, const struct sb_members *members, uint32_t worker,
                     const char *name)
{
    char who[SB_MEMBERS_NAME_BYTES];
    const char *where = name + strcspn(name, ",");
    const char *at = strstr(name, " at ");
    if (worker != UINT32_MAX)
        sb_members_short_name(who, members, worker);
    else
        snprintf(who, sizeof(who), "%.*s", (int)((at ? at : where) - name), name);
    json_object_set_new(object, "name", json_string(who));
    json_object_set_new(object, "where",
                        json_string(at       ? at + 4
                                    : *where ? where + strspn(where, ", ")
                                             : ""));
}

static const char *worker_state(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    if (w->bye)
        return "gone";
    if (c->members.workers[worker].lost)
        return "lost";
    if (w->leaving)
        return "leaving";
    if (w->slow)
        return "slow";
    if (!w->welcomed)
        return "joining";
    return sb_coordinator_works(c) && sb_coordinator_owes(c, worker) ? "computing" : "waiting";
}

static json_t *slots_of(const struct sb_coordinator *c, uint32_t worker)
{
    uint64_t runs[64][2];
    size_t count = sb_coordinator_share(c, worker, false, runs);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array,
                              json_pack("[I, I]", (json_int_t)runs[i][0], (json_int_t)runs[i][1]));
    return array;
}

static json_t *worker_of(const struct sb_coordinator *c, uint32_t i)
{
    const struct sb_coordinator_worker *w = &c->workers[i];
    json_t *worker = json_object();
    double tokens_per_second = sb_recent_median(&w->pace.speeds);
    set_name(worker, &c->members, i, c->members.workers[i].name);
    json_object_set_new(worker, "state", json_string(worker_state(c, i)));
    if (w->moved_ns)
        set_real(worker, "progress_seconds", sb_coordinator_seconds(c, w->moved_ns));
    if (sb_coordinator_works(c))
        json_object_set_new(worker, "slots", slots_of(c, i));
    if (tokens_per_second > 0 && c->slot_tokens > 0)
        set_real(worker, "samples_per_second",
                 tokens_per_second / c->slot_tokens * c->job->batch_size / c->sums.slots);
    return worker;
}

/* By their numbers, and those of the same number as they came. */
static json_t *workers_of(const struct sb_coordinator *c)
{
    const struct sb_members_worker *members = c->members.workers;
    uint32_t count = c->members.workers_here, *order = sb_calloc(count + 1, sizeof(*order));
    json_t *workers = json_array();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;
        for (; place > 0 && members[order[place - 1]].index > members[i].index; place--)
            order[place] = order[place - 1];
        order[place] = i;
    }
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(workers, worker_of(c, order[i]));
    free(order);
    return workers;
}

/* ---- servers ---- */

/* Weights and moments. */
static uint64_t bytes_of(const struct sb_coordinator *c, uint32_t server)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->parts.count; i++)
        if (c->parts.parts[i].owner == server)
            bytes += (c->parts.parts[i].trainable ? 12 : 4) * (uint64_t)c->parts.parts[i].count;
    return bytes;
}

static json_t *servers_of(const struct sb_coordinator *c)
{
    json_t *servers = json_array();
    for (uint32_t i = 0; i < c->members.server_count; i++) {
        const struct sb_members_server *member = &c->members.servers[i];
        const struct sb_coordinator_server *s = &c->servers[i];
        char name[32];
        json_t *server = json_object();
        snprintf(name, sizeof(name), "server %" PRIu32, i);
        set_name(server, &c->members, UINT32_MAX, member->here ? member->name : name);
        json_object_set_new(server, "state",
                            json_string(!member->here                 ? "missing"
                                        : s->bye                      ? "gone"
                                        : member->lost                ? "lost"
                                        : s->seeded                   ? "serving"
                                        : c->parts.count && s->loaded ? "loading"
                                                                      : "joining"));
        if (member->here && i != SB_PEER_COORDINATOR && s->heard_ns)
            set_real(server, "heard_seconds", sb_coordinator_seconds(c, s->heard_ns));
        if (c->parts.count)
            set_whole(server, "bytes", bytes_of(c, i));
        if (s->seeded)
            set_whole(server, "step", s->committed);
        json_array_append_new(servers, server);
    }
    return servers;
}

/* ---- the rest ---- */

static json_t *checkpoints_of(const struct sb_coordinator *c)
{
    json_t *object = json_object();
    uint64_t every = c->job->save_steps;
    double interval_s = sb_save_interval_s(c->job, c->save_stall_s, c->save_write_s);
    uint64_t since_ns = c->save_ns > c->train_ns ? c->save_ns : c->train_ns;
    set_whole(object, "written", c->account.saved);
    set_whole(object, "failed", c->account.save_failed);
    if (c->saved.known)
        set_whole(object, "step", c->saved.step);
    if (c->saved.known && c->saved.ns)
        set_real(object, "age_seconds", sb_coordinator_seconds(c, c->saved.ns));
    if (c->save.under_way)
        set_whole(object, "under_way_step", c->save.step);
    if (c->save_write_s > 0) {
        set_real(object, "write_seconds", c->save_write_s);
        set_real(object, "stall_seconds", c->save_stall_s);
    }
    if (every && c->train_ns)
        set_whole(object, "next_step",
                  fmin((double)((c->step / every + 1) * every),
                       (double)(c->members.plan ? c->members.plan->total_steps : UINT64_MAX)));
    if (interval_s > 0 && since_ns)
        set_real(object, "next_seconds", fmax(0, interval_s - sb_coordinator_seconds(c, since_ns)));
    return object;
}

/* Of the steps since the last entry of the log, or that entry's. */
static double loss_of(const struct sb_coordinator *c)
{
    double loss = NAN;
    if (c->history.since.of[SB_SUM_TARGETS] > 0)
        return sb_sums_mean_loss(&c->history.since);
    for (size_t i = json_array_size(c->history.log); i-- > 0 && isnan(loss);) {
        json_t *value = json_object_get(json_array_get(c->history.log, i), "loss");
        if (value)
            loss = json_number_value(value);
    }
    return loss;
}

static void set_progress(json_t *object, const struct sb_coordinator *c)
{
    uint64_t done = sb_coordinator_trained(c), total;
    double step_seconds = 0;
    size_t count = c->step_seconds_count < SB_COORDINATOR_STEPS ? (size_t)c->step_seconds_count
                                                                : SB_COORDINATOR_STEPS;
    for (size_t i = 0; i < count; i++)
        step_seconds += c->step_seconds[i] / (double)count;
    set_whole(object, "step", done);
    set_real(object, "loss", loss_of(c));
    if (c->train_ns)
        set_real(object, "running_seconds", sb_coordinator_seconds(c, c->train_ns));
    if (step_seconds > 0)
        set_real(object, "samples_per_second", c->job->batch_size / step_seconds);
    if (!c->members.plan)
        return;
    total = c->members.plan->total_steps;
    set_whole(object, "total_steps", total);
    set_real(object, "epoch", sb_coordinator_epoch(c));
    if (step_seconds > 0 && total >= done)
        set_real(object, "left_seconds", step_seconds * (double)(total - done));
}

static void set_waiting(json_t *object, const struct sb_coordinator *c)
{
    struct sb_bytes text = SB_BYTES_INIT;
    uint32_t count = sb_coordinator_count_workers(c);
    if (c->state == SB_COORDINATOR_JOINING)
        sb_members_say_missing(&c->members, &text);
    else if (c->state == SB_COORDINATOR_SHORT && count < c->job->min_workers)
        sb_bytes_printf(&text, "%" PRIu32 " more worker%s (min_workers)",
                        c->job->min_workers - count, c->job->min_workers - count == 1 ? "" : "s");
    if (text.count)
        json_object_set_new(object, "waiting_for", json_string(text.data));
    set_real(object, "state_seconds", sb_coordinator_seconds(c, c->began_ns));
    sb_bytes_release(&text);
}

/* With what a fall back has taken so far. */
static json_t *account_of(const struct sb_coordinator *c)
{
    struct sb_account account = c->account;
    if (c->losses.reach)
        account.seconds += sb_coordinator_seconds(c, c->losses.since_ns);
    return sb_account_to_json(&account);
}

json_t *sb_coordinator_status(const struct sb_coordinator *c)
{
    json_t *object = json_object();
    json_object_set_new(object, "state", json_string(state_name(c)));
    set_waiting(object, c);
    set_progress(object, c);
    set_whole(object, "term", c->term);
    json_object_set_new(object, "workers", workers_of(c));
    set_whole(object, "workers_wanted", c->members.worker_wanted);
    json_object_set_new(object, "servers", servers_of(c));
    json_object_set_new(object, "checkpoints", checkpoints_of(c));
    if (c->account_read)
        json_object_set_new(object, "account", account_of(c));
    if (c->finish_code || c->stop_code)
        set_whole(object, "code", (uint64_t)(c->finish_code ? c->finish_code : c->stop_code));
    if (*c->finish_sentence)
        json_object_set_new(object, "why", json_string(c->finish_sentence));
    return object;
}
