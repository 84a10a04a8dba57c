/*
 *               WELCOME           sb_client_seed
 *     JOINING -----------> SEED -----------------> WAITING <-------------------+
 *        |                                         ^  |  WORK came, and the    | the last node or
 *        +-----------------------------------------+  |  weights of its step   | slot is pushed
 *          WELCOME to a worker that need not seed     +---------------------> WORK
 *
 *     any of them -- WELCOME of a later term --> SEED or WAITING; from WORK when the caller leaves
 * it any of them -- FINISH --> FINISH -- sb_client_bye --> OVER any of them -- REFUSE, or a push
 * that is BAD every time --> OVER
 *
 * Pieces of work wait in a queue.  One of a later step drops the earlier ones: that step is
 * committed, so whatever is still missing from us is not needed any more.  Only what the caller is
 * busy with stays, so that its pushes never take the name of other work; they are not sent.
 */
#include "client_core.h"

#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

struct sb_msg *sb_client_make(struct sb_client *client, Sb__Head *head, struct sb_frame *frame0,
                              struct sb_frame *frame1)
{
    head->job = client->job;
    head->term = client->welcome ? client->welcome->term : 0;
    return sb_msg_new(head, frame0, frame1, client->options.checksum);
}

static struct sb_msg *make_hello(struct sb_client *client)
{
    size_t count = client->parts.span_count;
    Sb__Span *spans = sb_calloc(count + 1, sizeof(*spans));
    Sb__Span **layout = sb_calloc(count + 1, sizeof(*layout));
    for (size_t i = 0; i < count; i++) {
        const struct sb_span *span = &client->parts.spans[i];
        sb__span__init(&spans[i]);
        spans[i].rows = span->rows;
        spans[i].cols = span->cols;
        spans[i].decay = span->decay;
        spans[i].trainable = span->trainable;
        spans[i].row_sparse = span->row_sparse;
        spans[i].rate = span->rate;
        spans[i].from_step = span->from_step;
        layout[i] = &spans[i];
    }
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    hello.role = SB__ROLE__ROLE_WORKER;
    hello.index = client->options.index;
    hello.life = client->options.life;
    hello.name = (char *)client->options.name;
    hello.canonical = (char *)client->options.canonical;
    hello.fingerprint = (char *)client->options.fingerprint;
    hello.plan = (Sb__Plan *)client->options.plan;
    hello.n_layout = count;
    hello.layout = layout;
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    struct sb_msg *msg = sb_client_make(client, &head, NULL, NULL);
    free(layout);
    free(spans);
    return msg;
}

struct sb_client *sb_client_new(const struct sb_client_options *options, uint64_t now_ns)
{
    struct sb_client *client = sb_calloc(1, sizeof(*client));
    client->options = *options;
    client->job = sb_msg_job(options->canonical);
    client->last_heard_ns = now_ns;
    client->sparse_span = UINT32_MAX;
    sb_parts_init(&client->parts, options->spans, options->span_count, 1);
    for (uint32_t i = 0; i < client->parts.span_count; i++) {
        const struct sb_span *span = &client->parts.spans[i];
        if (!span->trainable || !span->row_sparse)
            continue;
        sb_assert(client->sparse_span == UINT32_MAX); /* rows name no tensor: there is one */
        client->sparse_span = i;
    }
    client->pushes.parts = &client->parts;
    client->holdings = sb_calloc(client->parts.count + 1, sizeof(*client->holdings));
    /* Due at once: the first tick sends it. */
    client->hello = (struct sb_retry){.msg = make_hello(client)};
    return client;
}

void sb_client_free(struct sb_client **client)
{
    struct sb_client *old = *client;
    *client = NULL;
    if (!old)
        return;
    sb_pushes_release(&old->pushes);
    for (size_t i = 0; i < old->parts.count; i++) {
        sb_retry_end(&old->holdings[i].want);
        sb_frame_drop(&old->holdings[i].rows);
    }
    for (size_t i = 0; i < old->done_count; i++)
        sb_retry_end(&old->dones[i].retry);
    sb_client_drop_group(old);
    sb_retry_end(&old->hello);
    sb_retry_end(&old->stop);
    sb_msg_close(&old->welcome);
    sb_parts_release(&old->parts);
    free(old->holdings);
    free(old->heard_ns);
    free(old->dones);
    free(old->sentence);
    free(old->history);
    free(old);
}

/* ---- work ---- */

