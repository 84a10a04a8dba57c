/* The vectors of a step: what counts, what does not, and how they are joined. */
#include "gather.h"
#include "support.h"

#include <math.h>
#include <string.h>

enum { SLOTS = 4, SIZE = 3 };

/* rows rows of the slot's number; NULL for none. */
static struct sb_frame *vectors(uint32_t slot, size_t rows)
{
    struct sb_frame *frame = rows ? sb_frame_new(rows * SIZE * sizeof(float)) : NULL;
    for (size_t i = 0; i < rows * SIZE; i++)
        ((float *)frame->data)[i] = (float)slot;
    return frame;
}

static int take(struct sb_gather *gather, uint64_t slot, struct sb_frame *frame)
{
    int taken = sb_gather_take(gather, slot, frame);
    sb_frame_drop(&frame);
    return taken;
}

static void slots_are_joined_in_their_order_whenever_they_came(void **state)
{
    (void)state;
    static const size_t rows[SLOTS] = {2, 0, 1, 3};
    static const uint32_t orders[2][SLOTS] = {{0, 1, 2, 3}, {3, 1, 0, 2}};
    struct sb_gather gather = {0};
    assert_false(sb_gather_complete(&gather));
    for (int o = 0; o < 2; o++) {
        sb_gather_begin(&gather, SLOTS, SIZE);
        for (int i = 0; i < SLOTS; i++) {
            uint32_t slot = orders[o][i];
            assert_false(sb_gather_complete(&gather));
            assert_int_equal(take(&gather, slot, vectors(slot, rows[slot])), 1);
        }
        assert_true(sb_gather_complete(&gather));
        assert_int_equal(gather.group->bytes, 6 * SIZE * sizeof(float));
        const float *floats = gather.group->data;
        for (size_t i = 0; i < 6 * SIZE; i++)
            assert_true(floats[i] == (i < 2 * SIZE ? 0.0f : i < 3 * SIZE ? 2.0f : 3.0f));
    }
    sb_gather_release(&gather);
}

static void a_second_copy_counts_nothing(void **state)
{
    (void)state;
    struct sb_gather gather = {0};
    sb_gather_begin(&gather, 2, SIZE);
    assert_int_equal(take(&gather, 1, vectors(1, 1)), 1);
    assert_int_equal(take(&gather, 1, vectors(7, 2)), 0);
    assert_int_equal(take(&gather, 0, NULL), 1);
    assert_int_equal(take(&gather, 0, vectors(7, 2)), 0);
    assert_int_equal(gather.group->bytes, SIZE * sizeof(float));
    assert_true(*(float *)gather.group->data == 1.0f);
    sb_gather_release(&gather);
}

static void what_is_no_slot_no_rows_or_too_much_is_refused(void **state)
{
    (void)state;
    struct sb_gather gather = {0};
    struct sb_frame *odd = sb_frame_new(4), *huge = sb_frame_new(SB_FRAME_BYTES_MAX / 12 * 12);
    memset(odd->data, 0, odd->bytes);
    memset(huge->data, 0, huge->bytes);
    sb_gather_begin(&gather, 3, SIZE);
    assert_int_equal(take(&gather, 3, NULL), -1);
    assert_int_equal(take(&gather, UINT64_MAX, NULL), -1);
    assert_int_equal(sb_gather_take(&gather, 0, odd), -1);
    assert_int_equal(sb_gather_take(&gather, 0, huge), 1);
    assert_int_equal(take(&gather, 1, vectors(1, 1)), -1);
    assert_int_equal(gather.missing, 2);
    sb_gather_release(&gather);
    sb_frame_drop(&odd);
    sb_frame_drop(&huge);
}

static void a_number_that_is_not_finite_names_its_slot(void **state)
{
    (void)state;
    struct sb_gather gather = {0};
    sb_gather_begin(&gather, 2, SIZE);
    struct sb_frame *bad = vectors(1, 2);
    ((float *)bad->data)[5] = INFINITY;
    assert_int_equal(gather.bad_slot, UINT32_MAX);
    assert_int_equal(take(&gather, 1, bad), 1);
    assert_int_equal(gather.bad_slot, 1);
    /* Nobody is given what cannot be compared. */
    assert_int_equal(take(&gather, 0, vectors(7, 1)), 1);
    assert_int_equal(gather.group->bytes, 3 * SIZE * sizeof(float));
    for (size_t i = 0; i < 3 * SIZE; i++)
        assert_true(((float *)gather.group->data)[i] == 0);
    sb_gather_release(&gather);
}

static void a_group_without_a_row_is_complete_and_has_no_frame(void **state)
{
    (void)state;
    struct sb_gather gather = {0};
    sb_gather_begin(&gather, 1, SIZE);
    assert_int_equal(take(&gather, 0, NULL), 1);
    assert_true(sb_gather_complete(&gather));
    assert_null(gather.group);
    sb_gather_release(&gather);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_joined_in_their_order_whenever_they_came),
        cmocka_unit_test(a_second_copy_counts_nothing),
        cmocka_unit_test(what_is_no_slot_no_rows_or_too_much_is_refused),
        cmocka_unit_test(a_number_that_is_not_finite_names_its_slot),
        cmocka_unit_test(a_group_without_a_row_is_complete_and_has_no_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
