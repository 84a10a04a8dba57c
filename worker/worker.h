/*
 * A worker's life: join, compute the nodes that it is dealt, push their sums, want the next
 * weights, until the coordinator says that training is over.  The worker that holds the export
 * lease then writes the model folder.
 *
 *     slot -> batch -> forward, loss, backward -> fold into the node -> push;  want -> weights
 */
#ifndef SB_WORKER_H
#define SB_WORKER_H

#include "client.h"
#include "ledger.h"
#include "metrics.h"
#include "net.h"
#include "task.h"

#include <signal.h>

struct sb_worker_options {
    const struct sb_job *job;
    struct sb_task *task;
    struct sb_net **net;     /* connected to the coordinator; closed and NULL at the end: what is
                                still on its way must not outlive the memory it lies in */
    uint64_t self;           /* our peer number */
    const char *canonical;   /* JOB settings */
    const char *fingerprint; /* numerics */
    uint32_t index, life;    /* for the coordinator: see sb_client_options */
    const char *name;        /* host and process */
    bool checksum;
    struct sb_metrics *metrics; /* may be NULL */
    bool *told;    /* set when the code is the coordinator's word, and not our own trouble */
    bool *unheard; /* set when it is, and the coordinator cannot hear of it any more */
    const volatile sig_atomic_t *stop_code; /* not 0 once a signal asks for an end: 130, 143 */
    sb_ledger_fn *on_entry;                 /* what was computed; may be NULL */
    void *entry_context;
    /* Called once the starting weights are read or made; may be NULL. */
    void (*loaded)(void *context, const struct sb_task *task);
    void *loaded_context;
    /* Makes the net reach the servers that WELCOME names; NULL if it does already. */
    int (*connect)(struct sb_net *net, const Sb__Welcome *welcome, struct sb_err *err);
};

/* Can messages carry the steps of this task?  To be asked once, before sb_worker_run. */
int sb_worker_check(const struct sb_task *task, struct sb_err *err);
/* Returns the exit code of the job; when it is not 0, err says why, or nothing if the coordinator
 * ended the run: it says so itself. */
int sb_worker_run(const struct sb_worker_options *options, struct sb_err *err);

/* What the data and the settings come to; the strings are borrowed from the task. */
struct sb_plan {
    Sb__Plan plan;
    Sb__EvalSet evals[SB_EVAL_SETS];
    Sb__EvalSet *eval_pointers[SB_EVAL_SETS];
};
void sb_plan_of_task(struct sb_plan *plan, const struct sb_task *task);
/* The layout as servers see it; freed by the caller. */
struct sb_span *sb_spans_of_task(const struct sb_task *task, size_t *count);

#endif
