#include "coordinator_inside.h"

#include "arena.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The first count, or more if newcomers are welcome. */
static uint32_t places(const struct sb_server_options *options)
{
    uint32_t most = options->job->max_workers;
    return most > options->worker_count ? most : options->worker_count;
}

void sb_coordinator_init(struct sb_coordinator *c, const struct sb_server_options *options,
                         uint64_t now_ns)
{
    *c = (struct sb_coordinator){
        .options = options,
        .job = options->job,
        .job_hash = sb_server_job_hash(options->canonical),
        .servers = sb_calloc(options->server_count, sizeof(*c->servers)),
        .workers = sb_calloc(places(options), sizeof(*c->workers)),
        .saved_step = UINT64_MAX,
        .now_ns = now_ns,
        .born_ns = now_ns,
        .said_ns = now_ns,
        .prepared_ns = now_ns,
    };
    sb_members_init(&c->members, options->canonical, options->fingerprint, options->name,
                    options->server_count, options->worker_count, places(options));
    sb_history_init(&c->history);
    sb_run_head_init(&c->head);
    sb_coordinator_move(c, SB_COORDINATOR_JOINING);
}

void sb_coordinator_release(struct sb_coordinator *c)
{
    sb_coordinator_release_save(c);
    for (uint32_t i = 0; i < c->members.server_count; i++)
        free(c->servers[i].norms);
    free(c->servers);
    free(c->workers);
    sb_members_release(&c->members);
    sb_parts_release(&c->parts);
    sb_sums_tree_release(&c->sums);
    sb_evaluation_end(&c->evaluation);
    sb_gather_release(&c->gather);
    sb_run_head_release(&c->head);
    sb_history_release(&c->history);
    sb_frame_drop(&c->finish_text);
}

void sb_coordinator_send(struct sb_coordinator *c, struct sb_outbox *out, uint64_t peer,
                         Sb__Head *head, struct sb_frame *frame)
{
    head->job = c->job_hash;
    head->term = c->term;
    sb_outbox_put(out, peer, sb_msg_new(head, frame, NULL, c->options->checksum));
}

void sb_coordinator_tell(struct sb_coordinator *c, struct sb_event event)
{
    if (!c->options->on_event)
        return;
    if (!event.step)
        event.step = sb_coordinator_trained(c);
    if (c->members.plan) {
        event.total_steps = c->members.plan->total_steps;
        event.epoch = sb_coordinator_epoch(c);
    }
    if (!event.text)
        event.text = "";
    event.term = c->term;
    event.who = event.who ? event.who : "";
    event.slots = event.slots ? event.slots : "";
    c->options->on_event(c->options->event_context, &event);
}

void sb_coordinator_note(struct sb_coordinator *c, struct sb_entry entry)
{
    if (!c->options->on_entry)
        return;
    entry.term = c->term;
    entry.step = entry.kind == SB_ENTRY_DECIDE    ? c->step - 1
                 : entry.kind == SB_ENTRY_PUBLISH ? c->save.step
                                                  : c->step;
    c->options->on_entry(c->options->entry_context, &entry);
}

void sb_coordinator_tell_of_worker(struct sb_coordinator *c, uint32_t worker, struct sb_event event)
{
    char who[SB_MEMBERS_NAME_BYTES];
    sb_members_short_name(who, &c->members, worker);
    event.who = who;
    sb_coordinator_tell(c, event);
}

void sb_coordinator_tell_of_server(struct sb_coordinator *c, uint32_t server, struct sb_event event)
{
    char who[32];
    snprintf(who, sizeof(who), "server %" PRIu32, server);
    event.who = who;
    sb_coordinator_tell(c, event);
}

void sb_coordinator_move(struct sb_coordinator *c, enum sb_coordinator_state state)
{
    c->state = state;
    c->sent_ns = c->progress_ns = c->began_ns = c->now_ns;
}

double sb_coordinator_seconds(const struct sb_coordinator *c, uint64_t since_ns)
{
    return (double)(c->now_ns - since_ns) * 1e-9;
}

uint64_t sb_coordinator_trained(const struct sb_coordinator *c)
{
    return c->step - c->reloaded;
}

double sb_coordinator_epoch(const struct sb_coordinator *c)
{
    return (double)sb_coordinator_trained(c) / fmax(1.0, (double)c->members.plan->steps_per_epoch);
}

