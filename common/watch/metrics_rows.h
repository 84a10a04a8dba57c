/* Between metrics.c, which counts, and metrics_http.c, which answers. */
#ifndef SB_METRICS_ROWS_H
#define SB_METRICS_ROWS_H

#include "metrics.h"

struct MHD_Daemon;

/* Seconds since the last heartbeat, and whether that is within the limit. */
bool sb_metrics_healthy(const struct sb_metrics *metrics, double *since_seconds);
/* The page of /status; false if there is none. */
bool sb_metrics_print_status(struct sb_metrics *metrics, struct sb_bytes *out);
bool sb_metrics_is_ready(const struct sb_metrics *metrics);
/* The daemon that serves, or NULL: a place for metrics_http.c to keep it. */
struct MHD_Daemon **sb_metrics_daemon(struct sb_metrics *metrics);

#endif
