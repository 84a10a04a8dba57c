/*
 * The file of `shardbert run`: jobs in a row, each perhaps from the folder of an earlier one.
 *
 *     output_dir: runs/reviews            # of the stages, the report and the prepared data
 *     seeds: [42, 43, 44]                 # of every stage that does not say its own; may be left
 * out stages:
 *       - name: domain
 *         task: mlm                       # settings of a job,
 *         ...
 *         seeds: [42]                     # and what only a stage has: name, job, seeds
 *       - name: reviews
 *         job: classify.yaml              # settings of a file; those beside it win
 *         model_name_or_path: @domain
 *       - classify.yaml                   # the file alone; its name is the stage's
 *
 * A stage of one seed is one run, in its output_dir; of several, each is a run in output_dir/seed-S
 * and starts from the run of the same seed, or from the only one.  A stage without seeds has those
 * of the stage that it starts from, else those of the pipeline, else the seed of its job.
 */
#ifndef SB_PIPELINE_H
#define SB_PIPELINE_H

#include "config.h"
#include "file.h"
#include "flat_yaml.h"

/* The settings that may name a stage: model_name_or_path, config_name, tokenizer_name. */
enum { SB_STAGE_LINKS = 3 };

struct sb_stage {
    char *name;
    char *job_path;            /* NULL: all its settings are in the pipeline */
    const struct sb_flat *map; /* those; NULL: none */
    uint64_t *seeds;           /* [seed_count] */
    size_t seed_count;         /* 1: one run; 0: one run with the seed of its job */
    char *task;
    char *output_dir;               /* of the stage: its own, or OUTPUT/NAME */
    bool own_cache;                 /* it names a cache_dir */
    size_t parents[SB_STAGE_LINKS]; /* stages, or SB_NO_STAGE */
};
#define SB_NO_STAGE SIZE_MAX

struct sb_pipeline {
    const char *path;           /* borrowed */
    char folder[SB_PATH_BYTES]; /* of the file: what its paths are relative to */
    char *output_dir;
    struct sb_flat flat;
    struct sb_stage *stages;
    size_t count;
};

/*
 * Reads the file and all job files; checks names, links, seeds and that no two runs share a folder.
 * output: instead of the file's output_dir; may be NULL.  Release in any case.
 */
int sb_pipeline_read(struct sb_pipeline *pipeline, const char *path, const char *output,
                     struct sb_err *err);
void sb_pipeline_release(struct sb_pipeline *pipeline);

/* The setting of a link. */
const char *sb_stage_link_key(size_t link);

/*
 * The settings of one stage as a job that is initialised: what `--stage NAME` means for `shardbert
 * train`.  A setting that names a stage stays as it is written.
 */
int sb_pipeline_job(struct sb_job *job, const char *path, const char *stage, struct sb_err *err);

/* A run of the pipeline: a stage with one of its seeds. */
struct sb_unit {
    size_t stage;
    bool repeated; /* one of several of its stage */
    bool seeded;   /* seed is set by the pipeline, not by the job */
    uint64_t seed;
    char *folder;
    size_t parents[SB_STAGE_LINKS]; /* units, or SB_NO_STAGE; always before this one */
};

/* In the order in which they are run; freed by sb_units_free. */
struct sb_unit *sb_units_of(const struct sb_pipeline *pipeline, size_t *count);
void sb_units_free(struct sb_unit **units, size_t count);

#endif
