/*
 *               WELCOME           sb_client_seed
 *     JOINING -----------> SEED -----------------> WAITING <-------------------+
 *        |                                         ^  |  WORK came, and the    | the last node or
 *        +-----------------------------------------+  |  weights of its step   | slot is pushed
 *          WELCOME to a worker that need not seed     +---------------------> WORK
 *
 *     any of them -- FINISH --> FINISH -- sb_client_bye --> OVER
 *     any of them -- REFUSE, or a push that is BAD every time --> OVER
 *
 * Pieces of work wait in a queue.  One of a later step drops the earlier ones: that step is
 * committed, so whatever is still missing from us is not needed any more.  Only what the caller is
 * busy with stays, so that its pushes never take the name of other work; they are not sent.
 */
#include "client.h"

#include "arena.h"
#include "pushes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_MAX = 8,
    BAD_MAX = 3, /* a damaged message may be BAD once or twice; the third is our fault */
    STATS_COUNT = sizeof(struct sb_stats) / sizeof(double),
};
#define SILENCE_NS (UINT64_C(5) * 1000000000) /* then we ask the coordinator for a sign of life */

/* What we hold of a part, and what we have asked for. */
struct holding {
    bool whole; /* all of the part is here, as of step */
    uint64_t step;
    bool rows_needed, rows_here; /* of the work at hand: row-sparse parts */
    struct sb_retry want;        /* its frame, if any, are the row numbers */
    uint64_t want_step;
};

struct done {
    struct sb_retry retry;
    Sb__WorkKind kind;
    uint64_t sequence, step, slot;
    uint32_t node;
};

struct sb_client {
    enum sb_client_state state;
    struct sb_client_options options;
    struct sb_parts parts;
    uint32_t sparse_span; /* UINT32_MAX: none */
    uint64_t job;
    Sb__Head *welcome; /* NULL before it came */
    struct sb_retry hello, stop;
    uint64_t last_heard_ns;

    struct holding *holdings; /* [part count] */
    struct sb_pushes pushes;
    struct sb_push_group *seeds; /* the group of the first weights while it is in pushes */
    uint64_t *heard_ns;          /* [server count] the last answer that ended a retry */
    struct done *dones;
    size_t done_count, done_capacity;

    bool has_work; /* work is valid: waiting for weights, or with the caller */
    bool asks_rows;
    struct sb_work *work; /* one of works: the caller may look at the one before for a while */
    struct sb_work works[2];
    size_t pushed_count; /* nodes or slots of work */
    bool node_pushed[64];
    struct sb_work queue[QUEUE_MAX];
    size_t queued;
    uint64_t last_sequence;
    bool any_sequence;

    int code;
    char *sentence, *history;
    uint64_t finish_step;
    bool fetching, said_bye;
    struct sb_client_counters counters;
};

/* ---- life ---- */

static struct sb_msg *make_msg(struct sb_client *client, Sb__Head *head, struct sb_frame *frame0,
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
        layout[i] = &spans[i];
    }
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    hello.role = SB__ROLE__ROLE_WORKER;
    hello.name = (char *)client->options.name;
    hello.canonical = (char *)client->options.canonical;
    hello.fingerprint = (char *)client->options.fingerprint;
    hello.plan = (Sb__Plan *)client->options.plan;
    hello.n_layout = count;
    hello.layout = layout;
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    struct sb_msg *msg = make_msg(client, &head, NULL, NULL);
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
    for (size_t i = 0; i < old->parts.count; i++)
        sb_retry_end(&old->holdings[i].want);
    for (size_t i = 0; i < old->done_count; i++)
        sb_retry_end(&old->dones[i].retry);
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

/* ---- wants ---- */

/* Row-sparse and trained: asked for by rows, but for the export. */
static bool by_rows(const struct sb_part *part)
{
    return part->trainable && part->row_sparse;
}

/* rows NULL: the whole part. */
static void want(struct sb_client *client, uint64_t now_ns, uint32_t index, uint64_t step,
                 struct sb_frame *rows, struct sb_outbox *out)
{
    struct holding *holding = &client->holdings[index];
    Sb__Head head = SB__HEAD__INIT;
    Sb__Want body = SB__WANT__INIT;
    body.rows = rows != NULL;
    head.step = step;
    head.part = index;
    head.body_case = SB__HEAD__BODY_WANT;
    head.want = &body;
    holding->want_step = step;
    sb_retry_start(&holding->want, now_ns, client->parts.parts[index].owner,
                   make_msg(client, &head, rows, NULL), out);
}

