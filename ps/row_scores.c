#include "row_scores.h"

#include "arena.h"
#include "correlation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void set_score(json_t *results, const char *prefix, const char *name, double value,
                      struct sb_interval interval)
{
    char key[96];
    if (!isfinite(value))
        return;
    snprintf(key, sizeof(key), "%s%s", prefix, name);
    json_object_set_new(results, key, json_real(value));
    snprintf(key, sizeof(key), "%s%s_ci", prefix, name);
    if (interval.method)
        json_object_set_new(results, key, json_pack("[ff]", interval.low, interval.high));
}

static void add_correlations(json_t *results, const char *prefix, const double *rows, size_t count)
{
    double *said = sb_alloc((2 * count + 1) * sizeof(*said)), *right = said + count;
    for (size_t i = 0; i < count; i++) {
        said[i] = rows[SB_SCORED_ROW_WIDTH * i];
        right[i] = rows[SB_SCORED_ROW_WIDTH * i + 1];
    }
    double rho = sb_spearman(said, right, count), r = sb_pearson(said, right, count);
    set_score(results, prefix, "spearman", rho, sb_interval_spearman(rho, count));
    set_score(results, prefix, "pearson", r, sb_interval_pearson(r, count));
    free(said);
}

static void add_accuracy(json_t *results, const char *prefix, const double *rows, size_t count)
{
    size_t right = 0;
    for (size_t i = 0; i < SB_SCORED_ROW_WIDTH * count; i++)
        if (!isfinite(rows[i]))
            return; /* a model that blew up has no accuracy */
    for (size_t i = 0; i < count; i++)
        right += rows[SB_SCORED_ROW_WIDTH * i] > rows[SB_SCORED_ROW_WIDTH * i + 1];
    set_score(results, prefix, "accuracy", (double)right / (double)count,
              sb_interval_wilson((double)right, (double)count));
}

const char *sb_row_scores_add(json_t *results, const char *prefix, Sb__RowKind kind,
                              const double *rows, size_t count)
{
    if (kind == SB__ROW_KIND__ROW_SCORED) {
        add_correlations(results, prefix, rows, count);
        return "spearman and pearson by Fisher's z";
    }
    add_accuracy(results, prefix, rows, count);
    return "accuracy Wilson";
}
