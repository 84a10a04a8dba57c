#include "coordinator_inside.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * A server that died had a share of the weights that nobody else has.  So when it is back, or the
 * coordinator itself is, all servers go back to the newest complete checkpoint (or the starting
 * weights) under a new term, and the workers follow with their data at hand.  What is still under
 * way is of the old term and moves nothing, and the steps in between come out with the same bits.
 */

/* ---- terms ---- */

int sb_coordinator_take_term(struct sb_coordinator *c, uint32_t of_checkpoint, struct sb_err *err)
{
    const struct sb_disk *disk = c->options->disk;
    const char *output_dir = c->job->output_dir;
    bool kept = disk && output_dir && *output_dir;
    struct sb_err why = SB_ERR_INIT;
    uint32_t term = 0;
    if (kept && disk->read_term(disk->context, output_dir, &term, &why) < 0)
        sb_coordinator_tell(
            c,
            (struct sb_event){.kind = SB_EVENT_DAMAGED, .text = why.text, .code = (int)why.code});
    term = term > of_checkpoint ? term : of_checkpoint;
    term = (term > c->term ? term : c->term) + 1;
    if (kept && disk->keep_term(disk->context, output_dir, term, err) < 0)
        return -1;
    c->term = term;
    return 0;
}

/* ---- servers ---- */

/* All that was reached since the checkpoint that is about to be looked for. */
static void forget_progress(struct sb_coordinator *c)
{
    sb_evaluation_end(&c->evaluation);
    sb_sums_tree_clear(&c->sums);
    sb_gather_release(&c->gather);
    sb_run_head_release(&c->head);
    sb_run_head_init(&c->head);
    sb_history_release(&c->history);
    sb_history_init(&c->history);
    sb_frame_drop(&c->finish_text);
    c->finish_sentence[0] = 0;
    c->finish_rounds = 0;
    c->resume_folder[0] = 0;
    c->commit.load[0] = 0;
    c->resumed = c->save_failed = c->reloaded = false;
    c->saved_step = UINT64_MAX;
    c->step = 0;
    for (uint32_t i = 0; i < c->members.server_count; i++) {
        struct sb_coordinator_server *server = &c->servers[i];
        server->loaded = server->seeded = server->reported = server->saved = false;
        server->committed = 0;
    }
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        struct sb_coordinator_worker *worker = &c->workers[i];
        worker->welcomed = worker->heard = false;
        worker->node_count = worker->first_slot = worker->end_slot = 0;
        if (worker->bye) /* it had left after the last step */
            c->members.workers[i].lost = true;
    }
}

/* From the step that had been reached; the seconds are counted until it is reached again. */
static void count_lost_steps(struct sb_coordinator *c, uint64_t reached)
{
    if (reached <= c->step)
        return;
    c->losses.steps += reached - c->step;
    if (!c->losses.reach)
        c->losses.since_ns = c->now_ns;
    if (reached > c->losses.reach)
        c->losses.reach = reached;
}

static void say_return(struct sb_coordinator *c, uint32_t server, const char *gone,
                       uint64_t reached)
{
    char text[2048], where[64] = "the starting weights";
    if (c->resumed)
        snprintf(where, sizeof(where), "the checkpoint of step %" PRIu64, c->step);
    snprintf(text, sizeof(text),
             "%s is gone; %s takes its place, and all go back from step %" PRIu64
             " to %s (term %" PRIu32 ")",
             gone, c->members.servers[server].name, reached, where, c->term);
    sb_coordinator_tell(
        c, (struct sb_event){.kind = SB_EVENT_LOST, .text = text, .code = SB_ERR_PEER});
}

void sb_coordinator_server_again(struct sb_coordinator *c, uint32_t server, const char *gone,
                                 struct sb_outbox *out)
{
    uint64_t reached = sb_coordinator_trained(c);
    c->losses.servers++;
    if (c->state == SB_COORDINATOR_JOINING)
        return;
    forget_progress(c);
    sb_coordinator_move(c, SB_COORDINATOR_LOADING);
    sb_coordinator_begin_loading(c, out);
    count_lost_steps(c, reached);
    if (c->state == SB_COORDINATOR_LOADING)
        say_return(c, server, gone, reached);
}

