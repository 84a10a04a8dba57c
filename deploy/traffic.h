/* What a job moves in each step, from its plan: before it is started, and without heads of
 * messages. */
#ifndef SB_TRAFFIC_H
#define SB_TRAFFIC_H

#include "task.h"

struct sb_traffic {
    double trained, frozen;          /* floats that move in every step, and once */
    double rows;                     /* row-sparse floats of an average step */
    size_t pushed_nodes;             /* sums that all workers together push */
    double push_bytes, weight_bytes; /* of a step, all workers */
};

/* Returns 0, or -1 if the data cannot be read. */
int sb_traffic_plan(struct sb_traffic *traffic, struct sb_task *task, struct sb_err *err);

/* Parameters that are trained. */
uint64_t sb_trained_count(const struct sb_task *task);

#endif
