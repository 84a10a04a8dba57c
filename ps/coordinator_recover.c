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
    sb_coordinator_drop_save(c, "a server was lost before it was written");
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
        server->loaded = server->seeded = server->reported = false;
        server->kept = server->saved = false;
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
    c->account.steps += reached - c->step;
    if (!c->losses.reach)
        c->losses.since_ns = c->now_ns;
    if (reached > c->losses.reach)
        c->losses.reach = reached;
}

static void say_return(struct sb_coordinator *c, uint32_t server, uint64_t reached)
{
    char text[512], where[64] = "the starting weights";
    if (c->resumed)
        snprintf(where, sizeof(where), "the checkpoint of step %" PRIu64, c->step);
    snprintf(text, sizeof(text),
             "server %" PRIu32 " was started again: all go back from step %" PRIu64
             " to %s (term %" PRIu32 ")",
             server, reached, where, c->term);
    sb_coordinator_tell_of_server(
        c, server, (struct sb_event){.kind = SB_EVENT_RETURNED, .text = text, .code = SB_ERR_PEER});
}

void sb_coordinator_server_again(struct sb_coordinator *c, uint32_t server, struct sb_outbox *out)
{
    uint64_t reached = sb_coordinator_trained(c);
    c->account.servers++;
    if (c->state == SB_COORDINATOR_JOINING)
        return;
    forget_progress(c);
    sb_coordinator_move(c, SB_COORDINATOR_LOADING);
    sb_coordinator_begin_loading(c, out);
    count_lost_steps(c, reached);
    if (c->state == SB_COORDINATOR_LOADING)
        say_return(c, server, reached);
    sb_coordinator_keep_account(c);
}

void sb_coordinator_watch_servers(struct sb_coordinator *c)
{
    char text[256];
    for (uint32_t i = 0; i < c->members.server_count; i++) {
        struct sb_members_server *member = &c->members.servers[i];
        double silent = sb_coordinator_seconds(c, c->servers[i].heard_ns);
        if (i == SB_PEER_COORDINATOR || !member->here || member->lost ||
            silent <= c->job->worker_timeout_s)
            continue;
        member->lost = true;
        snprintf(text, sizeof(text),
                 "server %" PRIu32 " is silent for %.0f s (worker_timeout_s): the run waits until "
                 "it speaks or is started again",
                 i, silent);
        sb_coordinator_tell_of_server(
            c, i,
            (struct sb_event){
                .kind = SB_EVENT_LOST, .text = text, .seconds = silent, .code = SB_ERR_PEER});
    }
}

/* ---- workers ---- */

void sb_coordinator_worker_again(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out)
{
    char who[SB_MEMBERS_NAME_BYTES];
    struct sb_bytes text = SB_BYTES_INIT, slots = SB_BYTES_INIT;
    c->account.workers++;
    sb_members_short_name(who, &c->members, worker);
    sb_bytes_printf(&text, "%s was started again", who);
    if (sb_coordinator_works(c))
        sb_coordinator_say_slots(c, worker, false, &slots);
    if (slots.count)
        sb_bytes_printf(&text, ": it has its %s %s of step %" PRIu64 " back",
                        sb_coordinator_slot_word(slots.data), slots.data, c->step + 1);
    sb_coordinator_tell_of_worker(c, worker,
                                  (struct sb_event){.kind = SB_EVENT_RETURNED,
                                                    .text = text.data,
                                                    .slots = slots.data,
                                                    .code = SB_ERR_PEER});
    sb_bytes_release(&slots);
    sb_bytes_release(&text);
    sb_coordinator_keep_account(c);
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

static bool keeps_account(const struct sb_coordinator *c)
{
    const struct sb_disk *disk = c->options->disk;
    return disk && disk->keep_account && disk->read_account && c->job->output_dir &&
           *c->job->output_dir;
}

void sb_coordinator_keep_account(const struct sb_coordinator *c)
{
    if (keeps_account(c) && c->account_read)
        c->options->disk->keep_account(c->options->disk->context, c->job->output_dir, &c->account);
}

/* One of a run that nobody goes on with is not ours. */
void sb_coordinator_read_account(struct sb_coordinator *c)
{
    struct sb_account before = {0};
    if (c->account_read)
        return;
    c->account_read = true;
    if (!keeps_account(c))
        return;
    if (c->resumed || c->options->life)
        c->options->disk->read_account(c->options->disk->context, c->job->output_dir, &before);
    sb_account_add(&c->account, &before);
    sb_coordinator_keep_account(c); /* that of another run is gone */
}

void sb_coordinator_count_rejoined(struct sb_coordinator *c)
{
    if (c->rejoined || (!c->options->life && !c->losses.seen))
        return;
    c->rejoined = true;
    c->account.coordinators++;
    if (c->account.coordinators < c->options->life) /* some lives were too short to count */
        c->account.coordinators = c->options->life;
    count_lost_steps(c, c->losses.seen);
    if (c->losses.reach) /* the time until all were here again is lost as well */
        c->losses.since_ns = c->born_ns;
    c->losses.seen = 0;
    sb_coordinator_keep_account(c);
}

void sb_coordinator_count_redone(struct sb_coordinator *c)
{
    if (!c->losses.reach || c->step < c->losses.reach)
        return;
    c->account.seconds += sb_coordinator_seconds(c, c->losses.since_ns);
    c->losses.reach = 0;
    sb_coordinator_keep_account(c);
}

void sb_coordinator_say_losses(struct sb_coordinator *c)
{
    struct sb_bytes text = SB_BYTES_INIT;
    sb_coordinator_keep_account(c);
    if (sb_account_say(&c->account, &text))
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_RECOVERED, .text = text.data});
    sb_bytes_release(&text);
}
