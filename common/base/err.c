#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sb_err_set(struct sb_err *err, enum sb_err_code code, const char *format, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return -1;
}

int sb_err_set_errno(struct sb_err *err, enum sb_err_code code, const char *format, ...)
{
    int saved = errno;
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(saved));
    return -1;
}

int sb_err_context(struct sb_err *err, const char *format, ...)
{
    if (!err)
        return -1;
    char before[sizeof(err->text)];
    memcpy(before, err->text, sizeof(before));
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", before);
    return -1;
}

void sb_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "shardbert: bug: %s:%d: %s does not hold\n", file, line, expression);
    abort();
}
