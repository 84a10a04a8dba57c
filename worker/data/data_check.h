/* What a person wants to know about their data before training on it. */
#ifndef SB_DATA_CHECK_H
#define SB_DATA_CHECK_H

#include "bytes.h"
#include "dataset.h"

struct sb_data_summary {
    uint64_t samples, tokens, truncated; /* tokens with specials */
    uint64_t unlabelled;
    uint32_t length_p50, length_p95, length_max; /* tokens of a sample, after cutting */
    uint64_t *per_label;                         /* [label_count] samples of each class */
    size_t label_count;
};

/* Reads the index of a data set once.  Release with sb_data_summary_release. */
int sb_data_summarise(struct sb_data_summary *summary, const struct sb_dataset *dataset,
                      struct sb_err *err);
void sb_data_summary_release(struct sb_data_summary *summary);

/* Prepares the data (or finds it prepared) and appends the summary as lines of text. */
int sb_data_check(struct sb_bytes *out, const struct sb_wordpiece *tokenizer,
                  const struct sb_dataset_options *options, struct sb_err *err);

#endif
