#include "log.h"

#include "arena.h"
#include "beat.h"
#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum style { LINES, JSON, TERMINAL, QUIET };

static struct {
    pthread_mutex_t mutex;
    enum style style;
    bool is_open;
    int fd;
    const char *role;
    uint32_t index;
    bool drawn; /* a progress line stands on the terminal, without a newline */
} journal = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO};

static bool is_terminal(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && (!term || strcmp(term, "dumb"));
}

static void open_locked(const struct sb_log_options *options)
{
    const char *format = options->format ? options->format : "auto";
    journal.fd = options->fd ? options->fd : STDERR_FILENO;
    journal.role = options->role;
    journal.index = options->index;
    journal.drawn = false;
    journal.is_open = true;
    if (!strcmp(format, "json"))
        journal.style = JSON;
    else if (!strcmp(format, "quiet"))
        journal.style = QUIET;
    else
        journal.style = !strcmp(format, "auto") && is_terminal(journal.fd) ? TERMINAL : LINES;
}

static void lock(void)
{
    pthread_mutex_lock(&journal.mutex);
    if (!journal.is_open)
        open_locked(&(struct sb_log_options){0});
}

static void unlock(void)
{
    pthread_mutex_unlock(&journal.mutex);
}

void sb_log_open(const struct sb_log_options *options)
{
    pthread_mutex_lock(&journal.mutex);
    open_locked(options);
    pthread_mutex_unlock(&journal.mutex);
}

/* A log that cannot be written has nowhere to say so: the rest of the line is dropped. */
static void write_out(struct sb_bytes *line)
{
    sb_beat_pause(); /* a pipe that nobody reads, a terminal that is held */
    for (size_t done = 0; done < line->count;) {
        ssize_t wrote = write(journal.fd, line->data + done, line->count - done);
        if (wrote < 0 && errno != EINTR)
            break;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    sb_beat_resume();
    sb_bytes_release(line);
}

/* Writes whole lines; a progress line on the terminal makes room and is drawn again by the next
 * show. */
static void write_lines(struct sb_bytes *text)
{
    struct sb_bytes line = SB_BYTES_INIT;
    if (journal.drawn)
        sb_bytes_append_text(&line, "\r\x1b[K");
    journal.drawn = false;
    sb_bytes_append(&line, text->data, text->count);
    sb_bytes_release(text);
    write_out(&line);
}

static double now_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)(time.tv_nsec / 1000000) * 1e-3;
}

/* Takes the object over. */
static void write_json(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    struct sb_bytes line = SB_BYTES_INIT;
    json_decref(object);
    if (!text)
        return;
    sb_bytes_printf(&line, "%s\n", text);
    free(text);
    write_lines(&line);
}

static json_t *begin_json(const char *level, const char *event)
{
    json_t *object = json_object();
    json_object_set_new(object, "time", json_real(now_seconds()));
    json_object_set_new(object, "level", json_string(level));
    if (event)
        json_object_set_new(object, "event", json_string(event));
    if (journal.role)
        sb_fields_json(object,
                       SB_FIELDS(sb_text("role", journal.role), sb_u64("index", journal.index)));
    return object;
}

static void write_fields(const char *level, const char *event, const struct sb_field *fields,
                         size_t count)
{
    struct sb_bytes line = SB_BYTES_INIT;
    if (journal.style == JSON) {
        json_t *object = begin_json(level, event);
        sb_fields_json(object, fields, count);
        write_json(object);
        return;
    }
    if (event)
        sb_bytes_printf(&line, "event=%s ", event);
    if (journal.role)
        sb_bytes_printf(&line, "role=%s index=%" PRIu32 " ", journal.role, journal.index);
    sb_fields_print(&line, fields, count);
    sb_bytes_append_text(&line, "\n");
    write_lines(&line);
}

void sb_log_fields(const char *event, const struct sb_field *fields, size_t count)
{
    lock();
    if (journal.style != QUIET)
        write_fields("info", event, fields, count);
    unlock();
}

void sb_log_report_fields(const char *event, const struct sb_field *fields, size_t count)
{
    lock();
    if (journal.style == LINES || journal.style == JSON)
        write_fields("info", event, fields, count);
    unlock();
}

static void write_trouble(const char *level, const char *sentence)
{
    struct sb_bytes line = SB_BYTES_INIT;
    lock();
    if (journal.style == JSON) {
        json_t *object = begin_json(level, NULL);
        sb_fields_json(object, SB_FIELDS(sb_text("text", sentence)));
        write_json(object);
    } else {
        sb_bytes_printf(&line, "shardbert: %s\n", sentence);
        write_lines(&line);
    }
    unlock();
}

