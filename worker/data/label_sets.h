/*
 * Sets of classes, one for each sample of data with several labels.
 *
 * The cache knows a set as one label, whose name is that of its classes, sorted and joined by
 * SB_LABEL_SEPARATOR: there are far fewer different sets than samples.
 */
#ifndef SB_LABEL_SETS_H
#define SB_LABEL_SETS_H

#include "dataset.h"
#include "labels.h"

struct sb_label_sets {
    struct sb_labels classes;
    size_t count;  /* sets */
    size_t *begin; /* [count+1] into ids */
    int32_t *ids;  /* of the classes of each set */
};

/* The given classes, or else those that are found in the names, sorted.  SB_ERR_DATA: a name that
 * cannot be one of ours. */
int sb_label_sets_init(struct sb_label_sets *sets, char *const *names, size_t count,
                       const struct sb_dataset_options *options, struct sb_err *err);
void sb_label_sets_release(struct sb_label_sets *sets);
/* values [classes]: 1 for the classes of this set, 0 for the others. */
void sb_label_sets_values(const struct sb_label_sets *sets, int32_t set, float *values);

/*
 * The name of the set that a label of the data stands for; classes holds the given names, or
 * receives new ones.  A class that is there twice counts once.
 */
int sb_label_set_name(struct sb_bytes *name, const char *label, struct sb_labels *classes,
                      bool given, const char *path, uint64_t line, struct sb_err *err);

#endif
