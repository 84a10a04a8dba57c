/*
 * The part table: how the flat space is cut into the units of messages, and which server owns which
 * part.
 *
 * A function of the tensor spans alone.  A big tensor (256 KiB and more) is cut into equal runs of
 * whole rows of at most 1 MiB; neighbouring small tensors share a part of at most 1 MiB.  A part
 * never mixes trainable with frozen, row-sparse with dense, or what is frozen until different
 * steps.  Parts are dealt greedily, largest first, to the server with the fewest bytes (ties:
 * lowest index); frozen parts weigh little, since they move once.
 */
#ifndef SB_PARTS_H
#define SB_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_span {
    uint64_t rows, cols;
    bool decay, trainable, row_sparse;
    uint64_t offset;    /* filled by sb_parts_init */
    double rate;        /* times the learning rate; 0 stands for 1 */
    uint64_t from_step; /* trainable, but frozen before this step */
};

static inline double sb_span_rate(const struct sb_span *span)
{
    return span->rate > 0 ? span->rate : 1.0;
}

struct sb_part {
    uint64_t offset; /* first float in the flat space */
    uint64_t count;  /* floats */
    uint32_t rows;   /* of a part of one tensor; 1 for a part of several */
    uint32_t cols;   /* count / rows */
    bool trainable, row_sparse;
    uint64_t from_step; /* no gradient, no update and no share in the norm before this step */
    uint32_t owner;     /* server index */
    uint32_t first_span, end_span; /* the spans that it touches */
};

struct sb_parts {
    struct sb_span *spans;
    size_t span_count;
    struct sb_part *parts;
    size_t count;
    uint64_t float_count;
    uint32_t server_count;
    uint64_t hash; /* of the spans: layouts are compared by it */
};

void sb_parts_init(struct sb_parts *parts, const struct sb_span *spans, size_t span_count,
                   uint32_t server_count);
void sb_parts_release(struct sb_parts *parts);

#endif
