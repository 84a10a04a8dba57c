#include "evaluate.h"

struct sb_rng sb_evaluate_mask_key(void)
{
    return sb_rng_key(0, SB_RNG_EVAL_MASK, 0);
}

static void count_confusion(double *confusion, const struct sb_batch *batch, const float *logits,
                            size_t K)
{
    for (size_t b = 0; b < batch->B; b++) {
        const float *row = logits + b * K;
        size_t best = 0;
        for (size_t k = 1; k < K; k++)
            if (row[k] > row[best])
                best = k;
        if (batch->labels[b] >= 0)
            confusion[(size_t)batch->labels[b] * K + best]++;
    }
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
                       arena, stats, err) < 0 ||
            sb_bert_check(bert, &batch, err) < 0)
            return -1;
        if (!masks)
            outputs.class_logits = sb_arena_array(arena, float, batch.B *K);
        sb_bert_eval(bert, &batch, arena, &outputs, stats);
        if (!masks && batch.labels)
            count_confusion(confusion, &batch, outputs.class_logits, K);
        first += count;
    }
    return 0;
}
