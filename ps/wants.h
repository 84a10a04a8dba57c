/*
 * Standing wants: "part, at least step t, to me", one per worker and part.  A want stays until it
 * is answered; a newer one of the same worker and part takes its place.  Owner: one thread.
 */
#ifndef SB_WANTS_H
#define SB_WANTS_H

#include "msg.h"

#include <stddef.h>
#include <stdint.h>

struct sb_want {
    uint64_t worker; /* its peer number */
    uint32_t part;
    uint64_t step;
    uint64_t trace;
    struct sb_frame *rows; /* NULL: the whole part */
};

struct sb_wants {
    struct sb_wants_part {
        struct sb_want *items; /* in order of arrival */
        size_t count, capacity;
        uint64_t asked_step; /* of which those have asked */
        struct sb_wants_asked {
            uint64_t worker;
            uint32_t times;
        } * asked;
        size_t asked_count, asked_capacity;
    } * parts;
    size_t part_count;
};

void sb_wants_init(struct sb_wants *wants, size_t part_count);
void sb_wants_release(struct sb_wants *wants);
/* rows is kept. */
void sb_wants_add(struct sb_wants *wants, const struct sb_want *want);
/* Takes out a want of this part that weights of `step` committed steps answer; false: none.  Its
 * rows are the caller's. */
bool sb_wants_take(struct sb_wants *wants, uint32_t part, uint64_t step, struct sb_want *want);
/* Notes that this worker asks for the whole part as of step.  Returns how often it did before. */
uint32_t sb_wants_note(struct sb_wants *wants, uint32_t part, uint64_t step, uint64_t worker);

#endif
