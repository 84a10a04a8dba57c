#include "shard.h"

#include "arena.h"
#include "nodes.h"
#include "vec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_FLOATS = 1 << 15 };

/* ---- life ---- */

static void free_pages(struct sb_frame *frame)
{
    sb_free_pages(frame->data, frame->bytes);
}

/* Zeros. */
static struct sb_frame *new_moments(size_t count)
{
    size_t bytes = count * sizeof(float);
    return sb_frame_over(sb_alloc_pages(bytes), bytes, free_pages, NULL);
}

/* The group of a span; a new one if it is the first of its kind. */
static uint32_t find_group(struct sb_shard *shard, const struct sb_span *span)
{
    double rate = sb_span_rate(span);
    for (uint32_t i = 0; i < shard->group_count; i++)
        if (shard->groups[i].rate == rate && shard->groups[i].from_step == span->from_step)
            return i;
    shard->groups = sb_realloc(shard->groups, (shard->group_count + 1) * sizeof(*shard->groups));
    shard->groups[shard->group_count] =
        (struct sb_shard_group){.rate = rate, .from_step = span->from_step};
    return (uint32_t)shard->group_count++;
}

/* Its tensors are not frozen in the running step. */
static bool is_active(const struct sb_shard *shard, const struct sb_shard_part *p)
{
    return p->part->trainable && shard->step >= p->part->from_step;
}

/* The parts that are not row-sparse are updated in tiles; a tile lies in one span, which says
 * whether it decays. */
static void cut_into_tiles(struct sb_shard *shard, uint32_t mine)
{
    const struct sb_part *part = shard->mine[mine].part;
    for (uint32_t s = part->first_span; s < part->end_span; s++) {
        const struct sb_span *span = &shard->parts.spans[s];
        uint64_t begin = span->offset > part->offset ? span->offset - part->offset : 0;
        uint64_t end = span->offset + span->rows * span->cols - part->offset;
        uint32_t group = find_group(shard, span);
        if (end > part->count)
            end = part->count;
        for (; begin < end; begin += TILE_FLOATS) {
            shard->tiles =
                sb_realloc(shard->tiles, (shard->tile_count + 1) * sizeof(*shard->tiles));
            shard->tiles[shard->tile_count++] = (struct sb_shard_tile){
                .mine = mine,
                .group = group,
                .begin = begin,
                .count = end - begin < TILE_FLOATS ? end - begin : TILE_FLOATS,
                .decay = span->decay,
            };
        }
    }
}

static void add_part(struct sb_shard *shard, uint32_t id)
{
    const struct sb_part *part = &shard->parts.parts[id];
    uint32_t mine = (uint32_t)shard->mine_count++;
    shard->place[id] = mine;
    struct sb_shard_part *p = &shard->mine[mine];
    *p = (struct sb_shard_part){.id = id, .part = part};
    if (!part->trainable)
        return;
    shard->trainable_count++;
    p->m = new_moments(part->count);
    p->v = new_moments(part->count);
    sb_fold_init(&p->fold, shard->slots, part->rows, part->cols);
    if (part->row_sparse) {
        bool decay = shard->parts.spans[part->first_span].decay;
        p->group = find_group(shard, &shard->parts.spans[part->first_span]);
        shard->groups[p->group].replayed = true;
        sb_lazy_rows_init(&p->lazy, part->rows, part->cols, decay, p->m->data, p->v->data, 0);
        shard->lazy[shard->lazy_count++] = mine;
    } else {
        cut_into_tiles(shard, mine);
    }
}

struct sb_shard *sb_shard_new(const struct sb_job *job, struct sb_pool *pool,
                              const struct sb_span *spans, size_t span_count, uint32_t index,
                              uint32_t server_count, uint32_t slots, uint32_t term)
{
    struct sb_shard *shard = sb_calloc(1, sizeof(*shard));
    *shard =
        (struct sb_shard){.job = job, .pool = pool, .index = index, .slots = slots, .term = term};
    sb_parts_init(&shard->parts, spans, span_count, server_count);
    size_t count = shard->parts.count ? shard->parts.count : 1;
    shard->mine = sb_calloc(count, sizeof(*shard->mine));
    shard->place = sb_calloc(count, sizeof(*shard->place));
    shard->lazy = sb_calloc(count, sizeof(*shard->lazy));
    for (uint32_t id = 0; id < shard->parts.count; id++) {
        shard->place[id] = UINT32_MAX;
        if (shard->parts.parts[id].owner == index)
            add_part(shard, id);
    }
    return shard;
}

