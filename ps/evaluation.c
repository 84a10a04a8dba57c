#include "evaluation.h"

#include "arena.h"
#include "entities.h"
#include "intervals.h"
#include "label_scores.h"
#include "row_scores.h"
#include "scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the plan says it. */
enum { SINGLE, MULTI, SCORE };

static bool has_matrix(const Sb__EvalSet *set)
{
    return !set->n_types && !set->row_kind && set->label_count && set->problem == SINGLE;
}

/* Numbers in front of a vector: its class, or 0 or 1 for each of several labels. */
static size_t gold_count(const Sb__EvalSet *set)
{
    return set->problem == MULTI ? set->label_count : 1;
}

static size_t count_count(const Sb__EvalSet *set)
{
    size_t K = set->label_count;
    return set->n_types            ? sb_entity_count_count(set->n_types)
           : set->problem == MULTI ? sb_label_count_count(K)
           : set->problem == SCORE ? SB_VALUE_COUNTS
                                   : K * K;
}

uint64_t sb_evaluation_width(const Sb__EvalSet *set)
{
    if (set->vector_size)
        return SB_SUM_COUNT + (uint64_t)set->slot_rows * (gold_count(set) + set->vector_size);
    if (set->row_kind)
        return SB_SUM_COUNT + (uint64_t)set->row_count * set->row_width;
    return SB_SUM_COUNT + count_count(set);
}

static void begin(struct sb_evaluation *evaluation, const Sb__EvalSet *set, uint32_t index,
                  uint64_t width)
{
    *evaluation = (struct sb_evaluation){
        .set = set,
        .index = index,
        .width = width,
        .missing = set->slot_count,
    };
    evaluation->sums =
        sb_calloc(set->slot_count ? set->slot_count : 1, evaluation->width * sizeof(double));
    evaluation->here = sb_calloc(set->slot_count ? set->slot_count : 1, sizeof(bool));
}

void sb_evaluation_begin(struct sb_evaluation *evaluation, const Sb__EvalSet *set, uint32_t index)
{
    begin(evaluation, set, index, sb_evaluation_width(set));
}

void sb_evaluation_begin_scored(struct sb_evaluation *evaluation, const Sb__EvalSet *set,
                                uint32_t index, const struct sb_embed_head *head)
{
    sb_assert(head->label_count == set->label_count && head->embedding_size == set->vector_size);
    begin(evaluation, set, index, SB_SUM_COUNT + count_count(set));
    evaluation->head = head;
}

void sb_evaluation_end(struct sb_evaluation *evaluation)
{
    free(evaluation->sums);
    free(evaluation->here);
    *evaluation = (struct sb_evaluation){0};
}

/* ---- vectors ---- */

/*
 * A row is a label, -1 for none, and the numbers of the vector.  Of several labels there is a 0 or
 * 1 for each, or a first -1 where there is no text.
 */
static bool labels_valid(const double *rows, const Sb__EvalSet *set)
{
    size_t G = gold_count(set);
    double least = -1, end = set->problem == MULTI ? 2 : (double)set->label_count;
    for (size_t i = 0; i < set->slot_rows; i++)
        for (size_t g = 0; g < G; g++) {
            double label = rows[i * (G + set->vector_size) + g];
            if (!(label >= least && label < end) || label != floor(label))
                return false;
            if (g > 0 && label < 0 && rows[i * (G + set->vector_size)] >= 0)
                return false;
        }
    return true;
}

/* Takes the rows that have a label. */
static size_t read_rows(float *x, int32_t *gold, const double *rows, const Sb__EvalSet *set)
{
    size_t G = gold_count(set), C = set->vector_size, n = 0;
    for (size_t i = 0; i < set->slot_rows; i++, rows += G + C) {
        if (rows[0] < 0)
            continue;
        for (size_t g = 0; g < G; g++)
            gold[n * G + g] = (int32_t)rows[g];
        for (size_t c = 0; c < C; c++)
            x[n * C + c] = (float)rows[G + c];
        n++;
    }
    return n;
}

