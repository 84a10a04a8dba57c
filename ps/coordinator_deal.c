#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

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

enum { SAY_EVERY_S = 60 };

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
bool sb_coordinator_has_share(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    return sb_coordinator_deals_slots(c) ? w->first_slot < w->end_slot : w->node_count > 0;
}

void sb_coordinator_send_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (!c->workers[i].heard && sb_coordinator_has_share(c, i))
            send_work(c, i, out);
}

void sb_coordinator_send_new_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        struct sb_coordinator_worker *w = &c->workers[i];
        if (w->sequence != c->sequence || !sb_coordinator_has_share(c, i))
            continue;
        w->heard = false;
        w->answered = 0;
        w->moved_ns = c->now_ns;
        send_work(c, i, out);
    }
}

/* ---- dealing ---- */

void sb_coordinator_give_slots(struct sb_coordinator_worker *w, uint64_t first, uint64_t count,
                               uint64_t index, uint64_t of)
{
    w->first_slot = first + count / of * index + count % of * index / of;
    w->end_slot = first + count / of * (index + 1) + count % of * (index + 1) / of;
}

static bool gets_work(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    return !c->members.workers[worker].lost && !w->slow && !w->leaving && !w->bye;
}

/* Who gets work, unless nobody can: then all.  Returns how many. */
static size_t list_able(const struct sb_coordinator *c, uint32_t *able)
{
    size_t count = 0;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (gets_work(c, i))
            able[count++] = i;
    if (count > 0)
        return count;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        able[count++] = i;
    return count;
}

/* Slots per second; what it was seen to do with tokens. */
static double speed(const struct sb_coordinator *c, uint32_t worker)
{
    double tokens = sb_recent_median(&c->workers[worker].pace.speeds);
    return c->slot_tokens > 0 ? tokens / c->slot_tokens : 0;
}

/* "shares by measured speed: w0 6, w1 2 of 8 slots", when that is news. */
static void say_shares(struct sb_coordinator *c, const uint32_t *able, const uint64_t *ends,
                       size_t count)
{
    bool even = true;
    uint64_t total = ends[count - 1];
    for (size_t i = 0; i < count; i++)
        even &= ends[i] == total / count * (i + 1) + total % count * (i + 1) / count;
    if (even || c->state != SB_COORDINATOR_TRAINING ||
        (c->said_shares_ns && sb_coordinator_seconds(c, c->said_shares_ns) < SAY_EVERY_S))
        return;
    uint64_t hash = 0;
    for (size_t i = 0; i < count; i++)
        hash = hash * 31 + able[i] * UINT64_C(65537) + ends[i];
    if (hash == c->said_shares)
        return;
    char who[SB_MEMBERS_NAME_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    c->said_shares = hash;
    c->said_shares_ns = c->now_ns;
    sb_bytes_printf(&text, "shares by measured speed:");
    for (size_t i = 0; i < count && i < 16; i++) {
        sb_members_short_name(who, &c->members, able[i]);
        sb_bytes_printf(&text, "%s %s %" PRIu64, i ? "," : "", who,
                        ends[i] - (i ? ends[i - 1] : 0));
    }
    sb_bytes_printf(&text, "%s of %" PRIu64 " slots", count > 16 ? ", ..." : "", total);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_NOTE, .text = text.data});
    sb_bytes_release(&text);
}

static void give_run(struct sb_coordinator *c, uint32_t worker, uint64_t first, uint64_t end)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    if (sb_coordinator_deals_slots(c)) {
        w->first_slot = first;
        w->end_slot = end;
    } else {
        w->node_count =
            sb_nodes_of_run(w->nodes, c->members.plan->slots, (uint32_t)first, (uint32_t)end);
    }
}

/* Contiguous runs, even or by speed.  Who is lost or slow gets nothing, unless all are. */
void sb_coordinator_deal(struct sb_coordinator *c, struct sb_outbox *out)
{
    uint32_t worker_count = c->members.workers_here;
    bool by_slots = sb_coordinator_deals_slots(c);
    uint64_t total = by_slots ? slot_count(c) : c->members.plan->slots;
    uint32_t *able = sb_alloc(worker_count * sizeof(*able));
    double *speeds = sb_alloc(worker_count * sizeof(*speeds));
    uint64_t *ends = sb_alloc(worker_count * sizeof(*ends));
    size_t count = list_able(c, able);
    for (size_t i = 0; i < count; i++)
        speeds[i] = speed(c, able[i]);
    sb_pace_cut(ends, count, total, speeds, by_slots ? 0 : c->members.plan->slots,
                sb_recent_median(&c->node_seconds));
    say_shares(c, able, ends, count);
    c->first_sequence = ++c->sequence;
    c->dealt_ns = c->now_ns;
    c->first_done_ns = 0;
    c->slot_seconds = 0;
    c->least_wait = INFINITY;
    for (uint32_t i = 0; i < worker_count; i++) {
        struct sb_coordinator_worker *w = &c->workers[i];
        w->sequence = c->sequence;
        w->node_count = w->first_slot = w->end_slot = 0;
    }
    for (size_t i = 0; i < count; i++)
        give_run(c, able[i], i ? ends[i - 1] : 0, ends[i]);
    free(ends);
    free(speeds);
    free(able);
    sb_coordinator_send_new_work(c, out);
}

/* ---- measuring ---- */

void sb_coordinator_measure(struct sb_coordinator *c, uint32_t worker, const Sb__Done *done)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    double wait = sb_coordinator_seconds(c, c->dealt_ns) - done->seconds;
    /* Of its first node: it waited for the weights, and did the node. */
    if (!w->pace.seconds && w->sequence == c->first_sequence && wait >= 0)
        c->least_wait = fmin(c->least_wait, wait);
    sb_pace_add(&w->pace, done->sums[SB_SUM_TOKENS], done->seconds);
}

/*
 * What one more node costs is not measured by itself, since nobody waits for a push.  But weights
 * that come and a node's sums that go are of one size, and how long weights took is seen.
 */
void sb_coordinator_end_measuring(struct sb_coordinator *c, const struct sb_sums *sums)
{
    if (isfinite(c->least_wait))
        sb_recent_add(&c->node_seconds, c->least_wait);
    c->slot_tokens = sums->of[SB_SUM_TOKENS] / c->members.plan->slots;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        sb_pace_end_step(&c->workers[i].pace);
}
