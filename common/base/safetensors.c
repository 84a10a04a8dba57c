#include "safetensors.h"

#include "arena.h"
#include "beat.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are mapped as little-endian");

/* The same bound as the format's own library: more than any real file, less than would hurt. */
enum { HEADER_BYTES_MAX = 100000000, SIZE_BYTES = 8 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [SB_F32] = {"F32", 4}, [SB_F16] = {"F16", 2},   [SB_BF16] = {"BF16", 2}, [SB_F64] = {"F64", 8},
    [SB_I64] = {"I64", 8}, [SB_I32] = {"I32", 4},   [SB_I16] = {"I16", 2},   [SB_I8] = {"I8", 1},
    [SB_U8] = {"U8", 1},   [SB_BOOL] = {"BOOL", 1}, [SB_U16] = {"U16", 2},   [SB_U32] = {"U32", 4},
    [SB_U64] = {"U64", 8},
};
enum { DTYPE_COUNT = sizeof(dtypes) / sizeof(dtypes[0]) };

const char *sb_dtype_name(enum sb_dtype dtype)
{
    sb_assert((size_t)dtype < DTYPE_COUNT);
    return dtypes[dtype].name;
}

size_t sb_dtype_bytes(enum sb_dtype dtype)
{
    sb_assert((size_t)dtype < DTYPE_COUNT);
    return dtypes[dtype].bytes;
}

/* ---- reading ---- */

/* A whole number that fits a size_t, and no other kind of JSON value. */
static bool read_size(size_t *out, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static int read_dtype(enum sb_dtype *out, const json_t *value)
{
    if (!json_is_string(value))
        return -1;
    for (size_t i = 0; i < DTYPE_COUNT; i++) {
        if (!strcmp(dtypes[i].name, json_string_value(value))) {
            *out = (enum sb_dtype)i;
            return 0;
        }
    }
    return -1;
}

/* Fills one tensor from its entry; its name is set by the caller. */
static int read_entry(struct sb_st_tensor *tensor, const char *path, const json_t *entry,
                      size_t data_bytes, struct sb_err *err)
{
    if (!json_is_object(entry))
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' is not described by an object", path,
                          tensor->name);
    if (read_dtype(&tensor->dtype, json_object_get(entry, "dtype")) < 0)
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' has no dtype that is known", path,
                          tensor->name);

    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SB_MAX_DIMS)
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' has no shape of at most %d numbers",
                          path, tensor->name, SB_MAX_DIMS);
    tensor->dim_count = json_array_size(shape);
    size_t elements = 1, bytes;
    bool fits = true;
    for (size_t i = 0; i < tensor->dim_count; i++) {
        if (!read_size(&tensor->dims[i], json_array_get(shape, i)))
            return sb_err_set(err, SB_ERR_DATA,
                              "'%s': tensor '%s' has a shape that is not made of sizes", path,
                              tensor->name);
        fits = fits && !__builtin_mul_overflow(elements, tensor->dims[i], &elements);
    }
    fits = fits && !__builtin_mul_overflow(elements, sb_dtype_bytes(tensor->dtype), &bytes);
    if (!fits)
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' has a shape beyond all memory", path,
                          tensor->name);
    tensor->element_count = elements;

    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_size(&tensor->begin, json_array_get(offsets, 0)) ||
        !read_size(&tensor->end, json_array_get(offsets, 1)) || tensor->begin > tensor->end)
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' has no valid data_offsets", path,
                          tensor->name);
    if (tensor->end > data_bytes)
        return sb_err_set(err, SB_ERR_DATA,
                          "'%s': tensor '%s' ends at byte %zu of %zu: the file is cut short", path,
                          tensor->name, tensor->end, data_bytes);
    if (tensor->end - tensor->begin != bytes)
        return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' has %zu bytes, its shape needs %zu",
                          path, tensor->name, tensor->end - tensor->begin, bytes);
    return 0;
}

