#include "torch_zip.h"

#include "arena.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_SIGNATURE = 0x04034b50,
    ENTRY_SIGNATURE = 0x02014b50,
    END_SIGNATURE = 0x06054b50,
    END64_SIGNATURE = 0x06064b50,
    LOCATOR64_SIGNATURE = 0x07064b50,

    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR64_BYTES = 20,
    COMMENT_MAX = 65535,

    WIDE_FIELD = 1, /* the extra field with 64-bit sizes */
};

static uint16_t get16(const uint8_t *p)
{
    uint16_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

bool sb_zip_is(const uint8_t *data, size_t bytes)
{
    return bytes >= 4 && get32(data) == LOCAL_SIGNATURE;
}

static int damaged(const struct sb_zip *zip, uint64_t at, const char *what, struct sb_err *err)
{
    sb_err_set(err, SB_ERR_DATA, "'%s': byte %" PRIu64 ": %s", zip->path, at, what);
    return -1;
}

/* The directory of the archive: where it begins and ends, and how many entries it has. */
struct directory {
    uint64_t begin, end, count;
};

/* Large archives have a second record before the last one, with wide numbers. */
static int read_wide_end(struct directory *directory, const struct sb_zip *zip, size_t end_at,
                         struct sb_err *err)
{
    if (end_at < LOCATOR64_BYTES ||
        get32(zip->data + end_at - LOCATOR64_BYTES) != LOCATOR64_SIGNATURE)
        return 0;
    uint64_t at = get64(zip->data + end_at - LOCATOR64_BYTES + 8);
    if (at > end_at || end_at - at < END64_BYTES || get32(zip->data + at) != END64_SIGNATURE)
        return damaged(zip, end_at, "the end of the archive points nowhere", err);
    directory->count = get64(zip->data + at + 32);
    directory->end = get64(zip->data + at + 40);
    directory->begin = get64(zip->data + at + 48);
    return 0;
}

static int read_end(struct directory *directory, const struct sb_zip *zip, struct sb_err *err)
{
    if (zip->bytes < END_BYTES)
        return damaged(zip, 0, "too short for a zip archive", err);
    size_t last = zip->bytes - END_BYTES, at = last;
    while (get32(zip->data + at) != END_SIGNATURE) {
        if (at == 0 || last - at == COMMENT_MAX)
            return damaged(zip, zip->bytes, "the end of a zip archive is missing: is it cut?", err);
        at--;
    }
    directory->count = get16(zip->data + at + 10);
    directory->end = get32(zip->data + at + 12);
    directory->begin = get32(zip->data + at + 16);
    if (read_wide_end(directory, zip, at, err) < 0)
        return -1;
    if (directory->begin > at || directory->end > at - directory->begin)
        return damaged(zip, at, "the directory of the archive lies outside of it", err);
    directory->end += directory->begin;
    if (directory->count > (directory->end - directory->begin) / ENTRY_BYTES)
        return damaged(zip, at, "the directory is too short for its entries", err);
    return 0;
}

/* What one line of the directory says, before it is believed. */
struct line {
    uint64_t packed_bytes, bytes, local_at;
};

/* Sizes of all ones stand in the extra field, in this order. */
static bool widen(struct line *line, const uint8_t *extra, size_t bytes)
{
    uint64_t *fields[] = {&line->bytes, &line->packed_bytes, &line->local_at};
    while (bytes >= 4) {
        size_t kind = get16(extra), size = get16(extra + 2);
        if (size > bytes - 4)
            return false;
        const uint8_t *value = extra + 4;
        for (size_t i = 0; kind == WIDE_FIELD && i < 3; i++) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if ((size_t)(extra + 4 + size - value) < 8)
                return false;
            *fields[i] = get64(value);
            value += 8;
        }
        extra += 4 + size;
        bytes -= 4 + size;
    }
    return true;
}

