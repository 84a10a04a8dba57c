/*
 * Files: whole reads, read-only maps, and writes that are either there completely or not at all
 * (temporary name, fsync, rename, fsync of the folder).
 */
#ifndef SB_FILE_H
#define SB_FILE_H

#include "bytes.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SB_PATH_BYTES 4096

struct sb_map {
    const uint8_t *data;
    size_t bytes;
};

#define SB_MAP_INIT                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

bool sb_file_exists(const char *path);
bool sb_dir_exists(const char *path);
/* SB_ERR_NO_INPUT when the file is missing or is a folder, SB_ERR_IO otherwise. */
int sb_file_read(struct sb_bytes *out, const char *path, struct sb_err *err);
int sb_file_map(struct sb_map *map, const char *path, struct sb_err *err);
void sb_file_unmap(struct sb_map *map);
int sb_file_write_atomic(const char *path, const void *data, size_t bytes, struct sb_err *err);

/* Writing in pieces: begin, write to ->stream, then commit or abort.  Abort after commit is
 * harmless. */
struct sb_file_writer {
    FILE *stream; /* NULL when closed */
    char path[SB_PATH_BYTES];
    char temporary[SB_PATH_BYTES + 32];
};

#define SB_FILE_WRITER_INIT                                                                        \
    {                                                                                              \
        0                                                                                          \
    }

int sb_file_writer_begin(struct sb_file_writer *writer, const char *path, struct sb_err *err);
int sb_file_writer_commit(struct sb_file_writer *writer, struct sb_err *err);
void sb_file_writer_abort(struct sb_file_writer *writer);

/* Makes the folder and its parents; their names are on the disk when it returns. */
int sb_dir_make(const char *path, struct sb_err *err);
int sb_dir_sync(const char *path, struct sb_err *err);
/* Removes a folder and all that is in it; a missing one is fine. */
int sb_dir_remove(const char *path, struct sb_err *err);

/* "folder/name", or name alone if it is absolute or folder is NULL or empty.  Returns out. */
char *sb_path_join(char out[SB_PATH_BYTES], const char *folder, const char *name);
/* The folder part of a path ("." if it has none). */
char *sb_path_folder(char out[SB_PATH_BYTES], const char *path);

#endif