bool sb_coordinator_works(const struct sb_coordinator *c)
{
    return c->state == SB_COORDINATOR_GATHERING || c->state == SB_COORDINATOR_TRAINING ||
           c->state == SB_COORDINATOR_EVALUATING;
}

/*
 * Nobody waits for what is being computed: a step may take longer than whoever sent the signal is
 * willing to wait, and what is lost is computed again from the checkpoint of the last one.
 */
static void heed_stop(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (sb_coordinator_works(c) || c->state == SB_COORDINATOR_SHORT) {
        sb_evaluation_end(&c->evaluation);
        sb_coordinator_go_on(c, out);
    } else if (c->state == SB_COORDINATOR_JOINING || c->state == SB_COORDINATOR_LOADING ||
               c->state == SB_COORDINATOR_SEEDING) {
        const char *how = c->resumed ? "stopped; the same command resumes from the last checkpoint"
                                     : "stopped before the first step";
        sb_coordinator_finish(c, c->stop_code, *c->stop_sentence ? c->stop_sentence : how, out);
    }
}

/* ---- messages ---- */

static void stop_for(struct sb_coordinator *c, int code, const char *sentence)
{
    if (c->stop_code)
        return;
    c->stop_code = code;
    snprintf(c->stop_sentence, sizeof(c->stop_sentence), "%s", sentence);
}

static bool others_work(const struct sb_coordinator *c, uint32_t worker)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (i != worker && c->workers[i].welcomed && !c->workers[i].bye && !c->workers[i].slow &&
            !c->workers[i].leaving && !c->members.workers[i].lost)
            return true;
    return false;
}

/*
 * A worker that leaves with trouble, perhaps before it joined.  Before the first step all are
 * needed, and a file that one cannot read is mostly one that nobody can; later its share goes to
 * the others, if there are any.
 */
static void take_trouble(struct sb_coordinator *c, uint32_t worker, const Sb__Stop *stop)
{
    char sentence[1024];
    bool joined = worker != UINT32_MAX;
    if (*stop->sentence)
        snprintf(sentence, sizeof(sentence), "%s", stop->sentence);
    else
        snprintf(sentence, sizeof(sentence), "%s has given up, and says why itself",
                 joined ? c->members.workers[worker].name : "a worker");
    if (joined && c->state > SB_COORDINATOR_SEEDING && others_work(c, worker)) {
        if (!c->members.workers[worker].lost)
            sb_coordinator_tell_of_worker(c, worker,
                                          (struct sb_event){.kind = SB_EVENT_LOST,
                                                            .text = sentence,
                                                            .code = (int)stop->code});
        c->members.workers[worker].lost = true;
        return;
    }
    if (joined)
        c->workers[worker].bye = true;
    stop_for(c, (int)stop->code, sentence);
}

static void take_stop(struct sb_coordinator *c, uint64_t peer, const Sb__Stop *stop)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    bool is_worker = worker != UINT32_MAX;
    bool awaited = c->state == SB_COORDINATOR_JOINING && (peer & SB_PEER_WORKER_BIT);
    if (stop->code == SB_ERR_INTERRUPT || stop->code == SB_ERR_TERMINATE) {
        if (is_worker && (c->workers[worker].leaving || c->workers[worker].bye))
            return;
        if (is_worker && c->state > SB_COORDINATOR_SEEDING && c->state < SB_COORDINATOR_FINISHING &&
            others_work(c, worker))
            sb_coordinator_let_leave(c, worker);
        else if (is_worker || peer < c->members.server_count)
            sb_coordinator_stop(c, (int)stop->code);
    } else if (stop->code >= SB_ERR_USAGE && stop->code <= SB_ERR_CONFIG) {
        if (is_worker || awaited)
            take_trouble(c, worker, stop);
    }
}

void sb_coordinator_stop(struct sb_coordinator *c, int code)
{
    if (!c->stop_code)
        c->stop_code = code;
}

static void hear_server(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head)
{
    if (peer >= c->members.server_count)
        return;
    if (head->body_case != SB__HEAD__BODY_HELLO) { /* a HELLO may be another one's */
        c->servers[peer].heard_ns = c->now_ns;
        c->members.servers[peer].lost = false;
    } else if (c->state == SB_COORDINATOR_JOINING && head->step > c->losses.seen) {
        c->losses.seen = head->step;
    }
}

