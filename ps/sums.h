/*
 * What nodes and evaluation slots count: samples, targets, loss.  All sums, in double, in the order
 * of struct sb_stats on the workers' side.
 *
 * The sums of a step are folded up the same tree as the gradients, left + right, so a logged loss
 * has the same bits for any number of workers; a node that comes twice, or inside a larger one,
 * counts once.
 */
#ifndef SB_SUMS_H
#define SB_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_sum {
    SB_SUM_SAMPLES,
    SB_SUM_TOKENS,
    SB_SUM_TARGETS, /* what the loss is divided by */
    SB_SUM_LOSS,    /* nats */
    SB_SUM_CORRECT,
    SB_SUM_TRUNCATED,
    SB_SUM_COUNT,
};

struct sb_sums {
    double of[SB_SUM_COUNT];
};

void sb_sums_add(struct sb_sums *sums, const struct sb_sums *more);
/* Loss by target; 0 without targets. */
double sb_sums_mean_loss(const struct sb_sums *sums);

/* Life: init, then for each step takes and a clear. */
struct sb_sums_tree {
    uint32_t slots;
    struct sb_sums_node {
        uint32_t node;
        struct sb_sums sums;
    } * held;
    size_t held_count, held_capacity;
};

void sb_sums_tree_init(struct sb_sums_tree *tree, uint32_t slots);
void sb_sums_tree_release(struct sb_sums_tree *tree);
void sb_sums_tree_clear(struct sb_sums_tree *tree);
bool sb_sums_tree_covers(const struct sb_sums_tree *tree, uint32_t node);
/* False, and nothing happens, if the node is covered already. */
bool sb_sums_tree_take(struct sb_sums_tree *tree, uint32_t node, const struct sb_sums *sums);
/* The sums of the step, or NULL while nodes are missing. */
const struct sb_sums *sb_sums_tree_root(const struct sb_sums_tree *tree);

#endif
