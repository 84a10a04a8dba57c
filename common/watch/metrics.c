#include "metrics.h"

#include "arena.h"
#include "beat.h"
#include "clock.h"
#include "metrics_rows.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { gauge, counter, histogram };

static const char *const type_names[] = {"gauge", "counter", "histogram"};

static const struct row {
    enum type type;
    const char *name, *label, *value, *help;
} rows[SB_METRIC_COUNT] = {
#define SB_METRIC(id, type, name, label, value, help) {type, name, label, value, help},
#include "metrics.def"
#undef SB_METRIC
};

/* Upper bounds in seconds: three to a decade from a fast step to a slow checkpoint, and infinity.
 */
static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                1,     2.5,    5,     10,   25,    50,   100, 250};
enum { BOUND_COUNT = sizeof(bounds) / sizeof(bounds[0]) };

struct series {
    _Atomic bool touched;
    _Atomic double value;                      /* of a histogram: the sum */
    _Atomic uint64_t buckets[BOUND_COUNT + 1]; /* of a histogram: not cumulative */
};

struct sb_metrics {
    char *role;
    uint32_t index;
    _Atomic uint64_t heartbeat_ns;
    _Atomic double limit_seconds;
    _Atomic bool ready;
    struct MHD_Daemon *daemon;
    pthread_mutex_t status_mutex; /* a text has no atomic form */
    char *status;                 /* NULL: none */
    uint64_t status_ns;
    struct series series[SB_METRIC_COUNT];
};

struct sb_metrics *sb_metrics_new(const char *role, uint32_t index)
{
    struct sb_metrics *metrics = sb_calloc(1, sizeof(*metrics));
    metrics->role = sb_strdup(role);
    metrics->index = index;
    atomic_init(&metrics->heartbeat_ns, sb_clock_ns());
    atomic_init(&metrics->limit_seconds, 60.0);
    pthread_mutex_init(&metrics->status_mutex, NULL);
    return metrics;
}

void sb_metrics_free(struct sb_metrics **metrics)
{
    if (!*metrics)
        return;
    sb_metrics_stop(*metrics);
    pthread_mutex_destroy(&(*metrics)->status_mutex);
    free((*metrics)->status);
    free((*metrics)->role);
    free(*metrics);
    *metrics = NULL;
}

