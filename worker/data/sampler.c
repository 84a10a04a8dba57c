/*
 * Which sample comes when, and which slot computes it.  Both are pure: nothing is shuffled in
 * memory, nothing is kept from step to step.
 */
#include "dataset.h"

#include <stdlib.h>

enum {
    CHUNK = 4096,      /* samples that lie beside each other in the cache */
    WINDOW_CHUNKS = 16 /* chunks among which the samples of a window are mixed */
};

static const uint32_t WINDOW_SITE = 0x77696e64u;

/* Every window mixes by a key of its own, drawn from that of the epoch. */
static struct sb_rng window_key(const struct sb_rng *epoch_key, uint64_t window)
{
    uint32_t words[4];
    sb_rng_draw(epoch_key, window, WINDOW_SITE, 0, words);
    return (struct sb_rng){.key = {words[0], words[1]}};
}

/*
 * All chunks but the last are full.  The places of an epoch are counted as if the last one were
 * full too; the places that it lacks lie at the end of the spot where the shuffle puts it, and
 * whatever comes after them is moved up by their number.
 */
uint64_t sb_order_sample(uint64_t count, uint64_t seed, uint64_t epoch, bool shuffle, uint64_t k)
{
    sb_assert(k < count);
    if (!shuffle)
        return k;

    const uint64_t window_places = (uint64_t)CHUNK * WINDOW_CHUNKS;
    struct sb_rng key = sb_rng_key(seed, SB_RNG_SHUFFLE, epoch);
    uint64_t chunk_count = (count - 1) / CHUNK + 1;
    uint64_t missing = chunk_count * CHUNK - count;
    uint64_t short_spot = sb_rng_permute_inverse(&key, chunk_count, chunk_count - 1);
    uint64_t short_window = short_spot / WINDOW_CHUNKS;

    uint64_t window_first = short_window * window_places;
    uint64_t window_end = window_first + window_places;
    if (window_end > chunk_count * CHUNK)
        window_end = chunk_count * CHUNK;
    if (k >= window_end - missing)
        k += missing;
    uint64_t window = k / window_places;

    uint64_t first = window * window_places;
    uint64_t size = chunk_count * CHUNK - first;
    if (size > window_places)
        size = window_places;
    if (window == short_window)
        size -= missing;
    struct sb_rng mix = window_key(&key, window);
    uint64_t place = first + sb_rng_permute(&mix, size, k - first);
    if (window == short_window && place >= (short_spot + 1) * CHUNK - missing)
        place += missing;

    return sb_rng_permute(&key, chunk_count, place / CHUNK) * CHUNK + place % CHUNK;
}

struct load {
    uint64_t tokens;
    uint32_t slot;
};

static bool lighter(const struct load *a, const struct load *b)
{
    return a->tokens != b->tokens ? a->tokens < b->tokens : a->slot < b->slot;
}

/* The root of the heap has become heavier: lets it sink. */
static void sink(struct load *heap, size_t count)
{
    struct load moved = heap[0];
    size_t hole = 0;
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child + 1 < count && lighter(&heap[child + 1], &heap[child]))
            child++;
        if (child >= count || !lighter(&heap[child], &moved))
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = moved;
}

static int compare_words(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void sb_deal_slots(uint32_t *slot_of, const uint32_t *lengths, size_t count, size_t slot_count,
                   struct sb_arena *arena)
{
    sb_assert(slot_count > 0 && slot_count <= UINT32_MAX);
    sb_assert(count <= UINT32_MAX);
    /* One word sorts by falling length and then by rising index. */
    uint64_t *order = sb_arena_array(arena, uint64_t, count);
    for (size_t i = 0; i < count; i++)
        order[i] = (uint64_t)(UINT32_MAX - lengths[i]) << 32 | i;
    qsort(order, count, sizeof(*order), compare_words);

    struct load *heap = sb_arena_array(arena, struct load, slot_count);
    for (size_t s = 0; s < slot_count; s++)
        heap[s] = (struct load){.tokens = 0, .slot = (uint32_t)s};
    for (size_t i = 0; i < count; i++) {
        uint32_t sample = (uint32_t)order[i];
        slot_of[sample] = heap[0].slot;
        heap[0].tokens += lengths[sample];
        sink(heap, slot_count);
    }
}
