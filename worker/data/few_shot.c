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
    const struct sb_label_sets *sets; /* NULL: a class is a label */
};

/* The labels of a class. */
static const int32_t *labels_in(size_t *count, const struct sb_label_sets *sets,
                                const int32_t *class)
{
    if (!sets) {
        *count = 1;
        return class;
    }
    *count = sets->begin[*class + 1] - sets->begin[*class];
    return sets->ids + sets->begin[*class];
}

/* Does any of its labels still want a sample?  Of all samples nobody is asked. */
static bool is_wanted(const struct sb_few_shot *chosen, const int32_t *labels, size_t count,
                      uint64_t per_label)
{
    for (size_t i = 0; i < count; i++)
        if (chosen->label_sizes[labels[i]] < per_label)
            return true;
    return !per_label;
}

static int walk(struct taking *taking, struct sb_few_shot *chosen, const struct labels_of *of,
                uint64_t per_label, uint64_t seed, struct sb_err *err)
{
    struct sb_rng order = sb_rng_key(seed, SB_RNG_SAMPLE, ROUND_FEW_SHOT);
    size_t open_labels = chosen->label_count;
    for (uint64_t k = 0; k < of->sample_count && (open_labels > 0 || !per_label); k++) {
        uint64_t sample = sb_rng_permute(&order, of->sample_count, k);
        int32_t class;
        size_t count;
        if (of->label(&class, of->context, sample, err) < 0)
            return -1;
        chosen->read_count++;
        if (class < 0)
            continue;
        sb_assert((size_t) class < chosen->class_count); /* the cache has compared them */
        const int32_t *labels = labels_in(&count, of->sets, &class);
        if (!is_wanted(chosen, labels, count, per_label))
            continue;
        take(taking, chosen, sample, (uint32_t) class);
        for (size_t i = 0; i < count; i++)
            open_labels -= ++chosen->label_sizes[labels[i]] == per_label;
    }
    if (chosen->count == 0)
        return sb_err_set(err, SB_ERR_DATA, "no sample of the data has a label");
    return 0;
}

/* Most sets of the data have no sample among a few: only the others are classes. */
static void number_sets(struct sb_few_shot *chosen)
{
    size_t count = 0;
    chosen->sets = sb_calloc(chosen->class_count + 1, sizeof(*chosen->sets));
    for (size_t set = 0; set < chosen->class_count; set++) {
        if (!chosen->class_sizes[set])
            continue;
        chosen->class_sizes[count] = chosen->class_sizes[set];
        chosen->sets[count++] = (uint32_t)set;
    }
    chosen->class_count = count;
}

static int choose(struct sb_few_shot *chosen, const struct labels_of *of, size_t class_count,
                  uint64_t per_label, uint64_t seed, struct sb_err *err)
{
    struct taking taking = {.room = 0};
    *chosen = (struct sb_few_shot){
        .class_count = class_count,
        .class_sizes = sb_calloc(class_count + 1, sizeof(*chosen->class_sizes)),
        .label_count = of->sets ? of->sets->classes.count : class_count,
    };
    chosen->label_sizes = sb_calloc(chosen->label_count + 1, sizeof(*chosen->label_sizes));
    int rc = walk(&taking, chosen, of, per_label, seed, err);
    if (rc == 0) {
        line_up(chosen, &taking);
        if (of->sets)
            number_sets(chosen);
    } else {
        sb_few_shot_release(chosen);
    }
    free(taking.samples);
    free(taking.classes);
    return rc;
}

int sb_few_shot_choose_by(struct sb_few_shot *chosen, uint64_t sample_count, size_t class_count,
                          sb_few_shot_label_fn *label, const void *context, uint64_t per_label,
                          uint64_t seed, struct sb_err *err)
{
    const struct labels_of of = {label, context, sample_count, NULL};
    return choose(chosen, &of, class_count, per_label, seed, err);
}

int sb_few_shot_choose_sets_by(struct sb_few_shot *chosen, uint64_t sample_count,
                               const struct sb_label_sets *sets, sb_few_shot_label_fn *label,
                               const void *context, uint64_t per_label, uint64_t seed,
                               struct sb_err *err)
{
    const struct labels_of of = {label, context, sample_count, sets};
    return choose(chosen, &of, sets->count, per_label, seed, err);
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
    const struct labels_of of = {label_in_cache, dataset, sb_dataset_count(dataset),
                                 sb_dataset_label_sets(dataset)};
    size_t class_count = of.sets ? of.sets->count : sb_dataset_label_count(dataset);
    return choose(chosen, &of, class_count, per_label, seed, err);
}

void sb_few_shot_release(struct sb_few_shot *chosen)
{
    free(chosen->samples);
    free(chosen->class_sizes);
    free(chosen->label_sizes);
    free(chosen->sets);
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
