#include "ckpt.h"

#include "account_file.h"
#include "arena.h"
#include "clock.h"
#include "file.h"
#include "hash.h"
#include "safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_VERSION = 1, PIECE_BYTES = 1 << 20 };
static const char MANIFEST[] = "MANIFEST.json";
static const char PREFIX[] = "checkpoint-";
static const char STATE[] = "state-";
static const char TERM[] = ".term";

void sb_ckpt_folder(char folder[4096], const char *output_dir, uint64_t step)
{
    char name[SB_CKPT_NAME_BYTES];
    snprintf(name, sizeof(name), "%s%" PRIu64, PREFIX, step);
    sb_path_join(folder, output_dir, name);
}

void sb_ckpt_manifest_release(struct sb_ckpt_manifest *manifest)
{
    free(manifest->canonical);
    json_decref(manifest->plan);
    json_decref(manifest->history);
    free(manifest->files);
    *manifest = (struct sb_ckpt_manifest)SB_CKPT_MANIFEST_INIT;
}

/* ---- state files ---- */

/* The tensors of a part, in file order; m and v are NULL for frozen ones. */
static const struct {
    char letter;
    size_t offset;
} kinds[] = {
    {'w', offsetof(struct sb_ckpt_part, w)},
    {'m', offsetof(struct sb_ckpt_part, m)},
    {'v', offsetof(struct sb_ckpt_part, v)},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static float *floats_of(const struct sb_ckpt_part *part, size_t kind)
{
    float *floats;
    memcpy(&floats, (const char *)part + kinds[kind].offset, sizeof(floats));
    return floats;
}

static void name_tensor(char name[SB_CKPT_NAME_BYTES], uint32_t part, size_t kind)
{
    snprintf(name, SB_CKPT_NAME_BYTES, "part.%" PRIu32 ".%c", part, kinds[kind].letter);
}

static void write_header(struct sb_st_writer *writer, const struct sb_ckpt_state *state)
{
    char text[32], name[SB_CKPT_NAME_BYTES];
    sb_st_writer_meta(writer, "format", "shardbert checkpoint");
    snprintf(text, sizeof(text), "%" PRIu64, state->step);
    sb_st_writer_meta(writer, "step", text);
    snprintf(text, sizeof(text), "%" PRIu64, state->applied);
    sb_st_writer_meta(writer, "applied", text);
    for (size_t i = 0; i < state->part_count; i++)
        for (size_t kind = 0; kind < KINDS; kind++)
            if (floats_of(&state->parts[i], kind)) {
                name_tensor(name, state->parts[i].part, kind);
                sb_st_writer_describe(writer, name, SB_F32, &state->parts[i].count, 1);
            }
}

/*
 * Reads the file in pieces: mapped, the checkpoint of a big model would count as memory of this
 * process, as much again as all that it holds.
 */
static int describe_file(struct sb_ckpt_file *file, const char *path, const char *name,
                         struct sb_err *err)
{
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return sb_err_set_errno(err, errno == ENOENT ? SB_ERR_NO_INPUT : SB_ERR_IO,
                                "cannot open '%s'", path);
    struct sb_hasher hasher;
    char *piece = sb_alloc(PIECE_BYTES);
    size_t bytes;
    *file = (struct sb_ckpt_file){.bytes = 0};
    snprintf(file->name, sizeof(file->name), "%s", name);
    sb_hasher_init(&hasher);
    while ((bytes = fread(piece, 1, PIECE_BYTES, stream)) > 0) {
        sb_hasher_add(&hasher, piece, bytes);
        file->bytes += bytes;
    }
    sb_hasher_text128(&hasher, file->hash);
    int rc = ferror(stream) ? sb_err_set_errno(err, SB_ERR_IO, "reading '%s'", path) : 0;
    sb_hasher_release(&hasher);
    free(piece);
    fclose(stream);
    return rc;
}

static int write_parts(struct sb_st_writer *writer, const struct sb_ckpt_state *state,
                       struct sb_err *err)
{
    for (size_t i = 0; i < state->part_count; i++) {
        if (state->watch && sb_errand_unwanted(state->watch->errand))
            return sb_err_set(err, SB_ERR_TRY_AGAIN, "nobody waits for '%s' any more",
                              writer->file.path);
        for (size_t kind = 0; kind < KINDS; kind++) {
            const float *floats = floats_of(&state->parts[i], kind);
            if (floats &&
                sb_st_writer_data(writer, floats, state->parts[i].count * sizeof(float), err) < 0)
                return -1;
        }
        if (state->watch)
            atomic_store(&state->watch->written, i + 1);
    }
    return 0;
}

/* The hash is of what was handed over: a disk that keeps something else is found out by whoever
 * reads it. */
static int write_state(void *context, const char *folder, const struct sb_ckpt_state *state,
                       struct sb_ckpt_file *file, struct sb_err *err)
{
    (void)context;
    char path[SB_PATH_BYTES];
    *file = (struct sb_ckpt_file){.bytes = 0};
    snprintf(file->name, sizeof(file->name), "%s%" PRIu32 "-of-%" PRIu32 ".safetensors", STATE,
             state->server_index + 1, state->server_count);
    sb_path_join(path, folder, file->name);
    struct sb_st_writer writer = SB_ST_WRITER_INIT;
    struct sb_hasher hasher;
    double began = sb_clock_seconds();
    int rc = -1;
    sb_hasher_init(&hasher);
    if (sb_dir_make(folder, err) < 0 || sb_st_writer_begin(&writer, path, err) < 0)
        goto done;
    writer.hasher = &hasher;
    write_header(&writer, state);
    if (write_parts(&writer, state, err) < 0 || sb_st_writer_commit(&writer, err) < 0)
        goto done;
    file->bytes = writer.file_bytes;
    sb_hasher_text128(&hasher, file->hash);
    file->seconds = sb_clock_seconds() - began;
    rc = 0;
done:
    sb_st_writer_abort(&writer);
    sb_hasher_release(&hasher);
    return rc;
}

static int write_head(void *context, const char *folder, const struct sb_embed_head *head,
                      struct sb_ckpt_file *files, struct sb_err *err)
{
    static const char *const names[SB_CKPT_HEAD_FILES] = {"head.safetensors", "head.json"};
    char path[SB_PATH_BYTES];
    (void)context;
    if (sb_embed_head_write(head, folder, err) < 0)
        return -1;
    for (size_t i = 0; i < SB_CKPT_HEAD_FILES; i++)
        if (describe_file(&files[i], sb_path_join(path, folder, names[i]), names[i], err) < 0)
            return -1;
    return 0;
}

/* ---- the manifest ---- */

static json_t *manifest_to_json(const struct sb_ckpt_manifest *manifest)
{
    char layout[24];
    snprintf(layout, sizeof(layout), "%016" PRIx64, manifest->layout);
    json_t *object = json_object(), *files = json_array();
    json_object_set_new(object, "version", json_integer(FORMAT_VERSION));
    json_object_set_new(object, "step", json_integer((json_int_t)manifest->step));
    json_object_set_new(object, "term", json_integer(manifest->term));
    json_object_set_new(object, "layout", json_string(layout));
    json_object_set_new(object, "job", json_string(manifest->canonical));
    json_object_set(object, "plan", manifest->plan);
    json_object_set(object, "history", manifest->history);
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct sb_ckpt_file *file = &manifest->files[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_string(file->name));
        json_object_set_new(entry, "bytes", json_integer((json_int_t)file->bytes));
        json_object_set_new(entry, "xxh3_128", json_string(file->hash));
        json_array_append_new(files, entry);
    }
    json_object_set_new(object, "files", files);
    return object;
}

