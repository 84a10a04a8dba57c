/*
 * Task setfit: a classifier from a few labelled texts (Tunstall et al., "Efficient Few-Shot
 * Learning Without Prompts", 2022).
 *
 *     few texts -> pairs -> the body learns that texts of a class are alike -> vectors -> head
 *
 * Training steps are those of embedding.h on the items of few_shot_items.h.  Every evaluation slot
 * answers with rows, a label and a vector each: those of the set "head", which is the chosen texts,
 * are what the coordinator fits the head on, and the head scores those of the other sets.
 */
#ifndef SB_SETFIT_H
#define SB_SETFIT_H

#include "task.h"

/*
 * After data and labels are open: chooses the texts, numbers their items, and adds the set "head".
 * Sets few_items, embedding, steps_per_epoch and slots of task.  SB_ERR_DATA,
 * SB_ERR_CONFIG: few_shot_items.h, or more vectors than a head can be fitted on.
 */
int sb_setfit_open(struct sb_task *task, struct sb_err *err);

/* rows [SB_EVAL_SLOT_SAMPLES, G + C]: label, or a 0 or 1 for each of several labels (G =
 * sb_evaluate_gold_count), and vector; rows without a text have -1 in place of labels. */
int sb_setfit_eval_slot(struct sb_task *task, const struct sb_eval_set *set,
                        const uint64_t *samples, size_t count, struct sb_stats *stats, double *rows,
                        struct sb_err *err);

#endif
