/*
 * The bytes of a file or of standard input ("-"), decompressed on the way: gzip, xz and Zstandard,
 * known by their first bytes, or else by the ending of the name.  One thread.
 */
#ifndef SB_STREAM_H
#define SB_STREAM_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

struct sb_stream;

/* SB_ERR_NO_INPUT: missing or a folder; SB_ERR_IO otherwise. */
int sb_stream_open(struct sb_stream **stream, const char *path, struct sb_err *err);
void sb_stream_free(struct sb_stream **stream);

/*
 * Fills out as far as there is input: *count < bytes only at the end, 0 behind it.  SB_ERR_DATA:
 * compressed data that are damaged or end too early.
 */
int sb_stream_read(struct sb_stream *stream, void *out, size_t bytes, size_t *count,
                   struct sb_err *err);

/* Bytes of the file taken so far, before decompression. */
uint64_t sb_stream_done(const struct sb_stream *stream);

/* The length of a name without .gz, .xz or .zst (all of it where there is none of them). */
size_t sb_stream_stem(const char *path);

#endif
