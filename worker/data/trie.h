/*
 * Strings and their numbers, for longest-match search: a byte trie whose edges lie in one hash
 * table. Filled by one thread, then read-only for any number.
 */
#ifndef SB_TRIE_H
#define SB_TRIE_H

#include <stddef.h>
#include <stdint.h>

struct sb_trie_edge {
    uint32_t from;  /* node * 256 + byte; UINT32_MAX: empty */
    uint32_t to;    /* node */
    int32_t number; /* of the string that ends at `to`, or -1 */
};

struct sb_trie {
    struct sb_trie_edge *edges; /* open addressing, at most half full */
    uint32_t edge_mask;         /* number of places - 1 */
    uint32_t node_count;        /* the root, 0, included */
};

#define SB_TRIE_INIT                                                                               \
    {                                                                                              \
        0                                                                                          \
    }

/* More nodes do not fit into an edge's `from`. */
enum { SB_TRIE_MAX_NODES = 1 << 24 };

void sb_trie_release(struct sb_trie *trie);
/* Adds or renumbers a string of at least one byte; -1 if the trie is full. */
int sb_trie_add(struct sb_trie *trie, const char *text, size_t bytes, int32_t number);

static inline uint32_t sb_trie_place(const struct sb_trie *trie, uint32_t from)
{
    return (from * 0x9e3779b1u ^ from >> 15) & trie->edge_mask;
}

/* The edge of `byte` out of `node`, or NULL. */
static inline const struct sb_trie_edge *sb_trie_step(const struct sb_trie *trie, uint32_t node,
                                                      unsigned char byte)
{
    uint32_t from = node << 8 | byte;
    uint32_t place = sb_trie_place(trie, from);
    while (trie->edges[place].from != from) {
        if (trie->edges[place].from == UINT32_MAX)
            return NULL;
        place = (place + 1) & trie->edge_mask;
    }
    return &trie->edges[place];
}

/*
 * The longest string that text [0, bytes) starts with when read on from `node`: its number, with
 * *matched its length behind node, or -1.
 */
static inline int32_t sb_trie_longest(const struct sb_trie *trie, uint32_t node, const char *text,
                                      size_t bytes, size_t *matched)
{
    int32_t number = -1;
    for (size_t i = 0; i < bytes && trie->edges; i++) {
        const struct sb_trie_edge *edge = sb_trie_step(trie, node, (unsigned char)text[i]);
        if (!edge)
            break;
        node = edge->to;
        if (edge->number >= 0) {
            number = edge->number;
            *matched = i + 1;
        }
    }
    return number;
}

/* The number of exactly this string, or -1. */
int32_t sb_trie_find(const struct sb_trie *trie, const char *text, size_t bytes);
/* The node behind text, or 0 if nothing goes on there. */
uint32_t sb_trie_walk(const struct sb_trie *trie, const char *text, size_t bytes);

#endif
