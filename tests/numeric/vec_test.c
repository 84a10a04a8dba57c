#include "arrays.h"
#include "embed.h"
#include "support.h"
#include "vec.h"

#include <string.h>

enum { ROWS = 9, COLS = 53 };

static void norm_is_the_sum_of_squares(void **state)
{
    (void)state;
    static float x[ROWS * COLS];
    double expected = 0;
    sb_test_fill(x, ROWS * COLS, 1, -1, 1);
    for (int i = 0; i < ROWS * COLS; i++)
        expected += (double)x[i] * x[i];
    assert_true(fabs(sb_norm2_rows(x, ROWS, COLS) - expected) < 1e-12 * expected);
    assert_true(fabs(sb_norm2(x, ROWS * COLS) - expected) < 1e-12 * expected);
}

static void norm_does_not_see_rows_of_zeros(void **state)
{
    (void)state;
    static float x[ROWS * COLS], dense[3 * ROWS * COLS];
    sb_test_fill(x, ROWS * COLS, 1, -1, 1);
    for (int row = 0; row < ROWS; row++)
        memcpy(dense + (3 * row + row % 3) * COLS, x + row * COLS, COLS * sizeof(float));
    assert_true(sb_norm2_rows(x, ROWS, COLS) == sb_norm2_rows(dense, 3 * ROWS, COLS));
}

static void what_is_not_finite_is_found_anywhere(void **state)
{
    (void)state;
    static float x[COLS];
    const float bad[] = {INFINITY, -INFINITY, NAN};
    sb_test_fill(x, COLS, 1, -1, 1);
    x[7] = 3.4e38f;
    x[8] = -1e-44f;
    assert_true(sb_all_finite(x, COLS));
    assert_true(sb_all_finite(x, 0));
    for (int i = 0; i < COLS; i++)
        for (int kind = 0; kind < 3; kind++) {
            float kept = x[i];
            x[i] = bad[kind];
            assert_false(sb_all_finite(x, COLS));
            x[i] = kept;
        }
}

static void column_sums_are_added(void **state)
{
    (void)state;
    enum { N = 77, C = 130, WIDE = 140 };
    static float dy[N * WIDE], sums[C];
    sb_test_fill(dy, N * WIDE, 1, -1, 1);
    for (int c = 0; c < C; c++)
        sums[c] = 10;
    sb_column_sums(sums, dy, N, C, WIDE);
    for (int c = 0; c < C; c++) {
        double expected = 10;
        for (int n = 0; n < N; n++)
            expected += dy[n * WIDE + c];
        assert_true(fabs(sums[c] - expected) < 3e-6);
    }
}

static void embedding_sums_three_rows(void **state)
{
    (void)state;
    enum { N = 4, C = 21 };
    static float word[10 * C], type[2 * C], position[5 * C], z[N * C];
    const int32_t ids[N] = {9, 0, 3, 9};
    const uint8_t types[N] = {0, 1, 1, 0};
    const uint32_t positions[N] = {0, 1, 2, 4};
    sb_test_fill(word, 10 * C, 1, -1, 1);
    sb_test_fill(type, 2 * C, 2, -1, 1);
    sb_test_fill(position, 5 * C, 3, -1, 1);
    sb_embed_forward(z, word, type, position, ids, types, positions, N, C);
    for (size_t n = 0; n < N; n++)
        for (size_t c = 0; c < C; c++)
            assert_true(z[n * C + c] == (word[(size_t)ids[n] * C + c] + type[types[n] * C + c]) +
                                            position[positions[n] * C + c]);
}

static void embedding_gradient_goes_to_its_row_and_skips_one(void **state)
{
    (void)state;
    enum { N = 5, C = 40 };
    static float dz[N * C], dtable[4 * C], expected[4 * C];
    const uint32_t rows[N] = {3, 1, 3, UINT32_MAX, 1};
    sb_test_fill(dz, N * C, 1, -1, 1);
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C && rows[n] != UINT32_MAX; c++)
            expected[rows[n] * C + (uint32_t)c] += dz[n * C + c];
    sb_embed_backward(dtable, dz, rows, N, C, 0, 17, UINT32_MAX);
    sb_embed_backward(dtable, dz, rows, N, C, 17, C, UINT32_MAX);
    assert_memory_equal(dtable, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_is_the_sum_of_squares),
        cmocka_unit_test(norm_does_not_see_rows_of_zeros),
        cmocka_unit_test(what_is_not_finite_is_found_anywhere),
        cmocka_unit_test(column_sums_are_added),
        cmocka_unit_test(embedding_sums_three_rows),
        cmocka_unit_test(embedding_gradient_goes_to_its_row_and_skips_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
