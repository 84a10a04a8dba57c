/* What the files of the data set share with each other and with nobody else. */
#ifndef SB_DATASET_PARTS_H
#define SB_DATASET_PARTS_H

#include "cache.h"
#include "dataset.h"
#include "label_sets.h"

#include <string.h>

const struct sb_cache *sb_dataset_cache(const struct sb_dataset *dataset);
bool sb_dataset_is_labelled(const struct sb_dataset *dataset);
/* SB_LABEL_SET: what the labels of the cache stand for; else NULL. */
const struct sb_label_sets *sb_dataset_label_sets(const struct sb_dataset *dataset);
/* May a sample hold several sequences? */
bool sb_dataset_is_packed(const struct sb_dataset *dataset);
/* SB_DATA_WORDS: the label that the code of a token stands for; -1: none; -2: damaged. */
int32_t sb_dataset_code_label(const struct sb_dataset *dataset, int32_t code);

/* Otherwise the labels are those that the data has. */
static inline bool sb_labels_are_given(const struct sb_dataset_options *options)
{
    return options->labels && options->label_count > 0;
}

static inline void sb_entry_types(const struct sb_cache_entry *entry, uint8_t *types)
{
    memset(types, 0, entry->first_length);
    memset(types + entry->first_length, 1, (size_t)entry->length - entry->first_length);
}

#endif