/* Of everything else in it.  Numbers are written with all their digits, so what was read prints as
 * it was. */
static void hash_manifest(const json_t *object, char hash[SB_HASH_TEXT_BYTES])
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    sb_assert(text);
    sb_hash_text128(text, strlen(text), hash);
    free(text);
}

static char *text_of_manifest(const json_t *object)
{
    char *text = json_dumps(object, JSON_INDENT(1));
    sb_assert(text);
    return text;
}

static int publish(void *context, const char *folder, const struct sb_ckpt_manifest *manifest,
                   struct sb_err *err)
{
    (void)context;
    char path[SB_PATH_BYTES], hash[SB_HASH_TEXT_BYTES];
    json_t *object = manifest_to_json(manifest);
    hash_manifest(object, hash);
    json_object_set_new(object, "xxh3_128", json_string(hash));
    char *text = text_of_manifest(object);
    sb_path_join(path, folder, MANIFEST);
#ifndef SB_WITHOUT_ATOMIC_MANIFEST /* see tests/README.md, "Broken builds" */
    int rc = sb_file_write_atomic(path, text, strlen(text), err);
#else
    FILE *file = fopen(path, "w");
    int rc = file && fwrite(text, 1, strlen(text), file) == strlen(text) && fclose(file) == 0
                 ? 0
                 : sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", path);
#endif
    free(text);
    json_decref(object);
    return rc;
}

