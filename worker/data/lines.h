/*
 * The lines of a file, checked to be UTF-8: without line end ("\n" or "\r\n") and byte order mark,
 * zero-terminated, in constant memory.  One thread.
 */
#ifndef SB_LINES_H
#define SB_LINES_H

#include "bytes.h"
#include "err.h"
#include "stream.h"

#include <stdbool.h>
#include <stdint.h>

enum { SB_MAX_LINE_BYTES = 16 << 20 };

struct sb_lines {
    struct sb_stream *stream; /* NULL: closed */
    char *path;               /* as it is named in errors */
    bool lenient;             /* broken bytes become U+FFFD */
    uint64_t number;          /* of the line last given, from 1 */
    uint64_t replaced;        /* bytes that became U+FFFD; goes on from file to file */

    char *text; /* the line last given; may be written to until the next one */
    size_t bytes;
    bool returned; /* it ended with "\r\n" */
    bool held;     /* it is given once more */

    struct sb_bytes buffer; /* read and not yet given: from `start` on */
    size_t start;
    struct sb_bytes repaired;
    bool ended;
};

#define SB_LINES_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

int sb_lines_open(struct sb_lines *lines, const char *path, bool lenient, struct sb_err *err);
/* Ready for the next file. */
void sb_lines_close(struct sb_lines *lines);
void sb_lines_release(struct sb_lines *lines);

/* 1: a line in ->text; 0: the end; -1: trouble, with file, line and character. */
int sb_lines_next(struct sb_lines *lines, struct sb_err *err);
/* The next call of sb_lines_next gives the same line again. */
void sb_lines_hold(struct sb_lines *lines);

#endif
