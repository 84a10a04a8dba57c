/*
 * shardbert.json: what made the model in a folder.  It is begun with what the run starts from, and
 * finished last of all files: then it says that the folder is whole.
 *
 *   format    "shardbert-run-1"
 *   finished  false from the first step on, true once everything else is written
 *   task      mlm, classify, ...
 *   settings  the JOB settings as text, one key=value a line; settings_hash names them
 *   inputs    what it started from: by the key of the setting, names of files and their content
 *   data      by split: samples, tokens, and the fingerprint of the prepared data
 *   scores    by split: the numbers of the last evaluation
 *   model     the content of the finished folder, as an input of a later run has it
 *   versions  of this program, and what the arithmetic of the machine answered
 *   lineage   the records of the models that it comes from, oldest first; "changed" in one of them:
 *             its files were no longer what its run had written
 */
#ifndef SB_RUN_RECORD_H
#define SB_RUN_RECORD_H

#include "inputs.h"
#include "task.h"

struct sb_run_record {
    enum { SB_RUN_NONE, SB_RUN_BEGUN, SB_RUN_FINISHED } state;
    struct sb_bytes settings;
    struct sb_inputs inputs;
};

/* Reads folder/shardbert.json.  A file that is none of ours is SB_ERR_DATA.  Release in any case.
 */
int sb_run_record_read(struct sb_run_record *record, const char *folder, struct sb_err *err);
void sb_run_record_release(struct sb_run_record *record);

/* Before the first step: what output_dir is going to hold. */
int sb_run_record_begin(const struct sb_job *job, const char *canonical,
                        const struct sb_inputs *inputs, struct sb_err *err);

/*
 * After the model and the result files: the model card, and the finished record.  Where no record
 * was begun (a cluster without a launcher of ours), the inputs are read now.
 */
int sb_run_record_finish(const struct sb_task *task, const char *canonical, struct sb_err *err);

#endif
