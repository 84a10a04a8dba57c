#include "bytes.h"

#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sb_bytes_release(struct sb_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct sb_bytes)SB_BYTES_INIT;
}

void sb_bytes_clear(struct sb_bytes *bytes)
{
    bytes->count = 0;
    if (bytes->data)
        bytes->data[0] = 0;
}

char *sb_bytes_reserve(struct sb_bytes *bytes, size_t count)
{
    size_t need = bytes->count + count + 1;
    if (need > bytes->capacity) {
        size_t capacity = bytes->capacity ? bytes->capacity : 64;
        while (capacity < need)
            capacity *= 2;
        bytes->data = sb_realloc(bytes->data, capacity);
        bytes->capacity = capacity;
    }
    return bytes->data + bytes->count;
}

void sb_bytes_append(struct sb_bytes *bytes, const void *data, size_t count)
{
    char *end = sb_bytes_reserve(bytes, count);
    if (count)
        memcpy(end, data, count);
    end[count] = 0;
    bytes->count += count;
}

void sb_bytes_append_text(struct sb_bytes *bytes, const char *text)
{
    sb_bytes_append(bytes, text, strlen(text));
}

void sb_bytes_printf(struct sb_bytes *bytes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int count = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *end = sb_bytes_reserve(bytes, (size_t)count);
    vsnprintf(end, (size_t)count + 1, format, again);
    va_end(again);
    bytes->count += (size_t)count;
}
