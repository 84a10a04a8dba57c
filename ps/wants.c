#include "wants.h"

#include "arena.h"

#include <stdlib.h>
#include <string.h>

void sb_wants_init(struct sb_wants *wants, size_t part_count)
{
    *wants = (struct sb_wants){.parts = sb_calloc(part_count + 1, sizeof(*wants->parts)),
                               .part_count = part_count};
}

void sb_wants_release(struct sb_wants *wants)
{
    for (size_t part = 0; part < wants->part_count; part++) {
        for (size_t i = 0; i < wants->parts[part].count; i++)
            sb_frame_drop(&wants->parts[part].items[i].rows);
        free(wants->parts[part].items);
        free(wants->parts[part].asked);
    }
    free(wants->parts);
    *wants = (struct sb_wants){0};
}

static struct sb_want *place_of(struct sb_wants_part *part, uint64_t worker)
{
    for (size_t i = 0; i < part->count; i++)
        if (part->items[i].worker == worker)
            return &part->items[i];
    if (part->count == part->capacity) {
        part->capacity = part->capacity ? 2 * part->capacity : 4;
        part->items = sb_realloc(part->items, part->capacity * sizeof(*part->items));
    }
    struct sb_want *place = &part->items[part->count++];
    *place = (struct sb_want){.worker = worker};
    return place;
}

void sb_wants_add(struct sb_wants *wants, const struct sb_want *want)
{
    sb_assert(want->part < wants->part_count);
    struct sb_want *place = place_of(&wants->parts[want->part], want->worker);
    if (place->step > want->step) /* overtaken by a newer one */
        return;
    if (want->rows)
        sb_frame_keep(want->rows);
    sb_frame_drop(&place->rows);
    *place = *want;
}

bool sb_wants_take(struct sb_wants *wants, uint32_t part_index, uint64_t step, struct sb_want *want)
{
    struct sb_wants_part *part = &wants->parts[part_index];
    for (size_t i = 0; i < part->count; i++)
        if (part->items[i].step <= step) {
            *want = part->items[i];
            part->count--;
            memmove(&part->items[i], &part->items[i + 1], (part->count - i) * sizeof(*part->items));
            return true;
        }
    return false;
}

uint32_t sb_wants_note(struct sb_wants *wants, uint32_t part_index, uint64_t step, uint64_t worker)
{
    struct sb_wants_part *part = &wants->parts[part_index];
    if (part->asked_step != step)
        part->asked_count = 0;
    part->asked_step = step;
    for (size_t i = 0; i < part->asked_count; i++)
        if (part->asked[i].worker == worker)
            return part->asked[i].times++;
    if (part->asked_count == part->asked_capacity) {
        part->asked_capacity = part->asked_capacity ? 2 * part->asked_capacity : 4;
        part->asked = sb_realloc(part->asked, part->asked_capacity * sizeof(*part->asked));
    }
    part->asked[part->asked_count++] = (struct sb_wants_asked){.worker = worker, .times = 1};
    return 0;
}
