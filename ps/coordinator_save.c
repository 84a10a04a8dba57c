#include "coordinator_inside.h"

#include "arena.h"
#include "resume.h"
#include "save_interval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A checkpoint is made beside the training, one at a time:
 *
 *   SAVE of step t ---> every server keeps its state of step t ---> every server has written it
 *    \  the history of step t is kept here   |                            |
 *     '--- step t is dealt at once           '-- step t may be committed  '-- manifest, old ones go
 *                                                                             (an errand)
 *
 * Another one that comes due meanwhile is left out.  A run that stops, that ends, or whose
 * checkpoint of the best model comes due stands still (SAVING) until the one under way is over:
 * what it needs it cannot get from an older step.
 *
 * The errand of a save that was given up, or of a term that is over, may still sit in a disk that
 * does not answer, and remove when it wakes what it takes for left behind: as long as it is not
 * over it counts as one under way.
 */

/* What ends a save, elsewhere: the manifest is written and older checkpoints go, or, if it failed,
 * what is left of it goes. */
struct sb_save_ending {
    struct sb_errand errand; /* first */
    const struct sb_disk *disk;
    char folder[SB_PATH_BYTES], output_dir[SB_PATH_BYTES];
    struct sb_ckpt_manifest manifest;
    json_t *head; /* NULL: the run has none */
    uint32_t keep;
    uint64_t also, began_ns;
    bool failed;             /* before: a server could not write; after: it does not exist */
    struct sb_err err, less; /* less: an older one is still there */
};

/* ---- its end, elsewhere ---- */

static int publish(struct sb_save_ending *ending)
{
    const struct sb_disk *disk = ending->disk;
    struct sb_ckpt_manifest *manifest = &ending->manifest;
    if (ending->head && disk->write_head) {
        struct sb_embed_head head = SB_EMBED_HEAD_INIT;
        int rc = sb_embed_head_unpack(&head, ending->head, "the head", &ending->err);
        if (rc == 0)
            rc = disk->write_head(disk->context, ending->folder, &head,
                                  manifest->files + manifest->file_count, &ending->err);
        sb_embed_head_release(&head);
        if (rc < 0)
            return -1;
        manifest->file_count += SB_CKPT_HEAD_FILES;
    }
    return disk->publish(disk->context, ending->folder, manifest, &ending->err);
}

/* Nobody prunes for a term that is over: the next one may be reading the checkpoint that would go.
 * What is published too late to be known does no harm: it is what the next term would write. */
static void run_ending(struct sb_errand *errand)
{
    struct sb_save_ending *ending = (struct sb_save_ending *)errand;
    const struct sb_disk *disk = ending->disk;
    if (sb_errand_unwanted(errand))
        return;
    if (!ending->failed && publish(ending) < 0)
        ending->failed = true;
    if (sb_errand_unwanted(errand))
        return;
    if (ending->failed)
        disk->discard(disk->context, ending->folder, NULL);
    else
        disk->prune(disk->context, ending->output_dir, ending->manifest.step, ending->keep,
                    ending->also, &ending->less);
}

static void release_ending(struct sb_errand *errand)
{
    struct sb_save_ending *ending = (struct sb_save_ending *)errand;
    sb_ckpt_manifest_release(&ending->manifest);
    json_decref(ending->head);
    free(ending);
}

static struct sb_save_ending *new_ending(struct sb_coordinator *c)
{
    size_t server_count = c->members.server_count;
    struct sb_save_ending *ending = sb_calloc(1, sizeof(*ending));
    *ending = (struct sb_save_ending){
        .errand = {.run = run_ending,
                   .release = release_ending,
                   .patient = c->state != SB_COORDINATOR_SAVING},
        .disk = c->options->disk,
        .manifest = {.step = c->save.step,
                     .term = c->term,
                     .layout = c->parts.hash,
                     .canonical = sb_strdup(c->options->canonical),
                     .plan = sb_plan_to_json(c->members.plan, c->job, c->options->fingerprint),
                     .history = json_incref(c->save.history),
                     .files = sb_calloc(server_count + SB_CKPT_HEAD_FILES,
                                        sizeof(*ending->manifest.files)),
                     .file_count = server_count},
        .head = json_incref(c->save.head),
        .keep = c->job->save_total_limit,
        .also = c->save.best_step,
        .began_ns = c->save.began_ns,
        .failed = c->save.failed,
    };
    snprintf(ending->folder, sizeof(ending->folder), "%s", c->save.folder);
    snprintf(ending->output_dir, sizeof(ending->output_dir), "%s", c->job->output_dir);
    for (size_t i = 0; i < server_count; i++)
        ending->manifest.files[i] = c->servers[i].file;
    return ending;
}

/* ---- when ---- */

/* The clock decides when a checkpoint is written, and never what is in it. */
static bool save_time_is_over(const struct sb_coordinator *c)
{
    double interval_s = sb_save_interval_s(c->job, c->save_stall_s, c->save_write_s);
    uint64_t since_ns = c->save_ns > c->train_ns ? c->save_ns : c->train_ns;
    return interval_s > 0 && since_ns && sb_coordinator_seconds(c, since_ns) >= interval_s;
}

