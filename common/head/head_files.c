/* head.json and head.safetensors: a fitted head as data that anyone can read. */
#include "embed_head.h"

#include "arena.h"
#include "hash.h"
#include "safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZE_MAX_READ = 1048576
}; /* labels, and elements of an embedding: far beyond any real one */

static const char *const kind_names[] = {
    [SB_EMBED_HEAD_LOGISTIC] = "logistic_regression",
    [SB_EMBED_HEAD_ONE_VS_REST] = "one_vs_rest",
    [SB_EMBED_HEAD_CENTROID] = "centroid",
    [SB_EMBED_HEAD_LINEAR] = "linear",
};
enum { KINDS = sizeof(kind_names) / sizeof(kind_names[0]) };

/* Joins the two files: a head.json beside the numbers of another fit is noticed. */
static void hash_numbers(char text[SB_HASH_TEXT_BYTES], const struct sb_embed_head *head)
{
    struct sb_hasher hasher;
    sb_hasher_init(&hasher);
    sb_hasher_add(&hasher, head->coef,
                  head->row_count * head->embedding_size * sizeof(*head->coef));
    sb_hasher_add(&hasher, head->intercept, head->row_count * sizeof(*head->intercept));
    sb_hasher_text128(&hasher, text);
    sb_hasher_release(&hasher);
}

/* ---- writing ---- */

static int write_numbers(const struct sb_embed_head *head, const char *path, struct sb_err *err)
{
    struct sb_st_writer writer = SB_ST_WRITER_INIT;
    const size_t dims[2] = {head->row_count, head->embedding_size};
    int rc = -1;
    if (sb_st_writer_begin(&writer, path, err) < 0)
        goto done;
    sb_st_writer_meta(&writer, "format", "pt");
    sb_st_writer_describe(&writer, "coef", SB_F64, dims, 2);
    sb_st_writer_describe(&writer, "intercept", SB_F64, dims, 1);
    if (sb_st_writer_data(&writer, head->coef, dims[0] * dims[1] * sizeof(*head->coef), err) < 0 ||
        sb_st_writer_data(&writer, head->intercept, dims[0] * sizeof(*head->intercept), err) < 0)
        goto done;
    rc = sb_st_writer_commit(&writer, err);
done:
    sb_st_writer_abort(&writer);
    return rc;
}

static json_t *head_as_json(const struct sb_embed_head *head)
{
    char hash[SB_HASH_TEXT_BYTES];
    json_t *root = json_object(), *labels = json_array(), *classes = json_array();
    for (size_t l = 0; l < head->label_count; l++)
        json_array_append_new(labels, json_string(head->labels[l]));
    for (size_t k = 0; k < head->class_count; k++)
        json_array_append_new(classes, json_string(head->labels[head->classes[k]]));
    hash_numbers(hash, head);
    json_object_set_new(root, "kind", json_string(kind_names[head->kind]));
    json_object_set_new(root, "labels", labels);
    json_object_set_new(root, "classes", classes);
    json_object_set_new(root, "embedding_size", json_integer((json_int_t)head->embedding_size));
    json_object_set_new(root, "normalize_embeddings", json_boolean(head->normalize));
    json_object_set_new(root, "C", head->C > 0 ? json_real(head->C) : json_null());
    json_object_set_new(root, "coef_hash", json_string(hash));
    return root;
}

static int write_json(const struct sb_embed_head *head, const char *path, struct sb_err *err)
{
    json_t *root = head_as_json(head);
    int rc = -1;
    if (json_array_size(json_object_get(root, "labels")) < head->label_count) {
        sb_err_set(err, SB_ERR_DATA, "'%s': a label is not valid UTF-8", path);
    } else {
        char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        sb_assert(text);
        struct sb_bytes bytes = SB_BYTES_INIT;
        sb_bytes_printf(&bytes, "%s\n", text);
        rc = sb_file_write_atomic(path, bytes.data, bytes.count, err);
        sb_bytes_release(&bytes);
        free(text);
    }
    json_decref(root);
    return rc;
}

int sb_embed_head_write(const struct sb_embed_head *head, const char *folder, struct sb_err *err)
{
    char numbers[SB_PATH_BYTES], json[SB_PATH_BYTES];
    sb_path_join(numbers, folder, "head.safetensors");
    sb_path_join(json, folder, "head.json");
    if (write_numbers(head, numbers, err) < 0)
        return -1;
    return write_json(head, json, err);
}

static json_t *numbers_as_json(const double *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_real(numbers[i]));
    return list;
}

json_t *sb_embed_head_pack(const struct sb_embed_head *head)
{
    json_t *root = head_as_json(head);
    json_object_set_new(root, "coef",
                        numbers_as_json(head->coef, head->row_count * head->embedding_size));
    json_object_set_new(root, "intercept", numbers_as_json(head->intercept, head->row_count));
    return root;
}

