/* The table of options.def at run time, for the files of this folder. */
#ifndef SB_CONFIG_ROWS_H
#define SB_CONFIG_ROWS_H

#include "config.h"
#include "flat_yaml.h"

enum sb_row_scope { SB_SCOPE_JOB, SB_SCOPE_PROCESS };

enum sb_row_type {
    SB_ROW_u32,
    SB_ROW_u64,
    SB_ROW_real,
    SB_ROW_flag,
    SB_ROW_text,
    SB_ROW_path,
    SB_ROW_word,
    SB_ROW_list,
    SB_ROW_names,
    SB_ROW_paths,
};

struct sb_row {
    const char *section; /* a heading, and nothing else is set; NULL in the row of a setting */
    const char *name;
    enum sb_row_scope scope;
    enum sb_row_type type;
    size_t offset;           /* of the member in struct sb_job */
    uint64_t whole[3];       /* u32, u64, flag: default, min, max */
    double real[3];          /* real: default, min, max */
    const char *text;        /* text, word: default, or "" */
    const char *words;       /* word: the words, separated by | */
    const char *unit, *help; /* unit may be "" */
};

extern const struct sb_row sb_rows[];
extern const size_t sb_row_count;

/* The row of a key, or NULL. */
const struct sb_row *sb_row_find(const char *key);
/* The key that was probably meant, or NULL. */
const char *sb_row_suggest(const char *key);

/*
 * Puts an entry into the job.  place is put in front of an error's sentence, with line and column
 * if it is the path of a file; folder is what relative paths are relative to, or NULL.
 */
struct sb_row_place {
    const char *name;
    const char *folder;
    bool has_lines;
};

int sb_row_assign(struct sb_job *job, const struct sb_row *row, const struct sb_flat_entry *entry,
                  const struct sb_row_place *place, struct sb_err *err);

/* The value as in the canonical text: bare numbers and words, JSON for texts and lists. */
void sb_row_print(struct sb_bytes *out, const struct sb_job *job, const struct sb_row *row);
/* The shortest decimal that reads back as the same double. */
void sb_real_print(struct sb_bytes *out, double value);

static inline void *sb_row_value(const struct sb_job *job, const struct sb_row *row)
{
    return (char *)(uintptr_t)job + row->offset;
}

/* Is word one of words, "a|b|c"? */
bool sb_word_is_one_of(const char *words, const char *word);

#endif
