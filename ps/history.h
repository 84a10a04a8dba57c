/*
 * What the run has to tell: the log history as in Hugging Face's trainer_state.json, and the sums
 * behind it.
 *
 * All of it follows from the training alone (no clock), goes into each checkpoint, and comes back
 * on resume.
 */
#ifndef SB_HISTORY_H
#define SB_HISTORY_H

#include "best.h"
#include "err.h"
#include "sums.h"

#include <jansson.h>

#define SB_HISTORY_NEVER UINT64_MAX

/* The log travels in one frame and stands in every manifest.  When it would grow beyond this every
 * second entry of its older half goes. */
enum { SB_HISTORY_ENTRIES_MAX = 65536 };

struct sb_history {
    json_t *log; /* array of {loss, grad_norm, learning_rate, epoch, step} and {eval_..., epoch,
                    step} */
    struct sb_sums total;    /* of all steps */
    struct sb_sums since;    /* of the steps since the last entry */
    uint64_t evaluated_step; /* of the newest evaluation, or NEVER */
    uint64_t tested_step;    /* of the newest test, or NEVER */
    uint64_t skipped;        /* steps that were not finite, and changed nothing */
    uint64_t skipped_in_row; /* the newest of them; 0 if the last step was finite */
    struct sb_best best;
};

void sb_history_init(struct sb_history *history);
void sb_history_release(struct sb_history *history);

void sb_history_add_step(struct sb_history *history, const struct sb_sums *sums);
/* An entry of the steps since the last one: their mean loss by target. */
void sb_history_report(struct sb_history *history, uint64_t step, double epoch, double grad_norm,
                       double rate);
/* An entry of the results of an evaluation. */
void sb_history_evaluated(struct sb_history *history, uint64_t step, double epoch, json_t *results);

/* All of it as one object, and back.  SB_ERR_DATA if the object is not one of ours; history is then
 * as it was. */
json_t *sb_history_to_json(const struct sb_history *history);
int sb_history_from_json(struct sb_history *history, json_t *object, struct sb_err *err);

#endif
