/* What a client makes of its work: pushes, rows and sums of evaluations, until they are answered.
 */
#include "client_play.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static void a_push_is_resent_until_it_is_answered(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    play_push_node(&play, 2, dense, &stats);
    size_t first = play.out.count;
    sb_outbox_clear(&play.out); /* all of it is lost */
    play_tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 0);
    play_tick(&play, 1);
    assert_int_equal(play.out.count, first);
    assert_int_equal(sb_client_counters(play.client)->retries, first);
    Sb__Head *push = NULL;
    uint64_t peer = 0;
    for (size_t i = 0; !push; i++) {
        peer = play.out.items[i].peer;
        push = sb_msg_open(play.out.items[i].msg, NULL);
        if (push->body_case != SB__HEAD__BODY_PUSH)
            sb_msg_close(&push);
    }
    play_say_ack(&play, peer, push, SB__ANSWER__ANSWER_FUTURE); /* no end */
    play_say_ack(&play, !peer, push, SB__ANSWER__ANSWER_NEW);   /* not the owner */
    sb_outbox_clear(&play.out);
    play_tick(&play, 8 * RETRY_MS);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count);
    play_say_ack(&play, peer, push, SB__ANSWER__ANSWER_STALE); /* silently the end of it */
    sb_outbox_clear(&play.out);
    play_tick(&play, 8 * RETRY_MS);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count - 1);
    sb_msg_close(&push);
    assert_int_equal(play.released, 0);
    play_answer_all(&play, 0);
    assert_int_equal(play.released, 1);
    play_tick(&play, 8 * RETRY_MS);
    assert_int_equal(play.out.count, 0);
    free(dense);
    play_release(&play);
}

static void memory_goes_back_when_the_last_frame_is_gone(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    play_push_node(&play, 2, dense, &stats);
    struct sb_msg *queued = sb_msg_copy(play.out.items[0].msg); /* as a slow network holds it */
    play_answer_all(&play, 0);
    assert_int_equal(play.released, 0);
    sb_msg_free(&queued);
    play_tick(&play, 1);
    assert_int_equal(play.released, 1);
    free(dense);
    play_release(&play);
}

static void later_work_ends_what_came_before(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    play_push_node(&play, 2, dense, &stats);
    sb_outbox_clear(&play.out);
    play_say_work(&play, false, 1, 2, 1, (uint32_t[]){1}); /* others have computed our nodes */
    assert_int_equal(play.released, 1);
    assert_int_equal(sb_client_work(play.client)->step, 0); /* the caller is still busy with it */
    const struct sb_work *before = sb_client_work(play.client);
    play_push_node(&play, 3, dense, &stats); /* nobody needs it */
    assert_int_equal(play.released, 2);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_PUSH), 0);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_DONE), 0);
    assert_int_equal(before->node_count, 2); /* a loop over it ends where it should */
    play_answer_all(&play, 1);
    assert_int_equal(sb_client_work(play.client)->step, 1);
    assert_int_equal(sb_client_work(play.client)->nodes[0], 1);
    free(dense);
    play_release(&play);
}

static void weights_from_the_future_drop_the_work(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_say_work(&play, false, 0, 1, 1, (uint32_t[]){2});
    play_answer_all(&play, 4); /* servers answer with the newest that they have */
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_say_work(&play, false, 4, 2, 1, (uint32_t[]){3});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_int_equal(sb_client_work(play.client)->step, 4);
    play_release(&play);
}

static void rows_are_wanted_and_pushed_by_part(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    const struct sb_work *work;
    assert_false(sb_client_needs_rows(play.client, &work));
    assert_null(work);
    play_say_work(&play, false, 0, 1, 1, (uint32_t[]){1});
    assert_true(sb_client_needs_rows(play.client, &work));
    assert_int_equal(work->nodes[0], 1);
    /* 160 rows in three parts: 53, 53 and 54. */
    uint32_t rows[] = {0, 52, 106, 159};
    sb_client_want_rows(play.client, play.now, rows, 4, &play.out);
    assert_false(sb_client_needs_rows(play.client, NULL));
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_int_equal(play.out.count, 2); /* none in the second part */
    assert_memory_equal(play.out.items[0].msg->frames[0]->data, ((uint32_t[]){0, 52}), 8);
    assert_memory_equal(play.out.items[1].msg->frames[0]->data, ((uint32_t[]){0, 53}), 8);
    play_answer_all(&play, 0);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_true(play.weights[52 * 4096 + 5] == play_value(0, 52 * 4096 + 5));
    assert_true(play.weights[159 * 4096 + 5] == play_value(0, 159 * 4096 + 5));
    assert_true(play.weights[51 * 4096 + 5] == 0);

    float *dense = calloc(play.parts.float_count, sizeof(float));
    float *values = calloc(3 * 4096, sizeof(float));
    struct sb_stats stats = {0};
    sb_client_push_node(play.client, play.now, 1, dense, (uint32_t[]){52, 53, 105}, values, 3,
                        &stats, UINT32_MAX, 0, play_count_released, &play.released, &play.out);
    for (size_t i = 0; i < 3; i++) {
        Sb__Head *head = sb_msg_open(play.out.items[i].msg, NULL);
        const struct sb_msg *msg = play.out.items[i].msg;
        assert_int_equal(head->part, i);
        assert_int_equal(head->push->empty, i == 2);
        assert_int_equal(head->push->rows, i < 2);
        if (i == 0) {
            assert_ptr_equal(msg->frames[0]->data, values);
            assert_int_equal(msg->frames[0]->bytes, 4096 * sizeof(float));
            assert_memory_equal(msg->frames[1]->data, ((uint32_t[]){52}), 4);
        } else if (i == 1) {
            assert_ptr_equal(msg->frames[0]->data, values + 4096);
            assert_int_equal(msg->frames[0]->bytes, 2 * 4096 * sizeof(float));
            assert_memory_equal(msg->frames[1]->data, ((uint32_t[]){0, 52}), 8);
        }
        sb_msg_close(&head);
    }
    play_answer_all(&play, 0);
    assert_int_equal(play.released, 1);

    /* Evaluation of other rows; an answer that names other rows than these is not taken. */
    play_tick(&play, 8 * RETRY_MS);
    play_answer_all(&play, 1);
    play_say_work(&play, true, 1, 2, 1, NULL);
    assert_true(sb_client_needs_rows(play.client, &work));
    assert_true(work->eval);
    sb_client_want_rows(play.client, play.now, (uint32_t[]){60}, 1, &play.out);
    struct sb_frame *others = sb_frame_new(4);
    memcpy(others->data, (uint32_t[]){8}, 4);
    play_say_weights(&play, 1, 1, others);
    sb_frame_drop(&others);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_answer_all(&play, 1);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    free(values);
    free(dense);
    play_release(&play);
}

