/*
 * Writing ONNX files: a graph of operators on named tensors, as one protobuf message.
 *
 * Life: new, then inputs, weights, nodes and outputs in the order of the computation, then write
 * once, then free.  Values are named by strings that live as long as the graph.  Weights are not
 * copied: they stay the caller's, must live until the graph is written, and are streamed from where
 * they lie.  Owner: one thread.
 *
 * Everything that enters a graph is made by our own code; only writing meets the world and can
 * fail.
 */
#ifndef SB_ONNX_GRAPH_H
#define SB_ONNX_GRAPH_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Operators of set 14 (2021) and the format's version of that time: what every runtime of today
 * reads.  A protobuf message ends below 2 GiB, and so does a file.
 */
enum { SB_ONNX_OPSET = 14, SB_ONNX_IR_VERSION = 7, SB_ONNX_BYTES_MAX = INT32_MAX };

struct sb_onnx;

struct sb_onnx *sb_onnx_new(const char *name);
void sb_onnx_free(struct sb_onnx **onnx);

/* A fixed size, or one that is known at run time only, by name. */
struct sb_onnx_dim {
    const char *name; /* NULL: value counts */
    int64_t value;
};
/* Whole numbers (int64) that come in under this name. */
const char *sb_onnx_input(struct sb_onnx *onnx, const char *name, const struct sb_onnx_dim *dims,
                          size_t dim_count);
/* Floats that go out: value is called name from now on, which is returned. */
const char *sb_onnx_output(struct sb_onnx *onnx, const char *name, const char *value,
                           const struct sb_onnx_dim *dims, size_t dim_count);

/* The matrix [rows, cols] as it lies in memory. */
const char *sb_onnx_matrix(struct sb_onnx *onnx, const char *name, float *data, size_t rows,
                           size_t cols);
/* The matrix [cols, rows] of what lies as [rows, cols]; writing turns data over in place. */
const char *sb_onnx_transposed(struct sb_onnx *onnx, const char *name, float *data, size_t rows,
                               size_t cols);
const char *sb_onnx_vector(struct sb_onnx *onnx, const char *name, float *data, size_t count);

/* Constants; equal ones are one tensor. */
const char *sb_onnx_float(struct sb_onnx *onnx, float value);
const char *sb_onnx_int(struct sb_onnx *onnx, int64_t value);
const char *sb_onnx_ints(struct sb_onnx *onnx, const int64_t *values, size_t count);

/* Names of nodes made from here on begin with "scope/". */
void sb_onnx_scope(struct sb_onnx *onnx, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * A node with one output, which is returned.  label: unlike all others of the scope.  The inputs
 * end with NULL.
 */
const char *sb_onnx_node(struct sb_onnx *onnx, const char *op, const char *label, ...)
    __attribute__((sentinel));
/* Attributes of the node made last. */
void sb_onnx_attribute(struct sb_onnx *onnx, const char *name, int64_t value);
void sb_onnx_attribute_list(struct sb_onnx *onnx, const char *name, const int64_t *values,
                            size_t count);

/*
 * Writes the file, atomically; equal graphs and weights give equal bytes.  SB_ERR_DATA if it would
 * be larger than the format allows; nothing is turned over and nothing is written then.
 */
int sb_onnx_write(struct sb_onnx *onnx, const char *path, struct sb_err *err);

#endif