static bool work_is_complete(const struct sb_client *client)
{
    if (client->asks_rows || sb_client_group_missing(client))
        return false;
    for (size_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct sb_holding *holding = &client->holdings[i];
        if (sb_client_by_rows(part) ? holding->rows_needed && !holding->rows_here : !holding->whole)
            return false;
        if (part->trainable && (!sb_client_by_rows(part) || holding->rows_needed) &&
            holding->step != client->work->step)
            return false;
    }
    return true;
}

/* Other work of the same step: what was evaluated or published for it is complete. */
static bool ends_work_of_slots(const struct sb_work *newest, const struct sb_work *work)
{
    if (work->embed)
        return !newest->embed;
    return work->eval && (!newest->eval || newest->eval_set != work->eval_set);
}

/* Weights that are newer than the work came: its step is committed without us.  Or vectors were
 * asked for, and now nodes: all vectors are there. */
bool sb_client_work_is_past(const struct sb_client *client)
{
    if (client->work_void)
        return true;
    for (size_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct sb_holding *holding = &client->holdings[i];
        if (part->trainable && (holding->whole || holding->rows_here) &&
            holding->step > client->work->step)
            return true;
    }
    const struct sb_work *work = client->work,
                         *newest = client->queued ? &client->queue[client->queued - 1] : NULL;
    return newest && (newest->step > work->step ||
                      (newest->step == work->step && ends_work_of_slots(newest, work)));
}

static bool has_slots(const struct sb_work *work)
{
    return work->eval || work->embed;
}

static size_t work_size(const struct sb_work *work)
{
    return has_slots(work) ? (size_t)(work->end_slot - work->first_slot) : work->node_count;
}

static void begin_work(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    sb_retry_end(&client->group_want); /* of work that is past */
    client->work = &client->works[client->work == &client->works[0]];
    *client->work = client->queue[0];
    client->queued--;
    memmove(client->queue, client->queue + 1, client->queued * sizeof(*client->queue));
    client->has_work = work_size(client->work) > 0; /* nothing for us: we are idle in this step */
    client->pushed_count = 0;
    memset(client->node_pushed, 0, sizeof(client->node_pushed));
    if (!client->has_work)
        return;
    client->asks_rows = client->sparse_span != UINT32_MAX;
    for (size_t i = 0; i < client->parts.count; i++)
        client->holdings[i].rows_needed = client->holdings[i].rows_here = false;
    sb_client_want_whole(client, now_ns, client->work->step, out);
    sb_client_want_group(client, now_ns, out);
}

/* SEED or WAITING, by the welcome at hand. */
static void begin_term(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    const Sb__Welcome *welcome = client->welcome->welcome;
    client->has_work = client->asks_rows = client->work_void = false;
    client->state = welcome->seed ? SB_CLIENT_SEED : SB_CLIENT_WAITING;
    if (client->state == SB_CLIENT_WAITING)
        sb_client_want_whole(client, now_ns, welcome->resume_step, out);
}

void sb_client_advance(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state == SB_CLIENT_WORK && client->pushed_count == work_size(client->work)) {
        client->has_work = false;
        client->state = SB_CLIENT_WAITING;
        if (client->work_void)
            begin_term(client, now_ns, out);
    }
    while (client->state == SB_CLIENT_WAITING) {
        if (client->has_work && sb_client_work_is_past(client))
            client->has_work = client->asks_rows = false;
        if (!client->has_work && !client->queued)
            break;
        if (!client->has_work)
            begin_work(client, now_ns, out);
        else if (work_is_complete(client))
            client->state = SB_CLIENT_WORK;
        else
            break;
    }
    sb_pushes_settle(&client->pushes);
    if (client->seeds) { /* settled groups are freed */
        const struct sb_push_group *group = client->pushes.first;
        while (group && group != client->seeds)
            group = group->next;
        client->seeds = group ? client->seeds : NULL;
    }
}

/* Are its slots some of the plan's? */
static bool slots_fit(const struct sb_work *work, const Sb__Plan *plan)
{
    if (work->embed)
        return plan->vector_size && work->end_slot <= plan->slots;
    return !work->eval || (work->eval_set < plan->n_eval_sets &&
                           work->end_slot <= plan->eval_sets[work->eval_set]->slot_count);
}

