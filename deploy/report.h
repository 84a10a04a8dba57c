/*
 * What a running job tells its user: the log or the progress line, and the metrics.  One vocabulary
 * for both.
 */
#ifndef SB_REPORT_H
#define SB_REPORT_H

#include "beacon.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "model_files.h"
#include "server.h"
#include "task.h"

struct sb_report {
    const struct sb_job *job;
    const char *role;
    struct sb_metrics *metrics;  /* NULL: none are served */
    struct sb_progress progress; /* of the phase that is open */
    bool phase_open;
    char address[SB_METRICS_ADDRESS_BYTES]; /* where they are served; "": nowhere */
    struct sb_beacon beacon;                /* of a coordinator */
    bool said; /* why the run ends, by the coordinator of this process */
    uint64_t first_step;
    double tokens, seconds, loss, targets; /* since the last line */
};

/* Sets the log up.  role: "train", "server", "worker", "plan". */
void sb_report_begin(struct sb_report *report, const struct sb_job *job, const char *role,
                     uint32_t index);
/*
 * Serves the metrics and logs `metrics=HOST:PORT`, under the index that this process has among
 * those of its role.  One port cannot serve several processes of a host: only one of them is given
 * asked_port, the others take any free port.
 */
int sb_report_serve(struct sb_report *report, uint32_t index, bool asked_port, struct sb_err *err);
/*
 * This process is the coordinator of the run in output_dir: says so there, until sb_report_end.
 * Trouble is a warning: it costs nothing but the way of `shardbert status`.
 */
void sb_report_announce(struct sb_report *report, bool watched);
void sb_report_end(struct sb_report *report);

/* Callbacks; context is the struct sb_report. */
void sb_report_event(void *context, const struct sb_event *event);
/* Of a member, or of trouble that the run outlives (notices.def); false: of something else. */
bool sb_report_notice(struct sb_report *report, const struct sb_event *event);
/* status: what the coordinator is doing; who and where this is goes in. */
void sb_report_status(void *context, json_t *status);
void sb_report_prepare(void *context, uint64_t done_bytes, uint64_t total_bytes, uint64_t samples);

/* Once, before training: data, steps, slots, what is trained. */
void sb_report_task(struct sb_report *report, const struct sb_task *task);
/* Once the starting model is read: loaded, new and ignored tensors.  context: the struct sb_report.
 */
void sb_report_loaded(void *context, const struct sb_task *task);

#endif
