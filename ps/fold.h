/*
 * The gradient sum of one part over the slots of one step.
 *
 * Sums arrive by node (nodes.h) and are folded up one fixed tree, left + right at every inner node,
 * so the order of arrival and the number of workers leave no trace in the bits.  A node's sum is a
 * pure function of the step: a node that is covered already, or that is covered later by a larger
 * one, is dropped unread.
 *
 * A sum is dense, or a list of rows (row-sparse parts), or empty (the node had no sample: the other
 * side is taken as it is).  Frames are kept, not copied.  A frame that somebody else may still read
 * or resend is borrowed: it is never written, and given back by sb_fold_clear at the latest. Owner:
 * one thread.
 */
#ifndef SB_FOLD_H
#define SB_FOLD_H

#include "msg.h"
#include "pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_fold_sum {
    struct sb_frame *values; /* [rows, cols] floats, or [row_count, cols] with rows; NULL: empty */
    struct sb_frame *rows;   /* [row_count] u32, rising; NULL: dense */
    bool ours;               /* values may be written; false: borrowed */
};

#define SB_FOLD_SUM_EMPTY                                                                          \
    (struct sb_fold_sum)                                                                           \
    {                                                                                              \
        0                                                                                          \
    }

struct sb_fold {
    uint32_t slots;    /* leaves of the tree, a power of two */
    size_t rows, cols; /* of the part */
    struct sb_fold_held {
        uint32_t node;
        struct sb_fold_sum sum;
    } * held; /* disjoint nodes, in order of arrival */
    size_t held_count, held_capacity;
};

void sb_fold_init(struct sb_fold *fold, uint32_t slots, size_t rows, size_t cols);
void sb_fold_release(struct sb_fold *fold);
/* Forgets all sums: the next step begins. */
void sb_fold_clear(struct sb_fold *fold);

/* This node, or one that contains it, is here. */
bool sb_fold_covers(const struct sb_fold *fold, uint32_t node);

/*
 * Takes the sum of a node that is not covered and folds upward as far as siblings are here.  The
 * frames' references are the fold's from here on.  pool: big additions are cut into tiles; may be
 * NULL.
 */
void sb_fold_take(struct sb_fold *fold, uint32_t node, struct sb_fold_sum sum,
                  struct sb_pool *pool);

#ifdef SB_WITHOUT_DEDUP /* see tests/README.md, "Broken builds" */
/* Adds a node that is covered once more. */
void sb_fold_take_again(struct sb_fold *fold, uint32_t node, struct sb_fold_sum sum,
                        struct sb_pool *pool);
#endif

/* The sum over all slots, or NULL while some are missing. */
const struct sb_fold_sum *sb_fold_root(const struct sb_fold *fold);

/* Rows listed in a sum; 0 for a dense or empty one. */
size_t sb_fold_sum_row_count(const struct sb_fold_sum *sum);

/* Sum of squares of a sum, by row in double; not finite if any element is not. */
double sb_fold_sum_norm2(const struct sb_fold_sum *sum, size_t rows, size_t cols);

#endif