void sb_shard_free(struct sb_shard **shard_place)
{
    struct sb_shard *shard = *shard_place;
    if (!shard)
        return;
    *shard_place = NULL;
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        sb_frame_drop(&p->weights);
        sb_frame_drop(&p->m);
        sb_frame_drop(&p->v);
        sb_fold_release(&p->fold);
        sb_lazy_rows_release(&p->lazy);
    }
    for (size_t i = 0; i < shard->group_count; i++)
        sb_update_log_release(&shard->groups[i].log);
    free(shard->groups);
    sb_parts_release(&shard->parts);
    free(shard->mine);
    free(shard->place);
    free(shard->tiles);
    free(shard->lazy);
    free(shard);
}

static struct sb_shard_part *find(const struct sb_shard *shard, uint32_t part)
{
    if (part >= shard->parts.count || shard->place[part] == UINT32_MAX)
        return NULL;
    return &shard->mine[shard->place[part]];
}

/* ---- pushes ---- */

static bool rows_rise(const uint32_t *rows, size_t count, uint32_t end)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= end || (i > 0 && rows[i] <= rows[i - 1]))
            return false;
    return true;
}

bool sb_shard_rows_valid(const struct sb_shard *shard, uint32_t part, const struct sb_frame *rows)
{
    return part < shard->parts.count && rows->bytes % sizeof(uint32_t) == 0 &&
           rows_rise(rows->data, rows->bytes / sizeof(uint32_t), shard->parts.parts[part].rows);
}

static Sb__Answer bad(char *sentence, size_t size, uint32_t part, const char *why)
{
    snprintf(sentence, size, "part %u: %s", part, why);
    return SB__ANSWER__ANSWER_BAD;
}

/* The frames are what the head says they are.  NULL, or why not. */
static const char *frames_wrong(const struct sb_part *part, const Sb__Push *push,
                                const struct sb_msg *msg)
{
    if (push->empty)
        return msg->frame_count == 0 ? NULL : "an empty sum has a frame";
    if (!push->rows)
        return msg->frame_count == 1 && msg->frames[0]->bytes == part->count * sizeof(float)
                   ? NULL
                   : "the frame is not of the part's size";
    if (!part->row_sparse)
        return "rows were sent for a dense part";
    if (msg->frame_count != 2 || msg->frames[1]->bytes % sizeof(uint32_t))
        return "rows come in two frames";
    size_t row_count = msg->frames[1]->bytes / sizeof(uint32_t);
    if (msg->frames[0]->bytes != row_count * part->cols * sizeof(float))
        return "there are not as many values as rows";
    return rows_rise(msg->frames[1]->data, row_count, part->rows)
               ? NULL
               : "row numbers do not rise or are out of range";
}

static Sb__Answer judge_initial(const struct sb_shard_part *p, const struct sb_msg *msg,
                                char *sentence, size_t size)
{
    if (p->weights)
        return SB__ANSWER__ANSWER_DUPLICATE;
    if (msg->frame_count != 1 || msg->frames[0]->bytes != p->part->count * sizeof(float))
        return bad(sentence, size, p->id, "the first weights are not of the part's size");
    if (!sb_all_finite(msg->frames[0]->data, p->part->count))
        return bad(sentence, size, p->id, "the first weights hold a number that is not finite");
    return SB__ANSWER__ANSWER_NEW;
}

Sb__Answer sb_shard_judge(const struct sb_shard *shard, const Sb__Head *head,
                          const struct sb_msg *msg, char *sentence, size_t size)
{
    sentence[0] = 0;
    if (!sb_shard_of_term(shard, head))
        return SB__ANSWER__ANSWER_STALE;
    const struct sb_shard_part *p = find(shard, head->part);
    if (!p)
        return bad(sentence, size, head->part, "it is not a part of this server");
    if (head->push->initial)
        return judge_initial(p, msg, sentence, size);
    if (head->step < shard->step)
        return SB__ANSWER__ANSWER_STALE;
    if (head->step > shard->step || !sb_shard_seeded(shard))
        return SB__ANSWER__ANSWER_FUTURE;
    if (!p->part->trainable)
        return bad(sentence, size, head->part, "it is frozen and has no gradient");
    if (!sb_node_valid(head->node, shard->slots))
        return bad(sentence, size, head->part, "the node is outside the tree");
    const char *wrong = frames_wrong(p->part, head->push, msg);
    if (wrong)
        return bad(sentence, size, head->part, wrong);
#ifndef SB_WITHOUT_DEDUP /* see tests/README.md, "Broken builds" */
    if (sb_fold_covers(&p->fold, head->node))
        return SB__ANSWER__ANSWER_DUPLICATE;
#endif
    return SB__ANSWER__ANSWER_NEW;
}

