#include "trie.h"

#include "arena.h"

#include <stdlib.h>

void sb_trie_release(struct sb_trie *trie)
{
    free(trie->edges);
    *trie = (struct sb_trie)SB_TRIE_INIT;
}

static struct sb_trie_edge *place_of(struct sb_trie *trie, uint32_t from)
{
    uint32_t place = sb_trie_place(trie, from);
    while (trie->edges[place].from != from && trie->edges[place].from != UINT32_MAX)
        place = (place + 1) & trie->edge_mask;
    return &trie->edges[place];
}

static void grow(struct sb_trie *trie)
{
    struct sb_trie_edge *old = trie->edges;
    size_t old_count = old ? (size_t)trie->edge_mask + 1 : 0;
    size_t count = old ? 2 * old_count : 1024;
    trie->edges = sb_alloc(count * sizeof(*trie->edges));
    trie->edge_mask = (uint32_t)(count - 1);
    for (size_t i = 0; i < count; i++)
        trie->edges[i].from = UINT32_MAX;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].from != UINT32_MAX)
            *place_of(trie, old[i].from) = old[i];
    free(old);
}

int sb_trie_add(struct sb_trie *trie, const char *text, size_t bytes, int32_t number)
{
    uint32_t node = 0;
    struct sb_trie_edge *edge = NULL;
    if (!trie->node_count)
        trie->node_count = 1;
    for (size_t i = 0; i < bytes; i++) {
        /* The last two numbers are never nodes: one edge would read as empty, and one is nobody's
         * start. */
        if (trie->node_count >= SB_TRIE_MAX_NODES - 2)
            return -1;
        if (!trie->edges || 2 * (size_t)trie->node_count > trie->edge_mask)
            grow(trie);
        uint32_t from = node << 8 | (unsigned char)text[i];
        edge = place_of(trie, from);
        if (edge->from == UINT32_MAX)
            *edge = (struct sb_trie_edge){.from = from, .to = trie->node_count++, .number = -1};
        node = edge->to;
    }
    if (edge)
        edge->number = number;
    return 0;
}

int32_t sb_trie_find(const struct sb_trie *trie, const char *text, size_t bytes)
{
    size_t matched = 0;
    int32_t number = sb_trie_longest(trie, 0, text, bytes, &matched);
    return matched == bytes ? number : -1;
}

uint32_t sb_trie_walk(const struct sb_trie *trie, const char *text, size_t bytes)
{
    uint32_t node = 0;
    for (size_t i = 0; i < bytes; i++) {
        const struct sb_trie_edge *edge =
            trie->edges ? sb_trie_step(trie, node, (unsigned char)text[i]) : NULL;
        if (!edge)
            return 0;
        node = edge->to;
    }
    return node;
}
