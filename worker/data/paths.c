/* Lists of paths and globs. */
#include "arena.h"
#include "file.h"
#include "reader.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add_path(char ***paths, size_t *count, const char *path)
{
    *paths = sb_realloc(*paths, (*count + 1) * sizeof(**paths));
    (*paths)[(*count)++] = sb_strdup(path);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by bytes, not by the locale, so that the order of the data is the same everywhere. */
static int expand_glob(char ***paths, size_t *count, const char *pattern, struct sb_err *err)
{
    glob_t found;
    size_t before = *count;
    int rc = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (rc == GLOB_ABORTED || rc == GLOB_NOSPACE)
        return sb_err_set(err, SB_ERR_IO, "cannot search for '%s'", pattern);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
        if (!sb_dir_exists(found.gl_pathv[i]))
            add_path(paths, count, found.gl_pathv[i]);
    globfree(&found);
    if (*count == before)
        return sb_err_set(err, SB_ERR_NO_INPUT, "no file is named like '%s'", pattern);
    qsort(*paths + before, *count - before, sizeof(**paths), by_bytes);
    return 0;
}

static int expand_one(char ***paths, size_t *count, const char *pattern, struct sb_err *err)
{
    /* A file that exists is meant as it is written, brackets and all. */
    if (!strcmp(pattern, "-") || sb_file_exists(pattern)) {
        add_path(paths, count, pattern);
        return 0;
    }
    if (sb_dir_exists(pattern))
        return sb_err_set(err, SB_ERR_NO_INPUT, "'%s' is a folder, not a file", pattern);
    if (!strpbrk(pattern, "*?["))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no file '%s'", pattern);
    return expand_glob(paths, count, pattern, err);
}

int sb_paths_expand(char ***paths, size_t *count, char *const *patterns, size_t pattern_count,
                    struct sb_err *err)
{
    *paths = NULL;
    *count = 0;
    for (size_t i = 0; i < pattern_count; i++)
        if (expand_one(paths, count, patterns[i], err) < 0) {
            sb_paths_free(paths, count);
            return -1;
        }
    return 0;
}

void sb_paths_free(char ***paths, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free((*paths)[i]);
    free(*paths);
    *paths = NULL;
    *count = 0;
}

uint64_t sb_paths_bytes(char *const *paths, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (!strcmp(paths[i], "-") || stat(paths[i], &st) < 0 || !S_ISREG(st.st_mode))
            return 0;
        total += (uint64_t)st.st_size;
    }
    return total;
}
