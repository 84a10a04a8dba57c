/* What the task embed has of its own; the rest is in task.c and task_slots.c. */
#ifndef SB_TASK_EMBED_H
#define SB_TASK_EMBED_H

#include "task.h"

/*
 * How texts become vectors: pooling_mode, else what the starting folder says if it is a
 * sentence-transformers folder, else the mean.  A longest text that the folder names holds where
 * the job names none.  After the model's config is known.
 */
int sb_task_read_sentence(struct sb_task *task, struct sb_err *err);

/* Steps over the items of the training data, and of the evaluations.  When all data are open. */
int sb_task_open_pairs(struct sb_task *task, struct sb_err *err);
void sb_task_close_pairs(struct sb_task *task);

/* The rows of one evaluation slot: counts [SB_EVAL_SLOT_SAMPLES, SB_PAIR_ROW_WIDTH]. */
int sb_task_eval_pairs(struct sb_task *task, const struct sb_eval_set *set, uint64_t slot,
                       struct sb_stats *stats, double *counts, struct sb_err *err);

/* The model folder is a sentence-transformers folder. */
int sb_task_export_sentence(const struct sb_task *task, const char *folder, struct sb_err *err);

#endif
