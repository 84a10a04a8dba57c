#include "content.h"

#include "arena.h"
#include "file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 1 << 20,
    /* A file written this short a time ago may change again within the grain of its time. */
    SETTLED_SECONDS = 3,
};

int sb_content_stamp(struct sb_bytes *stamp, bool *once, char *const *paths, size_t path_count,
                     struct sb_err *err)
{
    *once = false;
    for (size_t i = 0; i < path_count; i++) {
        struct stat st;
        if (strcmp(paths[i], "-") == 0) {
            *once = true;
            continue;
        }
        if (stat(paths[i], &st) < 0)
            return sb_err_set_errno(err, errno == ENOENT ? SB_ERR_NO_INPUT : SB_ERR_IO,
                                    "cannot open '%s'", paths[i]);
        if (!S_ISREG(st.st_mode)) {
            *once = true;
            continue;
        }
        sb_bytes_printf(stamp, "%zu:%s %ju %ju %jd %jd.%09ld %jd.%09ld\n", strlen(paths[i]),
                        paths[i], (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, (intmax_t)st.st_size,
                        (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                        (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    }
    return 0;
}

/* The ending decides how a file is read, so it is part of what the file says. */
static const char *ending(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    if (!dot)
        return "";
    if (strcmp(dot, ".gz") != 0 && strcmp(dot, ".xz") != 0 && strcmp(dot, ".zst") != 0)
        return dot;
    for (const char *before = dot; before > name;)
        if (*--before == '.')
            return before;
    return dot;
}

static int hash_file(struct sb_hasher *hasher, const char *path, void *buffer, struct sb_err *err)
{
    uint64_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sb_err_set_errno(err, errno == ENOENT ? SB_ERR_NO_INPUT : SB_ERR_IO,
                                "cannot open '%s'", path);
    sb_hasher_add(hasher, ending(path), strlen(ending(path)) + 1);
    for (;;) {
        ssize_t got = read(fd, buffer, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            sb_err_set_errno(err, SB_ERR_IO, "reading '%s'", path);
            close(fd);
            return -1;
        }
        if (got == 0)
            break;
        sb_hasher_add(hasher, buffer, (size_t)got);
        bytes += (uint64_t)got;
    }
    sb_hasher_add(hasher, &bytes, sizeof(bytes));
    close(fd);
    return 0;
}

static bool settled(char *const *paths, size_t path_count)
{
    struct stat st;
    time_t now = time(NULL);
    for (size_t i = 0; i < path_count; i++)
        if (stat(paths[i], &st) < 0 || st.st_ctim.tv_sec > now - SETTLED_SECONDS ||
            st.st_mtim.tv_sec > now - SETTLED_SECONDS)
            return false;
    return true;
}

/* A note is the hash of the content, and a hash of stamp and content that shows it to be whole. */
static void write_note(struct sb_bytes *note, const struct sb_bytes *stamp, const char *content)
{
    struct sb_bytes all = SB_BYTES_INIT;
    char check[SB_HASH_TEXT_BYTES];
    sb_bytes_append(&all, stamp->data, stamp->count);
    sb_bytes_append_text(&all, content);
    sb_hash_text128(all.data, all.count, check);
    sb_bytes_clear(note);
    sb_bytes_printf(note, "%s %s\n", content, check);
    sb_bytes_release(&all);
}

static bool read_note(char text[SB_HASH_TEXT_BYTES], const char *path, const struct sb_bytes *stamp)
{
    struct sb_bytes found = SB_BYTES_INIT, expected = SB_BYTES_INIT;
    bool good = false;
    if (sb_file_read(&found, path, NULL) == 0 && found.count > SB_HASH_TEXT_BYTES) {
        snprintf(text, SB_HASH_TEXT_BYTES, "%s", found.data);
        write_note(&expected, stamp, text);
        good = found.count == expected.count && memcmp(found.data, expected.data, found.count) == 0;
    }
    sb_bytes_release(&found);
    sb_bytes_release(&expected);
    return good;
}

int sb_content_hash(char text[SB_HASH_TEXT_BYTES], const struct sb_bytes *stamp, char *const *paths,
                    size_t path_count, const char *cache_dir, struct sb_err *err)
{
    char name[SB_HASH_TEXT_BYTES], file[64], path[SB_PATH_BYTES];
    sb_hash_text128(stamp->data, stamp->count, name);
    snprintf(file, sizeof(file), "%s.source", name);
    sb_path_join(path, cache_dir, file);
    if (read_note(text, path, stamp))
        return 0;

    struct sb_hasher hasher;
    void *buffer = sb_alloc(READ_BYTES);
    int rc = 0;
    sb_hasher_init(&hasher);
    for (size_t i = 0; i < path_count && rc == 0; i++)
        rc = hash_file(&hasher, paths[i], buffer, err);
    if (rc == 0) {
        sb_hasher_text128(&hasher, text);
        if (settled(paths, path_count)) {
            /* Without the note the next start hashes again: nothing worse. */
            struct sb_bytes note = SB_BYTES_INIT;
            write_note(&note, stamp, text);
            sb_file_write_atomic(path, note.data, note.count, NULL);
            sb_bytes_release(&note);
        }
    }
    sb_hasher_release(&hasher);
    free(buffer);
    return rc;
}
