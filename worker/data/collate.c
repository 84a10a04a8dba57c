/* Samples become a ragged batch; the arrays lie in the arena of the slot. */
#include "dataset.h"

#include "cache.h"
#include "dataset_parts.h"

#include <inttypes.h>

static size_t mask_all(struct sb_batch *batch, int32_t *ids, const struct sb_wordpiece *tokenizer,
                       const struct sb_mask_options *masks, const struct sb_rng *mask_key,
                       struct sb_arena *arena)
{
    uint32_t *rows = sb_arena_array(arena, uint32_t, batch->N);
    int32_t *originals = sb_arena_array(arena, int32_t, batch->N);
    size_t count = 0;
    for (size_t b = 0; b < batch->B; b++) {
        uint32_t start = batch->starts[b];
        size_t found = sb_mask_sequence(ids + start, batch->starts[b + 1] - start, rows + count,
                                        originals + count, tokenizer, masks, mask_key,
                                        batch->samples[b], arena);
        for (size_t i = count; i < count + found; i++)
            rows[i] += start;
        count += found;
    }
    batch->target_rows = rows;
    batch->target_ids = originals;
    return count;
}

/* The targets of words: every piece that has a label. */
static int find_targets(struct sb_batch *batch, const struct sb_dataset *dataset,
                        const int32_t *codes, uint8_t *continues, struct sb_arena *arena,
                        struct sb_err *err)
{
    uint32_t *rows = sb_arena_array(arena, uint32_t, batch->N);
    int32_t *labels = sb_arena_array(arena, int32_t, batch->N);
    uint8_t *firsts = sb_arena_array(arena, uint8_t, batch->N);
    size_t count = 0;
    for (size_t row = 0; row < batch->N; row++) {
        int32_t label = sb_dataset_code_label(dataset, codes[row]);
        if (label == -2)
            return sb_err_set(err, SB_ERR_DATA, "prepared data has a label that there is not");
        if (label < 0)
            continue;
        rows[count] = (uint32_t)row;
        labels[count] = label;
        firsts[count++] = codes[row] % 2 == 0;
    }
    batch->target_count = count;
    batch->target_rows = rows;
    batch->target_ids = labels;
    batch->target_firsts = firsts;
    batch->continues = continues;
    return 0;
}

/* Samples that hold several sequences: one of the batch for each of them. */
static void split_packed(struct sb_batch *batch, const struct sb_wordpiece *tokenizer,
                         struct sb_arena *arena)
{
    struct sb_specials specials = sb_wordpiece_specials(tokenizer);
    uint32_t *starts = sb_arena_array(arena, uint32_t, batch->N + 1);
    uint64_t *numbers = sb_arena_array(arena, uint64_t, batch->N);
    size_t count = 0;
    for (size_t b = 0; b < batch->B; b++) {
        uint64_t sequence = 0;
        for (uint32_t row = batch->starts[b]; row < batch->starts[b + 1]; row++) {
            bool begins = row == batch->starts[b] ||
                          (batch->ids[row] == specials.cls && batch->ids[row - 1] == specials.sep);
            if (!begins)
                continue;
            starts[count] = row;
            numbers[count++] = sb_sequence_number(batch->samples[b], sequence++);
        }
    }
    starts[count] = (uint32_t)batch->N;
    batch->B = count;
    batch->starts = starts;
    batch->samples = numbers;
}

/* Instead of labels, where they are not one class each. */
static void give_values(struct sb_batch *batch, const struct sb_dataset *dataset,
                        const int32_t *labels, struct sb_arena *arena)
{
    size_t K =
        sb_dataset_label_form(dataset) == SB_LABEL_SCORE ? 1 : sb_dataset_label_count(dataset);
    float *values = sb_arena_array(arena, float, batch->B *K);
    for (size_t b = 0; b < batch->B; b++)
        sb_dataset_values(dataset, labels[b], values + b * K);
    batch->values = values;
    batch->labels = NULL;
}

int sb_collate(struct sb_batch *batch, const struct sb_dataset *dataset,
               const struct sb_wordpiece *tokenizer, const uint64_t *samples, size_t count,
               const struct sb_mask_options *masks, const struct sb_rng *mask_key,
               struct sb_arena *arena, struct sb_stats *stats, struct sb_err *err)
{
    const struct sb_cache *cache = sb_dataset_cache(dataset);
    struct sb_cache_entry *entries = sb_arena_array(arena, struct sb_cache_entry, count);
    uint32_t *starts = sb_arena_array(arena, uint32_t, count + 1);
    uint64_t *kept = sb_arena_array(arena, uint64_t, count);
    int32_t *labels = sb_arena_array(arena, int32_t, count);
    uint8_t *continues = sb_arena_array(arena, uint8_t, count);
    size_t truncated = 0, begun = 0;
    uint64_t N = 0;

    starts[0] = 0;
    for (size_t b = 0; b < count; b++) {
        if (sb_cache_entry_read(cache, samples[b], &entries[b], err) < 0)
            return -1;
        N += entries[b].length;
        if (N > UINT32_MAX)
            return sb_err_set(err, SB_ERR_CONFIG, "a batch of %zu samples has too many tokens",
                              count);
        starts[b + 1] = (uint32_t)N;
        kept[b] = samples[b];
        labels[b] = entries[b].label;
        truncated += (entries[b].flags & SB_CACHE_TRUNCATED) != 0;
        continues[b] = (entries[b].flags & SB_CACHE_CONTINUES) != 0;
        begun += !continues[b];
    }

    int32_t *ids = sb_arena_array(arena, int32_t, N);
    uint8_t *types = sb_arena_array(arena, uint8_t, N);
    bool words = cache->width > 1;
    int32_t *codes = words ? sb_arena_array(arena, int32_t, N) : NULL;
    int32_t *values = words ? sb_arena_array(arena, int32_t, 2 * (size_t)cache->max_length) : NULL;
    for (size_t b = 0; b < count; b++) {
        size_t length = entries[b].length;
        int32_t *to = words ? values : ids + starts[b];
        if (sb_cache_tokens_read(cache, samples[b], &entries[b], to, err) < 0)
            return -1;
        if (words) {
            memcpy(ids + starts[b], values, length * sizeof(*ids));
            memcpy(codes + starts[b], values + length, length * sizeof(*codes));
        }
        sb_entry_types(&entries[b], types + starts[b]);
    }

    *batch = (struct sb_batch){
        .B = count,
        .N = (size_t)N,
        .starts = starts,
        .ids = ids,
        .types = types,
        .samples = kept,
        .labels = sb_dataset_is_labelled(dataset) ? labels : NULL,
    };
    if (sb_dataset_is_packed(dataset))
        split_packed(batch, tokenizer, arena);
    if (sb_dataset_is_labelled(dataset) && sb_dataset_label_form(dataset) != SB_LABEL_CLASS)
        give_values(batch, dataset, labels, arena);
    if (words && find_targets(batch, dataset, codes, continues, arena, err) < 0)
        return -1;
    if (masks)
        batch->target_count = mask_all(batch, ids, tokenizer, masks, mask_key, arena);
    if (stats)
        sb_stats_add(stats, &(struct sb_stats){.samples = (double)begun,
                                               .tokens = (double)N,
                                               .truncated = (double)truncated});
    return 0;
}
