#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Nodes and evaluation slots are pure: whoever computes one gets the same sums, and a second copy
 * counts nothing.  So the share of a worker that falls silent is simply given to others; if it was
 * only slow, its answers are as good.
 *
 *     at work ---- no progress for a little, and others have nothing to do ----> slow
 *        ^    \                                                                   |
 *        |     `-- no progress for worker_timeout_s --> lost <-- the same --------'
 *        |                                                |
 *        '-- finishes something; or speaks (not again and again) --'
 *
 * Who is slow keeps its share, and others compute copies of it; who is lost has none, and its place
 * is free.  Neither is dealt anything.  Progress is what is finished: a process may answer messages
 * for ever and compute nothing.  So words alone bring it back at once only the first time, and then
 * after a wait that doubles, until it finishes something.
 */

enum { NODES_MAX = 64, WAITS_MAX = 8, USUAL_FACTOR = 3 };
#define SECOND_NS 1e9

/* ---- shares ---- */

/* All nodes are DONE, and a server misses some: their sums went down with whoever computed them. */
static bool sums_missing(const struct sb_coordinator *c)
{
    if (sb_coordinator_deals_slots(c) || !sb_sums_tree_root(&c->sums))
        return false;
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!c->servers[i].reported)
            return true;
    return false;
}

/* By whomever. */
static bool share_done(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    if (sb_coordinator_deals_slots(c)) {
        for (uint64_t slot = w->first_slot; slot < w->end_slot; slot++)
            if (!sb_coordinator_slot_here(c, slot))
                return false;
        return true;
    }
    for (size_t i = 0; i < w->node_count; i++)
        if (!sb_sums_tree_covers(&c->sums, w->nodes[i]))
            return false;
    return true;
}

/* It has said so itself.  Slots are told of one by one, and a second copy of one is rare. */
static bool has_answered(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    if (sb_coordinator_deals_slots(c))
        return share_done(c, worker);
    return w->node_count == 0 || w->answered == UINT64_MAX >> (NODES_MAX - w->node_count);
}

bool sb_coordinator_owes(const struct sb_coordinator *c, uint32_t worker)
{
    return sb_coordinator_has_share(c, worker) &&
           (!share_done(c, worker) || (sums_missing(c) && !has_answered(c, worker)));
}

/* ---- leases ---- */

static double silence(const struct sb_coordinator *c, uint32_t worker)
{
    return sb_coordinator_seconds(c, c->workers[worker].moved_ns);
}

/* Not trusted for a while if it was given a chance before, and has finished nothing since. */
static void mistrust(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    double wait = silence(c, worker) * (double)(1u << w->failures);
    w->barred_ns = w->failures ? c->now_ns + (uint64_t)(wait * SECOND_NS) : 0;
    if (w->failures < WAITS_MAX)
        w->failures++;
}

static void say_back(struct sb_coordinator *c, uint32_t worker)
{
    char who[SB_MEMBERS_NAME_BYTES], text[SB_MEMBERS_NAME_BYTES + 64];
    sb_members_short_name(who, &c->members, worker);
    snprintf(text, sizeof(text), "%s is back after %.1f s", who, silence(c, worker));
    sb_coordinator_tell_of_worker(
        c, worker,
        (struct sb_event){.kind = SB_EVENT_BACK, .text = text, .seconds = silence(c, worker)});
}

void sb_coordinator_worker_lives(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    struct sb_members_worker *member = &c->members.workers[worker];
    w->heard_ns = c->now_ns;
    if (w->bye) /* it has left */
        return;
    if ((!member->lost && !w->slow) || c->now_ns < w->barred_ns)
        return;
    say_back(c, worker);
    member->lost = w->slow = false;
    w->moved_ns = c->now_ns;
}

void sb_coordinator_worker_moves(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    w->failures = 0;
    w->barred_ns = 0;
    sb_coordinator_worker_lives(c, worker);
    w->moved_ns = c->now_ns;
}

void sb_coordinator_worker_anew(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    w->slots_done = w->answered = 0;
    w->pace = (struct sb_pace){0};
    w->slow = w->leaving = w->welcomed = w->heard = w->bye = false;
    sb_coordinator_worker_moves(c, worker);
}

void sb_coordinator_take_progress(struct sb_coordinator *c, uint32_t worker, uint64_t slots_done)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    if (slots_done <= w->slots_done) {
        sb_coordinator_worker_lives(c, worker);
        return;
    }
    w->slots_done = slots_done;
    sb_coordinator_worker_moves(c, worker);
}

void sb_coordinator_count_answer(struct sb_coordinator *c, uint32_t worker, const Sb__Head *head)
{
    const Sb__Done *done = head->done;
    struct sb_coordinator_worker *w = &c->workers[worker];
    uint64_t before = w->answered;
    if (done->sequence == w->sequence)
        w->heard = true;
    if (done->kind != SB__WORK_KIND__WORK_TRAIN || done->sequence != w->sequence) {
        if (done->kind == SB__WORK_KIND__WORK_EVAL && done->seconds > c->slot_seconds)
            c->slot_seconds = done->seconds;
        sb_coordinator_worker_moves(c, worker);
        return;
    }
    for (size_t i = 0; i < w->node_count; i++)
        if (w->nodes[i] == head->node)
            w->answered |= UINT64_C(1) << i;
    if (w->answered == before) { /* said again: our answer was lost */
        sb_coordinator_worker_lives(c, worker);
        return;
    }
    sb_coordinator_measure(c, worker, done);
    sb_coordinator_worker_moves(c, worker);
}

void sb_coordinator_note_first_done(struct sb_coordinator *c, uint32_t worker)
{
    if (sb_coordinator_works(c) && !c->first_done_ns && sb_coordinator_has_share(c, worker) &&
        has_answered(c, worker))
        c->first_done_ns = c->now_ns;
}

/* ---- losing workers ---- */

static bool others_here(const struct sb_coordinator *c, uint32_t worker)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (i != worker && c->workers[i].welcomed && !c->workers[i].bye &&
            !c->members.workers[i].lost)
            return true;
    return false;
}

/* Who was slow before has a share that others compute already. */
static void say_lost(struct sb_coordinator *c, uint32_t worker)
{
    char who[SB_MEMBERS_NAME_BYTES], text[SB_MEMBERS_NAME_BYTES + 256];
    struct sb_bytes slots = SB_BYTES_INIT;
    sb_coordinator_say_slots(c, worker, !sums_missing(c), &slots);
    sb_members_short_name(who, &c->members, worker);
    int used = snprintf(text, sizeof(text), "%s is silent for %.0f s (worker_timeout_s): ", who,
                        silence(c, worker));
    if (!others_here(c, worker))
        snprintf(text + used, sizeof(text) - (size_t)used,
                 "nobody else is here, and the run waits until it speaks or another one comes");
    else if (c->workers[worker].slow || !slots.count)
        snprintf(text + used, sizeof(text) - (size_t)used, "it is not waited for any more");
    else
        snprintf(text + used, sizeof(text) - (size_t)used, "its %s %.80s go%s to the others",
                 sb_coordinator_slot_word(slots.data), slots.data,
                 strcmp(sb_coordinator_slot_word(slots.data), "slot") ? "" : "es");
    sb_coordinator_tell_of_worker(c, worker,
                                  (struct sb_event){.kind = SB_EVENT_LOST,
                                                    .text = text,
                                                    .slots = slots.data,
                                                    .seconds = silence(c, worker),
                                                    .code = SB_ERR_PEER});
    sb_bytes_release(&slots);
}

static void lose_silent_workers(struct sb_coordinator *c)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        struct sb_members_worker *member = &c->members.workers[i];
        bool waited_for = sb_coordinator_owes(c, i) || c->workers[i].slow || c->workers[i].leaving;
        if (member->lost || !waited_for || silence(c, i) <= c->job->worker_timeout_s)
            continue;
        mistrust(c, i);
        say_lost(c, i);
        member->lost = c->doubted = true;
        c->account.lost++;
        sb_coordinator_keep_account(c);
    }
}

/* ---- slow workers ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sb_coordinator_count_step_seconds(struct sb_coordinator *c)
{
    c->step_seconds[c->step_seconds_count++ % SB_COORDINATOR_STEPS] =
        sb_coordinator_seconds(c, c->step_ns);
}

/* Of the last steps; 0 before the first one. */
static double median_step(const struct sb_coordinator *c)
{
    double sorted[SB_COORDINATOR_STEPS];
    size_t count = c->step_seconds_count < SB_COORDINATOR_STEPS ? (size_t)c->step_seconds_count
                                                                : SB_COORDINATOR_STEPS;
    for (size_t i = 0; i < count; i++)
        sorted[i] = c->step_seconds[i];
    qsort(sorted, count, sizeof(*sorted), compare_doubles);
    return count ? sorted[count / 2] : 0;
}

/*
 * Seconds without progress after which a worker is slow: three times what is usual.  That is the
 * median step, or a slot of an evaluation, or, before there was any, what the first worker took
 * for its share.
 */
static double patience(const struct sb_coordinator *c)
{
    bool evaluating = c->state == SB_COORDINATOR_EVALUATING;
    double usual = evaluating ? c->slot_seconds : median_step(c);
    if (c->job->speculate_after_s <= 0 || (usual <= 0 && !c->first_done_ns))
        return INFINITY;
    if (usual <= 0)
        usual = (double)(c->first_done_ns - c->dealt_ns) / SECOND_NS;
    return fmax(c->job->speculate_after_s, USUAL_FACTOR * usual);
}

/* ---- passing on ---- */

/* It has nothing to do, and can be relied upon. */
static bool is_free(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    return !c->members.workers[worker].lost && !w->slow && !w->leaving && w->welcomed &&
           has_answered(c, worker);
}

/* The largest nodes are split until there is one for each worker. */
static size_t split(uint32_t nodes[NODES_MAX], size_t count, size_t wanted, uint32_t slots)
{
    while (count < wanted && count < NODES_MAX) {
        size_t largest = 0;
        for (size_t i = 1; i < count; i++)
            if (sb_node_depth(nodes[i]) < sb_node_depth(nodes[largest]))
                largest = i;
        if (nodes[largest] >= slots)
            break;
        nodes[count++] = 2 * nodes[largest] + 1;
        nodes[largest] *= 2;
    }
    return count;
}

/* Adds to what this round of passing on has given already. */
static void give_node(struct sb_coordinator *c, uint32_t worker, uint32_t node)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    if (w->sequence != c->sequence)
        w->node_count = 0;
    w->sequence = c->sequence;
    if (w->node_count < NODES_MAX)
        w->nodes[w->node_count++] = node;
}

/* takers [taker_count]: workers that are done.  Who is only slow keeps what it has. */
static void pass_on_nodes(struct sb_coordinator *c, uint32_t from, const uint32_t *takers,
                          size_t taker_count)
{
    struct sb_coordinator_worker *w = &c->workers[from];
    uint32_t nodes[NODES_MAX];
    size_t count = 0;
    bool missing = sums_missing(c);
    for (size_t i = 0; i < w->node_count; i++)
        if (missing || !sb_sums_tree_covers(&c->sums, w->nodes[i]))
            nodes[count++] = w->nodes[i];
    if (c->members.workers[from].lost)
        w->node_count = 0;
    if (count > 0)
        count = split(nodes, count, taker_count, c->sums.slots);
    for (size_t i = 0; i < count; i++)
        give_node(c, takers[i % taker_count], nodes[i]);
    c->account.passed_on += count;
}

static void pass_on_slots(struct sb_coordinator *c, uint32_t from, const uint32_t *takers,
                          size_t taker_count)
{
    struct sb_coordinator_worker *w = &c->workers[from];
    uint64_t first = w->first_slot, end = w->end_slot;
    while (first < end && sb_coordinator_slot_here(c, first))
        first++;
    while (end > first && sb_coordinator_slot_here(c, end - 1))
        end--;
    if (c->members.workers[from].lost)
        w->first_slot = w->end_slot = 0;
    c->account.passed_on += end - first;
    for (size_t i = 0; i < taker_count && first < end; i++) {
        struct sb_coordinator_worker *taker = &c->workers[takers[i]];
        sb_coordinator_give_slots(taker, first, end - first, i, taker_count);
        taker->sequence = c->sequence;
    }
}

/* Whatever it still owes; if all that is here and a server misses some of it, the whole share. */
static void say_owed(const struct sb_coordinator *c, uint32_t worker, struct sb_bytes *slots)
{
    sb_coordinator_say_slots(c, worker, !sums_missing(c), slots);
}

/* "worker 2 is silent for 2.0 s: its slots 4-7 go to worker 0 too", before they are given. */
static void say_slow(struct sb_coordinator *c, uint32_t worker, const uint32_t *takers,
                     size_t taker_count)
{
    char who[SB_MEMBERS_NAME_BYTES];
    struct sb_bytes text = SB_BYTES_INIT, slots = SB_BYTES_INIT;
    say_owed(c, worker, &slots);
    sb_members_short_name(who, &c->members, worker);
    sb_bytes_printf(&text, "%s is silent for %.1f s: its %s %s go%s to ", who, silence(c, worker),
                    sb_coordinator_slot_word(slots.data), slots.data ? slots.data : "",
                    strcmp(sb_coordinator_slot_word(slots.data), "slot") ? "" : "es");
    for (size_t i = 0; i < taker_count && i < 8; i++) {
        sb_members_short_name(who, &c->members, takers[i]);
        sb_bytes_printf(&text, "%s%s", i ? ", " : "", who);
    }
    sb_bytes_printf(&text, "%s too", taker_count > 8 ? ", ..." : "");
    sb_coordinator_tell_of_worker(c, worker,
                                  (struct sb_event){.kind = SB_EVENT_SLOW,
                                                    .text = text.data,
                                                    .slots = slots.data,
                                                    .seconds = silence(c, worker)});
    sb_bytes_release(&slots);
    sb_bytes_release(&text);
}

/* From one who is lost, or has become slow; true if there was somebody to take its share. */
static bool pass_on(struct sb_coordinator *c, uint32_t from, struct sb_outbox *out)
{
    uint32_t *takers = sb_alloc(c->members.workers_here * sizeof(*takers));
    size_t taker_count = 0;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (i != from && is_free(c, i))
            takers[taker_count++] = i;
    if (taker_count > 0) {
        if (!c->members.workers[from].lost) {
            say_slow(c, from, takers, taker_count);
            mistrust(c, from);
            c->workers[from].slow = true;
            c->account.slow++;
            sb_coordinator_keep_account(c);
        }
        c->sequence++;
        if (sb_coordinator_deals_slots(c))
            pass_on_slots(c, from, takers, taker_count);
        else
            pass_on_nodes(c, from, takers, taker_count);
        sb_coordinator_send_new_work(c, out);
    }
    free(takers);
    return taker_count > 0;
}

/*
 * All is DONE, a worker died or fell silent meanwhile, and a server does not report: what it lacks
 * may have been said to be DONE by that one, and who had which share is forgotten when shares are
 * passed on.  So all is dealt once more; what the servers hold they drop unread.  Without a worker
 * that is known to be gone this is done when it takes much longer than usual, for it may just be
 * under way.
 */
static void deal_again_if_doubted(struct sb_coordinator *c, struct sb_outbox *out)
{
    double waited = sb_coordinator_seconds(c, c->progress_ns);
    double least = 2e-3 * c->job->push_timeout_ms * (double)(1u << c->doubt_rounds);
    bool unusual = median_step(c) > 0 && waited > patience(c);
    if ((!c->doubted && !unusual) || !sums_missing(c) || waited < least)
        return;
    if (c->doubt_rounds < 16)
        c->doubt_rounds++;
    sb_coordinator_deal(c, out);
}

/* Those that are done take over; while all are busy there is time. */
void sb_coordinator_watch_workers(struct sb_coordinator *c, struct sb_outbox *out)
{
    lose_silent_workers(c);
    deal_again_if_doubted(c, out);
    double limit = patience(c);
    for (uint32_t from = 0; from < c->members.workers_here; from++) {
        bool lost = c->members.workers[from].lost && sb_coordinator_has_share(c, from);
        bool late = !c->members.workers[from].lost && !c->workers[from].slow &&
                    silence(c, from) > limit && sb_coordinator_owes(c, from);
        if ((lost || late) && !pass_on(c, from, out))
            break;
    }
}

/* What the lost one owed is now the newcomer's. */
void sb_coordinator_inherit(struct sb_coordinator *c, uint32_t worker, bool anew,
                            struct sb_outbox *out)
{
    bool again = anew && c->state != SB_COORDINATOR_EVALUATING;
    if (!sb_coordinator_works(c) || !sb_coordinator_has_share(c, worker) ||
        (share_done(c, worker) && !again && !sums_missing(c)))
        return;
    c->workers[worker].sequence = ++c->sequence;
    sb_coordinator_send_new_work(c, out);
}
