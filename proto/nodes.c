#include "nodes.h"

#include "err.h"

size_t sb_nodes_of_run(uint32_t nodes[64], uint32_t slots, uint32_t first, uint32_t end)
{
    sb_assert(slots && !(slots & (slots - 1)));
    sb_assert(end <= slots);
    size_t node_count = 0;
    for (uint32_t slot = first; slot < end;) {
        /* The largest block that begins here: as aligned as slot is, and not past the end. */
        uint32_t size = slot ? slot & -slot : slots;
        while (size > end - slot)
            size /= 2;
        sb_assert(node_count < 64);
        nodes[node_count++] = (slots + slot) / size;
        slot += size;
    }
    return node_count;
}

size_t sb_nodes_deal(uint32_t nodes[64], uint32_t slots, uint32_t index, uint32_t count)
{
    sb_assert(index < count);
    uint32_t first = (uint32_t)((uint64_t)index * slots / count);
    uint32_t end = (uint32_t)((uint64_t)(index + 1) * slots / count);
    return sb_nodes_of_run(nodes, slots, first, end);
}
