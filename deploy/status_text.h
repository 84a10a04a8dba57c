/* The answer of status_look.h as lines for a person. */
#ifndef SB_STATUS_TEXT_H
#define SB_STATUS_TEXT_H

#include "bytes.h"

#include <jansson.h>

/* What is missing or of another type is left out: the answer may come from another version. */
void sb_status_print(const json_t *status, struct sb_bytes *out);

#endif
