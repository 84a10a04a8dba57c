/*
 * Samples that the sets of a task share: whoever is scored on what was learnt, or on what the model
 * was chosen by, is scored too well.
 */
#ifndef SB_OVERLAP_H
#define SB_OVERLAP_H

#include "task.h"

enum { SB_OVERLAPS = 3 }; /* train and validation, train and test, validation and test */

struct sb_overlap {
    const char *of, *with; /* settings: of the samples of test_file, with those of train_file */
    uint64_t shared;       /* samples of `of` whose tokens are those of a sample of `with` */
    uint64_t count;        /* samples of `of` */
    bool same;             /* each of either is in the other, and they are equally many */
};

/*
 * Compares the sets two by two, by a hash of the tokens (so after the cut to max_seq_length, and
 * without labels).  Fills the pairs that share a sample and returns their number, or -1.  A set of
 * more than 2^19 samples or 2^28 tokens is left out: reading it once more would keep the run
 * waiting.
 */
int sb_task_overlaps(struct sb_overlap overlaps[SB_OVERLAPS], const struct sb_task *task,
                     struct sb_err *err);

/* What the pair means for the scores, as a sentence of at most bytes. */
void sb_overlap_say(char *out, size_t bytes, const struct sb_overlap *overlap);

#endif
