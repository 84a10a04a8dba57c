#include "fold.h"

#include "arena.h"
#include "nodes.h"
#include "vec.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 1, TILE_FLOATS = 1 << 15 };

void sb_fold_init(struct sb_fold *fold, uint32_t slots, size_t rows, size_t cols)
{
    *fold = (struct sb_fold){.slots = slots, .rows = rows, .cols = cols};
}

static void drop_sum(struct sb_fold_sum *sum)
{
    sb_frame_drop(&sum->values);
    sb_frame_drop(&sum->rows);
}

void sb_fold_clear(struct sb_fold *fold)
{
    for (size_t i = 0; i < fold->held_count; i++)
        drop_sum(&fold->held[i].sum);
    fold->held_count = 0;
}

void sb_fold_release(struct sb_fold *fold)
{
    sb_fold_clear(fold);
    free(fold->held);
    *fold = (struct sb_fold){0};
}

bool sb_fold_covers(const struct sb_fold *fold, uint32_t node)
{
    for (size_t i = 0; i < fold->held_count; i++)
        if (sb_node_contains(fold->held[i].node, node))
            return true;
    return false;
}

size_t sb_fold_sum_row_count(const struct sb_fold_sum *sum)
{
    return sum->rows ? sum->rows->bytes / sizeof(uint32_t) : 0;
}

/* ---- adding two sums ---- */

struct addition {
    float *y;
    const float *x;
    size_t count;
};

static void add_tile(void *context, size_t tile, size_t thread)
{
    (void)thread;
    const struct addition *add = context;
    size_t begin = tile * TILE_FLOATS;
    size_t count = add->count - begin < TILE_FLOATS ? add->count - begin : TILE_FLOATS;
    sb_add(add->y + begin, add->x + begin, count);
}

static void add_into(float *y, const float *x, size_t count, struct sb_pool *pool)
{
    struct addition add = {.y = y, .x = x, .count = count};
    sb_pool_run(pool, (count + TILE_FLOATS - 1) / TILE_FLOATS, add_tile, &add);
}

/* The sum of two floats does not depend on their order, so either side may be the accumulator. */
static struct sb_fold_sum add_dense(struct sb_fold_sum left, struct sb_fold_sum right,
                                    struct sb_pool *pool)
{
    struct sb_fold_sum sum = left, other = right;
    if (!left.ours && right.ours) {
        sum = right;
        other = left;
    }
    if (!sum.ours) {
        struct sb_frame *fresh = sb_frame_new(sum.values->bytes);
        memcpy(fresh->data, sum.values->data, fresh->bytes);
        sb_frame_drop(&sum.values);
        sum = (struct sb_fold_sum){.values = fresh, .ours = true};
    }
    add_into(sum.values->data, other.values->data, sum.values->bytes / sizeof(float), pool);
    drop_sum(&other);
    return sum;
}

/* The dense form of a list of rows. */
static struct sb_fold_sum spread(const struct sb_fold *fold, struct sb_fold_sum sum)
{
    size_t row_count = sb_fold_sum_row_count(&sum);
    const uint32_t *rows = sum.rows->data;
    const float *values = sum.values->data;
    struct sb_frame *dense = sb_frame_new(fold->rows * fold->cols * sizeof(float));
    memset(dense->data, 0, dense->bytes);
    for (size_t i = 0; i < row_count; i++)
        memcpy((float *)dense->data + rows[i] * fold->cols, values + i * fold->cols,
               fold->cols * sizeof(float));
    drop_sum(&sum);
    return (struct sb_fold_sum){.values = dense, .ours = true};
}

/* How many different rows two rising lists name. */
static size_t union_count(const uint32_t *left, size_t left_count, const uint32_t *right,
                          size_t right_count)
{
    size_t count = 0;
    for (size_t l = 0, r = 0; l < left_count || r < right_count; count++) {
        bool from_left = l < left_count && (r == right_count || left[l] <= right[r]);
        bool from_right = r < right_count && (l == left_count || right[r] <= left[l]);
        l += from_left;
        r += from_right;
    }
    return count;
}

/*
 * A row that only one side names is added to nothing, as a dense sum would add it to zeros: + 0
 * turns -0 into 0, and so a row-sparse run keeps the bits of a dense one.
 */