/* Memory that somebody else may read again or write (a resend, the worker of this process) is only
 * borrowed. */
static bool only_ours(const struct sb_frame *frame)
{
    return atomic_load(&frame->references) == 1;
}

static void take_weights(struct sb_shard *shard, struct sb_shard_part *p, struct sb_frame *given)
{
    /* Always a copy: a borrowed frame may be the very memory that the worker writes our answers to.
     */
    p->weights = sb_frame_new(given->bytes);
    memcpy(p->weights->data, given->data, given->bytes);
    shard->seeded_count++;
}

static void measure(const struct sb_shard *shard, struct sb_shard_part *p)
{
    p->norm2 = is_active(shard, p)
                   ? sb_fold_sum_norm2(sb_fold_root(&p->fold), p->part->rows, p->part->cols)
                   : 0;
    p->normed = true;
}

void sb_shard_take(struct sb_shard *shard, const Sb__Head *head, const struct sb_msg *msg)
{
    struct sb_shard_part *p = find(shard, head->part);
    if (head->push->initial) {
        take_weights(shard, p, msg->frames[0]);
        return;
    }
    struct sb_fold_sum sum = SB_FOLD_SUM_EMPTY;
    if (!head->push->empty) {
        sum.ours = only_ours(msg->frames[0]);
        sum.values = sb_frame_keep(msg->frames[0]);
        sum.rows = head->push->rows ? sb_frame_keep(msg->frames[1]) : NULL;
    }
#ifdef SB_WITHOUT_DEDUP
    if (sb_fold_covers(&p->fold, head->node)) {
        sb_fold_take_again(&p->fold, head->node, sum, shard->pool);
        return;
    }
#endif
    sb_fold_take(&p->fold, head->node, sum, shard->pool);
    if (!sb_fold_root(&p->fold))
        return;
    p->complete = true;
    shard->complete_count++;
    /* With threads the norms of all parts are taken together at the end; alone, while the others
     * still arrive. */
    if (sb_pool_thread_count(shard->pool) == 1)
        measure(shard, p);
}

bool sb_shard_seeded(const struct sb_shard *shard)
{
    return shard->seeded_count == shard->mine_count;
}

bool sb_shard_complete(const struct sb_shard *shard)
{
    return sb_shard_seeded(shard) && shard->complete_count == shard->trainable_count;
}

static void norm_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct sb_shard *shard = context;
    struct sb_shard_part *p = &shard->mine[tile];
    if (p->part->trainable && !p->normed)
        measure(shard, p);
}

bool sb_shard_norms(struct sb_shard *shard, double *norms, uint32_t *bad_part)
{
    sb_assert(sb_shard_complete(shard));
    sb_pool_run(shard->pool, shard->mine_count, norm_tile, shard);
    bool finite = true;
    size_t count = 0;
    for (size_t i = 0; i < shard->mine_count; i++) {
        const struct sb_shard_part *p = &shard->mine[i];
        if (!p->part->trainable)
            continue;
        if (finite && !isfinite(p->norm2)) {
            finite = false;
            *bad_part = p->id;
        }
        norms[count++] = p->norm2;
    }
    return finite;
}

/* ---- updates ---- */

static struct sb_frame *copy_frame(const struct sb_frame *frame)
{
    struct sb_frame *copy = sb_frame_new(frame->bytes);
    memcpy(copy->data, frame->data, frame->bytes);
    return copy;
}

static void make_writable(struct sb_frame **frame)
{
    if (only_ours(*frame))
        return;
    struct sb_frame *copy = copy_frame(*frame);
    sb_frame_drop(frame);
    *frame = copy;
}

/* Row-sparse parts change in place, row by row: first make sure that nobody else reads them. */
struct rows {
    float *w, *m, *v;
};

