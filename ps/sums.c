#include "sums.h"

#include "arena.h"
#include "err.h"
#include "nodes.h"

#include <stdlib.h>

enum { ROOT = 1 };

void sb_sums_add(struct sb_sums *sums, const struct sb_sums *more)
{
    for (int i = 0; i < SB_SUM_COUNT; i++)
        sums->of[i] += more->of[i];
}

double sb_sums_mean_loss(const struct sb_sums *sums)
{
    return sums->of[SB_SUM_TARGETS] > 0 ? sums->of[SB_SUM_LOSS] / sums->of[SB_SUM_TARGETS] : 0;
}

void sb_sums_tree_init(struct sb_sums_tree *tree, uint32_t slots)
{
    *tree = (struct sb_sums_tree){.slots = slots};
}

void sb_sums_tree_release(struct sb_sums_tree *tree)
{
    free(tree->held);
    *tree = (struct sb_sums_tree){0};
}

void sb_sums_tree_clear(struct sb_sums_tree *tree)
{
    tree->held_count = 0;
}

bool sb_sums_tree_covers(const struct sb_sums_tree *tree, uint32_t node)
{
    for (size_t i = 0; i < tree->held_count; i++)
        if (sb_node_contains(tree->held[i].node, node))
            return true;
    return false;
}

static void drop_inside(struct sb_sums_tree *tree, uint32_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < tree->held_count; i++)
        if (!sb_node_contains(node, tree->held[i].node))
            tree->held[kept++] = tree->held[i];
    tree->held_count = kept;
}

static bool take_out(struct sb_sums_tree *tree, uint32_t node, struct sb_sums *sums)
{
    for (size_t i = 0; i < tree->held_count; i++)
        if (tree->held[i].node == node) {
            *sums = tree->held[i].sums;
            tree->held[i] = tree->held[--tree->held_count];
            return true;
        }
    return false;
}

bool sb_sums_tree_take(struct sb_sums_tree *tree, uint32_t node, const struct sb_sums *given)
{
    sb_assert(sb_node_valid(node, tree->slots));
    if (sb_sums_tree_covers(tree, node))
        return false;
    drop_inside(tree, node);
    struct sb_sums sums = *given, sibling;
    while (node != ROOT && take_out(tree, node ^ 1, &sibling)) {
        sb_sums_add(&sums, &sibling); /* of two, the order does not matter */
        node /= 2;
    }
    if (tree->held_count == tree->held_capacity) {
        tree->held_capacity = tree->held_capacity ? 2 * tree->held_capacity : 16;
        tree->held = sb_realloc(tree->held, tree->held_capacity * sizeof(*tree->held));
    }
    tree->held[tree->held_count++] = (struct sb_sums_node){.node = node, .sums = sums};
    return true;
}

const struct sb_sums *sb_sums_tree_root(const struct sb_sums_tree *tree)
{
    return tree->held_count == 1 && tree->held[0].node == ROOT ? &tree->held[0].sums : NULL;
}
