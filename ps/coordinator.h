/*
 * The module of server 0 that knows who is here, who computes what, and which step is committed.
 *
 *                 all said HELLO          all parts allocated, or read from a checkpoint
 *     JOINING ---------------> LOADING ---------------------> SEEDING
 *        |                        |                              | every part has weights
 *        | join_timeout           | trouble                      v
 *        |                        |            .-----------> go_on ----------.-------------.
 *        |                        |            |               |             |             |
 *        |                        |            |            TRAINING     EVALUATING     SAVING
 *        |                        |            |               |             |             |
 *        |                        |            '--- committed -'-- all slots -'--- written -'
 *        |                        |                 (SAVING: stands still for a checkpoint; else
 *        |                        |                  they are written beside the training)
 *        |                        |                            |
 *        |                        |   (a server that was lost comes back: LOADING, under a new
 * term) |                        |              end, stop, trouble, step_timeout v v v FINISHING:
 * FINISH to the workers until BYE, then to the servers  ---------------> OVER
 *
 * A step whose loss compares items of all slots is GATHERING before it is TRAINING: its slots
 * publish their vectors, dealt like those of an evaluation, and whoever trains asks for all of
 * them.
 *
 * A function of messages and time: it sends by putting messages into an outbox, and resends what is
 * not answered from its tick.  Owner: the server that it is part of.
 */
#ifndef SB_COORDINATOR_H
#define SB_COORDINATOR_H

#include "account.h"
#include "ckpt.h"
#include "evaluation.h"
#include "file.h"
#include "gather.h"
#include "history.h"
#include "members.h"
#include "pace.h"
#include "run_head.h"
#include "server.h"

enum sb_coordinator_state {
    SB_COORDINATOR_JOINING,
    SB_COORDINATOR_LOADING,
    SB_COORDINATOR_SEEDING,
    SB_COORDINATOR_SHORT, /* between two steps: there are fewer workers than min_workers */
    SB_COORDINATOR_GATHERING,
    SB_COORDINATOR_TRAINING,
    SB_COORDINATOR_EVALUATING,
    SB_COORDINATOR_SAVING,
    SB_COORDINATOR_RELOADING, /* at the end: the weights of the best evaluation come back */
    SB_COORDINATOR_FINISHING,
    SB_COORDINATOR_OVER,
};

/* What the coordinator waits for from a server. */
struct sb_coordinator_server {
    bool loaded, seeded, bye;
    uint64_t heard_ns;     /* any sign of life */
    uint64_t committed;    /* steps */
    bool reported, finite; /* of the running step */
    uint32_t bad_part;
    double *norms; /* [norm_count] of its trainable parts, in part order */
    size_t norm_count;
    bool kept, saved; /* its state for the checkpoint under way, in memory and in a file */
    struct sb_ckpt_file file;
};

enum { SB_COORDINATOR_STEPS = 15 }; /* whose seconds are remembered */

struct sb_coordinator_worker {
    bool welcomed, heard, bye; /* heard: it answered its piece of work */
    bool leaving;              /* it ends at the next boundary of a step */
    bool slow;                 /* others compute its share too; see coordinator_watch.c */
    uint64_t sequence;         /* of that piece */
    uint64_t heard_ns;         /* any sign of life */
    uint64_t moved_ns;   /* work was given to it, or it finished some: its lease runs from here */
    uint64_t slots_done; /* by its own count */
    uint32_t failures;   /* times slow or lost since it last finished anything */
    uint64_t barred_ns;  /* until then words alone do not bring it back */
    uint32_t nodes[64];  /* its share of the running step */
    size_t node_count;
    struct sb_pace pace;
    uint64_t answered;             /* bit i: it said that nodes[i] is DONE */
    uint64_t first_slot, end_slot; /* its share of the running evaluation, or of what is gathered */
};

/* The checkpoint that is being made beside the training; see coordinator_save.c. */
struct sb_coordinator_save {
    bool under_way;
    bool failed; /* a server could not write its file; the others are waited for */
    uint64_t step, best_step;
    uint64_t left_out; /* the newest step whose checkpoint was left out for it; SB_CKPT_NONE */
    uint64_t began_ns;
    uint64_t held_ns;       /* since then a complete step waits for a server to keep its state */
    double stall_s, kept_s; /* that the run stood still; that keeping took, at the slowest */
    char folder[SB_PATH_BYTES];
    json_t *history, *head; /* of its step; head: NULL if there is none */
    struct sb_save_ending *ending;
};

