#include "task_embed.h"

#include "pair_items.h"

#include <stdlib.h>
#include <string.h>

static bool given(const char *text)
{
    return text && *text;
}

int sb_task_read_sentence(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    const char *folder = job->model_name_or_path;
    if (given(folder) && sb_sentence_is_folder(folder) &&
        sb_sentence_read(&task->sentence, folder, err) < 0)
        return sb_job_place(job, "model_name_or_path", err);
    for (int i = 0; i < SB_POOLING_COUNT; i++)
        if (given(job->pooling_mode) && !strcmp(job->pooling_mode, sb_pooling_names[i]))
            task->sentence.pooling = (enum sb_pooling)i;
    size_t longest = task->sentence.max_length;
    if (!job->max_seq_length && longest && longest < task->max_seq_length)
        task->max_seq_length = longest;
    task->sentence.max_length = task->max_seq_length;
    return 0;
}

/* ---- losses ---- */

static int choose_loss(enum sb_embedding_loss *loss, const struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    enum sb_pair_form form = sb_dataset_pair_form(task->train);
    *loss = sb_pair_loss_default(form);
    if (!given(job->loss))
        return 0;
    bool known = sb_embedding_loss_find(loss, job->loss); /* or the job would have been refused */
    sb_assert(known);
    const char *needs = sb_pair_loss_needs(*loss, form);
    if (!needs)
        return 0;
    sb_err_set(err, SB_ERR_CONFIG, "loss %s needs %s, but '%s' has %s", job->loss, needs,
               job->train_file.items[0], sb_pair_form_name(form));
    return sb_job_place(job, "loss", err);
}

static struct sb_embedding *new_embedding(struct sb_embedding_options options,
                                          const struct sb_pair_items *items)
{
    struct sb_embedding *embedding = sb_calloc(1, sizeof(*embedding));
    struct sb_item_source source = sb_pair_items_source(items);
    sb_embedding_init(embedding, &options, &source);
    return embedding;
}

/* The loss of the training where the data of the evaluation has what it needs. */
static void open_evaluation(struct sb_eval_set *set, struct sb_embedding_options options)
{
    enum sb_pair_form form = sb_dataset_pair_form(set->data);
    if (sb_pair_loss_needs(options.loss, form))
        options.loss = sb_pair_loss_default(form);
    options.batch_size = SB_EVAL_SLOT_SAMPLES;
    options.slots = 1;
    set->items = sb_calloc(1, sizeof(*set->items));
    set->items->data = set->data;
    set->embedding = new_embedding(options, set->items);
}

int sb_task_open_pairs(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    bool cosine = given(job->distance_metric) && !strcmp(job->distance_metric, "cosine");
    struct sb_embedding_options options = {
        .metric = cosine ? SB_EMBED_COSINE : SB_EMBED_EUCLIDEAN,
        .margin = job->margin,
        .scale = job->scale,
        .pooling = task->sentence.pooling,
        .seed = job->seed,
        .batch_size = job->batch_size,
        .slots = task->slots,
        .pass_tokens = job->max_tokens_per_pass,
    };
    if (choose_loss(&options.loss, task, err) < 0)
        return -1;
    task->pairs = sb_calloc(1, sizeof(*task->pairs));
    *task->pairs =
        (struct sb_pair_items){.data = task->train, .seed = job->seed, .shuffle = job->shuffle};
    task->embedding = new_embedding(options, task->pairs);
    for (size_t i = 0; i < task->eval_count; i++)
        open_evaluation(&task->evals[i], options);
    return 0;
}

void sb_task_close_pairs(struct sb_task *task)
{
    for (size_t i = 0; i < SB_EVAL_SETS; i++) {
        if (task->evals[i].embedding)
            sb_embedding_release(task->evals[i].embedding);
        free(task->evals[i].embedding);
        free(task->evals[i].items);
    }
    free(task->pairs);
}

/* ---- evaluation ---- */

int sb_task_eval_pairs(struct sb_task *task, const struct sb_eval_set *set, uint64_t slot,
                       struct sb_stats *stats, double *counts, struct sb_err *err)
{
    enum sb_pair_form form = sb_dataset_pair_form(set->data);
    return sb_pair_items_evaluate(set->embedding, &task->bert, form, slot, &task->pass_arena, stats,
                                  counts, err) < 0
               ? -1
               : 0;
}

/* ---- the model folder ---- */

int sb_task_export_sentence(const struct sb_task *task, const char *folder, struct sb_err *err)
{
    const struct sb_bert *bert = &task->bert;
    /* Bodies that stand alone have names without "bert." */
    struct sb_params bare = bert->params;
    bare.tensors = sb_alloc(bare.count * sizeof(*bare.tensors));
    memcpy(bare.tensors, bert->params.tensors, bare.count * sizeof(*bare.tensors));
    sb_params_drop_prefix(&bare);
    int rc = -1;
    if (sb_dir_make(folder, err) == 0 &&
        sb_config_write(&bert->config, folder, "BertModel", err) == 0 &&
        sb_wordpiece_write(task->tokenizer, folder, task->sentence.max_length, err) == 0 &&
        sb_model_write(task->weights, &bare, folder, err) == 0 &&
        sb_sentence_write(&task->sentence, bert->config.hidden_size, folder, err) == 0)
        rc = 0;
    free(bare.tensors);
    return rc < 0 ? sb_err_context(err, "writing the model folder '%s'", folder) : 0;
}
