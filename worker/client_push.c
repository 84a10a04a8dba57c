#include "client_core.h"

#include "arena.h"

#include <stdlib.h>
#include <string.h>

enum {
    BAD_MAX = 3, /* a damaged message may be BAD once or twice; the third time it is our fault */
    STATS_COUNT = sizeof(struct sb_stats) / sizeof(double),
};

#define PROGRESS_NS (UINT64_C(500) * 1000000) /* between two words of it */

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
    struct sb_msg *msg = sb_client_make(client, &head, values, rows);
    sb_frame_drop(&values);
    sb_frame_drop(&rows);
    client->counters.pushes++;
    *(group->initial ? &client->counters.seed_bytes : &client->counters.push_bytes) +=
        sb_msg_bytes(msg);
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
    sb_client_want_whole(client, now_ns, step, out);
    sb_client_advance(client, now_ns, out);
}

/* sums go into the head; frame may be NULL. */
static void send_done(struct sb_client *client, uint64_t now_ns, struct sb_done done, double *sums,
                      size_t sum_count, struct sb_frame *frame, double seconds,
                      struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done body = SB__DONE__INIT;
    body.kind = done.kind;
    body.sequence = done.sequence;
    body.slot = done.slot;
    body.n_sums = sum_count;
    body.sums = sums;
    body.seconds = seconds;
    body.bad_slot = done.bad_slot;
    head.step = done.step;
    head.node = done.node;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &body;
    sb_retry_start(&done.retry, now_ns, SB_PEER_COORDINATOR,
                   sb_client_make(client, &head, frame, NULL), out);
    if (client->done_count == client->done_capacity) {
        client->done_capacity = client->done_capacity ? 2 * client->done_capacity : 16;
        client->dones = sb_realloc(client->dones, client->done_capacity * sizeof(*client->dones));
    }
    client->dones[client->done_count++] = done;
}

static void say_done(struct sb_client *client, uint64_t now_ns, struct sb_done done,
                     const struct sb_stats *stats, const double *counts, size_t count_count,
                     double seconds, struct sb_outbox *out)
{
    size_t sum_count = STATS_COUNT + count_count;
    size_t in_head = sum_count <= SB_HEAD_SUMS_MAX ? sum_count : SB_HEAD_SUMS_MAX;
    double *sums = sb_alloc(sum_count * sizeof(*sums));
    memcpy(sums, stats, sizeof(*stats));
    if (count_count)
        memcpy(sums + STATS_COUNT, counts, count_count * sizeof(*counts));
    struct sb_frame *more = NULL; /* the confusion counts of many classes */
    if (in_head < sum_count) {
        more = sb_frame_new((sum_count - in_head) * sizeof(*sums));
        memcpy(more->data, sums + in_head, more->bytes);
    }
    send_done(client, now_ns, done, sums, in_head, more, seconds, out);
    sb_frame_drop(&more);
    free(sums);
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
        bool frozen = group->step < part->from_step; /* counts as zeros */
        if (frozen)
            ; /* its rows, if it has any, are of the ids that others skip too */
        else if (dense && !sb_client_by_rows(part)) {
            floats = sb_loan_frame(group->loan, dense + part->offset, part->count * sizeof(float));
        } else if (dense) {
            numbers = sb_client_rows_inside(client, part, rows, row_count, &at);
            if (numbers)
                floats = sb_loan_frame(group->loan, values + at * part->cols,
                                       numbers->bytes * part->cols);
        }
        push(client, now_ns, group, i, floats, numbers, out);
    }
}

