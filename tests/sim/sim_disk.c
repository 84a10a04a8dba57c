/*
 * Checkpoints in memory: what ckpt.h promises, without a file system.
 *
 * What is to be done beside the training is done later, all at once: by then other steps may be
 * committed, processes dead, and terms over.  Now and then the work of one who is dead, or whom
 * nobody wants any more, is done all the same: somebody may be too late to know.  Who lives may
 * even have asked whether he is wanted long before he does what he then does.
 */
#include "arena.h"
#include "sim.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

struct saved_part {
    uint32_t part;
    size_t count;
    float *floats[3];
};

struct saved {
    char *folder;
    uint64_t step, applied;
    struct saved_part *parts;
    size_t part_count;
    bool published;
    struct sb_ckpt_manifest manifest;
};

struct store {
    struct sb_disk disk; /* first */
    struct saved *items;
    size_t count;
    unsigned failing;
    uint32_t term;
    struct task {
        struct sb_errand *errand;
        uint64_t due_ns;
        bool unwanted; /* before somebody died */
    } * tasks;
    size_t task_count;
    uint64_t now_ns, random, slowest_ms;
    unsigned starts_failing;
    uint64_t step_failing;
};

static uint64_t draw(struct store *store)
{
    store->random ^= store->random << 13;
    store->random ^= store->random >> 7;
    store->random ^= store->random << 17;
    return store->random;
}

static void release(struct saved *saved)
{
    for (size_t i = 0; i < saved->part_count; i++)
        for (int k = 0; k < 3; k++)
            free(saved->parts[i].floats[k]);
    free(saved->parts);
    free(saved->folder);
    sb_ckpt_manifest_release(&saved->manifest);
}

static struct saved *find(struct store *store, const char *folder)
{
    for (size_t i = 0; i < store->count; i++)
        if (!strcmp(store->items[i].folder, folder))
            return &store->items[i];
    return NULL;
}

static float *copy(const float *floats, size_t count)
{
    if (!floats)
        return NULL;
    float *made = sb_alloc(count * sizeof(*made));
    return memcpy(made, floats, count * sizeof(*made));
}

/* The same step has the same state, under whichever term and however often it is saved. */
static void put_part(struct saved *saved, const struct sb_ckpt_part *part)
{
    const float *floats[3] = {part->w, part->m, part->v};
    for (size_t i = 0; i < saved->part_count; i++) {
        if (saved->parts[i].part != part->part)
            continue;
        for (int k = 0; k < 3; k++)
            if (floats[k])
                assert_memory_equal(saved->parts[i].floats[k], floats[k],
                                    part->count * sizeof(float));
        return;
    }
    saved->parts = sb_realloc(saved->parts, (saved->part_count + 1) * sizeof(*saved->parts));
    saved->parts[saved->part_count++] = (struct saved_part){
        part->part,
        part->count,
        {copy(part->w, part->count), copy(part->m, part->count), copy(part->v, part->count)}};
}

static int store_write(void *context, const char *folder, const struct sb_ckpt_state *state,
                       struct sb_ckpt_file *file, struct sb_err *err)
{
    struct store *store = context;
    if (store->failing) {
        store->failing--;
        return sb_err_set(err, SB_ERR_IO, "no space left");
    }
    if (state->step == store->step_failing)
        return sb_err_set(err, SB_ERR_IO, "fsync failed");
    struct saved *saved = find(store, folder);
    if (!saved) {
        store->items = sb_realloc(store->items, (store->count + 1) * sizeof(*store->items));
        saved = &store->items[store->count++];
        *saved = (struct saved){
            .folder = sb_strdup(folder), .step = state->step, .applied = state->applied};
    }
    assert_int_equal(saved->step, state->step);
    assert_int_equal(saved->applied, state->applied);
    for (size_t i = 0; i < state->part_count; i++)
        put_part(saved, &state->parts[i]);
    if (state->watch)
        atomic_store(&state->watch->written, state->part_count);
    *file = (struct sb_ckpt_file){.name = "state", .bytes = 1, .hash = "0"};
    return 0;
}

