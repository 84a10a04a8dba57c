/*
 * From sources to a cache file, once through, in constant memory.
 *
 *     reader --> chunks of records --> threads that tokenise --> samples, in the order of reading
 *
 * The calling thread reads and writes; a ring of chunks lies between it and the tokenising threads.
 * A full ring stops the reading, so memory is bounded by the ring.
 */
#ifndef SB_PREPARE_H
#define SB_PREPARE_H

#include "cache.h"
#include "dataset.h"
#include "labels.h"

/*
 * Adds all samples to the writer.  labels holds the given names, or is empty and receives those
 * found.  records (NULL, or a hasher) takes in every record: the content of what cannot be read
 * twice.
 */
int sb_prepare(struct sb_cache_writer *writer, const struct sb_wordpiece *tokenizer,
               const struct sb_dataset_options *options, struct sb_labels *labels,
               struct sb_hasher *records, struct sb_err *err);

/* The same for SB_DATA_WORDS (prepare_words.c). */
int sb_prepare_words(struct sb_cache_writer *writer, const struct sb_wordpiece *tokenizer,
                     const struct sb_dataset_options *options, struct sb_labels *labels,
                     struct sb_hasher *records, struct sb_err *err);

/* The given class names (dataset.c). */
int sb_labels_take(struct sb_labels *labels, const struct sb_dataset_options *options,
                   struct sb_err *err);

/*
 * The id of a label of the data: a name that is known, or if the labels are given the number of
 * one, or else a new name.  SB_ERR_DATA names file and line.
 */
int sb_label_resolve(int32_t *id, struct sb_labels *labels, bool given, const char *name,
                     const char *path, uint64_t line, struct sb_err *err);

/*
 * Longest first: how many tokens of two texts are kept when at most budget are.  The longer text
 * gives all it can before the shorter one gives any; of an odd budget cut in halves the longer text
 * (the second, if they are equal) has one more.  As Hugging Face's tokenizers do.
 */
void sb_cut_pair(size_t *first, size_t *second, size_t budget);

#endif