/* kept [width] from what was sent. */
static void score_slot(double *kept, const struct sb_evaluation *evaluation, const double *sums)
{
    const Sb__EvalSet *set = evaluation->set;
    struct sb_head_score score = {0};
    float *x = sb_alloc((size_t)set->slot_rows * set->vector_size * sizeof(*x));
    int32_t *gold = sb_alloc(set->slot_rows * gold_count(set) * sizeof(*gold));
    size_t n = read_rows(x, gold, sums + SB_SUM_COUNT, set);
    memcpy(kept, sums, SB_SUM_COUNT * sizeof(double));
    if (set->problem == MULTI)
        sb_embed_head_score_labels(&score, kept + SB_SUM_COUNT, evaluation->head, x, gold, n);
    else
        sb_embed_head_score(&score, kept + SB_SUM_COUNT, evaluation->head, x, gold, n);
    kept[SB_SUM_TARGETS] = score.targets;
    kept[SB_SUM_LOSS] = score.loss;
    kept[SB_SUM_CORRECT] = score.correct;
    free(gold);
    free(x);
}

bool sb_evaluation_has_sets(const struct sb_evaluation *evaluation)
{
    return evaluation->set->problem == MULTI;
}

size_t sb_evaluation_vectors(const struct sb_evaluation *evaluation, float **x, int32_t **gold)
{
    const Sb__EvalSet *set = evaluation->set;
    size_t room = set->slot_count * set->slot_rows, C = set->vector_size, n = 0;
    size_t G = gold_count(set);
    sb_assert(!evaluation->head);
    *x = sb_alloc((room * C + 1) * sizeof(**x));
    *gold = sb_alloc((room * G + 1) * sizeof(**gold));
    for (uint64_t slot = 0; slot < set->slot_count; slot++)
        n += read_rows(*x + n * C, *gold + n * G,
                       evaluation->sums + slot * evaluation->width + SB_SUM_COUNT, set);
    return n;
}

/* Counts are not negative; rows are of as many samples as there are.  What rows hold, and the sums
 * of a regression, are whatever the model says, or no numbers if it blew up: then there is no
 * score. */
static bool is_valid(const Sb__EvalSet *set, const double *sums, size_t count)
{
    double samples = sums[SB_SUM_SAMPLES];
    if (set->row_kind && (samples > set->row_count || samples != floor(samples)))
        return false;
    if (set->vector_size)
        return labels_valid(sums + SB_SUM_COUNT, set);
    if (set->row_kind || (!set->n_types && set->problem == SCORE))
        return true;
    for (size_t i = SB_SUM_COUNT; i < count; i++)
        if (!(sums[i] >= 0 && sums[i] <= 1e18))
            return false;
    return true;
}

int sb_evaluation_take(struct sb_evaluation *evaluation, uint64_t slot, const double *sums,
                       size_t count)
{
    const Sb__EvalSet *set = evaluation->set;
    if (!set || slot >= set->slot_count || count != sb_evaluation_width(set) ||
        !is_valid(set, sums, count))
        return -1;
    if (evaluation->here[slot])
        return 0;
    double *kept = evaluation->sums + slot * evaluation->width;
    if (evaluation->head)
        score_slot(kept, evaluation, sums);
    else
        memcpy(kept, sums, count * sizeof(double));
    evaluation->here[slot] = true;
    evaluation->missing--;
    return 1;
}

/* ---- results ---- */