static struct rows writable_rows(struct sb_shard_part *p)
{
    make_writable(&p->weights);
    make_writable(&p->m);
    make_writable(&p->v);
    return (struct rows){p->weights->data, p->m->data, p->v->data};
}

/* Where the update of a dense frame goes: into its place, or, if somebody reads it, into a fresh
 * one. */
static struct sb_frame *place_for(struct sb_frame *frame)
{
    return only_ours(frame) ? sb_frame_keep(frame) : sb_frame_new(frame->bytes);
}

static void replace(struct sb_frame **frame, struct sb_frame **next)
{
    sb_frame_drop(frame);
    *frame = *next;
    *next = NULL;
}

/* The constants of one group. */
struct constants {
    struct sb_adamw decayed, plain;
};

struct update {
    struct sb_shard *shard;
    struct constants *of; /* [group_count] */
};

/* Moments change in place; of those that somebody reads a copy does. */
static float *moments_of_tile(struct sb_frame *next, const struct sb_frame *old,
                              const struct sb_shard_tile *tile)
{
    float *moments = (float *)next->data + tile->begin;
    if (next != old)
        memcpy(moments, (const float *)old->data + tile->begin, tile->count * sizeof(float));
    return moments;
}

static void dense_tile(struct update *update, const struct sb_shard_tile *tile)
{
    struct sb_shard_part *p = &update->shard->mine[tile->mine];
    if (!p->next.weights)
        return; /* frozen as yet */
    const struct constants *of = &update->of[tile->group];
    const struct sb_fold_sum *root = sb_fold_root(&p->fold);
    const float *grad = root->values ? (const float *)root->values->data + tile->begin : NULL;
    sb_adamw_apply((float *)p->next.weights->data + tile->begin,
                   moments_of_tile(p->next.m, p->m, tile), moments_of_tile(p->next.v, p->v, tile),
                   (const float *)p->weights->data + tile->begin, grad, tile->count,
                   tile->decay ? &of->decayed : &of->plain);
}

/* The log ends before this update: rows with a gradient catch up to here and then take it. */
static void lazy_part(struct update *update, struct sb_shard_part *p)
{
    if (!is_active(update->shard, p)) { /* the update is none of its rows' */
        sb_lazy_rows_skip(&p->lazy);
        return;
    }
    const struct sb_fold_sum *root = sb_fold_root(&p->fold);
    if (!root->values)
        return;
    const struct constants *of = &update->of[p->group];
    const struct sb_update_log *log = &update->shard->groups[p->group].log;
    size_t cols = p->part->cols;
    const uint32_t *rows = root->rows ? root->rows->data : NULL;
    size_t row_count = root->rows ? sb_fold_sum_row_count(root) : p->part->rows;
    const float *values = root->values->data;
    struct rows of_part = row_count ? writable_rows(p) : (struct rows){0};
    for (size_t i = 0; i < row_count; i++) {
        size_t row = rows ? rows[i] : i, at = row * cols;
        float *w = of_part.w + at, *m = of_part.m + at, *v = of_part.v + at;
        sb_lazy_rows_replay(&p->lazy, of_part.w, of_part.m, of_part.v, row, log);
        sb_adamw_apply(w, m, v, w, values + i * cols, cols,
                       p->lazy.decay ? &of->decayed : &of->plain);
        sb_lazy_rows_moved(&p->lazy, row);
    }
}

static void update_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct update *update = context;
    struct sb_shard *shard = update->shard;
    if (tile < shard->tile_count)
        dense_tile(update, &shard->tiles[tile]);
    else
        lazy_part(update, &shard->mine[shard->lazy[tile - shard->tile_count]]);
}

/*
 * What was frozen at first counts its updates from its first step on, as PyTorch counts those of a
 * parameter from its first gradient.  (By steps: one that was skipped, for it had no target, counts
 * here alone; how many were skipped before is in no checkpoint.)
 */
static uint64_t update_number(const struct sb_shard *shard, const struct sb_shard_group *group)
{
    if (group->from_step == 0)
        return shard->applied + 1;
    return shard->step >= group->from_step ? shard->step - group->from_step + 1 : 1;
}

