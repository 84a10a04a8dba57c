#include "embed_losses.h"

#include "err.h"
#include "real.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const double SHORTEST = 1e-12;

/*
 * The rows as the metric sees them, and the derivative by that: unit vectors for the cosine, the
 * rows themselves for the Euclidean distance.  Losses add into d; finish() takes it back to x.
 */
struct view {
    const struct sb_embed_group *group;
    enum sb_embed_metric metric;
    size_t n, C;
    double *v;    /* [n, C] */
    double *norm; /* [n] of x; cosine only */
    double *d;    /* [n, C]; NULL: no gradient is asked for */
};

SB_KERNEL static double dot(const double *a, const double *b, size_t C)
{
    double lane[SB_LANES] = {0};
    size_t i = 0;
    for (; i + SB_LANES <= C; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += a[i + j] * b[i + j];
    for (int j = 0; i < C; i++, j++)
        lane[j] += a[i] * b[i];
    return sb_fold_lanes(lane);
}

SB_KERNEL static double distance2(const double *a, const double *b, size_t C)
{
    double lane[SB_LANES] = {0};
    size_t i = 0;
    for (; i + SB_LANES <= C; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += (a[i + j] - b[i + j]) * (a[i + j] - b[i + j]);
    for (int j = 0; i < C; i++, j++)
        lane[j] += (a[i] - b[i]) * (a[i] - b[i]);
    return sb_fold_lanes(lane);
}

/* y += factor * x */
SB_KERNEL static void add_scaled(double *y, const double *x, double factor, size_t C)
{
    for (size_t i = 0; i < C; i++)
        y[i] += factor * x[i];
}

static const double *row(const struct view *view, uint32_t r)
{
    sb_assert(r < view->n);
    return view->v + (size_t)r * view->C;
}

static struct view view_of(const struct sb_embed_group *group, enum sb_embed_metric metric,
                           struct sb_arena *arena)
{
    size_t n = group->n, C = group->C;
    struct view view = {.group = group, .metric = metric, .n = n, .C = C};
    view.v = sb_arena_array(arena, double, n *C);
    for (size_t i = 0; i < n * C; i++)
        view.v[i] = (double)group->x[i];
    if (group->dx) {
        view.d = sb_arena_array(arena, double, n *C);
        memset(view.d, 0, n * C * sizeof(*view.d));
    }
    if (metric != SB_EMBED_COSINE)
        return view;
    view.norm = sb_arena_array(arena, double, n);
    for (size_t r = 0; r < n; r++) {
        double *v = view.v + r * C;
        view.norm[r] = sqrt(dot(v, v, C));
        bool usable = view.norm[r] >= SHORTEST;
        for (size_t i = 0; i < C; i++)
            v[i] = usable ? v[i] / view.norm[r] : 0.0;
    }
    return view;
}

/* dx += d, or for the cosine the part of d across the row, over its length. */
static void finish(const struct view *view)
{
    size_t C = view->C;
    float *dx = view->group->dx;
    if (!dx)
        return;
    for (size_t r = 0; r < view->n; r++, dx += C) {
        double *d = view->d + r * C;
        const double *v = view->v + r * C;
        double scale = 1.0;
        if (view->metric == SB_EMBED_COSINE) {
            if (view->norm[r] < SHORTEST)
                continue;
            add_scaled(d, v, -dot(d, v, C), C);
            scale = 1.0 / view->norm[r];
        }
        for (size_t i = 0; i < C; i++)
            dx[i] += (float)(scale * d[i]);
    }
}

static double cosine(const struct view *view, uint32_t a, uint32_t b)
{
    return dot(row(view, a), row(view, b), view->C);
}

/* d += slope * d(cos(a, b)) */
static void push_cosine(const struct view *view, uint32_t a, uint32_t b, double slope)
{
    if (!view->d || slope == 0)
        return;
    size_t C = view->C;
    add_scaled(view->d + (size_t)a * C, row(view, b), slope, C);
    add_scaled(view->d + (size_t)b * C, row(view, a), slope, C);
}

static double distance(const struct view *view, uint32_t a, uint32_t b)
{
    if (view->metric == SB_EMBED_COSINE)
        return 1.0 - cosine(view, a, b);
    return sqrt(distance2(row(view, a), row(view, b), view->C));
}

/* d += slope * d(distance(a, b)), where the distance is length */
static void push_distance(const struct view *view, uint32_t a, uint32_t b, double length,
                          double slope)
{
    if (view->metric == SB_EMBED_COSINE) {
        push_cosine(view, a, b, -slope);
        return;
    }
    if (!view->d || length == 0)
        return;
    size_t C = view->C;
    double factor = slope / length;
    add_scaled(view->d + (size_t)a * C, row(view, a), factor, C);
    add_scaled(view->d + (size_t)a * C, row(view, b), -factor, C);
    add_scaled(view->d + (size_t)b * C, row(view, b), factor, C);
    add_scaled(view->d + (size_t)b * C, row(view, a), -factor, C);
}

/* ---- pairs ---- */

/* cos of every pair, in order. */
static double *cosines(const struct view *view, const struct sb_embed_pairs *pairs,
                       struct sb_arena *arena)
{
    double *cos = sb_arena_array(arena, double, pairs->count);
    for (size_t k = 0; k < pairs->count; k++)
        cos[k] = cosine(view, pairs->first[k], pairs->second[k]);
    return cos;
}

struct sb_embed_loss sb_loss_cosine(const struct sb_embed_group *group, struct sb_arena *arena,
                                    const struct sb_embed_pairs *pairs)
{
    struct sb_embed_loss sum = {.targets = (double)pairs->count};
    struct view view = view_of(group, SB_EMBED_COSINE, arena);
    for (size_t k = 0; k < pairs->count; k++) {
        uint32_t a = pairs->first[k], b = pairs->second[k];
        double off = cosine(&view, a, b) - (double)pairs->gold[k];
        sum.loss += off * off;
        push_cosine(&view, a, b, 2.0 * off);
    }
    finish(&view);
    return sum;
}

static double above_zero(double x)
{
    return x > 0 ? x : 0.0;
}

struct sb_embed_loss sb_loss_contrastive(const struct sb_embed_group *group, struct sb_arena *arena,
                                         const struct sb_embed_pairs *pairs, double margin)
{
    struct sb_embed_loss sum = {.targets = (double)pairs->count};
    struct view view = view_of(group, SB_EMBED_COSINE, arena);
    for (size_t k = 0; k < pairs->count; k++) {
        uint32_t a = pairs->first[k], b = pairs->second[k];
        double d = distance(&view, a, b), gold = (double)pairs->gold[k];
        double missing = above_zero(margin - d);
        sum.loss += 0.5 * (gold * d * d + (1.0 - gold) * missing * missing);
        push_distance(&view, a, b, d, gold * d - (1.0 - gold) * missing);
    }
    finish(&view);
    return sum;
}

struct spread {
    double min, max, mean;
    size_t count;
};

static struct spread spread_of(const double *cos, const struct sb_embed_pairs *pairs, bool alike)
{
    struct spread spread = {.min = INFINITY, .max = -INFINITY};
    double sum = 0;
    for (size_t k = 0; k < pairs->count; k++) {
        if ((pairs->gold[k] > 0.5f) != alike)
            continue;
        double d = 1.0 - cos[k];
        spread.min = d < spread.min ? d : spread.min;
        spread.max = d > spread.max ? d : spread.max;
        sum += d;
        spread.count++;
    }
    spread.mean = sum / (double)spread.count; /* NAN for none: nothing is hard against it */
    return spread;
}

struct sb_embed_loss sb_loss_online_contrastive(const struct sb_embed_group *group,
                                                struct sb_arena *arena,
                                                const struct sb_embed_pairs *pairs, double margin)
{
    struct sb_embed_loss sum = {.targets = pairs->count > 0};
    struct view view = view_of(group, SB_EMBED_COSINE, arena);
    const double *cos = cosines(&view, pairs, arena);
    struct spread alike = spread_of(cos, pairs, true), other = spread_of(cos, pairs, false);
    double alike_from = other.count > 1 ? other.min : alike.mean;
    double other_below = alike.count > 1 ? alike.max : other.mean;
    for (size_t k = 0; k < pairs->count; k++) {
        uint32_t a = pairs->first[k], b = pairs->second[k];
        double d = 1.0 - cos[k], missing = above_zero(margin - d);
        if (pairs->gold[k] > 0.5f && d > alike_from) {
            sum.loss += d * d;
            push_distance(&view, a, b, d, 2.0 * d);
        } else if (!(pairs->gold[k] > 0.5f) && d < other_below) {
            sum.loss += missing * missing;
            push_distance(&view, a, b, d, -2.0 * missing);
        }
    }
    finish(&view);
    return sum;
}

/*
 * With m the largest exponent (at least 0, which is that of the 1):  m + ln(e^-m + sum e^(.. - m)).
 * Pair i before pair j, i slowest.
 */
struct sb_embed_loss sb_loss_cosent(const struct sb_embed_group *group, struct sb_arena *arena,
                                    const struct sb_embed_pairs *pairs, double scale)
{
    struct sb_embed_loss sum = {.targets = pairs->count > 0};
    struct view view = view_of(group, SB_EMBED_COSINE, arena);
    size_t count = pairs->count;
    const double *cos = cosines(&view, pairs, arena);
    const float *gold = pairs->gold;
    double *slope = sb_arena_array(arena, double, count);
    double max = 0, total;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (gold[i] < gold[j] && scale * (cos[i] - cos[j]) > max)
                max = scale * (cos[i] - cos[j]);
    total = sb_exp_double_inline(-max);
    memset(slope, 0, count * sizeof(*slope));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (!(gold[i] < gold[j]))
                continue;
            double e = sb_exp_double_inline(scale * (cos[i] - cos[j]) - max);
            total += e;
            slope[i] += e;
            slope[j] -= e;
        }
    }
    sum.loss = max + log(total);
    for (size_t k = 0; k < count; k++)
        push_cosine(&view, pairs->first[k], pairs->second[k], scale * slope[k] / total);
    finish(&view);
    return sum;
}

