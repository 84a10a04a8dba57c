#include "lines.h"

#include "arena.h"
#include "reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 256 << 10 };

static const char byte_order_mark[] = "\xef\xbb\xbf";

int sb_lines_open(struct sb_lines *lines, const char *path, bool lenient, struct sb_err *err)
{
    sb_lines_close(lines);
    if (sb_stream_open(&lines->stream, path, err) < 0)
        return -1;
    lines->path = sb_strdup(strcmp(path, "-") ? path : "standard input");
    lines->lenient = lenient;
    return 0;
}

void sb_lines_close(struct sb_lines *lines)
{
    sb_stream_free(&lines->stream);
    free(lines->path);
    lines->path = NULL;
    lines->number = lines->start = lines->bytes = 0;
    lines->held = lines->ended = false;
    sb_bytes_clear(&lines->buffer);
}

void sb_lines_release(struct sb_lines *lines)
{
    sb_lines_close(lines);
    sb_bytes_release(&lines->buffer);
    sb_bytes_release(&lines->repaired);
}

static int read_more(struct sb_lines *lines, struct sb_err *err)
{
    struct sb_bytes *buffer = &lines->buffer;
    size_t left = buffer->count - lines->start, got = 0;
    if (lines->start) {
        memmove(buffer->data, buffer->data + lines->start, left);
        buffer->count = left;
        lines->start = 0;
    }
    char *end = sb_bytes_reserve(buffer, READ_BYTES);
    if (sb_stream_read(lines->stream, end, READ_BYTES, &got, err) < 0)
        return -1;
    buffer->count += got;
    buffer->data[buffer->count] = 0;
    lines->ended = got < READ_BYTES;
    return 0;
}

/* Cuts the next line off the buffer: 1, 0 at the end, -1. */
static int cut(struct sb_lines *lines, struct sb_err *err)
{
    size_t searched = 0;
    char *line_end = NULL;
    for (;;) {
        size_t left = lines->buffer.count - lines->start;
        char *line = left ? lines->buffer.data + lines->start : NULL;
        if (left > searched)
            line_end = memchr(line + searched, '\n', left - searched);
        if ((line_end ? (size_t)(line_end - line) : left) > SB_MAX_LINE_BYTES)
            return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": the line is longer than 16 MiB",
                              lines->path, lines->number + 1);
        if (line_end || (lines->ended && left)) {
            lines->text = line;
            lines->bytes = line_end ? (size_t)(line_end - line) : left;
            lines->start += lines->bytes + (line_end ? 1 : 0);
            return 1;
        }
        if (lines->ended)
            return 0;
        searched = left;
        if (read_more(lines, err) < 0)
            return -1;
    }
}

/* Copies the line with each byte that belongs to no character replaced. */
static void repair(struct sb_lines *lines)
{
    struct sb_bytes *out = &lines->repaired;
    const char *at = lines->text;
    size_t left = lines->bytes;
    ptrdiff_t fault;
    sb_bytes_clear(out);
    while ((fault = sb_utf8_check(at, left)) >= 0) {
        sb_bytes_append(out, at, (size_t)fault);
        sb_bytes_append_text(out, "\xef\xbf\xbd");
        at += fault + 1;
        left -= (size_t)fault + 1;
        lines->replaced++;
    }
    sb_bytes_append(out, at, left);
    lines->text = out->data;
    lines->bytes = out->count;
}

static int check(struct sb_lines *lines, struct sb_err *err)
{
    ptrdiff_t fault = sb_utf8_check(lines->text, lines->bytes);
    if (fault < 0)
        return 0;
    if (lines->lenient) {
        repair(lines);
        return 0;
    }
    size_t column = 1;
    for (ptrdiff_t i = 0; i < fault; i++)
        column += ((unsigned char)lines->text[i] & 0xc0) != 0x80;
    return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ":%zu: byte 0x%02x is not UTF-8", lines->path,
                      lines->number, column, (unsigned char)lines->text[fault]);
}

int sb_lines_next(struct sb_lines *lines, struct sb_err *err)
{
    if (lines->held) {
        lines->held = false;
        return 1;
    }
    int rc = cut(lines, err);
    if (rc <= 0)
        return rc;
    if (!lines->number && lines->bytes >= 3 && !memcmp(lines->text, byte_order_mark, 3)) {
        lines->text += 3;
        lines->bytes -= 3;
    }
    lines->number++;
    lines->returned = lines->bytes && lines->text[lines->bytes - 1] == '\r';
    if (lines->returned)
        lines->bytes--;
    lines->text[lines->bytes] = 0;
    return check(lines, err) < 0 ? -1 : 1;
}

void sb_lines_hold(struct sb_lines *lines)
{
    lines->held = true;
}
