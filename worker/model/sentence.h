/*
 * How a text becomes one vector, and the files in which a sentence-transformers folder says so:
 * modules.json, 1_Pooling/config.json, 2_Normalize, sentence_bert_config.json.
 */
#ifndef SB_SENTENCE_H
#define SB_SENTENCE_H

#include "err.h"
#include "pooling.h"

#include <stdbool.h>
#include <stddef.h>

enum { SB_POOLING_COUNT = SB_POOLING_MAX + 1 };
/* "mean", "cls", "max" */
extern const char *const sb_pooling_names[SB_POOLING_COUNT];

/*
 * The rows [T, C] of a text, [CLS] and [SEP] included, become one vector [C]: their mean, the
 * first, or the largest value of each column.
 */
struct sb_sentence {
    enum sb_pooling pooling;
    bool normalize;    /* then divided by its Euclidean length, 1e-12 at least */
    size_t max_length; /* tokens of a text, specials included; 0: as the model has positions */
};

/* Is it a sentence-transformers folder? */
bool sb_sentence_is_folder(const char *folder);
/*
 * Reads how a sentence-transformers folder pools.  The files are untrusted: SB_ERR_DATA with the
 * file, also for a module or a pooling that we do not compute, by name.
 */
int sb_sentence_read(struct sb_sentence *sentence, const char *folder, struct sb_err *err);
/*
 * Writes these files and config_sentence_transformers.json beside a model that is there already;
 * modules.json last.  hidden_size: C; max_length must be set.
 */
int sb_sentence_write(const struct sb_sentence *sentence, size_t hidden_size, const char *folder,
                      struct sb_err *err);

#endif
