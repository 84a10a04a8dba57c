#include "file.h"

#include "beat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool sb_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

bool sb_dir_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int open_to_read(const char *path, struct stat *st, struct sb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        return sb_err_set_errno(err, missing ? SB_ERR_NO_INPUT : SB_ERR_IO, "cannot open '%s'",
                                path);
    }
    if (fstat(fd, st) < 0 || S_ISDIR(st->st_mode)) {
        close(fd);
        return sb_err_set(err, SB_ERR_NO_INPUT, "'%s' is not a file", path);
    }
    return fd;
}

int sb_file_read(struct sb_bytes *out, const char *path, struct sb_err *err)
{
    struct stat st;
    int fd = open_to_read(path, &st, err);
    if (fd < 0)
        return -1;
    sb_bytes_clear(out);
    int rc = -1;
    for (;;) {
        size_t want = out->count < (size_t)st.st_size ? (size_t)st.st_size - out->count : 65536;
        char *end = sb_bytes_reserve(out, want);
        ssize_t got = read(fd, end, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            sb_err_set_errno(err, SB_ERR_IO, "reading '%s'", path);
            break;
        }
        out->count += (size_t)got;
        out->data[out->count] = 0;
        if (got == 0) {
            rc = 0;
            break;
        }
    }
    close(fd);
    return rc;
}

int sb_file_map(struct sb_map *map, const char *path, struct sb_err *err)
{
    struct stat st;
    int fd = open_to_read(path, &st, err);
    if (fd < 0)
        return -1;
    *map = (struct sb_map){.data = (const uint8_t *)"", .bytes = (size_t)st.st_size};
    int rc = 0;
    if (map->bytes) {
        void *data = mmap(NULL, map->bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            *map = (struct sb_map)SB_MAP_INIT;
            rc = sb_err_set_errno(err, SB_ERR_IO, "mapping '%s'", path);
        } else {
            map->data = data;
        }
    }
    close(fd);
    return rc;
}

void sb_file_unmap(struct sb_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct sb_map)SB_MAP_INIT;
}

int sb_dir_sync(const char *path, struct sb_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sb_err_set_errno(err, SB_ERR_IO, "cannot open folder '%s'", path);
    sb_beat_pause();
    int rc = fsync(fd) < 0 ? sb_err_set_errno(err, SB_ERR_IO, "fsync of '%s'", path) : 0;
    sb_beat_resume();
    close(fd);
    return rc;
}

int sb_file_writer_begin(struct sb_file_writer *writer, const char *path, struct sb_err *err)
{
    static _Atomic unsigned count; /* two threads may write the same file */
    writer->stream = NULL;
    snprintf(writer->path, sizeof(writer->path), "%s", path);
    snprintf(writer->temporary, sizeof(writer->temporary), "%s.tmp-%ld-%u", path, (long)getpid(),
             count++);
    writer->stream = fopen(writer->temporary, "wbe");
    if (!writer->stream)
        return sb_err_set_errno(err, SB_ERR_CREATE, "cannot create '%s'", writer->temporary);
    return 0;
}

static int commit(struct sb_file_writer *writer, struct sb_err *err)
{
    char folder[SB_PATH_BYTES];
    FILE *stream = writer->stream;
    bool written = fflush(stream) == 0 && !ferror(stream) && fsync(fileno(stream)) == 0;
    int saved = errno;
    bool closed = fclose(stream) == 0;
    writer->stream = NULL;
    if (!written || !closed) {
        errno = written ? errno : saved;
        sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer->temporary);
        unlink(writer->temporary);
        return -1;
    }
    if (rename(writer->temporary, writer->path) < 0) {
        sb_err_set_errno(err, SB_ERR_IO, "renaming '%s' to '%s'", writer->temporary, writer->path);
        unlink(writer->temporary);
        return -1;
    }
    return sb_dir_sync(sb_path_folder(folder, writer->path), err);
}

int sb_file_writer_commit(struct sb_file_writer *writer, struct sb_err *err)
{
    sb_beat_pause(); /* a slow disk is no hung thread */
    int rc = commit(writer, err);
    sb_beat_resume();
    return rc;
}

void sb_file_writer_abort(struct sb_file_writer *writer)
{
    if (!writer->stream)
        return;
    fclose(writer->stream);
    writer->stream = NULL;
    unlink(writer->temporary);
}

int sb_file_write_atomic(const char *path, const void *data, size_t bytes, struct sb_err *err)
{
    struct sb_file_writer writer = SB_FILE_WRITER_INIT;
    if (sb_file_writer_begin(&writer, path, err) < 0)
        return -1;
    if (bytes && fwrite(data, 1, bytes, writer.stream) != bytes) {
        sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer.temporary);
        sb_file_writer_abort(&writer);
        return -1;
    }
    return sb_file_writer_commit(&writer, err);
}

int sb_dir_make(const char *path, struct sb_err *err)
{
    char partial[SB_PATH_BYTES], parent[SB_PATH_BYTES];
    snprintf(partial, sizeof(partial), "%s", path);
    for (char *p = partial + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char kept = *p;
        *p = 0;
        bool made = mkdir(partial, 0777) == 0;
        if (!made && errno != EEXIST)
            return sb_err_set_errno(err, SB_ERR_CREATE, "cannot make folder '%s'", partial);
        /* A power cut must not take the folder with all that will be synced in it. */
        if (made && sb_dir_sync(sb_path_folder(parent, partial), err) < 0)
            return -1;
        *p = kept;
        if (!kept)
            break;
    }
    if (!sb_dir_exists(path))
        return sb_err_set(err, SB_ERR_CREATE, "'%s' is not a folder", path);
    return 0;
}

int sb_dir_remove(const char *path, struct sb_err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : sb_err_set_errno(err, SB_ERR_IO, "cannot open '%s'", path);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char child[SB_PATH_BYTES];
        sb_path_join(child, path, entry->d_name);
        struct stat st;
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            rc = sb_dir_remove(child, err);
        else if (unlink(child) < 0)
            rc = sb_err_set_errno(err, SB_ERR_IO, "cannot remove '%s'", child);
    }
    closedir(dir);
    if (rc == 0 && rmdir(path) < 0)
        rc = sb_err_set_errno(err, SB_ERR_IO, "cannot remove '%s'", path);
    return rc;
}

char *sb_path_join(char out[SB_PATH_BYTES], const char *folder, const char *name)
{
    if (!folder || !*folder || name[0] == '/')
        snprintf(out, SB_PATH_BYTES, "%s", name);
    else
        snprintf(out, SB_PATH_BYTES, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                 name);
    return out;
}

char *sb_path_folder(char out[SB_PATH_BYTES], const char *path)
{
    snprintf(out, SB_PATH_BYTES, "%s", path);
    char *slash = strrchr(out, '/');
    if (!slash)
        snprintf(out, SB_PATH_BYTES, ".");
    else if (slash == out)
        out[1] = 0;
    else
        *slash = 0;
    return out;
}
