/*
 * Where a run begins: at the newest checkpoint of its output folder that verifies and belongs to
 * it, or at step 0. And the other way round: the manifest of the checkpoint that a run writes.
 */
#ifndef SB_RESUME_H
#define SB_RESUME_H

#include "ckpt.h"
#include "config.h"
#include "msg.h"

/* What a checkpoint must have in common with the run. */
struct sb_resume_run {
    const struct sb_job *job;
    const char *canonical;
    const Sb__Plan *plan;
    uint64_t layout;
};

/*
 * 1: resume from folder [SB_PATH_BYTES] and manifest; 0: there is none; -1: there is one that
 * belongs to other settings, data or another model (SB_ERR_CONFIG), or the output folder cannot be
 * read.  damaged hears of those passed over.
 */
int sb_resume_find(const struct sb_disk *disk, const struct sb_resume_run *run, char *folder,
                   struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                   void *damaged_context, struct sb_err *err);

/* With the arithmetic that the run is computed with (fingerprint.h), and what decides which
 * evaluation is the best, if the job wants to know that. */
json_t *sb_plan_to_json(const Sb__Plan *plan, const struct sb_job *job, const char *fingerprint);

/* Was the checkpoint of this plan computed with another arithmetic?  Then the sentence says so.  No
 * reason to refuse it: a machine may have been replaced. */
bool sb_resume_other_numerics(const json_t *plan, const char *fingerprint, const char *folder,
                              char *sentence, size_t size);

#endif
