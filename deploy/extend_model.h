/* A model folder with an extended vocabulary: what `shardbert vocab --extend` does. */
#ifndef SB_EXTEND_MODEL_H
#define SB_EXTEND_MODEL_H

#include "vocab_extend.h"

/*
 * Reads the folder `model`, extends its vocabulary by words of the text (vocab_extend.h), its
 * embeddings by their rows (grow.h), and writes a whole model folder `output`, with
 * added_words.tsv: word, id, count in the text, old pieces.  Says on standard error what was done.
 * All heads that the model has are kept.
 */
int sb_extend_model(const char *model, const char *output, const struct sb_extend_options *options,
                    struct sb_err *err);

#endif
