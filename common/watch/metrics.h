/*
 * What a process counts, and the address where Prometheus, a probe or a person reads it.
 *
 *     struct sb_metrics *metrics = sb_metrics_new("worker", index);
 *     sb_metrics_serve(metrics, "127.0.0.1:0", bound, sizeof(bound), err);
 *     sb_metrics_add(metrics, SB_METRIC_TOKENS, batch.token_count);
 *     sb_metrics_heartbeat(metrics);
 *     sb_metrics_free(&metrics);
 *
 * Updates are lock-free and may come from any thread; metrics NULL is allowed and does nothing.  A
 * series appears once it was touched, so that a server shows no loss; touch counters with 0 at
 * start.
 *
 *     GET /metrics   Prometheus text 0.0.4, or OpenMetrics 1.0 where Accept asks for it
 *     GET /healthz   200 while the event loop turns, 503 when its last heartbeat is too old
 *     GET /readyz    200 between sb_metrics_ready(true) and (false)
 *     GET /status    {"age_seconds": since it was handed in, "status": JSON}; 404 before the first
 */
#ifndef SB_METRICS_H
#define SB_METRICS_H

#include "bytes.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_metric {
#define SB_METRIC(id, ...) SB_METRIC_##id,
#include "metrics.def"
#undef SB_METRIC
    SB_METRIC_COUNT
};

/* Enough for any "host:port" that sb_metrics_serve reports. */
#define SB_METRICS_ADDRESS_BYTES 128

struct sb_metrics;

struct sb_metrics *sb_metrics_new(const char *role, uint32_t index);
/* Stops serving, too. */
void sb_metrics_free(struct sb_metrics **metrics);

/* Gauges are set, counters added to (never less than 0), histograms observed; else it is a bug. */
void sb_metrics_set(struct sb_metrics *metrics, enum sb_metric id, double value);
void sb_metrics_add(struct sb_metrics *metrics, enum sb_metric id, double amount);
void sb_metrics_observe(struct sb_metrics *metrics, enum sb_metric id, double value);
/* A gauge or counter, for tables and tests; 0 if it was never touched. */
double sb_metrics_value(const struct sb_metrics *metrics, enum sb_metric id);

/* The event loop has turned.  The limit is 60 seconds unless set. */
void sb_metrics_heartbeat(struct sb_metrics *metrics);
void sb_metrics_health_limit(struct sb_metrics *metrics, double seconds);
void sb_metrics_ready(struct sb_metrics *metrics, bool ready);

/* JSON text for those who ask how the run is; the one before is forgotten. */
void sb_metrics_status(struct sb_metrics *metrics, const char *json);

/*
 * Serves on "host:port", "[IPv6]:port" or ":port" (all addresses), with a thread of its own.  Port
 * 0 is any free one; bound receives the real address.  "off" or NULL: nothing is served, bound is
 * "".
 */
int sb_metrics_serve(struct sb_metrics *metrics, const char *address,
                     char bound[SB_METRICS_ADDRESS_BYTES], struct sb_err *err);
void sb_metrics_stop(struct sb_metrics *metrics);

/* The page of /metrics. */
void sb_metrics_print(const struct sb_metrics *metrics, bool open_metrics, struct sb_bytes *out);

#endif