/* The content lies behind a second header, whose name and extra field have sizes of their own. */
static int place_content(struct sb_zip_entry *entry, const struct sb_zip *zip,
                         const struct directory *directory, const struct line *line,
                         struct sb_err *err)
{
    uint64_t at = line->local_at;
    if (at > directory->begin || directory->begin - at < LOCAL_BYTES ||
        get32(zip->data + at) != LOCAL_SIGNATURE)
        return damaged(zip, at, "an entry of the archive is missing", err);
    uint64_t begin = at + LOCAL_BYTES + get16(zip->data + at + 26) + get16(zip->data + at + 28);
    if (begin > directory->begin || line->bytes > directory->begin - begin)
        return damaged(zip, at, "an entry of the archive is longer than the archive", err);
    entry->begin = begin;
    entry->bytes = line->bytes;
    return 0;
}

/* Reads the line at *at and moves behind it. */
static int read_line(struct sb_zip_entry *entry, uint64_t *at, const struct sb_zip *zip,
                     const struct directory *directory, struct sb_err *err)
{
    if (directory->end - *at < ENTRY_BYTES || get32(zip->data + *at) != ENTRY_SIGNATURE)
        return damaged(zip, *at, "the directory of the archive is damaged", err);
    const uint8_t *p = zip->data + *at;
    size_t name_bytes = get16(p + 28), extra_bytes = get16(p + 30), note_bytes = get16(p + 32);
    uint64_t line_bytes = ENTRY_BYTES + name_bytes + extra_bytes + note_bytes;
    if (line_bytes > directory->end - *at)
        return damaged(zip, *at, "the directory of the archive is damaged", err);
    struct line line = {
        .packed_bytes = get32(p + 20), .bytes = get32(p + 24), .local_at = get32(p + 42)};
    if (!widen(&line, p + ENTRY_BYTES + name_bytes, extra_bytes))
        return damaged(zip, *at, "the directory of the archive is damaged", err);
    bool encrypted = get16(p + 8) & 1, stored = get16(p + 10) == 0;
    if (encrypted || !stored || line.packed_bytes != line.bytes)
        return damaged(zip, *at,
                       "an entry is compressed or encrypted, which torch.save does not do", err);
    entry->name = (const char *)p + ENTRY_BYTES;
    entry->name_bytes = name_bytes;
    entry->crc = get32(p + 16);
    *at += line_bytes;
    return place_content(entry, zip, directory, &line, err);
}

static int compare_names(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct sb_zip_entry *left = a, *right = b;
    return compare_names(left->name, left->name_bytes, right->name, right->name_bytes);
}

int sb_zip_open(struct sb_zip *zip, const char *path, const uint8_t *data, size_t bytes,
                struct sb_err *err)
{
    struct directory directory;
    *zip = (struct sb_zip){.path = path, .data = data, .bytes = bytes};
    if (read_end(&directory, zip, err) < 0)
        return -1;
    zip->entries = sb_calloc(directory.count ? directory.count : 1, sizeof(*zip->entries));
    uint64_t at = directory.begin;
    for (; zip->count < directory.count; zip->count++)
        if (read_line(&zip->entries[zip->count], &at, zip, &directory, err) < 0)
            return -1;
    qsort(zip->entries, zip->count, sizeof(*zip->entries), by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (by_name(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return damaged(zip, directory.begin, "two entries of the archive have one name", err);
    return 0;
}

void sb_zip_release(struct sb_zip *zip)
{
    free(zip->entries);
    *zip = (struct sb_zip)SB_ZIP_INIT;
}

int sb_zip_find(const struct sb_zip_entry **entry, struct sb_zip *zip, const char *name,
                struct sb_err *err)
{
    struct sb_zip_entry key = {.name = name, .name_bytes = strlen(name)};
    struct sb_zip_entry *found =
        bsearch(&key, zip->entries, zip->count, sizeof(*zip->entries), by_name);
    if (!found)
        return sb_err_set(err, SB_ERR_DATA, "'%s': has no entry '%s'", zip->path, name);
    if (!found->checked && crc32_z(0, zip->data + found->begin, found->bytes) != found->crc)
        return sb_err_set(err, SB_ERR_DATA, "'%s': entry '%s' does not match its checksum",
                          zip->path, name);
    found->checked = true;
    *entry = found;
    return 0;
}
