#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int sb_cmd_fail(const struct sb_err *err)
{
    fflush(stdout);
    fprintf(stderr, "shardbert: %s\n", err->text);
    return (int)err->code;
}

int sb_cmd_finish_output(struct sb_err *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return sb_err_set_errno(err, SB_ERR_IO, "cannot write to standard output");
    return 0;
}

int sb_cmd_number(uint64_t *value, const char *option, const char *text, uint64_t min, uint64_t max,
                  struct sb_err *err)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < min || number > max)
        return sb_err_set(err, SB_ERR_USAGE,
                          "%s is '%s', expected a whole number from %" PRIu64 " to %" PRIu64,
                          option, text, min, max);
    *value = number;
    return 0;
}