static void fill(float *to, const float *from, size_t count)
{
    assert_int_equal(to == NULL, from == NULL);
    if (to)
        memcpy(to, from, count * sizeof(*to));
}

static int store_read(void *context, const char *folder, struct sb_ckpt_state *state,
                      struct sb_err *err)
{
    (void)err;
    struct saved *saved = find(context, folder);
    assert_non_null(saved);
    state->step = saved->step;
    state->applied = saved->applied;
    for (size_t i = 0; i < state->part_count; i++) {
        struct sb_ckpt_part *part = &state->parts[i];
        size_t at = 0;
        while (at < saved->part_count && saved->parts[at].part != part->part)
            at++;
        assert_true(at < saved->part_count);
        assert_int_equal(saved->parts[at].count, part->count);
        fill(part->w, saved->parts[at].floats[0], part->count);
        fill(part->m, saved->parts[at].floats[1], part->count);
        fill(part->v, saved->parts[at].floats[2], part->count);
    }
    return 0;
}

static void copy_manifest(struct sb_ckpt_manifest *to, const struct sb_ckpt_manifest *from)
{
    *to = (struct sb_ckpt_manifest){.step = from->step,
                                    .term = from->term,
                                    .layout = from->layout,
                                    .canonical = sb_strdup(from->canonical),
                                    .plan = json_deep_copy(from->plan),
                                    .history = json_deep_copy(from->history)};
}

static int store_publish(void *context, const char *folder, const struct sb_ckpt_manifest *manifest,
                         struct sb_err *err)
{
    struct saved *saved = find(context, folder);
    if (!saved) /* somebody who knows nothing of us has removed it */
        return sb_err_set(err, SB_ERR_IO, "there is no folder");
    saved->published = true;
    sb_ckpt_manifest_release(&saved->manifest);
    copy_manifest(&saved->manifest, manifest);
    return 0;
}

static int store_newest(void *context, const char *output_dir, char *folder,
                        struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                        void *damaged_context, struct sb_err *err)
{
    (void)output_dir, (void)damaged, (void)damaged_context, (void)err;
    struct store *store = context;
    const struct saved *best = NULL;
    for (size_t i = 0; i < store->count; i++)
        if (store->items[i].published && (!best || store->items[i].step > best->step))
            best = &store->items[i];
    if (!best)
        return 0;
    strcpy(folder, best->folder);
    copy_manifest(manifest, &best->manifest);
    return 1;
}

static void drop(struct store *store, struct saved *saved)
{
    release(saved);
    *saved = store->items[--store->count];
}

static int store_discard(void *context, const char *folder, struct sb_err *err)
{
    (void)err;
    struct saved *saved = find(context, folder);
    if (saved && !saved->published)
        drop(context, saved);
    return 0;
}

static int store_prune(void *context, const char *output_dir, uint64_t step, uint32_t keep,
                       uint64_t also, struct sb_err *err)
{
    (void)output_dir, (void)err;
    struct store *store = context;
    for (size_t i = store->count; i-- > 0;)
        if (!store->items[i].published)
            drop(store, &store->items[i]);
    for (;;) {
        size_t oldest = SIZE_MAX, others = 0;
        for (size_t i = 0; i < store->count; i++) {
            if (store->items[i].step > step || store->items[i].step == also)
                continue;
            others++;
            if (oldest == SIZE_MAX || store->items[i].step < store->items[oldest].step)
                oldest = i;
        }
        if (others <= keep)
            break;
        drop(store, &store->items[oldest]);
    }
    return 0;
}

static int store_read_term(void *context, const char *output_dir, uint32_t *term,
                           struct sb_err *err)
{
    (void)output_dir, (void)err;
    *term = ((struct store *)context)->term;
    return 0;
}

static int store_keep_term(void *context, const char *output_dir, uint32_t term, struct sb_err *err)
{
    (void)output_dir, (void)err;
    struct store *store = context;
    assert_true(term > store->term); /* no term is taken twice */
    store->term = term;
    return 0;
}

