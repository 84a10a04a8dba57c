/*
 * Records from files, one after the other, in constant memory.
 *
 * A source is a list of paths and globs ("-": standard input), plain, .gz, .xz or .zst; text (one
 * record a line), .tsv (no quoting), .csv (RFC 4180), .jsonl/.json.  The format follows from the
 * name without its compression suffix; unknown endings are text for mlm; for labelled tasks a first
 * line with a tab means tsv.
 *
 * Which columns are meant where the options do not say: columns.h.  JSON lines: text, or sentence1
 * and sentence2; label.  Pairs: the names of columns.h; "negative" may also be a list of texts.
 *
 * Errors name file, line (from 1) and column where there is one; broken UTF-8 is SB_ERR_DATA unless
 * lenient (then U+FFFD, counted).  A line above 16 MiB is an error.
 */
#ifndef SB_READER_H
#define SB_READER_H

#include "bytes.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the label of a record is. */
enum sb_label_form {
    SB_LABEL_CLASS, /* one class */
    SB_LABEL_SET, /* any number of classes: a list in JSON, else one cell, cut at label_separator */
    SB_LABEL_SCORE, /* a number */
};
/* Between the classes of a set, in sb_record.label. */
#define SB_LABEL_SEPARATOR '\x1f'

enum { SB_NEGATIVES_MAX = 64 };

struct sb_text_part {
    const char *text; /* UTF-8 */
    size_t bytes;
};

struct sb_reader_options {
    char *const *paths;
    size_t path_count;
    bool labelled;                /* records have a label column */
    const char *text_column;      /* name, or number from 0; NULL: by the rules of the format */
    const char *text_pair_column; /* NULL: none */
    const char *label_column;
    enum sb_label_form label_form;
    const char *label_separator; /* SB_LABEL_SET; NULL: a comma */
    bool pairs; /* records are pairs of texts, alone, with a score as their label, or with
                   negatives; labelled is not asked */
    const char *negative_column;
    bool header;
    bool lenient;
};

struct sb_record {
    const char *text; /* UTF-8, zero-terminated; valid until the next read */
    size_t text_bytes;
    const char *text_pair; /* NULL if there is none */
    size_t text_pair_bytes;
    const char *label; /* NULL if there is none; numbers of JSON are given as text; the classes of a
                          set are joined by SB_LABEL_SEPARATOR, and "" is a set of none */
    const struct sb_text_part *negatives; /* [negative_count] */
    size_t negative_count;
    bool blank; /* text files: an empty line, which ends a document */
    const char *path;
    uint64_t line;
};

struct sb_reader;

int sb_reader_open(struct sb_reader **reader, const struct sb_reader_options *options,
                   struct sb_err *err);
/* 1: a record; 0: the end; -1: trouble. */
int sb_reader_next(struct sb_reader *reader, struct sb_record *record, struct sb_err *err);
void sb_reader_free(struct sb_reader **reader);
/* Bytes of input read so far and in all (0 if unknown), for progress lines; and replaced
 * characters. */
void sb_reader_progress(const struct sb_reader *reader, uint64_t *done, uint64_t *total,
                        uint64_t *replaced);

/* Expands globs, keeps the given order, sorts within a glob.  A path or glob that matches nothing
 * is SB_ERR_NO_INPUT. */
int sb_paths_expand(char ***paths, size_t *count, char *const *patterns, size_t pattern_count,
                    struct sb_err *err);
void sb_paths_free(char ***paths, size_t *count);
/* Their size in all; 0 if one of them is not a plain file. */
uint64_t sb_paths_bytes(char *const *paths, size_t count);

/* -1 if text is valid UTF-8, else the byte of the first fault. */
ptrdiff_t sb_utf8_check(const char *text, size_t bytes);

#endif
