#include "coordinator_inside.h"

#include <inttypes.h>
#include <stdio.h>

enum { SAY_EVERY_S = 5 };

/* ---- leaving ---- */

void sb_coordinator_let_leave(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    char who[SB_MEMBERS_NAME_BYTES], text[SB_MEMBERS_NAME_BYTES + 128];
    if (w->leaving || w->bye)
        return;
    w->leaving = true;
    w->moved_ns = c->now_ns;
    sb_members_short_name(who, &c->members, worker);
    snprintf(text, sizeof(text),
             "%s has got a signal: it leaves after this step, and the others go on", who);
    sb_coordinator_tell_of_worker(c, worker,
                                  (struct sb_event){.kind = SB_EVENT_LEAVING, .text = text});
}

void sb_coordinator_dismiss(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        if (!c->workers[i].leaving || c->workers[i].bye || sb_coordinator_has_share(c, i))
            continue;
        Sb__Head head = SB__HEAD__INIT;
        Sb__Finish finish = SB__FINISH__INIT;
        head.step = c->step;
        head.body_case = SB__HEAD__BODY_FINISH;
        head.finish = &finish;
        sb_coordinator_send(c, out, c->members.workers[i].peer, &head, NULL);
    }
}

void sb_coordinator_part_with_leavers(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        struct sb_coordinator_worker *w = &c->workers[i];
        if (!w->leaving)
            continue;
        w->node_count = w->first_slot = w->end_slot = 0;
        w->moved_ns = c->now_ns;
    }
    sb_coordinator_dismiss(c, out);
}

void sb_coordinator_take_leave(struct sb_coordinator *c, uint32_t worker)
{
    struct sb_coordinator_worker *w = &c->workers[worker];
    if (!w->leaving || w->bye)
        return;
    w->bye = true;
    c->members.workers[worker].lost = true; /* a newcomer may have its place */
}

/* ---- too few ---- */

uint32_t sb_coordinator_count_workers(const struct sb_coordinator *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        count += !c->members.workers[i].lost && !c->workers[i].leaving && !c->workers[i].bye;
    return count;
}

void sb_coordinator_watch_short(struct sb_coordinator *c, struct sb_outbox *out)
{
    uint32_t count = sb_coordinator_count_workers(c);
    char text[128];
    if (count >= c->job->min_workers) {
        sb_coordinator_go_on(c, out);
        return;
    }
    if (c->said_ns && sb_coordinator_seconds(c, c->said_ns) < SAY_EVERY_S)
        return;
    c->said_ns = c->now_ns;
    snprintf(text, sizeof(text),
             "%" PRIu32 " more worker%s: %" PRIu32 " of %u are here (min_workers)",
             c->job->min_workers - count, c->job->min_workers - count == 1 ? "" : "s", count,
             c->job->min_workers);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_WAITING,
                                             .text = text,
                                             .seconds = sb_coordinator_seconds(c, c->began_ns)});
}
