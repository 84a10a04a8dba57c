/*
 * Choosing examples: a few of each class, or all, in the row of classes that pairs.h counts on.
 *
 * The data set is gone through in the order of a keyed permutation, and the first per_label samples
 * of each class are taken: the same for the same data and seed, whoever does it, and a random
 * choice.  Nothing of the data set is kept in memory but the numbers of the samples that are taken,
 * and reading ends when every class is full.
 */
#ifndef SB_FEW_SHOT_H
#define SB_FEW_SHOT_H

#include "dataset.h"

/* Life: choose, read, release; release after a failure is harmless. */
struct sb_few_shot {
    uint64_t *samples;     /* [count] class after class; inside a class in the order of taking */
    uint64_t *class_sizes; /* [class_count] samples taken; fewer than asked for where there are no
                              more, down to none */
    size_t class_count;
    uint64_t count;
    uint64_t read_count; /* samples that were looked at */
};

#define SB_FEW_SHOT_INIT                                                                           \
    {                                                                                              \
        0                                                                                          \
    }

/*
 * per_label 0: all samples that have a label.  Samples without one are passed over.  SB_ERR_DATA:
 * nothing has a label; else what reading the data set says.
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
void sb_few_shot_release(struct sb_few_shot *chosen);

/* The class of a place of the row, place < count. */
size_t sb_few_shot_class(const struct sb_few_shot *chosen, uint64_t place);

#endif
