/*
 * Nodes of a step: heap numbers over M slots (a power of two).  The root is 1, the children of n
 * are 2n and 2n+1, the leaf of slot s is M + s.  Nodes are nested or disjoint.
 */
#ifndef SB_NODES_H
#define SB_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool sb_node_valid(uint32_t node, uint32_t slots)
{
    return node >= 1 && node < 2 * slots;
}

static inline uint32_t sb_node_depth(uint32_t node)
{
    return 31u - (uint32_t)__builtin_clz(node);
}

/* True if outer is inner or one of its ancestors. */
static inline bool sb_node_contains(uint32_t outer, uint32_t inner)
{
    uint32_t up = sb_node_depth(inner) - sb_node_depth(outer);
    return sb_node_depth(inner) >= sb_node_depth(outer) && inner >> up == outer;
}

static inline uint32_t sb_node_first_slot(uint32_t node, uint32_t slots)
{
    return (node << (sb_node_depth(slots) - sb_node_depth(node))) - slots;
}

static inline uint32_t sb_node_slot_count(uint32_t node, uint32_t slots)
{
    return slots >> sb_node_depth(node);
}

/*
 * The share of worker index of count: slots are cut into count runs of nearly equal length, and a
 * run into its largest aligned nodes, in slot order.  Returns the number of nodes, at most
 * 2*log2(slots)+1; 0 if the worker is idle.
 */
size_t sb_nodes_deal(uint32_t nodes[64], uint32_t slots, uint32_t index, uint32_t count);
/* The largest aligned nodes that slots first to end - 1 consist of; 0 if there are none. */
size_t sb_nodes_of_run(uint32_t nodes[64], uint32_t slots, uint32_t first, uint32_t end);

#endif