static bool take_work(struct sb_client *client, const Sb__Head *head)
{
    const Sb__Work *body = head->work;
    if (client->state == SB_CLIENT_JOINING ||
        (client->any_sequence && body->sequence <= client->last_sequence) ||
        client->queued == SB_CLIENT_QUEUE_MAX) /* full: it comes again */
        return false;
    uint32_t slots = client->options.plan->slots;
    struct sb_work work = {
        .eval = body->kind == SB__WORK_KIND__WORK_EVAL,
        .embed = body->kind == SB__WORK_KIND__WORK_EMBED,
        .step = head->step,
        .sequence = body->sequence,
        .node_count = body->n_nodes,
        .next_node_count = body->n_next_nodes,
        .eval_set = body->eval_set,
        .first_slot = body->first_slot,
        .end_slot = body->end_slot,
    };
    for (size_t i = 0; i < body->n_nodes; i++) {
        if (body->nodes[i] < 1 || body->nodes[i] >= 2 * slots)
            return false;
        work.nodes[i] = body->nodes[i];
    }
    for (size_t i = 0; i < body->n_next_nodes; i++) {
        if (body->next_nodes[i] < 1 || body->next_nodes[i] >= 2 * slots)
            return false;
        work.next_nodes[i] = body->next_nodes[i];
    }
    if (!slots_fit(&work, client->options.plan))
        return false;
    client->any_sequence = true;
    client->last_sequence = body->sequence;
    size_t kept = 0;
    for (size_t i = 0; i < client->queued; i++)
        if (client->queue[i].step >= work.step)
            client->queue[kept++] = client->queue[i];
    client->queue[kept] = work;
    client->queued = kept + 1;
    sb_pushes_close_before(&client->pushes, work.step);
    sb_client_drop_dones(client, work.step);
    return true;
}

/* ---- the end ---- */

static void drop_all_work(struct sb_client *client)
{
    client->has_work = client->asks_rows = false;
    client->queued = 0;
    sb_pushes_close_before(&client->pushes, UINT64_MAX);
    sb_client_drop_dones(client, UINT64_MAX);
    for (size_t i = 0; i < client->parts.count; i++)
        sb_retry_end(&client->holdings[i].want);
    sb_client_drop_group(client);
    sb_retry_end(&client->stop);
}

void sb_client_end(struct sb_client *client, enum sb_client_state state, uint32_t code,
                   const char *sentence)
{
    if (client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return;
    client->state = state;
    client->code = code <= 255 ? (int)code : SB_ERR_PEER;
    client->sentence = sb_strdup(sentence);
    drop_all_work(client);
}

static bool take_finish(struct sb_client *client, uint64_t peer, const Sb__Head *head,
                        const struct sb_msg *msg, struct sb_outbox *out)
{
    if (peer != SB_PEER_COORDINATOR)
        return false;
    /* It overtook the WELCOME without which the model cannot be fetched.  Both come again. */
    if (!client->welcome && head->finish->code == SB_OK)
        return false;
    if (client->said_bye) {
        Sb__Head answer = SB__HEAD__INIT;
        Sb__Bye bye = SB__BYE__INIT;
        answer.body_case = SB__HEAD__BODY_BYE;
        answer.bye = &bye;
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_client_make(client, &answer, NULL, NULL));
    }
    if (client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return true;
    size_t bytes = msg->frame_count ? msg->frames[0]->bytes : 0;
    client->history = sb_alloc(bytes + 1);
    if (bytes)
        memcpy(client->history, msg->frames[0]->data, bytes);
    client->history[bytes] = 0;
    client->finish_step = head->step;
    if (client->welcome)
        client->welcome->welcome->lease = head->finish->lease;
    sb_client_end(client, SB_CLIENT_FINISH, head->finish->code, head->finish->sentence);
    return true;
}

/* ---- answers ---- */

/* Nothing of the term before is asked, sent or held any more. */
static bool forget_term(struct sb_client *client)
{
    if (client->state == SB_CLIENT_OVER || client->said_bye ||
        (client->state == SB_CLIENT_FINISH && client->code != SB_OK))
        return false;
    free(client->sentence);
    free(client->history);
    client->sentence = client->history = NULL;
    client->queued = 0;
    client->any_sequence = false;
    sb_pushes_close_before(&client->pushes, UINT64_MAX);
    sb_client_drop_dones(client, UINT64_MAX);
    sb_client_drop_group(client);
    for (size_t i = 0; i < client->parts.count; i++) {
        sb_retry_end(&client->holdings[i].want);
        sb_frame_drop(&client->holdings[i].rows);
        client->holdings[i] = (struct sb_holding){0};
    }
    return true;
}

static bool take_welcome(struct sb_client *client, uint64_t now_ns, uint64_t peer, Sb__Head **head,
                         struct sb_outbox *out)
{
    bool later = client->welcome && (*head)->term > client->welcome->term;
    if (peer != SB_PEER_COORDINATOR || (client->welcome && !later))
        return client->welcome != NULL; /* a sign of life */
    if ((!later && client->state != SB_CLIENT_JOINING) || !forget_term(client))
        return false;
    sb_msg_close(&client->welcome);
    client->welcome = *head;
    *head = NULL;
    const Sb__Welcome *welcome = client->welcome->welcome;
    struct sb_parts dealt;
    sb_parts_init(&dealt, client->parts.spans, client->parts.span_count,
                  (uint32_t)welcome->n_servers);
    sb_parts_release(&client->parts);
    client->parts = dealt;
    free(client->heard_ns);
    client->heard_ns = sb_calloc(welcome->n_servers, sizeof(*client->heard_ns));
    if (client->state == SB_CLIENT_WORK)
        client->work_void = true;
    else
        begin_term(client, now_ns, out);
    return true;
}

/* The coordinator waits for others; or it is a new one, which does not know us. */
static bool take_ready(struct sb_client *client, uint64_t now_ns, const Sb__Head *head,
                       struct sb_outbox *out)
{
    client->last_heard_ns = now_ns;
    if (head->ready->rejoin && client->welcome && client->state != SB_CLIENT_OVER &&
        now_ns >= client->hello.sent_ns + client->options.retry_ms * UINT64_C(1000000) / 4) {
        client->hello.sent_ns = now_ns;
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_msg_copy(client->hello.msg));
    }
    return true;
}