void sb_log_notice(const char *event, enum sb_log_level level, const char *sentence,
                   const struct sb_field *fields, size_t count)
{
    enum { FIELDS_MAX = 16 };
    struct sb_field all[FIELDS_MAX];
    struct sb_bytes line = SB_BYTES_INIT;
    sb_assert(count < FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        all[i] = fields[i];
    all[count] = sb_text("text", sentence);
    lock();
    if (journal.style == LINES || journal.style == JSON) {
        write_fields(level == SB_LOG_WARNING ? "warning" : "info", event, all, count + 1);
    } else if (journal.style == TERMINAL || level == SB_LOG_WARNING) {
        sb_bytes_printf(&line, "shardbert: %s\n", sentence);
        write_lines(&line);
    }
    unlock();
}

void sb_log_waiting(const char *address, double seconds, double limit_s)
{
    char sentence[512];
    snprintf(sentence, sizeof(sentence),
             "waits for the coordinator%s%s since %.0f s, and gives up after %.0f s "
             "(join_timeout_s + 5)",
             *address ? " at " : "", address, seconds, limit_s);
    sb_log_notice("waiting", SB_LOG_INFO, sentence,
                  SB_FIELDS(sb_text("for", "the coordinator"), sb_text("address", address),
                            sb_real("seconds", seconds)));
}

void sb_log_warning(const char *format, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    write_trouble("warning", sentence);
}

void sb_log_error(const struct sb_err *err)
{
    write_trouble("error", err->text);
}

bool sb_log_is_terminal(void)
{
    lock();
    bool yes = journal.style == TERMINAL;
    unlock();
    return yes;
}

void sb_log_table(const char *text)
{
    struct sb_bytes lines = SB_BYTES_INIT;
    lock();
    if (journal.style == TERMINAL) {
        sb_bytes_append_text(&lines, text);
        write_lines(&lines);
    }
    unlock();
}

void sb_log_duration(char *out, size_t out_bytes, double seconds)
{
    /* A rate of almost nothing gives an absurd time: 1000 days are enough to say "never". */
    uint64_t s = seconds >= 86400e3 ? 86400000u : seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;
    unsigned days = (unsigned)(s / 86400), hours = (unsigned)(s / 3600 % 24);
    unsigned minutes = (unsigned)(s / 60 % 60), rest = (unsigned)(s % 60);
    if (days)
        snprintf(out, out_bytes, "%ud %02u:%02u:%02u", days, hours, minutes, rest);
    else if (hours)
        snprintf(out, out_bytes, "%u:%02u:%02u", hours, minutes, rest);
    else
        snprintf(out, out_bytes, "%u:%02u", minutes, rest);
}

void sb_progress_begin(struct sb_progress *progress, const char *phase, uint64_t done,
                       uint64_t total, unsigned report_seconds)
{
    *progress = (struct sb_progress){.phase = phase,
                                     .total = total,
                                     .first_done = done,
                                     .began_ns = sb_clock_ns(),
                                     .report_seconds = report_seconds};
    progress->shown_ns = progress->began_ns;
}

/* Seconds until the phase ends if it goes on as so far; NAN before anything is known. */
static double seconds_left(const struct sb_progress *progress, uint64_t done, uint64_t now_ns)
{
    if (done <= progress->first_done || done > progress->total)
        return NAN;
    double each =
        (double)(now_ns - progress->began_ns) * 1e-9 / (double)(done - progress->first_done);
    return each * (double)(progress->total - done);
}

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(journal.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static void draw(const struct sb_progress *progress, uint64_t done, double loss, double rate,
                 const char *unit, uint64_t now_ns)
{
    char text[512], left[32];
    double seconds = seconds_left(progress, done, now_ns);
    int used = snprintf(text, sizeof(text), "%.64s %" PRIu64 "/%" PRIu64, progress->phase, done,
                        progress->total);
    if (progress->total)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " %.0f%%",
                         floor(100.0 * (double)done / (double)progress->total));
    if (!isnan(loss))
        used += snprintf(text + used, sizeof(text) - (size_t)used, " loss %.4f", loss);
    if (!isnan(rate))
        used += snprintf(text + used, sizeof(text) - (size_t)used, " %.*f %.32s/s",
                         rate < 10 ? 2 : 0, rate, unit);
    if (!isnan(seconds)) {
        sb_log_duration(left, sizeof(left), seconds);
        used += snprintf(text + used, sizeof(text) - (size_t)used, " %s left", left);
    }
    /* A line that wraps could not be redrawn by a carriage return. */
    size_t columns = terminal_columns() - 1;
    struct sb_bytes line = SB_BYTES_INIT;
    sb_bytes_printf(&line, "\r%.*s\x1b[K", (int)((size_t)used < columns ? (size_t)used : columns),
                    text);
    journal.drawn = true;
    write_out(&line);
}

void sb_progress_show(struct sb_progress *progress, uint64_t done, double loss, double rate,
                      const char *unit)
{
    uint64_t now_ns = sb_clock_ns();
    uint64_t since_ns = now_ns - progress->shown_ns;
    bool first = progress->shown_ns == progress->began_ns;
    lock();
    if (journal.style == TERMINAL) {
        if (first || since_ns >= 100000000u || done >= progress->total) {
            draw(progress, done, loss, rate, unit, now_ns);
            progress->shown_ns = now_ns;
        }
    } else if (journal.style != QUIET && progress->report_seconds &&
               since_ns >= progress->report_seconds * (uint64_t)1000000000) {
        struct sb_field fields[5] = {sb_u64("done", done), sb_u64("total", progress->total)};
        char key[48];
        size_t count = 2;
        if (!isnan(loss))
            fields[count++] = sb_real("loss", loss);
        snprintf(key, sizeof(key), "%.32s_per_second", unit);
        if (!isnan(rate))
            fields[count++] = sb_real(key, rate);
        double seconds = seconds_left(progress, done, now_ns);
        if (!isnan(seconds))
            fields[count++] = sb_real("left_seconds", seconds);
        write_fields("info", progress->phase, fields, count);
        progress->shown_ns = now_ns;
    }
    unlock();
}

void sb_progress_end(struct sb_progress *progress)
{
    struct sb_bytes line = SB_BYTES_INIT;
    (void)progress;
    lock();
    if (journal.style == TERMINAL && journal.drawn) {
        sb_bytes_append_text(&line, "\n");
        journal.drawn = false;
        write_out(&line);
    }
    unlock();
}