/* Order between series means nothing to a reader that polls, so all updates are relaxed. */
static void add(_Atomic double *value, double amount)
{
    double old = atomic_load_explicit(value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(value, &old, old + amount, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static void touch(struct series *series)
{
    atomic_store_explicit(&series->touched, true, memory_order_relaxed);
}

void sb_metrics_set(struct sb_metrics *metrics, enum sb_metric id, double value)
{
    sb_assert(rows[id].type == gauge);
    if (!metrics)
        return;
    atomic_store_explicit(&metrics->series[id].value, value, memory_order_relaxed);
    touch(&metrics->series[id]);
}

void sb_metrics_add(struct sb_metrics *metrics, enum sb_metric id, double amount)
{
    sb_assert(rows[id].type == counter);
    sb_assert(amount >= 0);
    if (!metrics)
        return;
    add(&metrics->series[id].value, amount);
    touch(&metrics->series[id]);
}

void sb_metrics_observe(struct sb_metrics *metrics, enum sb_metric id, double value)
{
    sb_assert(rows[id].type == histogram);
    if (!metrics)
        return;
    struct series *series = &metrics->series[id];
    size_t bucket = 0;
    while (bucket < BOUND_COUNT && value > bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    add(&series->value, value);
    touch(series);
}

double sb_metrics_value(const struct sb_metrics *metrics, enum sb_metric id)
{
    return metrics ? atomic_load_explicit(&metrics->series[id].value, memory_order_relaxed) : 0;
}

void sb_metrics_heartbeat(struct sb_metrics *metrics)
{
    sb_beat();
    if (metrics)
        atomic_store_explicit(&metrics->heartbeat_ns, sb_clock_ns(), memory_order_relaxed);
}

void sb_metrics_health_limit(struct sb_metrics *metrics, double seconds)
{
    if (metrics)
        atomic_store_explicit(&metrics->limit_seconds, seconds, memory_order_relaxed);
}

void sb_metrics_ready(struct sb_metrics *metrics, bool ready)
{
    if (metrics)
        atomic_store_explicit(&metrics->ready, ready, memory_order_relaxed);
}

void sb_metrics_status(struct sb_metrics *metrics, const char *json)
{
    if (!metrics)
        return;
    char *fresh = sb_strdup(json);
    pthread_mutex_lock(&metrics->status_mutex);
    char *old = metrics->status;
    metrics->status = fresh;
    metrics->status_ns = sb_clock_ns();
    pthread_mutex_unlock(&metrics->status_mutex);
    free(old);
}

bool sb_metrics_print_status(struct sb_metrics *metrics, struct sb_bytes *out)
{
    pthread_mutex_lock(&metrics->status_mutex);
    bool known = metrics->status != NULL;
    if (known)
        sb_bytes_printf(out, "{\"age_seconds\":%.3f,\"status\":%s}\n",
                        (double)(sb_clock_ns() - metrics->status_ns) * 1e-9, metrics->status);
    pthread_mutex_unlock(&metrics->status_mutex);
    return known;
}

bool sb_metrics_healthy(const struct sb_metrics *metrics, double *since_seconds)
{
    /* Read before the clock: a heartbeat in between must not make the time negative. */
    uint64_t last_ns = atomic_load_explicit(&metrics->heartbeat_ns, memory_order_relaxed);
    *since_seconds = (double)(sb_clock_ns() - last_ns) * 1e-9;
    return *since_seconds <= atomic_load_explicit(&metrics->limit_seconds, memory_order_relaxed);
}

bool sb_metrics_is_ready(const struct sb_metrics *metrics)
{
    return atomic_load_explicit(&metrics->ready, memory_order_relaxed);
}

struct MHD_Daemon **sb_metrics_daemon(struct sb_metrics *metrics)
{
    return &metrics->daemon;
}

static void print_value(struct sb_bytes *out, double value)
{
    char text[40];
    if (isnan(value))
        snprintf(text, sizeof(text), "NaN");
    else if (isinf(value))
        snprintf(text, sizeof(text), "%cInf", value > 0 ? '+' : '-');
    for (int digits = 15; isfinite(value) && digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    sb_bytes_append_text(out, text);
}

static void print_series(struct sb_bytes *out, const struct sb_metrics *metrics,
                         const struct row *row, const char *suffix)
{
    sb_bytes_printf(out, "shardbert_%s%s{role=\"%s\",index=\"%" PRIu32 "\"", row->name, suffix,
                    metrics->role, metrics->index);
    if (*row->label)
        sb_bytes_printf(out, ",%s=\"%s\"", row->label, row->value);
}

static void print_histogram(struct sb_bytes *out, const struct sb_metrics *metrics,
                            const struct row *row, const struct series *series)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= BOUND_COUNT; i++) {
        sum += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        print_series(out, metrics, row, "_bucket");
        /* OpenMetrics wants bounds as floats: 1.0 and not 1.  Prometheus reads both alike. */
        if (i == BOUND_COUNT)
            sb_bytes_append_text(out, ",le=\"+Inf\"");
        else
            sb_bytes_printf(out, bounds[i] < 1 ? ",le=\"%g\"" : ",le=\"%.1f\"", bounds[i]);
        sb_bytes_printf(out, "} %" PRIu64 "\n", sum);
    }
    print_series(out, metrics, row, "_sum");
    sb_bytes_append_text(out, "} ");
    print_value(out, atomic_load_explicit(&series->value, memory_order_relaxed));
    sb_bytes_append_text(out, "\n");
    /* The count is the last bucket and not a number of its own: the two can never disagree. */
    print_series(out, metrics, row, "_count");
    sb_bytes_printf(out, "} %" PRIu64 "\n", sum);
}

static void print_head(struct sb_bytes *out, const char *name, const char *type, const char *help,
                       bool open_metrics)
{
    /* OpenMetrics names the family of a counter without _total. */
    size_t bytes = strlen(name);
    if (open_metrics && !strcmp(type, "counter"))
        bytes -= strlen("_total");
    sb_bytes_printf(out, "# HELP shardbert_%.*s %s\n", (int)bytes, name, help);
    sb_bytes_printf(out, "# TYPE shardbert_%.*s %s\n", (int)bytes, name, type);
}

void sb_metrics_print(const struct sb_metrics *metrics, bool open_metrics, struct sb_bytes *out)
{
    const char *family = "";
    sb_bytes_clear(out);
    print_head(out, "build_info", "gauge", "Always 1; its labels name this program.", open_metrics);
    sb_bytes_printf(out,
                    "shardbert_build_info{role=\"%s\",index=\"%" PRIu32 "\",version=\"%s\"} 1\n",
                    metrics->role, metrics->index, SB_VERSION);
    for (size_t i = 0; i < SB_METRIC_COUNT; i++) {
        const struct row *row = &rows[i];
        const struct series *series = &metrics->series[i];
        if (!atomic_load_explicit(&series->touched, memory_order_relaxed))
            continue;
        if (strcmp(family, row->name))
            print_head(out, row->name, type_names[row->type], row->help, open_metrics);
        family = row->name;
        if (row->type == histogram) {
            print_histogram(out, metrics, row, series);
            continue;
        }
        print_series(out, metrics, row, "");
        sb_bytes_append_text(out, "} ");
        print_value(out, atomic_load_explicit(&series->value, memory_order_relaxed));
        sb_bytes_append_text(out, "\n");
    }
    if (open_metrics)
        sb_bytes_append_text(out, "# EOF\n");
}
