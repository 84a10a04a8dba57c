#include "metrics.h"

#include <math.h>
#include <string.h>

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void add_weighted(struct sb_average *sum, const struct sb_average *one, double weight)
{
    sum->precision += weight * one->precision;
    sum->recall += weight * one->recall;
    sum->f1 += weight * one->f1;
}

void sb_metrics_from_confusion(struct sb_metrics *metrics, const uint64_t *confusion, size_t K)
{
    double total = 0, hits = 0, gold_predicted = 0, gold_gold = 0, predicted_predicted = 0;
    size_t seen = 0;
    memset(metrics, 0, sizeof(*metrics));
    for (size_t i = 0; i < K * K; i++)
        total += (double)confusion[i];

    for (size_t k = 0; k < K; k++) {
        double gold = 0, predicted = 0, hit = (double)confusion[k * K + k];
        for (size_t j = 0; j < K; j++) {
            gold += (double)confusion[k * K + j];
            predicted += (double)confusion[j * K + k];
        }
        hits += hit;
        gold_predicted += gold * predicted;
        gold_gold += gold * gold;
        predicted_predicted += predicted * predicted;
        if (gold + predicted == 0)
            continue;
        struct sb_average one = {
            .precision = ratio(hit, predicted),
            .recall = ratio(hit, gold),
            .f1 = ratio(2 * hit, gold + predicted),
        };
        seen++;
        add_weighted(&metrics->macro, &one, 1);
        add_weighted(&metrics->weighted, &one, ratio(gold, total));
    }
    metrics->macro.precision = ratio(metrics->macro.precision, (double)seen);
    metrics->macro.recall = ratio(metrics->macro.recall, (double)seen);
    metrics->macro.f1 = ratio(metrics->macro.f1, (double)seen);

    metrics->accuracy = ratio(hits, total);
    metrics->micro = (struct sb_average){metrics->accuracy, metrics->accuracy, metrics->accuracy};
    double spread = sqrt(total * total - gold_gold) * sqrt(total * total - predicted_predicted);
    metrics->mcc = ratio(hits * total - gold_predicted, spread);
}