void sb_client_push_node(struct sb_client *client, uint64_t now_ns, uint32_t node, float *dense,
                         uint32_t *rows, float *values, size_t row_count,
                         const struct sb_stats *stats, uint32_t bad_slot, double seconds,
                         void (*released)(void *hint), void *hint, struct sb_outbox *out)
{
    bool working = client->state == SB_CLIENT_WORK;
    if (working) {
        const struct sb_work *work = client->work;
        size_t index = 0;
        while (index < work->node_count && work->nodes[index] != node)
            index++;
        sb_assert(!work->eval);
        sb_assert(!work->embed);
        sb_assert(index < work->node_count);
        sb_assert(!client->node_pushed[index]);
        sb_client_check_rows(client, rows, row_count);
        client->node_pushed[index] = true;
        client->pushed_count++;
    }
    struct sb_loan *loan = sb_loan_new(released, hint);
    if (!working || sb_client_work_is_past(client)) {
        sb_loan_end(&loan);
        sb_client_advance(client, now_ns, out);
        return;
    }
    const struct sb_work *work = client->work;
    struct sb_push_group *group = sb_pushes_add(&client->pushes, work->step, node, false, loan);
    push_parts(client, now_ns, group, dense, rows, values, row_count, out);
    struct sb_done done = {
        .kind = SB__WORK_KIND__WORK_TRAIN,
        .sequence = work->sequence,
        .step = work->step,
        .node = node,
        .bad_slot = bad_slot == UINT32_MAX ? 0 : bad_slot + 1,
    };
    say_done(client, now_ns, done, stats, NULL, 0, seconds, out);
    if (client->pushed_count == work->node_count) /* standing wants: answered by the commit */
        sb_client_want_whole(client, now_ns, work->step + 1, out);
    sb_client_advance(client, now_ns, out);
}

void sb_client_slot_done(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_WORK)
        return;
    client->slots_done++;
    if (now_ns < client->progress_ns + PROGRESS_NS)
        return;
    client->progress_ns = now_ns;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    ready.slots_done = client->slots_done;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    sb_outbox_put(out, SB_PEER_COORDINATOR, sb_client_make(client, &head, NULL, NULL));
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
    if (!sb_client_work_is_past(client)) {
        struct sb_done done = {
            .kind = SB__WORK_KIND__WORK_EVAL,
            .sequence = work->sequence,
            .step = work->step,
            .slot = slot,
        };
        say_done(client, now_ns, done, stats, counts, counts ? count_count : 0, seconds, out);
    }
    sb_client_advance(client, now_ns, out);
}

void sb_client_push_vectors(struct sb_client *client, uint64_t now_ns, uint64_t slot,
                            const float *vectors, size_t float_count, double seconds,
                            struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_WORK)
        return;
    const struct sb_work *work = client->work;
    sb_assert(work->embed);
    sb_assert(slot >= work->first_slot && slot < work->end_slot);
    sb_assert(float_count % client->options.plan->vector_size == 0);
    client->pushed_count++;
    if (!sb_client_work_is_past(client)) {
        struct sb_done done = {
            .kind = SB__WORK_KIND__WORK_EMBED,
            .sequence = work->sequence,
            .step = work->step,
            .slot = slot,
        };
        struct sb_frame *frame = float_count ? sb_frame_new(float_count * sizeof(float)) : NULL;
        if (frame)
            memcpy(frame->data, vectors, frame->bytes);
        send_done(client, now_ns, done, NULL, 0, frame, seconds, out);
        sb_frame_drop(&frame);
    }
    sb_client_advance(client, now_ns, out);
}

bool sb_client_take_ack(struct sb_client *client, uint64_t now_ns, uint64_t peer,
                        const Sb__Head *head)
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
            sb_client_end(client, SB_CLIENT_OVER, SB_ERR_BUG, head->ack->sentence);
        return true;
    default: /* FUTURE: the server is behind us; the retry comes later */
        return true;
    }
}

bool sb_client_take_done_ack(struct sb_client *client, const Sb__Head *head)
{
    const Sb__DoneAck *ack = head->done_ack;
    for (size_t i = 0; i < client->done_count; i++) {
        struct sb_done *done = &client->dones[i];
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

void sb_client_drop_dones(struct sb_client *client, uint64_t step)
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
