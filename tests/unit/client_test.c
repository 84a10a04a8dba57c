/* The life of a client: joining, weights, the next step, the end. */
#include "client_play.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static void hello_is_repeated_until_the_welcome(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    play_tick(&play, 0);
    assert_int_equal(play.out.count, 1);
    assert_int_equal(play.out.items[0].peer, SB_PEER_COORDINATOR);
    Sb__Head *head = sb_msg_open(play.out.items[0].msg, NULL);
    assert_int_equal(head->body_case, SB__HEAD__BODY_HELLO);
    assert_int_equal(head->hello->role, SB__ROLE__ROLE_WORKER);
    assert_string_equal(head->hello->canonical, play_canonical);
    assert_int_equal(head->hello->n_layout, play.span_count);
    assert_int_equal(head->hello->layout[1]->rows, 64);
    assert_int_equal(head->hello->plan->slots, SLOTS);
    sb_msg_close(&head);
    play_tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 1);
    for (size_t i = 0; i < 5; i++)
        play_tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, 6);
    assert_null(sb_client_welcome(play.client));
    sb_outbox_clear(&play.out);
    play_say_welcome(&play, false, 0);
    assert_non_null(sb_client_welcome(play.client));
    assert_int_equal(sb_client_parts(play.client)->server_count, SERVERS);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_WANT),
                     play.parts.count); /* frozen ones too */
    sb_outbox_clear(&play.out);
    play_say_welcome(&play, false, 0); /* repeated: nothing new */
    assert_int_equal(play.out.count, 0);
    play_release(&play);
}

static void first_weights_are_pushed_and_wanted(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, true);
    play_tick(&play, 0);
    sb_outbox_clear(&play.out);
    play_say_welcome(&play, true, 0);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_SEED);
    assert_int_equal(play.out.count, 0);
    for (uint64_t i = 0; i < play.parts.float_count; i++)
        play.weights[i] = play_value(0, i);
    sb_client_seed(play.client, play.now, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count);
    size_t sparse = 0;
    for (size_t i = 0; i < play.parts.count; i++)
        sparse += play.parts.parts[i].row_sparse;
    assert_int_equal(sparse, 3);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_WANT), play.parts.count - sparse);
    play_answer_all(&play, 0);
    play_tick(&play, 10 * RETRY_MS);
    assert_int_equal(play_said(&play), 0);
    play_release(&play);
}

static void work_is_reported_when_its_weights_are_complete(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    play_join(&play, 3);
    play_say_work(&play, false, 3, 1, 2, (uint32_t[]){2, 6});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_null(sb_client_work(play.client));
    for (uint32_t i = 0; i + 1 < play.parts.count; i++) {
        play_say_weights(&play, i, 3, NULL);
        assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    }
    play_say_weights(&play, (uint32_t)play.parts.count - 1, 3, NULL);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    for (uint64_t i = 0; i < play.parts.float_count; i++)
        assert_true(play.weights[i] == play_value(3, i));
    const struct sb_work *work = sb_client_work(play.client);
    assert_false(work->eval);
    assert_int_equal(work->step, 3);
    assert_int_equal(work->node_count, 2);
    assert_int_equal(work->nodes[1], 6);
    /* What was not asked for, or is older, changes nothing. */
    play_say_weights(&play, 0, 2, NULL);
    play_say_weights(&play, 0, 9, NULL);
    assert_true(play.weights[0] == play_value(3, 0));
    assert_int_equal(sb_client_counters(play.client)->dropped, 2);
    play_say_work(&play, false, 3, 1, 1, (uint32_t[]){7}); /* a repeated sequence */
    assert_int_equal(work->nodes[0], 2);
    play_release(&play);
}

static void a_step_ends_with_wants_for_the_next(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    play_say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 6});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {1, 2, 3, 4, 5, 6};
    size_t trainable = play.parts.count - 1;
    play_push_node(&play, 6, dense, &stats);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_PUSH), trainable);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_WANT), 0);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    for (size_t i = 0; i < play.out.count; i++) {
        Sb__Head *head = sb_msg_open(play.out.items[i].msg, NULL);
        assert_int_equal(head->node, 6);
        assert_int_equal(head->step, 0);
        assert_int_equal(head->term, TERM);
        if (head->body_case == SB__HEAD__BODY_PUSH) { /* the gradient buffer itself is sent */
            assert_ptr_equal(play.out.items[i].msg->frames[0]->data,
                             dense + play.parts.parts[head->part].offset);
        } else {
            assert_int_equal(head->done->n_sums, 6);
            for (int s = 0; s < 6; s++)
                assert_true(head->done->sums[s] == s + 1);
        }
        sb_msg_close(&head);
    }
    play_push_node(&play, 2, NULL, &stats); /* an empty node */
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_DONE), 2);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_WANT), trainable); /* frozen: once only */
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_answer_all(&play, 0); /* acknowledged, not committed yet */
    assert_int_equal(play.released, 2);
    play_say_work(&play, false, 1, 2, 1, (uint32_t[]){1});
    assert_int_equal(play.out.count, 0); /* asked already */
    play_tick(&play, RETRY_MS);
    assert_int_equal(play_said(&play), trainable);
    play_answer_all(&play, 1);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_int_equal(sb_client_work(play.client)->step, 1);
    free(dense);
    play_release(&play);
}

