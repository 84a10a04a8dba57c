/*
 * Which evaluation is the best so far, and whether to stop: a function of the settings and of the
 * results in their order.  Goes into each checkpoint with the history, and so a resumed run decides
 * the same.
 *
 * The rules are Hugging Face's: any improvement makes a new best; an evaluation that does not
 * improve upon the best by more than early_stopping_threshold is one of those that
 * early_stopping_patience counts.
 */
#ifndef SB_BEST_H
#define SB_BEST_H

#include "config.h"

#include <jansson.h>

struct sb_best {
    bool known; /* there was an evaluation with the metric */
    bool saved; /* the checkpoint of its step is written, or being written */
    bool stop;  /* patience is at its end: no further step */
    double metric;
    uint64_t step;
    uint32_t waited; /* evaluations without an improvement */
};

/* Somebody wants to know: else no evaluation is judged. */
bool sb_best_wanted(const struct sb_job *job);
/* metric_for_best_model with its prefix. */
void sb_best_metric_name(char name[128], const struct sb_job *job);
/* Takes in the results of an evaluation after a step: true if they are the best.  Without the
 * metric, or with one that is no number, they are not. */
bool sb_best_judge(struct sb_best *best, const struct sb_job *job, const json_t *results,
                   uint64_t step);

json_t *sb_best_to_json(const struct sb_best *best);
/* What is missing is as at the beginning. */
void sb_best_from_json(struct sb_best *best, const json_t *object);

#endif
