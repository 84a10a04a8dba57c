#include "coordinator_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5 };
#define NOBODY UINT32_MAX

/* Of this start alone: what an earlier one did before it was stopped took another clock's time. */
static void set_speed(json_t *object, const struct sb_coordinator *c)
{
    double seconds = c->train_ns ? sb_coordinator_seconds(c, c->train_ns) : 0;
    double samples = c->history.total.of[SB_SUM_SAMPLES] - c->train_first_samples;
    json_object_set_new(object, "train_runtime", json_real(seconds));
    if (seconds <= 0)
        return;
    json_object_set_new(object, "train_samples_per_second", json_real(samples / seconds));
    json_object_set_new(
        object, "train_steps_per_second",
        json_real((double)(sb_coordinator_trained(c) - c->train_first_step) / seconds));
}

static struct sb_frame *finish_text(const struct sb_coordinator *c)
{
    json_t *object = sb_history_to_json(&c->history);
    const struct sb_sums *total = &c->history.total;
    json_object_del(object, "total");
    json_object_del(object, "since");
    json_object_set_new(object, "global_step", json_integer((json_int_t)sb_coordinator_trained(c)));
    json_object_set_new(object, "best_is_model", json_boolean(c->reloaded));
    json_object_set_new(object, "train_samples",
                        json_integer((json_int_t)total->of[SB_SUM_SAMPLES]));
    json_object_set_new(object, "train_tokens", json_integer((json_int_t)total->of[SB_SUM_TOKENS]));
    json_object_set_new(object, "num_train_epochs", json_real(c->job->num_train_epochs));
    json_object_set_new(object, "train_batch_size", json_integer(c->job->batch_size));
    json_object_set_new(object, "logging_steps", json_integer((json_int_t)c->job->logging_steps));
    json_object_set_new(object, "eval_steps", json_integer((json_int_t)c->job->eval_steps));
    json_object_set_new(object, "save_steps", json_integer((json_int_t)c->job->save_steps));
    set_speed(object, c);
    json_t *loss = json_real(sb_sums_mean_loss(total));
    if (loss)
        json_object_set_new(object, "train_loss", loss);
    if (c->members.plan) {
        json_object_set_new(object, "epoch", json_real(sb_coordinator_epoch(c)));
        json_object_set_new(object, "max_steps",
                            json_integer((json_int_t)c->members.plan->total_steps));
    }
    if (c->head.step == c->step)
        json_object_set_new(object, "head", sb_embed_head_pack(&c->head.head));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    struct sb_frame *frame = sb_frame_new(strlen(text));
    memcpy(frame->data, text, frame->bytes);
    free(text);
    return frame;
}

static void send_finish(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Finish finish = SB__FINISH__INIT;
    finish.code = (uint32_t)c->finish_code;
    finish.sentence = c->finish_sentence;
    finish.lease = c->lease != NOBODY && peer == c->members.workers[c->lease].peer;
    head.step = c->step;
    head.body_case = SB__HEAD__BODY_FINISH;
    head.finish = &finish;
    sb_coordinator_send(c, out, peer, &head, c->finish_text);
}

void sb_coordinator_refuse(struct sb_coordinator *c, uint64_t peer, const char *name, int code,
                           const char *sentence, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Refuse refuse = SB__REFUSE__INIT;
    refuse.code = (uint32_t)code;
    refuse.sentence = (char *)(uintptr_t)sentence;
    refuse.name = (char *)(uintptr_t)name;
    head.body_case = SB__HEAD__BODY_REFUSE;
    head.refuse = &refuse;
    sb_coordinator_send(c, out, peer, &head, NULL);
}

/* Workers that were never welcomed are refused, and a refused one says nothing back. */
static void send_finish_to_workers(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.workers_here; i++) {
        if (c->workers[i].bye)
            continue;
        if (c->workers[i].welcomed)
            send_finish(c, c->members.workers[i].peer, out);
        else
            sb_coordinator_refuse(c, c->members.workers[i].peer, c->members.workers[i].name,
                                  c->finish_code, c->finish_sentence, out);
    }
}

static void send_finish_to_servers(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (i != SB_PEER_COORDINATOR && c->members.servers[i].here && !c->servers[i].bye)
            send_finish(c, i, out);
}

/* One who is slow may be so for the network alone, and hears FINISH late: it is waited for a
 * little.
 */