/* ---- reading ---- */

struct reading {
    const char *path;
    const json_t *root;
    struct sb_err *err;
};

static int refuse(const struct reading *file, const char *key, const char *expected)
{
    return sb_err_set(file->err, SB_ERR_DATA, "'%s': '%s' must be %s", file->path, key, expected);
}

static int read_kind(struct sb_embed_head *head, const struct reading *file)
{
    const char *name = json_string_value(json_object_get(file->root, "kind"));
    for (size_t i = 0; name && i < KINDS; i++) {
        if (!strcmp(kind_names[i], name)) {
            head->kind = (enum sb_embed_head_kind)i;
            return 0;
        }
    }
    return refuse(file, "kind", "logistic_regression, one_vs_rest, linear or centroid");
}

/* A list of different names; numbers receives the place of each. */
static int read_names(json_t *numbers, const struct reading *file, const char *key)
{
    const json_t *list = json_object_get(file->root, key);
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > SIZE_MAX_READ)
        return refuse(file, key, "a list of names");
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return refuse(file, key, "a list of names");
        if (json_object_get(numbers, name))
            return sb_err_set(file->err, SB_ERR_DATA, "'%s': '%s' has '%.80s' twice", file->path,
                              key, name);
        json_object_set_new(numbers, name, json_integer((json_int_t)i));
    }
    return 0;
}

/* head->labels, and head->classes as numbers among them, rising. */
static int take_classes(struct sb_embed_head *head, const struct reading *file,
                        const json_t *label_numbers)
{
    const json_t *labels = json_object_get(file->root, "labels");
    const json_t *classes = json_object_get(file->root, "classes");
    size_t label_count = json_array_size(labels), class_count = json_array_size(classes);
    head->labels = sb_calloc(label_count, sizeof(*head->labels));
    head->label_count = label_count;
    for (size_t l = 0; l < label_count; l++)
        head->labels[l] = sb_strdup(json_string_value(json_array_get(labels, l)));
    head->classes = sb_calloc(class_count, sizeof(*head->classes));
    for (size_t k = 0; k < class_count; k++) {
        const char *name = json_string_value(json_array_get(classes, k));
        const json_t *number = json_object_get(label_numbers, name);
        if (!number)
            return sb_err_set(file->err, SB_ERR_DATA, "'%s': class '%.80s' is not among the labels",
                              file->path, name);
        head->classes[k] = (uint32_t)json_integer_value(number);
        if (k > 0 && head->classes[k] <= head->classes[k - 1])
            return refuse(file, "classes", "in the order of the labels");
    }
    head->class_count = class_count;
    if (head->kind == SB_EMBED_HEAD_ONE_VS_REST && class_count != label_count)
        return refuse(file, "classes", "all labels, for one_vs_rest");
    if (head->kind == SB_EMBED_HEAD_LOGISTIC && class_count < 2)
        return refuse(file, "classes", "two or more, for logistic_regression");
    return 0;
}

static int read_fields(struct sb_embed_head *head, const struct reading *file)
{
    json_t *label_numbers = json_object(), *class_numbers = json_object();
    int rc = -1;
    if (read_kind(head, file) < 0 || read_names(label_numbers, file, "labels") < 0 ||
        read_names(class_numbers, file, "classes") < 0 ||
        take_classes(head, file, label_numbers) < 0)
        goto done;

    const json_t *size = json_object_get(file->root, "embedding_size");
    if (!json_is_integer(size) || json_integer_value(size) < 1 ||
        json_integer_value(size) > SIZE_MAX_READ) {
        refuse(file, "embedding_size", "a whole number of 1 or more");
        goto done;
    }
    head->embedding_size = (size_t)json_integer_value(size);
    const json_t *normalize = json_object_get(file->root, "normalize_embeddings");
    if (!json_is_boolean(normalize)) {
        refuse(file, "normalize_embeddings", "true or false");
        goto done;
    }
    head->normalize = json_is_true(normalize);
    const json_t *C = json_object_get(file->root, "C");
    if (C && !json_is_null(C) && !json_is_number(C)) {
        refuse(file, "C", "a number");
        goto done;
    }
    head->C = json_number_value(C);
    head->row_count = sb_embed_head_rows(head->kind, head->class_count);
    rc = 0;
done:
    json_decref(label_numbers);
    json_decref(class_numbers);
    return rc;
}