static int store_start(void *context, struct sb_errand *errand, struct sb_err *err)
{
    struct store *store = context;
    if (store->starts_failing) {
        store->starts_failing--;
        return sb_err_set(err, SB_ERR_TRY_AGAIN, "no thread");
    }
    uint64_t most_ms = draw(store) % 4 ? 1 + store->slowest_ms / 10 : 1 + store->slowest_ms;
    store->tasks = sb_realloc(store->tasks, (store->task_count + 1) * sizeof(*store->tasks));
    store->tasks[store->task_count++] = (struct task){
        .errand = errand, .due_ns = store->now_ns + draw(store) % most_ms * UINT64_C(1000000)};
    return 0;
}

static double store_seconds(void *context)
{
    (void)context;
    return 0;
}

static void do_nothing(struct sb_errand *errand)
{
    (void)errand;
}

void sim_disk_turn(struct sb_disk *disk, uint64_t now_ns)
{
    struct store *store = (struct store *)disk;
    store->now_ns = now_ns;
    for (size_t i = store->task_count; i-- > 0;) {
        struct sb_errand *errand = store->tasks[i].errand;
        if (store->tasks[i].due_ns > now_ns)
            continue;
        store->tasks[i] = store->tasks[--store->task_count];
        if (sb_errand_unwanted(errand) && draw(store) % 2)
            errand->run = do_nothing;
        else if (draw(store) % 2)
            atomic_store(&errand->unwanted, false); /* as it was when he asked */
        sb_errand_carry_out(errand);
    }
}

void sim_disk_before_a_death(struct sb_disk *disk)
{
    struct store *store = (struct store *)disk;
    for (size_t i = 0; i < store->task_count; i++)
        store->tasks[i].unwanted = sb_errand_unwanted(store->tasks[i].errand);
}

/* What was under way has just been done, or never is. */
void sim_disk_after_a_death(struct sb_disk *disk)
{
    struct store *store = (struct store *)disk;
    for (size_t i = store->task_count; i-- > 0;) {
        struct task task = store->tasks[i];
        if (task.unwanted || !sb_errand_unwanted(task.errand))
            continue;
        store->tasks[i] = store->tasks[--store->task_count];
        if (draw(store) % 2)
            task.errand->run = do_nothing;
        atomic_store(&task.errand->unwanted, false);
        sb_errand_carry_out(task.errand);
    }
}

/* All processes are gone. */
void sim_disk_end(struct sb_disk *disk)
{
    struct store *store = (struct store *)disk;
    while (store->task_count > 0) {
        struct sb_errand *errand = store->tasks[--store->task_count].errand;
        errand->run = do_nothing;
        sb_errand_carry_out(errand);
    }
    store->now_ns = 0;
}

struct sb_disk *sim_disk_new(void)
{
    struct store *store = sb_calloc(1, sizeof(*store));
    store->random = UINT64_C(88172645463325252);
    store->slowest_ms = 400;
    store->disk = (struct sb_disk){
        .context = store,
        .write = store_write,
        .read = store_read,
        .publish = store_publish,
        .newest = store_newest,
        .discard = store_discard,
        .read_term = store_read_term,
        .keep_term = store_keep_term,
        .prune = store_prune,
        .start = store_start,
        .seconds = store_seconds,
    };
    return &store->disk;
}

void sim_disk_free(struct sb_disk **disk)
{
    struct store *store = (struct store *)*disk;
    *disk = NULL;
    for (size_t i = 0; i < store->count; i++)
        release(&store->items[i]);
    free(store->items);
    free(store->tasks);
    free(store);
}

void sim_disk_fail_writes(struct sb_disk *disk, unsigned count)
{
    ((struct store *)disk)->failing = count;
}

void sim_disk_fail_step(struct sb_disk *disk, uint64_t step)
{
    ((struct store *)disk)->step_failing = step;
}

void sim_disk_fail_starts(struct sb_disk *disk, unsigned count)
{
    ((struct store *)disk)->starts_failing = count;
}

void sim_disk_slow(struct sb_disk *disk, uint64_t seed, uint64_t slowest_ms)
{
    struct store *store = (struct store *)disk;
    store->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252u;
    store->slowest_ms = slowest_ms;
}
