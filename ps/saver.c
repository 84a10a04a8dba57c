#include "saver.h"

#include "arena.h"
#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KINDS = 3 }; /* weights and two moments */

/* The writer reads the memory of parts from `written` on; what came of it is its own until it is
 * over. */
struct sb_saver_write {
    struct sb_errand errand; /* first */
    const struct sb_disk *disk;
    char folder[SB_PATH_BYTES];
    struct sb_ckpt_state state;
    struct sb_ckpt_watch watch;
    struct sb_ckpt_file file;
    struct sb_err err;
    struct sb_frame **held; /* [part_count * KINDS] the owner's */
    size_t dropped;         /* parts whose frames are given back; the owner's */
};

static void run(struct sb_errand *errand)
{
    struct sb_saver_write *write = (struct sb_saver_write *)errand;
    if (write->disk->write(write->disk->context, write->folder, &write->state, &write->file,
                           &write->err) < 0)
        sb_err_context(&write->err, "server %" PRIu32, write->state.server_index);
}

static void drop_parts(struct sb_saver_write *write, size_t end)
{
    for (; write->dropped < end; write->dropped++)
        for (size_t kind = 0; kind < KINDS; kind++)
            sb_frame_drop(&write->held[write->dropped * KINDS + kind]);
}

static void release(struct sb_errand *errand)
{
    struct sb_saver_write *write = (struct sb_saver_write *)errand;
    drop_parts(write, write->state.part_count);
    free(write->held);
    free(write->state.parts);
    free(write);
}

static void let_go(struct sb_saver_write **write)
{
    struct sb_errand *errand = *write ? &(*write)->errand : NULL;
    *write = NULL;
    sb_errand_let_go(&errand);
}

void sb_saver_init(struct sb_saver *saver, const struct sb_disk *disk)
{
    *saver = (struct sb_saver){.disk = disk, .step = SB_CKPT_NONE};
}

void sb_saver_release(struct sb_saver *saver)
{
    sb_saver_forget(saver);
    let_go(&saver->past);
}

static void end(struct sb_saver *saver)
{
    saver->over = true;
    saver->write = NULL;
}

/* Once nothing older is under way. */
static void start(struct sb_saver *saver)
{
    struct sb_saver_write *write = saver->write;
    saver->started = true;
    if (saver->disk->start(saver->disk->context, &write->errand, &saver->err) == 0)
        return;
    sb_err_context(&saver->err, "server %" PRIu32, write->state.server_index);
    release(&write->errand);
    end(saver);
}

void sb_saver_begin(struct sb_saver *saver, struct sb_shard *shard, const char *folder,
                    bool waited_for)
{
    const struct sb_disk *disk = saver->disk;
    sb_saver_forget(saver);
    saver->step = shard->step;
    if (!disk) {
        sb_err_set(&saver->err, SB_ERR_CONFIG, "this server has no place for checkpoints");
        saver->over = true;
        return;
    }
    double began = disk->seconds(disk->context);
    struct sb_saver_write *write = saver->write = sb_calloc(1, sizeof(*write));
    write->errand = (struct sb_errand){.run = run, .release = release, .patient = !waited_for};
    write->disk = disk;
    write->err = (struct sb_err)SB_ERR_INIT;
    snprintf(write->folder, sizeof(write->folder), "%s", folder);
    sb_shard_snapshot(shard, &write->state, &write->held);
    write->watch.errand = &write->errand;
    write->state.watch = &write->watch;
    if (!saver->past)
        start(saver);
    saver->seconds = disk->seconds(disk->context) - began;
}

bool sb_saver_ended(struct sb_saver *saver)
{
    if (saver->past && sb_errand_over(&saver->past->errand))
        let_go(&saver->past);
    if (!saver->write)
        return false;
    if (!saver->started) {
        if (!saver->past)
            start(saver);
        return saver->over;
    }
    if (!sb_errand_over(&saver->write->errand))
        return false;
    saver->file = saver->write->file;
    saver->err = saver->write->err;
    let_go(&saver->write);
    end(saver);
    return true;
}

void sb_saver_drop_written(struct sb_saver *saver)
{
    if (saver->write)
        drop_parts(saver->write, atomic_load(&saver->write->watch.written));
    if (saver->past)
        drop_parts(saver->past, atomic_load(&saver->past->watch.written));
}

void sb_saver_forget(struct sb_saver *saver)
{
    if (saver->write && !saver->started) {
        release(&saver->write->errand);
    } else if (saver->write) {
        sb_errand_cancel(&saver->write->errand);
        saver->past = saver->write;
    }
    saver->write = NULL;
    saver->started = saver->over = false;
    saver->step = SB_CKPT_NONE;
    saver->seconds = 0;
    saver->file = (struct sb_ckpt_file){.bytes = 0};
    saver->err = (struct sb_err)SB_ERR_INIT;
}
