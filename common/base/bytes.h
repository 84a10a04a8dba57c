/* A growing run of bytes, always followed by a zero byte so that it can be read as text. */
#ifndef SB_BYTES_H
#define SB_BYTES_H

#include <stdarg.h>
#include <stddef.h>

struct sb_bytes {
    char *data; /* NULL while empty */
    size_t count;
    size_t capacity;
};

#define SB_BYTES_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

void sb_bytes_release(struct sb_bytes *bytes);
void sb_bytes_clear(struct sb_bytes *bytes);
void sb_bytes_append(struct sb_bytes *bytes, const void *data, size_t count);
void sb_bytes_append_text(struct sb_bytes *bytes, const char *text);
void sb_bytes_printf(struct sb_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Makes room for count more bytes and returns where they go; the caller adds to ->count. */
char *sb_bytes_reserve(struct sb_bytes *bytes, size_t count);

#endif
