/*
 * 95 % intervals of the scores of an evaluation, by bootstrap: whatever the scores are, if they are
 * made of sums.
 *
 * The sums of blocks of samples are drawn with replacement and scored again, SB_BOOTSTRAP_DRAWS
 * times.  A confusion matrix knows more than its blocks do: its single examples are drawn.
 */
#ifndef SB_INTERVALS_H
#define SB_INTERVALS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A new object with the scores that these sums make; objects may lie in it. */
typedef json_t *sb_describe_fn(const double *sums, const void *context);

struct sb_blocks {
    size_t count, width;
    double *sums; /* [count, width], the first of them those of sums.h */
};

/*
 * How many slots make a block: a power of two, for at most 512 blocks.  Training and `shardbert
 * eval` both ask here, and so both draw the same.
 */
uint64_t sb_block_slots(uint64_t slot_count);

struct sb_intervals {
    sb_describe_fn *describe;
    const void *context;
    const struct sb_blocks *blocks;
    /* [K, K] counts, which describe finds behind the width sums of a block; NULL: there are none.
     */
    const double *confusion;
    size_t class_count;
};

/*
 * A copy of results, which describe has made of all sums, with NAME_ci: [low, high] behind each
 * NAME that is a real number and has an interval.  Accuracy and micro averages of a confusion
 * matrix have Wilson's.  words (say 256 bytes) receives how the intervals were made, as a sentence,
 * or why there are none.  A pure function.
 */
json_t *sb_intervals_beside(const json_t *results, const struct sb_intervals *intervals,
                            char *words, size_t words_bytes);

#endif
