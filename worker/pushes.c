#include "pushes.h"

#include "arena.h"

#include <stdlib.h>

/* ---- loans ---- */

struct sb_loan {
    _Atomic uint32_t references; /* the frames, and one of the client */
    void (*released)(void *hint);
    void *hint;
};

static void let_go(struct sb_loan *loan)
{
    if (atomic_fetch_sub_explicit(&loan->references, 1, memory_order_acq_rel) == 1)
        free(loan);
}

static void frame_gone(struct sb_frame *frame)
{
    let_go(frame->hint);
}

struct sb_loan *sb_loan_new(void (*released)(void *hint), void *hint)
{
    struct sb_loan *loan = sb_alloc(sizeof(*loan));
    loan->released = released;
    loan->hint = hint;
    atomic_init(&loan->references, 1);
    return loan;
}

struct sb_frame *sb_loan_frame(struct sb_loan *loan, void *data, size_t bytes)
{
    atomic_fetch_add_explicit(&loan->references, 1, memory_order_relaxed);
    return sb_frame_over(data, bytes, frame_gone, loan);
}

bool sb_loan_in_use(const struct sb_loan *loan)
{
    return loan && atomic_load_explicit(&loan->references, memory_order_acquire) > 1;
}

void sb_loan_end(struct sb_loan **loan)
{
    struct sb_loan *old = *loan;
    *loan = NULL;
    if (!old)
        return;
    if (old->released)
        old->released(old->hint);
    let_go(old);
}

/* ---- retries ---- */

enum { TRIES_DOUBLED = 3, OUT_DOUBLED = 6 };

void sb_retry_start(struct sb_retry *retry, uint64_t now_ns, uint64_t peer, struct sb_msg *msg,
                    struct sb_outbox *out)
{
    sb_retry_end(retry);
    *retry = (struct sb_retry){.msg = msg, .sent_ns = now_ns};
    sb_outbox_put(out, peer, sb_msg_copy(msg));
}

/* The copy before has not left this host: for a while a second one would only be in its way. */
static bool on_its_way_out(const struct sb_msg *msg)
{
    for (size_t i = 0; i < msg->frame_count; i++)
        if (sb_frame_shared(msg->frames[i]))
            return true;
    return false;
}

bool sb_retry_tick(struct sb_retry *retry, uint64_t now_ns, uint64_t heard_ns, uint32_t retry_ms,
                   uint64_t peer, struct sb_outbox *out)
{
    if (!retry->msg)
        return false;
    uint64_t since = retry->sent_ns > heard_ns ? retry->sent_ns : heard_ns;
    uint32_t doubled = retry->tries < TRIES_DOUBLED ? retry->tries : TRIES_DOUBLED;
    if (on_its_way_out(retry->msg))
        doubled = OUT_DOUBLED;
    if (now_ns < since + ((uint64_t)retry_ms * 1000000 << doubled))
        return false;
    retry->sent_ns = now_ns;
    retry->tries++;
    sb_outbox_put(out, peer, sb_msg_copy(retry->msg));
    return true;
}

void sb_retry_end(struct sb_retry *retry)
{
    sb_msg_free(&retry->msg);
}

/* ---- groups ---- */

struct sb_push_group *sb_pushes_add(struct sb_pushes *pushes, uint64_t step, uint32_t node,
                                    bool initial, struct sb_loan *loan)
{
    size_t bytes = sizeof(struct sb_push_group) + pushes->parts->count * sizeof(struct sb_push);
    struct sb_push_group *group = sb_calloc(1, bytes);
    group->step = step;
    group->node = node;
    group->initial = initial;
    group->loan = loan;
    struct sb_push_group **end = &pushes->first;
    while (*end)
        end = &(*end)->next;
    *end = group;
    return group;
}

struct sb_push *sb_pushes_find(struct sb_pushes *pushes, uint64_t step, uint32_t node,
                               uint32_t part, bool initial, struct sb_push_group **group)
{
    for (*group = pushes->first; *group; *group = (*group)->next) {
        struct sb_push_group *here = *group;
        if (here->step == step && here->node == node && here->initial == initial &&
            part < pushes->parts->count && here->pushes[part].retry.msg)
            return &here->pushes[part];
    }
    return NULL;
}

void sb_push_close(struct sb_push_group *group, struct sb_push *push)
{
    if (!push->retry.msg)
        return;
    sb_retry_end(&push->retry);
    group->open--;
}

void sb_pushes_close_before(struct sb_pushes *pushes, uint64_t step)
{
    for (struct sb_push_group *group = pushes->first; group; group = group->next)
        for (size_t part = 0; group->step < step && part < pushes->parts->count; part++)
            sb_push_close(group, &group->pushes[part]);
}

size_t sb_pushes_tick(struct sb_pushes *pushes, uint64_t now_ns, const uint64_t *heard_ns,
                      uint32_t retry_ms, struct sb_outbox *out)
{
    size_t sent = 0;
    for (struct sb_push_group *group = pushes->first; group; group = group->next)
        for (size_t part = 0; group->open && part < pushes->parts->count; part++) {
            uint32_t owner = pushes->parts->parts[part].owner;
            sent += sb_retry_tick(&group->pushes[part].retry, now_ns, heard_ns[owner], retry_ms,
                                  owner, out);
        }
    return sent;
}

void sb_pushes_settle(struct sb_pushes *pushes)
{
    for (struct sb_push_group **at = &pushes->first; *at;) {
        struct sb_push_group *group = *at;
        if (group->open || sb_loan_in_use(group->loan)) {
            at = &group->next;
            continue;
        }
        *at = group->next;
        sb_loan_end(&group->loan);
        free(group);
    }
}

void sb_pushes_release(struct sb_pushes *pushes)
{
    while (pushes->first) {
        struct sb_push_group *group = pushes->first;
        pushes->first = group->next;
        for (size_t part = 0; part < pushes->parts->count; part++)
            sb_push_close(group, &group->pushes[part]);
        sb_loan_end(&group->loan);
        free(group);
    }
}
