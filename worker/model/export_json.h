/* The JSON files of exported folders. */
#ifndef SB_EXPORT_JSON_H
#define SB_EXPORT_JSON_H

#include "err.h"

#include <jansson.h>

/* NULL: SB_ERR_NO_INPUT if there is no such file, SB_ERR_DATA with the line if it is no JSON. */
json_t *sb_export_load(const char *path, struct sb_err *err);
/* Writes folder/name, atomically, and drops root. */
int sb_export_save(const char *folder, const char *name, json_t *root, struct sb_err *err);

#endif
