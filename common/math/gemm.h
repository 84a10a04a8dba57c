/*
 * Matrix products: the one narrow door to OpenBLAS.
 *
 * All matrices are row-major.  The output is cut into tiles by its shape alone, and each tile is
 * one single-threaded call over the full inner dimension: the number of threads leaves no trace in
 * the bits.  Several independent products may share one run, so that small ones fill the cores
 * together.
 */
#ifndef SB_GEMM_H
#define SB_GEMM_H

#include "pool.h"

#include <stdbool.h>
#include <stddef.h>

enum sb_gemm_kind {
    SB_GEMM_NT, /* out = a b^T:   a [M, K], b [N, K]   y = x W^T */
    SB_GEMM_NN, /* out = a b:     a [M, K], b [K, N]   dx = dy W */
    SB_GEMM_TN, /* out = a^T b:   a [K, M], b [K, N]   dW = dy^T x */
};

/*
 * out [M, N] = scale * (a b) + bias, or += with add.
 *
 *   bias   [N] or NULL; added to every row; not with add
 *   scale  0 stands for 1
 *   *_stride  floats from row to row; 0 stands for a dense matrix
 */
struct sb_gemm {
    enum sb_gemm_kind kind;
    float *out;
    const float *a, *b, *bias;
    size_t M, N, K;
    size_t out_stride, a_stride, b_stride;
    float scale;
    bool add;
};

void sb_gemm_run(struct sb_pool *pool, const struct sb_gemm *gemms, size_t count);

/* One product on the calling thread in one call: for use inside tiles. */
void sb_gemm_here(const struct sb_gemm *gemm);

#endif
