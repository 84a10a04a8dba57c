/* The slots of a task: which samples, which tokens, which passes. */
#include "task.h"

#include "evaluate.h"
#include "pair_items.h"
#include "setfit.h"
#include "task_embed.h"

#include <inttypes.h>
#include <string.h>

/* The samples of one slot, in the order of the step. */
struct slot_samples {
    uint64_t *samples;
    uint32_t *lengths;
    size_t count;
};

/* All samples of a step with the slot of each: a function of step, settings and data. */
struct step_samples {
    uint64_t epoch;
    size_t count;
    uint64_t *samples;
    uint32_t *lengths;
    uint32_t *slot_of;
};

static void samples_of_step(struct step_samples *all, struct sb_task *task, uint64_t step)
{
    const struct sb_job *job = task->job;
    struct sb_arena *arena = &task->step_arena;
    uint64_t n = task->train_count;
    uint64_t first = step % task->steps_per_epoch * job->batch_size;
    all->epoch = step / task->steps_per_epoch;
    all->count = n - first < job->batch_size ? n - first : job->batch_size;
    all->samples = sb_arena_array(arena, uint64_t, all->count);
    all->lengths = sb_arena_array(arena, uint32_t, all->count);
    all->slot_of = sb_arena_array(arena, uint32_t, all->count);
    for (size_t i = 0; i < all->count; i++) {
        uint64_t k = sb_order_sample(n, job->seed, all->epoch, job->shuffle, first + i);
        all->samples[i] = task->few.count ? task->few.samples[k] : k;
        all->lengths[i] = sb_dataset_length(task->train, all->samples[i]);
    }
    sb_deal_slots(all->slot_of, all->lengths, all->count, task->slots, arena);
}

static void pick_slot(struct slot_samples *mine, const struct step_samples *all, uint32_t slot,
                      struct sb_arena *arena)
{
    mine->count = 0;
    mine->samples = sb_arena_array(arena, uint64_t, all->count);
    mine->lengths = sb_arena_array(arena, uint32_t, all->count);
    for (size_t i = 0; i < all->count; i++) {
        if (all->slot_of[i] != slot)
            continue;
        mine->samples[mine->count] = all->samples[i];
        mine->lengths[mine->count++] = all->lengths[i];
    }
}

/* How many samples from first on make one pass: at most max_tokens tokens, at least one sample. */
static size_t pass_count(const struct slot_samples *mine, size_t first, size_t max_tokens)
{
    size_t count = 0, tokens = 0;
    while (first + count < mine->count &&
           (!count || tokens + mine->lengths[first + count] <= max_tokens))
        tokens += mine->lengths[first + count++];
    return count;
}

static bool has_dropout(const struct sb_bert_config *config)
{
    return config->hidden_dropout > 0 || config->attention_dropout > 0 ||
           config->classifier_dropout > 0;
}

struct sb_mask_options sb_task_masks(const struct sb_task *task, uint64_t step)
{
    struct sb_mask_options masks = task->masks;
    double first = task->job->mlm_probability, last = task->job->mlm_probability_end;
    if (last > 0 && task->total_steps > 1)
        masks.probability =
            first + (last - first) * ((double)step / (double)(task->total_steps - 1));
    return masks;
}

long sb_task_train_slot(struct sb_task *task, uint64_t step, uint32_t slot, struct sb_grad *grad,
                        struct sb_stats *stats, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    struct step_samples all;
    struct slot_samples mine;
    if (task->embedding)
        return sb_embedding_train(task->embedding, &task->bert, step, slot, &task->pass_arena, grad,
                                  stats, err);
    sb_arena_reset(&task->step_arena);
    samples_of_step(&all, task, step);
    pick_slot(&mine, &all, slot, &task->step_arena);

    struct sb_mask_options masks = sb_task_masks(task, step);
    struct sb_rng mask_key = sb_rng_key(job->seed, SB_RNG_MASK, all.epoch);
    struct sb_rng dropout = sb_rng_key(job->seed, SB_RNG_DROPOUT, step);
    const struct sb_rng *dropout_key = has_dropout(&task->bert.config) ? &dropout : NULL;
    for (size_t first = 0, count; first < mine.count; first += count) {
        struct sb_batch batch;
        count = pass_count(&mine, first, job->max_tokens_per_pass);
        sb_arena_reset(&task->pass_arena);
        if (sb_collate(&batch, task->train, task->tokenizer, mine.samples + first, count,
                       task->mlm ? &masks : NULL, &mask_key, &task->pass_arena, stats, err) < 0 ||
            sb_bert_check(&task->bert, &batch, err) < 0)
            return sb_err_context(err, "reading slot %" PRIu32 " of step %" PRIu64, slot, step);
        sb_bert_train(&task->bert, &batch, dropout_key, &task->pass_arena, grad, stats);
    }
    return (long)mine.count;
}

