/*
 * The safetensors format: u64 little-endian header size, a JSON header, raw little-endian tensors.
 *
 * Reading maps the file and checks everything before a pointer is given out: header size, JSON
 * without repeated keys, dtype, shape times size equal to the range, ranges inside the file,
 * without holes and overlaps.  Errors are SB_ERR_DATA with the file and the tensor or byte.
 */
#ifndef SB_SAFETENSORS_H
#define SB_SAFETENSORS_H

#include "err.h"
#include "file.h"
#include "hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_dtype {
    SB_F32,
    SB_F16,
    SB_BF16,
    SB_F64,
    SB_I64,
    SB_I32,
    SB_I16,
    SB_I8,
    SB_U8,
    SB_BOOL,
    SB_U16,
    SB_U32,
    SB_U64,
};

/* "F32", "BF16", ...: as in the files. */
const char *sb_dtype_name(enum sb_dtype dtype);
size_t sb_dtype_bytes(enum sb_dtype dtype);

enum { SB_MAX_DIMS = 8 };

struct sb_st_tensor {
    char *name;
    enum sb_dtype dtype;
    size_t dim_count;
    size_t dims[SB_MAX_DIMS];
    size_t element_count; /* 1 for a 0-d tensor */
    size_t begin, end;    /* bytes, relative to the data */
};

/* Life: open, then any reading, then close; close after a failed open is harmless. */
struct sb_safetensors {
    struct sb_map map;
    char *path;
    const uint8_t *data;          /* start of the byte buffer; not aligned */
    struct sb_st_tensor *tensors; /* in the order of their offsets */
    size_t count;
    char **meta_keys, **meta_values; /* __metadata__ */
    size_t meta_count;
};

#define SB_SAFETENSORS_INIT                                                                        \
    {                                                                                              \
        0                                                                                          \
    }

int sb_safetensors_open(struct sb_safetensors *file, const char *path, struct sb_err *err);
void sb_safetensors_close(struct sb_safetensors *file);
/* NULL if there is none. */
const struct sb_st_tensor *sb_safetensors_find(const struct sb_safetensors *file, const char *name);
const char *sb_safetensors_meta(const struct sb_safetensors *file, const char *key);
/* Copies element_count values as floats; dtype must be F32, F16, BF16 or F64. */
int sb_safetensors_floats(float *out, const struct sb_safetensors *file,
                          const struct sb_st_tensor *tensor, struct sb_err *err);
/* Copies element_count values as integers; dtype must be one of the integers or BOOL. */
int sb_safetensors_ints(int64_t *out, const struct sb_safetensors *file,
                        const struct sb_st_tensor *tensor, struct sb_err *err);

/*
 * Writing in two passes: describe all tensors, then stream their bytes in the same order.
 * Header bytes depend on names, shapes and metadata only.  Life: begin, meta, describe, data, then
 * commit or abort; abort after commit or after a failure is harmless.
 */
struct sb_st_writer {
    struct sb_file_writer file;
    struct sb_bytes header;
    size_t described_bytes, written_bytes; /* of tensor data */
    size_t file_bytes;                     /* written so far, header and all */
    struct sb_hasher *hasher;              /* set after begin: takes all that is written; or NULL */
    bool meta_open;                        /* the last thing in the header is metadata */
    bool streaming;                        /* the header is written */
};

#define SB_ST_WRITER_INIT                                                                          \
    {                                                                                              \
        0                                                                                          \
    }

int sb_st_writer_begin(struct sb_st_writer *writer, const char *path, struct sb_err *err);
/* Before the tensors. */
void sb_st_writer_meta(struct sb_st_writer *writer, const char *key, const char *value);
void sb_st_writer_describe(struct sb_st_writer *writer, const char *name, enum sb_dtype dtype,
                           const size_t *dims, size_t dim_count);
/* Any number of pieces: they need not end where a tensor ends. */
int sb_st_writer_data(struct sb_st_writer *writer, const void *data, size_t bytes,
                      struct sb_err *err);
int sb_st_writer_commit(struct sb_st_writer *writer, struct sb_err *err);
void sb_st_writer_abort(struct sb_st_writer *writer);

#endif
