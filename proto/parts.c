#include "parts.h"

#include "arena.h"
#include "err.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    BIG_FLOATS = (256 << 10) / sizeof(float), /* from here on a tensor has parts of its own */
    PART_FLOATS = (1 << 20) / sizeof(float),  /* the most that a part holds, but for a longer row */
    FROZEN_WEIGHT = 1,       /* of a float, when parts are dealt: frozen ones move */
    TRAINABLE_WEIGHT = 1024, /* once, the others twice a step */
};

static uint64_t span_floats(const struct sb_span *span)
{
    return span->rows * span->cols;
}

static struct sb_part *add_part(struct sb_parts *parts, size_t *capacity)
{
    if (parts->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        parts->parts = sb_realloc(parts->parts, *capacity * sizeof(*parts->parts));
    }
    struct sb_part *part = &parts->parts[parts->count++];
    memset(part, 0, sizeof(*part));
    return part;
}

/* One tensor as equal runs of whole rows: the runs differ by one row at most. */
static void cut_span(struct sb_parts *parts, size_t *capacity, uint32_t index)
{
    const struct sb_span *span = &parts->spans[index];
    uint64_t rows_most = PART_FLOATS / span->cols ? PART_FLOATS / span->cols : 1;
    uint64_t runs = (span->rows + rows_most - 1) / rows_most;
    for (uint64_t run = 0; run < runs; run++) {
        uint64_t first = span->rows * run / runs, end = span->rows * (run + 1) / runs;
        struct sb_part *part = add_part(parts, capacity);
        part->offset = span->offset + first * span->cols;
        part->count = (end - first) * span->cols;
        part->rows = (uint32_t)(end - first);
        part->cols = (uint32_t)span->cols;
        part->trainable = span->trainable;
        part->row_sparse = span->row_sparse;
        part->from_step = span->from_step;
        part->first_span = index;
        part->end_span = index + 1;
    }
}

/* A part has one table of rows, so row-sparse tensors keep to themselves however small they are. */
static bool may_share(const struct sb_span *span)
{
    return !span->row_sparse && span_floats(span) < BIG_FLOATS;
}

/* As many small tensors from first on as may share one part.  Returns the end of the run. */
static uint32_t join_spans(struct sb_parts *parts, size_t *capacity, uint32_t first)
{
    const struct sb_span *spans = parts->spans;
    uint64_t count = span_floats(&spans[first]);
    uint32_t end = first + 1;
    while (end < parts->span_count && may_share(&spans[end]) &&
           spans[end].trainable == spans[first].trainable &&
           spans[end].from_step == spans[first].from_step &&
           count + span_floats(&spans[end]) <= PART_FLOATS)
        count += span_floats(&spans[end++]);
    bool single = end == first + 1;
    struct sb_part *part = add_part(parts, capacity);
    part->offset = spans[first].offset;
    part->count = count;
    part->rows = single ? (uint32_t)spans[first].rows : 1;
    part->cols = (uint32_t)(count / part->rows);
    part->trainable = spans[first].trainable;
    part->from_step = spans[first].from_step;
    part->first_span = first;
    part->end_span = end;
    return end;
}

/* ---- dealing ---- */

struct load {
    uint64_t weight;
    uint32_t part;
};

static int heaviest_first(const void *a, const void *b)
{
    const struct load *left = a, *right = b;
    if (left->weight != right->weight)
        return left->weight > right->weight ? -1 : 1;
    return left->part < right->part ? -1 : 1;
}

static void deal(struct sb_parts *parts)
{
    struct load *loads = sb_calloc(parts->count ? parts->count : 1, sizeof(*loads));
    for (size_t i = 0; i < parts->count; i++)
        loads[i] = (struct load){
            .weight = parts->parts[i].count *
                      (parts->parts[i].trainable ? TRAINABLE_WEIGHT : FROZEN_WEIGHT),
            .part = (uint32_t)i,
        };
    qsort(loads, parts->count, sizeof(*loads), heaviest_first);
    uint64_t *sums = sb_calloc(parts->server_count, sizeof(*sums));
    for (size_t i = 0; i < parts->count; i++) {
        uint32_t lightest = 0;
        for (uint32_t server = 1; server < parts->server_count; server++)
            if (sums[server] < sums[lightest])
                lightest = server;
        sums[lightest] += loads[i].weight;
        parts->parts[loads[i].part].owner = lightest;
    }
    free(sums);
    free(loads);
}

static uint64_t hash_spans(const struct sb_span *spans, size_t count)
{
    struct sb_hasher hasher;
    sb_hasher_init(&hasher);
    for (size_t i = 0; i < count; i++) {
        uint64_t words[3] = {spans[i].rows, spans[i].cols,
                             (uint64_t)spans[i].decay | (uint64_t)spans[i].trainable << 1 |
                                 (uint64_t)spans[i].row_sparse << 2};
        sb_hasher_add(&hasher, words, sizeof(words));
        double rate = sb_span_rate(&spans[i]);
        if (rate != 1 || spans[i].from_step) { /* else as layouts without them were hashed */
            sb_hasher_add(&hasher, &rate, sizeof(rate));
            sb_hasher_add(&hasher, &spans[i].from_step, sizeof(spans[i].from_step));
        }
    }
    uint64_t hash = sb_hasher_value64(&hasher);
    sb_hasher_release(&hasher);
    return hash;
}

void sb_parts_init(struct sb_parts *parts, const struct sb_span *spans, size_t span_count,
                   uint32_t server_count)
{
    sb_assert(server_count >= 1);
    *parts = (struct sb_parts){.span_count = span_count, .server_count = server_count};
    parts->spans = sb_calloc(span_count ? span_count : 1, sizeof(*spans));
    for (size_t i = 0; i < span_count; i++) {
        parts->spans[i] = spans[i];
        parts->spans[i].offset = parts->float_count;
        sb_assert(spans[i].rows >= 1 && spans[i].rows <= UINT32_MAX);
        sb_assert(spans[i].cols >= 1 && spans[i].cols <= UINT32_MAX);
        parts->float_count += span_floats(&spans[i]);
    }
    size_t capacity = 0;
    for (uint32_t i = 0; i < span_count;) {
        if (may_share(&parts->spans[i])) {
            i = join_spans(parts, &capacity, i);
        } else {
            cut_span(parts, &capacity, i);
            i++;
        }
    }
    parts->hash = hash_spans(spans, span_count);
    deal(parts);
}

void sb_parts_release(struct sb_parts *parts)
{
    free(parts->spans);
    free(parts->parts);
    *parts = (struct sb_parts){0};
}
