/* What the coordinator says of the run, for those who ask: the page /status, and the gauges. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

/* How many of the members are in each state, and 0 for those that nobody is in. */
static void count_states(struct sb_metrics *metrics, const json_t *members,
                         const char *const *states, const enum sb_metric *ids, size_t state_count)
{
    for (size_t s = 0; s < state_count; s++) {
        size_t i;
        json_t *member;
        double count = 0;
        json_array_foreach(members, i, member)
        {
            const char *state = json_string_value(json_object_get(member, "state"));
            count += state && !strcmp(state, states[s]);
        }
        sb_metrics_set(metrics, ids[s], count);
    }
}

static void set_gauges(struct sb_metrics *metrics, const json_t *status)
{
    static const char *const worker_states[] = {"computing", "waiting", "slow", "lost", "leaving"};
    static const enum sb_metric workers[] = {SB_METRIC_WORKERS_COMPUTING, SB_METRIC_WORKERS_WAITING,
                                             SB_METRIC_WORKERS_SLOW, SB_METRIC_WORKERS_LOST,
                                             SB_METRIC_WORKERS_LEAVING};
    static const char *const server_states[] = {"serving", "loading", "lost"};
    static const enum sb_metric servers[] = {SB_METRIC_SERVERS_SERVING, SB_METRIC_SERVERS_LOADING,
                                             SB_METRIC_SERVERS_LOST};
    if (!json_object_get(status, "workers"))
        return;
    count_states(metrics, json_object_get(status, "workers"), worker_states, workers, 5);
    count_states(metrics, json_object_get(status, "servers"), server_states, servers, 3);
    sb_metrics_set(metrics, SB_METRIC_TERM, json_number_value(json_object_get(status, "term")));
    sb_metrics_set(
        metrics, SB_METRIC_STEPS_REDONE,
        json_number_value(json_object_get(json_object_get(status, "account"), "steps_done_again")));
}

void sb_report_status(void *context, json_t *status)
{
    struct sb_report *report = context;
    const struct sb_job *job = report->job;
    set_gauges(report->metrics, status);
    json_object_set_new(status, "run", json_string(report->beacon.run));
    json_object_set_new(status, "version", json_string(SB_VERSION));
    json_object_set_new(status, "task", json_string(job->task));
    json_object_set_new(status, "output_dir", json_string(job->output_dir ? job->output_dir : ""));
    json_object_set_new(status, "host", json_string(report->beacon.host));
    json_object_set_new(status, "process", json_integer((json_int_t)report->beacon.process));
    char *text = json_dumps(status, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
        sb_metrics_status(report->metrics, text);
    free(text);
}
