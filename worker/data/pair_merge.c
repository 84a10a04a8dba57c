#include "pair_merge.h"

#include "arena.h"
#include "err.h"
#include "hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct word {
    uint64_t count;
    size_t first; /* in symbols */
    uint32_t length;
};

struct pair {
    int32_t left, right;
    uint64_t count;
    uint32_t *words; /* that hold it, or held it; some more than once */
    uint32_t word_count, word_room;
};

/* A pair with the count that it had when it was put here: stale ones are noticed when they come
 * out. */
struct entry {
    uint64_t count;
    uint32_t pair;
};

struct sb_pair_merge {
    sb_symbol_order order;
    const void *context;
    int32_t *symbols;
    size_t symbol_count, symbol_room;
    struct word *words;
    size_t word_count, word_room;
    struct pair *pairs;
    size_t pair_count, pair_room;
    uint32_t *table; /* open addressing: index of a pair + 1, 0: empty */
    size_t table_mask;
    struct entry *heap; /* the best first */
    size_t heap_count, heap_room;
};

/* Room for one more of an array that grows by doubling. */
#define GROW(array, count, room)                                                                   \
    do {                                                                                           \
        if ((count) >= (room)) {                                                                   \
            (room) = (room) ? 2 * (room) : 16;                                                     \
            (array) = sb_realloc((array), (room) * sizeof(*(array)));                              \
        }                                                                                          \
    } while (0)

struct sb_pair_merge *sb_pair_merge_new(sb_symbol_order order, const void *context)
{
    struct sb_pair_merge *m = sb_calloc(1, sizeof(*m));
    m->order = order;
    m->context = context;
    m->table_mask = 1023;
    m->table = sb_calloc(m->table_mask + 1, sizeof(*m->table));
    return m;
}

void sb_pair_merge_free(struct sb_pair_merge **merge)
{
    struct sb_pair_merge *m = *merge;
    if (!m)
        return;
    for (size_t i = 0; i < m->pair_count; i++)
        free(m->pairs[i].words);
    free(m->pairs);
    free(m->symbols);
    free(m->words);
    free(m->table);
    free(m->heap);
    free(m);
    *merge = NULL;
}

static size_t find(const struct sb_pair_merge *m, int32_t left, int32_t right)
{
    int32_t key[2] = {left, right};
    size_t place = sb_hash(key, sizeof(key)) & m->table_mask;
    for (; m->table[place]; place = (place + 1) & m->table_mask) {
        const struct pair *pair = &m->pairs[m->table[place] - 1];
        if (pair->left == left && pair->right == right)
            break;
    }
    return place;
}

static uint32_t pair_of(struct sb_pair_merge *m, int32_t left, int32_t right)
{
    size_t place = find(m, left, right);
    if (m->table[place])
        return m->table[place] - 1;
    GROW(m->pairs, m->pair_count, m->pair_room);
    m->pairs[m->pair_count++] = (struct pair){.left = left, .right = right};
    m->table[place] = (uint32_t)m->pair_count;
    if (2 * m->pair_count > m->table_mask) {
        m->table_mask = 2 * m->table_mask + 1;
        free(m->table);
        m->table = sb_calloc(m->table_mask + 1, sizeof(*m->table));
        for (size_t i = 0; i < m->pair_count; i++)
            m->table[find(m, m->pairs[i].left, m->pairs[i].right)] = (uint32_t)i + 1;
    }
    return (uint32_t)m->pair_count - 1;
}

static bool is_better(const struct sb_pair_merge *m, struct entry a, struct entry b)
{
    if (a.count != b.count)
        return a.count > b.count;
    const struct pair *x = &m->pairs[a.pair], *y = &m->pairs[b.pair];
    int order = m->order(m->context, x->left, y->left);
    return (order ? order : m->order(m->context, x->right, y->right)) < 0;
}

