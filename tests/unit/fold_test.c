#include "fold.h"

#include "arena.h"
#include "nodes.h"
#include "support.h"
#include "vec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8, ROWS = 5, COLS = 3, COUNT = ROWS * COLS };

static float value(uint32_t slot, size_t i)
{
    return sinf(3.7f * (float)slot + 0.61f * (float)i) * powf(10, (float)((slot + i) % 7) - 3);
}

/* The definition: left + right at every inner node. */
static void reference(float *sum, uint32_t node)
{
    if (node >= SLOTS) {
        for (size_t i = 0; i < COUNT; i++)
            sum[i] = value(node - SLOTS, i);
        return;
    }
    float right[COUNT];
    reference(sum, 2 * node);
    reference(right, 2 * node + 1);
    for (size_t i = 0; i < COUNT; i++)
        sum[i] = sum[i] + right[i];
}

static struct sb_fold_sum dense(const float *values, bool ours)
{
    struct sb_frame *frame = sb_frame_new(COUNT * sizeof(float));
    memcpy(frame->data, values, frame->bytes);
    return (struct sb_fold_sum){.values = frame, .ours = ours};
}

static struct sb_fold_sum node_sum(uint32_t node, bool ours)
{
    float values[COUNT];
    reference(values, node);
    return dense(values, ours);
}

static struct sb_fold_sum rows_sum(const uint32_t *rows, const float *values, size_t count)
{
    struct sb_fold_sum sum = {
        .values = sb_frame_new(count * COLS * sizeof(float)),
        .rows = sb_frame_new(count * sizeof(uint32_t)),
        .ours = true,
    };
    memcpy(sum.values->data, values, sum.values->bytes);
    memcpy(sum.rows->data, rows, sum.rows->bytes);
    return sum;
}

static void expect_root(const struct sb_fold *fold)
{
    float expected[COUNT];
    reference(expected, 1);
    const struct sb_fold_sum *root = sb_fold_root(fold);
    assert_non_null(root);
    assert_memory_equal(root->values->data, expected, sizeof(expected));
}

static void the_order_of_arrival_leaves_no_trace(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 200; round++) {
        struct sb_fold fold;
        sb_fold_init(&fold, SLOTS, ROWS, COLS);
        while (
            !sb_fold_root(&fold)) { /* any nodes in any order, also ones that are covered already */
            random = random * 1664525u + 1013904223u;
            uint32_t node = 1 + (random >> 16) % (2 * SLOTS - 1);
            if (node == 1 && round % 4)
                continue;
            if (!sb_fold_covers(&fold, node))
                sb_fold_take(&fold, node, node_sum(node, random >> 31), NULL);
        }
        expect_root(&fold);
        sb_fold_release(&fold);
    }
}

