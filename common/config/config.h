/*
 * Settings.  Every one is a row of options.def; from it come the job file's keys, --set, environment names
 * (SHARDBERT_<KEY>), --help and the reference page.  JOB rows fix the numerics: they are hashed, compared when a
 * peer joins, and kept in the checkpoint; PROCESS rows may differ per peer.
 *
 * Order: default < job file < environment (PROCESS rows only) < --set and named options.
 */
#ifndef SB_CONFIG_H
#define SB_CONFIG_H

#include "bytes.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_list {
    char **items;
    size_t count;
};

struct sb_job {
    /* One member per row of options.def, named like the key: uint32_t/uint64_t, double, bool, char * (NULL: not
     * set), struct sb_list, or an int (enumeration). */
#define SB_OPT_u32(name) uint32_t name;
#define SB_OPT_u64(name) uint64_t name;
#define SB_OPT_real(name) double name;
#define SB_OPT_flag(name) bool name;
#define SB_OPT_text(name) char *name;
#define SB_OPT_path(name) char *name;
#define SB_OPT_list(name) struct sb_list name;
#define SB_OPT_paths(name) struct sb_list name;
#define SB_OPT_word(name) char *name;
#define SB_OPT(scope, name, type, ...) SB_OPT_##type(name)
#include "options.def"
#undef SB_OPT
    char *job_path;   /* the job file, or NULL */
    bool *given;      /* by row: set by the user, not defaulted */
};

void sb_job_init(struct sb_job *job);
void sb_job_release(struct sb_job *job);
/* SB_ERR_NO_INPUT: missing; SB_ERR_CONFIG: with file, line and column.  Relative paths become relative to the file's folder. */
int sb_job_read(struct sb_job *job, const char *path, struct sb_err *err);
/* "key=value", as on the command line: values are YAML; paths are relative to the working directory. */
int sb_job_set(struct sb_job *job, const char *assignment, struct sb_err *err);
int sb_job_environment(struct sb_job *job, struct sb_err *err);
/* Combinations: required keys present, ranges across keys.  After all sources are in. */
int sb_job_check(const struct sb_job *job, struct sb_err *err);
bool sb_job_given(const struct sb_job *job, const char *key);

/* Canonical text "key=value\n" of all JOB rows, in table order: hashed, sent in HELLO, kept in the manifest. */
void sb_job_canonical(const struct sb_job *job, struct sb_bytes *out);
/* First difference of two canonical texts as a sentence; false if they are equal. */
bool sb_job_difference(const char *ours, const char *theirs, char *sentence, size_t sentence_bytes);
/* The reference page in Markdown, and the --help text. */
void sb_job_reference(struct sb_bytes *out);

#endif
