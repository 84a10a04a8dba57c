#include "evaluate.h"

#include "interval.h"

#include "embed_head.h"

#include "label_scores.h"

#include <stdlib.h>

uint64_t sb_evaluate_slot_samples(uint64_t count)
{
    enum { FINE_SLOTS = 32 };
    if (count > (SB_BOOTSTRAP_BLOCKS_MIN - 1) * SB_EVAL_SLOT_SAMPLES)
        return SB_EVAL_SLOT_SAMPLES;
    return count ? (count + FINE_SLOTS - 1) / FINE_SLOTS : 1;
}

struct sb_rng sb_evaluate_mask_key(void)
{
    return sb_rng_key(0, SB_RNG_EVAL_MASK, 0);
}

static size_t best_of(const float *row, size_t K)
{
    size_t best = 0;
    for (size_t k = 1; k < K; k++)
        if (row[k] > row[best])
            best = k;
    return best;
}

static void count_confusion(double *confusion, const struct sb_batch *batch, const float *logits,
                            size_t K)
{
    for (size_t b = 0; b < batch->B; b++) {
        size_t best = best_of(logits + b * K, K);
        if (batch->labels[b] >= 0)
            confusion[(size_t)batch->labels[b] * K + best]++;
    }
}

/* Several classes, or a number. */
static void count_values(double *counts, enum sb_problem problem, const struct sb_batch *batch,
                         const float *logits, size_t K, struct sb_arena *arena)
{
    float *chosen = sb_arena_array(arena, float, K);
    for (size_t b = 0; b < batch->B; b++) {
        const float *x = logits + b * K, *y = batch->values + b * K;
        for (size_t k = 0; k < K; k++)
            chosen[k] = x[k] > 0.0f;
        if (problem == SB_REGRESSION)
            sb_value_counts_add(counts, (double)y[0], (double)x[0]);
        else
            sb_label_counts_add(counts, y, chosen, K);
    }
}

size_t sb_evaluate_count_count(const struct sb_bert_config *config)
{
    size_t K = config->label_count;
    return config->problem == SB_REGRESSION    ? SB_VALUE_COUNTS
           : config->problem == SB_MULTI_LABEL ? sb_label_count_count(K)
                                               : K * K;
}

/* The samples from first on that fit into one pass, and at least one. */
static uint64_t *pass_samples(uint64_t *count, const struct sb_dataset *dataset, uint64_t first,
                              uint64_t end, size_t pass_tokens, struct sb_arena *arena)
{
    uint64_t next = first + 1;
    size_t tokens = sb_dataset_length(dataset, first);
    while (next < end && tokens + sb_dataset_length(dataset, next) <= pass_tokens)
        tokens += sb_dataset_length(dataset, next++);
    *count = next - first;
    uint64_t *samples = sb_arena_array(arena, uint64_t, *count);
    for (uint64_t i = 0; i < *count; i++)
        samples[i] = first + i;
    return samples;
}

int sb_evaluate(const struct sb_bert *bert, const struct sb_dataset *dataset,
                const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                uint64_t first, uint64_t end, size_t pass_tokens, struct sb_arena *arena,
                struct sb_stats *stats, double *counts, struct sb_err *err)
{
    struct sb_rng mask_key = sb_evaluate_mask_key();
    size_t K = bert->config.label_count;
    sb_assert(end <= sb_dataset_count(dataset));
    while (first < end) {
        struct sb_batch batch;
        struct sb_outputs outputs = {0};
        sb_arena_reset(arena);
        uint64_t count, *samples = pass_samples(&count, dataset, first, end, pass_tokens, arena);
        if (sb_collate(&batch, dataset, tokenizer, samples, count, masks, masks ? &mask_key : NULL,
                       arena, stats, err) < 0 ||
            sb_bert_check(bert, &batch, err) < 0)
            return -1;
        if (!masks)
            outputs.class_logits = sb_arena_array(arena, float, batch.B *K);
        sb_bert_eval(bert, &batch, arena, &outputs, stats);
        if (!masks && batch.labels)
            count_confusion(counts, &batch, outputs.class_logits, K);
        if (!masks && batch.values)
            count_values(counts, bert->config.problem, &batch, outputs.class_logits, K, arena);
        first += count;
    }
    return 0;
}

size_t sb_evaluate_gold_count(const struct sb_bert_config *config)
{
    return config->problem == SB_MULTI_LABEL ? config->label_count : 1;
}

static void read_gold(int32_t *gold, const struct sb_batch *batch, size_t G)
{
    for (size_t i = 0; i < batch->B * G; i++)
        gold[i] = batch->values ? batch->values[i] > 0 : batch->labels ? batch->labels[i] : -1;
}

