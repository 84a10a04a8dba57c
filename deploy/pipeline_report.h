/* What `shardbert run` shows at its end: report.json and a table. */
#ifndef SB_PIPELINE_REPORT_H
#define SB_PIPELINE_REPORT_H

#include "bytes.h"
#include "pipeline.h"
#include "scored.h"

#include <jansson.h>

/* A run that is finished. */
struct sb_unit_result {
    bool done_before;        /* and not done again */
    struct sb_scored scored; /* the main score of the validation split */
    json_t *scores;          /* all, by split, as in shardbert.json; may be NULL */
    char model[64];          /* the content of its folder */
};

struct sb_pipeline_report {
    const struct sb_pipeline *pipeline;
    const struct sb_unit *units;
    const struct sb_unit_result *results; /* by unit */
    size_t count;
};

/*
 * Mean and deviation of the main score over the runs of a stage:
 *
 *     mean = sum x / n,    deviation = sqrt(sum (x - mean)^2 / (n - 1)),  0 for n = 1
 *
 * Returns n; 0 if a run has no score, or runs have different ones.
 */
size_t sb_stage_spread(double *mean, double *deviation, const struct sb_pipeline_report *report,
                       size_t stage);

json_t *sb_pipeline_report_json(const struct sb_pipeline_report *report);
void sb_pipeline_report_table(struct sb_bytes *out, const struct sb_pipeline_report *report);

#endif
