/* The toy model: frozen, row-sparse and dense tensors, and a gradient that is a pure function of
 * (weights, step, slot). */
#ifndef SIM_TOY_H
#define SIM_TOY_H

#include "batch.h"
#include "parts.h"
#include "sim.h"

enum { TOY_SPANS_MAX = 16, TOY_EVAL_SLOTS = 5, TOY_LABELS = 2, TOY_VECTOR = 3, TOY_ROWS_MAX = 3 };

struct toy {
    const struct sim_options *options;
    struct sb_span spans[TOY_SPANS_MAX];
    size_t span_count;
    uint32_t sparse;       /* index of the row-sparse span */
    size_t rows, cols, at; /* its shape and place */
    size_t float_count;
};

void toy_init(struct toy *toy, const struct sim_options *options);
void toy_first_weights(const struct toy *toy, float *weights);

/* Its gradient is planted with a number that is not finite. */
bool toy_nonfinite(const struct toy *toy, uint64_t step);

/* The vectors that a slot publishes: up to TOY_ROWS_MAX rows.  Returns the number of floats. */
size_t toy_vectors(const struct toy *toy, uint64_t step, uint32_t slot, const float *weights,
                   float vectors[TOY_ROWS_MAX * TOY_VECTOR]);

/*
 * The sums of a node: slots added left + right up the tree, an empty side taken as it is.
 *   grad [float_count] cleared here;  touched [rows] cleared here;  false: no sample in this node
 *   group [group_count] the vectors of all slots; NULL where nothing is compared
 */
struct toy_group {
    const float *floats;
    size_t count;
};
bool toy_node(const struct toy *toy, uint64_t step, uint32_t node, const float *weights,
              struct toy_group group, float *grad, uint8_t *touched, struct sb_stats *stats);
/* Marks the rows that the samples of a node need. */
void toy_rows(const struct toy *toy, uint64_t step, uint32_t node, uint8_t *touched);

/* An evaluation slot: sums and K*K counts. */
void toy_evaluate(const struct toy *toy, uint64_t slot, const float *weights,
                  struct sb_stats *stats, double counts[TOY_LABELS * TOY_LABELS]);
void toy_evaluation_rows(const struct toy *toy, uint64_t slot, uint8_t *touched);

/* The job of the options; release with sb_job_release. */
void toy_job(struct sb_job *job, const struct sim_options *options);

#endif