static struct constants constants_of(const struct sb_shard *shard,
                                     const struct sb_shard_group *group, double scale, double rate)
{
    const struct sb_job *job = shard->job;
    uint64_t number = update_number(shard, group);
    double own = rate * group->rate;
    return (struct constants){
        .decayed = sb_adamw_at(own, job->weight_decay, job->adam_beta1, job->adam_beta2,
                               job->adam_epsilon, number, scale),
        .plain =
            sb_adamw_at(own, 0, job->adam_beta1, job->adam_beta2, job->adam_epsilon, number, scale),
    };
}

static void apply_update(struct sb_shard *shard, double scale, double rate)
{
    struct update update = {.shard = shard,
                            .of = sb_calloc(shard->group_count + 1, sizeof(*update.of))};
    for (size_t i = 0; i < shard->group_count; i++)
        update.of[i] = constants_of(shard, &shard->groups[i], scale, rate);
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        if (!is_active(shard, p) || p->part->row_sparse)
            continue;
        p->next.weights = place_for(p->weights);
        p->next.m = place_for(p->m);
        p->next.v = place_for(p->v);
    }
    sb_pool_run(shard->pool, shard->tile_count + shard->lazy_count, update_tile, &update);
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        if (!p->next.weights)
            continue;
        replace(&p->weights, &p->next.weights);
        replace(&p->m, &p->next.m);
        replace(&p->v, &p->next.v);
    }
    shard->applied++;
    for (size_t i = 0; i < shard->group_count; i++) {
        struct sb_update_log *log = &shard->groups[i].log;
        sb_update_log_add(log, &update.of[i].decayed);
        if (!shard->groups[i].replayed)
            sb_update_log_cut(log, shard->applied);
    }
    free(update.of);
}

void sb_shard_commit(struct sb_shard *shard, bool apply, double scale, double rate)
{
    sb_assert(sb_shard_complete(shard));
    if (apply)
        apply_update(shard, scale, rate);
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        if (!p->part->trainable)
            continue;
        sb_fold_clear(&p->fold);
        p->complete = p->normed = false;
    }
    shard->complete_count = 0;
    shard->step++;
}

/* ---- reading ---- */

static bool is_lazy(const struct sb_shard_part *p)
{
    return p->part->trainable && p->part->row_sparse;
}

static bool row_behind(const struct sb_shard *shard, const struct sb_shard_part *p, size_t row)
{
    return p->lazy.seen[row] != shard->applied;
}

static bool behind(const struct sb_shard *shard, const struct sb_shard_part *p)
{
    for (size_t row = 0; row < p->part->rows; row++)
        if (row_behind(shard, p, row))
            return true;
    return false;
}

static void replay_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct sb_shard *shard = context;
    struct sb_shard_part *p = &shard->mine[shard->lazy[tile]];
    if (!behind(shard, p))
        return;
    struct rows of_part = writable_rows(p);
    for (size_t row = 0; row < p->part->rows; row++)
        sb_lazy_rows_replay(&p->lazy, of_part.w, of_part.m, of_part.v, row,
                            &shard->groups[p->group].log);
}

void sb_shard_catch_up(struct sb_shard *shard)
{
    sb_pool_run(shard->pool, shard->lazy_count, replay_tile, shard);
    for (size_t i = 0; i < shard->group_count; i++)
        sb_update_log_cut(&shard->groups[i].log, shard->applied);
}

/* Those of these rows that are behind. */
static void replay_rows(struct sb_shard *shard, struct sb_shard_part *p, const uint32_t *rows,
                        size_t row_count)
{
    size_t i = 0;
    while (i < row_count && !row_behind(shard, p, rows[i]))
        i++;
    if (i == row_count)
        return; /* so that what is being written need not be copied */
    struct rows of_part = writable_rows(p);
    for (; i < row_count; i++)
        sb_lazy_rows_replay(&p->lazy, of_part.w, of_part.m, of_part.v, rows[i],
                            &shard->groups[p->group].log);
}

bool sb_shard_weights_shared(const struct sb_shard *shard, uint32_t part)
{
    const struct sb_shard_part *p = find(shard, part);
    return p && p->weights && !only_ours(p->weights);
}

