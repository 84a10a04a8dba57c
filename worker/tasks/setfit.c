#include "setfit.h"

#include "evaluate.h"
#include "few_shot_items.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_MAX    (UINT64_C(1) << 27) /* numbers, with the labels: what a coordinator takes */
#define HEAD_BYTES_MAX (UINT64_C(48) << 20)

enum { NUMBER_BYTES = 25 }; /* of a number of the head in the text of FINISH */

static struct sb_few_shot_items_options items_options(const struct sb_job *job,
                                                      enum sb_embedding_loss loss)
{
    enum sb_pair_strategy strategy =
        job->num_iterations                                ? SB_PAIRS_ITERATIONS
        : !strcmp(job->sampling_strategy, "undersampling") ? SB_PAIRS_UNDERSAMPLING
        : !strcmp(job->sampling_strategy, "unique")        ? SB_PAIRS_UNIQUE
                                                           : SB_PAIRS_OVERSAMPLING;
    return (struct sb_few_shot_items_options){
        .loss = loss,
        .pairs = {.strategy = strategy,
                  .iterations = job->num_iterations,
                  .self_pairs = job->self_pairs,
                  .seed = job->seed},
        .per_label = job->samples_per_label,
        .shuffle = job->shuffle,
    };
}

/* A list has a weight above 0 for each class. */
static int check_weights(const struct sb_task *task, struct sb_err *err)
{
    const struct sb_list *list = &task->job->class_weight;
    bool word = list->count == 1 &&
                (!strcmp(list->items[0], "none") || !strcmp(list->items[0], "balanced"));
    bool fits = word || !list->count || list->count == task->bert.config.label_count;
    for (size_t i = 0; fits && !word && i < list->count; i++)
        fits = strtod(list->items[i], NULL) > 0;
    if (fits)
        return 0;
    sb_err_set(err, SB_ERR_CONFIG,
               "class_weight is none, balanced, or a weight above 0 for each of the %zu classes",
               task->bert.config.label_count);
    return sb_job_place(task->job, "class_weight", err);
}

/* The head is fitted on all vectors at once, in one place, and travels as text. */
static int check_head(const struct sb_task *task, struct sb_err *err)
{
    const struct sb_few_shot *chosen = &task->few_items->chosen;
    uint64_t C = task->bert.config.hidden_size, K = task->bert.config.label_count;
    uint64_t numbers = C + sb_evaluate_gold_count(&task->bert.config);
    uint64_t most = VECTORS_MAX / numbers / SB_EVAL_SLOT_SAMPLES * SB_EVAL_SLOT_SAMPLES;
    size_t classes = 0;
    for (size_t c = 0; c < chosen->class_count; c++)
        classes += chosen->class_sizes[c] > 0;
    if (classes < 2)
        return sb_err_set(err, SB_ERR_DATA, "'%s': the labelled texts %s; a classifier needs two",
                          task->job->train_file.items[0],
                          chosen->sets ? "all have the same labels" : "have one label only");
    if (chosen->count > most) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "the head would be fitted on the vectors of all %" PRIu64
                   " texts at once, %" PRIu64 " numbers each, but at most %" PRIu64
                   " texts are possible: set samples_per_label, at most %" PRIu64,
                   chosen->count, numbers, most, most / K);
        return sb_job_place(task->job, "samples_per_label", err);
    }
    if (check_weights(task, err) < 0)
        return -1;
    if (K * (C + 1) * NUMBER_BYTES > HEAD_BYTES_MAX)
        return sb_err_set(
            err, SB_ERR_DATA,
            "%" PRIu64 " labels with vectors of %" PRIu64 " numbers are too many for a head", K, C);
    return 0;
}

static void add_head_set(struct sb_task *task)
{
    struct sb_eval_set *set = &task->evals[task->eval_count++];
    const struct sb_few_shot *chosen = &task->few_items->chosen;
    *set = (struct sb_eval_set){
        .name = "head",
        .data = task->train,
        .samples = chosen->samples,
        .sample_count = chosen->count,
        .slot_samples = SB_EVAL_SLOT_SAMPLES,
        .slot_count = (chosen->count + SB_EVAL_SLOT_SAMPLES - 1) / SB_EVAL_SLOT_SAMPLES,
    };
}

int sb_setfit_open(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    enum sb_embedding_loss loss = SB_EMBEDDING_cosine_similarity;
    sb_embedding_loss_find(&loss, job->loss ? job->loss : "cosine_similarity");
    const struct sb_few_shot_items_options options = items_options(job, loss);
    if (sb_few_shot_items_open(&task->few_items, task->train, &options, err) < 0 ||
        check_head(task, err) < 0)
        return -1;
    uint32_t texts_of_item = loss == SB_EMBEDDING_triplet              ? 3
                             : loss == SB_EMBEDDING_batch_hard_triplet ? 1
                                                                       : 2;
    task->slots = sb_task_choose_slots(task, texts_of_item);
    bool euclidean = job->distance_metric && !strcmp(job->distance_metric, "euclidean");
    const struct sb_embedding_options embedding = {
        .loss = loss,
        .metric = euclidean ? SB_EMBED_EUCLIDEAN : SB_EMBED_COSINE,
        .margin = job->margin,
        .scale = job->scale,
        .pooling = task->sentence.pooling,
        .seed = job->seed,
        .batch_size = job->batch_size,
        .slots = task->slots,
        .pass_tokens = job->max_tokens_per_pass,
    };
    const struct sb_item_source source = sb_few_shot_items_source(task->few_items);
    task->embedding = sb_calloc(1, sizeof(*task->embedding));
    sb_embedding_init(task->embedding, &embedding, &source);
    task->steps_per_epoch = sb_embedding_steps_per_epoch(task->embedding);
    add_head_set(task);
    return 0;
}

int sb_setfit_eval_slot(struct sb_task *task, const struct sb_eval_set *set,
                        const uint64_t *samples, size_t count, struct sb_stats *stats, double *rows,
                        struct sb_err *err)
{
    size_t C = task->bert.config.hidden_size, G = sb_evaluate_gold_count(&task->bert.config);
    int32_t *gold = sb_alloc(SB_EVAL_SLOT_SAMPLES * G * sizeof(*gold));
    float *vectors = sb_alloc(SB_EVAL_SLOT_SAMPLES * C * sizeof(*vectors));
    sb_assert(count <= SB_EVAL_SLOT_SAMPLES);
    int rc = sb_evaluate_vectors(&task->bert, set->data, task->tokenizer, samples, count,
                                 &task->sentence, task->job->max_tokens_per_pass, &task->pass_arena,
                                 stats, gold, vectors, err);
    for (size_t i = 0; rc == 0 && i < SB_EVAL_SLOT_SAMPLES; i++) {
        double *row = rows + i * (G + C);
        for (size_t g = 0; g < G; g++)
            row[g] = i < count ? gold[i * G + g] : -1;
        for (size_t c = 0; i < count && c < C; c++)
            row[G + c] = vectors[i * C + c];
    }
    free(vectors);
    free(gold);
    return rc;
}
