#include "overlap.h"

#include "arena.h"
#include "few_shot_items.h"
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 1 << 19, TOKENS_MAX = 1 << 28 };

/* The samples of a set by name: rising hashes of their tokens. */
struct names {
    uint64_t *hashes; /* [count]; NULL: the set is left out */
    uint64_t count;
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* chosen: the samples that count; without any, all of the data set. */
static int take_names(struct names *names, const struct sb_dataset *data,
                      const struct sb_few_shot *chosen, struct sb_err *err)
{
    bool few = chosen && chosen->count;
    uint64_t count = few ? chosen->count : sb_dataset_count(data);
    if (count > SAMPLES_MAX || (!few && sb_dataset_token_count(data) > TOKENS_MAX))
        return 0;
    size_t capacity = 0;
    int32_t *ids = NULL;
    int rc = 0;
    names->hashes = sb_alloc((count + 1) * sizeof(*names->hashes));
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        uint64_t sample = few ? chosen->samples[i] : i;
        uint32_t length = sb_dataset_length(data, sample);
        if (length > capacity || !ids) {
            capacity = 2 * (size_t)length + 64;
            ids = sb_realloc(ids, capacity * sizeof(*ids));
        }
        rc = sb_dataset_read(data, sample, ids, NULL, NULL, NULL, err);
        if (rc == 0)
            names->hashes[names->count++] = sb_hash(ids, length * sizeof(*ids));
    }
    free(ids);
    qsort(names->hashes, names->count, sizeof(*names->hashes), by_value);
    return rc;
}

static uint64_t count_shared(const struct names *of, const struct names *with)
{
    uint64_t shared = 0;
    for (uint64_t i = 0; i < of->count; i++)
        shared += bsearch(&of->hashes[i], with->hashes, with->count, sizeof(*with->hashes),
                          by_value) != NULL;
    return shared;
}

static bool compare(struct sb_overlap *overlap, const struct names *of, const struct names *with)
{
    if (!of->hashes || !with->hashes)
        return false;
    overlap->count = of->count;
    overlap->shared = count_shared(of, with);
    overlap->same = of->count == with->count && overlap->shared == of->count &&
                    count_shared(with, of) == with->count;
    return overlap->shared > 0;
}

static const struct sb_few_shot *chosen_of(const struct sb_task *task)
{
    return task->few_items ? &task->few_items->chosen : &task->few;
}

int sb_task_overlaps(struct sb_overlap overlaps[SB_OVERLAPS], const struct sb_task *task,
                     struct sb_err *err)
{
    struct names names[1 + SB_EVAL_SETS] = {{0}};
    const char *settings[1 + SB_EVAL_SETS] = {"train_file"};
    size_t set_count =
        1 + task->eval_count - (task->setfit ? 1 : 0); /* the set "head" is of train */
    int rc = task->eval_count ? take_names(&names[0], task->train, chosen_of(task), err) : 0;
    for (size_t i = 1; rc == 0 && i < set_count; i++) {
        settings[i] = strcmp(task->evals[i - 1].name, "test") ? "validation_file" : "test_file";
        rc = take_names(&names[i], task->evals[i - 1].data, NULL, err);
    }
    int count = 0;
    for (size_t with = 0; rc == 0 && with < set_count; with++)
        for (size_t of = with + 1; of < set_count; of++) {
            overlaps[count] = (struct sb_overlap){.of = settings[of], .with = settings[with]};
            count += compare(&overlaps[count], &names[of], &names[with]);
        }
    for (size_t i = 0; i < set_count; i++)
        free(names[i].hashes);
    return rc < 0 ? -1 : count;
}

void sb_overlap_say(char *out, size_t bytes, const struct sb_overlap *overlap)
{
    bool learnt = !strcmp(overlap->with, "train_file");
    const char *what = learnt ? "the scores show what was learnt by heart"
                              : "whatever is chosen by validation (the best checkpoint, an early "
                                "stop, a row of a sweep) is chosen on the test set, and the test "
                                "scores are too good";
    if (overlap->same)
        snprintf(out, bytes, "%s and %s hold the same samples: %s", overlap->with, overlap->of,
                 what);
    else
        snprintf(out, bytes,
                 "%" PRIu64 " of the %" PRIu64 " samples of %s are also in %s (the same tokens): "
                 "scores on them are too good",
                 overlap->shared, overlap->count, overlap->of, overlap->with);
}
