/*
 * The head of a run on embeddings (task setfit): fitted by the coordinator on the vectors of the
 * evaluation set "head", so that one place decides it; part of every checkpoint, and at the end of
 * the model folder.
 */
#ifndef SB_RUN_HEAD_H
#define SB_RUN_HEAD_H

#include "config.h"
#include "embed_head.h"
#include "evaluation.h"

/* The name of the evaluation set. */
#define SB_HEAD_SET "head"

struct sb_run_head {
    struct sb_embed_head head;
    uint64_t step; /* of the weights that made the vectors; SB_HISTORY_NEVER: none is fitted */
    struct sb_logreg_report report;
    size_t texts;
    struct sb_head_score score; /* of the texts that it was fitted on */
};

void sb_run_head_init(struct sb_run_head *head);
void sb_run_head_release(struct sb_run_head *head);

/*
 * Fits it anew on a complete evaluation of the set.  A function of the vectors, in the order of the
 * set, and of JOB settings.  SB_ERR_DATA: vectors that are not finite, texts of one label only.
 */
int sb_run_head_fit(struct sb_run_head *head, const struct sb_evaluation *evaluation,
                    char *const *labels, const struct sb_job *job, uint64_t step,
                    struct sb_err *err);
/* What the fit came to, for reports. */
json_t *sb_run_head_describe(const struct sb_run_head *head);

#endif
