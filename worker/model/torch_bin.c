#include "torch_bin.h"

#include "arena.h"
#include "torch_pickle.h"
#include "torch_zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 1024, LEGACY_MAGIC_BYTES = 15, LEGACY_VERSION = 1001 };

/* Protocol 2, the number 0x1950a86a20f9469cfc6c, end: the first pickle of the older form. */
static const uint8_t legacy_magic[LEGACY_MAGIC_BYTES] = {
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

/* A storage of the older form: where its numbers lie. */
struct place {
    const struct sb_pickle_value *key;
    uint64_t begin, bytes;
};

struct torch_file {
    struct sb_safetensors *out;
    struct sb_arena arena;
    struct sb_zip zip; /* of the newer form */
    char root[NAME_MAX_BYTES];
    struct place *places; /* of the older form, sorted by key */
    size_t place_count;
    struct sb_err *err;
};

static int refuse(const struct torch_file *file, const char *why)
{
    return sb_err_set(file->err, SB_ERR_DATA, "'%s': %s", file->out->path, why);
}

static int compare_texts(const struct sb_pickle_value *a, const struct sb_pickle_value *b)
{
    int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* ---- where the numbers of a storage lie ---- */

static int place_in_zip(struct place *place, struct torch_file *file,
                        const struct sb_pickle_value *storage)
{
    char name[2 * NAME_MAX_BYTES];
    const struct sb_zip_entry *entry;
    const struct sb_pickle_value *key = storage->storage.key;
    if (key->bytes >= NAME_MAX_BYTES || memchr(key->text, 0, key->bytes))
        return refuse(file, "a storage has no proper name");
    snprintf(name, sizeof(name), "%s/data/%.*s", file->root, (int)key->bytes, key->text);
    if (sb_zip_find(&entry, &file->zip, name, file->err) < 0)
        return -1;
    *place = (struct place){.key = key, .begin = entry->begin, .bytes = entry->bytes};
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    return compare_texts(left->key, right->key);
}

static int place_in_row(struct place *place, const struct torch_file *file,
                        const struct sb_pickle_value *storage)
{
    struct place key = {.key = storage->storage.key};
    const struct place *found =
        bsearch(&key, file->places, file->place_count, sizeof(*file->places), by_key);
    if (!found)
        return refuse(file, "a tensor's numbers are missing");
    *place = *found;
    return 0;
}

/* ---- tensors ---- */

static int add_tensor(struct torch_file *file, const struct sb_pickle_value *key,
                      const struct sb_pickle_value *value)
{
    struct sb_st_tensor *tensor = &file->out->tensors[file->out->count];
    const struct sb_pickle_value *storage = value->tensor.storage;
    const size_t size = sb_dtype_bytes(storage->storage.dtype);
    struct place place;
    uint64_t bytes;
    if ((file->places ? place_in_row(&place, file, storage) : place_in_zip(&place, file, storage)) <
        0)
        return -1;
    if (__builtin_mul_overflow(storage->storage.element_count, size, &bytes) || bytes > place.bytes)
        return refuse(file, "a storage is shorter than its tensors");
    tensor->dtype = storage->storage.dtype;
    tensor->dim_count = value->tensor.dim_count;
    tensor->element_count = 1;
    for (size_t i = 0; i < tensor->dim_count; i++) {
        tensor->dims[i] = value->tensor.dims[i];
        tensor->element_count *= tensor->dims[i];
    }
    tensor->begin = place.begin + value->tensor.first * size;
    tensor->end = tensor->begin + tensor->element_count * size;
    tensor->name = sb_alloc(key->bytes + 1);
    memcpy(tensor->name, key->text, key->bytes);
    tensor->name[key->bytes] = 0;
    file->out->count++;
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct sb_st_tensor *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int by_tensor_name(const void *a, const void *b)
{
    const struct sb_st_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* The dictionary of a model: every key a name, every value a tensor. */
static int add_tensors(struct torch_file *file, const struct sb_pickle_value *dictionary)
{
    size_t count = 0;
    if (dictionary->kind != SB_PICKLE_DICT)
        return refuse(file, "holds something else than a dictionary of tensors");
    for (struct sb_pickle_item *item = dictionary->list.first; item; item = item->next)
        count++;
    file->out->tensors = sb_calloc(count ? count : 1, sizeof(*file->out->tensors));
    for (struct sb_pickle_item *item = dictionary->list.first; item; item = item->next) {
        const struct sb_pickle_value *key = item->key;
        if (key->kind != SB_PICKLE_TEXT || key->bytes >= NAME_MAX_BYTES ||
            memchr(key->text, 0, key->bytes))
            return refuse(file, "a tensor has no proper name");
        if (item->value->kind != SB_PICKLE_TENSOR)
            return sb_err_set(file->err, SB_ERR_DATA, "'%s': '%.*s' is not a tensor",
                              file->out->path, (int)key->bytes, key->text);
        if (add_tensor(file, key, item->value) < 0)
            return sb_err_context(file->err, "tensor '%.*s'", (int)key->bytes, key->text);
    }
    struct sb_st_tensor *tensors = file->out->tensors;
    qsort(tensors, count, sizeof(*tensors), by_tensor_name);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(tensors[i - 1].name, tensors[i].name))
            return sb_err_set(file->err, SB_ERR_DATA, "'%s': tensor '%s' is there twice",
                              file->out->path, tensors[i].name);
    qsort(tensors, count, sizeof(*tensors), by_begin);
    return 0;
}

/* ---- the newer form: an archive with ROOT/data.pkl and ROOT/data/KEY ---- */

/* The folder in which data.pkl lies: it is named after the file that was once saved. */
static int find_root(struct torch_file *file)
{
    static const char pickle[] = "/data.pkl";
    for (size_t i = 0; i < file->zip.count; i++) {
        const struct sb_zip_entry *entry = &file->zip.entries[i];
        size_t root_bytes = entry->name_bytes - strlen(pickle);
        if (entry->name_bytes <= strlen(pickle) || root_bytes >= sizeof(file->root) ||
            memcmp(entry->name + root_bytes, pickle, strlen(pickle)) ||
            memchr(entry->name, 0, root_bytes))
            continue;
        memcpy(file->root, entry->name, root_bytes);
        file->root[root_bytes] = 0;
        return 0;
    }
    return refuse(file, "a zip archive without data.pkl: torch.save did not make it");
}

/* Written since 2023; before that all files were little-endian. */
static int check_byte_order(struct torch_file *file)
{
    char name[2 * NAME_MAX_BYTES];
    const struct sb_zip_entry *entry;
    struct sb_err unused;
    snprintf(name, sizeof(name), "%s/byteorder", file->root);
    if (sb_zip_find(&entry, &file->zip, name, &unused) < 0)
        return 0;
    if (entry->bytes != 6 || memcmp(file->zip.data + entry->begin, "little", 6))
        return refuse(file, "its numbers are not little-endian");
    return 0;
}

static int read_archive(struct torch_file *file)
{
    char name[2 * NAME_MAX_BYTES];
    const struct sb_map *map = &file->out->map;
    const struct sb_zip_entry *entry;
    size_t used;
    if (sb_zip_open(&file->zip, file->out->path, map->data, map->bytes, file->err) < 0 ||
        find_root(file) < 0 || check_byte_order(file) < 0)
        return -1;
    snprintf(name, sizeof(name), "%s/data.pkl", file->root);
    if (sb_zip_find(&entry, &file->zip, name, file->err) < 0)
        return -1;
    const struct sb_pickle_value *value = sb_pickle_run(
        &file->arena, file->out->path, map->data + entry->begin, entry->bytes, &used, file->err);
    return value ? add_tensors(file, value) : -1;
}

/*
 * ---- the older form: pickles of a magic number, a version, facts on the machine, the dictionary
 * and the list of storages, one behind the other; then for each storage its length and its numbers
 * ----
 */

static const struct sb_pickle_value *next_pickle(struct torch_file *file, size_t *at)
{
    size_t used;
    const struct sb_map *map = &file->out->map;
    const struct sb_pickle_value *value = sb_pickle_run(
        &file->arena, file->out->path, map->data + *at, map->bytes - *at, &used, file->err);
    *at += used;
    return value;
}

static int check_machine(const struct torch_file *file, const struct sb_pickle_value *facts)
{
    if (facts->kind != SB_PICKLE_DICT)
        return refuse(file, "does not say on what machine it was made");
    for (struct sb_pickle_item *item = facts->list.first; item; item = item->next)
        if (sb_pickle_text_is(item->key, "little_endian") &&
            (item->value->kind != SB_PICKLE_BOOL || !item->value->number))
            return refuse(file, "its numbers are not little-endian");
    return 0;
}

/* The type and length of each storage stand where a tensor uses it. */
struct storage_use {
    const struct sb_pickle_value *key;
    uint64_t element_count;
    size_t element_bytes;
};

static int by_use_key(const void *a, const void *b)
{
    const struct storage_use *left = a, *right = b;
    return compare_texts(left->key, right->key);
}

static size_t collect_uses(struct storage_use *uses, const struct sb_pickle_value *dictionary)
{
    size_t count = 0;
    for (struct sb_pickle_item *item = dictionary->list.first; item; item = item->next) {
        if (item->value->kind != SB_PICKLE_TENSOR)
            continue;
        const struct sb_pickle_value *storage = item->value->tensor.storage;
        if (uses)
            uses[count] = (struct storage_use){
                .key = storage->storage.key,
                .element_count = storage->storage.element_count,
                .element_bytes = sb_dtype_bytes(storage->storage.dtype),
            };
        count++;
    }
    return count;
}

static int place_storages(struct torch_file *file, const struct sb_pickle_value *keys,
                          const struct storage_use *uses, size_t use_count, size_t at)
{
    const struct sb_map *map = &file->out->map;
    for (struct sb_pickle_item *item = keys->list.first; item; item = item->next) {
        struct storage_use key = {.key = item->value};
        if (item->value->kind != SB_PICKLE_TEXT)
            return refuse(file, "a storage has no proper name");
        const struct storage_use *use = bsearch(&key, uses, use_count, sizeof(*uses), by_use_key);
        if (!use)
            return refuse(file, "a storage is used by no tensor");
        uint64_t element_count, bytes;
        if (map->bytes - at < sizeof(element_count))
            return refuse(file, "ends before its last tensor: is it cut?");
        memcpy(&element_count, map->data + at, sizeof(element_count));
        at += sizeof(element_count);
        if (element_count != use->element_count)
            return refuse(file, "a storage has another length than its tensors say");
        if (__builtin_mul_overflow(element_count, use->element_bytes, &bytes) ||
            bytes > map->bytes - at)
            return refuse(file, "ends before its last tensor: is it cut?");
        file->places[file->place_count++] =
            (struct place){.key = item->value, .begin = at, .bytes = bytes};
        at += bytes;
    }
    qsort(file->places, file->place_count, sizeof(*file->places), by_key);
    return 0;
}

static int read_row(struct torch_file *file)
{
    size_t at = LEGACY_MAGIC_BYTES, key_count = 0;
    const struct sb_pickle_value *version = next_pickle(file, &at);
    if (!version)
        return -1;
    if (version->kind != SB_PICKLE_INT || version->number != LEGACY_VERSION)
        return refuse(file, "a version of torch.save's format that is not known");
    const struct sb_pickle_value *facts = next_pickle(file, &at);
    if (!facts || check_machine(file, facts) < 0)
        return -1;
    const struct sb_pickle_value *dictionary = next_pickle(file, &at);
    const struct sb_pickle_value *keys = dictionary ? next_pickle(file, &at) : NULL;
    if (!keys)
        return -1;
    if (dictionary->kind != SB_PICKLE_DICT || keys->kind != SB_PICKLE_LIST)
        return refuse(file, "holds something else than a dictionary of tensors");
    for (struct sb_pickle_item *item = keys->list.first; item; item = item->next)
        key_count++;
    size_t use_count = collect_uses(NULL, dictionary);
    struct storage_use *uses = sb_calloc(use_count + 1, sizeof(*uses));
    collect_uses(uses, dictionary);
    qsort(uses, use_count, sizeof(*uses), by_use_key);
    file->places = sb_calloc(key_count + 1, sizeof(*file->places));
    int rc = place_storages(file, keys, uses, use_count, at);
    free(uses);
    return rc < 0 ? -1 : add_tensors(file, dictionary);
}

int sb_torch_open(struct sb_safetensors *out, const char *path, struct sb_err *err)
{
    struct torch_file file = {.out = out, .err = err};
    int rc = -1;
    *out = (struct sb_safetensors)SB_SAFETENSORS_INIT;
    sb_arena_init(&file.arena, 1 << 16);
    if (sb_file_map(&out->map, path, err) < 0)
        goto done;
    out->path = sb_strdup(path);
    out->data = out->map.data;
    if (sb_zip_is(out->map.data, out->map.bytes))
        rc = read_archive(&file);
    else if (out->map.bytes > LEGACY_MAGIC_BYTES &&
             !memcmp(out->map.data, legacy_magic, LEGACY_MAGIC_BYTES))
        rc = read_row(&file);
    else
        rc = refuse(&file, "is not a file that torch.save makes");
done:
    sb_zip_release(&file.zip);
    free(file.places);
    sb_arena_release(&file.arena);
    if (rc < 0)
        sb_safetensors_close(out);
    return rc;
}
