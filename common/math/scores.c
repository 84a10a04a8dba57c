#include "scores.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool binary;
    size_t place; /* in struct sb_scores */
} rows[] = {
#define ROW(name, binary) {#name, binary, offsetof(struct sb_scores, name)},
    SB_SCORES(ROW)};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

static double over(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0.0;
}

struct class_scores {
    double gold, predicted, hits; /* counts */
    double precision, recall, f1;
};

static struct class_scores score_class(const double *confusion, size_t K, size_t k)
{
    struct class_scores c = {.hits = confusion[k * K + k]};
    for (size_t j = 0; j < K; j++) {
        c.gold += confusion[k * K + j];
        c.predicted += confusion[j * K + k];
    }
    c.precision = over(c.hits, c.predicted);
    c.recall = over(c.hits, c.gold);
    c.f1 = over(2 * c.hits, c.gold + c.predicted);
    return c;
}

void sb_scores_from_confusion(struct sb_scores *scores, const double *confusion, size_t K)
{
    *scores = (struct sb_scores){.class_count = K};
    double total = 0, hits = 0, classes = 0, gold_squares = 0, predicted_squares = 0, products = 0;
    for (size_t k = 0; k < K; k++) {
        struct class_scores c = score_class(confusion, K, k);
        total += c.gold;
        hits += c.hits;
        classes += c.gold + c.predicted > 0;
        gold_squares += c.gold * c.gold;
        predicted_squares += c.predicted * c.predicted;
        products += c.gold * c.predicted;
        scores->precision_macro += c.precision;
        scores->recall_macro += c.recall;
        scores->f1_macro += c.f1;
        scores->precision_weighted += c.precision * c.gold;
        scores->recall_weighted += c.recall * c.gold;
        scores->f1_weighted += c.f1 * c.gold;
        if (K == 2 && k == 1) {
            scores->precision = c.precision;
            scores->recall = c.recall;
            scores->f1 = c.f1;
        }
    }
    scores->precision_macro = over(scores->precision_macro, classes);
    scores->recall_macro = over(scores->recall_macro, classes);
    scores->f1_macro = over(scores->f1_macro, classes);
    scores->precision_weighted = over(scores->precision_weighted, total);
    scores->recall_weighted = over(scores->recall_weighted, total);
    scores->f1_weighted = over(scores->f1_weighted, total);
    scores->accuracy = over(hits, total);
    scores->precision_micro = scores->recall_micro = scores->f1_micro = scores->accuracy;
    /* Two roots and not the root of a product: counts to the fourth power would lose digits. */
    scores->mcc = over(hits * total - products, sqrt(total * total - gold_squares) *
                                                    sqrt(total * total - predicted_squares));
}

const char *sb_score_name(size_t index)
{
    return index < ROW_COUNT ? rows[index].name : NULL;
}

bool sb_scores_get(double *value, const struct sb_scores *scores, const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) || (rows[i].binary && scores->class_count != 2))
            continue;
        memcpy(value, (const char *)scores + rows[i].place, sizeof(*value));
        return true;
    }
    return false;
}

double sb_perplexity(double loss)
{
    return exp(loss);
}
