#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Nodes and evaluation slots are pure: whoever computes one gets the same sums, and a second copy
 * counts nothing.  So the share of a worker that falls silent is simply given to others; if it was
 * only slow, its answers are as good.
 */

enum { NODES_MAX = 64 };

bool sb_coordinator_deals_slots(const struct sb_coordinator *c)
{
    return c->state == SB_COORDINATOR_GATHERING || c->state == SB_COORDINATOR_EVALUATING;
}

bool sb_coordinator_slot_here(const struct sb_coordinator *c, uint64_t slot)
{
    return c->state == SB_COORDINATOR_GATHERING ? c->gather.here[slot] : c->evaluation.here[slot];
}

static uint64_t slot_count(const struct sb_coordinator *c)
{
    return c->state == SB_COORDINATOR_GATHERING ? c->gather.slots : c->evaluation.set->slot_count;
}

/* ---- sending ---- */

static void send_work(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    Sb__Head head = SB__HEAD__INIT;
    Sb__Work work = SB__WORK__INIT;
    work.sequence = w->sequence;
    head.step = c->step;
    if (sb_coordinator_deals_slots(c)) {
        bool gathering = c->state == SB_COORDINATOR_GATHERING;
        work.kind = gathering ? SB__WORK_KIND__WORK_EMBED : SB__WORK_KIND__WORK_EVAL;
        work.eval_set = gathering ? 0 : c->evaluation.index;
        work.first_slot = w->first_slot;
        work.end_slot = w->end_slot;
    } else {
        work.kind = SB__WORK_KIND__WORK_TRAIN;
        work.nodes = w->nodes;
        work.n_nodes = w->node_count;
        work.next_nodes = w->nodes; /* if nobody is lost or comes back meanwhile */
        work.n_next_nodes = c->step + 1 < c->members.plan->total_steps ? w->node_count : 0;
    }
    head.body_case = SB__HEAD__BODY_WORK;
    head.work = &work;
    sb_coordinator_send(c, out, c->members.workers[worker].peer, &head, NULL);
}

/* Idle workers (more of them than slots) get no work: there is nothing that they could answer. */
static bool has_share(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    return sb_coordinator_deals_slots(c) ? w->first_slot < w->end_slot : w->node_count > 0;
}

void sb_coordinator_send_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.worker_count; i++)
        if (!c->workers[i].heard && has_share(c, i))
            send_work(c, i, out);
}

/* ---- dealing ---- */

static void give_slots(struct sb_coordinator_worker *w, uint64_t first, uint64_t count,
                       uint64_t index, uint64_t of)
{
    w->first_slot = first + count / of * index + count % of * index / of;
    w->end_slot = first + count / of * (index + 1) + count % of * (index + 1) / of;
}

/* Contiguous runs, as even as they can be.  Lost workers get nothing, unless all are. */
void sb_coordinator_deal(struct sb_coordinator *c, struct sb_outbox *out)
{
    uint32_t lost_count = 0, index = 0;
    for (uint32_t i = 0; i < c->members.worker_count; i++)
        lost_count += c->members.workers[i].lost;
    bool all_lost = lost_count == c->members.worker_count;
    uint32_t of = all_lost ? lost_count : c->members.worker_count - lost_count;
    c->first_sequence = ++c->sequence;
    for (uint32_t i = 0; i < c->members.worker_count; i++) {
        struct sb_coordinator_worker *w = &c->workers[i];
        w->heard = false;
        w->sequence = c->sequence;
        w->node_count = w->first_slot = w->end_slot = 0;
        if (c->members.workers[i].lost && !all_lost)
            continue;
        if (sb_coordinator_deals_slots(c))
            give_slots(w, 0, slot_count(c), index, of);
        else
            w->node_count = sb_nodes_deal(w->nodes, c->members.plan->slots, index, of);
        index++;
    }
    sb_coordinator_send_work(c, out);
}

/* ---- losing workers ---- */

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

void sb_coordinator_worker_lives(struct sb_coordinator *c, uint32_t worker)
{
    c->workers[worker].heard_ns = c->now_ns;
    c->members.workers[worker].lost = false;
}

static double silence(const struct sb_coordinator *c, uint32_t worker)
{
    uint64_t heard_ns = c->workers[worker].heard_ns;
    return sb_coordinator_seconds(c, heard_ns > c->began_ns ? heard_ns : c->began_ns);
}