/* Who is not yet welcome knows no term, and reads its data; the others say how far they are. */
static void hear_worker(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    if (worker == UINT32_MAX)
        c->prepared_ns = c->now_ns;
    else if (head->term == c->term)
        sb_coordinator_take_progress(c, worker, head->ready->slots_done);
}

/* One who speaks of a term before we have any knew an earlier life of ours. */
static bool knows_another(const struct sb_coordinator *c, uint64_t peer, const Sb__Head *head)
{
    if (c->state != SB_COORDINATOR_JOINING || head->term == 0 ||
        head->body_case == SB__HEAD__BODY_HELLO || head->body_case == SB__HEAD__BODY_STOP)
        return false;
    return peer < c->members.server_count ? !c->members.servers[peer].here
                                          : sb_members_find_worker(&c->members, peer) == UINT32_MAX;
}

/* It did not hear that there is a new term. */
static void welcome_again(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    if (worker != UINT32_MAX && c->workers[worker].welcomed)
        sb_coordinator_send_welcome(c, worker, out);
}

bool sb_coordinator_handle(struct sb_coordinator *c, uint64_t now_ns, uint64_t peer,
                           const Sb__Head *head, const struct sb_msg *msg, struct sb_outbox *out)
{
    c->now_ns = now_ns;
    bool of_this_term = head->term == c->term;
    hear_server(c, peer, head);
    if (knows_another(c, peer, head)) {
        sb_coordinator_ask_to_rejoin(c, peer, out);
        return true;
    }
    switch (head->body_case) {
    case SB__HEAD__BODY_HELLO: /* of any job: the answer says what differs */
        if (c->state != SB_COORDINATOR_OVER)
            sb_coordinator_take_hello(c, peer, head->hello, out);
        return true;
    case SB__HEAD__BODY_READY:
        if (peer & SB_PEER_WORKER_BIT)
            hear_worker(c, peer, head);
        else if (of_this_term)
            sb_coordinator_take_ready(c, peer, head->ready, out);
        return true;
    case SB__HEAD__BODY_DONE:
        if (of_this_term)
            sb_coordinator_take_done(c, peer, head, msg, out);
        else
            welcome_again(c, peer, out);
        return true;
    case SB__HEAD__BODY_GROUP_WANT:
        if (of_this_term)
            sb_coordinator_take_group_want(c, peer, head, out);
        else
            welcome_again(c, peer, out);
        return true;
    case SB__HEAD__BODY_REPORT:
        if (of_this_term)
            sb_coordinator_take_report(c, peer, head, msg, out);
        return true;
    case SB__HEAD__BODY_COMMITTED:
        if (of_this_term)
            sb_coordinator_take_committed(c, peer, head, out);
        return true;
    case SB__HEAD__BODY_SAVED:
        if (of_this_term)
            sb_coordinator_take_saved(c, peer, head, out);
        return true;
    case SB__HEAD__BODY_STOP:
        take_stop(c, peer, head->stop);
        if (c->stop_code)
            heed_stop(c, out);
        return true;
    case SB__HEAD__BODY_BYE:
        sb_coordinator_take_bye(c, peer, out);
        return true;
    default:
        return false;
    }
}

/* ---- time ---- */

static void say_idle_workers(const struct sb_coordinator *c, struct sb_bytes *text)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        const struct sb_coordinator_worker *w = &c->workers[i];
        struct sb_bytes missing = SB_BYTES_INIT;
        if (c->state == SB_COORDINATOR_TRAINING)
            for (size_t n = 0; n < w->node_count; n++)
                if (!sb_sums_tree_covers(&c->sums, w->nodes[n]))
                    sb_bytes_printf(&missing, " %" PRIu32, w->nodes[n]);
        if (sb_coordinator_deals_slots(c))
            for (uint64_t slot = w->first_slot; slot < w->end_slot && missing.count < 80; slot++)
                if (!sb_coordinator_slot_here(c, slot))
                    sb_bytes_printf(&missing, " %" PRIu64, slot);
        if (missing.data)
            sb_bytes_printf(text, "; missing: %s of %s:%s",
                            c->state == SB_COORDINATOR_TRAINING ? "nodes" : "slots",
                            c->members.workers[i].name, missing.data);
        sb_bytes_release(&missing);
    }
}

