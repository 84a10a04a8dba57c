/*
 * The little of YAML that settings need: one mapping from keys to a scalar or a list of scalars; in
 * a pipeline also a list of such mappings.
 *
 * Read through libfyaml's events, so that every piece keeps its position, a repeated key is seen,
 * and anchors, aliases, tags and nesting can be refused by name.  One thing is taken that YAML
 * reserves: a plain value may begin with @, for `model_name_or_path: @stage`.
 */
#ifndef SB_FLAT_YAML_H
#define SB_FLAT_YAML_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_flat_mark {
    uint32_t line, column; /* from 1; columns count characters */
};

struct sb_flat;

struct sb_flat_item {
    char *text; /* NULL for a mapping */
    bool plain; /* written without quotes */
    struct sb_flat_mark mark;
    struct sb_flat *map; /* only from sb_flat_read_stages */
};

struct sb_flat_entry {
    char *key; /* NULL for a value alone */
    struct sb_flat_mark key_mark, mark;
    bool is_list;
    struct sb_flat_item *items; /* one, unless is_list */
    size_t count;
};

struct sb_flat {
    struct sb_flat_entry *entries;
    size_t count;
};

#define SB_FLAT_INIT                                                                               \
    {                                                                                              \
        0                                                                                          \
    }

/* A whole file.  name goes in front of errors: "name:line:column: ".  Release in any case. */
int sb_flat_read(struct sb_flat *flat, const char *text, size_t bytes, const char *name,
                 struct sb_err *err);
/* The same, where an item of a list may be a mapping as flat as the file is otherwise. */
int sb_flat_read_stages(struct sb_flat *flat, const char *text, size_t bytes, const char *name,
                        struct sb_err *err);
/* A value alone, as behind `--set key=`: one entry without a key. */
int sb_flat_read_value(struct sb_flat *flat, const char *text, const char *name,
                       struct sb_err *err);
void sb_flat_release(struct sb_flat *flat);

#endif
