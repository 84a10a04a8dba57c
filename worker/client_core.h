/*
 * The inside of the client, for its sources only:
 *
 *   client.c          states, joining, the queue of work, what comes in and falls due
 *   client_weights.c  what we hold of each part, and the wants
 *   client_push.c     pushes and sums, and their acknowledgements
 *   client_group.c    the vectors of a step that its loss compares
 */
#ifndef SB_CLIENT_CORE_H
#define SB_CLIENT_CORE_H

#include "client.h"
#include "pushes.h"

enum { SB_CLIENT_QUEUE_MAX = 8 };

/* What we hold of a part, and what we have asked for. */
struct sb_holding {
    bool whole; /* all of the part is here, as of step */
    uint64_t step;
    bool rows_needed, rows_here; /* of the work at hand: row-sparse parts */
    struct sb_frame *rows;       /* numbers of those that came last, as of step; NULL: none */
    struct sb_retry want;        /* its frame, if any, are the row numbers */
    uint64_t want_step;
};

/* Sums that are not acknowledged yet. */
struct sb_done {
    struct sb_retry retry;
    Sb__WorkKind kind;
    uint64_t sequence, step, slot;
    uint32_t node, bad_slot; /* bad_slot: as on the wire */
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

    struct sb_holding *holdings; /* [part count] */
    struct sb_pushes pushes;
    struct sb_push_group *seeds; /* the group of the first weights while it is in pushes */
    uint64_t *heard_ns;          /* [server count] the last answer that ended a retry */
    struct sb_done *dones;
    size_t done_count, done_capacity;

    struct sb_retry group_want;
    uint64_t group_step; /* that is wanted, or here */
    bool group_here;
    struct sb_frame *group; /* NULL: nobody has published a row */

    bool has_work; /* work is valid: waiting for weights, or with the caller */
    bool asks_rows;
    bool work_void; /* WORK of a term that is over: the new one begins when the caller leaves it */
    struct sb_work *work; /* one of works: the caller may look at the one before for a while */
    struct sb_work works[2];
    size_t pushed_count; /* nodes or slots of work */
    bool node_pushed[64];
    struct sb_work queue[SB_CLIENT_QUEUE_MAX];
    size_t queued;
    uint64_t last_sequence;
    bool any_sequence;
    uint64_t slots_done, progress_ns; /* finished so far; when that was last told */

    int code;
    char *sentence, *history;
    uint64_t finish_step;
    bool said_bye;
    struct sb_client_counters counters;
};

/* Row-sparse and trained: pushed and asked for by rows, but for the export. */
static inline bool sb_client_by_rows(const struct sb_part *part)
{
    return part->trainable && part->row_sparse;
}

/* client.c */

/* Fills in job and term. */
struct sb_msg *sb_client_make(struct sb_client *client, Sb__Head *head, struct sb_frame *frame0,
                              struct sb_frame *frame1);
/* Moves between WAITING and WORK as far as it goes, and gives back memory that is no longer used.
 */
void sb_client_advance(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
/* True if the training has left the step of the work at hand behind. */
bool sb_client_work_is_past(const struct sb_client *client);
/* To FINISH or OVER, once; nothing is sent again from then on. */
void sb_client_end(struct sb_client *client, enum sb_client_state state, uint32_t code,
                   const char *sentence);

/* client_weights.c */

/* Wants every part that is used whole and is neither here as of step nor asked for. */
void sb_client_want_whole(struct sb_client *client, uint64_t now_ns, uint64_t step,
                          struct sb_outbox *out);
/* False if nothing was asked that this answers. */
bool sb_client_take_weights(struct sb_client *client, uint64_t now_ns, uint64_t peer,
                            const Sb__Head *head, const struct sb_msg *msg);
/*
 * The rows that lie in a part, from *at on, as numbers inside it; NULL if there is none.  rows rise
 * and parts follow each other, so *at is moved past what belongs to earlier parts, to the first of
 * this one.
 */
struct sb_frame *sb_client_rows_inside(const struct sb_client *client, const struct sb_part *part,
                                       const uint32_t *rows, size_t row_count, size_t *at);
/* The caller's rows rise and are rows of the row-sparse tensor. */
void sb_client_check_rows(const struct sb_client *client, const uint32_t *rows, size_t row_count);

/* client_group.c */

/* The work at hand compares vectors that are not here. */
bool sb_client_group_missing(const struct sb_client *client);
void sb_client_want_group(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
/* False if nothing was asked that this answers. */
bool sb_client_take_group(struct sb_client *client, const Sb__Head *head, const struct sb_msg *msg);
void sb_client_drop_group(struct sb_client *client);

/* client_push.c */

bool sb_client_take_ack(struct sb_client *client, uint64_t now_ns, uint64_t peer,
                        const Sb__Head *head);
bool sb_client_take_done_ack(struct sb_client *client, const Sb__Head *head);
void sb_client_drop_dones(struct sb_client *client, uint64_t step); /* of steps before this one */

#endif
