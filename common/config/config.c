#include "config.h"

#include "arena.h"
#include "config_rows.h"
#include "file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_default(struct sb_job *job, const struct sb_row *row)
{
    void *value = sb_row_value(job, row);
    switch (row->type) {
    case SB_ROW_u32:
        *(uint32_t *)value = (uint32_t)row->whole[0];
        break;
    case SB_ROW_u64:
        *(uint64_t *)value = row->whole[0];
        break;
    case SB_ROW_flag:
        *(bool *)value = row->whole[0] != 0;
        break;
    case SB_ROW_real:
        *(double *)value = row->real[0];
        break;
    case SB_ROW_text:
    case SB_ROW_path:
    case SB_ROW_word:
        *(char **)value = *row->text ? sb_strdup(row->text) : NULL;
        break;
    case SB_ROW_list:
    case SB_ROW_names:
    case SB_ROW_paths:
        break;
    }
}

static void drop(struct sb_job *job, const struct sb_row *row)
{
    void *value = sb_row_value(job, row);
    switch (row->type) {
    case SB_ROW_text:
    case SB_ROW_path:
    case SB_ROW_word:
        free(*(char **)value);
        break;
    case SB_ROW_list:
    case SB_ROW_names:
    case SB_ROW_paths: {
        struct sb_list *list = value;
        for (size_t i = 0; i < list->count; i++)
            free(list->items[i]);
        free(list->items);
        break;
    }
    case SB_ROW_u32:
    case SB_ROW_u64:
    case SB_ROW_real:
    case SB_ROW_flag:
        break;
    }
}

void sb_job_init(struct sb_job *job)
{
    *job = (struct sb_job){.origins = sb_calloc(sb_row_count, sizeof(*job->origins))};
    for (size_t i = 0; i < sb_row_count; i++) {
        if (sb_rows[i].name)
            take_default(job, &sb_rows[i]);
    }
}

void sb_job_release(struct sb_job *job)
{
    for (size_t i = 0; i < sb_row_count; i++) {
        if (sb_rows[i].name)
            drop(job, &sb_rows[i]);
    }
    free(job->job_path);
    free(job->origins);
    *job = (struct sb_job){0};
}

bool sb_job_given(const struct sb_job *job, const char *key)
{
    const struct sb_row *row = sb_row_find(key);
    sb_assert(row);
    return job->origins[row - sb_rows].source != SB_BY_DEFAULT;
}

static int unknown_key(struct sb_err *err, enum sb_err_code code, const char *key)
{
    const char *meant = sb_row_suggest(key);
    if (meant)
        return sb_err_set(err, code, "unknown key '%s'; did you mean '%s'?", key, meant);
    return sb_err_set(err, code, "unknown key '%s'", key);
}

static int take_entry(struct sb_job *job, const struct sb_flat_entry *entry,
                      const struct sb_row_place *place, struct sb_err *err)
{
    const struct sb_row *row = sb_row_find(entry->key);
    if (!row) {
        unknown_key(err, SB_ERR_CONFIG, entry->key);
        return sb_err_context(err, "%s:%u:%u", place->name, entry->key_mark.line,
                              entry->key_mark.column);
    }
    if (sb_row_assign(job, row, entry, place, err) < 0)
        return -1;
    job->origins[row - sb_rows] = (struct sb_origin){
        .source = SB_BY_FILE, .line = entry->key_mark.line, .column = entry->key_mark.column};
    return 0;
}

int sb_job_take(struct sb_job *job, const struct sb_flat_entry *entry, const char *file,
                const char *folder, struct sb_err *err)
{
    struct sb_row_place place = {file, folder, .has_lines = true};
    if (take_entry(job, entry, &place, err) < 0)
        return -1;
    job->origins[sb_row_find(entry->key) - sb_rows].file = file;
    return 0;
}

int sb_job_read(struct sb_job *job, const char *path, struct sb_err *err)
{
    char folder[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_flat flat = SB_FLAT_INIT;
    struct sb_row_place place = {path, sb_path_folder(folder, path), .has_lines = true};
    int rc = -1;
    if (sb_file_read(&text, path, err) < 0 ||
        sb_flat_read(&flat, text.data ? text.data : "", text.count, path, err) < 0)
        goto done;
    for (size_t i = 0; i < flat.count; i++)
        if (take_entry(job, &flat.entries[i], &place, err) < 0)
            goto done;
    free(job->job_path);
    job->job_path = sb_strdup(path);
    rc = 0;
done:
    sb_flat_release(&flat);
    sb_bytes_release(&text);
    return rc;
}

/* One value from the command line or the environment; name is what an error is about. */
static int set_value(struct sb_job *job, const struct sb_row *row, const char *value,
                     const char *name, struct sb_err *err)
{
    struct sb_flat flat = SB_FLAT_INIT;
    struct sb_row_place place = {.name = name};
    int rc = sb_flat_read_value(&flat, value, name, err);
    if (rc == 0)
        rc = sb_row_assign(job, row, &flat.entries[0], &place, err);
    sb_flat_release(&flat);
    return rc;
}

int sb_job_set(struct sb_job *job, const char *assignment, struct sb_err *err)
{
    const char *equals = strchr(assignment, '=');
    size_t bytes = equals ? (size_t)(equals - assignment) : 0;
    char key[64];
    char name[80];
    if (!bytes)
        return sb_err_set(err, SB_ERR_USAGE, "--set takes key=value, not '%s'", assignment);
    snprintf(key, sizeof(key), "%.*s", (int)(bytes < sizeof(key) ? bytes : sizeof(key)),
             assignment);
    const struct sb_row *row = sb_row_find(key);
    if (!row) {
        unknown_key(err, SB_ERR_USAGE, key);
        return sb_err_context(err, "--set");
    }
    snprintf(name, sizeof(name), "--set %s", key);
    if (set_value(job, row, equals + 1, name, err) < 0)
        return -1;
    job->origins[row - sb_rows] = (struct sb_origin){.source = SB_BY_COMMAND};
    return 0;
}

int sb_job_environment(struct sb_job *job, struct sb_err *err)
{
    for (size_t i = 0; i < sb_row_count; i++) {
        const struct sb_row *row = &sb_rows[i];
        char name[80] = "SHARDBERT_";
        if (!row->name)
            continue;
        size_t used = strlen(name);
        for (const char *p = row->name; *p; p++)
            name[used++] = (char)toupper((unsigned char)*p);
        const char *value = getenv(name);
        if (!value || !*value)
            continue;
        if (row->scope == SB_SCOPE_JOB)
            return sb_err_set(err, SB_ERR_CONFIG,
                              "%s: %s decides the weights and is not taken from the environment; "
                              "put it into the job file or use --set",
                              name, row->name);
        if (set_value(job, row, value, name, err) < 0)
            return -1;
        job->origins[i] = (struct sb_origin){.source = SB_BY_ENVIRONMENT};
    }
    return 0;
}
