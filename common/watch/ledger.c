#include "ledger.h"

#include "arena.h"
#include "bytes.h"
#include "clock.h"
#include "file.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sb_ledger {
    int fd;
    bool failed;
    char path[SB_PATH_BYTES];
    struct sb_bytes line; /* kept, so that a line costs no memory */
};

/* Which fields a line has, beside the time, term and step. */
enum {
    PART = 1 << 0,
    NODE = 1 << 1,
    PEER = 1 << 2,
    OF_TERM = 1 << 3,
    OF_STEP = 1 << 4,
    COUNT = 1 << 5,
    WHAT = 1 << 6,
    UPDATE = 1 << 7,
    PARTS = 1 << 8,
    SAMPLES = 1 << 9,
};

static const struct {
    const char *name;
    unsigned fields;
} kinds[SB_ENTRY_KINDS] = {
    [SB_ENTRY_TERM] = {"term", COUNT},
    [SB_ENTRY_DECIDE] = {"decide", WHAT | UPDATE},
    [SB_ENTRY_PUBLISH] = {"publish", 0},
    [SB_ENTRY_BEGIN] = {"begin", COUNT | PARTS},
    [SB_ENTRY_SEED] = {"seed", PART | PEER | OF_TERM | WHAT},
    [SB_ENTRY_PUSH] = {"push", PART | NODE | PEER | OF_TERM | OF_STEP | WHAT},
    [SB_ENTRY_COMMIT] = {"commit", WHAT | UPDATE},
    [SB_ENTRY_SAVE] = {"save", 0},
    [SB_ENTRY_SERVE] = {"serve", PART | PEER},
    [SB_ENTRY_PLAN] = {"plan", COUNT | OF_STEP | NODE},
    [SB_ENTRY_SLOT] = {"slot", NODE | SAMPLES},
};

/* Times of two files can be compared if the same boot is in both. */
static void read_boot(char boot[40])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    snprintf(boot, 40, "unknown");
    if (!file)
        return;
    if (fscanf(file, "%39s", boot) != 1)
        snprintf(boot, 40, "unknown");
    fclose(file);
}

static void write_line(struct sb_ledger *ledger)
{
    const char *at = ledger->line.data;
    size_t left = ledger->line.count;
    while (left > 0 && !ledger->failed) {
        ssize_t wrote = write(ledger->fd, at, left);
        if (wrote < 0 && errno == EINTR)
            continue;
        ledger->failed = wrote <= 0;
        if (ledger->failed)
            sb_log_warning("the ledger '%s' is incomplete from here on: %s", ledger->path,
                           strerror(errno));
        at += wrote > 0 ? wrote : 0;
        left -= wrote > 0 ? (size_t)wrote : 0;
    }
}

int sb_ledger_open(struct sb_ledger **place, const char *dir, const char *role, uint32_t index,
                   uint32_t life, uint64_t peer, struct sb_err *err)
{
    char name[128], boot[40];
    *place = NULL;
    if (sb_dir_make(dir, err) < 0)
        return -1;
    struct sb_ledger *ledger = sb_calloc(1, sizeof(*ledger));
    snprintf(name, sizeof(name), "%s-%" PRIu32 "-life-%" PRIu32 "-pid-%ld.ledger", role, index,
             life, (long)getpid());
    sb_path_join(ledger->path, dir, name);
    ledger->fd = open(ledger->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (ledger->fd < 0) {
        int rc = sb_err_set_errno(err, SB_ERR_CREATE, "cannot write '%s'", ledger->path);
        free(ledger);
        return rc;
    }
    read_boot(boot);
    sb_bytes_printf(&ledger->line,
                    "%" PRIu64 " ledger version=1 role=%s index=%" PRIu32 " life=%" PRIu32
                    " pid=%ld peer=%" PRIx64 " boot=%s\n",
                    sb_clock_ns(), role, index, life, (long)getpid(), peer, boot);
    write_line(ledger);
    *place = ledger;
    return 0;
}

void sb_ledger_close(struct sb_ledger **place)
{
    struct sb_ledger *ledger = *place;
    *place = NULL;
    if (!ledger)
        return;
    close(ledger->fd);
    sb_bytes_release(&ledger->line);
    free(ledger);
}

static void print_list(struct sb_bytes *line, const uint64_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sb_bytes_printf(line, "%s%" PRIu64, i ? "," : "", items[i]);
}

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

void sb_ledger_write(void *context, const struct sb_entry *entry)
{
    struct sb_ledger *ledger = context;
    struct sb_bytes *line = &ledger->line;
    unsigned fields = kinds[entry->kind].fields;
    if (ledger->failed)
        return;
    line->count = 0;
    sb_bytes_printf(line, "%" PRIu64 " %s term=%" PRIu32 " step=%" PRIu64, sb_clock_ns(),
                    kinds[entry->kind].name, entry->term, entry->step);
    if (fields & PART)
        sb_bytes_printf(line, " part=%" PRIu32, entry->part);
    if (fields & NODE)
        sb_bytes_printf(line, " node=%" PRIu32, entry->node);
    if (fields & PEER)
        sb_bytes_printf(line, " peer=%" PRIx64, entry->peer);
    if (fields & OF_TERM)
        sb_bytes_printf(line, " of_term=%" PRIu32, entry->of_term);
    if (fields & OF_STEP)
        sb_bytes_printf(line, " of_step=%" PRIu64, entry->of_step);
    if (fields & COUNT)
        sb_bytes_printf(line, " count=%" PRIu64, entry->count);
    if (fields & WHAT)
        sb_bytes_printf(line, " what=%s", entry->what);
    if (fields & UPDATE) /* every bit of them: all must have used the same */
        sb_bytes_printf(line, " scale=%a rate=%a", entry->scale, entry->rate);
    if (fields & PARTS)
        sb_bytes_printf(line, " trained=%s frozen=%s", or_nothing(entry->trained),
                        or_nothing(entry->frozen));
    if (fields & SAMPLES) {
        sb_bytes_printf(line, " samples=");
        print_list(line, entry->samples, entry->count);
    }
    sb_bytes_printf(line, "\n");
    write_line(ledger);
}
