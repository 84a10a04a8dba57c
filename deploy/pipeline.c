#include "pipeline.h"

#include "arena.h"
#include "config_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const LINK_KEYS[SB_STAGE_LINKS] = {"model_name_or_path", "config_name",
                                                      "tokenizer_name"};
enum { STAGE_NAME_BYTES_MAX = 64, SEEDS_MAX = 1000 };

const char *sb_stage_link_key(size_t link)
{
    return LINK_KEYS[link];
}

static int trouble(const struct sb_pipeline *pipeline, struct sb_flat_mark mark, struct sb_err *err,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static int trouble(const struct sb_pipeline *pipeline, struct sb_flat_mark mark, struct sb_err *err,
                   const char *format, ...)
{
    char sentence[768];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    sb_err_set(err, SB_ERR_CONFIG, "%s", sentence);
    return sb_err_context(err, "%s:%u:%u", pipeline->path, mark.line, mark.column);
}

static const struct sb_flat_entry *find(const struct sb_flat *flat, const char *key)
{
    for (size_t i = 0; flat && i < flat->count; i++)
        if (!strcmp(flat->entries[i].key, key))
            return &flat->entries[i];
    return NULL;
}

/* The one text of an entry; NULL with err for a list or nothing. */
static const char *only_text(const struct sb_pipeline *pipeline, const struct sb_flat_entry *entry,
                             struct sb_err *err)
{
    if (!entry->is_list && *entry->items[0].text)
        return entry->items[0].text;
    trouble(pipeline, entry->mark, err, "%s takes one value", entry->key);
    return NULL;
}

/* ---- seeds ---- */

static int take_seed(const struct sb_pipeline *pipeline, const struct sb_flat_item *item,
                     uint64_t **seeds, size_t *count, struct sb_err *err)
{
    const char *text = item->text ? item->text : "";
    errno = 0;
    uint64_t seed = strtoull(text, NULL, 10);
    if (!*text || text[strspn(text, "0123456789")] || errno || !item->plain)
        return trouble(pipeline, item->mark, err, "a seed is a whole number, not '%s'", text);
    for (size_t i = 0; i < *count; i++)
        if ((*seeds)[i] == seed)
            return trouble(pipeline, item->mark, err, "seeds has %s twice", text);
    if (*count == SEEDS_MAX)
        return trouble(pipeline, item->mark, err, "there are more than %d seeds", SEEDS_MAX);
    *seeds = sb_realloc(*seeds, (*count + 1) * sizeof(**seeds));
    (*seeds)[(*count)++] = seed;
    return 0;
}

static int take_seeds(const struct sb_pipeline *pipeline, const struct sb_flat_entry *entry,
                      uint64_t **seeds, size_t *count, struct sb_err *err)
{
    for (size_t i = 0; entry && i < entry->count; i++)
        if (take_seed(pipeline, &entry->items[i], seeds, count, err) < 0)
            return -1;
    if (entry && !entry->count)
        return trouble(pipeline, entry->mark, err, "seeds is empty");
    return 0;
}

static void copy_seeds(struct sb_stage *stage, const uint64_t *seeds, size_t count)
{
    stage->seeds = sb_realloc(stage->seeds, (count + 1) * sizeof(*seeds));
    memcpy(stage->seeds, seeds, count * sizeof(*seeds));
    stage->seed_count = count;
}

static bool has_seed(const struct sb_stage *stage, uint64_t seed)
{
    for (size_t i = 0; i < stage->seed_count; i++)
        if (stage->seeds[i] == seed)
            return true;
    return false;
}

/* ---- stages ---- */

/* "jobs/mlm.yaml" -> "mlm" */
static char *stem(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = sb_strdup(slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot > name)
        *dot = 0;
    return name;
}

static int check_name(const struct sb_pipeline *pipeline, size_t index, struct sb_flat_mark mark,
                      struct sb_err *err)
{
    const char *name = pipeline->stages[index].name;
    size_t bytes = strlen(name);
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";
    if (!bytes || bytes > STAGE_NAME_BYTES_MAX || name[strspn(name, letters)] || *name == '.' ||
        *name == '-' || !strcmp(name, "cache"))
        return trouble(pipeline, mark, err,
                       "'%s' is no name for a stage: up to %d letters, digits, '.', '_' and '-' "
                       "(but not 'cache')",
                       name, STAGE_NAME_BYTES_MAX);
    for (size_t i = 0; i < index; i++)
        if (!strcmp(pipeline->stages[i].name, name))
            return trouble(pipeline, mark, err, "there are two stages '%s'", name);
    return 0;
}

static char *path_beside(const struct sb_pipeline *pipeline, const char *path)
{
    char joined[SB_PATH_BYTES];
    bool here = !strcmp(pipeline->folder, ".");
    return sb_strdup(sb_path_join(joined, here ? NULL : pipeline->folder, path));
}

/* Name and job file; the settings are read later, when all names are known. */
static int take_stage(struct sb_pipeline *pipeline, const struct sb_flat_item *item,
                      struct sb_err *err)
{
    pipeline->stages =
        sb_realloc(pipeline->stages, (pipeline->count + 1) * sizeof(*pipeline->stages));
    struct sb_stage *stage = &pipeline->stages[pipeline->count++];
    *stage = (struct sb_stage){.map = item->map};
    const struct sb_flat_entry *name = find(item->map, "name"), *job = find(item->map, "job");
    const char *path = item->map ? NULL : item->text, *own = NULL;
    if (job && !(path = only_text(pipeline, job, err)))
        return -1;
    if (name && !(own = only_text(pipeline, name, err)))
        return -1;
    if (!own && !path)
        return trouble(pipeline, item->mark, err, "a stage has a name; this one has none");
    if (path && !*path)
        return trouble(pipeline, item->mark, err, "a stage is a job file, or settings");
    stage->job_path = path ? path_beside(pipeline, path) : NULL;
    stage->name = own ? sb_strdup(own) : stem(path);
    return check_name(pipeline, pipeline->count - 1, name ? name->mark : item->mark, err);
}

static bool is_of_stage(const char *key)
{
    return !strcmp(key, "name") || !strcmp(key, "job") || !strcmp(key, "seeds");
}

static int fill_job(struct sb_job *job, const struct sb_pipeline *pipeline,
                    const struct sb_stage *stage, struct sb_err *err)
{
    if (stage->job_path && sb_job_read(job, stage->job_path, err) < 0)
        return sb_err_context(err, "stage '%s'", stage->name);
    if (!stage->job_path)
        job->job_path = sb_strdup(pipeline->path);
    for (size_t i = 0; stage->map && i < stage->map->count; i++) {
        const struct sb_flat_entry *entry = &stage->map->entries[i];
        if (!is_of_stage(entry->key) &&
            sb_job_take(job, entry, pipeline->path, pipeline->folder, err) < 0)
            return -1;
    }
    return 0;
}

/* The stage that a setting names with @; SB_NO_STAGE if it names none. */
static int find_parent(struct sb_pipeline *pipeline, size_t index, size_t link,
                       const struct sb_job *job, const char *value, struct sb_err *err)
{
    struct sb_stage *stage = &pipeline->stages[index];
    struct sb_bytes known = SB_BYTES_INIT;
    stage->parents[link] = SB_NO_STAGE;
    if (!value || *value != '@')
        return 0;
    for (size_t i = 0; i < pipeline->count; i++) {
        if (i < index)
            sb_bytes_printf(&known, "%s%s", i ? ", " : "", pipeline->stages[i].name);
        if (!strcmp(pipeline->stages[i].name, value + 1))
            stage->parents[link] = i;
    }
    size_t parent = stage->parents[link];
    if (parent == SB_NO_STAGE)
        sb_err_set(err, SB_ERR_CONFIG, "there is no stage '%s' before '%s'; there is %s", value + 1,
                   stage->name, known.count ? known.data : "none");
    else if (parent == index)
        sb_err_set(err, SB_ERR_CONFIG, "stage '%s' cannot start from itself", stage->name);
    else if (parent > index)
        sb_err_set(err, SB_ERR_CONFIG,
                   "stage '%s' is later than '%s'; a stage starts from an earlier one", value + 1,
                   stage->name);
    sb_bytes_release(&known);
    return parent == SB_NO_STAGE || parent >= index ? sb_job_place(job, LINK_KEYS[link], err) : 0;
}

static int settle_seeds(struct sb_pipeline *pipeline, size_t index, const struct sb_job *job,
                        const uint64_t *common, size_t common_count, struct sb_err *err)
{
    struct sb_stage *stage = &pipeline->stages[index];
    const struct sb_flat_entry *own = find(stage->map, "seeds"), *seed = find(stage->map, "seed");
    if (take_seeds(pipeline, own, &stage->seeds, &stage->seed_count, err) < 0)
        return -1;
    for (size_t link = 0; !stage->seed_count && link < SB_STAGE_LINKS; link++) {
        size_t parent = stage->parents[link];
        if (parent != SB_NO_STAGE && pipeline->stages[parent].seed_count > 1)
            copy_seeds(stage, pipeline->stages[parent].seeds, pipeline->stages[parent].seed_count);
    }
    if (!stage->seed_count && common_count)
        copy_seeds(stage, common, common_count);
    if (seed && stage->seed_count) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "stage '%s' has a seed and is repeated over seeds; `seeds: [%s]` runs it once",
                   stage->name, seed->is_list ? "42" : seed->items[0].text);
        return sb_job_place(job, "seed", err);
    }
    for (size_t link = 0; link < SB_STAGE_LINKS; link++) {
        const struct sb_stage *parent =
            stage->parents[link] == SB_NO_STAGE ? NULL : &pipeline->stages[stage->parents[link]];
        for (size_t i = 0; parent && parent->seed_count > 1 && i < stage->seed_count; i++) {
            if (has_seed(parent, stage->seeds[i]))
                continue;
            sb_err_set(err, SB_ERR_CONFIG, "stage '%s' has seed %" PRIu64 ", but '%s' has no such",
                       stage->name, stage->seeds[i], parent->name);
            return sb_job_place(job, LINK_KEYS[link], err);
        }
    }
    return 0;
}