static int parse_file(struct sb_ckpt_file *file, const json_t *entry, struct sb_err *err)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *hash = json_string_value(json_object_get(entry, "xxh3_128"));
    if (!name || !*name || strchr(name, '/') || strlen(name) >= sizeof(file->name) || !hash ||
        strlen(hash) >= sizeof(file->hash))
        return sb_err_set(err, SB_ERR_DATA, "a file without a proper name or hash");
    *file = (struct sb_ckpt_file){
        .bytes = (uint64_t)json_integer_value(json_object_get(entry, "bytes"))};
    snprintf(file->name, sizeof(file->name), "%s", name);
    snprintf(file->hash, sizeof(file->hash), "%s", hash);
    return 0;
}

static int parse_manifest(struct sb_ckpt_manifest *manifest, json_t *object, struct sb_err *err)
{
    char hash[SB_HASH_TEXT_BYTES];
    json_t *given = json_incref(json_object_get(object, "xxh3_128"));
    json_object_del(object, "xxh3_128");
    hash_manifest(object, hash);
    bool intact = json_is_string(given) && !strcmp(json_string_value(given), hash);
    json_decref(given);
    if (!intact)
        return sb_err_set(err, SB_ERR_DATA, "the checksum is wrong");
    json_t *files = json_object_get(object, "files");
    const char *canonical = json_string_value(json_object_get(object, "job"));
    const char *layout = json_string_value(json_object_get(object, "layout"));
    if (json_integer_value(json_object_get(object, "version")) != FORMAT_VERSION || !canonical ||
        !layout || !json_is_object(json_object_get(object, "plan")) ||
        !json_is_object(json_object_get(object, "history")) || !json_is_array(files) ||
        json_integer_value(json_object_get(object, "step")) <= 0)
        return sb_err_set(err, SB_ERR_DATA, "it is of another version, or fields are missing");
    *manifest = (struct sb_ckpt_manifest){
        .step = (uint64_t)json_integer_value(json_object_get(object, "step")),
        .term = (uint32_t)json_integer_value(json_object_get(object, "term")),
        .layout = strtoull(layout, NULL, 16),
        .canonical = sb_strdup(canonical),
        .plan = json_incref(json_object_get(object, "plan")),
        .history = json_incref(json_object_get(object, "history")),
        .files = sb_calloc(json_array_size(files) + 1, sizeof(*manifest->files)),
        .file_count = json_array_size(files),
    };
    for (size_t i = 0; i < manifest->file_count; i++)
        if (parse_file(&manifest->files[i], json_array_get(files, i), err) < 0)
            return -1;
    return 0;
}

/* Release the manifest also after a failure. */
static int read_manifest(struct sb_ckpt_manifest *manifest, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    json_error_t error;
    int rc = sb_file_read(&text, sb_path_join(path, folder, MANIFEST), err);
    if (rc < 0)
        goto done;
    json_t *object =
        json_loadb(text.data ? text.data : "", text.count, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object))
        rc = sb_err_set(err, SB_ERR_DATA, "'%s' is not JSON: line %d: %s", path, error.line,
                        error.text);
    /* Another digit behind the last one that counts, or another blank, leaves the checksum right:
     * what holds is what we would write. */
    char *expected = rc == 0 ? text_of_manifest(object) : NULL;
    if (rc == 0)
        rc = parse_manifest(manifest, object, err);
    if (rc == 0 && (strlen(expected) != text.count || memcmp(expected, text.data, text.count) != 0))
        rc = sb_err_set(err, SB_ERR_DATA, "it is not as it was written");
    if (expected && rc < 0)
        sb_err_context(err, "'%s'", path);
    free(expected);
    json_decref(object);