/* ---- triplets ---- */

static void add_triplet(struct sb_embed_loss *sum, const struct view *view, uint32_t anchor,
                        uint32_t positive, uint32_t negative, double margin)
{
    double to_positive = distance(view, anchor, positive);
    double to_negative = distance(view, anchor, negative);
    double loss = to_positive - to_negative + margin;
    sum->targets += 1;
    if (!(loss > 0))
        return;
    sum->loss += loss;
    push_distance(view, anchor, positive, to_positive, 1.0);
    push_distance(view, anchor, negative, to_negative, -1.0);
}

struct sb_embed_loss sb_loss_triplet(const struct sb_embed_group *group, struct sb_arena *arena,
                                     const struct sb_embed_triplets *triplets,
                                     enum sb_embed_metric metric, double margin)
{
    struct sb_embed_loss sum = {.targets = 0};
    struct view view = view_of(group, metric, arena);
    for (size_t k = 0; k < triplets->count; k++)
        add_triplet(&sum, &view, triplets->anchor[k], triplets->positive[k], triplets->negative[k],
                    margin);
    finish(&view);
    return sum;
}

struct sb_embed_loss sb_loss_batch_hard(const struct sb_embed_group *group, struct sb_arena *arena,
                                        const int32_t *classes, enum sb_embed_metric metric,
                                        double margin)
{
    struct sb_embed_loss sum = {.targets = 0};
    struct view view = view_of(group, metric, arena);
    sb_assert(group->n <= UINT32_MAX);
    for (uint32_t anchor = 0; anchor < group->n; anchor++) {
        uint32_t positive = anchor, negative = anchor;
        double farthest = -INFINITY, nearest = INFINITY;
        if (classes[anchor] < 0)
            continue;
        for (uint32_t other = 0; other < group->n; other++) {
            if (other == anchor || classes[other] < 0)
                continue;
            double d = distance(&view, anchor, other);
            if (classes[other] == classes[anchor] && d > farthest) {
                farthest = d;
                positive = other;
            } else if (classes[other] != classes[anchor] && d < nearest) {
                nearest = d;
                negative = other;
            }
        }
        if (positive != anchor && negative != anchor)
            add_triplet(&sum, &view, anchor, positive, negative, margin);
    }
    finish(&view);
    return sum;
}

