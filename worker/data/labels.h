/* Class names and their ids, while data is prepared.  Owner: the thread that reads. */
#ifndef SB_LABELS_H
#define SB_LABELS_H

#include "bytes.h"

#include <stddef.h>
#include <stdint.h>

/* More are a column of something else. */
enum { SB_LABELS_MAX = 65536, SB_WORD_LABELS_MAX = 16384, SB_LABEL_SETS_MAX = 1 << 20 };

struct sb_labels {
    char **names; /* [count] by id */
    size_t count;
    uint32_t *places; /* open addressing: id + 1, 0 if free */
    size_t place_count;
};

#define SB_LABELS_INIT                                                                             \
    {                                                                                              \
        0                                                                                          \
    }

void sb_labels_release(struct sb_labels *labels);
/* The id of a name; -1 if it is not there. */
int32_t sb_labels_find(const struct sb_labels *labels, const char *name);
/* The id of a new name. */
int32_t sb_labels_add(struct sb_labels *labels, const char *name);
/*
 * Sorts the names, as numbers if all of them are whole numbers, else by bytes.  map [count]
 * receives the new id of each old one.
 */
void sb_labels_sort(struct sb_labels *labels, uint32_t *map);
/* The number that a label like "3" names; -1 for any other text. */
int64_t sb_label_number(const char *name);
/* "a, b, c", cut short after the first twenty. */
void sb_labels_print(const struct sb_labels *labels, struct sb_bytes *out);

#endif
