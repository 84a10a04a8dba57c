#include "interval.h"

#include "arena.h"
#include "err.h"
#include "rng.h"
#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The normal distribution's 97.5th percentile. */
static const double z = 1.959963984540054;

struct sb_interval sb_interval_wilson(double right, double n)
{
    if (!(n > 0))
        return (struct sb_interval){0, 1, "Wilson"};
    double p = right / n;
    double middle = p + z * z / (2 * n);
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    double scale = 1 + z * z / n;
    return (struct sb_interval){fmax(0, (middle - half) / scale), fmin(1, (middle + half) / scale),
                                "Wilson"};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of the sorted values lies, linear between two. */
static double percentile(const double *sorted, size_t count, double share)
{
    double place = share * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

/* Fills cells [sum] with the cell of each example; returns the sum, 0 if it cannot be drawn from.
 */
static uint32_t lay_out(uint32_t **cells, const double *confusion, size_t cell_count)
{
    double sum = 0;
    *cells = NULL;
    for (size_t c = 0; c < cell_count; c++)
        sum += confusion[c];
    if (!(sum >= 1 && sum <= 0x1p31) || cell_count > UINT32_MAX)
        return 0;
    uint32_t used = 0, end = (uint32_t)sum;
    *cells = sb_alloc(end * sizeof(**cells));
    for (size_t c = 0; c < cell_count; c++)
        for (double i = 0; i < confusion[c] && used < end; i++)
            (*cells)[used++] = (uint32_t)c;
    return used;
}

static void draw_matrix(double *matrix, size_t cell_count, const uint32_t *cells, uint32_t n,
                        const struct sb_rng *rng, uint64_t draw)
{
    memset(matrix, 0, cell_count * sizeof(*matrix));
    for (uint32_t i = 0; i < n;) {
        uint32_t words[4];
        sb_rng_draw(rng, draw, 0, i / 4, words);
        for (size_t k = 0; k < 4 && i < n; k++, i++)
            matrix[cells[sb_rng_below(words[k], n)]]++;
    }
}

struct sb_interval sb_interval_bootstrap(const double *confusion, size_t K, const char *name,
                                         uint64_t seed)
{
    struct sb_interval interval = {0};
    struct sb_scores scores;
    double first;
    sb_scores_from_confusion(&scores, confusion, K);
    uint32_t *cells;
    uint32_t n = lay_out(&cells, confusion, K * K);
    if (!n || !sb_scores_get(&first, &scores, name)) {
        free(cells);
        return interval;
    }
    double *matrix = sb_alloc(K * K * sizeof(*matrix));
    double *values = sb_alloc(SB_BOOTSTRAP_DRAWS * sizeof(*values));
    struct sb_rng rng = sb_rng_key(seed, SB_RNG_SAMPLE, 0);
    for (size_t draw = 0; draw < SB_BOOTSTRAP_DRAWS; draw++) {
        draw_matrix(matrix, K * K, cells, n, &rng, draw);
        sb_scores_from_confusion(&scores, matrix, K);
        sb_scores_get(&values[draw], &scores, name);
    }
    qsort(values, SB_BOOTSTRAP_DRAWS, sizeof(*values), by_value);
    interval = (struct sb_interval){percentile(values, SB_BOOTSTRAP_DRAWS, 0.025),
                                    percentile(values, SB_BOOTSTRAP_DRAWS, 0.975), "bootstrap"};
    free(values);
    free(matrix);
    free(cells);
    return interval;
}

struct sb_interval sb_interval_of_score(const double *confusion, size_t K, const char *name,
                                        uint64_t seed)
{
    if (strcmp(name, "accuracy") != 0 && strcmp(name, "f1_micro") != 0)
        return sb_interval_bootstrap(confusion, K, name, seed);
    double right = 0, n = 0;
    for (size_t c = 0; c < K * K; c++) {
        n += confusion[c];
        right += c / K == c % K ? confusion[c] : 0;
    }
    return n > 0 ? sb_interval_wilson(right, n) : (struct sb_interval){0};
}