static int read_metadata(struct sb_safetensors *file, json_t *metadata, struct sb_err *err)
{
    if (!json_is_object(metadata))
        return sb_err_set(err, SB_ERR_DATA, "'%s': __metadata__ is not an object", file->path);
    size_t room = json_object_size(metadata);
    file->meta_keys = sb_calloc(room, sizeof(*file->meta_keys));
    file->meta_values = sb_calloc(room, sizeof(*file->meta_values));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return sb_err_set(err, SB_ERR_DATA, "'%s': __metadata__ '%s' is not a string",
                              file->path, key);
        file->meta_keys[file->meta_count] = sb_strdup(key);
        file->meta_values[file->meta_count] = sb_strdup(json_string_value(value));
        file->meta_count++;
    }
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct sb_st_tensor *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end)
        return left->end < right->end ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* The tensors must tile the data: a hole could hide bytes, an overlap would give two owners. */
static int check_tiling(const struct sb_safetensors *file, size_t data_bytes, struct sb_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct sb_st_tensor *tensor = &file->tensors[i];
        if (tensor->begin != at)
            return sb_err_set(err, SB_ERR_DATA,
                              "'%s': tensor '%s' begins at byte %zu of the data, expected %zu: %s",
                              file->path, tensor->name, tensor->begin, at,
                              tensor->begin < at ? "it overlaps" : "there is a hole");
        at = tensor->end;
    }
    if (at != data_bytes)
        return sb_err_set(err, SB_ERR_DATA,
                          "'%s': the tensors end at byte %zu of the data, which has %zu bytes",
                          file->path, at, data_bytes);
    return 0;
}

static int read_header(struct sb_safetensors *file, json_t *header, size_t data_bytes,
                       struct sb_err *err)
{
    file->tensors = sb_calloc(json_object_size(header), sizeof(*file->tensors));
    const char *key;
    json_t *entry;
    json_object_foreach(header, key, entry)
    {
        if (!strcmp(key, "__metadata__")) {
            if (read_metadata(file, entry, err) < 0)
                return -1;
            continue;
        }
        struct sb_st_tensor *tensor = &file->tensors[file->count++];
        tensor->name = sb_strdup(key);
        if (read_entry(tensor, file->path, entry, data_bytes, err) < 0)
            return -1;
    }
    if (file->count)
        qsort(file->tensors, file->count, sizeof(*file->tensors), by_offset);
    return check_tiling(file, data_bytes, err);
}

int sb_safetensors_open(struct sb_safetensors *file, const char *path, struct sb_err *err)
{
    *file = (struct sb_safetensors)SB_SAFETENSORS_INIT;
    json_t *header = NULL;
    int rc = -1;
    if (sb_file_map(&file->map, path, err) < 0)
        return -1;
    file->path = sb_strdup(path);

    uint64_t header_bytes;
    if (file->map.bytes < SIZE_BYTES) {
        sb_err_set(err, SB_ERR_DATA, "'%s': %zu bytes are too few for a safetensors file", path,
                   file->map.bytes);
        goto done;
    }
    memcpy(&header_bytes, file->map.data, SIZE_BYTES);
    if (header_bytes > file->map.bytes - SIZE_BYTES || header_bytes > HEADER_BYTES_MAX) {
        sb_err_set(err, SB_ERR_DATA,
                   "'%s': byte 0: a header of %" PRIu64 " bytes in a file of %zu bytes", path,
                   header_bytes, file->map.bytes);
        goto done;
    }
    const char *text = (const char *)file->map.data + SIZE_BYTES;
    if (header_bytes == 0 || text[0] != '{') {
        sb_err_set(err, SB_ERR_DATA, "'%s': byte %d: the header does not start with '{'", path,
                   SIZE_BYTES);
        goto done;
    }
    json_error_t json_err;
    header = json_loadb(text, (size_t)header_bytes, JSON_REJECT_DUPLICATES, &json_err);
    if (!header) {
        sb_err_set(err, SB_ERR_DATA, "'%s': byte %d of the file: header: %s", path,
                   SIZE_BYTES + json_err.position, json_err.text);
        goto done;
    }
    file->data = file->map.data + SIZE_BYTES + header_bytes;
    rc = read_header(file, header, file->map.bytes - SIZE_BYTES - (size_t)header_bytes, err);
done:
    json_decref(header);
    if (rc < 0)
        sb_safetensors_close(file);
    return rc;
}

