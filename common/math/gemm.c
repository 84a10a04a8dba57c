#include "gemm.h"

#include "err.h"

#include <cblas.h>
#include <string.h>

/*
 * A tile of 256 by 384 keeps OpenBLAS near its best rate; products too small for MANY such tiles
 * are cut finer, down to what still pays for its packing.
 */
enum {
    TILE_ROWS = 256,
    TILE_COLS = 384,
    LEAST_ROWS = 64,
    LEAST_COLS = 64,
    MANY = 8,
    GEMM_MAX = 16,
};

struct cut {
    size_t rows, cols; /* of a tile */
    size_t row_tiles, col_tiles;
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Equal pieces of at most `most`, rounded up to whole vectors. */
static size_t even_piece(size_t length, size_t most)
{
    size_t piece = divide_up(length, divide_up(length, most));
    piece = divide_up(piece, 16) * 16;
    return piece < length ? piece : length;
}

static struct cut cut_of(size_t M, size_t N)
{
    size_t most_rows = TILE_ROWS, most_cols = TILE_COLS;
    while (divide_up(M, most_rows) * divide_up(N, most_cols) < MANY) {
        bool rows_can = most_rows > LEAST_ROWS && M > LEAST_ROWS;
        bool cols_can = most_cols > LEAST_COLS && N > LEAST_COLS;
        size_t rows = most_rows < M ? most_rows : M, cols = most_cols < N ? most_cols : N;
        if (rows_can && (rows >= cols || !cols_can))
            most_rows = divide_up(rows, 2);
        else if (cols_can)
            most_cols = divide_up(cols, 2);
        else
            break;
    }
    struct cut cut = {.rows = even_piece(M, most_rows), .cols = even_piece(N, most_cols)};
    cut.row_tiles = divide_up(M, cut.rows);
    cut.col_tiles = divide_up(N, cut.cols);
    return cut;
}

static void put_bias(float *out, size_t stride, const float *bias, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(out + i * stride, bias, cols * sizeof(float));
}

static void clear(float *out, size_t stride, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        memset(out + i * stride, 0, cols * sizeof(float));
}

void sb_gemm_here(const struct sb_gemm *gemm)
{
    const struct sb_gemm *g = gemm;
    if (g->M == 0 || g->N == 0)
        return;
    size_t out_stride = g->out_stride > 0 ? g->out_stride : g->N;
    size_t a_stride = g->a_stride > 0 ? g->a_stride : g->kind == SB_GEMM_TN ? g->M : g->K;
    size_t b_stride = g->b_stride > 0 ? g->b_stride : g->kind == SB_GEMM_NT ? g->K : g->N;
    float scale = g->scale == 0 ? 1.0f : g->scale;
    float keep = g->add || g->bias != NULL ? 1.0f : 0.0f;
    if (g->bias != NULL)
        put_bias(g->out, out_stride, g->bias, g->M, g->N);
    if (g->K == 0) {
        if (keep == 0.0f)
            clear(g->out, out_stride, g->M, g->N);
        return;
    }
    cblas_sgemm(CblasRowMajor, g->kind == SB_GEMM_TN ? CblasTrans : CblasNoTrans,
                g->kind == SB_GEMM_NT ? CblasTrans : CblasNoTrans, (blasint)g->M, (blasint)g->N,
                (blasint)g->K, scale, g->a, (blasint)a_stride, g->b, (blasint)b_stride, keep,
                g->out, (blasint)out_stride);
}

struct gemm_run {
    const struct sb_gemm *gemms;
    struct cut cuts[GEMM_MAX];
    size_t first_tile[GEMM_MAX + 1];
};

static void gemm_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct gemm_run *run = context;
    size_t which = 0;
    while (tile >= run->first_tile[which + 1])
        which++;
    const struct cut *cut = &run->cuts[which];
    struct sb_gemm g = run->gemms[which];
    size_t local = tile - run->first_tile[which];
    size_t row = local / cut->col_tiles * cut->rows, col = local % cut->col_tiles * cut->cols;

    g.out_stride = g.out_stride > 0 ? g.out_stride : g.N;
    g.a_stride = g.a_stride > 0 ? g.a_stride : g.kind == SB_GEMM_TN ? g.M : g.K;
    g.b_stride = g.b_stride > 0 ? g.b_stride : g.kind == SB_GEMM_NT ? g.K : g.N;
    g.out += row * g.out_stride + col;
    g.a += g.kind == SB_GEMM_TN ? row : row * g.a_stride;
    g.b += g.kind == SB_GEMM_NT ? col * g.b_stride : col;
    if (g.bias != NULL)
        g.bias += col;
    g.M = g.M - row < cut->rows ? g.M - row : cut->rows;
    g.N = g.N - col < cut->cols ? g.N - col : cut->cols;
    sb_gemm_here(&g);
}

void sb_gemm_run(struct sb_pool *pool, const struct sb_gemm *gemms, size_t count)
{
    sb_assert(count <= GEMM_MAX);
    struct gemm_run run = {.gemms = gemms};
    for (size_t i = 0; i < count; i++) {
        if (gemms[i].M > 0 && gemms[i].N > 0)
            run.cuts[i] = cut_of(gemms[i].M, gemms[i].N);
        run.first_tile[i + 1] = run.first_tile[i] + run.cuts[i].row_tiles * run.cuts[i].col_tiles;
    }
    sb_pool_run(pool, run.first_tile[count], gemm_tile, &run);
}
