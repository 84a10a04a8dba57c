#include "label_scores.h"

#include <math.h>

static double over(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0.0;
}

/* ---- several labels ---- */

enum { GOLD, PREDICTED, HITS, PER_LABEL };
enum { ROWS, RIGHT, F1_SUM };

void sb_label_counts_add(double *counts, const float *gold, const float *predicted, size_t K)
{
    double golds = 0, chosen = 0, hits = 0;
    for (size_t k = 0; k < K; k++) {
        double g = gold[k] > 0.5f, p = predicted[k] > 0.5f;
        counts[PER_LABEL * k + GOLD] += g;
        counts[PER_LABEL * k + PREDICTED] += p;
        counts[PER_LABEL * k + HITS] += g * p;
        golds += g;
        chosen += p;
        hits += g * p;
    }
    double *rows = counts + PER_LABEL * K;
    rows[ROWS]++;
    rows[RIGHT] += golds == hits && chosen == hits;
    rows[F1_SUM] += over(2 * hits, golds + chosen);
}

void sb_label_scores_of(double *precision, double *recall, double *f1, const double *counts,
                        size_t k)
{
    const double *of = counts + PER_LABEL * k;
    *precision = over(of[HITS], of[PREDICTED]);
    *recall = over(of[HITS], of[GOLD]);
    *f1 = over(2 * of[HITS], of[GOLD] + of[PREDICTED]);
}

void sb_label_scores_from_counts(struct sb_label_scores *scores, const double *counts, size_t K)
{
    struct sb_label_scores s = {0};
    double gold = 0, predicted = 0, hits = 0;
    const double *rows = counts + PER_LABEL * K;
    for (size_t k = 0; k < K; k++) {
        const double *of = counts + PER_LABEL * k;
        double precision, recall, f1;
        sb_label_scores_of(&precision, &recall, &f1, counts, k);
        gold += of[GOLD];
        predicted += of[PREDICTED];
        hits += of[HITS];
        s.precision_macro += precision;
        s.recall_macro += recall;
        s.f1_macro += f1;
        s.precision_weighted += precision * of[GOLD];
        s.recall_weighted += recall * of[GOLD];
        s.f1_weighted += f1 * of[GOLD];
    }
    s.precision_macro = over(s.precision_macro, (double)K);
    s.recall_macro = over(s.recall_macro, (double)K);
    s.f1_macro = over(s.f1_macro, (double)K);
    s.precision_weighted = over(s.precision_weighted, gold);
    s.recall_weighted = over(s.recall_weighted, gold);
    s.f1_weighted = over(s.f1_weighted, gold);
    s.precision_micro = over(hits, predicted);
    s.recall_micro = over(hits, gold);
    s.f1_micro = over(2 * hits, gold + predicted);
    s.accuracy = over(rows[RIGHT], rows[ROWS]);
    s.f1_samples = over(rows[F1_SUM], rows[ROWS]);
    s.hamming_loss = over(gold + predicted - 2 * hits, rows[ROWS] * (double)K);
    *scores = s;
}

/* ---- numbers ---- */

enum { N, X_ABOVE, X_BELOW, Y_ABOVE, Y_BELOW, XX, YY, XY_ABOVE, XY_BELOW, ERRORS, SQUARES };

static const double VARIES = 0x1p-44;

static void add_signed(double *above, double value)
{
    above[value < 0] += fabs(value);
}

void sb_value_counts_add(double *counts, double gold, double predicted)
{
    counts[N]++;
    add_signed(counts + X_ABOVE, predicted);
    add_signed(counts + Y_ABOVE, gold);
    counts[XX] += predicted * predicted;
    counts[YY] += gold * gold;
    add_signed(counts + XY_ABOVE, predicted * gold);
    counts[ERRORS] += fabs(predicted - gold);
    counts[SQUARES] += (predicted - gold) * (predicted - gold);
}

void sb_value_scores_from_counts(struct sb_value_scores *scores, const double *counts)
{
    double n = counts[N], x = counts[X_ABOVE] - counts[X_BELOW];
    double y = counts[Y_ABOVE] - counts[Y_BELOW], xy = counts[XY_ABOVE] - counts[XY_BELOW];
    double squares = counts[SQUARES];
    double vx = n * counts[XX] - x * x, vy = n * counts[YY] - y * y;
    /* Of equal numbers only the rounding of their sums varies. */
    vx = vx > VARIES * n * counts[XX] ? vx : 0;
    vy = vy > VARIES * n * counts[YY] ? vy : 0;
    *scores = (struct sb_value_scores){.mse = over(squares, n), .mae = over(counts[ERRORS], n)};
    scores->rmse = sqrt(scores->mse);
    if (vx > 0 && vy > 0)
        scores->pearson = fmax(-1, fmin(1, (n * xy - x * y) / (sqrt(vx) * sqrt(vy))));
    if (vy > 0)
        scores->r2 = 1 - squares / (vy / n);
}
