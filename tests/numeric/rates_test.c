/* Rates of their own and late beginnings against PyTorch's AdamW with parameter groups. */
#include "shard.h"
#include "support.h"

#include <math.h>
#include <string.h>

#include "../golden/rates_golden.h"

enum { TERM = 1, ROOT = 1, ROWS = 4, COLS = RATES_FLOATS / ROWS };

static void push(struct sb_shard *shard, uint64_t step, uint32_t part, bool initial,
                 const double *values, size_t count, bool rows)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push body = SB__PUSH__INIT;
    char sentence[256];
    struct sb_frame *frame = sb_frame_new(count * sizeof(float)), *numbers = NULL;
    for (size_t i = 0; i < count; i++)
        ((float *)frame->data)[i] = (float)values[i];
    if (rows)
        numbers = sb_frame_new(ROWS * sizeof(uint32_t));
    for (uint32_t i = 0; rows && i < ROWS; i++)
        ((uint32_t *)numbers->data)[i] = i;
    body.initial = initial;
    body.rows = rows;
    head.term = TERM;
    head.step = step;
    head.node = ROOT;
    head.part = part;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &body;
    struct sb_msg *msg = sb_msg_new(&head, frame, numbers, true);
    sb_frame_drop(&frame);
    sb_frame_drop(&numbers);
    assert_int_equal(sb_shard_judge(shard, &head, msg, sentence, sizeof(sentence)),
                     SB__ANSWER__ANSWER_NEW);
    sb_shard_take(shard, &head, msg);
    sb_msg_free(&msg);
}

/* Two tensors in one part, and a late one in a part of its own, dense or by rows. */
static void train(bool by_rows)
{
    const struct sb_span spans[] = {
        {.rows = 1, .cols = RATES_FLOATS, .decay = true, .trainable = true, .rate = 1},
        {.rows = 1, .cols = RATES_FLOATS, .decay = true, .trainable = true, .rate = 2},
        {.rows = ROWS,
         .cols = COLS,
         .decay = true,
         .trainable = true,
         .row_sparse = by_rows,
         .rate = 0.5,
         .from_step = RATES_FROM},
    };
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    sb_job_init(&job);
    assert_int_equal(sb_job_set(&job, "weight_decay=0.1", &err), 0);
    struct sb_shard *shard = sb_shard_new(&job, NULL, spans, 3, 0, 1, 1, TERM);
    assert_int_equal(shard->parts.count, 2);
    push(shard, 0, 0, true, rates_start, 2 * RATES_FLOATS, false);
    push(shard, 0, 1, true, rates_start + 2 * RATES_FLOATS, RATES_FLOATS, false);
    for (uint64_t step = 0; step < RATES_STEPS; step++) {
        const double *grads = rates_grads + step * 3 * RATES_FLOATS;
        double norms[2], squares = 0;
        uint32_t bad;
        push(shard, step, 0, false, grads, 2 * RATES_FLOATS, false);
        push(shard, step, 1, false, grads + 2 * RATES_FLOATS, RATES_FLOATS, by_rows);
        assert_true(sb_shard_norms(shard, norms, &bad));
        for (size_t i = 0; i < RATES_FLOATS; i++)
            squares += grads[2 * RATES_FLOATS + i] * grads[2 * RATES_FLOATS + i];
        assert_true(step < RATES_FROM ? norms[1] == 0 : fabs(norms[1] - squares) < 1e-6 * squares);
        sb_shard_commit(shard, true, 1, 0.01);
    }
    for (uint32_t part = 0; part < 2; part++) {
        struct sb_frame *end = sb_shard_weights(shard, part, NULL);
        for (size_t i = 0; i < end->bytes / sizeof(float); i++)
            assert_true(
                fabs((double)((float *)end->data)[i] - rates_end[part * 2 * RATES_FLOATS + i]) <
                3e-6); /* floats, eight steps of at most 0.02 */
        sb_frame_drop(&end);
    }
    sb_shard_free(&shard);
    sb_job_release(&job);
}

static void rates_and_late_beginnings_equal_pytorch(void **state)
{
    (void)state;
    train(false);
}

static void so_do_those_of_rows(void **state)
{
    (void)state;
    train(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_and_late_beginnings_equal_pytorch),
        cmocka_unit_test(so_do_those_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