size_t sb_task_train_samples(struct sb_task *task, uint64_t step, uint32_t slot,
                             const uint64_t **samples)
{
    struct step_samples all;
    struct slot_samples mine = {.count = 0};
    if (!task->embedding) {
        sb_arena_reset(&task->step_arena);
        samples_of_step(&all, task, step);
        pick_slot(&mine, &all, slot, &task->step_arena);
    }
    *samples = mine.samples;
    return mine.count;
}

bool sb_task_grouped(const struct sb_task *task)
{
    return task->embedding && sb_embedding_loss_of_group(task->embedding->options.loss);
}

long sb_task_publish_slot(struct sb_task *task, uint64_t step, uint32_t slot, float **vectors,
                          struct sb_err *err)
{
    return sb_embedding_publish(task->embedding, &task->bert, step, slot, &task->pass_arena,
                                vectors, err);
}

int sb_task_set_group(struct sb_task *task, uint64_t step, const float *group, size_t float_count,
                      struct sb_err *err)
{
    return sb_embedding_compare(task->embedding, &task->bert, step, group, float_count, err);
}

static void range_of_eval_slot(uint64_t *first, uint64_t *end, const struct sb_eval_set *set,
                               uint64_t slot)
{
    uint64_t n = set->samples ? set->sample_count : sb_dataset_count(set->data);
    *first = slot * set->slot_samples;
    *end = n - *first < set->slot_samples ? n : *first + set->slot_samples;
}

static void samples_of_eval_slot(struct slot_samples *mine, struct sb_task *task,
                                 const struct sb_eval_set *set, uint64_t slot)
{
    uint64_t first, end;
    range_of_eval_slot(&first, &end, set, slot);
    sb_evaluate_whole_sentences(set->data, &first, &end);
    mine->count = end - first;
    mine->samples = sb_arena_array(&task->step_arena, uint64_t, mine->count);
    mine->lengths = sb_arena_array(&task->step_arena, uint32_t, mine->count);
    for (size_t i = 0; i < mine->count; i++) {
        mine->samples[i] = set->samples ? set->samples[first + i] : first + i;
        mine->lengths[i] = sb_dataset_length(set->data, mine->samples[i]);
    }
}

size_t sb_task_count_count(const struct sb_task *task)
{
    if (task->setfit)
        return SB_EVAL_SLOT_SAMPLES *
               (sb_evaluate_gold_count(&task->bert.config) + task->bert.config.hidden_size);
    if (task->mlm)
        return 0;
    if (task->embed)
        return (size_t)SB_EVAL_SLOT_SAMPLES * SB_PAIR_ROW_WIDTH;
    return task->ner ? sb_entity_count_count(task->tags.type_count)
                     : sb_evaluate_count_count(&task->bert.config);
}

static int eval_vectors(struct sb_task *task, const struct sb_eval_set *set, uint64_t slot,
                        struct sb_stats *stats, double *rows, struct sb_err *err)
{
    struct slot_samples mine;
    sb_arena_reset(&task->step_arena);
    samples_of_eval_slot(&mine, task, set, slot);
    return sb_setfit_eval_slot(task, set, mine.samples, mine.count, stats, rows, err);
}

