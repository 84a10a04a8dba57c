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
    struct sb_want
        *items; /* in the order in which they came: that of the worker's next forward pass */
    size_t count, capacity;
};

void sb_wants_release(struct sb_wants *wants);
/* rows is kept. */
void sb_wants_add(struct sb_wants *wants, const struct sb_want *want);
/*
 * Takes out the first want, from *at on, that weights of `step` committed steps answer.  False if
 * there is none.  The rows are the caller's.
 */
bool sb_wants_take(struct sb_wants *wants, size_t *at, uint64_t step, struct sb_want *want);
/* Closes the gaps that sb_wants_take left. */
void sb_wants_pack(struct sb_wants *wants);

#endif
