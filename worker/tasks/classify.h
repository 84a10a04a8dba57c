/* What a classifier of texts adds to a task.  For task.c alone, but for the first function. */
#ifndef SB_CLASSIFY_H
#define SB_CLASSIFY_H

#include "task.h"

/* How labels stand in the data of such a classifier. */
enum sb_label_form sb_task_label_form(const struct sb_bert_config *config);
/* problem_type of the job; a classifier of the starting model that was for another is renewed. */
void sb_task_set_problem(struct sb_task *task);
/* The classifier is made from the seed, and task->notice says so.  After sb_params_init. */
void sb_task_renew_head(struct sb_task *task);
/* head_learning_rate, layerwise_lr_decay and gradual unfreezing.  After freeze and plan. */
void sb_task_set_rates(struct sb_task *task);
/* samples_per_label; and how many samples and tokens are trained on. */
int sb_task_choose_samples(struct sb_task *task, struct sb_err *err);
/* class_weight, label_smoothing_factor and focal_gamma of the job. */
int sb_task_set_loss(struct sb_task *task, struct sb_err *err);

#endif
