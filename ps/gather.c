#include "gather.h"

#include "arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void sb_gather_begin(struct sb_gather *gather, uint32_t slots, size_t vector_size)
{
    sb_gather_release(gather);
    *gather = (struct sb_gather){
        .slots = slots,
        .vector_size = vector_size,
        .here = sb_calloc(slots, sizeof(*gather->here)),
        .frames = sb_calloc(slots, sizeof(*gather->frames)),
        .missing = slots,
        .bad_slot = UINT32_MAX,
    };
}

static void drop_frames(struct sb_gather *gather)
{
    for (uint32_t slot = 0; slot < gather->slots; slot++)
        sb_frame_drop(&gather->frames[slot]);
}

void sb_gather_release(struct sb_gather *gather)
{
    drop_frames(gather);
    sb_frame_drop(&gather->group);
    free(gather->frames);
    free(gather->here);
    *gather = (struct sb_gather){0};
}

static bool all_finite(const struct sb_frame *frame)
{
    const float *floats = frame->data;
    for (size_t i = 0; i < frame->bytes / sizeof(*floats); i++)
        if (!isfinite(floats[i]))
            return false;
    return true;
}

static void join(struct sb_gather *gather)
{
    size_t at = 0;
    if (!gather->bytes)
        return;
    gather->group = sb_frame_new(gather->bytes);
    for (uint32_t slot = 0; slot < gather->slots; slot++) {
        const struct sb_frame *frame = gather->frames[slot];
        if (!frame)
            continue;
        /* A step with a bad slot is refused whatever comes of it: nobody should have to compare
         * numbers that are none. */
        if (gather->bad_slot == UINT32_MAX)
            memcpy((char *)gather->group->data + at, frame->data, frame->bytes);
        else
            memset((char *)gather->group->data + at, 0, frame->bytes);
        at += frame->bytes;
    }
    drop_frames(gather);
}

int sb_gather_take(struct sb_gather *gather, uint64_t slot, struct sb_frame *floats)
{
    size_t bytes = floats ? floats->bytes : 0;
    if (slot >= gather->slots || bytes % (gather->vector_size * sizeof(float)))
        return -1;
    if (gather->here[slot])
        return 0;
    if (bytes > SB_FRAME_BYTES_MAX - gather->bytes)
        return -1;
    if (floats && slot < gather->bad_slot && !all_finite(floats))
        gather->bad_slot = (uint32_t)slot;
    gather->frames[slot] = floats ? sb_frame_keep(floats) : NULL;
    gather->bytes += bytes;
    gather->here[slot] = true;
    if (--gather->missing == 0)
        join(gather);
    return 1;
}

bool sb_gather_complete(const struct sb_gather *gather)
{
    return gather->slots > 0 && gather->missing == 0;
}
