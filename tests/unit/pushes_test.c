/* What is sent again, and when. */
#include "support.h"

#include "pushes.h"
#include "wants.h"

#include <string.h>

#define MS UINT64_C(1000000)

enum { PEER = 1, RETRY_MS = 100 };

static struct sb_msg *message(size_t frame_bytes)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push body = SB__PUSH__INIT;
    struct sb_frame *frame = sb_frame_new(frame_bytes);
    memset(frame->data, 0, frame_bytes);
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &body;
    struct sb_msg *msg = sb_msg_new(&head, frame, NULL, true);
    sb_frame_drop(&frame);
    return msg;
}

static void what_has_not_left_this_host_is_seldom_sent_again(void **state)
{
    (void)state;
    struct sb_outbox net = {0}, out = {0};
    struct sb_retry retry = {0};
    sb_retry_start(&retry, 1, PEER, message(4096), &net); /* the net is slow, and keeps it */
    for (uint64_t ms = RETRY_MS; ms < 60 * RETRY_MS; ms += RETRY_MS)
        assert_false(sb_retry_tick(&retry, ms * MS, 0, RETRY_MS, PEER, &out));
    sb_outbox_release(&net);
    assert_true(sb_retry_tick(&retry, 60 * RETRY_MS * MS, 0, RETRY_MS, PEER, &out));
    assert_int_equal(out.count, 1);
    sb_retry_end(&retry);
    sb_outbox_release(&out);
}

static void waits_double_up_to_eight_times(void **state)
{
    (void)state;
    struct sb_outbox out = {0};
    struct sb_retry retry = {0};
    uint64_t sent = 1, waits[] = {1, 2, 4, 8, 8};
    sb_retry_start(&retry, sent, PEER, message(8), &out);
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        uint64_t due = sent + waits[i] * RETRY_MS * MS;
        sb_outbox_release(&out);
        assert_false(sb_retry_tick(&retry, due - 1, 0, RETRY_MS, PEER, &out));
        assert_true(sb_retry_tick(&retry, due, 0, RETRY_MS, PEER, &out));
        sent = due;
    }
    sb_retry_end(&retry);
    sb_outbox_release(&out);
}

static void a_worker_that_asks_again_is_known(void **state)
{
    (void)state;
    struct sb_wants wants;
    sb_wants_init(&wants, 2);
    for (uint64_t step = 0; step < 3; step++)
        for (uint64_t worker = 0; worker < 9; worker++) {
            for (uint32_t before = 0; before < 3; before++)
                assert_int_equal(sb_wants_note(&wants, 1, step, worker), before);
            assert_int_equal(sb_wants_note(&wants, 0, step, worker), 0);
        }
    sb_wants_release(&wants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_not_left_this_host_is_seldom_sent_again),
        cmocka_unit_test(waits_double_up_to_eight_times),
        cmocka_unit_test(a_worker_that_asks_again_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
