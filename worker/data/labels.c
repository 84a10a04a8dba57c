#include "labels.h"

#include "arena.h"
#include "err.h"
#include "hash.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PRINTED_MAX = 20, DIGITS_MAX = 9 };

void sb_labels_release(struct sb_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        free(labels->names[i]);
    free(labels->names);
    free(labels->places);
    *labels = (struct sb_labels)SB_LABELS_INIT;
}

/* The place of a name, or the free place where it belongs. */
static size_t place_of(const struct sb_labels *labels, const char *name)
{
    size_t mask = labels->place_count - 1;
    size_t place = (size_t)sb_hash(name, strlen(name)) & mask;
    while (labels->places[place] && strcmp(labels->names[labels->places[place] - 1], name) != 0)
        place = (place + 1) & mask;
    return place;
}

int32_t sb_labels_find(const struct sb_labels *labels, const char *name)
{
    return labels->count ? (int32_t)labels->places[place_of(labels, name)] - 1 : -1;
}

static void index_all(struct sb_labels *labels, size_t place_count)
{
    free(labels->places);
    labels->places = sb_calloc(place_count, sizeof(*labels->places));
    labels->place_count = place_count;
    for (size_t i = 0; i < labels->count; i++)
        labels->places[place_of(labels, labels->names[i])] = (uint32_t)i + 1;
}

int32_t sb_labels_add(struct sb_labels *labels, const char *name)
{
    sb_assert(labels->count < SB_LABEL_SETS_MAX);
    labels->names = sb_realloc(labels->names, (labels->count + 1) * sizeof(*labels->names));
    labels->names[labels->count++] = sb_strdup(name);
    if (2 * labels->count > labels->place_count)
        index_all(labels, labels->place_count ? 2 * labels->place_count : 64);
    else
        labels->places[place_of(labels, name)] = (uint32_t)labels->count;
    return (int32_t)labels->count - 1;
}

int64_t sb_label_number(const char *name)
{
    size_t digits = strlen(name);
    if (digits == 0 || digits > DIGITS_MAX || (digits > 1 && name[0] == '0'))
        return -1;
    for (size_t i = 0; i < digits; i++)
        if (!isdigit((unsigned char)name[i]))
            return -1;
    return strtoll(name, NULL, 10);
}

struct named {
    char *name;
    int64_t number; /* -1: by name */
    uint32_t old;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return strcmp(x->name, y->name);
}

void sb_labels_sort(struct sb_labels *labels, uint32_t *map)
{
    struct named *sorted = sb_calloc(labels->count, sizeof(*sorted));
    bool numbers = true;
    for (size_t i = 0; i < labels->count; i++)
        numbers = numbers && sb_label_number(labels->names[i]) >= 0;
    for (size_t i = 0; i < labels->count; i++)
        sorted[i] = (struct named){.name = labels->names[i],
                                   .number = numbers ? sb_label_number(labels->names[i]) : -1,
                                   .old = (uint32_t)i};
    qsort(sorted, labels->count, sizeof(*sorted), compare_named);
    for (size_t i = 0; i < labels->count; i++) {
        labels->names[i] = sorted[i].name;
        map[sorted[i].old] = (uint32_t)i;
    }
    free(sorted);
    if (labels->count)
        index_all(labels, labels->place_count);
}

void sb_labels_print(const struct sb_labels *labels, struct sb_bytes *out)
{
    for (size_t i = 0; i < labels->count && i < PRINTED_MAX; i++)
        sb_bytes_printf(out, "%s%.40s", i ? ", " : "", labels->names[i]);
    if (labels->count > PRINTED_MAX)
        sb_bytes_printf(out, ", ... (%zu in all)", labels->count);
}
