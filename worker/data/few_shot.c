#include "few_shot.h"

#include "cache.h"
#include "dataset_parts.h"

#include <stdlib.h>

/* Of SB_RNG_SAMPLE: an order of its own, apart from those of pairs. */
enum { ROUND_FEW_SHOT = 0x66657773 };

/* Samples in the order of taking, with their classes; becomes the row at the end. */
struct taking {
    uint64_t *samples;
    uint32_t *classes;
    size_t room;
};

static void take(struct taking *taking, struct sb_few_shot *chosen, uint64_t sample, uint32_t class)
{
    if (chosen->count == taking->room) {
        taking->room = taking->room ? 2 * taking->room : 64;
        taking->samples = sb_realloc(taking->samples, taking->room * sizeof(*taking->samples));
        taking->classes = sb_realloc(taking->classes, taking->room * sizeof(*taking->classes));
    }
    taking->samples[chosen->count] = sample;
    taking->classes[chosen->count] = class;
    chosen->count++;
    chosen->class_sizes[class]++;
}

/* The order of taking is kept inside each class. */
static void line_up(struct sb_few_shot *chosen, const struct taking *taking)
{
    uint64_t *next = sb_calloc(chosen->class_count, sizeof(*next));
    for (size_t c = 1; c < chosen->class_count; c++)
        next[c] = next[c - 1] + chosen->class_sizes[c - 1];
    chosen->samples = sb_alloc(chosen->count * sizeof(*chosen->samples));
    for (uint64_t i = 0; i < chosen->count; i++)
        chosen->samples[next[taking->classes[i]]++] = taking->samples[i];
    free(next);
}

/* Who is asked for labels. */
struct labels_of {
    sb_few_shot_label_fn *label;
    const void *context;
    uint64_t sample_count;
};

static int walk(struct taking *taking, struct sb_few_shot *chosen, const struct labels_of *labels,
                uint64_t per_label, uint64_t seed, struct sb_err *err)
{
    struct sb_rng order = sb_rng_key(seed, SB_RNG_SAMPLE, ROUND_FEW_SHOT);
    size_t open_classes = chosen->class_count;
    for (uint64_t k = 0; k < labels->sample_count && open_classes > 0; k++) {
        uint64_t sample = sb_rng_permute(&order, labels->sample_count, k);
        int32_t label;
        if (labels->label(&label, labels->context, sample, err) < 0)
            return -1;
        chosen->read_count++;
        if (label < 0)
            continue;
        uint32_t class = (uint32_t)label;
        sb_assert(class < chosen->class_count); /* the cache has compared them */
        if (per_label && chosen->class_sizes[class] == per_label)
            continue;
        take(taking, chosen, sample, class);
        open_classes -= chosen->class_sizes[class] == per_label;
    }
    if (chosen->count == 0)
        return sb_err_set(err, SB_ERR_DATA, "no sample of the data has a label");
    return 0;
}

int sb_few_shot_choose_by(struct sb_few_shot *chosen, uint64_t sample_count, size_t class_count,
                          sb_few_shot_label_fn *label, const void *context, uint64_t per_label,
                          uint64_t seed, struct sb_err *err)
{
    struct taking taking = {.room = 0};
    const struct labels_of labels = {label, context, sample_count};
    *chosen = (struct sb_few_shot){.class_count = class_count};
    chosen->class_sizes = sb_calloc(chosen->class_count, sizeof(*chosen->class_sizes));
    int rc = walk(&taking, chosen, &labels, per_label, seed, err);
    if (rc == 0)
        line_up(chosen, &taking);
    else
        sb_few_shot_release(chosen);
    free(taking.samples);
    free(taking.classes);
    return rc;
}

static int label_in_cache(int32_t *label, const void *context, uint64_t sample, struct sb_err *err)
{
    const struct sb_dataset *dataset = context;
    struct sb_cache_entry entry;
    if (sb_cache_entry_read(sb_dataset_cache(dataset), sample, &entry, err) < 0)
        return -1;
    *label = entry.label;
    return 0;
}

int sb_few_shot_choose(struct sb_few_shot *chosen, const struct sb_dataset *dataset,
                       uint64_t per_label, uint64_t seed, struct sb_err *err)
{
    return sb_few_shot_choose_by(chosen, sb_dataset_count(dataset), sb_dataset_label_count(dataset),
                                 label_in_cache, dataset, per_label, seed, err);
}

void sb_few_shot_release(struct sb_few_shot *chosen)
{
    free(chosen->samples);
    free(chosen->class_sizes);
    *chosen = (struct sb_few_shot)SB_FEW_SHOT_INIT;
}

size_t sb_few_shot_class(const struct sb_few_shot *chosen, uint64_t place)
{
    sb_assert(place < chosen->count);
    size_t class = 0;
    for (uint64_t end = chosen->class_sizes[0]; end <= place; end += chosen->class_sizes[class])
        class ++;
    return class;
}
