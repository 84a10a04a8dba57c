/*
 * A parameter server as a pure state machine: it is given the time and a message and fills an
 * outbox.  No socket, no clock, no thread; disk only through sb_disk.  Server 0 has the coordinator
 * inside.
 *
 *   JOINING -> LOADING -> SEEDING -> TRAINING <-> EVALUATING, SAVING -> FINISHING -> OVER
 * (coordinator.h has the drawing)
 */
#ifndef SB_SERVER_H
#define SB_SERVER_H

#include "config.h"
#include "ledger.h"
#include "metrics.h"
#include "msg.h"
#include "pool.h"

#include <jansson.h>

/* Where checkpoints live.  ckpt.h has the one for real folders; tests bring their own. */
struct sb_disk;

/* What happened, for the log, the metrics and the terminal.  Given by the coordinator only, but for
 * PUSH counts. */
enum sb_event_kind {
    SB_EVENT_JOINED,  /* a peer; text = its name */
    SB_EVENT_WAITING, /* text = who is missing, after 5 s and then every 5 s */
    SB_EVENT_STARTED, /* training begins at step; text = "resumed" or "" */
    SB_EVENT_STEP,    /* a step was committed */
    SB_EVENT_EVAL,  /* an evaluation ended; text = eval set name, json = its results as an object */
    SB_EVENT_HEAD,  /* a head was fitted; json = what the fit came to, as an object */
    SB_EVENT_SAVED, /* checkpoint of step; text = folder; seconds, stall */
    SB_EVENT_SAVE_FAILED,   /* that of step; text = sentence; the run goes on */
    SB_EVENT_SAVE_LEFT_OUT, /* that of step; text = sentence, once for a row of them, else empty */
    SB_EVENT_REFUSED,       /* a peer; text = sentence */
    SB_EVENT_NONFINITE,     /* step; text = sentence */
    SB_EVENT_ENDING,        /* the run ends before its time: code, text */
    SB_EVENT_FINISHED,      /* code, text */
    SB_EVENT_LOST,          /* a peer is silent, or gives up; text = sentence */
    SB_EVENT_RETURNED,      /* a peer that had died was started again; text = sentence */
    SB_EVENT_BACK,          /* a peer that was silent or slow goes on; text = sentence */
    SB_EVENT_LEAVING,       /* a worker got a signal; text = sentence */
    SB_EVENT_SLOW,          /* a worker; text = sentence: who computes its share too */
    SB_EVENT_NOTE,          /* what was decided; text = sentence */
    SB_EVENT_WARNING,       /* what a person should know of the result; text = sentence */
    SB_EVENT_RECOVERED, /* at the end, if any was lost: text = what came back and was done again */
    SB_EVENT_DAMAGED,   /* a checkpoint that does not verify and is passed over; text = sentence */
};

struct sb_event {
    enum sb_event_kind kind;
    uint64_t step; /* finished steps */
    uint64_t total_steps;
    double epoch;
    double loss;      /* mean over the targets of the step(s) since the last report */
    double grad_norm; /* before clipping */
    double rate;      /* learning rate */
    double tokens, samples, targets; /* of this step */
    double seconds;                  /* wall time of the step, or of the action */
    double stall;                    /* SAVED: of these, that the run stood still, at most */
    int code;
    uint32_t term;
    const char *text;
    const char *json;
    const char *who;   /* the peer that it is about: "worker 2"; "" for none */
    const char *slots; /* that it is about: "0-3 6", or "" */
};

struct sb_server_options {
    uint32_t index;
    uint32_t life; /* how often whoever started us has started this server before */
    uint32_t server_count, worker_count; /* that the coordinator waits for */
    const struct sb_job *job;            /* outlives the server */
    const char *canonical;               /* sb_job_canonical */
    const char *fingerprint;             /* of the numerics */
    const char *address;                 /* where workers reach us */
    const char *name;                    /* host and process */
    struct sb_pool *pool;                /* may be NULL */
    const struct sb_disk *disk;
    bool checksum; /* frames carry checksums (off inside one process) */
    void (*on_event)(void *context, const struct sb_event *event); /* may be NULL */
    /* What the coordinator is doing, twice a second: the object is the caller's.  May be NULL. */
    void (*on_status)(void *context, json_t *status);
    void *event_context;
    sb_ledger_fn *on_entry; /* what becomes of pushes and steps, before anybody hears of it; may be
                               NULL */
    void *entry_context;
    struct sb_metrics *metrics; /* may be NULL */
};

struct sb_server;

struct sb_server *sb_server_new(const struct sb_server_options *options, uint64_t now_ns);
void sb_server_free(struct sb_server **server);
/* msg is taken.  Messages to ourselves (coordinator and shard of server 0) are handled inside. */
void sb_server_handle(struct sb_server *server, uint64_t now_ns, uint64_t peer, struct sb_msg **msg,
                      struct sb_outbox *out);
/* Resends what is due and checks deadlines.  Call at least every 50 ms. */
void sb_server_tick(struct sb_server *server, uint64_t now_ns, struct sb_outbox *out);
/* Nobody has wanted anything for a moment: what the checkpoint after this step needs may be done.
 */
void sb_server_rest(struct sb_server *server);
/* Asks for a checkpoint and an end; the running step is given up; code is what all will exit with
 * (130, 143). */
void sb_server_stop(struct sb_server *server, int code);
/* When the coordinator was last heard, 0 for never; our own is always heard. */
uint64_t sb_server_heard_ns(const struct sb_server *server, uint64_t now_ns);
/* It has its part of the weights. */
bool sb_server_ready(const struct sb_server *server);
/* It is over because it was, and not by the end of the run. */
bool sb_server_was_refused(const struct sb_server *server);
/* Received messages that were damaged, or of another version or job. */
uint64_t sb_server_refused_count(const struct sb_server *server);
/* -1 while running, else the exit code; text says why when it is not 0. */
int sb_server_over(const struct sb_server *server, const char **text);

/* Head.job of every message: sb_msg_job(canonical), as workers compute it. */
uint64_t sb_server_job_hash(const char *canonical);

#endif