static void say_idle_servers(const struct sb_coordinator *c, struct sb_bytes *text)
{
    for (uint32_t i = 0; i < c->members.server_count; i++) {
        const struct sb_coordinator_server *s = &c->servers[i];
        const char *missing = NULL;
        if (c->state != SB_COORDINATOR_TRAINING)
            missing = s->seeded ? NULL : "the weights";
        else if (!s->reported)
            missing = "the report";
        else if (!sb_coordinator_save_kept(c) && !s->kept)
            missing = "the state for a checkpoint";
        if (missing)
            sb_bytes_printf(text, "; missing: %s of server %" PRIu32 " (%s)", missing, i,
                            c->members.servers[i].name);
    }
}

static void give_up(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_bytes text = SB_BYTES_INIT;
    if (c->state == SB_COORDINATOR_SHORT)
        sb_bytes_printf(&text, "fewer than %u workers (min_workers) for %u s (step_timeout_s)",
                        c->job->min_workers, c->job->step_timeout_s);
    else
        sb_bytes_printf(&text, "no progress for %u s (step_timeout_s) in step %" PRIu64,
                        c->job->step_timeout_s, c->step + 1);
    say_idle_workers(c, &text);
    /* Servers report when the last node is here: while nodes are missing, it is not their fault. */
    bool nodes_missing = c->state == SB_COORDINATOR_TRAINING && !sb_sums_tree_root(&c->sums);
    bool slots_missing = sb_coordinator_deals_slots(c);
    if (!slots_missing && !nodes_missing)
        say_idle_servers(c, &text);
    /* A worker that hangs does not keep the servers from writing what is committed. */
    if (!c->stop_code && (nodes_missing || slots_missing || c->state == SB_COORDINATOR_SHORT)) {
        stop_for(c, SB_ERR_PEER, text.data);
        heed_stop(c, out);
    } else {
        sb_coordinator_finish(c, SB_ERR_PEER, text.data, out);
    }
    sb_bytes_release(&text);
}

static void send_again(struct sb_coordinator *c, struct sb_outbox *out)
{
    c->sent_ns = c->now_ns;
    sb_coordinator_send_save(c, out);
    switch (c->state) {
    case SB_COORDINATOR_LOADING:
    case SB_COORDINATOR_SEEDING:
        sb_coordinator_send_start(c, out);
        return;
    case SB_COORDINATOR_GATHERING:
    case SB_COORDINATOR_TRAINING:
    case SB_COORDINATOR_EVALUATING:
        sb_coordinator_send_commit(c, out);
        sb_coordinator_send_work(c, out);
        sb_coordinator_dismiss(c, out);
        return;
    case SB_COORDINATOR_SHORT:
        sb_coordinator_send_commit(c, out);
        sb_coordinator_dismiss(c, out);
        return;
    case SB_COORDINATOR_RELOADING:
        sb_coordinator_send_commit(c, out);
        return;
    case SB_COORDINATOR_SAVING:
        sb_coordinator_send_commit(c, out);
        sb_coordinator_dismiss(c, out);
        return;
    case SB_COORDINATOR_FINISHING:
        sb_coordinator_send_commit(c, out);
        sb_coordinator_send_finish(c, out);
        return;
    case SB_COORDINATOR_JOINING:
    case SB_COORDINATOR_OVER:
        return;
    }
}

void sb_coordinator_tick(struct sb_coordinator *c, uint64_t now_ns, struct sb_outbox *out)
{
    c->now_ns = now_ns;
    if (c->state == SB_COORDINATOR_OVER)
        return;
    if (c->stop_code)
        heed_stop(c, out);
    if (sb_coordinator_works(c))
        sb_coordinator_watch_workers(c, out);
    if (c->state > SB_COORDINATOR_LOADING && c->state < SB_COORDINATOR_FINISHING)
        sb_coordinator_watch_servers(c);
    sb_coordinator_watch_save(c, out);
    if (c->state == SB_COORDINATOR_SHORT)
        sb_coordinator_watch_short(c, out);
    if (c->state == SB_COORDINATOR_JOINING)
        sb_coordinator_watch_joining(c, out);
    else if (c->state < SB_COORDINATOR_FINISHING && c->state != SB_COORDINATOR_SAVING &&
             sb_coordinator_seconds(c, c->progress_ns) > c->job->step_timeout_s)
        give_up(c, out);
    if (now_ns - c->sent_ns >= (uint64_t)c->job->push_timeout_ms * 1000000u)
        send_again(c, out);
}
