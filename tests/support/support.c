#include "support.h"

#include "arena.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Folders and paths live until the program ends; all are kept here so that leak checkers see them.
 */
static char **kept;
static size_t kept_count;
static char *root;
static pid_t root_owner;

static const char *keep(const char *text)
{
    kept = sb_realloc(kept, (kept_count + 1) * sizeof(*kept));
    kept[kept_count] = sb_strdup(text);
    return kept[kept_count++];
}

static void clean_up(void)
{
    /* A forked child that exits must not take its parent's folders along. */
    if (root && root_owner == getpid())
        sb_dir_remove(root, NULL);
    for (size_t i = 0; i < kept_count; i++)
        free(kept[i]);
    free(kept);
    free(root);
    kept = NULL;
    kept_count = 0;
    root = NULL;
}

static void make_root(void)
{
    const char *place = getenv("TMPDIR");
    char path[SB_PATH_BYTES];
    sb_path_join(path, place && *place ? place : "/tmp", "shardbert-test-XXXXXX");
    if (!mkdtemp(path))
        fail_msg("cannot make a folder like '%s': %s", path, strerror(errno));
    root = sb_strdup(path);
    root_owner = getpid();
    atexit(clean_up);
}

const char *sb_test_dir(void)
{
    static unsigned count;
    char name[32];
    struct sb_err err = SB_ERR_INIT;
    if (!root)
        make_root();
    snprintf(name, sizeof(name), "%u", count++);
    const char *dir = sb_test_path(root, name);
    if (sb_dir_make(dir, &err) < 0)
        fail_msg("%s", err.text);
    return dir;
}

const char *sb_test_path(const char *folder, const char *name)
{
    char path[SB_PATH_BYTES];
    if (!root)
        make_root();
    return keep(sb_path_join(path, folder, name));
}

const char *sb_test_write(const char *folder, const char *name, const char *text)
{
    const char *path = sb_test_path(folder, name);
    FILE *file = fopen(path, "wbe");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        fail_msg("cannot write '%s': %s", path, strerror(errno));
    return path;
}

const char *sb_test_shared(const char *name)
{
    const char *place = getenv("SHARDBERT_SHARED");
    const char *path = sb_test_path(place && *place ? place : "../shared", name);
    if (access(path, R_OK) == 0)
        return path;
    const char *ci = getenv("CI");
    if (ci && !strcmp(ci, "true"))
        fail_msg("shared data '%s' is missing", path);
    print_message("skipped: shared data '%s' is missing\n", path);
    skip();
    return NULL;
}

void sb_test_err_is(const struct sb_err *err, enum sb_err_code code, const char *words)
{
    if (err->code != code || !strstr(err->text, words))
        fail_msg("error is %d '%s', expected %d and '%s'", (int)err->code, err->text, (int)code,
                 words);
}

void sb_test_sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}
