/*
 * The parts of the flat space that one server owns: weights, moments, and the gradient sums of the
 * running step.
 *
 *   seed or restore -> (judge, take)* -> complete -> norms -> commit -> (judge, take)* ...
 *
 * Weights and moments are reference-counted frames.  A message that carries weights, or a
 * checkpoint that is being written, keeps a reference, and an update of a frame that is still
 * referenced goes to a fresh one: whoever reads a version may do so as long as he likes. Owner: one
 * thread; updates, norms and additions run as tiles on the pool.
 */
#ifndef SB_SHARD_H
#define SB_SHARD_H

#include "ckpt.h"
#include "config.h"
#include "fold.h"
#include "lazy_rows.h"
#include "msg.h"
#include "parts.h"

struct sb_shard_part {
    uint32_t id; /* in the part table */
    const struct sb_part *part;
    struct sb_frame *weights; /* [count]; NULL: not here yet */
    struct sb_frame *m, *v;   /* [count] the moments; NULL: frozen */
    struct {                  /* during an update: where the new ones go */
        struct sb_frame *weights, *m, *v;
    } next;
    struct sb_fold fold;      /* trainable only */
    struct sb_lazy_rows lazy; /* trainable and row-sparse only */
    uint32_t group;           /* of a row-sparse part, which has one span */
    bool complete, normed;    /* of the running step */
    double norm2;
};

/*
 * Spans that are updated with the same constants: those of one rate that begin at one step.
 * Row-sparse parts replay the log of their group.
 */
struct sb_shard_group {
    double rate; /* times that of the step */
    uint64_t from_step;
    bool replayed;            /* a row-sparse part belongs to it; else its log stays empty */
    struct sb_update_log log; /* its end is the number of updates so far, its own or not */
};

/* A run of floats of a dense trainable part with one decay flag: what one thread updates at a time.
 */
struct sb_shard_tile {
    uint32_t mine, group;
    size_t begin, count;
    bool decay;
};

struct sb_shard {
    const struct sb_job *job;
    struct sb_pool *pool; /* may be NULL */
    struct sb_parts parts;
    uint32_t index, slots, term;
    uint64_t step;              /* committed steps; pushes belong to this step */
    struct sb_shard_part *mine; /* in part order */
    size_t mine_count, trainable_count, complete_count, seeded_count;
    uint32_t *place;             /* [parts.count] index in mine, or UINT32_MAX */
    struct sb_shard_tile *tiles; /* of the dense trainable parts */
    size_t tile_count;
    uint32_t *lazy; /* [lazy_count] index in mine of the row-sparse trainable parts */
    size_t lazy_count;
    struct sb_shard_group *groups;
    size_t group_count;
    uint64_t applied; /* updates so far */
};

struct sb_shard *sb_shard_new(const struct sb_job *job, struct sb_pool *pool,
                              const struct sb_span *spans, size_t span_count, uint32_t index,
                              uint32_t server_count, uint32_t slots, uint32_t term);
void sb_shard_free(struct sb_shard **shard);

/* Whoever is of another term moves nothing here. */
static inline bool sb_shard_of_term(const struct sb_shard *shard, const Sb__Head *head)
{
#ifdef SB_WITHOUT_FENCING /* see tests/README.md, "Broken builds" */
    return shard && head;
#else
    return head->term == shard->term;
#endif
}

/*
 * What is this push to us?  Nothing in it is trusted until it has passed here.  Only NEW may touch
 * the shard; the other answers may be given for ever.  sentence [size]: why it is BAD.
 */
Sb__Answer sb_shard_judge(const struct sb_shard *shard, const Sb__Head *head,
                          const struct sb_msg *msg, char *sentence, size_t size);
/* Takes a push that was judged NEW: first weights or a gradient sum.  Keeps what it needs of msg's
 * frames. */
void sb_shard_take(struct sb_shard *shard, const Sb__Head *head, const struct sb_msg *msg);

/* Every part has weights. */
bool sb_shard_seeded(const struct sb_shard *shard);
/* The sums of all trainable parts are here. */
bool sb_shard_complete(const struct sb_shard *shard);
/*
 * Of a complete step: squared norms of the trainable parts in part order, norms [trainable_count].
 * False if one is not finite; then *bad_part is the first.
 */
bool sb_shard_norms(struct sb_shard *shard, double *norms, uint32_t *bad_part);
/* Ends a complete step: AdamW with the gradient sums times scale, if apply; then the next step
 * begins. */
void sb_shard_commit(struct sb_shard *shard, bool apply, double scale, double rate);

/*
 * The other way to end a step that nobody begins: the weights of a checkpoint of this run, read by
 * read_state (of struct sb_disk), take the place of the present ones, as those of one step more.
 */
int sb_shard_reload(struct sb_shard *shard, const struct sb_disk *disk, const char *folder,
                    struct sb_err *err);

/* The row numbers are rising and inside the part. */
bool sb_shard_rows_valid(const struct sb_shard *shard, uint32_t part, const struct sb_frame *rows);
/*
 * The newest weights of a part: all, or the given rows packed.  A reference for the caller; NULL if
 * the part is not ours or has no weights yet.
 */
struct sb_frame *sb_shard_weights(struct sb_shard *shard, uint32_t part,
                                  const struct sb_frame *rows);
/* Somebody else holds the newest weights of the part: they are still being sent. */
bool sb_shard_weights_shared(const struct sb_shard *shard, uint32_t part);

/* Brings all rows up to date now: the same bits, and a snapshot that follows takes less long. */
void sb_shard_catch_up(struct sb_shard *shard);

/*
 * Describes all parts for writing, as they are now (all rows are brought up to date), whatever
 * becomes of them afterwards: held [3 * part_count] are references that keep w, m and v of the
 * parts as they are, in that order, NULL where there are none.  Caller drops them, and frees
 * ->parts and held.
 */
void sb_shard_snapshot(struct sb_shard *shard, struct sb_ckpt_state *state,
                       struct sb_frame ***held);
/* Makes all parts for reading.  Caller frees ->parts. */
void sb_shard_state_for_reading(struct sb_shard *shard, struct sb_ckpt_state *state);
/* The parts of sb_shard_state_for_reading are filled. */
void sb_shard_restored(struct sb_shard *shard, const struct sb_ckpt_state *state);

#endif
