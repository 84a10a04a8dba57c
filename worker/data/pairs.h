/*
 * Pairs of texts for contrastive training, without a list of pairs: pair k is computed from k.
 *
 * The texts stand in a row, class after class: places 0 .. n-1 (few_shot.h makes such a row).  A
 * pair is two places, first < second; it is `same` if the two texts share a class.  All same pairs
 * have a number, all other pairs have a number, and a keyed permutation shuffles either list, so a
 * million texts cost no memory and no time beyond a table over the classes.
 *
 * Counts and strategies are SetFit's (Tunstall et al., "Efficient Few-Shot Learning Without
 * Prompts", 2022, and the guide of its library).  With S same and D other pairs:
 *
 *     oversampling    max(S, D) of each kind; the shorter list starts again
 *     undersampling   min(S, D) of each
 *     unique          every pair once
 *     iterations      iterations * n of each; a list that is too short starts again
 *
 * Same and other pairs take turns, a same pair first; what is left of the longer list follows.  A
 * kind that has no pair at all (one class; or one text in each) is left out.
 */
#ifndef SB_PAIRS_H
#define SB_PAIRS_H

#include "err.h"
#include "rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_pair_strategy {
    SB_PAIRS_OVERSAMPLING,
    SB_PAIRS_UNDERSAMPLING,
    SB_PAIRS_UNIQUE,
    SB_PAIRS_ITERATIONS,
};

struct sb_pair_options {
    enum sb_pair_strategy strategy;
    uint32_t iterations; /* num_iterations, at least 1; SB_PAIRS_ITERATIONS only */
    bool self_pairs;     /* a text is also a same pair with itself, as in SetFit's own code */
    uint64_t seed;
};

enum sb_pair_shape {
    SB_PAIR_RECTANGLE,         /* every place of one range with every place of another */
    SB_PAIR_TRIANGLE,          /* all pairs inside the second range */
    SB_PAIR_TRIANGLE_DIAGONAL, /* and each place with itself */
};

struct sb_pair_block {
    enum sb_pair_shape shape;
    uint64_t first_begin, first_count; /* rectangles only */
    uint64_t second_begin, second_count;
};

/* All pairs of one kind, as blocks one after another. */
struct sb_pair_kind {
    struct sb_pair_block *blocks;
    uint64_t *ends; /* [block_count] number of pairs up to the end of the block */
    size_t block_count;
    uint64_t count; /* different pairs */
    uint64_t taken; /* pairs of this kind in the whole; more than count: the list starts again */
    struct sb_rng order;
};

/* Life: one of the inits, then any number of threads may read, release. */
struct sb_pairs {
    struct sb_pair_kind same, other;
    uint64_t text_count;
    uint64_t count; /* same.taken + other.taken */
};

#define SB_PAIRS_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

struct sb_pair {
    uint64_t first, second; /* places; first <= second, equal only with self_pairs */
    bool same;
};

/*
 * Texts of one class each.  class_sizes [class_count]: how many, in the order of the row; classes
 * of no text are fine.  Memory: O(class_count).
 *
 * SB_ERR_DATA: fewer than two texts; undersampling where one kind has no pair.  SB_ERR_CONFIG: more
 * pairs than can be numbered, more than 2^32 - 1 texts, no iterations.
 */
int sb_pairs_init(struct sb_pairs *pairs, const uint64_t *class_sizes, size_t class_count,
                  const struct sb_pair_options *options, struct sb_err *err);

/*
 * Texts of several labels each: two are `same` if they share any.  The row is cut into groups of
 * texts with equal sets of labels.
 *
 *   group_sizes  [group_count]
 *   label_sets   [group_count, words] bits of the labels of each group; none: shares nothing
 *
 * Memory: O(group_count^2) at worst.  A text of no label makes no pair with itself.  Errors as
 * above, and SB_ERR_CONFIG for more than 4,096 groups.
 */
int sb_pairs_init_shared(struct sb_pairs *pairs, const uint64_t *group_sizes,
                         const uint64_t *label_sets, size_t group_count, size_t words,
                         const struct sb_pair_options *options, struct sb_err *err);

void sb_pairs_release(struct sb_pairs *pairs);

/*
 * Pair k of the shuffled whole, k < pairs->count.  Pure; O(log blocks).  An epoch may go through
 * the k in any order of its own.
 */
struct sb_pair sb_pairs_at(const struct sb_pairs *pairs, uint64_t k);

/* Pair number k < kind->count in the order of the blocks, not shuffled: what the above stands on.
 */
void sb_pair_kind_at(const struct sb_pair_kind *kind, uint64_t k, uint64_t *first,
                     uint64_t *second);

#endif