/* ---- ranking ---- */

static uint32_t candidate(const struct sb_embed_ranking *ranking, size_t j)
{
    return j < ranking->count ? ranking->positive[j] : ranking->negative[j - ranking->count];
}

static bool same_text(const struct sb_embed_ranking *ranking, uint32_t a, uint32_t b)
{
    return a == b || (ranking->texts && ranking->texts[a] == ranking->texts[b]);
}

static bool is_duplicate(const struct sb_embed_ranking *ranking, size_t i, size_t j)
{
    uint32_t text = candidate(ranking, j);
    if (i == j)
        return false;
    return same_text(ranking, text, ranking->anchor[i]) ||
           same_text(ranking, text, ranking->positive[i]) ||
           (j < ranking->count && same_text(ranking, ranking->anchor[j], ranking->anchor[i]));
}

/* One anchor: -ln softmax(z)[i]; z [M] is scratch. */
static double rank(const struct view *view, const struct sb_embed_ranking *ranking, size_t i,
                   double *z, size_t M, double scale)
{
    uint32_t anchor = ranking->anchor[i];
    double own = scale * cosine(view, anchor, ranking->positive[i]), max = own, total = 0;
    for (size_t j = 0; j < M; j++) {
        z[j] = is_duplicate(ranking, i, j) ? -INFINITY
                                           : scale * cosine(view, anchor, candidate(ranking, j));
        max = z[j] > max ? z[j] : max;
    }
    for (size_t j = 0; j < M; j++) {
        z[j] = sb_exp_double_inline(z[j] - max);
        total += z[j];
    }
    for (size_t j = 0; j < M; j++)
        push_cosine(view, anchor, candidate(ranking, j), scale * (z[j] / total - (i == j)));
    return log(total) + (max - own);
}

struct sb_embed_loss sb_loss_ranking(const struct sb_embed_group *group, struct sb_arena *arena,
                                     const struct sb_embed_ranking *ranking, double scale)
{
    struct sb_embed_loss sum = {.targets = (double)ranking->count};
    struct view view = view_of(group, SB_EMBED_COSINE, arena);
    size_t M = ranking->count + ranking->negative_count;
    double *z = sb_arena_array(arena, double, M);
    for (size_t i = 0; i < ranking->count; i++)
        sum.loss += rank(&view, ranking, i, z, M, scale);
    finish(&view);
    return sum;
}
