/*
 * What the commands are asked, one request a line, from a file or standard input (also .gz, .xz,
 * .zst), in constant memory.
 *
 * A line that starts with `{` is a JSON object with `text` and perhaps `text_pair`, or with
 * `tokens`, where the command takes them; any other line is the text itself.  An empty line is an
 * empty text: every line gets its answer.
 */
#ifndef SB_REQUESTS_H
#define SB_REQUESTS_H

#include "lines.h"

#include <jansson.h>
#include <stddef.h>

struct sb_requests {
    struct sb_lines lines;
    bool takes_tokens; /* set by the command */
    json_t *object;    /* owns the texts of the request last read */
};

#define SB_REQUESTS_INIT                                                                           \
    {                                                                                              \
        .lines = SB_LINES_INIT                                                                     \
    }

struct sb_request {
    const char *text; /* valid UTF-8, until the next one is read */
    size_t text_bytes;
    const char *pair; /* NULL: none */
    size_t pair_bytes;
    const json_t *tokens; /* a list; then there is no text */
};

/* 1: a request; 0: the end; -1: trouble, with file and line. */
int sb_requests_next(struct sb_requests *requests, struct sb_request *request, struct sb_err *err);
void sb_requests_release(struct sb_requests *requests);

#endif