done:
    sb_bytes_release(&text);
    return rc;
}

static int verify_file(const char *folder, const struct sb_ckpt_file *file, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_ckpt_file found;
    if (describe_file(&found, sb_path_join(path, folder, file->name), file->name, err) < 0)
        return -1;
    if (found.bytes != file->bytes)
        return sb_err_set(err, SB_ERR_DATA, "'%s' has %" PRIu64 " bytes, expected %" PRIu64, path,
                          found.bytes, file->bytes);
    if (strcmp(found.hash, file->hash))
        return sb_err_set(err, SB_ERR_DATA, "'%s': checksum is %s, expected %s", path, found.hash,
                          file->hash);
    return 0;
}

/* ---- reading ---- */

static struct sb_ckpt_part *find_part(const struct sb_ckpt_state *state, uint64_t part)
{
    size_t low = 0, high = state->part_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (state->parts[middle].part < part)
            low = middle + 1;
        else
            high = middle;
    }
    return low < state->part_count && state->parts[low].part == part ? &state->parts[low] : NULL;
}

/* Copies the tensors that are ours and counts them in found [part_count]. */
static int read_tensors(const struct sb_safetensors *file, struct sb_ckpt_state *state,
                        uint8_t *found, struct sb_err *err)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct sb_st_tensor *tensor = &file->tensors[i];
        uint32_t number;
        char letter, rest;
        if (sscanf(tensor->name, "part.%" SCNu32 ".%c%c", &number, &letter, &rest) != 2)
            return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' is unknown", file->path,
                              tensor->name);
        struct sb_ckpt_part *part = find_part(state, number);
        for (size_t kind = 0; part && kind < KINDS; kind++) {
            if (kinds[kind].letter != letter || !floats_of(part, kind))
                continue;
            if (tensor->element_count != part->count || tensor->dtype != SB_F32)
                return sb_err_set(err, SB_ERR_DATA,
                                  "'%s': tensor '%s' has %zu numbers, expected %zu", file->path,
                                  tensor->name, tensor->element_count, part->count);
            if (sb_safetensors_floats(floats_of(part, kind), file, tensor, err) < 0)
                return -1;
            found[part - state->parts] |= (uint8_t)(1u << kind);
        }
    }
    return 0;
}

static int read_counter(uint64_t *counter, const struct sb_safetensors *file, const char *key,
                        bool first, struct sb_err *err)
{
    const char *text = sb_safetensors_meta(file, key);
    char *end = NULL;
    uint64_t value = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end || (!first && value != *counter))
        return sb_err_set(err, SB_ERR_DATA, "'%s': '%s' is missing or differs from the other files",
                          file->path, key);
    *counter = value;
    return 0;
}

static int read_state_file(const char *path, bool first, struct sb_ckpt_state *state,
                           uint8_t *found, struct sb_err *err)
{
    struct sb_safetensors file = SB_SAFETENSORS_INIT;
    int rc = -1;
    if (sb_safetensors_open(&file, path, err) == 0 &&
        read_counter(&state->step, &file, "step", first, err) == 0 &&
        read_counter(&state->applied, &file, "applied", first, err) == 0)
        rc = read_tensors(&file, state, found, err);
    sb_safetensors_close(&file);
    return rc;
}

static int check_complete(const struct sb_ckpt_state *state, const uint8_t *found,
                          const char *folder, struct sb_err *err)
{
    for (size_t i = 0; i < state->part_count; i++)
        for (size_t kind = 0; kind < KINDS; kind++)
            if (floats_of(&state->parts[i], kind) && !(found[i] & (1u << kind))) {
                char name[SB_CKPT_NAME_BYTES];
                name_tensor(name, state->parts[i].part, kind);
                return sb_err_set(err, SB_ERR_DATA, "'%s' lacks tensor '%s'", folder, name);
            }
    return 0;
}