int sb_evaluate_vectors(const struct sb_bert *bert, const struct sb_dataset *dataset,
                        const struct sb_wordpiece *tokenizer, const uint64_t *samples, size_t count,
                        const struct sb_sentence *sentence, size_t pass_tokens,
                        struct sb_arena *arena, struct sb_stats *stats, int32_t *gold,
                        float *vectors, struct sb_err *err)
{
    size_t C = bert->config.hidden_size, G = sb_evaluate_gold_count(&bert->config);
    for (size_t first = 0, end; first < count; first = end) {
        struct sb_batch batch;
        size_t tokens = sb_dataset_length(dataset, samples[first]);
        for (end = first + 1; end < count; end++) {
            tokens += sb_dataset_length(dataset, samples[end]);
            if (tokens > pass_tokens)
                break;
        }
        sb_arena_reset(arena);
        if (sb_collate(&batch, dataset, tokenizer, samples + first, end - first, NULL, NULL, arena,
                       stats, err) < 0 ||
            sb_bert_check(bert, &batch, err) < 0)
            return -1;
        read_gold(gold + first * G, &batch, G);
        sb_bert_vectors(bert, &batch, sentence->pooling, NULL, arena, vectors + first * C);
        if (sentence->normalize)
            sb_embed_head_normalize(vectors + first * C, end - first, C);
    }
    return 0;
}

/* ---- tags of words ---- */

/* The words of the sentence in hand, which may go on in the next pass. */
struct sentence {
    int32_t *gold, *predicted;  /* [count] */
    struct sb_entity *entities; /* [2 capacity] */
    size_t count, capacity;
};

static void add_word(struct sentence *sentence, int32_t gold, size_t predicted)
{
    if (sentence->count == sentence->capacity) {
        size_t capacity = sentence->capacity = sentence->capacity ? 2 * sentence->capacity : 128;
        sentence->gold = sb_realloc(sentence->gold, capacity * sizeof(*sentence->gold));
        sentence->predicted =
            sb_realloc(sentence->predicted, capacity * sizeof(*sentence->predicted));
        sentence->entities =
            sb_realloc(sentence->entities, 2 * capacity * sizeof(*sentence->entities));
    }
    sentence->gold[sentence->count] = gold;
    sentence->predicted[sentence->count++] = (int32_t)predicted;
}

static void end_sentence(struct sentence *sentence, double *counts, const struct sb_tags *tags)
{
    if (sentence->count)
        sb_entities_count(counts, sentence->entities, sentence->gold, sentence->predicted,
                          sentence->count, tags);
    sentence->count = 0;
}

static void count_words(struct sentence *sentence, double *counts, const struct sb_tags *tags,
                        const struct sb_batch *batch, const float *logits, size_t K)
{
    size_t target = 0;
    for (size_t b = 0; b < batch->B; b++) {
        if (!batch->continues[b])
            end_sentence(sentence, counts, tags);
        for (; target < batch->target_count && batch->target_rows[target] < batch->starts[b + 1];
             target++)
            if (batch->target_firsts[target])
                add_word(sentence, batch->target_ids[target], best_of(logits + target * K, K));
    }
}

void sb_evaluate_whole_sentences(const struct sb_dataset *dataset, uint64_t *first, uint64_t *end)
{
    uint64_t count = sb_dataset_count(dataset);
    while (*first < *end && sb_dataset_continues(dataset, *first))
        ++*first;
    while (*first < *end && *end < count && sb_dataset_continues(dataset, *end))
        ++*end;
}

int sb_evaluate_tags(const struct sb_bert *bert, const struct sb_dataset *dataset,
                     const struct sb_wordpiece *tokenizer, const struct sb_tags *tags,
                     uint64_t first, uint64_t end, size_t pass_tokens, struct sb_arena *arena,
                     struct sb_stats *stats, double *counts, struct sb_err *err)
{
    struct sentence sentence = {0};
    size_t K = bert->config.label_count;
    int rc = 0;
    sb_assert(end <= sb_dataset_count(dataset));
    sb_evaluate_whole_sentences(dataset, &first, &end);
    while (rc == 0 && first < end) {
        struct sb_batch batch;
        sb_arena_reset(arena);
        uint64_t count, *samples = pass_samples(&count, dataset, first, end, pass_tokens, arena);
        first += count;
        rc = sb_collate(&batch, dataset, tokenizer, samples, count, NULL, NULL, arena, stats, err);
        if (rc < 0 || (rc = sb_bert_check(bert, &batch, err)) < 0)
            break;
        struct sb_outputs outputs = {.target_logits =
                                         sb_arena_array(arena, float, batch.target_count *K)};
        sb_bert_eval(bert, &batch, arena, &outputs, stats);
        count_words(&sentence, counts, tags, &batch, outputs.target_logits, K);
    }
    end_sentence(&sentence, counts, tags);
    free(sentence.gold);
    free(sentence.predicted);
    free(sentence.entities);
    return rc;
}
