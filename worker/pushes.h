/*
 * What a worker has pushed and no server has answered for yet, with the memory that the messages
 * borrow.
 *
 * A loan is memory of the caller that frames point into.  It goes back, through released(hint),
 * when all pushes are answered and no frame is left: a network may hold a resent copy for longer
 * than the answer takes.  Frames are dropped by any thread; released is only called by the
 * client's, inside a function of the client.
 */
#ifndef SB_PUSHES_H
#define SB_PUSHES_H

#include "msg.h"
#include "parts.h"

struct sb_loan;

struct sb_loan *sb_loan_new(void (*released)(void *hint), void *hint);
struct sb_frame *sb_loan_frame(struct sb_loan *loan, void *data, size_t bytes);
/* True while frames point into the memory; false for NULL. */
bool sb_loan_in_use(const struct sb_loan *loan);
/* Tells the caller that the memory is his, and lets go of the loan. */
void sb_loan_end(struct sb_loan **loan);

/* A request that is sent again, under the same name, until it is answered. */
struct sb_retry {
    struct sb_msg *msg; /* NULL: nothing is asked */
    uint64_t sent_ns;
    uint32_t tries;
};

void sb_retry_start(struct sb_retry *retry, uint64_t now_ns, uint64_t peer, struct sb_msg *msg,
                    struct sb_outbox *out);
/*
 * Sends again if nothing was heard for retry_ms, twice as long after every try (up to 8 times).
 * heard_ns is when the peer last answered anything alike: what waits in a queue behind other
 * requests is not lost.  True if it was sent.
 */
bool sb_retry_tick(struct sb_retry *retry, uint64_t now_ns, uint64_t heard_ns, uint32_t retry_ms,
                   uint64_t peer, struct sb_outbox *out);
void sb_retry_end(struct sb_retry *retry);

/* The pushes of one node: at most one per part. */
struct sb_push_group {
    struct sb_push_group *next;
    uint64_t step;
    uint32_t node;
    bool initial;
    size_t open;          /* not answered */
    struct sb_loan *loan; /* NULL when given back */
    struct sb_push {
        struct sb_retry retry;
        uint32_t bad; /* how often the answer was BAD */
    } pushes[];       /* [part count] */
};

/* In the order of pushing. */
struct sb_pushes {
    struct sb_push_group *first;
    const struct sb_parts *parts;
};

/* loan is the group's from here on. */
struct sb_push_group *sb_pushes_add(struct sb_pushes *pushes, uint64_t step, uint32_t node,
                                    bool initial, struct sb_loan *loan);
/* The open push of this name, or NULL; group is the one that it is in. */
struct sb_push *sb_pushes_find(struct sb_pushes *pushes, uint64_t step, uint32_t node,
                               uint32_t part, bool initial, struct sb_push_group **group);
void sb_push_close(struct sb_push_group *group, struct sb_push *push);
/* Closes everything of steps below step: the network has moved on. */
void sb_pushes_close_before(struct sb_pushes *pushes, uint64_t step);
/* Resends what is due; returns the number of messages.  heard_ns [server count]. */
size_t sb_pushes_tick(struct sb_pushes *pushes, uint64_t now_ns, const uint64_t *heard_ns,
                      uint32_t retry_ms, struct sb_outbox *out);
/* Gives back what is answered and no longer in use. */
void sb_pushes_settle(struct sb_pushes *pushes);
void sb_pushes_release(struct sb_pushes *pushes);

#endif
