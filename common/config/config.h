/*
 * Settings.  Every one is a row of options.def; from it come the job file's keys, --set,
 * environment names (SHARDBERT_<KEY>), --help and the reference page.  JOB rows fix the numerics:
 * they are hashed, compared when a peer joins, and kept in the checkpoint; PROCESS rows may differ
 * per peer.
 *
 * Order: default < job file < environment (PROCESS rows only) < --set and named options.
 *
 *     struct sb_job job;
 *     sb_job_init(&job);
 *     if (sb_job_read(&job, path, err) == 0 && sb_job_environment(&job, err) == 0 &&
 *         sb_job_set(&job, "batch_size=16", err) == 0 && sb_job_check(&job, err) == 0)
 *         train(job.batch_size, job.train_file.items[0]);
 *     sb_job_release(&job);
 *
 * Codes: SB_ERR_NO_INPUT for a file that is missing, SB_ERR_CONFIG for what a job file, an
 * environment value or a value of --set says wrongly, SB_ERR_USAGE for a --set that is no
 * key=value or names no key.
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

/* Where the value of a row comes from. */
struct sb_origin {
    enum { SB_BY_DEFAULT, SB_BY_FILE, SB_BY_ENVIRONMENT, SB_BY_COMMAND } source;
    uint32_t line, column; /* of the key in the job file, from 1; otherwise 0 */
    const char *file;      /* that the line is of, borrowed; NULL: the job file */
};

struct sb_job {
    /*
     * One member per row of options.def, named like the key.  A text, word or path that is not set
     * is NULL, never empty; a list that is not set has no items.
     */
#define SB_OPT_u32(name)               uint32_t name;
#define SB_OPT_u64(name)               uint64_t name;
#define SB_OPT_real(name)              double name;
#define SB_OPT_flag(name)              bool name;
#define SB_OPT_text(name)              char *name;
#define SB_OPT_path(name)              char *name;
#define SB_OPT_word(name)              char *name;
#define SB_OPT_list(name)              struct sb_list name;
#define SB_OPT_names(name)             struct sb_list name;
#define SB_OPT_paths(name)             struct sb_list name;
#define SB_OPT(scope, name, type, ...) SB_OPT_##type(name)
#include "options.def"
#undef SB_OPT
    char *job_path;            /* the job file, or NULL */
    struct sb_origin *origins; /* by row */
};

void sb_job_init(struct sb_job *job);
void sb_job_release(struct sb_job *job);

/*
 * Reads a job file: one flat YAML mapping.  Errors name file, line and column.  Relative paths are
 * relative to the file's folder.
 */
int sb_job_read(struct sb_job *job, const char *path, struct sb_err *err);
/*
 * One entry of a file that holds settings besides other things (a stage of a pipeline).  file and
 * folder (of the file, as of sb_path_folder) are borrowed for the life of the job; errors name
 * file, line and column.
 */
struct sb_flat_entry;
int sb_job_take(struct sb_job *job, const struct sb_flat_entry *entry, const char *file,
                const char *folder, struct sb_err *err);
/* "key=value", as on the command line: the value is YAML; paths are relative to the working folder.
 */
int sb_job_set(struct sb_job *job, const char *assignment, struct sb_err *err);
/* Takes SHARDBERT_<KEY> for the PROCESS rows; refuses it for JOB rows, ignores empty ones. */
int sb_job_environment(struct sb_job *job, struct sb_err *err);

/* Gives what nobody has set the defaults of the task, where it has other ones than the table. After
 * all sources, before the check. */
void sb_job_settle(struct sb_job *job);
/* Combinations: what is required is there, what excludes each other is not.  After all sources. */
int sb_job_check(const struct sb_job *job, struct sb_err *err);
/* For what only the model or the data can tell of a setting: puts in front of the sentence in err
 * where its value comes from, like "job.yaml:7:17".  Returns -1. */
int sb_job_place(const struct sb_job *job, const char *key, struct sb_err *err);
/* The model, tokenizer and data that the job names are there (for who reads them: not for servers).
 */
int sb_job_check_inputs(const struct sb_job *job, struct sb_err *err);

/* The tasks that read this setting, "classify|ner" say, where not all do and this one does not;
 * else NULL.  For commands whose options are settings. */
const char *sb_job_key_tasks(const char *key, const char *task);

/* Behind the name of a model that is not there: it may be one of Hugging Face's hub. */
#define SB_NO_HUB_HINT                                                                             \
    "; a model is a folder, not a name on a hub: put its config.json, vocab.txt and "              \
    "model.safetensors into one"

/* Was this row set by anyone?  A key that is no row is a bug. */
bool sb_job_given(const struct sb_job *job, const char *key);

/* The canonical text, "key=value\n" of all JOB rows in table order: hashed, sent, kept, compared.
 */
void sb_job_canonical(const struct sb_job *job, struct sb_bytes *out);
/*
 * The first difference of two canonical texts as a sentence, like "batch_size is 32 here, 16
 * there"; false if they are equal.  theirs may come from a peer or a file: nothing in it is
 * trusted.
 */
bool sb_job_difference(const char *ours, const char *theirs, char *sentence, size_t sentence_bytes);

/* The reference page in Markdown, and the list of settings of --help. */
void sb_job_reference(struct sb_bytes *out);
void sb_job_help(struct sb_bytes *out);

#endif
