/*
 * The safetensors format: u64 little-endian header size, a JSON header, raw little-endian tensors.
 *
 * Reading maps the file and checks everything before a pointer is given out: header size, JSON without
 * repeated keys, dtype, shape times size equal to the range, ranges inside the file, without holes and overlaps.
 * Errors are SB_ERR_DATA with the file and the tensor or byte.
 */
#ifndef SB_SAFETENSORS_H
#define SB_SAFETENSORS_H

#include "err.h"
#include "file.h"

#include <stddef.h>
#include <stdint.h>

enum sb_dtype { SB_F32, SB_F16, SB_BF16, SB_F64, SB_I64, SB_I32, SB_I16, SB_I8, SB_U8, SB_BOOL, SB_U16, SB_U32, SB_U64 };

enum { SB_MAX_DIMS = 8 };

struct sb_st_tensor {
    char *name;
    enum sb_dtype dtype;
    size_t dim_count;
    size_t dims[SB_MAX_DIMS];
    size_t element_count; /* 1 for a 0-d tensor */
    size_t begin, end;    /* bytes, relative to the data */
};

struct sb_safetensors {
    struct sb_map map;
    char *path;
    const uint8_t *data; /* start of the byte buffer */
    struct sb_st_tensor *tensors; /* in the order of their offsets */
    size_t count;
    char **meta_keys, **meta_values; /* __metadata__ */
    size_t meta_count;
};

int sb_safetensors_open(struct sb_safetensors *file, const char *path, struct sb_err *err);
void sb_safetensors_close(struct sb_safetensors *file);
const struct sb_st_tensor *sb_safetensors_find(const struct sb_safetensors *file, const char *name);
const char *sb_safetensors_meta(const struct sb_safetensors *file, const char *key);
/* Copies as floats; dtype must be F32, F16, BF16 or F64. */
int sb_safetensors_floats(float *out, const struct sb_safetensors *file, const struct sb_st_tensor *tensor,
                          struct sb_err *err);

/*
 * Writing in two passes: describe all tensors, then stream their bytes in the same order.
 * Header bytes depend on names, shapes and metadata only.
 */
struct sb_st_writer {
    struct sb_file_writer file;
    struct sb_bytes header;
    size_t offset, begun;
    int meta_open;
};

int sb_st_writer_begin(struct sb_st_writer *writer, const char *path, struct sb_err *err);
void sb_st_writer_meta(struct sb_st_writer *writer, const char *key, const char *value); /* before the tensors */
void sb_st_writer_describe(struct sb_st_writer *writer, const char *name, enum sb_dtype dtype, const size_t *dims,
                           size_t dim_count);
int sb_st_writer_data(struct sb_st_writer *writer, const void *data, size_t bytes, struct sb_err *err);
int sb_st_writer_commit(struct sb_st_writer *writer, struct sb_err *err);
void sb_st_writer_abort(struct sb_st_writer *writer);

#endif