static int settle_stage(struct sb_pipeline *pipeline, size_t index, const uint64_t *seeds,
                        size_t seed_count, struct sb_err *err)
{
    struct sb_stage *stage = &pipeline->stages[index];
    struct sb_job job;
    char folder[SB_PATH_BYTES];
    sb_job_init(&job);
    int rc = fill_job(&job, pipeline, stage, err);
    const char *values[SB_STAGE_LINKS] = {job.model_name_or_path, job.config_name,
                                          job.tokenizer_name};
    for (size_t link = 0; rc == 0 && link < SB_STAGE_LINKS; link++)
        rc = find_parent(pipeline, index, link, &job, values[link], err);
    if (rc == 0)
        rc = settle_seeds(pipeline, index, &job, seeds, seed_count, err);
    stage->task = sb_strdup(job.task ? job.task : "");
    stage->own_cache = job.cache_dir != NULL;
    /* What a job file of its own names is for its own runs: a pipeline must not write over those. */
    bool named = job.output_dir && find(stage->map, "output_dir");
    stage->output_dir = sb_strdup(
        named ? job.output_dir : sb_path_join(folder, pipeline->output_dir, stage->name));
    sb_job_release(&job);
    return rc;
}

/* ---- the file ---- */

static int check_keys(const struct sb_pipeline *pipeline, struct sb_err *err)
{
    for (size_t i = 0; i < pipeline->flat.count; i++) {
        const struct sb_flat_entry *entry = &pipeline->flat.entries[i];
        if (!strcmp(entry->key, "stages") || !strcmp(entry->key, "seeds") ||
            !strcmp(entry->key, "output_dir"))
            continue;
        if (sb_row_find(entry->key))
            return trouble(pipeline, entry->key_mark, err, "%s belongs into a stage", entry->key);
        return trouble(pipeline, entry->key_mark, err,
                       "unknown key '%s': a pipeline has output_dir, seeds and stages", entry->key);
    }
    return 0;
}

