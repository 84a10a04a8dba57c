/* Labels as they stand in a cell of a table or in a line of JSON. */
#ifndef SB_LABEL_CELL_H
#define SB_LABEL_CELL_H

#include "reader.h"

#include <jansson.h>

/* The classes of a cell without the spaces around them, joined by SB_LABEL_SEPARATOR; returns
 * out's text.  separator NULL: a comma. */
const char *sb_label_split(struct sb_bytes *out, const char *cell, const char *separator);
/* The text of a label; NULL, or what is wrong with it. */
const char *sb_label_from_json(struct sb_bytes *out, const json_t *value, enum sb_label_form form);

#endif
