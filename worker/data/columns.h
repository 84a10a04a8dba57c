/* Which column of a table is the text, which its pair, which the label. */
#ifndef SB_COLUMNS_H
#define SB_COLUMNS_H

#include "err.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>

struct sb_field {
    char *text; /* zero-terminated */
    size_t bytes;
};

struct sb_columns {
    size_t count; /* that every row has */
    size_t text, pair, label;
    bool has_pair, has_label;
    size_t negatives[SB_NEGATIVES_MAX]; /* [negative_count] */
    size_t negative_count;
};

/* What the two texts of a pair are called where no setting says so; NULL ends the list. */
extern const struct sb_pair_names {
    const char *anchor, *positive;
} sb_pair_names[];
/* What its score may be called; NULL ends the list. */
extern const char *const sb_score_names[];

/* A column that is not just a number has a name, and names stand in a header. */
bool sb_columns_need_header(const struct sb_reader_options *options);

/*
 * From the settings and the first row, which is the header or the first record.  Without settings:
 * a single column is the text; of two, the first is the label and the second the text; with a
 * header also the columns named text (or sentence1 and sentence2) and label.  A label is looked for
 * only if the options ask for one. SB_ERR_DATA names a column that is not there, and those that
 * are.
 */
int sb_columns_resolve(struct sb_columns *columns, const struct sb_reader_options *options,
                       const struct sb_field *row, size_t count, bool header, struct sb_err *err);

/*
 * The same for pairs, alone, with a score or with negatives.  Without settings: with a header the
 * columns of sb_pair_names, of sb_score_names, and those named negative or negative_1, negative_2
 * ...; else of two columns the first is the anchor and the second its positive, and a third is a
 * score if it is a number in this row, else a negative.
 */
int sb_columns_resolve_pairs(struct sb_columns *columns, const struct sb_reader_options *options,
                             const struct sb_field *row, size_t count, bool header,
                             struct sb_err *err);

#endif
