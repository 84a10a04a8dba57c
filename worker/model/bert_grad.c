#include "bert.h"

#include "bert_pass.h"
#include "err.h"
#include "vec.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void sb_grad_init(struct sb_grad *grad, const struct sb_params *params)
{
    /* Pages of frozen and row-sparse tensors are never touched, so they cost nothing. */
    *grad = (struct sb_grad){.dense = sb_alloc_pages(params->float_count * sizeof(float))};
}

void sb_grad_release(struct sb_grad *grad, const struct sb_params *params)
{
    if (grad->dense != NULL)
        sb_free_pages(grad->dense, params->float_count * sizeof(float));
    free(grad->rows);
    free(grad->values);
    *grad = (struct sb_grad){0};
}

/* ---- the dense part, as tiles over the flat space ---- */

enum { GRAD_TILE = 65536 };

struct grad_run {
    const struct sb_params *params;
    float *left;
    const float *right; /* NULL: clear */
};

static void grad_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct grad_run *run = context;
    size_t first = tile * GRAD_TILE, end = first + GRAD_TILE;
    for (size_t i = 0; i < run->params->count; i++) {
        const struct sb_tensor *tensor = &run->params->tensors[i];
        size_t begin = tensor->offset, stop = tensor->offset + sb_tensor_count(tensor);
        begin = begin > first ? begin : first;
        stop = stop < end ? stop : end;
        if (begin >= stop || !tensor->trainable || tensor->row_sparse)
            continue;
        if (run->right == NULL)
            sb_zero(run->left + begin, stop - begin);
        else
            sb_add(run->left + begin, run->right + begin, stop - begin);
    }
}

static void run_dense(float *left, const float *right, const struct sb_params *params,
                      struct sb_pool *pool)
{
    struct grad_run run = {.params = params, .left = left, .right = right};
    sb_pool_run(pool, (params->float_count + GRAD_TILE - 1) / GRAD_TILE, grad_tile, &run);
}

void sb_grad_clear(struct sb_grad *grad, const struct sb_params *params, struct sb_pool *pool)
{
    run_dense(grad->dense, NULL, params, pool);
    grad->row_count = 0;
}

/* ---- rows ---- */

static size_t row_width(const struct sb_params *params)
{
    return params->tensors[params->word].cols;
}

static void reserve_rows(struct sb_grad *grad, size_t count, size_t C)
{
    if (count <= grad->row_capacity)
        return;
    size_t capacity = grad->row_capacity * 2 > count ? grad->row_capacity * 2 : count;
    grad->rows = sb_realloc(grad->rows, capacity * sizeof(*grad->rows));
    grad->values = sb_realloc(grad->values, capacity * C * sizeof(float));
    grad->row_capacity = capacity;
}

static size_t union_count(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count)
{
    size_t i = 0, j = 0, count = 0;
    for (; i < a_count && j < b_count; count++) {
        uint32_t least = a[i] < b[j] ? a[i] : b[j];
        i += a[i] == least;
        j += b[j] == least;
    }
    return count + (a_count - i) + (b_count - j);
}

/*
 * grad's rows become the union of its own and the given ones, whose values are added (NULL: zeros).
 * Merged from the last row down, so that it happens in place.  A row that only one side has gets a
 * zero added, as in the dense space: the bits must agree, those of -0 too.
 */
static void merge_rows(struct sb_grad *grad, const uint32_t *rows, const float *values,
                       size_t count, size_t C)
{
    size_t total = union_count(grad->rows, grad->row_count, rows, count);
    reserve_rows(grad, total, C);
    size_t i = grad->row_count, j = count;
    for (size_t to = total; to-- > 0;) {
        bool ours = i > 0 && (j == 0 || grad->rows[i - 1] >= rows[j - 1]);
        bool theirs = j > 0 && (i == 0 || rows[j - 1] >= grad->rows[i - 1]);
        float *value = grad->values + to * C;
        uint32_t row = ours ? grad->rows[i - 1] : rows[j - 1];
        if (ours)
            memmove(value, grad->values + (i - 1) * C, C * sizeof(float));
        else
            sb_zero(value, C);
        if (theirs && values != NULL)
            sb_add(value, values + (j - 1) * C, C);
        else if (values != NULL)
            sb_add_zero(value, C);
        grad->rows[to] = row;
        i -= ours;
        j -= theirs;
    }
    grad->row_count = total;
}

void sb_grad_add(struct sb_grad *left, const struct sb_grad *right, const struct sb_params *params,
                 struct sb_pool *pool)
{
    run_dense(left->dense, right->dense, params, pool);
    if (right->row_count > 0)
        merge_rows(left, right->rows, right->values, right->row_count, row_width(params));
}

/* ---- is it finite? ---- */

struct finite_run {
    const struct sb_params *params;
    const float *dense;
    atomic_bool bad;
};

static void finite_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    struct finite_run *run = context;
    const struct sb_tensor *tensor = &run->params->tensors[tile];
    if (tensor->trainable && !tensor->row_sparse &&
        !sb_all_finite(run->dense + tensor->offset, sb_tensor_count(tensor)))
        atomic_store(&run->bad, true);
}

bool sb_grad_finite(const struct sb_grad *grad, const struct sb_params *params,
                    struct sb_pool *pool)
{
    struct finite_run run = {.params = params, .dense = grad->dense};
    sb_pool_run(pool, params->count, finite_tile, &run);
    return !atomic_load(&run.bad) &&
           (grad->row_count == 0 ||
            sb_all_finite(grad->values, grad->row_count * row_width(params)));
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t place_of(const struct sb_grad *grad, uint32_t id)
{
    const uint32_t *found =
        bsearch(&id, grad->rows, grad->row_count, sizeof(*grad->rows), compare_ids);
    sb_assert(found != NULL);
    return (uint32_t)(found - grad->rows);
}

void bert_grad_add_rows(struct sb_grad *grad, const struct sb_params *params, uint32_t *ids,
                        uint32_t *scratch, size_t count)
{
    memcpy(scratch, ids, count * sizeof(*ids));
    qsort(scratch, count, sizeof(*scratch), compare_ids);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (scratch[i] != UINT32_MAX && (unique == 0 || scratch[unique - 1] != scratch[i]))
            scratch[unique++] = scratch[i];
    merge_rows(grad, scratch, NULL, unique, row_width(params));
    for (size_t i = 0; i < count; i++)
        if (ids[i] != UINT32_MAX)
            ids[i] = place_of(grad, ids[i]);
}
