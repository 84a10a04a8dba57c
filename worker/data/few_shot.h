/*
 * Choosing examples: a few of each label, or all, in the row of classes that pairs.h counts on.
 * Where a sample has any number of labels, a class is a set of labels, and a sample counts for each
 * of its own.
 *
 * The data set is gone through in the order of a keyed permutation, and the first per_label samples
 * of each label are taken: the same for the same data and seed, whoever does it, and a random
 * choice.  Nothing of the data set is kept in memory but the numbers of the samples that are taken,
 * and reading ends when every label is full.
 */
#ifndef SB_FEW_SHOT_H
#define SB_FEW_SHOT_H

#include "dataset.h"
#include "label_sets.h"

/* Life: choose, read, release; release after a failure is harmless. */
struct sb_few_shot {
    uint64_t *samples;     /* [count] class after class; inside a class in the order of taking */
    uint64_t *class_sizes; /* [class_count] samples taken; fewer than asked for where there are no
                              more, down to none */
    size_t class_count;
    uint64_t *label_sizes; /* [label_count] the same by label; of sets also more, by other labels */
    size_t label_count;
    uint32_t *sets; /* [class_count] the set of each class, none of them empty of samples; NULL:
                       classes are labels */
    uint64_t count;
    uint64_t read_count; /* samples that were looked at */
};

#define SB_FEW_SHOT_INIT                                                                           \
    {                                                                                              \
        0                                                                                          \
    }

/*
 * per_label 0: all samples that have a label, or a set of them, be it empty.  Else samples without
 * one are passed over, as SetFit does.  SB_ERR_DATA: nothing has a label; else what reading the
 * data set says.
 */
int sb_few_shot_choose(struct sb_few_shot *chosen, const struct sb_dataset *dataset,
                       uint64_t per_label, uint64_t seed, struct sb_err *err);
/*
 * The same choice for those who hold the labels and no data set: label (of one of class_count
 * classes, or -1) is asked for one sample at a time, and returns -1 when it cannot tell.
 */
typedef int sb_few_shot_label_fn(int32_t *label, const void *context, uint64_t sample,
                                 struct sb_err *err);
int sb_few_shot_choose_by(struct sb_few_shot *chosen, uint64_t sample_count, size_t class_count,
                          sb_few_shot_label_fn *label, const void *context, uint64_t per_label,
                          uint64_t seed, struct sb_err *err);
/* Of label sets, which outlive the call: label says which set a sample has. */
int sb_few_shot_choose_sets_by(struct sb_few_shot *chosen, uint64_t sample_count,
                               const struct sb_label_sets *sets, sb_few_shot_label_fn *label,
                               const void *context, uint64_t per_label, uint64_t seed,
                               struct sb_err *err);
void sb_few_shot_release(struct sb_few_shot *chosen);

/* The class of a place of the row, place < count. */
size_t sb_few_shot_class(const struct sb_few_shot *chosen, uint64_t place);

#endif