struct sb_frame *sb_shard_weights(struct sb_shard *shard, uint32_t part,
                                  const struct sb_frame *rows_frame)
{
    struct sb_shard_part *p = find(shard, part);
    if (!p || !p->weights)
        return NULL;
    if (!rows_frame) {
        if (is_lazy(p) && behind(shard, p))
            sb_shard_catch_up(shard); /* whoever wants one part whole wants the others next */
        return sb_frame_keep(p->weights);
    }
    const uint32_t *rows = rows_frame->data;
    size_t row_count = rows_frame->bytes / sizeof(*rows), cols = p->part->cols;
    struct sb_frame *packed = sb_frame_new(row_count * cols * sizeof(float));
    if (is_lazy(p))
        replay_rows(shard, p, rows, row_count);
    const float *w = p->weights->data;
    for (size_t i = 0; i < row_count; i++)
        memcpy((float *)packed->data + i * cols, w + rows[i] * cols, cols * sizeof(float));
    return packed;
}

/* ---- checkpoints ---- */

static void describe(struct sb_shard *shard, struct sb_ckpt_state *state)
{
    *state = (struct sb_ckpt_state){
        .server_index = shard->index,
        .server_count = shard->parts.server_count,
        .step = shard->step,
        .applied = shard->applied,
        .parts = sb_calloc(shard->mine_count ? shard->mine_count : 1, sizeof(*state->parts)),
        .part_count = shard->mine_count,
    };
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        state->parts[i] = (struct sb_ckpt_part){
            .part = p->id,
            .count = p->part->count,
            .w = p->weights->data,
            .m = p->m ? p->m->data : NULL,
            .v = p->v ? p->v->data : NULL,
        };
    }
}

static struct sb_frame *keep_if_any(struct sb_frame *frame)
{
    return frame ? sb_frame_keep(frame) : NULL;
}

void sb_shard_snapshot(struct sb_shard *shard, struct sb_ckpt_state *state, struct sb_frame ***held)
{
    sb_assert(sb_shard_seeded(shard));
    sb_shard_catch_up(shard);
    describe(shard, state);
    struct sb_frame **next = *held = sb_calloc(3 * shard->mine_count + 1, sizeof(**held));
    for (size_t i = 0; i < shard->mine_count; i++) {
        *next++ = sb_frame_keep(shard->mine[i].weights);
        *next++ = keep_if_any(shard->mine[i].m);
        *next++ = keep_if_any(shard->mine[i].v);
    }
}

/* To be filled: what somebody reads is left to him. */
static void make_own(struct sb_frame **frame)
{
    if (!*frame || only_ours(*frame))
        return;
    size_t bytes = (*frame)->bytes;
    sb_frame_drop(frame);
    *frame = sb_frame_new(bytes);
}

void sb_shard_state_for_reading(struct sb_shard *shard, struct sb_ckpt_state *state)
{
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        sb_assert(!p->weights);
        p->weights = sb_frame_new(p->part->count * sizeof(float));
        make_own(&p->m);
        make_own(&p->v);
    }
    describe(shard, state);
}

void sb_shard_restored(struct sb_shard *shard, const struct sb_ckpt_state *state)
{
    shard->step = state->step;
    shard->seeded_count = shard->mine_count;
    shard->applied = state->applied;
    for (size_t i = 0; i < shard->group_count; i++)
        sb_update_log_begin(&shard->groups[i].log, state->applied);
    for (size_t i = 0; i < shard->lazy_count; i++) {
        struct sb_shard_part *p = &shard->mine[shard->lazy[i]];
        bool decay = p->lazy.decay;
        sb_lazy_rows_release(&p->lazy);
        sb_lazy_rows_init(&p->lazy, p->part->rows, p->part->cols, decay, p->m->data, p->v->data,
                          state->applied);
    }
}

int sb_shard_reload(struct sb_shard *shard, const struct sb_disk *disk, const char *folder,
                    struct sb_err *err)
{
    struct sb_ckpt_state state;
    uint64_t step = shard->step;
    for (size_t i = 0; i < shard->mine_count; i++)
        sb_frame_drop(&shard->mine[i].weights);
    sb_shard_state_for_reading(shard, &state);
    int rc = disk->read(disk->context, folder, &state, err);
    if (rc == 0)
        sb_shard_restored(shard, &state);
    free(state.parts);
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_shard_part *p = &shard->mine[i];
        if (p->part->trainable)
            sb_fold_clear(&p->fold);
        p->complete = p->normed = false;
    }
    shard->complete_count = 0;
    shard->step = step + 1;
    return rc;
}