void sb_coordinator_watch_servers(struct sb_coordinator *c)
{
    char text[512];
    for (uint32_t i = 0; i < c->members.server_count; i++) {
        struct sb_members_server *member = &c->members.servers[i];
        double silent = sb_coordinator_seconds(c, c->servers[i].heard_ns);
        if (i == SB_PEER_COORDINATOR || !member->here || member->lost ||
            silent <= c->job->worker_timeout_s)
            continue;
        member->lost = true;
        snprintf(text, sizeof(text),
                 "%s is silent for %.0f s: the run waits until it speaks or is started again",
                 member->name, silent);
        sb_coordinator_tell(
            c, (struct sb_event){.kind = SB_EVENT_LOST, .text = text, .code = SB_ERR_PEER});
    }
}

/* ---- workers ---- */

static void say_share(const struct sb_coordinator *c, uint32_t worker, struct sb_bytes *text)
{
    const struct sb_coordinator_worker *w = &c->workers[worker];
    if (c->state == SB_COORDINATOR_TRAINING && w->node_count) {
        sb_bytes_printf(text, " and its share (node%s", w->node_count > 1 ? "s" : "");
        for (size_t i = 0; i < w->node_count; i++)
            sb_bytes_printf(text, " %" PRIu32, w->nodes[i]);
        sb_bytes_printf(text, " of step %" PRIu64 ")", c->step + 1);
    } else if (c->state == SB_COORDINATOR_EVALUATING && w->first_slot < w->end_slot) {
        sb_bytes_printf(text, " and its share (slots %" PRIu64 " to %" PRIu64 " of '%s')",
                        w->first_slot, w->end_slot - 1, c->evaluation.set->name);
    }
}

void sb_coordinator_worker_again(struct sb_coordinator *c, uint32_t worker, const char *gone,
                                 struct sb_outbox *out)
{
    struct sb_bytes text = SB_BYTES_INIT;
    c->losses.workers++;
    sb_bytes_printf(&text, "%s is gone; %s takes its place", gone, c->members.workers[worker].name);
    say_share(c, worker, &text);
    sb_coordinator_tell(
        c, (struct sb_event){.kind = SB_EVENT_LOST, .text = text.data, .code = SB_ERR_PEER});
    sb_bytes_release(&text);
    c->doubted = true;
    sb_coordinator_worker_anew(c, worker);
    if (c->state == SB_COORDINATOR_JOINING || c->state == SB_COORDINATOR_LOADING)
        return; /* it is welcome with all the others */
    sb_coordinator_send_welcome(c, worker, out);
    /* Also what was DONE: the sums may have gone down with the one who said so. */
    sb_coordinator_inherit(c, worker, true, out);
}

/* ---- a coordinator that comes back ---- */

void sb_coordinator_ask_to_rejoin(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    ready.rejoin = true;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    sb_coordinator_send(c, out, peer, &head, NULL);
}

/* ---- the account ---- */

void sb_coordinator_count_rejoined(struct sb_coordinator *c)
{
    if (!c->options->life)
        return;
    c->losses.servers += c->options->life;
    count_lost_steps(c, c->losses.seen);
    c->losses.seen = 0;
}

void sb_coordinator_count_redone(struct sb_coordinator *c)
{
    if (!c->losses.reach || c->step < c->losses.reach)
        return;
    c->losses.seconds += sb_coordinator_seconds(c, c->losses.since_ns);
    c->losses.reach = 0;
}

void sb_coordinator_say_losses(struct sb_coordinator *c)
{
    struct sb_bytes text = SB_BYTES_INIT;
    if (!c->losses.workers && !c->losses.servers)
        return;
    sb_bytes_printf(&text, "%" PRIu32 " worker%s and %" PRIu32 " server%s came back; ",
                    c->losses.workers, c->losses.workers == 1 ? "" : "s", c->losses.servers,
                    c->losses.servers == 1 ? "" : "s");
    sb_bytes_printf(&text, "%" PRIu64 " step%s done again in %.1f s", c->losses.steps,
                    c->losses.steps == 1 ? " was" : "s were", c->losses.seconds);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_RECOVERED, .text = text.data});
    sb_bytes_release(&text);
}