static struct sb_fold_sum add_rows(const struct sb_fold *fold, struct sb_fold_sum left,
                                   struct sb_fold_sum right)
{
    size_t left_count = sb_fold_sum_row_count(&left), right_count = sb_fold_sum_row_count(&right);
    const uint32_t *left_rows = left.rows->data, *right_rows = right.rows->data;
    const float *left_values = left.values->data, *right_values = right.values->data;
    size_t count = union_count(left_rows, left_count, right_rows, right_count), cols = fold->cols;
    struct sb_fold_sum sum = {
        .values = sb_frame_new(count * cols * sizeof(float)),
        .rows = sb_frame_new(count * sizeof(uint32_t)),
        .ours = true,
    };
    uint32_t *rows = sum.rows->data;
    float *values = sum.values->data;
    for (size_t l = 0, r = 0, i = 0; i < count; i++, values += cols) {
        bool from_left = l < left_count && (r == right_count || left_rows[l] <= right_rows[r]);
        bool from_right = r < right_count && (l == left_count || right_rows[r] <= left_rows[l]);
        rows[i] = from_left ? left_rows[l] : right_rows[r];
        const float *x = left_values + l * cols, *y = right_values + r * cols;
        for (size_t c = 0; c < cols; c++)
            values[c] = (from_left ? x[c] : 0.0f) + (from_right ? y[c] : 0.0f);
        l += from_left;
        r += from_right;
    }
    drop_sum(&left);
    drop_sum(&right);
    return sum;
}

static struct sb_fold_sum add_sums(const struct sb_fold *fold, struct sb_fold_sum left,
                                   struct sb_fold_sum right, struct sb_pool *pool)
{
    if (!left.values)
        return right;
    if (!right.values)
        return left;
    if (left.rows && right.rows)
        return add_rows(fold, left, right);
    if (left.rows)
        left = spread(fold, left);
    if (right.rows)
        right = spread(fold, right);
    return add_dense(left, right, pool);
}

/* ---- the tree ---- */

static void drop_inside(struct sb_fold *fold, uint32_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < fold->held_count; i++) {
        if (sb_node_contains(node, fold->held[i].node))
            drop_sum(&fold->held[i].sum);
        else
            fold->held[kept++] = fold->held[i];
    }
    fold->held_count = kept;
}

/* Takes the node's sum out of the fold; false if it is not here. */
static bool take_out(struct sb_fold *fold, uint32_t node, struct sb_fold_sum *sum)
{
    for (size_t i = 0; i < fold->held_count; i++)
        if (fold->held[i].node == node) {
            *sum = fold->held[i].sum;
            fold->held[i] = fold->held[--fold->held_count];
            return true;
        }
    return false;
}

static void keep(struct sb_fold *fold, uint32_t node, struct sb_fold_sum sum)
{
    if (fold->held_count == fold->held_capacity) {
        fold->held_capacity = fold->held_capacity ? 2 * fold->held_capacity : 4;
        fold->held = sb_realloc(fold->held, fold->held_capacity * sizeof(*fold->held));
    }
    fold->held[fold->held_count++] = (struct sb_fold_held){.node = node, .sum = sum};
}

void sb_fold_take(struct sb_fold *fold, uint32_t node, struct sb_fold_sum sum, struct sb_pool *pool)
{
    sb_assert(sb_node_valid(node, fold->slots));
    sb_assert(!sb_fold_covers(fold, node));
    drop_inside(fold, node);
    struct sb_fold_sum sibling;
    while (node != ROOT && take_out(fold, node ^ 1, &sibling)) {
        bool is_left = node % 2 == 0;
        sum = is_left ? add_sums(fold, sum, sibling, pool) : add_sums(fold, sibling, sum, pool);
        node /= 2;
    }
    keep(fold, node, sum);
}

#ifdef SB_WITHOUT_DEDUP
void sb_fold_take_again(struct sb_fold *fold, uint32_t node, struct sb_fold_sum sum,
                        struct sb_pool *pool)
{
    for (size_t i = 0; i < fold->held_count; i++)
        if (sb_node_contains(fold->held[i].node, node)) {
            fold->held[i].sum = add_sums(fold, fold->held[i].sum, sum, pool);
            return;
        }
}
#endif

const struct sb_fold_sum *sb_fold_root(const struct sb_fold *fold)
{
    return fold->held_count == 1 && fold->held[0].node == ROOT ? &fold->held[0].sum : NULL;
}

double sb_fold_sum_norm2(const struct sb_fold_sum *sum, size_t rows, size_t cols)
{
    if (!sum->values)
        return 0;
    return sb_norm2_rows(sum->values->data, sum->rows ? sb_fold_sum_row_count(sum) : rows, cols);
}
