#include "wants.h"

#include "arena.h"

#include <stdlib.h>

enum { ANSWERED = UINT32_MAX }; /* as a part: a gap */

void sb_wants_release(struct sb_wants *wants)
{
    for (size_t i = 0; i < wants->count; i++)
        sb_frame_drop(&wants->items[i].rows);
    free(wants->items);
    *wants = (struct sb_wants){0};
}

void sb_wants_add(struct sb_wants *wants, const struct sb_want *want)
{
    struct sb_want *place = NULL;
    for (size_t i = 0; i < wants->count && !place; i++)
        if (wants->items[i].worker == want->worker && wants->items[i].part == want->part)
            place = &wants->items[i];
    if (place && place->step > want->step)
        return;
    if (!place) {
        if (wants->count == wants->capacity) {
            wants->capacity = wants->capacity ? 2 * wants->capacity : 64;
            wants->items = sb_realloc(wants->items, wants->capacity * sizeof(*wants->items));
        }
        place = &wants->items[wants->count++];
        place->rows = NULL;
    }
    sb_frame_drop(&place->rows);
    *place = *want;
    if (place->rows)
        sb_frame_keep(place->rows);
}

bool sb_wants_take(struct sb_wants *wants, size_t *at, uint64_t step, struct sb_want *want)
{
    for (; *at < wants->count; ++*at) {
        struct sb_want *item = &wants->items[*at];
        if (item->part == ANSWERED || item->step > step)
            continue;
        *want = *item;
        item->rows = NULL;
        item->part = ANSWERED;
        return true;
    }
    return false;
}

void sb_wants_pack(struct sb_wants *wants)
{
    size_t kept = 0;
    for (size_t i = 0; i < wants->count; i++)
        if (wants->items[i].part != ANSWERED)
            wants->items[kept++] = wants->items[i];
    wants->count = kept;
}