struct sb_coordinator {
    const struct sb_server_options *options;
    const struct sb_job *job;
    uint64_t job_hash;
    enum sb_coordinator_state state;
    struct sb_members members;
    struct sb_coordinator_server *servers;
    struct sb_coordinator_worker *workers;
    struct sb_parts parts;
    uint32_t term;
    uint64_t step;           /* committed steps */
    uint64_t sequence;       /* of the newest piece of work */
    uint64_t first_sequence; /* of the running step or evaluation */
    bool resumed;
    uint32_t seeder; /* the worker that pushes the first weights, if there is no checkpoint */

    uint64_t dealt_ns;      /* when the running step or evaluation was */
    uint64_t first_done_ns; /* when the first worker had finished its share of it; 0: nobody has */
    double slot_seconds;    /* the longest slot of the running evaluation */
    double step_seconds[SB_COORDINATOR_STEPS]; /* of the last steps, as a ring */
    uint64_t step_seconds_count;
    double least_wait;             /* of the running step: for the weights */
    struct sb_recent node_seconds; /* what one more node costs */
    double slot_tokens;            /* of a slot of the last step */
    uint64_t said_shares, said_shares_ns;

    struct sb_sums_tree sums; /* of the running step */
    struct {                  /* in it, the first slot whose numbers are not finite */
        uint32_t slot;        /* UINT32_MAX: none that is known */
        char worker[256];
    } bad;
    bool doubted;          /* a worker was lost in it: its sums may not have come to the servers */
    uint32_t doubt_rounds; /* how often the step was dealt again for that */
    struct {               /* the newest decision, for servers that did not hear it */
        bool apply;
        double scale, rate;
        char load[SB_PATH_BYTES]; /* not empty: the checkpoint that takes the place of an update */
    } commit;
    bool reloaded; /* the best weights are back, under a step of their own: one more than trained */
    struct sb_evaluation evaluation;
    struct sb_gather gather; /* of the running step */
    struct sb_run_head head; /* setfit */
    struct sb_history history;
    struct sb_account account;
    bool account_read;  /* that of the lives before is in it */
    bool rejoined;      /* ... and this life of ours */
    struct {            /* of a fall back */
        uint64_t reach; /* the step that had been reached; 0: it is reached again */
        uint64_t seen;  /* JOINING: the step that servers say they have come to */
        uint64_t since_ns;
    } losses;
    struct { /* the newest checkpoint that was written, or that the run began with */
        bool known;
        uint64_t step, ns; /* ns 0: it was written before this process began */
    } saved;

    char resume_folder[SB_PATH_BYTES];
    struct sb_coordinator_save save;
    struct sb_save_ending *past; /* of a save that nobody wants any more; not over */
    uint64_t saved_step; /* last one written, tried or under way; UINT64_MAX: none */
    bool save_failed, said_left_out;
    double save_stall_s, save_write_s; /* of the last checkpoint; 0: not known yet */
    uint64_t save_ns;                  /* when the last one began or was left out; 0: none has */

    int stop_code;            /* 0: none asked for */
    char stop_sentence[1024]; /* why, where it was not a signal */
    int finish_code;
    char finish_sentence[1024];
    struct sb_frame *finish_text; /* the history, for the workers */
    uint32_t lease;               /* the worker that writes the model folder at the end */
    bool workers_finished;        /* FINISH now goes to the servers */
    uint32_t finish_rounds;

    uint64_t now_ns, born_ns, said_ns, sent_ns, progress_ns, began_ns, step_ns, train_ns;
    uint64_t
        prepared_ns; /* JOINING: when a worker last said that it reads its data; or the birth */
    double train_first_samples; /* seen by earlier starts of this run */
    uint64_t train_first_step;
};

void sb_coordinator_init(struct sb_coordinator *c, const struct sb_server_options *options,
                         uint64_t now_ns);
void sb_coordinator_release(struct sb_coordinator *c);
/* The message is for the coordinator and it took it; false: not one of its kinds. */
bool sb_coordinator_handle(struct sb_coordinator *c, uint64_t now_ns, uint64_t peer,
                           const Sb__Head *head, const struct sb_msg *msg, struct sb_outbox *out);
void sb_coordinator_tick(struct sb_coordinator *c, uint64_t now_ns, struct sb_outbox *out);
void sb_coordinator_stop(struct sb_coordinator *c, int code);
/* What the run is doing, as an object of its own. */
json_t *sb_coordinator_status(const struct sb_coordinator *c);

#endif
