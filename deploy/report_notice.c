/* Members that come, go and come back, and other trouble that the run outlives. */
#include "report.h"

#include <stdio.h>

static const struct row {
    enum sb_event_kind kind;
    const char *event;
    enum sb_log_level level;
} rows[] = {
#define warning                       SB_LOG_WARNING
#define info                          SB_LOG_INFO
#define SB_NOTICE(kind, event, level) {SB_EVENT_##kind, event, level},
#include "notices.def"
#undef SB_NOTICE
#undef warning
#undef info
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void count(struct sb_metrics *metrics, const struct sb_event *event)
{
    switch (event->kind) {
    case SB_EVENT_LOST:
        sb_metrics_add(
            metrics, event->seconds > 0 ? SB_METRIC_EVICTIONS_SILENT : SB_METRIC_EVICTIONS_TROUBLE,
            1);
        return;
    case SB_EVENT_SLOW:
        sb_metrics_add(metrics, SB_METRIC_STRAGGLERS, 1);
        sb_metrics_add(metrics, SB_METRIC_STRAGGLER_SECONDS, event->seconds);
        return;
    case SB_EVENT_RETURNED:
        sb_metrics_add(
            metrics, event->who[0] == 's' ? SB_METRIC_RETURNS_SERVER : SB_METRIC_RETURNS_WORKER, 1);
        return;
    case SB_EVENT_SAVE_FAILED:
        sb_metrics_add(metrics, SB_METRIC_CHECKPOINT_FAILURES, 1);
        return;
    case SB_EVENT_SAVE_LEFT_OUT:
        sb_metrics_add(metrics, SB_METRIC_CHECKPOINT_SKIPPED, 1);
        return;
    default:
        return;
    }
}

static void say(const struct row *row, const struct sb_event *event)
{
    struct sb_field fields[6] = {sb_u64("step", event->step)};
    char sentence[1200];
    size_t field_count = 1;
    if (event->who[0])
        fields[field_count++] = sb_text("who", event->who);
    if (event->slots[0])
        fields[field_count++] = sb_text("slots", event->slots);
    if (event->seconds > 0)
        fields[field_count++] = sb_real("seconds", event->seconds);
    if (event->kind == SB_EVENT_RETURNED)
        fields[field_count++] = sb_u64("term", event->term);
    snprintf(sentence, sizeof(sentence), "%s", event->text);
    if (event->kind == SB_EVENT_WAITING) {
        snprintf(sentence, sizeof(sentence), "waits for %s since %.0f s", event->text,
                 event->seconds);
        fields[field_count++] = sb_text("for", event->text);
    }
    if (event->kind == SB_EVENT_SAVE_FAILED)
        snprintf(sentence, sizeof(sentence), "checkpoint of step %llu failed: %s; training goes on",
                 (unsigned long long)event->step, event->text);
    sb_log_notice(row->event, row->level, sentence, fields, field_count);
}

bool sb_report_notice(struct sb_report *report, const struct sb_event *event)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind != event->kind)
            continue;
        count(report->metrics, event);
        if (*event->text) /* else it was said, and goes on */
            say(&rows[i], event);
        return true;
    }
    return false;
}
