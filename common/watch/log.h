/*
 * What a person or a program is told while the program runs, all of it on stderr.
 *
 *   lines     event=train step=120 loss=3.4127 tokens_per_second=812     not on a terminal, or
 * "text" JSON      {"time":..., "event":"train", "step":120, ...}             "json", one object a
 * line progress  train 120/1000 12% loss 3.4127 812 tokens/s 4:31 left      on a terminal, redrawn
 * in place trouble   shardbert: cannot open 'x': No such file or directory      always
 *
 * There is one log in a process, because there is one stderr.  Its functions may be called by any
 * thread: a mutex orders them, and every line is one write, so that the lines of several
 * processes do not mix.  Before sb_log_open the format is "auto".
 */
#ifndef SB_LOG_H
#define SB_LOG_H

#include "err.h"
#include "fields.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_log_options {
    const char *format; /* auto, text, json or quiet, as the setting log_format; NULL: auto */
    const char *role;   /* named in every line; NULL: in none */
    uint32_t index;     /* of the process in its role */
    int fd;             /* where to; 0: stderr */
};

void sb_log_open(const struct sb_log_options *options);

/* Something that happened: a checkpoint, a member that came.  event may be NULL. */
#define sb_log_event(event, ...) sb_log_fields((event), SB_FIELDS(__VA_ARGS__))
void sb_log_fields(const char *event, const struct sb_field *fields, size_t count);

/* As sb_log_event for what comes again and again; where a progress line says it, no line is added.
 */
#define sb_log_report(event, ...) sb_log_report_fields((event), SB_FIELDS(__VA_ARGS__))
void sb_log_report_fields(const char *event, const struct sb_field *fields, size_t count);

/* "shardbert: <sentence>"; in JSON an object with level warning or error. */
void sb_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sb_log_error(const struct sb_err *err);

/*
 * Something that happened, told in a sentence: on a terminal the sentence alone, elsewhere a line
 * with the event, its fields, and the sentence as its text.
 */
enum sb_log_level { SB_LOG_INFO, SB_LOG_WARNING };
void sb_log_notice(const char *event, enum sb_log_level level, const char *sentence,
                   const struct sb_field *fields, size_t count);

/* "waits for the coordinator at ADDRESS, ...", which gives up after limit_s (join_timeout_s). */
void sb_log_waiting(const char *address, double seconds, double limit_s);

/* Lines for a person, a table for instance, on a terminal only: elsewhere the same is an event. */
bool sb_log_is_terminal(void);
void sb_log_table(const char *text);

/*
 * The progress of a phase.  Life: begin, any number of shows, end; one phase at a time.  On a
 * terminal it is drawn at most ten times a second; elsewhere, if report_seconds is not 0, an event
 * named like the phase is written at most that often, with done, total and the rate.
 */
struct sb_progress {
    const char *phase; /* borrowed */
    uint64_t total;
    uint64_t first_done; /* at the beginning: what is left of a resumed run is not done yet */
    uint64_t began_ns, shown_ns;
    unsigned report_seconds;
};

void sb_progress_begin(struct sb_progress *progress, const char *phase, uint64_t done,
                       uint64_t total, unsigned report_seconds);
/* loss NAN: there is none; rate: units a second, or NAN. */
void sb_progress_show(struct sb_progress *progress, uint64_t done, double loss, double rate,
                      const char *unit);
/* Draws the last state and leaves it standing. */
void sb_progress_end(struct sb_progress *progress);

/* "4:31", "1:04:31" or "2d 03:04:31". */
void sb_log_duration(char *out, size_t out_bytes, double seconds);

#endif