/* The numbers of a tensor, which must have exactly these dims; NULL after an error. */
static double *read_tensor(const struct sb_safetensors *file, const char *name, const size_t *dims,
                           size_t dim_count, struct sb_err *err)
{
    const struct sb_st_tensor *tensor = sb_safetensors_find(file, name);
    if (!tensor || tensor->dtype != SB_F64) {
        sb_err_set(err, SB_ERR_DATA, "'%s': there is no F64 tensor '%s'", file->path, name);
        return NULL;
    }
    bool fits = tensor->dim_count == dim_count;
    for (size_t i = 0; fits && i < dim_count; i++)
        fits = tensor->dims[i] == dims[i];
    if (!fits) {
        sb_err_set(
            err, SB_ERR_DATA,
            "'%s': tensor '%s' is not of the shape that head.json asks for (%zu row%s of %zu)",
            file->path, name, dims[0], dims[0] == 1 ? "" : "s",
            dim_count > 1 ? dims[1] : (size_t)1);
        return NULL;
    }
    double *values = sb_alloc(tensor->element_count * sizeof(*values));
    memcpy(values, file->data + tensor->begin, tensor->element_count * sizeof(*values));
    for (size_t i = 0; i < tensor->element_count; i++) {
        if (!isfinite(values[i])) {
            sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' element %zu is not finite", file->path,
                       name, i);
            free(values);
            return NULL;
        }
    }
    return values;
}

static int read_numbers(struct sb_embed_head *head, const char *path, struct sb_err *err)
{
    struct sb_safetensors file = SB_SAFETENSORS_INIT;
    const size_t dims[2] = {head->row_count, head->embedding_size};
    int rc = -1;
    if (sb_safetensors_open(&file, path, err) < 0)
        goto done;
    head->coef = read_tensor(&file, "coef", dims, 2, err);
    head->intercept = head->coef ? read_tensor(&file, "intercept", dims, 1, err) : NULL;
    rc = head->intercept ? 0 : -1;
done:
    sb_safetensors_close(&file);
    return rc;
}

static int check_hash(const struct sb_embed_head *head, const struct reading *file)
{
    const json_t *named = json_object_get(file->root, "coef_hash");
    char hash[SB_HASH_TEXT_BYTES];
    if (!named)
        return 0;
    hash_numbers(hash, head);
    if (!json_is_string(named) || strcmp(json_string_value(named), hash) != 0)
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': head.safetensors beside it is of another fit", file->path);
    return 0;
}

int sb_embed_head_read(struct sb_embed_head *head, const char *folder, struct sb_err *err)
{
    char json[SB_PATH_BYTES], numbers[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    json_error_t where;
    json_t *root = NULL;
    int rc = -1;
    *head = (struct sb_embed_head)SB_EMBED_HEAD_INIT;
    sb_path_join(json, folder, "head.json");
    sb_path_join(numbers, folder, "head.safetensors");
    if (sb_file_read(&text, json, err) < 0)
        goto done;
    root = json_loadb(text.data ? text.data : "", text.count, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        sb_err_set(err, SB_ERR_DATA, "'%s': line %d: %s", json, where.line, where.text);
        goto done;
    }
    const struct reading file = {.path = json, .root = root, .err = err};
    if (!json_is_object(root))
        sb_err_set(err, SB_ERR_DATA, "'%s': is not a JSON object", json);
    else if (read_fields(head, &file) == 0 && read_numbers(head, numbers, err) == 0)
        rc = check_hash(head, &file);
done:
    json_decref(root);
    sb_bytes_release(&text);
    if (rc < 0)
        sb_embed_head_release(head);
    return rc;
}

/* NULL after an error. */
static double *take_numbers(const struct reading *file, const char *key, size_t count)
{
    const json_t *list = json_object_get(file->root, key);
    if (!json_is_array(list) || json_array_size(list) != count) {
        refuse(file, key, "a list of as many numbers as the head has");
        return NULL;
    }
    double *numbers = sb_alloc((count + 1) * sizeof(*numbers));
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(list, i);
        numbers[i] = json_is_number(number) ? json_number_value(number) : NAN;
        if (!isfinite(numbers[i])) {
            refuse(file, key, "a list of numbers");
            free(numbers);
            return NULL;
        }
    }
    return numbers;
}

int sb_embed_head_unpack(struct sb_embed_head *head, const json_t *object, const char *name,
                         struct sb_err *err)
{
    const struct reading file = {.path = name, .root = object, .err = err};
    *head = (struct sb_embed_head)SB_EMBED_HEAD_INIT;
    int rc = read_fields(head, &file);
    if (rc == 0) {
        head->coef = take_numbers(&file, "coef", head->row_count * head->embedding_size);
        head->intercept = head->coef ? take_numbers(&file, "intercept", head->row_count) : NULL;
        rc = head->intercept ? check_hash(head, &file) : -1;
    }
    if (rc < 0)
        sb_embed_head_release(head);
    return rc;
}