/* Wants every part that is used whole and is not here as of step, nor asked for. */
static void want_whole_parts(struct sb_client *client, uint64_t now_ns, uint64_t step,
                             struct sb_outbox *out)
{
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct holding *holding = &client->holdings[i];
        bool here = holding->whole && (!part->trainable || holding->step >= step);
        bool asked = holding->want.msg && (!part->trainable || holding->want_step >= step);
        if (!by_rows(part) && !here && !asked)
            want(client, now_ns, i, step, NULL, out);
    }
}

/*
 * Writes what came.  While the first weights are still being sent from this memory nothing may
 * change in it; but then what comes back is what is there.
 */
static bool write_weights(struct sb_client *client, float *to, const float *from, size_t count)
{
    if (client->seeds && sb_loan_in_use(client->seeds->loan))
        return memcmp(to, from, count * sizeof(float)) == 0;
    memcpy(to, from, count * sizeof(float));
    return true;
}

static bool take_rows(struct sb_client *client, const struct sb_part *part,
                      const struct sb_msg *asked, const struct sb_msg *msg)
{
    const struct sb_frame *values = msg->frames[0], *rows = msg->frames[1];
    /* An answer to an earlier want of this part names other rows. */
    if (asked->frame_count != 1 || rows->bytes != asked->frames[0]->bytes ||
        memcmp(rows->data, asked->frames[0]->data, rows->bytes) != 0 ||
        values->bytes != rows->bytes * part->cols)
        return false;
    const uint32_t *numbers = asked->frames[0]->data;
    float *weights = client->options.weights + part->offset;
    for (size_t i = 0; i < rows->bytes / sizeof(*numbers); i++)
        if (!write_weights(client, weights + (size_t)numbers[i] * part->cols,
                           (const float *)values->data + i * part->cols, part->cols))
            return false;
    return true;
}

static bool take_weights(struct sb_client *client, uint64_t now_ns, uint64_t peer,
                         const Sb__Head *head, const struct sb_msg *msg)
{
    if (head->part >= client->parts.count || client->parts.parts[head->part].owner != peer)
        return false;
    const struct sb_part *part = &client->parts.parts[head->part];
    struct holding *holding = &client->holdings[head->part];
    if (!holding->want.msg || (part->trainable && head->step < holding->want_step))
        return false;
    if (head->weights->rows) {
        if (!take_rows(client, part, holding->want.msg, msg))
            return false;
        holding->rows_here = true;
        holding->whole = false;
    } else {
        if (holding->want.msg->frame_count ||
            msg->frames[0]->bytes != part->count * sizeof(float) ||
            !write_weights(client, client->options.weights + part->offset, msg->frames[0]->data,
                           part->count))
            return false;
        holding->whole = true;
    }
    holding->step = head->step;
    sb_retry_end(&holding->want);
    client->heard_ns[peer] = now_ns;
    client->counters.want_bytes += sb_msg_bytes(msg);
    return true;
}

/* ---- work ---- */

static bool work_is_complete(const struct sb_client *client)
{
    if (client->asks_rows)
        return false;
    for (size_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct holding *holding = &client->holdings[i];
        if (by_rows(part) ? holding->rows_needed && !holding->rows_here : !holding->whole)
            return false;
        if (part->trainable && (!by_rows(part) || holding->rows_needed) &&
            holding->step != client->work->step)
            return false;
    }
    return true;
}

/* Weights that are newer than the work came: its step is committed without us. */
static bool work_is_past(const struct sb_client *client)
{
    for (size_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct holding *holding = &client->holdings[i];
        if (part->trainable && (holding->whole || holding->rows_here) &&
            holding->step > client->work->step)
            return true;
    }
    return client->queued && client->queue[client->queued - 1].step > client->work->step;
}

static size_t work_size(const struct sb_work *work)
{
    return work->eval ? (size_t)(work->end_slot - work->first_slot) : work->node_count;
}

static void begin_work(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
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
    want_whole_parts(client, now_ns, client->work->step, out);
}

