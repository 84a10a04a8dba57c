/*
 * The worker's side of the protocol as a pure state machine: given the time and a message it fills
 * an outbox and its state.  It names what it sends, keeps it until it is acknowledged, and sends it
 * again under the same name.
 *
 *   HELLO -> (SEED) -> WANTING -> WORK ... -> FINISH -> OVER
 *
 * When a server was lost, a second WELCOME brings a new term, and all begin again from its step:
 * what was asked and pushed before is dropped, and weights are asked for anew.  Who is busy with
 * work then is told by sb_client_work_void, and must leave it.
 *
 * The shell around it reads the clock and moves the bytes: wait for a message, handle it, tick, and
 * send the outbox. When sb_client_term changes, connect to the servers of sb_client_welcome before
 * the outbox is sent.  Free the net first and the client last: frames in the net's queues point
 * into memory that the client has borrowed.
 */
#ifndef SB_CLIENT_H
#define SB_CLIENT_H

#include "batch.h"
#include "msg.h"
#include "parts.h"

struct sb_client_options {
    uint64_t self;        /* incarnation: SB_PEER_WORKER_BIT and random bits */
    uint32_t index, life; /* that whoever started us has given us, and how often before */
    const char *canonical;
    const char *fingerprint;
    const char *name;
    const Sb__Plan *plan;        /* outlives the client */
    const struct sb_span *spans; /* the layout, in the order of the flat space; copied */
    size_t span_count;
    float *weights;    /* [float_count] the flat space: answers are written here */
    uint32_t retry_ms; /* push_timeout_ms */
    bool checksum;
};

enum sb_client_state {
    SB_CLIENT_JOINING, /* HELLO is out */
    SB_CLIENT_SEED,    /* the caller must push first weights: sb_client_seed */
    SB_CLIENT_WAITING, /* nothing to do but to pump */
    SB_CLIENT_WORK,   /* sb_client_work describes it, until its last node or slot is pushed; weights
                         are complete */
    SB_CLIENT_FINISH, /* training is over: the lease holder exports (sb_client_fetch_all first),
                         then sb_client_bye */
    SB_CLIENT_OVER,   /* sb_client_code says why */
};

/* The work at hand. */
struct sb_work {
    bool eval;  /* slots of an evaluation */
    bool embed; /* slots of a step that publish their vectors; neither: nodes of a step */
    uint64_t step;
    uint64_t sequence;
    uint32_t nodes[64];
    size_t node_count;
    uint32_t next_nodes[64];
    size_t next_node_count;
    uint32_t eval_set;
    uint64_t first_slot, end_slot;
};

struct sb_client;

struct sb_client *sb_client_new(const struct sb_client_options *options, uint64_t now_ns);
void sb_client_free(struct sb_client **client);
void sb_client_handle(struct sb_client *client, uint64_t now_ns, uint64_t peer, struct sb_msg **msg,
                      struct sb_outbox *out);
void sb_client_tick(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);

enum sb_client_state sb_client_state(const struct sb_client *client);
const struct sb_work *sb_client_work(const struct sb_client *client);
const Sb__Welcome *sb_client_welcome(const struct sb_client *client); /* NULL before it came */
uint32_t sb_client_term(const struct sb_client *client);              /* of the welcome; 0 before */
/* WORK: nobody wants it any more, for its term or its step is over.  Whatever is still pushed goes
 * nowhere. */
bool sb_client_work_void(const struct sb_client *client);
/* Out of void work: the caller will not push any more of it. */
void sb_client_leave_work(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
/* Owners are known once the welcome is there. */
const struct sb_parts *sb_client_parts(const struct sb_client *client);
/* When the coordinator was last heard (at first: when the client was made).  It is asked for a sign
 * of life while we wait. */
uint64_t sb_client_last_heard(const struct sb_client *client);
/* Exit code and sentence once OVER; the history JSON once FINISH. */
int sb_client_code(const struct sb_client *client, const char **sentence);
const char *sb_client_history(const struct sb_client *client);

/* SEED: pushes options.weights [float_count] as the first ones.  They may be read until the first
 * WORK, not changed. */
void sb_client_seed(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);

/*
 * TRAIN: the sums of one node.  dense is borrowed until released(hint) is called (all parts
 * acknowledged); it is a flat space. bad_slot: the first slot under the node whose numbers are not
 * finite, UINT32_MAX if there is none. For row-sparse spans: rows (rising, numbers in the whole
 * tensor) and values [row_count, cols], borrowed likewise. dense NULL: the node was empty. released
 * (may be NULL) is called inside a function of the client, by its thread. If the training has moved
 * on meanwhile nothing is sent and the memory is given back at once.
 */
void sb_client_push_node(struct sb_client *client, uint64_t now_ns, uint32_t node, float *dense,
                         uint32_t *rows, float *values, size_t row_count,
                         const struct sb_stats *stats, uint32_t bad_slot, double seconds,
                         void (*released)(void *hint), void *hint, struct sb_outbox *out);
/* TRAIN: a slot of a node is finished.  The coordinator hears of it now and then, for a node may
 * take long. */
void sb_client_slot_done(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
/* EVAL: the sums of one slot; counts may be NULL. */
void sb_client_push_eval(struct sb_client *client, uint64_t now_ns, uint64_t slot,
                         const struct sb_stats *stats, const double *counts, size_t count_count,
                         double seconds, struct sb_outbox *out);

/*
 * EMBED: the vectors of one slot, copied; float_count 0: the slot is empty.
 */
void sb_client_push_vectors(struct sb_client *client, uint64_t now_ns, uint64_t slot,
                            const float *vectors, size_t float_count, double seconds,
                            struct sb_outbox *out);
/*
 * TRAIN, where the plan has a vector_size: what the slots of the step have published, one after the
 * other.  The client asks for it, and reports SB_CLIENT_WORK when it is here.  NULL and 0 where no
 * slot has an item.  Valid until the next function of the client.
 */
const float *sb_client_group(const struct sb_client *client, size_t *float_count);

/*
 * Says which rows of the row-sparse span the work needs (rising).  Call when the client asks:
 * SB_CLIENT_WORK is reported only after the weights of the work are complete; before that
 * sb_client_needs_rows is true once per work.
 */
bool sb_client_needs_rows(const struct sb_client *client, const struct sb_work **work);
void sb_client_want_rows(struct sb_client *client, uint64_t now_ns, const uint32_t *rows,
                         size_t row_count, struct sb_outbox *out);

/* FINISH: wants every trainable part whole (the export reads caught-up rows too); true when all are
 * here. */
bool sb_client_fetch_all(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
void sb_client_bye(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out);
/* Asks the coordinator to end the run after a checkpoint: code of a signal (sentence NULL), or of
 * the trouble that ends us. */
void sb_client_stop(struct sb_client *client, uint64_t now_ns, int code, const char *sentence,
                    struct sb_outbox *out);
/* The same of a process that has not come as far as having a client. */
struct sb_msg *sb_client_stop_msg(const char *canonical, const char *name,
                                  const struct sb_err *why);
/* READY, but not yet: the data is being prepared, and the coordinator is asked to wait. */
struct sb_msg *sb_client_preparing_msg(const char *canonical);

/* Counters for the metrics. */
struct sb_client_counters {
    uint64_t push_bytes, want_bytes; /* heads and frames; want_bytes are the answers */
    uint64_t seed_bytes;             /* the first weights */
    uint64_t pushes, acks[5], retries;
    uint64_t dropped; /* messages that were damaged, of another job or term, or of no use */
};
const struct sb_client_counters *sb_client_counters(const struct sb_client *client);

#endif
