#include "coordinator_inside.h"

#include "nodes.h"

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
bool sb_coordinator_has_share(const struct sb_coordinator *c, uint32_t worker)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    return sb_coordinator_deals_slots(c) ? w->first_slot < w->end_slot : w->node_count > 0;
}

void sb_coordinator_send_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.worker_count; i++)
        if (!c->workers[i].heard && sb_coordinator_has_share(c, i))
            send_work(c, i, out);
}

void sb_coordinator_send_new_work(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.worker_count; i++) {
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
    return !c->members.workers[worker].lost && !c->workers[worker].slow;
}

/* Contiguous runs, as even as they can be.  Who is lost or slow gets nothing, unless all are. */
void sb_coordinator_deal(struct sb_coordinator *c, struct sb_outbox *out)
{
    uint32_t able = 0, index = 0;
    for (uint32_t i = 0; i < c->members.worker_count; i++)
        able += gets_work(c, i);
    uint32_t of = able ? able : c->members.worker_count;
    c->first_sequence = ++c->sequence;
    c->dealt_ns = c->now_ns;
    c->first_done_ns = 0;
    c->slot_seconds = 0;
    for (uint32_t i = 0; i < c->members.worker_count; i++) {
        struct sb_coordinator_worker *w = &c->workers[i];
        w->sequence = c->sequence;
        w->node_count = w->first_slot = w->end_slot = 0;
        if (able && !gets_work(c, i))
            continue;
        if (sb_coordinator_deals_slots(c))
            sb_coordinator_give_slots(w, 0, slot_count(c), index, of);
        else
            w->node_count = sb_nodes_deal(w->nodes, c->members.plan->slots, index, of);
        index++;
    }
    sb_coordinator_send_new_work(c, out);
}