static void lose_silent_workers(struct sb_coordinator *c)
{
    char text[256];
    bool missing = sums_missing(c);
    for (uint32_t i = 0; i < c->members.worker_count; i++) {
        struct sb_members_worker *member = &c->members.workers[i];
        if (member->lost || !has_share(c, i) || (share_done(c, i) && !missing) ||
            silence(c, i) <= c->job->worker_timeout_s)
            continue;
        member->lost = c->doubted = true;
        snprintf(text, sizeof(text), "%s is silent for %.0f s: its share goes to the other workers",
                 member->name, silence(c, i));
        sb_coordinator_tell(
            c, (struct sb_event){.kind = SB_EVENT_LOST, .text = text, .code = SB_ERR_PEER});
    }
}

static bool is_idle(const struct sb_coordinator *c, uint32_t worker)
{
    return !c->members.workers[worker].lost && c->workers[worker].welcomed && share_done(c, worker);
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

/* idle [idle_count]: workers that are done. */
static void pass_on_nodes(struct sb_coordinator *c, uint32_t from, const uint32_t *idle,
                          size_t idle_count)
{
    struct sb_coordinator_worker *lost = &c->workers[from];
    uint32_t nodes[NODES_MAX];
    size_t count = 0;
    bool missing = sums_missing(c);
    for (size_t i = 0; i < lost->node_count; i++)
        if (missing || !sb_sums_tree_covers(&c->sums, lost->nodes[i]))
            nodes[count++] = lost->nodes[i];
    lost->node_count = 0;
    if (count > 0)
        count = split(nodes, count, idle_count, c->sums.slots);
    for (size_t i = 0; i < count; i++)
        give_node(c, idle[i % idle_count], nodes[i]);
}

static void pass_on_slots(struct sb_coordinator *c, uint32_t from, const uint32_t *idle,
                          size_t idle_count)
{
    struct sb_coordinator_worker *lost = &c->workers[from];
    uint64_t first = lost->first_slot, end = lost->end_slot;
    while (first < end && sb_coordinator_slot_here(c, first))
        first++;
    lost->first_slot = lost->end_slot = 0;
    for (size_t i = 0; i < idle_count && first < end; i++) {
        give_slots(&c->workers[idle[i]], first, end - first, i, idle_count);
        c->workers[idle[i]].sequence = c->sequence;
    }
}

static void send_new_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.worker_count; i++)
        if (c->workers[i].sequence == c->sequence && has_share(c, i)) {
            c->workers[i].heard = false;
            send_work(c, i, out);
        }
}

/*
 * All is DONE, a worker died meanwhile, and a server does not report: what it lacks may have been
 * said to be DONE by the one who died, and who had which share is forgotten when shares are passed
 * on.  So all is dealt once more; what the servers hold they drop unread.
 */
static void deal_again_if_doubted(struct sb_coordinator *c, struct sb_outbox *out)
{
    uint64_t patience_ns = (uint64_t)c->job->push_timeout_ms * 2000000u << c->doubt_rounds;
    if (!c->doubted || !sums_missing(c) || c->now_ns - c->progress_ns < patience_ns)
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
    uint32_t *idle = NULL, worker_count = c->members.worker_count;
    for (uint32_t from = 0; from < worker_count; from++) {
        size_t idle_count = 0;
        if (!c->members.workers[from].lost || !has_share(c, from))
            continue;
        if (!idle) {
            idle = sb_alloc(worker_count * sizeof(*idle));
            c->sequence++;
        }
        for (uint32_t i = 0; i < worker_count; i++)
            if (is_idle(c, i))
                idle[idle_count++] = i;
        if (idle_count == 0)
            break;
        if (sb_coordinator_deals_slots(c))
            pass_on_slots(c, from, idle, idle_count);
        else
            pass_on_nodes(c, from, idle, idle_count);
    }
    if (idle)
        send_new_work(c, out);
    free(idle);
}

/* What the lost one owed is now the newcomer's. */
void sb_coordinator_inherit(struct sb_coordinator *c, uint32_t worker, bool anew,
                            struct sb_outbox *out)
{
    bool again = anew && c->state != SB_COORDINATOR_EVALUATING;
    if (!sb_coordinator_works(c) || !has_share(c, worker) ||
        (share_done(c, worker) && !again && !sums_missing(c)))
        return;
    c->workers[worker].sequence = ++c->sequence;
    send_new_work(c, out);
}