static void heap_push(struct sb_pair_merge *m, uint32_t pair)
{
    struct entry entry = {m->pairs[pair].count, pair};
    GROW(m->heap, m->heap_count, m->heap_room);
    size_t at = m->heap_count++;
    for (; at && is_better(m, entry, m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = entry;
}

static void heap_pop(struct sb_pair_merge *m)
{
    struct entry last = m->heap[--m->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && is_better(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!is_better(m, m->heap[child], last))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
}

static void remember_word(struct pair *pair, uint32_t word)
{
    if (pair->word_count && pair->words[pair->word_count - 1] == word)
        return;
    GROW(pair->words, pair->word_count, pair->word_room);
    pair->words[pair->word_count++] = word;
}

void sb_pair_merge_add(struct sb_pair_merge *m, const int32_t *symbols, size_t length,
                       uint64_t count)
{
    if (length < 2)
        return;
    uint32_t index = (uint32_t)m->word_count;
    GROW(m->words, m->word_count, m->word_room);
    m->words[m->word_count++] = (struct word){count, m->symbol_count, (uint32_t)length};
    for (size_t i = 0; i < length; i++) {
        GROW(m->symbols, m->symbol_count, m->symbol_room);
        m->symbols[m->symbol_count++] = symbols[i];
    }
    for (size_t i = 0; i + 1 < length; i++) {
        uint32_t pair = pair_of(m, symbols[i], symbols[i + 1]); /* may move the pairs */
        m->pairs[pair].count += count;
        remember_word(&m->pairs[pair], index);
    }
}

uint64_t sb_pair_merge_best(struct sb_pair_merge *m, int32_t *left, int32_t *right)
{
    if (!m->heap)
        for (size_t i = 0; i < m->pair_count; i++)
            heap_push(m, (uint32_t)i);
    while (m->heap_count) {
        struct entry best = m->heap[0];
        const struct pair *pair = &m->pairs[best.pair];
        if (best.count == pair->count && pair->count) {
            *left = pair->left;
            *right = pair->right;
            return pair->count;
        }
        heap_pop(m);
        /* It became rarer since: it stands in line again.  One that became more frequent already
         * does. */
        if (pair->count && pair->count < best.count)
            heap_push(m, best.pair);
    }
    return 0;
}

/* Joins the pair in one word; its other pairs are counted off and on again. */
static void join_in_word(struct sb_pair_merge *m, uint32_t index, int32_t left, int32_t right,
                         int32_t joined)
{
    struct word *word = &m->words[index];
    int32_t *s = m->symbols + word->first;
    uint32_t length = 0;
    for (uint32_t i = 0; i + 1 < word->length; i++) {
        uint32_t pair = pair_of(m, s[i], s[i + 1]);
        m->pairs[pair].count -= word->count;
    }
    for (uint32_t i = 0; i < word->length; length++) {
        bool here = i + 1 < word->length && s[i] == left && s[i + 1] == right;
        s[length] = here ? joined : s[i];
        i += here ? 2 : 1;
    }
    word->length = length;
    for (uint32_t i = 0; i + 1 < length; i++) {
        uint32_t pair = pair_of(m, s[i], s[i + 1]);
        m->pairs[pair].count += word->count;
        if (s[i] == joined || s[i + 1] == joined) {
            remember_word(&m->pairs[pair], index);
            heap_push(m, pair);
        }
    }
}

static bool holds(const struct sb_pair_merge *m, uint32_t index, int32_t left, int32_t right)
{
    const struct word *word = &m->words[index];
    const int32_t *s = m->symbols + word->first;
    for (uint32_t i = 0; i + 1 < word->length; i++)
        if (s[i] == left && s[i + 1] == right)
            return true;
    return false;
}

void sb_pair_merge_join(struct sb_pair_merge *m, int32_t left, int32_t right, int32_t joined)
{
    size_t place = find(m, left, right);
    if (!m->table[place])
        return;
    uint32_t index = m->table[place] - 1;
    /* The list is taken out first: `joined` may be a symbol that the words hold already. */
    uint32_t *words = m->pairs[index].words;
    uint32_t count = m->pairs[index].word_count;
    m->pairs[index].words = NULL;
    m->pairs[index].word_count = m->pairs[index].word_room = 0;
    for (uint32_t i = 0; i < count; i++)
        if (holds(m, words[i], left, right))
            join_in_word(m, words[i], left, right, joined);
    free(words);
    sb_assert(m->pairs[index].count == 0);
}
