/*
 * Pickles of state dictionaries, read without Python.
 *
 * A pickle is a program for a small machine, and the real one may call anything.  This one knows
 * the instructions that torch.save of a dictionary of tensors needs, makes numbers, texts, tuples,
 * lists, dictionaries and descriptions of tensors, and calls nothing: what asks for any other
 * instruction or name is SB_ERR_DATA with that name.  Memory is bounded by the size of the pickle.
 */
#ifndef SB_TORCH_PICKLE_H
#define SB_TORCH_PICKLE_H

#include "arena.h"
#include "err.h"
#include "safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pickle of a thousand layers has 2.5 MB; what is longer is not one of a BERT. */
enum { SB_PICKLE_MAX_BYTES = 4 << 20 };

enum sb_pickle_kind {
    SB_PICKLE_NONE,
    SB_PICKLE_BOOL,
    SB_PICKLE_INT,
    SB_PICKLE_TEXT,
    SB_PICKLE_TUPLE,
    SB_PICKLE_LIST,
    SB_PICKLE_DICT,
    SB_PICKLE_NAME,    /* a name of Python's that is known here */
    SB_PICKLE_STORAGE, /* numbers somewhere in the file */
    SB_PICKLE_TENSOR,  /* a view of a storage */
};

struct sb_pickle_value;

/* An element of a list, or a pair of a dictionary. */
struct sb_pickle_item {
    struct sb_pickle_value *key, *value; /* key: NULL in lists */
    struct sb_pickle_item *next;
};

struct sb_pickle_value {
    enum sb_pickle_kind kind;
    union {
        int64_t number; /* BOOL: 0 or 1; NAME: which */
        struct {
            const char *text; /* [bytes], in the pickle; no zero at its end */
            size_t bytes;
        };
        struct {
            struct sb_pickle_value **items; /* [count] */
            size_t count;
        } tuple;
        struct {
            struct sb_pickle_item *first, *last;
        } list; /* and dictionary */
        struct {
            const struct sb_pickle_value *key; /* TEXT: its name in the file */
            enum sb_dtype dtype;
            uint64_t element_count;
        } storage;
        struct {
            const struct sb_pickle_value *storage;
            uint64_t first; /* element of the storage */
            size_t dim_count;
            uint64_t *dims; /* [dim_count], SB_MAX_DIMS at most; row-major, without gaps */
        } tensor;
    };
};

/*
 * Runs the pickle at the start of data.  The value lives in arena, its texts in data.  *used: bytes
 * to the end of the pickle, which may be followed by anything.  path: for sentences.
 * NULL: SB_ERR_DATA with the byte.
 */
const struct sb_pickle_value *sb_pickle_run(struct sb_arena *arena, const char *path,
                                            const uint8_t *data, size_t bytes, size_t *used,
                                            struct sb_err *err);

bool sb_pickle_text_is(const struct sb_pickle_value *value, const char *text);

#endif