static int read_state(void *context, const char *folder, struct sb_ckpt_state *state,
                      struct sb_err *err)
{
    (void)context;
    char path[SB_PATH_BYTES];
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    uint8_t *found = sb_calloc(state->part_count + 1, sizeof(*found));
    int rc = read_manifest(&manifest, folder, err);
    for (size_t i = 0; rc == 0 && i < manifest.file_count; i++)
        if (!strncmp(manifest.files[i].name, STATE, strlen(STATE))) /* else a head's */
            rc = read_state_file(sb_path_join(path, folder, manifest.files[i].name), i == 0, state,
                                 found, err);
    if (rc == 0)
        rc = check_complete(state, found, folder, err);
    sb_ckpt_manifest_release(&manifest);
    free(found);
    return rc;
}

/* ---- the output folder ---- */

struct steps {
    uint64_t *items; /* newest first */
    size_t count;
};

static int newest_first(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left > right ? -1 : left < right;
}

/* The steps of all folders that are named like checkpoints.  A missing output folder has none. */
static int list(struct steps *steps, const char *output_dir, struct sb_err *err)
{
    *steps = (struct steps){0};
    DIR *dir = opendir(output_dir);
    if (!dir)
        return errno == ENOENT ? 0
                               : sb_err_set_errno(err, SB_ERR_IO, "cannot open '%s'", output_dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *digits = entry->d_name + strlen(PREFIX);
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) || !*digits ||
            strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 18)
            continue;
        steps->items = sb_realloc(steps->items, (steps->count + 1) * sizeof(*steps->items));
        steps->items[steps->count++] = strtoull(digits, NULL, 10);
    }
    closedir(dir);
    if (steps->count)
        qsort(steps->items, steps->count, sizeof(*steps->items), newest_first);
    return 0;
}

int sb_ckpt_verify(struct sb_ckpt_manifest *manifest, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    if (!sb_file_exists(sb_path_join(path, folder, MANIFEST)))
        return sb_err_set(err, SB_ERR_DATA, "'%s' has no manifest: it was not finished", folder);
    if (read_manifest(manifest, folder, err) < 0)
        return -1;
#ifndef SB_WITHOUT_ATOMIC_MANIFEST
    for (size_t i = 0; i < manifest->file_count; i++)
        if (verify_file(folder, &manifest->files[i], err) < 0)
            return -1;
#endif
    return 0;
}

static int verify_step(const char *folder, uint64_t step, struct sb_ckpt_manifest *manifest,
                       struct sb_err *err)
{
    if (sb_ckpt_verify(manifest, folder, err) < 0)
        return -1;
    if (manifest->step != step)
        return sb_err_set(err, SB_ERR_DATA, "'%s' holds step %" PRIu64, folder, manifest->step);
    return 0;
}

int sb_ckpt_newest(const char *output_dir, char *folder, struct sb_ckpt_manifest *manifest,
                   sb_ckpt_passed_over *passed_over, void *context, struct sb_err *err)
{
    struct steps steps;
    if (list(&steps, output_dir, err) < 0)
        return -1;
    int found = 0;
    for (size_t i = 0; i < steps.count && !found; i++) {
        struct sb_err why = SB_ERR_INIT;
        sb_ckpt_folder(folder, output_dir, steps.items[i]);
        found = verify_step(folder, steps.items[i], manifest, &why) == 0;
        if (found)
            break;
        sb_ckpt_manifest_release(manifest);
        if (passed_over)
            passed_over(context, folder, steps.items[i], why.text);
    }
    free(steps.items);
    return found;
}

struct damaged {
    sb_ckpt_damaged *say;
    void *context;
};

static void say_damaged(void *context, const char *folder, uint64_t step, const char *sentence)
{
    const struct damaged *damaged = context;
    (void)folder;
    (void)step;
    if (damaged->say)
        damaged->say(damaged->context, sentence);
}

static int newest(void *context, const char *output_dir, char *folder,
                  struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                  void *damaged_context, struct sb_err *err)
{
    (void)context;
    struct damaged to = {damaged, damaged_context};
    return sb_ckpt_newest(output_dir, folder, manifest, say_damaged, &to, err);
}

