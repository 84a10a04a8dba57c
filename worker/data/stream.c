#include "stream.h"

#include "arena.h"
#include "beat.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_BYTES = 128 << 10 };

/* What an xz file may ask of us; xz -9 needs 65 MiB. */
#define XZ_MEMORY_LIMIT ((uint64_t)1 << 30)

enum packing { PLAIN, GZIP, XZ, ZSTANDARD };

static const struct {
    const char *name, *ending;
    const char *magic;
    size_t magic_bytes;
} packings[] = {
    [PLAIN] = {"plain", NULL, NULL, 0},
    [GZIP] = {"gzip", ".gz", "\x1f\x8b", 2},
    [XZ] = {"xz", ".xz",
            "\xfd"
            "7zXZ\0",
            6},
    [ZSTANDARD] = {"Zstandard", ".zst", "\x28\xb5\x2f\xfd", 4},
};
enum { PACKING_COUNT = sizeof(packings) / sizeof(packings[0]) };

struct sb_stream {
    char *path;
    int fd;
    enum packing packing;
    bool input_ended;  /* the file has no more bytes */
    bool inside;       /* a member or frame is open: the end of the file would cut it */
    bool ended;        /* nothing more will come out */
    uint8_t *input;    /* [INPUT_BYTES] */
    size_t at, filled; /* what of it is still to be unpacked */
    uint64_t done;
    z_stream gzip;
    lzma_stream xz;
    ZSTD_DStream *zstandard;
};

static const char *ending_of(const char *path, enum packing *packing)
{
    size_t bytes = strlen(path);
    for (int p = GZIP; p < PACKING_COUNT; p++) {
        size_t ending_bytes = strlen(packings[p].ending);
        if (bytes > ending_bytes && !strcmp(path + bytes - ending_bytes, packings[p].ending)) {
            *packing = (enum packing)p;
            return path + bytes - ending_bytes;
        }
    }
    *packing = PLAIN;
    return path + bytes;
}

size_t sb_stream_stem(const char *path)
{
    enum packing packing;
    return (size_t)(ending_of(path, &packing) - path);
}

static int bad_data(const struct sb_stream *s, const char *why, struct sb_err *err)
{
    return sb_err_set(err, SB_ERR_DATA, "%s: byte %llu: %s: %s", s->path,
                      (unsigned long long)s->done, packings[s->packing].name, why);
}

/* Brings more bytes of the file behind those that are left. */
static int fill(struct sb_stream *s, struct sb_err *err)
{
    memmove(s->input, s->input + s->at, s->filled - s->at);
    s->filled -= s->at;
    s->at = 0;
    while (!s->input_ended && s->filled < INPUT_BYTES) {
        sb_beat_pause(); /* who writes into a pipe takes his time */
        ssize_t got = read(s->fd, s->input + s->filled, INPUT_BYTES - s->filled);
        sb_beat_resume();
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sb_err_set_errno(err, errno == EISDIR ? SB_ERR_NO_INPUT : SB_ERR_IO,
                                    "reading '%s'", s->path);
        s->input_ended = got == 0;
        s->filled += (size_t)got;
        if (got > 0)
            break; /* what a pipe has is enough */
    }
    return 0;
}

static enum packing packing_of(const struct sb_stream *s)
{
    enum packing by_name;
    for (int p = GZIP; p < PACKING_COUNT; p++)
        if (s->filled >= packings[p].magic_bytes &&
            !memcmp(s->input, packings[p].magic, packings[p].magic_bytes))
            return (enum packing)p;
    ending_of(s->path, &by_name);
    return by_name;
}

static int start_unpacking(struct sb_stream *s, struct sb_err *err)
{
    /* The magic may come in more than one piece from a pipe. */
    while (s->filled < 6 && !s->input_ended)
        if (fill(s, err) < 0)
            return -1;
    s->packing = packing_of(s);
    s->inside = s->packing != PLAIN;
    bool ready = true;
    if (s->packing == GZIP)
        ready = inflateInit2(&s->gzip, 15 + 16) == Z_OK;
    else if (s->packing == XZ)
        ready = lzma_stream_decoder(&s->xz, XZ_MEMORY_LIMIT, LZMA_CONCATENATED) == LZMA_OK;
    else if (s->packing == ZSTANDARD)
        ready = (s->zstandard = ZSTD_createDStream()) != NULL;
    return ready ? 0 : sb_err_set(err, SB_ERR_TRY_AGAIN, "%s: no memory to unpack it", s->path);
}

int sb_stream_open(struct sb_stream **stream, const char *path, struct sb_err *err)
{
    struct sb_stream *s = sb_calloc(1, sizeof(*s));
    struct stat st;
    bool standard_input = !strcmp(path, "-");
    int rc = 0;
    *stream = s;
    s->path = sb_strdup(standard_input ? "standard input" : path);
    s->input = sb_alloc(INPUT_BYTES);
    s->xz = (lzma_stream)LZMA_STREAM_INIT;
    s->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        rc = sb_err_set_errno(err, missing ? SB_ERR_NO_INPUT : SB_ERR_IO, "cannot open '%s'", path);
    } else if (fstat(s->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        rc = sb_err_set(err, SB_ERR_NO_INPUT, "'%s' is a folder, not a file", s->path);
    } else {
        rc = start_unpacking(s, err);
    }
    if (rc < 0)
        sb_stream_free(stream);
    return rc;
}

