#include "evaluation.h"

#include "arena.h"
#include "scores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sb_evaluation_begin(struct sb_evaluation *evaluation, const Sb__EvalSet *set, uint32_t index)
{
    size_t K = set->label_count;
    *evaluation = (struct sb_evaluation){
        .set = set,
        .index = index,
        .width = SB_SUM_COUNT + K * K,
        .missing = set->slot_count,
    };
    evaluation->sums =
        sb_calloc(set->slot_count ? set->slot_count : 1, evaluation->width * sizeof(double));
    evaluation->here = sb_calloc(set->slot_count ? set->slot_count : 1, sizeof(bool));
}

void sb_evaluation_end(struct sb_evaluation *evaluation)
{
    free(evaluation->sums);
    free(evaluation->here);
    *evaluation = (struct sb_evaluation){0};
}

int sb_evaluation_take(struct sb_evaluation *evaluation, uint64_t slot, const double *sums,
                       size_t count)
{
    if (!evaluation->set || slot >= evaluation->set->slot_count || count != evaluation->width)
        return -1;
    if (evaluation->here[slot])
        return 0;
    memcpy(evaluation->sums + slot * evaluation->width, sums, count * sizeof(double));
    evaluation->here[slot] = true;
    evaluation->missing--;
    return 1;
}

static void set_score(json_t *results, const char *prefix, const char *name, double value)
{
    char key[64];
    snprintf(key, sizeof(key), "%s_%s", prefix, name);
    json_t *real = json_real(value);
    if (real) /* a perplexity that is infinite is no number of JSON's */
        json_object_set_new(results, key, real);
}

static void set_count(json_t *results, const char *prefix, const char *name, double value)
{
    char key[64];
    snprintf(key, sizeof(key), "%s_%s", prefix, name);
    json_object_set_new(results, key, json_integer((json_int_t)value));
}

json_t *sb_evaluation_results(const struct sb_evaluation *evaluation)
{
    const char *prefix = strcmp(evaluation->set->name, "test") ? "eval" : "test";
    size_t K = evaluation->set->label_count;
    double *all = sb_calloc(evaluation->width, sizeof(double));
    for (uint64_t slot = 0; slot < evaluation->set->slot_count; slot++)
        for (size_t i = 0; i < evaluation->width; i++)
            all[i] += evaluation->sums[slot * evaluation->width + i];
    struct sb_sums sums;
    memcpy(sums.of, all, sizeof(sums.of));
    json_t *results = json_object();
    double targets = sums.of[SB_SUM_TARGETS], loss = sb_sums_mean_loss(&sums);
    set_score(results, prefix, "loss", loss);
    if (K == 0) {
        set_score(results, prefix, "accuracy", targets > 0 ? sums.of[SB_SUM_CORRECT] / targets : 0);
        set_score(results, prefix, "perplexity", sb_perplexity(loss));
    } else {
        struct sb_scores scores;
        sb_scores_from_confusion(&scores, all + SB_SUM_COUNT, K);
        const char *name;
        double value;
        for (size_t i = 0; (name = sb_score_name(i)); i++)
            if (sb_scores_get(&value, &scores, name))
                set_score(results, prefix, name, value);
    }
    set_count(results, prefix, "samples", sums.of[SB_SUM_SAMPLES]);
    set_count(results, prefix, "targets", targets);
    free(all);
    return results;
}
