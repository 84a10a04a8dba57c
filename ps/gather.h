/*
 * The group of a step whose loss compares items of all slots: what each slot has published, and all
 * of it as one frame once the last slot is here.
 *
 * Slots are pure, so a second copy counts nothing.  Bounded: one group, and no more than a frame
 * holds.
 */
#ifndef SB_GATHER_H
#define SB_GATHER_H

#include "msg.h"

struct sb_gather {
    uint32_t slots;
    size_t vector_size;       /* floats of a row */
    bool *here;               /* [slots] */
    struct sb_frame **frames; /* [slots] NULL: an empty slot, or not here */
    uint32_t missing;
    size_t bytes;           /* of what is here */
    uint32_t bad_slot;      /* the first that has a number that is not finite; UINT32_MAX: none */
    struct sb_frame *group; /* complete: all slots in slot order, zeros if one is bad; NULL if there
                             * is no row */
};

/* Life: all zero is released; begin for each step, release at the end. */
void sb_gather_begin(struct sb_gather *gather, uint32_t slots, size_t vector_size);
void sb_gather_release(struct sb_gather *gather);
/*
 * floats: NULL if the slot is empty; kept, not copied.  -1: not a slot, not whole rows, or more
 * than a group may hold; 0: known; 1: new.  The last slot completes the group.
 */
int sb_gather_take(struct sb_gather *gather, uint64_t slot, struct sb_frame *floats);
/* A group that is here whole. */
bool sb_gather_complete(const struct sb_gather *gather);

#endif