enum need { NOT_NOW, WOULD_BE_GOOD, NEEDED };

static enum need save_need(const struct sb_coordinator *c)
{
    if (c->step == 0 || c->reloaded || c->saved_step == c->step || !c->options->disk ||
        !c->job->output_dir || !*c->job->output_dir)
        return NOT_NOW;
    bool best = c->history.best.known && c->history.best.step == c->step;
    if (c->stop_code || best || sb_coordinator_at_end(c))
        return NEEDED;
    bool due = (c->job->save_steps && c->step % c->job->save_steps == 0) || save_time_is_over(c);
    return due ? WOULD_BE_GOOD : NOT_NOW;
}

bool sb_coordinator_save_due(const struct sb_coordinator *c)
{
    enum need need = save_need(c);
    return need == NEEDED || (need == WOULD_BE_GOOD && !c->save.under_way && !c->past);
}

bool sb_coordinator_save_awaited(const struct sb_coordinator *c)
{
    if (c->save.under_way && (c->stop_code || sb_coordinator_at_end(c)))
        return true;
    return (c->save.under_way || c->past) && save_need(c) == NEEDED;
}

void sb_coordinator_leave_out_save(struct sb_coordinator *c)
{
    char text[256] = "";
    const struct sb_coordinator_save *save = &c->save;
    if ((!save->under_way && !c->past) || save_need(c) != WOULD_BE_GOOD ||
        save->left_out == c->step)
        return;
    if (!c->said_left_out)
        snprintf(text, sizeof(text),
                 "the checkpoint of step %" PRIu64 " is left out, and further ones: that of step "
                 "%" PRIu64 " is still being written after %.1f s; training goes on",
                 c->step, save->under_way ? save->step : c->past->manifest.step,
                 sb_coordinator_seconds(c, save->under_way ? save->began_ns : c->past->began_ns));
    c->save.left_out = c->step;
    c->said_left_out = true;
    c->save_ns = c->now_ns; /* by the clock the next one is due an interval from here */
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_SAVE_LEFT_OUT, .text = text});
}

/* ---- its beginning ---- */

void sb_coordinator_send_save(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (!c->save.under_way || c->save.ending)
        return;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Save save = SB__SAVE__INIT;
    save.folder = c->save.folder;
    save.waited_for = c->stop_code || sb_coordinator_at_end(c);
    head.step = c->save.step;
    head.body_case = SB__HEAD__BODY_SAVE;
    head.save = &save;
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!c->servers[i].saved)
            sb_coordinator_send(c, out, i, &head, NULL);
}

void sb_coordinator_begin_save(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_best *best = &c->history.best;
    if (best->known && best->step == c->step)
        best->saved = true; /* once this checkpoint can be read */
    c->save.under_way = true;
    c->save.step = c->saved_step = c->step;
    c->save.began_ns = c->save_ns = c->now_ns;
    c->save.left_out = SB_CKPT_NONE;
    c->save.best_step = best->known ? best->step : SB_CKPT_NONE;
    c->save.history = sb_history_to_json(&c->history);
    if (c->head.step == c->step)
        c->save.head = sb_embed_head_pack(&c->head.head);
    c->save_failed = false;
    sb_ckpt_folder(c->save.folder, c->job->output_dir, c->step);
    for (uint32_t i = 0; i < c->members.server_count; i++)
        c->servers[i].kept = c->servers[i].saved = false;
    sb_coordinator_send_save(c, out);
}

bool sb_coordinator_save_kept(const struct sb_coordinator *c)
{
    if (c->save.under_way && c->save.step == c->step)
        for (uint32_t i = 0; i < c->members.server_count; i++)
            if (!c->servers[i].kept)
                return false;
    return true;
}

/* ---- its end ---- */

static void let_go(struct sb_save_ending **ending)
{
    struct sb_errand *errand = *ending ? &(*ending)->errand : NULL;
    *ending = NULL;
    sb_errand_let_go(&errand);
}

static void forget(struct sb_coordinator *c)
{
    if (c->save.ending && sb_errand_over(&c->save.ending->errand)) {
        let_go(&c->save.ending);
    } else if (c->save.ending) {
        sb_errand_cancel(&c->save.ending->errand);
        sb_assert(!c->past); /* else no save would have begun */
        c->past = c->save.ending;
    }
    json_decref(c->save.history);
    json_decref(c->save.head);
    c->save = (struct sb_coordinator_save){.under_way = false, .left_out = SB_CKPT_NONE};
}

/* A failed write costs this checkpoint and nothing else. */
static void say_failed(struct sb_coordinator *c, const char *sentence)
{
    c->save_failed |= c->saved_step == c->save.step;
    c->account.save_failed++;
    sb_coordinator_keep_account(c);
    if (c->history.best.known && c->history.best.step == c->save.step)
        c->history.best.saved = false;
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_SAVE_FAILED,
                                             .step = c->save.step,
                                             .text = sentence,
                                             .code = SB_ERR_IO});
}