static void a_larger_node_replaces_what_it_contains(void **state)
{
    (void)state;
    struct sb_fold fold;
    float poison[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        poison[i] = 1e9f;
    sb_fold_init(&fold, SLOTS, ROWS, COLS);
    sb_fold_take(&fold, 8, dense(poison, true), NULL);  /* slot 0 */
    sb_fold_take(&fold, 11, dense(poison, true), NULL); /* slot 3 */
    sb_fold_take(&fold, 2, node_sum(2, true), NULL);    /* slots 0 to 3 */
    assert_true(sb_fold_covers(&fold, 8) && sb_fold_covers(&fold, 5) && !sb_fold_covers(&fold, 1));
    sb_fold_take(&fold, 3, node_sum(3, true), NULL);
    expect_root(&fold);
    sb_fold_release(&fold);
}

static void borrowed_frames_are_kept_and_never_written(void **state)
{
    (void)state;
    struct sb_fold fold;
    float left[COUNT], right[COUNT];
    reference(left, 2);
    reference(right, 3);
    sb_fold_init(&fold, SLOTS, ROWS, COLS);
    struct sb_fold_sum a = node_sum(2, false), b = node_sum(3, false);
    struct sb_frame *a_frame = sb_frame_keep(a.values), *b_frame = sb_frame_keep(b.values);
    sb_fold_take(&fold, 2, a, NULL);
    assert_ptr_equal(fold.held[0].sum.values, a_frame);
    sb_fold_take(&fold, 3, b, NULL);
    expect_root(&fold);
    assert_memory_equal(a_frame->data, left, sizeof(left));
    assert_memory_equal(b_frame->data, right, sizeof(right));
    assert_int_equal(a_frame->references, 1); /* given back */
    assert_int_equal(b_frame->references, 1);
    sb_frame_drop(&a_frame);
    sb_frame_drop(&b_frame);
    sb_fold_release(&fold);
}

static void a_frame_of_our_own_becomes_the_sum(void **state)
{
    (void)state;
    for (int first_is_ours = 0; first_is_ours < 2; first_is_ours++) {
        struct sb_fold fold;
        sb_fold_init(&fold, SLOTS, ROWS, COLS);
        struct sb_fold_sum a = node_sum(2, first_is_ours), b = node_sum(3, !first_is_ours);
        struct sb_frame *ours = first_is_ours ? a.values : b.values;
        sb_fold_take(&fold, 2, a, NULL);
        sb_fold_take(&fold, 3, b, NULL);
        expect_root(&fold);
        assert_ptr_equal(sb_fold_root(&fold)->values, ours);
        sb_fold_release(&fold);
    }
}

static void an_empty_side_takes_the_other_as_it_is(void **state)
{
    (void)state;
    struct sb_fold fold;
    sb_fold_init(&fold, SLOTS, ROWS, COLS);
    struct sb_fold_sum left = node_sum(2, false);
    struct sb_frame *frame = left.values;
    sb_fold_take(&fold, 3, SB_FOLD_SUM_EMPTY, NULL);
    sb_fold_take(&fold, 2, left, NULL);
    assert_ptr_equal(sb_fold_root(&fold)->values, frame);
    sb_fold_clear(&fold);
    sb_fold_take(&fold, 1, SB_FOLD_SUM_EMPTY, NULL);
    assert_null(sb_fold_root(&fold)->values);
    assert_true(sb_fold_sum_norm2(sb_fold_root(&fold), ROWS, COLS) == 0);
    sb_fold_release(&fold);
}

static void rows_add_up_like_the_dense_form(void **state)
{
    (void)state;
    static const uint32_t left_rows[] = {0, 2, 4}, right_rows[] = {1, 2};
    float left[3 * COLS], right[2 * COLS], expected[COUNT] = {0};
    for (size_t i = 0; i < 3 * COLS; i++)
        left[i] = value(1, i);
    for (size_t i = 0; i < 2 * COLS; i++)
        right[i] = value(2, i);
    for (size_t i = 0; i < 3 * COLS; i++)
        expected[left_rows[i / COLS] * COLS + i % COLS] += left[i];
    for (size_t i = 0; i < 2 * COLS; i++)
        expected[right_rows[i / COLS] * COLS + i % COLS] += right[i];
    struct sb_fold fold;
    sb_fold_init(&fold, 2, ROWS, COLS);
    sb_fold_take(&fold, 3, rows_sum(right_rows, right, 2), NULL);
    sb_fold_take(&fold, 2, rows_sum(left_rows, left, 3), NULL);
    const struct sb_fold_sum *root = sb_fold_root(&fold);
    static const uint32_t rows[] = {0, 1, 2, 4};
    assert_int_equal(sb_fold_sum_row_count(root), 4);
    assert_memory_equal(root->rows->data, rows, sizeof(rows));
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal((float *)root->values->data + i * COLS, expected + rows[i] * COLS,
                            COLS * sizeof(float));
    assert_true(sb_fold_sum_norm2(root, ROWS, COLS) == sb_norm2_rows(expected, ROWS, COLS));
    sb_fold_clear(&fold);

    /* One side by rows, the other dense. */
    float zeros[COUNT] = {0};
    sb_fold_take(&fold, 2, rows_sum(left_rows, left, 3), NULL);
    sb_fold_take(&fold, 3, dense(zeros, false), NULL);
    root = sb_fold_root(&fold);
    assert_null(root->rows);
    for (size_t i = 0; i < 3 * COLS; i++)
        assert_true(((float *)root->values->data)[left_rows[i / COLS] * COLS + i % COLS] ==
                    left[i]);
    assert_int_equal(sb_fold_sum_row_count(root), 0);
    sb_fold_clear(&fold);
    sb_fold_take(&fold, 2, dense(zeros, true), NULL);
    sb_fold_take(&fold, 3, rows_sum(right_rows, right, 2), NULL);
    root = sb_fold_root(&fold);
    assert_null(root->rows);
    for (size_t i = 0; i < 2 * COLS; i++)
        assert_true(((float *)root->values->data)[right_rows[i / COLS] * COLS + i % COLS] ==
                    right[i]);
    sb_fold_release(&fold);
}

/* Every second leaf: none has its sibling, so all are kept side by side until the others come. */
static void any_number_of_nodes_waits_for_its_siblings(void **state)
{
    (void)state;
    enum { MANY = 64 };
    struct sb_fold fold;
    sb_fold_init(&fold, MANY, ROWS, COLS);
    for (uint32_t leaf = MANY; leaf < 2 * MANY; leaf += 2)
        sb_fold_take(&fold, leaf, SB_FOLD_SUM_EMPTY, NULL);
    assert_int_equal(fold.held_count, MANY / 2);
    assert_null(sb_fold_root(&fold));
    for (uint32_t leaf = MANY + 1; leaf < 2 * MANY; leaf += 2)
        sb_fold_take(&fold, leaf, SB_FOLD_SUM_EMPTY, NULL);
    assert_int_equal(fold.held_count, 1);
    assert_non_null(sb_fold_root(&fold));
    sb_fold_release(&fold);
}

static void a_lonely_row_of_minus_zero_becomes_zero_as_in_the_dense_form(void **state)
{
    (void)state;
    static const uint32_t zero = 0, one = 1;
    static const float minus[COLS] = {-0.0f, -0.0f, -0.0f}, plus[COLS] = {1, 1, 1};
    struct sb_fold fold;
    sb_fold_init(&fold, 2, ROWS, COLS);
    sb_fold_take(&fold, 2, rows_sum(&zero, minus, 1), NULL);
    sb_fold_take(&fold, 3, rows_sum(&one, plus, 1), NULL);
    assert_false(signbit(*(float *)sb_fold_root(&fold)->values->data));
    sb_fold_release(&fold);
}

static void a_number_that_is_not_finite_shows_in_the_norm(void **state)
{
    (void)state;
    static const float strange[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct sb_fold fold;
        float values[COUNT] = {0};
        values[COUNT - 1] = strange[i];
        sb_fold_init(&fold, 1, ROWS, COLS);
        sb_fold_take(&fold, 1, dense(values, true), NULL);
        assert_false(isfinite(sb_fold_sum_norm2(sb_fold_root(&fold), ROWS, COLS)));
        sb_fold_release(&fold);
    }
}

static void threads_leave_no_trace_in_a_sum(void **state)
{
    (void)state;
    enum { N = 100003 };
    struct sb_pool *pool = sb_pool_new(3);
    struct sb_frame *sums[2];
    for (int threads = 0; threads < 2; threads++) {
        struct sb_fold fold;
        sb_fold_init(&fold, 2, 1, N);
        for (uint32_t node = 2; node < 4; node++) {
            struct sb_frame *frame = sb_frame_new(N * sizeof(float));
            for (size_t i = 0; i < N; i++)
                ((float *)frame->data)[i] = value(node, i);
            sb_fold_take(&fold, node, (struct sb_fold_sum){.values = frame, .ours = true},
                         threads ? pool : NULL);
        }
        sums[threads] = sb_frame_keep(sb_fold_root(&fold)->values);
        sb_fold_release(&fold);
    }
    assert_memory_equal(sums[0]->data, sums[1]->data, N * sizeof(float));
    sb_frame_drop(&sums[0]);
    sb_frame_drop(&sums[1]);
    sb_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_arrival_leaves_no_trace),
        cmocka_unit_test(a_larger_node_replaces_what_it_contains),
        cmocka_unit_test(borrowed_frames_are_kept_and_never_written),
        cmocka_unit_test(a_frame_of_our_own_becomes_the_sum),
        cmocka_unit_test(an_empty_side_takes_the_other_as_it_is),
        cmocka_unit_test(rows_add_up_like_the_dense_form),
        cmocka_unit_test(any_number_of_nodes_waits_for_its_siblings),
        cmocka_unit_test(a_lonely_row_of_minus_zero_becomes_zero_as_in_the_dense_form),
        cmocka_unit_test(a_number_that_is_not_finite_shows_in_the_norm),
        cmocka_unit_test(threads_leave_no_trace_in_a_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
