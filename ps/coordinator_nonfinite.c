#include "coordinator_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * A number that is not finite would spread from one gradient over all weights.  Every server says
 * of its parts whether they are finite, and one decision goes to all: so all refuse the same step,
 * or none does.  Which slot it was, only the worker can know that computed it.
 */

void sb_coordinator_note_bad_slot(struct sb_coordinator *c, uint32_t worker, uint32_t slot)
{
    if (slot >= c->bad.slot || slot >= c->members.plan->slots)
        return;
    c->bad.slot = slot;
    snprintf(c->bad.worker, sizeof(c->bad.worker), "%s", c->members.workers[worker].name);
}

/* What is wrong with the running step: false if nothing is. */
static bool find_fault(const struct sb_coordinator *c, const struct sb_sums *sums, char *fault,
                       size_t size)
{
    char where[512] = "";
    /* Items of embeddings have no number in the data that would lead to them. */
    const char *task = c->job->task ? c->job->task : "";
    bool named = strcmp(task, "embed") != 0 && strcmp(task, "setfit") != 0;
    if (c->bad.slot != UINT32_MAX)
        snprintf(where, sizeof(where), "slot %" PRIu32 ", computed by %s%s", c->bad.slot,
                 c->bad.worker, named ? ", whose log names its samples" : "");
    if (c->gather.slots && c->gather.bad_slot != UINT32_MAX) {
        if (!*where)
            snprintf(where, sizeof(where), "slot %" PRIu32, c->gather.bad_slot);
        snprintf(fault, size, "the vectors of step %" PRIu64 " are not finite (%s)", c->step + 1,
                 where);
        return true;
    }
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!c->servers[i].finite) {
            snprintf(fault, size,
                     "the gradient of step %" PRIu64 " is not finite (part %" PRIu32
                     " of server %" PRIu32 "%s%s)",
                     c->step + 1, c->servers[i].bad_part, i, *where ? "; " : "", where);
            return true;
        }
    if (isfinite(sums->of[SB_SUM_LOSS]))
        return false;
    snprintf(fault, size, "the loss of step %" PRIu64 " is not finite%s%s%s", c->step + 1,
             *where ? " (" : "", where, *where ? ")" : "");
    return true;
}

/* 1st, 2nd, 11th, 22nd */
static const char *ordinal_ending(uint64_t number)
{
    uint64_t last = number % 100 / 10 == 1 ? 0 : number % 10;
    return last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th";
}

bool sb_coordinator_accept_step(struct sb_coordinator *c, struct sb_sums *sums,
                                struct sb_outbox *out)
{
    char fault[768], sentence[1024], which[64] = "";
    uint64_t row = ++c->history.skipped_in_row;
    if (!find_fault(c, sums, fault, sizeof(fault))) {
        c->history.skipped_in_row = 0;
        return true;
    }
    bool skip = !strcmp(c->job->nan_policy, "skip");
    if (row > 1)
        snprintf(which, sizeof(which), ", the %" PRIu64 "%s step in a row", row,
                 ordinal_ending(row));
    bool goes_on = skip && row < c->job->max_skipped_steps;
    snprintf(sentence, sizeof(sentence), "%s%s; %s", fault, which,
             goes_on ? "the step is skipped" : "the weights of the last checkpoint are kept");
    sb_coordinator_tell(
        c, (struct sb_event){.kind = SB_EVENT_NONFINITE, .text = sentence, .code = SB_ERR_DATA});
    if (!goes_on) {
        sb_coordinator_finish(c, SB_ERR_DATA, sentence, out);
        return false;
    }
    c->history.skipped++;
    *sums = (struct sb_sums){.of = {[SB_SUM_SAMPLES] = sums->of[SB_SUM_SAMPLES],
                                    [SB_SUM_TOKENS] = sums->of[SB_SUM_TOKENS],
                                    [SB_SUM_TRUNCATED] = sums->of[SB_SUM_TRUNCATED]}};
    return true;
}