static int remove_folder(const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    remove(sb_path_join(path, folder,
                        MANIFEST)); /* first: a half-removed checkpoint must not seem to exist */
    return sb_dir_remove(folder, err);
}

/* The same step may have been saved under an earlier term, by somebody who was too late to be
 * heard.
 */
static int discard(void *context, const char *folder, struct sb_err *err)
{
    (void)context;
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    bool complete = sb_ckpt_verify(&manifest, folder, NULL) == 0;
    sb_ckpt_manifest_release(&manifest);
    return complete ? 0 : remove_folder(folder, err);
}

/* ---- the term ---- */

static int read_term(void *context, const char *output_dir, uint32_t *term, struct sb_err *err)
{
    (void)context;
    char path[SB_PATH_BYTES], digits[16], *end;
    struct sb_bytes text = SB_BYTES_INIT;
    *term = 0;
    if (!sb_file_exists(sb_path_join(path, output_dir, TERM)))
        return 0;
    int rc = sb_file_read(&text, path, err);
    if (rc == 0) {
        snprintf(digits, sizeof(digits), "%.*s", (int)text.count, text.count ? text.data : "");
        unsigned long value = strtoul(digits, &end, 10);
        if (end == digits || strcmp(end, "\n") != 0 || value >= UINT32_MAX)
            rc = sb_err_set(err, SB_ERR_DATA, "'%s' holds no number of a term", path);
        else
            *term = (uint32_t)value;
    }
    sb_bytes_release(&text);
    return rc;
}

static int keep_term(void *context, const char *output_dir, uint32_t term, struct sb_err *err)
{
    (void)context;
    char path[SB_PATH_BYTES], text[16];
    snprintf(text, sizeof(text), "%" PRIu32 "\n", term);
    return sb_file_write_atomic(sb_path_join(path, output_dir, TERM), text, strlen(text), err);
}

/* Nothing is in it but what our saves write: other folders may have such a name too. */
static bool is_left_over(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t ours = 0, others = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, ".."))
            continue;
        if (!strncmp(name, STATE, strlen(STATE)) || !strncmp(name, MANIFEST, strlen(MANIFEST)))
            ours++;
        else if (strncmp(name, "head.", 5) != 0)
            others++;
    }
    if (dir)
        closedir(dir);
    return ours > 0 && others == 0;
}

static int prune(void *context, const char *output_dir, uint64_t step, uint32_t keep, uint64_t also,
                 struct sb_err *err)
{
    (void)context;
    struct steps steps;
    if (list(&steps, output_dir, err) < 0)
        return -1;
    int rc = 0;
    uint32_t kept = 0;
    for (size_t i = 0; i < steps.count && rc == 0; i++) {
        char folder[SB_PATH_BYTES], path[SB_PATH_BYTES];
        sb_ckpt_folder(folder, output_dir, steps.items[i]);
        if (sb_file_exists(sb_path_join(path, folder, MANIFEST))) {
            if (steps.items[i] <= step && steps.items[i] != also && kept++ >= keep)
                rc = remove_folder(folder, err);
        } else if (is_left_over(folder)) {
            sb_dir_remove(folder, NULL); /* next time, if somebody still writes there */
        }
    }
    free(steps.items);
    return rc;
}

/* ---- the account ---- */

static int keep_account(void *context, const char *output_dir, const struct sb_account *account)
{
    (void)context;
    return sb_account_keep(account, output_dir);
}

static bool read_account(void *context, const char *output_dir, struct sb_account *account)
{
    (void)context;
    return sb_account_read(account, output_dir);
}

/* ---- beside the training ---- */

static int start(void *context, struct sb_errand *errand, struct sb_err *err)
{
    (void)context;
    return sb_errand_start(errand, err);
}

static double seconds(void *context)
{
    (void)context;
    return sb_clock_seconds();
}

const struct sb_disk sb_disk_files = {
    .write = write_state,
    .read = read_state,
    .write_head = write_head,
    .publish = publish,
    .newest = newest,
    .discard = discard,
    .read_term = read_term,
    .keep_term = keep_term,
    .keep_account = keep_account,
    .read_account = read_account,
    .prune = prune,
    .start = start,
    .seconds = seconds,
};
