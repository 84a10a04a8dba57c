#include "cache.h"

#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 2, BYTE_ORDER_MARK = 0x01020304, STREAM_BYTES = 256 << 10, COPY_ENTRIES = 1024 };

static const char MAGIC[16] = "shardbert tokens";

struct header {
    char magic[16];
    uint32_t version;
    uint32_t byte_order;
    char key[40];
    struct sb_cache_counts counts;
    uint32_t token_bytes, vocabulary, max_length, width;
    uint64_t tokens_at, index_at, labels_at, label_bytes, label_count, labels_hash, file_bytes;
    uint64_t checksum; /* of all above */
};

_Static_assert(sizeof(struct header) <= SB_CACHE_HEADER_BYTES, "the header has a page");
_Static_assert(sizeof(struct sb_cache_entry) == 24, "entries are read from files");

static uint64_t header_checksum(const struct header *header)
{
    return sb_hash(header, offsetof(struct header, checksum));
}

/* Tokens and entry are checked by one word, so that neither can be exchanged for another's. */
static uint32_t entry_check(struct sb_cache_entry entry, uint32_t tokens_check)
{
    entry.check = 0;
    return (uint32_t)sb_hash(&entry, sizeof(entry)) ^ tokens_check;
}

/* --- reading --- */

static int read_at(const struct sb_cache *cache, void *out, size_t bytes, uint64_t at,
                   struct sb_err *err)
{
    char *to = out;
    while (bytes) {
        ssize_t got = pread(cache->fd, to, bytes, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sb_err_set_errno(err, SB_ERR_IO, "reading '%s'", cache->path);
        if (got == 0)
            return sb_err_set(err, SB_ERR_DATA, "'%s' ends early, at byte %" PRIu64, cache->path,
                              at);
        to += got;
        at += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int check_header(const struct sb_cache *cache, const struct header *header, const char *key,
                        uint32_t vocabulary, struct sb_err *err)
{
    const char *fault = NULL;
    struct stat st;
    if (fstat(cache->fd, &st) < 0)
        return sb_err_set_errno(err, SB_ERR_IO, "reading '%s'", cache->path);
    if (memcmp(header->magic, MAGIC, sizeof(MAGIC)) != 0)
        fault = "is not prepared data";
    else if (header->version != VERSION || header->byte_order != BYTE_ORDER_MARK)
        fault = "was prepared by another version";
    else if (header->checksum != header_checksum(header))
        fault = "has a damaged header";
    else if (strncmp(header->key, key, sizeof(header->key)) != 0 ||
             header->vocabulary != vocabulary)
        fault = "was prepared from other data or settings";
    else if (header->file_bytes != (uint64_t)st.st_size)
        fault = "is not whole";
    else if (header->width < 1 || header->width > 2)
        fault = "has a damaged header";
    return fault ? sb_err_set(err, SB_ERR_DATA, "'%s' %s", cache->path, fault) : 0;
}

static int read_labels(struct sb_cache *cache, const struct header *header, struct sb_err *err)
{
    size_t bytes = (size_t)header->label_bytes;
    char *text = sb_alloc(bytes + 1);
    int rc = read_at(cache, text, bytes, header->labels_at, err);
    if (rc == 0 && sb_hash(text, bytes) != header->labels_hash)
        rc = sb_err_set(err, SB_ERR_DATA, "'%s' has damaged labels", cache->path);
    if (rc == 0) {
        cache->labels = sb_calloc((size_t)header->label_count, sizeof(*cache->labels));
        for (char *name = text; cache->label_count < header->label_count; name += strlen(name) + 1)
            cache->labels[cache->label_count++] = sb_strdup(name);
    }
    free(text);
    return rc;
}

int sb_cache_open(struct sb_cache *cache, const char *path, const char *key, uint32_t vocabulary,
                  struct sb_err *err)
{
    struct header header;
    *cache = (struct sb_cache)SB_CACHE_INIT;
    snprintf(cache->path, sizeof(cache->path), "%s", path);
    cache->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (cache->fd < 0)
        return sb_err_set_errno(err, errno == ENOENT ? SB_ERR_NO_INPUT : SB_ERR_IO,
                                "cannot open '%s'", path);
    if (read_at(cache, &header, sizeof(header), 0, err) < 0 ||
        check_header(cache, &header, key, vocabulary, err) < 0 ||
        read_labels(cache, &header, err) < 0) {
        sb_cache_close(cache);
        return -1;
    }
    cache->counts = header.counts;
    cache->tokens_at = header.tokens_at;
    cache->index_at = header.index_at;
    cache->token_bytes = header.token_bytes;
    cache->width = header.width;
    cache->vocabulary = header.vocabulary;
    cache->max_length = header.max_length;
    return 0;
}

void sb_cache_close(struct sb_cache *cache)
{
    if (cache->fd >= 0)
        close(cache->fd);
    for (size_t i = 0; i < cache->label_count; i++)
        free(cache->labels[i]);
    free(cache->labels);
    *cache = (struct sb_cache)SB_CACHE_INIT;
}

static int damaged(const struct sb_cache *cache, uint64_t sample, struct sb_err *err)
{
    return sb_err_set(err, SB_ERR_DATA,
                      "'%s': sample %" PRIu64 " is damaged; remove the file and start again",
                      cache->path, sample);
}

int sb_cache_entry_read(const struct sb_cache *cache, uint64_t sample, struct sb_cache_entry *entry,
                        struct sb_err *err)
{
    sb_assert(sample < cache->counts.samples);
    if (read_at(cache, entry, sizeof(*entry), cache->index_at + sample * sizeof(*entry), err) < 0)
        return -1;
    bool sane = entry->length <= cache->max_length && entry->first_length <= entry->length &&
                entry->begin <= cache->counts.tokens &&
                entry->length <= cache->counts.tokens - entry->begin &&
                ((entry->flags & SB_CACHE_SCORE) ||
                 (entry->label >= -1 && entry->label < (int64_t)cache->label_count));
    return sane ? 0 : damaged(cache, sample, err);
}

int sb_cache_tokens_read(const struct sb_cache *cache, uint64_t sample,
                         const struct sb_cache_entry *entry, int32_t *ids, struct sb_err *err)
{
    size_t length = (size_t)entry->length * cache->width, bytes = length * cache->token_bytes;
    uint64_t at = entry->begin * cache->width * cache->token_bytes;
    /* Narrow tokens are read into the upper half of ids and widened from the front: none is
     * overwritten before it was read. */
    char *raw = (char *)ids + length * sizeof(*ids) - bytes;
    if (read_at(cache, raw, bytes, cache->tokens_at + at, err) < 0)
        return -1;
    if (entry->check != entry_check(*entry, (uint32_t)sb_hash(raw, bytes)))
        return damaged(cache, sample, err);
    if (cache->token_bytes == sizeof(*ids))
        return 0;
    for (size_t t = 0; t < length; t++) {
        uint16_t narrow;
        memcpy(&narrow, raw + t * sizeof(narrow), sizeof(narrow));
        ids[t] = narrow;
    }
    return 0;
}

/* --- writing --- */

static FILE *nameless_file(const char *beside, struct sb_err *err)
{
    char path[SB_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s.index-XXXXXX", beside);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        sb_err_set_errno(err, SB_ERR_CREATE, "cannot create '%s'", path);
        return NULL;
    }
    unlink(path);
    FILE *file = fdopen(fd, "w+b");
    if (!file) {
        sb_err_set_errno(err, SB_ERR_CREATE, "cannot create '%s'", path);
        close(fd);
    }
    return file;
}

static int write_all(struct sb_cache_writer *writer, FILE *stream, const void *data, size_t bytes,
                     struct sb_err *err)
{
    if (bytes && fwrite(data, 1, bytes, stream) != bytes)
        return sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer->file.temporary);
    return 0;
}

int sb_cache_writer_begin(struct sb_cache_writer *writer, const char *path, uint32_t vocabulary,
                          uint32_t max_length, uint32_t width, struct sb_err *err)
{
    static const char page[SB_CACHE_HEADER_BYTES];
    sb_assert(max_length <= SB_CACHE_LENGTH_MAX);
    *writer = (struct sb_cache_writer)SB_CACHE_WRITER_INIT;
    writer->vocabulary = vocabulary;
    writer->width = width;
    writer->max_length = max_length;
    writer->token_bytes = vocabulary <= UINT16_MAX ? sizeof(uint16_t) : sizeof(uint32_t);
    if (sb_file_writer_begin(&writer->file, path, err) < 0)
        return -1;
    writer->index = nameless_file(path, err);
    if (!writer->index) {
        sb_cache_writer_abort(writer);
        return -1;
    }
    writer->packed = sb_alloc((size_t)max_length * width * sizeof(uint32_t));
    writer->file_buffer = sb_alloc(STREAM_BYTES);
    writer->index_buffer = sb_alloc(STREAM_BYTES);
    setvbuf(writer->file.stream, writer->file_buffer, _IOFBF, STREAM_BYTES);
    setvbuf(writer->index, writer->index_buffer, _IOFBF, STREAM_BYTES);
    if (write_all(writer, writer->file.stream, page, sizeof(page), err) < 0) {
        sb_cache_writer_abort(writer);
        return -1;
    }
    return 0;
}

int sb_cache_writer_add(struct sb_cache_writer *writer, struct sb_cache_entry entry,
                        const int32_t *ids, struct sb_err *err)
{
    size_t count = (size_t)entry.length * writer->width, bytes = count * writer->token_bytes;
    sb_assert(entry.length <= writer->max_length);
    if (writer->token_bytes == sizeof(*ids)) {
        memcpy(writer->packed, ids, bytes);
    } else {
        uint16_t *narrow = writer->packed;
        for (size_t t = 0; t < count; t++)
            narrow[t] = (uint16_t)ids[t];
    }
    entry.begin = writer->counts.tokens;
    entry.check = (uint32_t)sb_hash(writer->packed, bytes); /* the entry's share follows */
    entry.zero = 0;
    writer->counts.samples++;
    writer->counts.tokens += entry.length;
    writer->counts.truncated += (entry.flags & SB_CACHE_TRUNCATED) != 0;
    if (write_all(writer, writer->file.stream, writer->packed, bytes, err) < 0)
        return -1;
    return write_all(writer, writer->index, &entry, sizeof(entry), err);
}

/* Appends the index to the tokens, with final labels. */
static int copy_index(struct sb_cache_writer *writer, const uint32_t *label_map, size_t label_count,
                      struct sb_err *err)
{
    struct sb_cache_entry entries[COPY_ENTRIES];
    if (fflush(writer->index) != 0 || fseeko(writer->index, 0, SEEK_SET) != 0)
        return sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer->file.temporary);
    uint64_t left = writer->counts.samples;
    while (left) {
        size_t count = left < COPY_ENTRIES ? (size_t)left : COPY_ENTRIES;
        if (fread(entries, sizeof(*entries), count, writer->index) != count)
            return sb_err_set_errno(err, SB_ERR_IO, "reading the index of '%s'",
                                    writer->file.temporary);
        for (size_t i = 0; i < count; i++) {
            int32_t label = entries[i].label;
            bool class = !(entries[i].flags & SB_CACHE_SCORE);
            sb_assert(!class || (label >= -1 && label < (int64_t)label_count));
            if (class && label >= 0)
                entries[i].label = (int32_t)label_map[label];
            entries[i].check = entry_check(entries[i], entries[i].check);
        }
        if (write_all(writer, writer->file.stream, entries, count * sizeof(*entries), err) < 0)
            return -1;
        left -= count;
    }
    return 0;
}

static int finish(struct sb_cache_writer *writer, struct header *header, char *const *labels,
                  const uint32_t *label_map, struct sb_err *err)
{
    static const char zeros[8];
    FILE *stream = writer->file.stream;
    struct sb_bytes names = SB_BYTES_INIT;
    for (size_t i = 0; i < header->label_count; i++)
        sb_bytes_append(&names, labels[i], strlen(labels[i]) + 1);

    uint64_t tokens_end =
        SB_CACHE_HEADER_BYTES + header->counts.tokens * header->width * header->token_bytes;
    header->tokens_at = SB_CACHE_HEADER_BYTES;
    header->index_at = (tokens_end + 7) / 8 * 8;
    header->labels_at = header->index_at + header->counts.samples * sizeof(struct sb_cache_entry);
    header->label_bytes = names.count;
    header->labels_hash = sb_hash(names.data ? names.data : "", names.count);
    header->file_bytes = header->labels_at + names.count;
    header->checksum = header_checksum(header);

    int rc = -1;
    if (write_all(writer, stream, zeros, (size_t)(header->index_at - tokens_end), err) < 0 ||
        copy_index(writer, label_map, (size_t)header->label_count, err) < 0 ||
        write_all(writer, stream, names.data, names.count, err) < 0)
        goto done;
    if (fseeko(stream, 0, SEEK_SET) != 0) {
        sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer->file.temporary);
        goto done;
    }
    rc = write_all(writer, stream, header, sizeof(*header), err);
done:
    sb_bytes_release(&names);
    return rc;
}

int sb_cache_writer_commit(struct sb_cache_writer *writer, const char *path, const char *key,
                           char *const *labels, const uint32_t *label_map, size_t label_count,
                           struct sb_err *err)
{
    struct header header = {
        .version = VERSION,
        .byte_order = BYTE_ORDER_MARK,
        .counts = writer->counts,
        .token_bytes = writer->token_bytes,
        .vocabulary = writer->vocabulary,
        .max_length = writer->max_length,
        .width = writer->width,
        .label_count = label_count,
    };
    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    snprintf(header.key, sizeof(header.key), "%s", key);
    int rc = finish(writer, &header, labels, label_map, err);
    if (rc == 0) {
        snprintf(writer->file.path, sizeof(writer->file.path), "%s", path);
        rc = sb_file_writer_commit(&writer->file, err);
    }
    sb_cache_writer_abort(writer);
    return rc;
}

void sb_cache_writer_abort(struct sb_cache_writer *writer)
{
    sb_file_writer_abort(&writer->file);
    if (writer->index)
        fclose(writer->index);
    free(writer->packed);
    free(writer->file_buffer);
    free(writer->index_buffer);
    *writer = (struct sb_cache_writer)SB_CACHE_WRITER_INIT;
}
