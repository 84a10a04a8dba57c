#include "lazy_rows.h"

#include "arena.h"
#include "err.h"

#include <stdlib.h>
#include <string.h>

void sb_update_log_release(struct sb_update_log *log)
{
    free(log->updates);
    *log = (struct sb_update_log){0};
}

void sb_update_log_add(struct sb_update_log *log, const struct sb_adamw *update)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 256;
        log->updates = sb_realloc(log->updates, log->capacity * sizeof(*log->updates));
    }
    log->updates[log->count++] = *update;
}

uint64_t sb_update_log_end(const struct sb_update_log *log)
{
    return log->first + log->count;
}

void sb_update_log_cut(struct sb_update_log *log, uint64_t end)
{
    sb_assert(end >= log->first);
    size_t gone = (size_t)(end - log->first);
    if (gone >= log->count) {
        log->count = 0;
    } else {
        log->count -= gone;
        memmove(log->updates, log->updates + gone, log->count * sizeof(*log->updates));
    }
    log->first = end;
}

void sb_update_log_begin(struct sb_update_log *log, uint64_t first)
{
    log->count = 0;
    log->first = first;
}

static bool all_zero(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (x[i] != 0.0f)
            return false;
    return true;
}

void sb_lazy_rows_init(struct sb_lazy_rows *lazy, size_t rows, size_t cols, bool decay,
                       const float *m, const float *v, uint64_t seen)
{
    *lazy = (struct sb_lazy_rows){
        .seen = sb_calloc(rows, sizeof(*lazy->seen)),
        .at_rest = sb_calloc(rows, sizeof(*lazy->at_rest)),
        .rows = rows,
        .cols = cols,
        .decay = decay,
    };
    for (size_t row = 0; row < rows; row++) {
        lazy->seen[row] = seen;
        lazy->at_rest[row] = all_zero(m + row * cols, cols) && all_zero(v + row * cols, cols);
    }
}

void sb_lazy_rows_release(struct sb_lazy_rows *lazy)
{
    free(lazy->seen);
    free(lazy->at_rest);
    *lazy = (struct sb_lazy_rows){0};
}

/*
 * With both moments zero an update is w * keep - 0, of which only the product is left: nothing at
 * all without decay. Most rows of a vocabulary are of this kind, and this is an order of magnitude
 * less work.
 */
static void replay_at_rest(float *w, size_t count, const struct sb_adamw *updates,
                           size_t update_count)
{
    for (size_t u = 0; u < update_count; u++) {
        float keep = updates[u].keep;
        for (size_t i = 0; i < count; i++)
            w[i] *= keep;
    }
}

void sb_lazy_rows_replay(struct sb_lazy_rows *lazy, float *w, float *m, float *v, size_t row,
                         const struct sb_update_log *log)
{
    uint64_t end = sb_update_log_end(log);
    if (lazy->seen[row] == end)
        return;
    sb_assert(lazy->seen[row] >= log->first && lazy->seen[row] < end);
    size_t at = row * lazy->cols;
    const struct sb_adamw *updates = log->updates + (lazy->seen[row] - log->first);
    size_t update_count = (size_t)(end - lazy->seen[row]);
    if (!lazy->at_rest[row]) {
        for (size_t u = 0; u < update_count; u++) {
            struct sb_adamw update = updates[u];
            if (!lazy->decay)
                update.keep = 1.0f;
            sb_adamw_apply(w + at, m + at, v + at, w + at, NULL, lazy->cols, &update);
        }
    } else if (lazy->decay) {
        replay_at_rest(w + at, lazy->cols, updates, update_count);
    }
    lazy->seen[row] = end;
}

void sb_lazy_rows_skip(struct sb_lazy_rows *lazy)
{
    for (size_t row = 0; row < lazy->rows; row++)
        lazy->seen[row]++;
}

void sb_lazy_rows_moved(struct sb_lazy_rows *lazy, size_t row)
{
    lazy->seen[row]++;
    lazy->at_rest[row] = false;
}