static int take_output(struct sb_pipeline *pipeline, const char *output, struct sb_err *err)
{
    const struct sb_flat_entry *entry = find(&pipeline->flat, "output_dir");
    const char *own = entry ? only_text(pipeline, entry, err) : NULL;
    if (entry && !own)
        return -1;
    if (!output && !own) {
        sb_err_set(err, SB_ERR_CONFIG, "output_dir is missing: where do the stages go?");
        return sb_err_context(err, "%s", pipeline->path);
    }
    pipeline->output_dir = output ? sb_strdup(output) : path_beside(pipeline, own);
    return 0;
}

static int take_stages(struct sb_pipeline *pipeline, struct sb_err *err)
{
    const struct sb_flat_entry *stages = find(&pipeline->flat, "stages");
    if (!stages) {
        sb_err_set(err, SB_ERR_CONFIG, "no pipeline: it has no stages");
        return sb_err_context(err, "%s", pipeline->path);
    }
    if (!stages->is_list || !stages->count)
        return trouble(pipeline, stages->mark, err,
                       "stages is a list of job files, or of settings with a name");
    for (size_t i = 0; i < stages->count; i++)
        if (take_stage(pipeline, &stages->items[i], err) < 0)
            return -1;
    return 0;
}

/* The same file may have two names; what is not there yet has one below what is. */
static void settle_path(char out[SB_PATH_BYTES], const char *path)
{
    char head[SB_PATH_BYTES], *real = NULL;
    snprintf(head, sizeof(head), "%s", path);
    for (;;) {
        char *slash = strrchr(head, '/');
        if ((real = realpath(*head ? head : "/", NULL)) || !slash)
            break;
        *slash = 0;
    }
    if (!real && (real = realpath(".", NULL)))
        head[0] = 0;
    snprintf(out, SB_PATH_BYTES, "%s/%s", real ? real : "", path + strlen(head));
    for (size_t end = strlen(out); end > 1 && out[end - 1] == '/';)
        out[--end] = 0;
    free(real);
}