void sb_safetensors_close(struct sb_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->tensors[i].name);
    for (size_t i = 0; i < file->meta_count; i++) {
        free(file->meta_keys[i]);
        free(file->meta_values[i]);
    }
    free(file->tensors);
    free(file->meta_keys);
    free(file->meta_values);
    free(file->path);
    sb_file_unmap(&file->map);
    *file = (struct sb_safetensors)SB_SAFETENSORS_INIT;
}

const struct sb_st_tensor *sb_safetensors_find(const struct sb_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name))
            return &file->tensors[i];
    return NULL;
}

const char *sb_safetensors_meta(const struct sb_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->meta_count; i++)
        if (!strcmp(file->meta_keys[i], key))
            return file->meta_values[i];
    return NULL;
}

/* IEEE 754 half precision: 1 sign, 5 exponent (bias 15), 10 fraction bits.  Exact in a float. */
static float float_from_half(uint16_t half)
{
    uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    float value;
    if (exponent == 0x1f) /* infinity, or NaN with its payload moved to the top */
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexpf((float)fraction, -24);
    else
        value = ldexpf((float)(fraction | 0x400), (int)exponent - 25);
    return half & 0x8000 ? -value : value;
}

/* bfloat16 is the upper half of a float. */
static float float_from_bfloat(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof(value));
    return value;
}

static int refuse_dtype(const struct sb_safetensors *file, const struct sb_st_tensor *tensor,
                        const char *wanted, struct sb_err *err)
{
    return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' is %s, expected %s", file->path,
                      tensor->name, sb_dtype_name(tensor->dtype), wanted);
}

int sb_safetensors_floats(float *out, const struct sb_safetensors *file,
                          const struct sb_st_tensor *tensor, struct sb_err *err)
{
    const uint8_t *from = file->data + tensor->begin;
    switch (tensor->dtype) {
    case SB_F32:
        if (tensor->element_count)
            memcpy(out, from, tensor->end - tensor->begin);
        return 0;
    case SB_F16:
    case SB_BF16:
        for (size_t i = 0; i < tensor->element_count; i++) {
            uint16_t bits;
            memcpy(&bits, from + i * sizeof(bits), sizeof(bits));
            out[i] = tensor->dtype == SB_F16 ? float_from_half(bits) : float_from_bfloat(bits);
        }
        return 0;
    case SB_F64:
        for (size_t i = 0; i < tensor->element_count; i++) {
            double value;
            memcpy(&value, from + i * sizeof(value), sizeof(value));
            out[i] = (float)value;
        }
        return 0;
    default:
        return refuse_dtype(file, tensor, "F32, F16, BF16 or F64", err);
    }
}

int sb_safetensors_ints(int64_t *out, const struct sb_safetensors *file,
                        const struct sb_st_tensor *tensor, struct sb_err *err)
{
    const uint8_t *from = file->data + tensor->begin;
    size_t bytes = sb_dtype_bytes(tensor->dtype);
    for (size_t i = 0; i < tensor->element_count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, from + i * bytes, bytes);
        switch (tensor->dtype) {
        case SB_I64:
        case SB_U64:
        case SB_U32:
        case SB_U16:
        case SB_U8:
        case SB_BOOL:
            if (bits > INT64_MAX && tensor->dtype == SB_U64)
                return sb_err_set(err, SB_ERR_DATA, "'%s': tensor '%s' element %zu is beyond 2^63",
                                  file->path, tensor->name, i);
            out[i] = (int64_t)bits;
            break;
        case SB_I32:
            out[i] = (int32_t)bits;
            break;
        case SB_I16:
            out[i] = (int16_t)bits;
            break;
        case SB_I8:
            out[i] = (int8_t)bits;
            break;
        default:
            return refuse_dtype(file, tensor, "integers", err);
        }
    }
    return 0;
}

/* ---- writing ---- */

static void append_json_string(struct sb_bytes *out, const char *text)
{
    sb_bytes_append(out, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_bytes_printf(out, "\\%c", *p);
        else if (*p < 0x20)
            sb_bytes_printf(out, "\\u%04x", *p);
        else
            sb_bytes_append(out, p, 1);
    }
    sb_bytes_append(out, "\"", 1);
}

