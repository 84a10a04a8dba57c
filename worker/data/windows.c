#include "windows.h"

#include "arena.h"
#include "err.h"

#include <stdlib.h>

void sb_windows_release(struct sb_windows *windows)
{
    free(windows->items);
    *windows = (struct sb_windows){0};
}

static void add(struct sb_windows *windows, size_t first, size_t end)
{
    if (windows->count == windows->capacity) {
        windows->capacity = windows->capacity ? 2 * windows->capacity : 8;
        windows->items = sb_realloc(windows->items, windows->capacity * sizeof(*windows->items));
    }
    windows->items[windows->count++] =
        (struct sb_window){.first = (uint32_t)first, .end = (uint32_t)end};
}

/* The words from first on that fit, and at least one. */
static size_t window_end(const uint32_t *pieces, size_t count, size_t first, size_t room)
{
    size_t end = first, taken = 0;
    while (end < count && taken + pieces[end] <= room)
        taken += pieces[end++];
    sb_assert(end > first);
    return end;
}

/* Back from the end by at most stride pieces, and never so far that the next word has no room. */
static size_t next_first(const uint32_t *pieces, const struct sb_window *window, size_t room,
                         size_t stride)
{
    size_t first = window->end, shared = 0, left = room - pieces[window->end];
    size_t most = stride < left ? stride : left;
    while (first > window->first + 1 && shared + pieces[first - 1] <= most)
        shared += pieces[--first];
    return first;
}

/* Pieces before each word, and behind them all the total. */
static size_t *places_of(const uint32_t *pieces, size_t count)
{
    size_t *places = sb_calloc(count + 1, sizeof(*places));
    for (size_t i = 0; i < count; i++)
        places[i + 1] = places[i] + pieces[i];
    return places;
}

static size_t context(const struct sb_window *window, const size_t *places, size_t count,
                      size_t word)
{
    size_t before = window->first == 0 ? SIZE_MAX : places[word] - places[window->first];
    size_t behind = window->end == count ? SIZE_MAX : places[window->end] - places[word + 1];
    return before < behind ? before : behind;
}

/* Goes to a later window only where that is better: so what a window decides is one run. */
static void share_words(struct sb_windows *windows, const size_t *places, size_t count)
{
    size_t at = 0;
    for (size_t word = 0; word < count; word++) {
        size_t best = at;
        for (size_t i = at; i < windows->count && windows->items[i].first <= word; i++) {
            const struct sb_window *window = &windows->items[i];
            if (window->end > word && (windows->items[best].end <= word ||
                                       context(window, places, count, word) >
                                           context(&windows->items[best], places, count, word)))
                best = i;
        }
        for (; at < best; at++) {
            windows->items[at].own_end = (uint32_t)word;
            windows->items[at + 1].own_first = (uint32_t)word;
        }
    }
    for (; at < windows->count; at++) {
        windows->items[at].own_end = (uint32_t)count;
        if (at + 1 < windows->count)
            windows->items[at + 1].own_first = (uint32_t)count;
    }
}

void sb_windows_cut(struct sb_windows *windows, const uint32_t *pieces, size_t count, size_t room,
                    size_t stride)
{
    windows->count = 0;
    if (stride > room / 2)
        stride = room / 2;
    for (size_t first = 0; first < count;) {
        size_t end = window_end(pieces, count, first, room);
        add(windows, first, end);
        if (end == count)
            break;
        first = next_first(pieces, &windows->items[windows->count - 1], room, stride);
    }
    if (windows->count == 0)
        return;
    size_t *places = places_of(pieces, count);
    share_words(windows, places, count);
    free(places);
}