static int check_folders(const struct sb_pipeline *pipeline, struct sb_err *err)
{
    size_t count;
    struct sb_unit *units = sb_units_of(pipeline, &count);
    char(*paths)[SB_PATH_BYTES] = sb_calloc(count, sizeof(*paths));
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        settle_path(paths[i], units[i].folder);
        for (size_t j = 0; rc == 0 && j < i; j++)
            if (!strcmp(paths[i], paths[j]))
                rc = sb_err_set(err, SB_ERR_CONFIG,
                                "%s: stages '%s' and '%s' would both write '%s'; give one of them "
                                "another output_dir",
                                pipeline->path, pipeline->stages[units[j].stage].name,
                                pipeline->stages[units[i].stage].name, units[i].folder);
    }
    free(paths);
    sb_units_free(&units, count);
    return rc;
}

/* Everything but the settings of the stages. */
static int read_names(struct sb_pipeline *pipeline, const char *path, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    *pipeline = (struct sb_pipeline){.path = path};
    sb_path_folder(pipeline->folder, path);
    int rc = sb_file_read(&text, path, err);
    if (rc == 0)
        rc =
            sb_flat_read_stages(&pipeline->flat, text.data ? text.data : "", text.count, path, err);
    sb_bytes_release(&text);
    return rc < 0 || take_stages(pipeline, err) < 0 ? -1 : check_keys(pipeline, err);
}

