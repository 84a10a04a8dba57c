#include "interval.h"

#include "arena.h"
#include "err.h"
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

void sb_percentile_interval(double *low, double *high, double *values, size_t count, double tail)
{
    qsort(values, count, sizeof(*values), by_value);
    *low = percentile(values, count, tail);
    *high = percentile(values, count, 1 - tail);
}

double sb_bootstrap_tail(size_t block_count)
{
    double n = (double)block_count, v = n - 1;
    double t =
        z + (pow(z, 3) + z) / (4 * v) + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * v * v);
    return 0.5 * erfc(sqrt(n / v) * t / M_SQRT2);
}

/* ---- draws ---- */

/* The examples are laid out one by one up to here; CELL_NORMAL and more of a cell are as good as
 * normal. */
enum { LAID_OUT_MAX = 16384, CELL_NORMAL = 64 };

bool sb_confusion_draws_init(struct sb_confusion_draws *draws, const double *confusion, size_t K,
                             uint64_t seed)
{
    double sum = 0;
    *draws = (struct sb_confusion_draws){.confusion = confusion, .cell_count = K * K};
    for (size_t c = 0; c < draws->cell_count; c++)
        sum += confusion[c];
    if (!(sum >= 1 && sum <= 0x1p31) || draws->cell_count > UINT32_MAX)
        return false;
    draws->rng = sb_rng_key(seed, SB_RNG_SAMPLE, 0);
    if (sum > LAID_OUT_MAX)
        return true;
    uint32_t end = (uint32_t)sum;
    draws->cells = sb_alloc(end * sizeof(*draws->cells));
    for (size_t c = 0; c < draws->cell_count; c++)
        for (double i = 0; i < confusion[c] && draws->n < end; i++)
            draws->cells[draws->n++] = (uint32_t)c;
    return true;
}

void sb_confusion_draws_release(struct sb_confusion_draws *draws)
{
    free(draws->cells);
    *draws = (struct sb_confusion_draws){0};
}

/* By the inverse of the distribution; the loop has an end also where rounding leaves a gap. */
static double poisson(double mean, const uint32_t words[4])
{
    if (mean >= CELL_NORMAL) {
        double radius = sqrt(-2 * log(sb_rng_unit(words[0])));
        return fmax(0, rint(mean + sqrt(mean) * radius * cos(2 * M_PI * sb_rng_unit(words[1]))));
    }
    double left = sb_rng_unit(words[0]), share = exp(-mean), count = 0;
    while (left > share && count < 4 * CELL_NORMAL) {
        left -= share;
        share *= mean / ++count;
    }
    return count;
}

void sb_confusion_draw(double *matrix, const struct sb_confusion_draws *draws, uint32_t number)
{
    uint32_t words[4];
    memset(matrix, 0, draws->cell_count * sizeof(*matrix));
    for (uint32_t i = 0; i < draws->n;) {
        sb_rng_draw(&draws->rng, number, 0, i / 4, words);
        for (size_t k = 0; k < 4 && i < draws->n; k++, i++)
            matrix[draws->cells[sb_rng_below(words[k], draws->n)]]++;
    }
    for (size_t c = 0; !draws->cells && c < draws->cell_count; c++) {
        if (!(draws->confusion[c] > 0))
            continue;
        sb_rng_draw(&draws->rng, number, 0, (uint32_t)c, words);
        matrix[c] = poisson(draws->confusion[c], words);
    }
}

void sb_block_draw(double *sums, const double *blocks, size_t block_count, size_t width,
                   uint64_t seed, uint32_t number)
{
    struct sb_rng rng = sb_rng_key(seed, SB_RNG_SAMPLE, 0);
    memset(sums, 0, width * sizeof(*sums));
    for (size_t i = 0; i < block_count;) {
        uint32_t words[4];
        sb_rng_draw(&rng, number, 1, (uint32_t)(i / 4), words);
        for (size_t k = 0; k < 4 && i < block_count; k++, i++) {
            const double *block = blocks + sb_rng_below(words[k], (uint32_t)block_count) * width;
            for (size_t w = 0; w < width; w++)
                sums[w] += block[w];
        }
    }
}

/* ---- scores of a confusion matrix ---- */

struct sb_interval sb_interval_bootstrap(const double *confusion, size_t K, const char *name,
                                         uint64_t seed)
{
    struct sb_interval interval = {0};
    struct sb_scores scores;
    struct sb_confusion_draws draws;
    double first;
    sb_scores_from_confusion(&scores, confusion, K);
    if (!sb_scores_get(&first, &scores, name) ||
        !sb_confusion_draws_init(&draws, confusion, K, seed))
        return interval;
    double *matrix = sb_alloc(K * K * sizeof(*matrix));
    double *values = sb_alloc(SB_BOOTSTRAP_DRAWS * sizeof(*values));
    for (uint32_t draw = 0; draw < SB_BOOTSTRAP_DRAWS; draw++) {
        sb_confusion_draw(matrix, &draws, draw);
        sb_scores_from_confusion(&scores, matrix, K);
        sb_scores_get(&values[draw], &scores, name);
    }
    sb_percentile_interval(&interval.low, &interval.high, values, SB_BOOTSTRAP_DRAWS, 0.025);
    interval.method = "bootstrap";
    free(values);
    free(matrix);
    sb_confusion_draws_release(&draws);
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
