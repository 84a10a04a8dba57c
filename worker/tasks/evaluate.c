#include "evaluate.h"

#include <inttypes.h>

struct sb_rng sb_evaluate_mask_key(void)
{
    return sb_rng_key(0, SB_RNG_EVAL_MASK, 0);
}

static int count_confusion(double *confusion, const struct sb_batch *batch, const float *logits,
                           size_t K, struct sb_err *err)
{
    for (size_t b = 0; b < batch->B; b++) {
        int32_t gold = batch->labels ? batch->labels[b] : -1;
        if (gold < 0 || (size_t)gold >= K)
            return sb_err_set(err, SB_ERR_DATA, "sample %" PRIu64 " has no label of this model",
                              batch->samples[b]);
        size_t best = 0;
        for (size_t k = 1; k < K; k++)
            if (logits[b * K + k] > logits[b * K + best])
                best = k;
        if (confusion)
            confusion[(size_t)gold * K + best]++;
    }
    return 0;
}

/* The samples from first on that fit into one pass, and at least one. */
static uint64_t pass_samples(const struct sb_dataset *dataset, uint64_t first, uint64_t end,
                             size_t pass_tokens)
{
    uint64_t next = first + 1;
    size_t tokens = sb_dataset_length(dataset, first);
    while (next < end && tokens + sb_dataset_length(dataset, next) <= pass_tokens)
        tokens += sb_dataset_length(dataset, next++);
    return next - first;
}

int sb_evaluate(const struct sb_bert *bert, const struct sb_dataset *dataset,
                const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                uint64_t first, uint64_t end, size_t pass_tokens, struct sb_arena *arena,
                struct sb_stats *stats, double *confusion, struct sb_err *err)
{
    struct sb_rng mask_key = sb_evaluate_mask_key();
    size_t K = bert->config.label_count;
    sb_assert(end <= sb_dataset_count(dataset));
    while (first < end) {
        struct sb_batch batch;
        struct sb_outputs outputs = {0};
        sb_arena_reset(arena);
        uint64_t count = pass_samples(dataset, first, end, pass_tokens);
        uint64_t *samples = sb_arena_array(arena, uint64_t, count);
        for (uint64_t i = 0; i < count; i++)
            samples[i] = first + i;
        if (sb_collate(&batch, dataset, tokenizer, samples, count, masks, masks ? &mask_key : NULL,
                       arena, stats, err) < 0)
            return -1;
        if (!masks)
            outputs.class_logits = sb_arena_array(arena, float, batch.B *K);
        else
            batch.labels = NULL;
        sb_bert_eval(bert, &batch, arena, &outputs, stats);
        if (!masks && count_confusion(confusion, &batch, outputs.class_logits, K, err) < 0)
            return -1;
        first += count;
    }
    return 0;
}