/* True if the message was of use. */
static bool take(struct sb_client *client, uint64_t now_ns, uint64_t peer, Sb__Head **head,
                 const struct sb_msg *msg, struct sb_outbox *out)
{
    const Sb__Head *in = *head;
    if (in->body_case == SB__HEAD__BODY_REFUSE) { /* also from another job: that is why */
        sb_client_end(client, SB_CLIENT_OVER, in->refuse->code ? in->refuse->code : SB_ERR_PEER,
                      in->refuse->sentence);
        return true;
    }
    bool from_coordinator = peer == SB_PEER_COORDINATOR;
    if (in->job == client->job && from_coordinator && in->body_case == SB__HEAD__BODY_READY)
        return take_ready(client, now_ns, in, out);
    bool later_term = from_coordinator && in->body_case == SB__HEAD__BODY_WELCOME &&
                      client->welcome && in->term > client->welcome->term;
    if (in->job != client->job ||
        (client->welcome && in->term != client->welcome->term && !later_term))
        return false;
    if (from_coordinator)
        client->last_heard_ns = now_ns;
    switch (in->body_case) {
    case SB__HEAD__BODY_WELCOME:
        return take_welcome(client, now_ns, peer, head, out);
    case SB__HEAD__BODY_FINISH:
        return take_finish(client, peer, in, msg, out);
    case SB__HEAD__BODY_WEIGHTS:
        return sb_client_take_weights(client, now_ns, peer, in, msg);
    default:
        break;
    }
    if (!client->welcome || client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return false;
    switch (in->body_case) {
    case SB__HEAD__BODY_WORK:
        return peer == SB_PEER_COORDINATOR && take_work(client, in);
    case SB__HEAD__BODY_ACK:
        return sb_client_take_ack(client, now_ns, peer, in);
    case SB__HEAD__BODY_GROUP:
        return peer == SB_PEER_COORDINATOR && sb_client_take_group(client, in, msg);
    case SB__HEAD__BODY_DONE_ACK:
        return peer == SB_PEER_COORDINATOR && sb_client_take_done_ack(client, in);
    default:
        return false;
    }
}

void sb_client_handle(struct sb_client *client, uint64_t now_ns, uint64_t peer, struct sb_msg **msg,
                      struct sb_outbox *out)
{
    Sb__Head *head = sb_msg_open(*msg, NULL);
    if (!head || !take(client, now_ns, peer, &head, *msg, out))
        client->counters.dropped++;
    sb_msg_close(&head);
    sb_msg_free(msg);
    sb_client_advance(client, now_ns, out);
}

void sb_client_tick(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    uint32_t retry_ms = client->options.retry_ms;
    uint64_t silence_ns = retry_ms * UINT64_C(1000000);
    struct sb_retry *hello = &client->hello;
    if (client->state == SB_CLIENT_JOINING && !hello->sent_ns) {
        hello->sent_ns = now_ns ? now_ns : 1;
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_msg_copy(hello->msg));
    } else if (client->state == SB_CLIENT_JOINING) {
        hello->tries = 0; /* peers start in any order: knock steadily */
        sb_retry_tick(hello, now_ns, 0, retry_ms, SB_PEER_COORDINATOR, out);
    } else if (client->state == SB_CLIENT_WAITING && now_ns >= client->last_heard_ns + silence_ns &&
               now_ns >= hello->sent_ns + silence_ns) {
        /* The same answer comes: a sign of life.  Who has no share has nothing else to send again,
         * and a new coordinator waits for all. */
        hello->sent_ns = now_ns;
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_msg_copy(hello->msg));
    }
    if (client->state != SB_CLIENT_OVER) {
        size_t sent = sb_retry_tick(&client->stop, now_ns, 0, retry_ms, SB_PEER_COORDINATOR, out);
        client->group_want.tries = 0; /* it is a sign of life too: ask steadily */
        sent += sb_retry_tick(&client->group_want, now_ns, 0, retry_ms, SB_PEER_COORDINATOR, out);
        for (size_t i = 0; i < client->done_count; i++)
            sent += sb_retry_tick(&client->dones[i].retry, now_ns, 0, retry_ms, SB_PEER_COORDINATOR,
                                  out);
        for (size_t i = 0; client->welcome && i < client->parts.count; i++) {
            uint32_t owner = client->parts.parts[i].owner;
            sent += sb_retry_tick(&client->holdings[i].want, now_ns, client->heard_ns[owner],
                                  retry_ms, owner, out);
        }
        sent += sb_pushes_tick(&client->pushes, now_ns, client->heard_ns, retry_ms, out);
        client->counters.retries += sent;
    }
    sb_client_advance(client, now_ns, out);
}

