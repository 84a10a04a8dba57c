#include "label_sets.h"

#include "dataset_parts.h"
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

static const char between[] = {SB_LABEL_SEPARATOR, 0};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int sb_label_set_name(struct sb_bytes *name, const char *label, struct sb_labels *classes,
                      bool given, const char *path, uint64_t line, struct sb_err *err)
{
    char *copy = sb_strdup(label), *rest = *label ? copy : NULL, *part;
    const char **parts = NULL;
    size_t count = 0;
    int rc = 0;
    while (rc == 0 && (part = strsep(&rest, between))) {
        int32_t id;
        rc = sb_label_resolve(&id, classes, given, part, path, line, err);
        if (rc < 0)
            break;
        parts = sb_realloc(parts, (count + 1) * sizeof(*parts));
        parts[count++] = classes->names[id]; /* a number that stood for a name is one name */
    }
    if (count)
        qsort(parts, count, sizeof(*parts), by_bytes);
    sb_bytes_clear(name);
    sb_bytes_append_text(name, "");
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (i == 0 || strcmp(parts[i], parts[i - 1]) != 0)
            sb_bytes_printf(name, "%s%s", i ? between : "", parts[i]);
    free(parts);
    free(copy);
    return rc;
}

/* Adds the classes of a name; ids NULL: they are only made known. */
static int read_name(struct sb_label_sets *sets, const char *name, bool given, size_t *count,
                     struct sb_err *err)
{
    char *copy = sb_strdup(name), *rest = *name ? copy : NULL, *part;
    int rc = 0;
    while (rc == 0 && (part = strsep(&rest, between))) {
        int32_t id = sb_labels_find(&sets->classes, part);
        if (id < 0 && (given || sets->classes.count == SB_LABELS_MAX))
            rc = sb_err_set(err, SB_ERR_DATA, "prepared data has a label that there is not");
        else if (id < 0)
            id = sb_labels_add(&sets->classes, part);
        if (rc == 0) {
            sets->ids = sb_realloc(sets->ids, (*count + 1) * sizeof(*sets->ids));
            sets->ids[(*count)++] = id;
        }
    }
    free(copy);
    return rc;
}

int sb_label_sets_init(struct sb_label_sets *sets, char *const *names, size_t count,
                       const struct sb_dataset_options *options, struct sb_err *err)
{
    bool given = sb_labels_are_given(options);
    size_t id_count = 0;
    *sets =
        (struct sb_label_sets){.count = count, .begin = sb_calloc(count + 1, sizeof(*sets->begin))};
    int rc = given ? sb_labels_take(&sets->classes, options, err) : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = read_name(sets, names[i], given, &id_count, err);
        sets->begin[i + 1] = id_count;
    }
    if (rc == 0 && !given) {
        uint32_t *map = sb_calloc(sets->classes.count + 1, sizeof(*map));
        sb_labels_sort(&sets->classes, map);
        for (size_t i = 0; i < id_count; i++)
            sets->ids[i] = (int32_t)map[sets->ids[i]];
        free(map);
    }
    return rc;
}

void sb_label_sets_release(struct sb_label_sets *sets)
{
    sb_labels_release(&sets->classes);
    free(sets->begin);
    free(sets->ids);
    *sets = (struct sb_label_sets){0};
}

void sb_label_sets_values(const struct sb_label_sets *sets, int32_t set, float *values)
{
    memset(values, 0, sets->classes.count * sizeof(*values));
    if (set < 0 || (size_t)set >= sets->count)
        return;
    for (size_t i = sets->begin[set]; i < sets->begin[set + 1]; i++)
        values[sets->ids[i]] = 1.0f;
}
