/*
 * The zip archives of torch.save: entries that are stored, not compressed, and so lie in the file
 * as they are.  The archive is mapped by the caller and untrusted: every entry is inside the file,
 * and its bytes are checked against their CRC-32 before they are given out.
 */
#ifndef SB_TORCH_ZIP_H
#define SB_TORCH_ZIP_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_zip_entry {
    const char *name; /* [name_bytes], in the map; no zero at its end */
    size_t name_bytes;
    size_t begin, bytes; /* of the content, from the start of the file */
    uint32_t crc;
    bool checked;
};

struct sb_zip {
    const char *path; /* for sentences; not owned */
    const uint8_t *data;
    size_t bytes;
    struct sb_zip_entry *entries; /* sorted by name */
    size_t count;
};

#define SB_ZIP_INIT                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

/* Does the file begin as a zip archive does? */
bool sb_zip_is(const uint8_t *data, size_t bytes);
/* SB_ERR_DATA for whatever is not as it must be; release is harmless then. */
int sb_zip_open(struct sb_zip *zip, const char *path, const uint8_t *data, size_t bytes,
                struct sb_err *err);
void sb_zip_release(struct sb_zip *zip);
/* SB_ERR_DATA if there is no such entry, or if it is damaged. */
int sb_zip_find(const struct sb_zip_entry **entry, struct sb_zip *zip, const char *name,
                struct sb_err *err);

#endif