static void finish_waits_for_the_export_and_is_answered_for_ever(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, true);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    sb_client_stop(play.client, play.now, 130, NULL, &play.out);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_STOP), 1);
    play_tick(&play, RETRY_MS);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_STOP), 2);
    sb_outbox_clear(&play.out);
    play_say_finish(&play, 9, 130, "{\"a\":1}");
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_FINISH);
    assert_string_equal(sb_client_history(play.client), "{\"a\":1}");
    assert_false(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_false(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_int_equal(play.out.count, play.parts.count - 1); /* the frozen part is here */
    sb_outbox_clear(&play.out);
    play_tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, play.parts.count - 1);
    play_answer_all(&play, 9);
    assert_true(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_true(play.weights[100 * 4096] == play_value(9, 100 * 4096));
    play_say_finish(&play, 9, 130, "");
    assert_int_equal(play.out.count, 0);
    sb_client_bye(play.client, play.now, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_BYE), 3);
    play_say_finish(&play, 9, 130, "");
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_BYE), 4);
    const char *sentence;
    assert_int_equal(sb_client_code(play.client, &sentence), 130);
    assert_string_equal(sentence, "stopped");
    sb_outbox_clear(&play.out);
    play_tick(&play, 100000);
    assert_int_equal(play.out.count, 0);
    play_release(&play);
}

static void a_refusal_ends_it_with_code_and_sentence(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_tick(&play, 0);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Refuse refuse = SB__REFUSE__INIT;
    refuse.code = SB_ERR_CONFIG;
    refuse.sentence = "batch_size is 32 here and 16 there";
    head.job = 12345; /* of another job: that is why */
    head.body_case = SB__HEAD__BODY_REFUSE;
    head.refuse = &refuse;
    play_say(&play, 0, &head, NULL, NULL);
    const char *sentence;
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(sb_client_code(play.client, &sentence), SB_ERR_CONFIG);
    assert_string_equal(sentence, refuse.sentence);
    play_release(&play);
}

static void strangers_and_damage_are_dropped_and_counted(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    uint64_t dropped = sb_client_counters(play.client)->dropped;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Work work = SB__WORK__INIT;
    uint32_t nodes[1] = {1};
    work.sequence = 1;
    work.n_nodes = 1;
    work.nodes = nodes;
    head.body_case = SB__HEAD__BODY_WORK;
    head.work = &work;
    head.job = 99;
    play_say(&play, 0, &head, NULL, NULL);
    head.job = 0;
    head.term = TERM - 1;
    play_say(&play, 0, &head, NULL, NULL);
    head.term = 0;
    play_say(&play, 1, &head, NULL, NULL); /* not the coordinator */
    nodes[0] = 2 * SLOTS;                  /* not in this job's tree */
    play_say(&play, 0, &head, NULL, NULL);
    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    play_say(&play, 0, &head, NULL, NULL);
    struct sb_msg *junk = sb_msg_new(&head, NULL, NULL, false);
    memset(junk->head, 0xff, junk->head_bytes);
    sb_client_handle(play.client, play.now, 0, &junk, &play.out);
    assert_int_equal(sb_client_counters(play.client)->dropped, dropped + 6);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_release(&play);
}

static void a_silent_coordinator_is_asked_for_a_sign_of_life(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    play_join(&play, 0);
    play_answer_all(&play, 0);
    uint64_t heard = sb_client_last_heard(play.client);
    play_tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 0);
    play_tick(&play, 1);
    assert_int_equal(play_count_of(&play, SB__HEAD__BODY_HELLO), 1);
    play_tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 1);
    assert_true(sb_client_last_heard(play.client) == heard);
    play_say_welcome(&play, false, 0);
    assert_true(sb_client_last_heard(play.client) == play.now);
    play_release(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_repeated_until_the_welcome),
        cmocka_unit_test(first_weights_are_pushed_and_wanted),
        cmocka_unit_test(work_is_reported_when_its_weights_are_complete),
        cmocka_unit_test(a_step_ends_with_wants_for_the_next),
        cmocka_unit_test(finish_waits_for_the_export_and_is_answered_for_ever),
        cmocka_unit_test(a_refusal_ends_it_with_code_and_sentence),
        cmocka_unit_test(strangers_and_damage_are_dropped_and_counted),
        cmocka_unit_test(a_silent_coordinator_is_asked_for_a_sign_of_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