static bool workers_gone(const struct sb_coordinator *c)
{
    bool waited = c->finish_rounds >= ROUNDS;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (!c->workers[i].bye && c->workers[i].welcomed && !c->members.workers[i].lost &&
            (!c->workers[i].slow || !waited || i == c->lease))
            return false;
    return true;
}

static bool servers_gone(const struct sb_coordinator *c)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (i != SB_PEER_COORDINATOR && c->members.servers[i].here && !c->servers[i].bye)
            return false;
    return true;
}

static void say_unwritten(struct sb_coordinator *c, const char *name)
{
    c->finish_code = SB_ERR_PEER;
    snprintf(c->finish_sentence, sizeof(c->finish_sentence),
             "the training is done, but %s is lost and has not written the model; the same command "
             "writes it from the last checkpoint",
             name);
}

/* Servers answer wants until the last worker has left, so they are told after the workers. */
void sb_coordinator_go_on_finishing(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (!c->workers_finished) {
        /* After a good end the export of a big model may take its time; nobody else is waited for
         * long. */
        bool writing = c->finish_code == 0 && !c->workers[c->lease].bye;
        bool patience_over =
            writing ? sb_coordinator_seconds(c, c->progress_ns) > c->job->step_timeout_s
                    : c->finish_rounds >= ROUNDS;
        if ((!workers_gone(c) && !patience_over) || sb_coordinator_save_holds_end(c))
            return;
        if (c->finish_code == 0 && !c->workers[c->lease].bye)
            say_unwritten(c, c->members.workers[c->lease].name);
        c->workers_finished = true;
        c->finish_rounds = 0;
        send_finish_to_servers(c, out);
    }
    if (!servers_gone(c) && c->finish_rounds < ROUNDS)
        return;
    sb_coordinator_move(c, SB_COORDINATOR_OVER);
    sb_coordinator_say_losses(c);
    sb_coordinator_tell(
        c, (struct sb_event){.kind = SB_EVENT_FINISHED,
                             .code = c->finish_code,
                             .text = c->finish_sentence,
                             .seconds = c->train_ns ? sb_coordinator_seconds(c, c->train_ns) : 0});
}

/* The first worker that is alive, neither slow nor leaving if there is one: all hold the same
 * weights. */
static uint32_t find_writer(const struct sb_coordinator *c)
{
    uint32_t slow = NOBODY;
    for (uint32_t i = c->members.workers_here; i-- > 0;)
        if (c->workers[i].welcomed && !c->members.workers[i].lost)
            slow = i;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (c->workers[i].welcomed && !c->members.workers[i].lost && !c->workers[i].slow &&
            !c->workers[i].leaving)
            return i;
    return slow;
}

void sb_coordinator_finish(struct sb_coordinator *c, int code, const char *sentence,
                           struct sb_outbox *out)
{
    if (c->state == SB_COORDINATOR_FINISHING || c->state == SB_COORDINATOR_OVER)
        return;
    c->finish_code = code;
    snprintf(c->finish_sentence, sizeof(c->finish_sentence), "%s", sentence);
    c->lease = find_writer(c);
    if (code == 0 && c->lease == NOBODY)
        say_unwritten(c, "every worker");
    if (c->finish_code) /* now: whoever started us may not wait until all have said good-bye */
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_ENDING,
                                                 .code = c->finish_code,
                                                 .text = c->finish_sentence});
    c->finish_text = finish_text(c);
    sb_evaluation_end(&c->evaluation);
    sb_coordinator_move(c, SB_COORDINATOR_FINISHING);
    send_finish_to_workers(c, out);
    sb_coordinator_go_on_finishing(c, out);
}

void sb_coordinator_take_bye(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    if (worker != UINT32_MAX)
        sb_coordinator_take_leave(c, worker);
    if (c->state != SB_COORDINATOR_FINISHING)
        return;
    if (worker != UINT32_MAX)
        c->workers[worker].bye = true;
    else if (peer < c->members.server_count && c->workers_finished)
        c->servers[peer].bye = true;
    sb_coordinator_go_on_finishing(c, out);
}

void sb_coordinator_send_finish(struct sb_coordinator *c, struct sb_outbox *out)
{
    c->finish_rounds++;
    if (c->workers_finished)
        send_finish_to_servers(c, out);
    else
        send_finish_to_workers(c, out);
    sb_coordinator_go_on_finishing(c, out);
}
