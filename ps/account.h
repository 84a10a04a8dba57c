/*
 * What a run has lost and done again so far, and what it has written: the account that is given
 * when it ends.
 *
 * It is no result: no bit of the model depends on it, and it stands in no checkpoint.  It is kept
 * beside the terms of output_dir, so that it outlives the coordinator.
 */
#ifndef SB_ACCOUNT_H
#define SB_ACCOUNT_H

#include "bytes.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sb_account {
    /* started again after they had died */
    uint64_t workers, servers, coordinators;
    uint64_t lost;        /* times that a worker was silent until its share was taken from it */
    uint64_t slow;        /* times that the share of a slow one was computed by others too */
    uint64_t passed_on;   /* nodes and slots that were dealt once more for either */
    uint64_t twice;       /* answers to those that came when the first was here already */
    uint64_t steps;       /* done again */
    double seconds;       /* for which the run went back, until it was where it had been */
    uint64_t saved;       /* checkpoints */
    uint64_t save_failed; /* checkpoints that could not be written */
};

/* Adds what an earlier life of the run had counted. */
void sb_account_add(struct sb_account *account, const struct sb_account *before);

json_t *sb_account_to_json(const struct sb_account *account);
/* What is not a number of ours counts nothing: an account that was damaged costs no run. */
void sb_account_from_json(struct sb_account *account, const json_t *object);

/*
 * "1 worker and the coordinator came back; 7 steps were done again in 2.1 s; 1 slow worker: 3 nodes
 * were computed twice; 4 checkpoints were written, 1 failed".  False and nothing if nothing was
 * lost.
 */
bool sb_account_say(const struct sb_account *account, struct sb_bytes *out);

#endif