static void say_saved(struct sb_coordinator *c)
{
    sb_coordinator_note(c, (struct sb_entry){.kind = SB_ENTRY_PUBLISH});
    c->account.saved++;
    c->saved.known = true;
    c->saved.step = c->save.step;
    c->saved.ns = c->now_ns;
    sb_coordinator_keep_account(c);
    c->save_stall_s = c->save.stall_s;
    c->save_write_s = sb_coordinator_seconds(c, c->save.began_ns);
    c->said_left_out = c->save.left_out != SB_CKPT_NONE; /* it goes on like that */
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_SAVED,
                                             .step = c->save.step,
                                             .text = c->save.folder,
                                             .seconds = c->save_write_s,
                                             .stall = c->save.stall_s});
    if (c->save.ending->less.code != SB_OK)
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_SAVE_FAILED,
                                                 .step = c->save.step,
                                                 .text = c->save.ending->less.text,
                                                 .code = (int)c->save.ending->less.code});
}

/* Whoever stood still for it goes on. */
static void go_on_after(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (c->state == SB_COORDINATOR_SAVING)
        sb_coordinator_go_on(c, out);
    else if (c->state == SB_COORDINATOR_FINISHING)
        sb_coordinator_go_on_finishing(c, out);
}

static void start_ending(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_save_ending *ending = new_ending(c);
    if (ending->disk->start(ending->disk->context, &ending->errand, &err) == 0) {
        c->save.ending = ending;
        return;
    }
    release_ending(&ending->errand); /* the folder goes when the next one has been written */
    if (!c->save.failed)
        say_failed(c, err.text);
    forget(c);
    go_on_after(c, out);
}

void sb_coordinator_take_saved(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                               struct sb_outbox *out)
{
    const Sb__Saved *saved = head->saved;
    if (!c->save.under_way || head->step != c->save.step || peer >= c->members.server_count ||
        c->servers[peer].saved)
        return;
    struct sb_coordinator_server *server = &c->servers[peer];
    if (saved->under_way && !server->kept)
        c->save.kept_s = fmax(c->save.kept_s, saved->seconds);
    server->kept = true;
    if (!saved->under_way) {
        server->saved = true;
        server->file = (struct sb_ckpt_file){.bytes = saved->bytes, .seconds = saved->seconds};
        snprintf(server->file.name, sizeof(server->file.name), "%s", saved->file);
        snprintf(server->file.hash, sizeof(server->file.hash), "%s", saved->hash);
        if (*saved->sentence && !c->save.failed)
            say_failed(c, saved->sentence);
        c->save.failed |= *saved->sentence != 0;
    }
    bool all = true;
    for (uint32_t i = 0; i < c->members.server_count; i++)
        all = all && c->servers[i].saved;
    /* Also after a failure all are waited for: who still writes would fill the folder again. */
    if (all)
        start_ending(c, out);
    sb_coordinator_commit_if_complete(c, out);
}

/* It stays away longer than anybody waits: the one under way, or the one that could not begin. */
static void give_up(struct sb_coordinator *c)
{
    char sentence[256];
    if (!c->save.under_way)
        c->save.step = c->saved_step = c->step;
    snprintf(sentence, sizeof(sentence), "it was not written within %u s (save_timeout_s)",
             c->job->save_timeout_s);
    if (!c->save.failed)
        say_failed(c, sentence);
    forget(c);
}

void sb_coordinator_watch_save(struct sb_coordinator *c, struct sb_outbox *out)
{
    bool waits = c->state == SB_COORDINATOR_SAVING;
    if (c->past && sb_errand_over(&c->past->errand)) {
        let_go(&c->past);
        if (!c->save.under_way && waits)
            sb_coordinator_go_on(c, out);
        return;
    }
    if (!c->save.under_way && !(c->past && waits))
        return;
    struct sb_save_ending *ending = c->save.ending;
    if (ending && sb_errand_over(&ending->errand)) {
        if (waits)
            c->save.stall_s += sb_coordinator_seconds(c, c->began_ns);
        c->save.stall_s += c->save.kept_s;
        if (!ending->failed)
            say_saved(c);
        else if (!c->save.failed)
            say_failed(c, ending->err.text);
        forget(c);
        go_on_after(c, out);
    } else if (waits && sb_coordinator_seconds(c, c->began_ns) > c->job->save_timeout_s) {
        give_up(c);
        go_on_after(c, out);
    }
}

void sb_coordinator_drop_save(struct sb_coordinator *c, const char *why)
{
    if (c->save.under_way && !c->save.failed)
        say_failed(c, why);
    forget(c);
}

void sb_coordinator_release_save(struct sb_coordinator *c)
{
    forget(c);
    let_go(&c->past);
}

/* Servers are told of the end when it is over, or will not be. */
bool sb_coordinator_save_holds_end(const struct sb_coordinator *c)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (c->members.servers[i].lost)
            return false;
    return c->save.under_way && sb_coordinator_seconds(c, c->began_ns) <= c->job->save_timeout_s;
}
