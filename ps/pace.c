#include "pace.h"

#include "arena.h"
#include "nodes.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { OLD_STEPS = 500, HALVINGS = 40 };
#define WORTH 0.9 /* of the time of the even cut */

/* ---- what was measured ---- */

void sb_recent_add(struct sb_recent *recent, double value)
{
    recent->values[recent->count++ % SB_RECENT_COUNT] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sb_recent_median(const struct sb_recent *recent)
{
    double sorted[SB_RECENT_COUNT];
    size_t count = recent->count < SB_RECENT_COUNT ? recent->count : SB_RECENT_COUNT;
    if (count < SB_RECENT_LEAST)
        return 0;
    memcpy(sorted, recent->values, sizeof(sorted));
    qsort(sorted, count, sizeof(*sorted), compare_doubles);
    return sorted[count / 2];
}

void sb_pace_add(struct sb_pace *pace, double tokens, double seconds)
{
    if (!(tokens > 0) || !(seconds > 1e-9) || !isfinite(tokens) || !isfinite(seconds))
        return;
    pace->tokens += tokens;
    pace->seconds += seconds;
}

void sb_pace_end_step(struct sb_pace *pace)
{
    if (pace->seconds > 0) {
        sb_recent_add(&pace->speeds, pace->tokens / pace->seconds);
        pace->idle_steps = 0;
    } else if (++pace->idle_steps >= OLD_STEPS) {
        *pace = (struct sb_pace){0};
    }
    pace->tokens = pace->seconds = 0;
}

/* ---- cutting ---- */

struct cut {
    uint64_t total;
    uint32_t slots;
    double node_seconds;
    const double *speeds; /* all known */
    size_t count;
};

static double run_seconds(const struct cut *cut, size_t worker, uint64_t first, uint64_t end)
{
    uint32_t nodes[64];
    if (first == end)
        return 0;
    double seconds = (double)(end - first) / cut->speeds[worker];
    if (cut->slots && cut->node_seconds > 0)
        seconds += cut->node_seconds *
                   (double)sb_nodes_of_run(nodes, cut->slots, (uint32_t)first, (uint32_t)end);
    return seconds;
}

/* The longest run that this worker can do in so many seconds. */
static uint64_t longest_run(const struct cut *cut, size_t worker, uint64_t first, double seconds)
{
    double most = seconds * cut->speeds[worker] * (1 + 1e-12);
    uint64_t left = cut->total - first,
             count = most >= (double)left ? left : (uint64_t)fmax(most, 0);
    while (count > 0 && run_seconds(cut, worker, first, first + count) > seconds * (1 + 1e-12))
        count--;
    return first + count;
}

static bool cut_within(uint64_t *ends, const struct cut *cut, double seconds)
{
    uint64_t first = 0;
    for (size_t i = 0; i < cut->count; i++)
        first = ends[i] = longest_run(cut, i, first, seconds);
    return first == cut->total;
}

static double last_done(const struct cut *cut, const uint64_t *ends)
{
    double last = 0;
    for (size_t i = 0; i < cut->count; i++)
        last = fmax(last, run_seconds(cut, i, i ? ends[i - 1] : 0, ends[i]));
    return last;
}

/* False: nothing is known. */
static bool fill_in(double *known, const double *speeds, size_t count)
{
    double sum = 0;
    size_t measured = 0;
    for (size_t i = 0; i < count; i++)
        if (speeds[i] > 0) {
            sum += speeds[i];
            measured++;
        }
    for (size_t i = 0; i < count && measured; i++)
        known[i] = speeds[i] > 0 ? speeds[i] : sum / (double)measured;
    return measured > 0;
}

void sb_pace_cut(uint64_t *ends, size_t count, uint64_t total, const double *speeds, uint32_t slots,
                 double node_seconds)
{
    uint64_t each = total / count, rest = total % count;
    for (size_t i = 0; i < count; i++)
        ends[i] = each * (i + 1) + rest * (i + 1) / count;
    double *known = sb_alloc(count * sizeof(*known));
    uint64_t *other = sb_alloc(count * sizeof(*other));
    if (count > 1 && total > 0 && fill_in(known, speeds, count)) {
        struct cut cut = {total, slots, node_seconds, known, count};
        double even = last_done(&cut, ends), low = 0, high = even * WORTH;
        bool better = cut_within(other, &cut, high);
        for (int i = 0; better && i < HALVINGS; i++) {
            double middle = (low + high) / 2;
            *(cut_within(other, &cut, middle) ? &high : &low) = middle;
        }
        if (better) {
            cut_within(other, &cut, high);
            memcpy(ends, other, count * sizeof(*ends));
        }
    }
    free(other);
    free(known);
}