/* Moves between WAITING and WORK as far as it goes. */
static void advance(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state == SB_CLIENT_WORK && client->pushed_count == work_size(client->work)) {
        client->has_work = false;
        client->state = SB_CLIENT_WAITING;
    }
    while (client->state == SB_CLIENT_WAITING) {
        if (client->has_work && work_is_past(client))
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

static void drop_dones_before(struct sb_client *client, uint64_t step)
{
    size_t kept = 0;
    for (size_t i = 0; i < client->done_count; i++) {
        if (client->dones[i].step < step)
            sb_retry_end(&client->dones[i].retry);
        else
            client->dones[kept++] = client->dones[i];
    }
    client->done_count = kept;
}

static bool take_work(struct sb_client *client, const Sb__Head *head)
{
    const Sb__Work *body = head->work;
    if (client->state == SB_CLIENT_JOINING ||
        (client->any_sequence && body->sequence <= client->last_sequence) ||
        client->queued == QUEUE_MAX) /* full: it comes again */
        return false;
    uint32_t slots = client->options.plan->slots;
    struct sb_work work = {
        .eval = body->kind == SB__WORK_KIND__WORK_EVAL,
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
    if (work.eval && (work.eval_set >= client->options.plan->n_eval_sets ||
                      work.end_slot > client->options.plan->eval_sets[work.eval_set]->slot_count))
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
    drop_dones_before(client, work.step);
    return true;
}

/* ---- the end ---- */

static void drop_all_work(struct sb_client *client)
{
    client->has_work = client->asks_rows = false;
    client->queued = 0;
    sb_pushes_close_before(&client->pushes, UINT64_MAX);
    drop_dones_before(client, UINT64_MAX);
    for (size_t i = 0; i < client->parts.count; i++)
        sb_retry_end(&client->holdings[i].want);
    sb_retry_end(&client->stop);
}

static void end(struct sb_client *client, enum sb_client_state state, uint32_t code,
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
    if (client->said_bye) {
        Sb__Head answer = SB__HEAD__INIT;
        Sb__Bye bye = SB__BYE__INIT;
        answer.body_case = SB__HEAD__BODY_BYE;
        answer.bye = &bye;
        sb_outbox_put(out, SB_PEER_COORDINATOR, make_msg(client, &answer, NULL, NULL));
    }
    if (client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return true;
    size_t bytes = msg->frame_count ? msg->frames[0]->bytes : 0;
    client->history = sb_alloc(bytes + 1);
    if (bytes)
        memcpy(client->history, msg->frames[0]->data, bytes);
    client->history[bytes] = 0;
    client->finish_step = head->step;
    end(client, SB_CLIENT_FINISH, head->finish->code, head->finish->sentence);
    return true;
}

/* ---- answers ---- */

static bool take_welcome(struct sb_client *client, uint64_t now_ns, uint64_t peer, Sb__Head **head,
                         struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_JOINING || peer != SB_PEER_COORDINATOR)
        return client->welcome != NULL; /* a sign of life */
    client->welcome = *head;
    *head = NULL;
    const Sb__Welcome *welcome = client->welcome->welcome;
    struct sb_parts dealt;
    sb_parts_init(&dealt, client->parts.spans, client->parts.span_count,
                  (uint32_t)welcome->n_servers);
    sb_parts_release(&client->parts);
    client->parts = dealt;
    client->heard_ns = sb_calloc(welcome->n_servers, sizeof(*client->heard_ns));
    client->state = welcome->seed ? SB_CLIENT_SEED : SB_CLIENT_WAITING;
    if (client->state == SB_CLIENT_WAITING)
        want_whole_parts(client, now_ns, welcome->resume_step, out);
    return true;
}

static bool take_ack(struct sb_client *client, uint64_t now_ns, uint64_t peer, const Sb__Head *head)
{
    struct sb_push_group *group;
    struct sb_push *push = sb_pushes_find(&client->pushes, head->step, head->node, head->part,
                                          head->ack->initial, &group);
    client->counters.acks[head->ack->answer]++;
    if (!push || client->parts.parts[head->part].owner != peer)
        return false;
    switch (head->ack->answer) {
    case SB__ANSWER__ANSWER_NEW:
    case SB__ANSWER__ANSWER_DUPLICATE:
    case SB__ANSWER__ANSWER_STALE:
        sb_push_close(group, push);
        client->heard_ns[peer] = now_ns;
        return true;
    case SB__ANSWER__ANSWER_BAD:
        if (++push->bad == BAD_MAX)
            end(client, SB_CLIENT_OVER, SB_ERR_BUG, head->ack->sentence);
        return true;
    default: /* FUTURE: the server is behind us; the retry comes later */
        return true;
    }
}

static bool take_done_ack(struct sb_client *client, const Sb__Head *head)
{
    const Sb__DoneAck *ack = head->done_ack;
    for (size_t i = 0; i < client->done_count; i++) {
        struct done *done = &client->dones[i];
        bool train = done->kind == SB__WORK_KIND__WORK_TRAIN;
        if (done->kind != ack->kind || done->sequence != ack->sequence ||
            (train ? done->node != head->node : done->slot != ack->slot))
            continue;
        sb_retry_end(&done->retry);
        client->dones[i] = client->dones[--client->done_count];
        return true;
    }
    return false;
}

/* True if the message was of use. */
static bool take(struct sb_client *client, uint64_t now_ns, uint64_t peer, Sb__Head **head,
                 const struct sb_msg *msg, struct sb_outbox *out)
{
    const Sb__Head *in = *head;
    if (in->body_case == SB__HEAD__BODY_REFUSE) { /* also from another job: that is why */
        end(client, SB_CLIENT_OVER, in->refuse->code ? in->refuse->code : SB_ERR_PEER,
            in->refuse->sentence);
        return true;
    }
    if (in->job != client->job || (client->welcome && in->term != client->welcome->term))
        return false;
    if (peer == SB_PEER_COORDINATOR)
        client->last_heard_ns = now_ns;
    switch (in->body_case) {
    case SB__HEAD__BODY_WELCOME:
        return take_welcome(client, now_ns, peer, head, out);
    case SB__HEAD__BODY_FINISH:
        return take_finish(client, peer, in, msg, out);
    case SB__HEAD__BODY_WEIGHTS:
        return take_weights(client, now_ns, peer, in, msg);
    default:
        break;
    }
    if (!client->welcome || client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return false;
    switch (in->body_case) {
    case SB__HEAD__BODY_WORK:
        return peer == SB_PEER_COORDINATOR && take_work(client, in);
    case SB__HEAD__BODY_ACK:
        return take_ack(client, now_ns, peer, in);
    case SB__HEAD__BODY_DONE_ACK:
        return peer == SB_PEER_COORDINATOR && take_done_ack(client, in);
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
    advance(client, now_ns, out);
}

void sb_client_tick(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    uint32_t retry_ms = client->options.retry_ms;
    struct sb_retry *hello = &client->hello;
    if (client->state == SB_CLIENT_JOINING && !hello->sent_ns) {
        hello->sent_ns = now_ns ? now_ns : 1;
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_msg_copy(hello->msg));
    } else if (client->state == SB_CLIENT_JOINING) {
        hello->tries = 0; /* peers start in any order: knock steadily */
        sb_retry_tick(hello, now_ns, 0, retry_ms, SB_PEER_COORDINATOR, out);
    } else if (client->state == SB_CLIENT_WAITING && now_ns >= client->last_heard_ns + SILENCE_NS &&
               now_ns >= hello->sent_ns + SILENCE_NS) {
        hello->sent_ns = now_ns; /* the same answer comes: a sign of life */
        sb_outbox_put(out, SB_PEER_COORDINATOR, sb_msg_copy(hello->msg));
    }
    if (client->state != SB_CLIENT_OVER) {
        size_t sent = sb_retry_tick(&client->stop, now_ns, 0, retry_ms, SB_PEER_COORDINATOR, out);
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
    advance(client, now_ns, out);
}

/* ---- what the caller asks and says ---- */

enum sb_client_state sb_client_state(const struct sb_client *client)
{
    return client->state;
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

/* One push of a group; frames are the message's from here on. */
static void push(struct sb_client *client, uint64_t now_ns, struct sb_push_group *group,
                 uint32_t index, struct sb_frame *values, struct sb_frame *rows,
                 struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push body = SB__PUSH__INIT;
    body.initial = group->initial;
    body.rows = rows != NULL;
    body.empty = !values;
    head.step = group->step;
    head.node = group->node;
    head.part = index;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &body;
    struct sb_msg *msg = make_msg(client, &head, values, rows);
    sb_frame_drop(&values);
    sb_frame_drop(&rows);
    client->counters.pushes++;
    client->counters.push_bytes += sb_msg_bytes(msg);
    group->open++;
    sb_retry_start(&group->pushes[index].retry, now_ns, client->parts.parts[index].owner, msg, out);
}

void sb_client_seed(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_SEED)
        return;
    uint64_t step = client->welcome->welcome->resume_step;
    struct sb_loan *loan = sb_loan_new(NULL, NULL);
    client->seeds = sb_pushes_add(&client->pushes, step, 1, true, loan);
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        push(client, now_ns, client->seeds, i,
             sb_loan_frame(loan, client->options.weights + part->offset,
                           part->count * sizeof(float)),
             NULL, out);
    }
    client->state = SB_CLIENT_WAITING;
    want_whole_parts(client, now_ns, step, out);
    advance(client, now_ns, out);
}

static void say_done(struct sb_client *client, uint64_t now_ns, struct done done,
                     const struct sb_stats *stats, const double *counts, size_t count_count,
                     double seconds, struct sb_outbox *out)
{
    double *sums = sb_alloc((STATS_COUNT + count_count) * sizeof(*sums));
    memcpy(sums, stats, sizeof(*stats));
    if (count_count)
        memcpy(sums + STATS_COUNT, counts, count_count * sizeof(*counts));
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done body = SB__DONE__INIT;
    body.kind = done.kind;
    body.sequence = done.sequence;
    body.slot = done.slot;
    body.n_sums = STATS_COUNT + count_count;
    body.sums = sums;
    body.seconds = seconds;
    head.step = done.step;
    head.node = done.node;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &body;
    sb_retry_start(&done.retry, now_ns, SB_PEER_COORDINATOR, make_msg(client, &head, NULL, NULL),
                   out);
    free(sums);
    if (client->done_count == client->done_capacity) {
        client->done_capacity = client->done_capacity ? 2 * client->done_capacity : 16;
        client->dones = sb_realloc(client->dones, client->done_capacity * sizeof(*client->dones));
    }
    client->dones[client->done_count++] = done;
}

/* The row of the tensor at which a row-sparse part begins. */
static uint32_t first_row(const struct sb_client *client, const struct sb_part *part)
{
    return (uint32_t)((part->offset - client->parts.spans[part->first_span].offset) / part->cols);
}

/*
 * The run of rows [*at, end) that lie in a part, as numbers inside it; NULL if there is none.  rows
 * rise and parts follow each other, so *at is moved past what belongs to earlier parts.
 */
static struct sb_frame *rows_inside(const struct sb_client *client, const struct sb_part *part,
                                    const uint32_t *rows, size_t row_count, size_t *at)
{
    uint32_t first = first_row(client, part);
    while (*at < row_count && rows[*at] < first)
        ++*at;
    size_t end = *at;
    while (end < row_count && rows[end] - first < part->rows)
        end++;
    if (end == *at)
        return NULL;
    struct sb_frame *frame = sb_frame_new((end - *at) * sizeof(*rows));
    uint32_t *numbers = frame->data;
    for (size_t i = *at; i < end; i++)
        numbers[i - *at] = rows[i] - first;
    return frame;
}

static void check_rows(const struct sb_client *client, const uint32_t *rows, size_t row_count)
{
    if (!row_count)
        return;
    sb_assert(client->sparse_span != UINT32_MAX);
    for (size_t i = 1; i < row_count; i++)
        sb_assert(rows[i - 1] < rows[i]);
    sb_assert(rows[row_count - 1] < client->parts.spans[client->sparse_span].rows);
}

static void push_parts(struct sb_client *client, uint64_t now_ns, struct sb_push_group *group,
                       float *dense, const uint32_t *rows, float *values, size_t row_count,
                       struct sb_outbox *out)
{
    size_t at = 0;
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        if (!part->trainable)
            continue;
        struct sb_frame *floats = NULL, *numbers = NULL;
        if (dense && !by_rows(part)) {
            floats = sb_loan_frame(group->loan, dense + part->offset, part->count * sizeof(float));
        } else if (dense) {
            numbers = rows_inside(client, part, rows, row_count, &at);
            if (numbers)
                floats = sb_loan_frame(group->loan, values + at * part->cols,
                                       numbers->bytes * part->cols);
        }
        push(client, now_ns, group, i, floats, numbers, out);
    }
}

void sb_client_push_node(struct sb_client *client, uint64_t now_ns, uint32_t node, float *dense,
                         uint32_t *rows, float *values, size_t row_count,
                         const struct sb_stats *stats, double seconds, void (*released)(void *hint),
                         void *hint, struct sb_outbox *out)
{
    bool working = client->state == SB_CLIENT_WORK;
    if (working) {
        const struct sb_work *work = client->work;
        size_t index = 0;
        while (index < work->node_count && work->nodes[index] != node)
            index++;
        sb_assert(!work->eval);
        sb_assert(index < work->node_count);
        sb_assert(!client->node_pushed[index]);
        check_rows(client, rows, row_count);
        client->node_pushed[index] = true;
        client->pushed_count++;
    }
    struct sb_loan *loan = sb_loan_new(released, hint);
    if (!working || work_is_past(client)) {
        sb_loan_end(&loan);
        advance(client, now_ns, out);
        return;
    }
    const struct sb_work *work = client->work;
    struct sb_push_group *group = sb_pushes_add(&client->pushes, work->step, node, false, loan);
    push_parts(client, now_ns, group, dense, rows, values, row_count, out);
    struct done done = {
        .kind = SB__WORK_KIND__WORK_TRAIN,
        .sequence = work->sequence,
        .step = work->step,
        .node = node,
    };
    say_done(client, now_ns, done, stats, NULL, 0, seconds, out);
    if (client->pushed_count == work->node_count) /* standing wants: answered by the commit */
        want_whole_parts(client, now_ns, work->step + 1, out);
    advance(client, now_ns, out);
}

void sb_client_push_eval(struct sb_client *client, uint64_t now_ns, uint64_t slot,
                         const struct sb_stats *stats, const double *counts, size_t count_count,
                         double seconds, struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_WORK)
        return;
    const struct sb_work *work = client->work;
    sb_assert(work->eval);
    sb_assert(slot >= work->first_slot && slot < work->end_slot);
    client->pushed_count++;
    if (!work_is_past(client)) {
        struct done done = {
            .kind = SB__WORK_KIND__WORK_EVAL,
            .sequence = work->sequence,
            .step = work->step,
            .slot = slot,
        };
        say_done(client, now_ns, done, stats, counts, counts ? count_count : 0, seconds, out);
    }
    advance(client, now_ns, out);
}

bool sb_client_needs_rows(const struct sb_client *client, const struct sb_work **work)
{
    bool needs = client->state == SB_CLIENT_WAITING && client->has_work && client->asks_rows;
    if (work)
        *work = needs ? client->work : NULL;
    return needs;
}

void sb_client_want_rows(struct sb_client *client, uint64_t now_ns, const uint32_t *rows,
                         size_t row_count, struct sb_outbox *out)
{
    if (!sb_client_needs_rows(client, NULL))
        return;
    check_rows(client, rows, row_count);
    client->asks_rows = false;
    size_t at = 0;
    for (uint32_t i = 0; i < client->parts.count; i++) {
        if (!by_rows(&client->parts.parts[i]))
            continue;
        struct holding *holding = &client->holdings[i];
        struct sb_frame *numbers =
            rows_inside(client, &client->parts.parts[i], rows, row_count, &at);
        sb_retry_end(&holding->want);
        holding->rows_needed = numbers != NULL;
        holding->rows_here = false;
        if (numbers)
            want(client, now_ns, i, client->work->step, numbers, out);
        sb_frame_drop(&numbers);
    }
    advance(client, now_ns, out);
}

bool sb_client_fetch_all(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_FINISH || !client->welcome)
        return false;
    bool complete = true;
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        struct holding *holding = &client->holdings[i];
        if (holding->whole && (!part->trainable || holding->step >= client->finish_step))
            continue;
        complete = false;
        if (!holding->want.msg)
            want(client, now_ns, i, client->finish_step, NULL, out);
    }
    return complete;
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
    sb_outbox_put(out, SB_PEER_COORDINATOR, make_msg(client, &head, NULL, NULL));
    client->said_bye = true;
    client->state = SB_CLIENT_OVER;
    drop_all_work(client);
}

void sb_client_stop(struct sb_client *client, uint64_t now_ns, int code, struct sb_outbox *out)
{
    if (client->state == SB_CLIENT_FINISH || client->state == SB_CLIENT_OVER)
        return;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Stop stop = SB__STOP__INIT;
    stop.code = (uint32_t)code;
    head.body_case = SB__HEAD__BODY_STOP;
    head.stop = &stop;
    sb_retry_start(&client->stop, now_ns, SB_PEER_COORDINATOR, make_msg(client, &head, NULL, NULL),
                   out);
}