/* ---- what the caller asks and says ---- */

enum sb_client_state sb_client_state(const struct sb_client *client)
{
    return client->state;
}

uint32_t sb_client_term(const struct sb_client *client)
{
    return client->welcome ? client->welcome->term : 0;
}

bool sb_client_work_void(const struct sb_client *client)
{
    return client->state == SB_CLIENT_WORK && sb_client_work_is_past(client);
}

void sb_client_leave_work(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (!sb_client_work_void(client))
        return;
    client->has_work = false;
    client->state = SB_CLIENT_WAITING;
    if (client->work_void)
        begin_term(client, now_ns, out);
    sb_client_advance(client, now_ns, out);
}

const struct sb_work *sb_client_work(const struct sb_client *client)
{
    return client->state == SB_CLIENT_WORK ? client->work : NULL;
}

const Sb__Welcome *sb_client_welcome(const struct sb_client *client)
{
    return client->welcome ? client->welcome->welcome : NULL;
}

const struct sb_parts *sb_client_parts(const struct sb_client *client)
{
    return &client->parts;
}

uint64_t sb_client_last_heard(const struct sb_client *client)
{
    return client->last_heard_ns;
}

int sb_client_code(const struct sb_client *client, const char **sentence)
{
    if (sentence)
        *sentence = client->sentence ? client->sentence : "";
    return client->code;
}

const char *sb_client_history(const struct sb_client *client)
{
    return client->history;
}

const struct sb_client_counters *sb_client_counters(const struct sb_client *client)
{
    return &client->counters;
}

void sb_client_bye(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    (void)now_ns;
    if (client->state != SB_CLIENT_FINISH)
        return;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    /* Nobody is here to repeat it later, and a lost one would be waited for: more than once. */
    for (int times = 0; times < 3; times++)
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_client_make(client, &head, NULL, NULL));
    client->said_bye = true;
    client->state = SB_CLIENT_OVER;
    drop_all_work(client);
}

/* text has room for both. */
static char *say_who(char *text, size_t size, const char *name, const char *sentence)
{
    snprintf(text, size, "%s: %s", name, sentence);
    return text;
}

struct sb_msg *sb_client_stop_msg(const char *canonical, const char *name, const struct sb_err *why)
{
    char text[2048];
    Sb__Head head = SB__HEAD__INIT;
    Sb__Stop stop = SB__STOP__INIT;
    stop.code = why->code;
    stop.sentence = say_who(text, sizeof(text), name, why->text);
    head.job = sb_msg_job(canonical);
    head.body_case = SB__HEAD__BODY_STOP;
    head.stop = &stop;
    return sb_msg_new(&head, NULL, NULL, true);
}

struct sb_msg *sb_client_preparing_msg(const char *canonical)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    head.job = sb_msg_job(canonical);
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    return sb_msg_new(&head, NULL, NULL, true);
}

void sb_client_stop(struct sb_client *client, uint64_t now_ns, int code, const char *sentence,
                    struct sb_outbox *out)
{
    char text[2048];
    if (client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Stop stop = SB__STOP__INIT;
    stop.code = (uint32_t)code;
    if (sentence)
        stop.sentence = say_who(text, sizeof(text), client->options.name, sentence);
    head.body_case = SB__HEAD__BODY_STOP;
    head.stop = &stop;
    sb_retry_start(&client->stop, now_ns, SB_PEER_COORDINATOR,
                   sb_client_make(client, &head, NULL, NULL), out);
}
