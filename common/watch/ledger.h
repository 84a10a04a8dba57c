/*
 * The ledger: what a process has done to the training, a line each, for audits.
 *
 *     1882333671 push term=2 step=14 part=3 node=9 peer=9f31c2 of_term=2 of_step=14 what=applied
 *
 * A line is written before any message tells of what it says, by one write to a file of the
 * process's own, so a process that is killed leaves out nothing that anybody could have heard of.
 * tests/support/ledger.py reads the files of all processes of a run and proves that every slot of
 * every committed step is in the weights exactly once.
 *
 * The pure cores tell an sb_ledger_fn; sb_ledger_write is the one that makes lines.
 */
#ifndef SB_LEDGER_H
#define SB_LEDGER_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

/* Who writes which, and what else it says beside term and step. */
enum sb_entry_kind {
    SB_ENTRY_TERM,    /* coordinator: a term begins with so many steps done; count: servers */
    SB_ENTRY_DECIDE,  /* coordinator: how step ends; what, scale, rate */
    SB_ENTRY_PUBLISH, /* coordinator: the checkpoint of step exists */
    SB_ENTRY_BEGIN,   /* server: it owns trained and frozen in this term, from step on; count: slots
                       */
    SB_ENTRY_SEED,    /* server: a push of first weights; part, peer, of_term, what */
    SB_ENTRY_PUSH,    /* server: a push; part, node, peer, of_term, of_step, what */
    SB_ENTRY_COMMIT,  /* server: step has ended; what, scale, rate */
    SB_ENTRY_SAVE,    /* server: its file of the checkpoint of step is written */
    SB_ENTRY_SERVE,   /* server: weights of part after step steps to peer */
    SB_ENTRY_PLAN, /* worker: the data; count: samples, of_step: steps of an epoch, node: slots */
    SB_ENTRY_SLOT, /* worker: a slot (in node) was computed, of these samples */
    SB_ENTRY_KINDS,
};

struct sb_entry {
    enum sb_entry_kind kind;
    uint32_t term; /* of the process that writes, as step is */
    uint64_t step; /* committed steps: the running one has this number, counted from 0 */
    uint32_t part, node;
    uint64_t peer;    /* who sent it, or gets it */
    uint32_t of_term; /* of the message */
    uint64_t of_step;
    uint64_t count;
    const char *what;             /* a word */
    double scale, rate;           /* of an update */
    const char *trained, *frozen; /* numbers of parts, with commas between them */
    const uint64_t *samples;      /* [count] of a slot, by their number in the data */
};

typedef void sb_ledger_fn(void *context, const struct sb_entry *entry);

struct sb_ledger;

/*
 * Begins dir/<role>-<index>-life-<life>-pid-<pid>.ledger; dir is made if needed.  peer: the number
 * that others know this process by.
 */
int sb_ledger_open(struct sb_ledger **ledger, const char *dir, const char *role, uint32_t index,
                   uint32_t life, uint64_t peer, struct sb_err *err);
void sb_ledger_close(struct sb_ledger **ledger);

/* An sb_ledger_fn; context is the struct sb_ledger.  What cannot be written is said once. */
void sb_ledger_write(void *context, const struct sb_entry *entry);

#endif