int sb_pipeline_read(struct sb_pipeline *pipeline, const char *path, const char *output,
                     struct sb_err *err)
{
    uint64_t *seeds = NULL;
    size_t seed_count = 0;
    int rc = read_names(pipeline, path, err);
    if (rc == 0)
        rc = take_output(pipeline, output, err);
    if (rc == 0)
        rc = take_seeds(pipeline, find(&pipeline->flat, "seeds"), &seeds, &seed_count, err);
    for (size_t i = 0; rc == 0 && i < pipeline->count; i++)
        rc = settle_stage(pipeline, i, seeds, seed_count, err);
    if (rc == 0)
        rc = check_folders(pipeline, err);
    free(seeds);
    return rc;
}

void sb_pipeline_release(struct sb_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        struct sb_stage *stage = &pipeline->stages[i];
        free(stage->name);
        free(stage->job_path);
        free(stage->seeds);
        free(stage->task);
        free(stage->output_dir);
    }
    free(pipeline->stages);
    free(pipeline->output_dir);
    sb_flat_release(&pipeline->flat);
    *pipeline = (struct sb_pipeline){0};
}

int sb_pipeline_job(struct sb_job *job, const char *path, const char *stage, struct sb_err *err)
{
    struct sb_pipeline pipeline;
    int rc = read_names(&pipeline, path, err);
    size_t index = 0;
    while (rc == 0 && index < pipeline.count && strcmp(pipeline.stages[index].name, stage) != 0)
        index++;
    if (rc == 0 && index == pipeline.count)
        rc = sb_err_set(err, SB_ERR_USAGE, "%s: there is no stage '%s'", path, stage);
    if (rc == 0)
        rc = fill_job(job, &pipeline, &pipeline.stages[index], err);
    sb_pipeline_release(&pipeline);
    return rc;
}

/* ---- units ---- */

/* The run of a stage with this seed, or its only one. */
static size_t unit_of(const struct sb_unit *units, size_t count, size_t stage, uint64_t seed)
{
    for (size_t i = 0; i < count; i++)
        if (units[i].stage == stage && (!units[i].repeated || units[i].seed == seed))
            return i;
    return SB_NO_STAGE;
}

static void add_unit(struct sb_unit **units, size_t *count, const struct sb_pipeline *pipeline,
                     size_t index, size_t repeat)
{
    const struct sb_stage *stage = &pipeline->stages[index];
    struct sb_unit unit = {.stage = index,
                           .repeated = stage->seed_count > 1,
                           .seeded = stage->seed_count > 0,
                           .seed = stage->seed_count ? stage->seeds[repeat] : 0};
    char name[48], folder[SB_PATH_BYTES];
    snprintf(name, sizeof(name), "seed-%" PRIu64, unit.seed);
    unit.folder = sb_strdup(unit.repeated ? sb_path_join(folder, stage->output_dir, name)
                                          : stage->output_dir);
    for (size_t link = 0; link < SB_STAGE_LINKS; link++)
        unit.parents[link] = stage->parents[link] == SB_NO_STAGE
                                 ? SB_NO_STAGE
                                 : unit_of(*units, *count, stage->parents[link], unit.seed);
    *units = sb_realloc(*units, (*count + 1) * sizeof(**units));
    (*units)[(*count)++] = unit;
}

struct sb_unit *sb_units_of(const struct sb_pipeline *pipeline, size_t *count)
{
    struct sb_unit *units = NULL;
    *count = 0;
    for (size_t i = 0; i < pipeline->count; i++)
        for (size_t k = 0;
             k < (pipeline->stages[i].seed_count ? pipeline->stages[i].seed_count : 1); k++)
            add_unit(&units, count, pipeline, i, k);
    return units;
}

void sb_units_free(struct sb_unit **units, size_t count)
{
    for (size_t i = 0; *units && i < count; i++)
        free((*units)[i].folder);
    free(*units);
    *units = NULL;
}
