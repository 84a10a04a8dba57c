/*
 * Rows that are updated only when somebody looks.
 *
 * AdamW moves every row at every step, also one whose gradient is zero.  In a row-sparse part such
 * rows are left alone; a row that is read or gets a gradient first replays the updates that it
 * missed, one by one, with the kernel and the constants of those steps.  So weights and moments
 * equal those of a dense run bit for bit.
 *
 * The log of constants is one for all parts of a shard.  It is cut whenever all rows are up to date
 * (each checkpoint).
 */
#ifndef SB_LAZY_ROWS_H
#define SB_LAZY_ROWS_H

#include "adamw.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The updates that were applied: number first .. first + count - 1, counted from 0. */
struct sb_update_log {
    struct sb_adamw *updates;
    uint64_t first;
    size_t count, capacity;
};

void sb_update_log_release(struct sb_update_log *log);
void sb_update_log_add(struct sb_update_log *log, const struct sb_adamw *update);
/* One more than the number of the newest update. */
uint64_t sb_update_log_end(const struct sb_update_log *log);
/* Forgets all updates before end: every row has seen them. */
void sb_update_log_cut(struct sb_update_log *log, uint64_t end);

/* Empties it: the next update has this number. */
void sb_update_log_begin(struct sb_update_log *log, uint64_t first);

struct sb_lazy_rows {
    uint64_t *seen; /* [rows] updates that the row contains */
    bool *at_rest;  /* [rows] both moments are zero: it never had a gradient */
    size_t rows, cols;
    bool decay; /* weight decay applies */
};

/* All rows contain `seen` updates; those whose m and v are zero are at rest. */
void sb_lazy_rows_init(struct sb_lazy_rows *lazy, size_t rows, size_t cols, bool decay,
                       const float *m, const float *v, uint64_t seen);
void sb_lazy_rows_release(struct sb_lazy_rows *lazy);

/* Brings one row up to date with the log.  w, m, v [rows, cols] */
void sb_lazy_rows_replay(struct sb_lazy_rows *lazy, float *w, float *m, float *v, size_t row,
                         const struct sb_update_log *log);
/* The next update is none of these rows': all are up to date, and stay so. */
void sb_lazy_rows_skip(struct sb_lazy_rows *lazy);
/* Notes that the row, which was up to date, has had the next update with a gradient. */
void sb_lazy_rows_moved(struct sb_lazy_rows *lazy, size_t row);

#endif