static void evaluation_sends_sums_of_each_slot(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 2);
    play_answer_all(&play, 2);
    play_say_work(&play, true, 2, 5, 2, NULL);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    struct sb_stats stats = {.samples = 4};
    double counts[4] = {7, 8, 9, 10};
    sb_client_push_eval(play.client, play.now, 0, &stats, NULL, 0, 0, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    sb_client_push_eval(play.client, play.now, 1, &stats, counts, 4, 0.25, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_int_equal(play.out.count, 2);
    Sb__Head *head = sb_msg_open(play.out.items[1].msg, NULL);
    assert_int_equal(head->done->kind, SB__WORK_KIND__WORK_EVAL);
    assert_int_equal(head->done->sequence, 5);
    assert_int_equal(head->done->slot, 1);
    assert_int_equal(head->done->n_sums, 10);
    assert_true(head->done->sums[0] == 4 && head->done->sums[9] == 10);
    assert_true(head->done->seconds == 0.25);
    sb_msg_close(&head);
    sb_outbox_clear(&play.out);
    play_tick(&play, RETRY_MS);
    assert_int_equal(play_said(&play), 2);
    play_answer_all(&play, 2);
    play_tick(&play, 8 * RETRY_MS);
    assert_int_equal(play_said(&play), 0);
    /* An evaluation set or a slot that the plan has not. */
    play_say_work(&play, true, 2, 6, 7, NULL);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_release(&play);
}

static void the_confusion_of_many_classes_fits_a_message(void **state)
{
    (void)state;
    enum { K = 300 };
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 2);
    play_answer_all(&play, 2);
    play_say_work(&play, true, 2, 5, 1, NULL);
    struct sb_stats stats = {.samples = 4};
    double *counts = calloc(K * K, sizeof(*counts));
    for (size_t i = 0; i < K * K; i++)
        counts[i] = (double)i;
    sb_client_push_eval(play.client, play.now, 0, &stats, counts, K * K, 0, &play.out);
    Sb__Head *head = sb_msg_open(play.out.items[0].msg, NULL);
    assert_int_equal(head->done->n_sums, 6 + K * K);
    assert_memory_equal(head->done->sums + 6, counts, K * K * sizeof(*counts));
    sb_msg_close(&head);
    free(counts);
    play_release(&play);
}

static void pushes_after_finish_give_the_memory_back(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    play_push_node(&play, 2, dense, &stats);
    sb_outbox_clear(&play.out);
    play_say_finish(&play, 0, 143, "");
    assert_int_equal(play.released, 1);
    play_push_node(&play, 3, dense, &stats);
    sb_client_push_eval(play.client, play.now, 0, &stats, NULL, 0, 0, &play.out);
    assert_int_equal(play.released, 2);
    assert_int_equal(play.out.count, 0);
    free(dense);
    play_release(&play);
}

static void a_push_that_is_bad_every_time_ends_it(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 1, (uint32_t[]){1});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    play_push_node(&play, 1, dense, &stats);
    Sb__Head *push = sb_msg_open(play.out.items[0].msg, NULL);
    uint64_t peer = play.out.items[0].peer;
    sb_outbox_clear(&play.out);
    play_say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    play_say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    assert_int_not_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    play_say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    const char *sentence;
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(sb_client_code(play.client, &sentence), SB_ERR_BUG);
    assert_string_equal(sentence, "rows do not rise");
    assert_int_equal(play.released, 1);
    sb_msg_close(&push);
    free(dense);
    play_release(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_is_resent_until_it_is_answered),
        cmocka_unit_test(memory_goes_back_when_the_last_frame_is_gone),
        cmocka_unit_test(later_work_ends_what_came_before),
        cmocka_unit_test(weights_from_the_future_drop_the_work),
        cmocka_unit_test(rows_are_wanted_and_pushed_by_part),
        cmocka_unit_test(evaluation_sends_sums_of_each_slot),
        cmocka_unit_test(the_confusion_of_many_classes_fits_a_message),
        cmocka_unit_test(pushes_after_finish_give_the_memory_back),
        cmocka_unit_test(a_push_that_is_bad_every_time_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