int sb_st_writer_begin(struct sb_st_writer *writer, const char *path, struct sb_err *err)
{
    *writer = (struct sb_st_writer)SB_ST_WRITER_INIT;
    if (sb_file_writer_begin(&writer->file, path, err) < 0)
        return -1;
    sb_bytes_append(&writer->header, "{", 1);
    return 0;
}

void sb_st_writer_meta(struct sb_st_writer *writer, const char *key, const char *value)
{
    sb_assert(writer->meta_open || writer->header.count == 1);
    sb_bytes_append_text(&writer->header, writer->meta_open ? "," : "\"__metadata__\":{");
    writer->meta_open = true;
    append_json_string(&writer->header, key);
    sb_bytes_append(&writer->header, ":", 1);
    append_json_string(&writer->header, value);
}

static void close_meta(struct sb_st_writer *writer)
{
    if (writer->meta_open)
        sb_bytes_append(&writer->header, "}", 1);
    writer->meta_open = false;
}

void sb_st_writer_describe(struct sb_st_writer *writer, const char *name, enum sb_dtype dtype,
                           const size_t *dims, size_t dim_count)
{
    sb_assert(!writer->streaming);
    sb_assert(dim_count <= SB_MAX_DIMS);
    close_meta(writer);
    if (writer->header.count > 1)
        sb_bytes_append(&writer->header, ",", 1);
    append_json_string(&writer->header, name);
    sb_bytes_printf(&writer->header, ":{\"dtype\":\"%s\",\"shape\":[", sb_dtype_name(dtype));
    size_t bytes = sb_dtype_bytes(dtype);
    for (size_t i = 0; i < dim_count; i++) {
        sb_bytes_printf(&writer->header, "%s%zu", i ? "," : "", dims[i]);
        bytes *= dims[i];
    }
    sb_bytes_printf(&writer->header, "],\"data_offsets\":[%zu,%zu]}", writer->described_bytes,
                    writer->described_bytes + bytes);
    writer->described_bytes += bytes;
}

static int write_bytes(struct sb_st_writer *writer, const void *data, size_t bytes,
                       struct sb_err *err)
{
    sb_beat_pause();
    bool written = fwrite(data, 1, bytes, writer->file.stream) == bytes;
    sb_beat_resume();
    if (!written)
        return sb_err_set_errno(err, SB_ERR_IO, "writing '%s'", writer->file.temporary);
    writer->file_bytes += bytes;
    if (writer->hasher)
        sb_hasher_add(writer->hasher, data, bytes);
    return 0;
}

static int write_header(struct sb_st_writer *writer, struct sb_err *err)
{
    close_meta(writer);
    sb_bytes_append(&writer->header, "}", 1);
    while (writer->header.count % SIZE_BYTES) /* so that mapped tensors are aligned */
        sb_bytes_append(&writer->header, " ", 1);
    writer->streaming = true;
    uint64_t header_bytes = writer->header.count;
    if (write_bytes(writer, &header_bytes, SIZE_BYTES, err) < 0)
        return -1;
    return write_bytes(writer, writer->header.data, writer->header.count, err);
}

int sb_st_writer_data(struct sb_st_writer *writer, const void *data, size_t bytes,
                      struct sb_err *err)
{
    if (!writer->streaming && write_header(writer, err) < 0)
        return -1;
    writer->written_bytes += bytes;
    sb_assert(writer->written_bytes <= writer->described_bytes);
    return write_bytes(writer, data, bytes, err);
}

int sb_st_writer_commit(struct sb_st_writer *writer, struct sb_err *err)
{
    sb_assert(writer->written_bytes == writer->described_bytes);
    int rc = -1;
    if (!writer->streaming && write_header(writer, err) < 0)
        sb_file_writer_abort(&writer->file);
    else
        rc = sb_file_writer_commit(&writer->file, err);
    sb_bytes_release(&writer->header);
    return rc;
}

void sb_st_writer_abort(struct sb_st_writer *writer)
{
    sb_file_writer_abort(&writer->file);
    sb_bytes_release(&writer->header);
}