static void set_score(json_t *results, const char *prefix, const char *name, double value)
{
    char key[256];
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

/* Rows are the true classes, in id order. */
static json_t *matrix(const double *confusion, size_t K)
{
    json_t *rows = json_array();
    for (size_t gold = 0; gold < K; gold++) {
        json_t *row = json_array();
        for (size_t k = 0; k < K; k++)
            json_array_append_new(row, json_integer((json_int_t)confusion[gold * K + k]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void add_class_scores(json_t *results, const char *prefix, const double *confusion, size_t K)
{
    struct sb_scores scores;
    const char *name;
    double value;
    sb_scores_from_confusion(&scores, confusion, K);
    for (size_t i = 0; (name = sb_score_name(i)); i++)
        if (sb_scores_get(&value, &scores, name))
            set_score(results, prefix, name, value);
}

static void set_three(json_t *results, const char *prefix, const char *before, const char *behind,
                      const struct sb_entity_score *score)
{
    const struct {
        const char *name;
        double value;
    } three[] = {{"precision", score->precision}, {"recall", score->recall}, {"f1", score->f1}};
    for (size_t i = 0; i < 3; i++) {
        char name[224];
        snprintf(name, sizeof(name), "%s%s%s", before, three[i].name, behind);
        set_score(results, prefix, name, three[i].value);
    }
}

static void add_entity_scores(json_t *results, const char *prefix, const double *counts,
                              char *const *types, size_t T)
{
    static const char *const behind[SB_ENTITY_MODES][SB_ENTITY_WEIGHTED + 1] = {
        {"", "_macro", "_weighted"}, {"_strict", "_macro_strict", "_weighted_strict"}};
    set_score(results, prefix, "accuracy", sb_token_accuracy(counts));
    set_score(results, prefix, "token_f1", sb_token_f1(counts));
    for (int mode = 0; mode < SB_ENTITY_MODES; mode++)
        for (int average = 0; average <= SB_ENTITY_WEIGHTED; average++) {
            struct sb_entity_score score = sb_entity_score_all(counts, T, (enum sb_entity_mode)mode,
                                                               (enum sb_entity_average)average);
            set_three(results, prefix, "", behind[mode][average], &score);
        }
    for (size_t type = 0; type < T; type++) {
        char before[160];
        struct sb_entity_score score = sb_entity_score_type(counts, T, SB_ENTITIES_DEFAULT, type);
        snprintf(before, sizeof(before), "%.150s_", types[type]);
        set_three(results, prefix, before, "", &score);
    }
}

static void add_label_scores(json_t *results, const char *prefix, const double *counts,
                             char *const *labels, size_t K)
{
    struct sb_label_scores s;
    sb_label_scores_from_counts(&s, counts, K);
#define SET(name) set_score(results, prefix, #name, s.name);
    SB_LABEL_SCORES(SET)
#undef SET
    for (size_t k = 0; labels && k < K; k++) {
        char before[160];
        struct sb_entity_score one = {0};
        sb_label_scores_of(&one.precision, &one.recall, &one.f1, counts, k);
        snprintf(before, sizeof(before), "%.150s_", labels[k]);
        set_three(results, prefix, before, "", &one);
    }
}

static void add_value_scores(json_t *results, const char *prefix, const double *counts)
{
    struct sb_value_scores s;
    sb_value_scores_from_counts(&s, counts);
#define SET(name) set_score(results, prefix, #name, s.name);
    SB_VALUE_SCORES(SET)
#undef SET
}

/* A set as its scores are made: whose they are and what they are called. */
struct view {
    const Sb__EvalSet *set;
    const char *prefix;
    char *const *labels; /* or NULL */
};

/* Everything that is a function of sums and has a fraction: each may have an interval. */
static json_t *describe(const double *all, const void *context)
{
    const struct view *view = context;
    const Sb__EvalSet *set = view->set;
    const char *prefix = view->prefix;
    struct sb_sums sums;
    memcpy(sums.of, all, sizeof(sums.of));
    json_t *results = json_object();
    double targets = sums.of[SB_SUM_TARGETS], loss = sb_sums_mean_loss(&sums);
    if (targets > 0) /* of nothing there is no mean: a loss of 0 would look like the best of all */
        set_score(results, prefix, "loss", loss);
    if (set->n_types) {
        add_entity_scores(results, prefix, all + SB_SUM_COUNT, set->types, set->n_types);
    } else if (set->row_kind) {
        return results; /* the rows say more, each for itself */
    } else if (set->problem == MULTI) {
        add_label_scores(results, prefix, all + SB_SUM_COUNT, view->labels, set->label_count);
    } else if (set->problem == SCORE) {
        add_value_scores(results, prefix, all + SB_SUM_COUNT);
    } else if (set->label_count) {
        add_class_scores(results, prefix, all + SB_SUM_COUNT, set->label_count);
    } else {
        set_score(results, prefix, "accuracy", targets > 0 ? sums.of[SB_SUM_CORRECT] / targets : 0);
        if (targets > 0)
            set_score(results, prefix, "perplexity", sb_perplexity(loss));
    }
    return results;
}

/* Slots are added up to blocks in their order.  A confusion matrix is drawn by its examples, and
 * not by blocks; rows are not drawn. */
static void make_blocks(struct sb_blocks *blocks, const struct sb_evaluation *evaluation,
                        bool has_confusion)
{
    uint64_t slot_count = evaluation->set->slot_count, slots_each = sb_block_slots(slot_count);
    bool sums_only = has_confusion || evaluation->set->row_kind;
    size_t width = sums_only ? SB_SUM_COUNT : evaluation->width;
    *blocks = (struct sb_blocks){.count = (size_t)((slot_count + slots_each - 1) / slots_each),
                                 .width = width};
    blocks->sums = sb_calloc(blocks->count * width + 1, sizeof(double));
    for (uint64_t slot = 0; slot < slot_count; slot++)
        for (size_t i = 0; i < width; i++)
            blocks->sums[slot / slots_each * width + i] +=
                evaluation->sums[slot * evaluation->width + i];
}

static json_t *add_intervals(json_t *scores, const struct sb_evaluation *evaluation,
                             const struct view *view, const double *all)
{
    const Sb__EvalSet *set = evaluation->set;
    bool has_confusion = has_matrix(set);
    struct sb_blocks blocks;
    char words[256], key[64];
    make_blocks(&blocks, evaluation, has_confusion);
    struct sb_intervals intervals = {
        .describe = describe,
        .context = view,
        .blocks = &blocks,
        .confusion = has_confusion ? all + SB_SUM_COUNT : NULL,
        .class_count = has_confusion ? set->label_count : 0,
    };
    json_t *results = sb_intervals_beside(scores, &intervals, words, sizeof(words));
    snprintf(key, sizeof(key), "%s_ci_method", view->prefix);
    json_object_set_new(results, key, json_string(words));
    free(blocks.sums);
    json_decref(scores);
    return results;
}

/* Behind the scores of the sums.  The rows of the slots one after the other are in the order of the
 * data. */
static void add_rows(json_t *results, const struct sb_evaluation *evaluation, const char *view)
{
    const Sb__EvalSet *set = evaluation->set;
    size_t row_bytes = set->row_width * sizeof(double), count = 0;
    double *rows = sb_alloc((size_t)set->slot_count * set->row_count * row_bytes + 1);
    char prefix[16], key[64], words[320];
    for (uint64_t slot = 0; slot < set->slot_count; slot++) {
        const double *sums = evaluation->sums + slot * evaluation->width;
        size_t samples = (size_t)sums[SB_SUM_SAMPLES];
        memcpy(rows + count * set->row_width, sums + SB_SUM_COUNT, samples * row_bytes);
        count += samples;
    }
    snprintf(prefix, sizeof(prefix), "%s_", view);
    const char *how = sb_row_scores_add(results, prefix, set->row_kind, rows, count);
    snprintf(key, sizeof(key), "%s_ci_method", view);
    snprintf(words, sizeof(words), "%s; %s", json_string_value(json_object_get(results, key)), how);
    json_object_set_new(results, key, json_string(words));
    free(rows);
}

json_t *sb_evaluation_results(const struct sb_evaluation *evaluation, char *const *labels)
{
    const Sb__EvalSet *set = evaluation->set;
    struct view view = {set, strcmp(set->name, "test") ? "eval" : "test", labels};
    double *all = sb_calloc(evaluation->width, sizeof(double));
    for (uint64_t slot = 0; slot < set->slot_count; slot++)
        for (size_t i = 0; i < evaluation->width; i++)
            all[i] += evaluation->sums[slot * evaluation->width + i];
    json_t *results = add_intervals(describe(all, &view), evaluation, &view, all);
    if (set->row_kind)
        add_rows(results, evaluation, view.prefix);
    if (has_matrix(set)) {
        char key[64];
        snprintf(key, sizeof(key), "%s_confusion_matrix", view.prefix);
        json_object_set_new(results, key, matrix(all + SB_SUM_COUNT, set->label_count));
    }
    set_count(results, view.prefix, "samples", all[SB_SUM_SAMPLES]);
    set_count(results, view.prefix, "targets", all[SB_SUM_TARGETS]);
    free(all);
    return results;
}