void sb_stream_free(struct sb_stream **stream)
{
    struct sb_stream *s = *stream;
    if (!s)
        return;
    if (s->packing == GZIP)
        inflateEnd(&s->gzip);
    lzma_end(&s->xz);
    ZSTD_freeDStream(s->zstandard);
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    free(s->input);
    free(s->path);
    free(s);
    *stream = NULL;
}

/*
 * The unpackers take from input [at, filled), write to out and set *count.  At the end of a member
 * another may follow; `inside` says whether one is open.
 */

static int unpack_plain(struct sb_stream *s, void *out, size_t bytes, size_t *count)
{
    size_t left = s->filled - s->at;
    *count = left < bytes ? left : bytes;
    memcpy(out, s->input + s->at, *count);
    s->at += *count;
    s->done += *count;
    return 0;
}

static int unpack_gzip(struct sb_stream *s, void *out, size_t bytes, size_t *count,
                       struct sb_err *err)
{
    if (!s->inside) {
        /* Behind a member: padding of zeros, or one more member. */
        while (s->at < s->filled && !s->input[s->at]) {
            s->at++;
            s->done++;
        }
        if (s->at == s->filled)
            return 0;
        inflateReset(&s->gzip);
        s->inside = true;
    }
    s->gzip.next_in = s->input + s->at;
    s->gzip.avail_in = (uInt)(s->filled - s->at);
    s->gzip.next_out = out;
    s->gzip.avail_out = (uInt)(bytes < (1u << 30) ? bytes : (1u << 30));
    size_t room = s->gzip.avail_out;
    int rc = inflate(&s->gzip, Z_NO_FLUSH);
    size_t left = s->gzip.avail_in;
    s->done += s->filled - s->at - left;
    s->at = s->filled - left;
    *count = room - s->gzip.avail_out;
    if (rc == Z_STREAM_END)
        s->inside = false;
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return bad_data(s, s->gzip.msg ? s->gzip.msg : zError(rc), err);
    return 0;
}

static int unpack_xz(struct sb_stream *s, void *out, size_t bytes, size_t *count,
                     struct sb_err *err)
{
    s->xz.next_in = s->input + s->at;
    s->xz.avail_in = s->filled - s->at;
    s->xz.next_out = out;
    s->xz.avail_out = bytes;
    lzma_ret rc = lzma_code(&s->xz, s->input_ended ? LZMA_FINISH : LZMA_RUN);
    s->done += s->filled - s->at - s->xz.avail_in;
    s->at = s->filled - s->xz.avail_in;
    *count = bytes - s->xz.avail_out;
    if (rc == LZMA_STREAM_END)
        s->inside = false;
    else if (rc == LZMA_MEMLIMIT_ERROR)
        return bad_data(s, "needs more than 1 GiB of memory to unpack", err);
    else if (rc == LZMA_FORMAT_ERROR)
        return bad_data(s, "not in this format", err);
    else if (rc != LZMA_OK && rc != LZMA_BUF_ERROR)
        return bad_data(s, "the compressed data are damaged", err);
    return 0;
}

static int unpack_zstandard(struct sb_stream *s, void *out, size_t bytes, size_t *count,
                            struct sb_err *err)
{
    ZSTD_inBuffer in = {s->input, s->filled, s->at};
    ZSTD_outBuffer made = {out, bytes, 0};
    if (in.pos == in.size && !s->inside)
        return 0;
    size_t rc = ZSTD_decompressStream(s->zstandard, &made, &in);
    s->done += in.pos - s->at;
    s->at = in.pos;
    *count = made.pos;
    if (ZSTD_isError(rc))
        return bad_data(s, ZSTD_getErrorName(rc), err);
    s->inside = rc != 0;
    return 0;
}

static int unpack(struct sb_stream *s, void *out, size_t bytes, size_t *count, struct sb_err *err)
{
    *count = 0;
    switch (s->packing) {
    case GZIP:
        return unpack_gzip(s, out, bytes, count, err);
    case XZ:
        return unpack_xz(s, out, bytes, count, err);
    case ZSTANDARD:
        return unpack_zstandard(s, out, bytes, count, err);
    case PLAIN:
        break;
    }
    return unpack_plain(s, out, bytes, count);
}

int sb_stream_read(struct sb_stream *s, void *out, size_t bytes, size_t *count, struct sb_err *err)
{
    char *to = out;
    *count = 0;
    while (*count < bytes && !s->ended) {
        if (s->at == s->filled && !s->input_ended && fill(s, err) < 0)
            return -1;
        size_t made = 0, before = s->at;
        if (unpack(s, to + *count, bytes - *count, &made, err) < 0)
            return -1;
        *count += made;
        if (made || s->at != before)
            continue;
        if (!s->input_ended) {
            if (s->filled - s->at == INPUT_BYTES)
                return bad_data(s, "the compressed data are damaged", err);
            if (fill(s, err) < 0)
                return -1;
            continue;
        }
        /* Nothing in, nothing out: this is the end, in the right place or not. */
        if (s->inside)
            return bad_data(s, "the file ends too early", err);
        s->ended = true;
    }
    return 0;
}

uint64_t sb_stream_done(const struct sb_stream *s)
{
    return s->done;
}