int sb_task_eval_slot(struct sb_task *task, size_t eval_set, uint64_t slot, struct sb_stats *stats,
                      double *counts, struct sb_err *err)
{
    const struct sb_eval_set *set = &task->evals[eval_set];
    uint64_t first, end;
    range_of_eval_slot(&first, &end, set, slot);
    size_t pass_tokens = task->job->max_tokens_per_pass;
    int rc = task->setfit  ? eval_vectors(task, set, slot, stats, counts, err)
             : task->embed ? sb_task_eval_pairs(task, set, slot, stats, counts, err)
             : task->ner
                 ? sb_evaluate_tags(&task->bert, set->data, task->tokenizer, &task->tags, first,
                                    end, pass_tokens, &task->pass_arena, stats, counts, err)
                 : sb_evaluate(&task->bert, set->data, task->tokenizer,
                               task->mlm ? &task->eval_masks : NULL, first, end, pass_tokens,
                               &task->pass_arena, stats, counts, err);
    if (rc < 0)
        return sb_err_context(err, "evaluating the %s set", set->name);
    return 0;
}

/* A set of rows, one byte each. */
static uint8_t *new_row_set(struct sb_task *task)
{
    sb_arena_reset(&task->step_arena);
    sb_arena_reset(&task->pass_arena);
    size_t V = task->bert.config.vocab_size;
    return memset(sb_arena_array(&task->step_arena, uint8_t, V), 0, V);
}

static int mark_rows(uint8_t *seen, struct sb_task *task, const struct sb_dataset *data,
                     const struct slot_samples *mine, struct sb_err *err)
{
    int32_t *ids = sb_arena_array(&task->pass_arena, int32_t, task->max_seq_length);
    uint8_t *types = sb_arena_array(&task->pass_arena, uint8_t, task->max_seq_length);
    for (size_t i = 0; i < mine->count; i++) {
        int32_t label;
        int truncated;
        if (sb_dataset_read(data, mine->samples[i], ids, types, &label, &truncated, err) < 0)
            return -1;
        for (uint32_t j = 0; j < mine->lengths[i]; j++)
            seen[ids[j]] = 1;
    }
    return 0;
}

static long list_rows(uint32_t **rows, struct sb_task *task, const uint8_t *seen)
{
    size_t V = task->bert.config.vocab_size, count = 0;
    *rows = sb_arena_array(&task->step_arena, uint32_t, V);
    for (size_t row = 0; row < V; row++)
        if (seen[row])
            (*rows)[count++] = (uint32_t)row;
    return (long)count;
}

long sb_task_train_rows(struct sb_task *task, uint64_t step, const uint32_t *slots,
                        size_t slot_count, uint32_t **rows, struct sb_err *err)
{
    uint8_t *seen = new_row_set(task);
    struct step_samples all;
    for (size_t s = 0; task->embedding && s < slot_count; s++)
        if (sb_embedding_mark_rows(task->embedding, step, slots[s], seen, err) < 0)
            return -1;
    if (task->embedding)
        return list_rows(rows, task, seen);
    samples_of_step(&all, task, step);
    for (size_t s = 0; s < slot_count; s++) {
        struct slot_samples mine;
        pick_slot(&mine, &all, slots[s], &task->step_arena);
        if (mark_rows(seen, task, task->train, &mine, err) < 0)
            return -1;
    }
    return list_rows(rows, task, seen);
}

long sb_task_eval_rows(struct sb_task *task, size_t eval_set, uint64_t first_slot,
                       uint64_t end_slot, uint32_t **rows, struct sb_err *err)
{
    const struct sb_eval_set *set = &task->evals[eval_set];
    uint8_t *seen = new_row_set(task);
    for (uint64_t slot = first_slot; slot < end_slot; slot++) {
        struct slot_samples mine;
        if (set->embedding) {
            if (sb_embedding_mark_rows(set->embedding, slot, 0, seen, err) < 0)
                return -1;
            continue;
        }
        samples_of_eval_slot(&mine, task, set, slot);
        if (mark_rows(seen, task, set->data, &mine, err) < 0)
            return -1;
    }
    return list_rows(rows, task, seen);
}
