/* The client in a step whose loss compares the vectors of all slots, against a coordinator that is
 * played by hand. */
#include "client.h"
#include "support.h"

#include <string.h>

enum { RETRY_MS = 100, SLOTS = 4, SIZE = 3, TERM = 7, COUNT = 5 };
#define MS UINT64_C(1000000)
static const char canonical[] = "batch_size=4\n";

struct play {
    struct sb_client *client;
    struct sb_outbox out;
    uint64_t now;
    Sb__Plan plan;
    float weights[COUNT];
};

static void say(struct play *play, uint64_t peer, Sb__Head *head, struct sb_frame *frame)
{
    head->job = sb_msg_job(canonical);
    head->term = TERM;
    struct sb_msg *msg = sb_msg_new(head, frame, NULL, true);
    sb_frame_drop(&frame);
    sb_client_handle(play->client, play->now, peer, &msg, &play->out);
}

/* Welcomed, with the weights of step 0. */
static void play_init(struct play *play)
{
    static const struct sb_span span = {.rows = 1, .cols = COUNT, .trainable = true};
    *play = (struct play){.now = 1000 * MS};
    sb__plan__init(&play->plan);
    play->plan.slots = SLOTS;
    play->plan.vector_size = SIZE;
    struct sb_client_options options = {.self = SB_PEER_WORKER_BIT | 1,
                                        .canonical = canonical,
                                        .fingerprint = "f",
                                        .name = "host:1",
                                        .plan = &play->plan,
                                        .spans = &span,
                                        .span_count = 1,
                                        .weights = play->weights,
                                        .retry_ms = RETRY_MS,
                                        .checksum = true};
    play->client = sb_client_new(&options, play->now);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Welcome welcome = SB__WELCOME__INIT;
    char *server = "tcp://a:1";
    welcome.worker_count = welcome.n_servers = 1;
    welcome.servers = &server;
    head.body_case = SB__HEAD__BODY_WELCOME;
    head.welcome = &welcome;
    say(play, 0, &head, NULL);
    Sb__Weights weights = SB__WEIGHTS__INIT;
    struct sb_frame *floats = sb_frame_new(COUNT * sizeof(float));
    memset(floats->data, 0, floats->bytes);
    head.body_case = SB__HEAD__BODY_WEIGHTS;
    head.weights = &weights;
    say(play, 0, &head, floats);
    sb_outbox_clear(&play->out);
}

static void play_release(struct play *play)
{
    sb_outbox_release(&play->out);
    sb_client_free(&play->client);
}

static void say_work(struct play *play, Sb__WorkKind kind, uint64_t step, uint64_t sequence,
                     uint32_t first, uint32_t end)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Work work = SB__WORK__INIT;
    uint32_t node = 1;
    work.kind = kind;
    work.sequence = sequence;
    work.first_slot = first;
    work.end_slot = end;
    work.nodes = &node;
    work.n_nodes = kind == SB__WORK_KIND__WORK_TRAIN;
    head.step = step;
    head.body_case = SB__HEAD__BODY_WORK;
    head.work = &work;
    say(play, 0, &head, NULL);
}

static void say_group(struct play *play, uint64_t peer, uint64_t step, size_t rows, float value)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Group group = SB__GROUP__INIT;
    struct sb_frame *frame = rows ? sb_frame_new(rows * SIZE * sizeof(float)) : NULL;
    for (size_t i = 0; i < rows * SIZE; i++)
        ((float *)frame->data)[i] = value;
    head.step = step;
    head.body_case = SB__HEAD__BODY_GROUP;
    head.group = &group;
    say(play, peer, &head, frame);
}

/* How many messages of this kind are in the outbox, which is empty afterwards. */
static size_t said(struct play *play, Sb__Head__BodyCase body)
{
    size_t count = 0;
    for (size_t i = 0; i < play->out.count; i++) {
        Sb__Head *head = sb_msg_open(play->out.items[i].msg, NULL);
        assert_non_null(head);
        count += head->body_case == body;
        sb_msg_close(&head);
    }
    sb_outbox_clear(&play->out);
    return count;
}

static void tick(struct play *play, uint64_t ms)
{
    play->now += ms * MS;
    sb_client_tick(play->client, play->now, &play->out);
}

static bool works(const struct play *play)
{
    return sb_client_state(play->client) == SB_CLIENT_WORK;
}

static void vectors_are_sent_by_slot_until_they_are_acknowledged(void **state)
{
    (void)state;
    struct play play;
    const float vectors[2 * SIZE] = {1, 2, 3, 4, 5, 6};
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_EMBED, 0, 1, 1, 3);
    assert_true(works(&play));
    assert_true(sb_client_work(play.client)->embed);
    sb_client_push_vectors(play.client, play.now, 1, vectors, 2 * SIZE, 0.1, &play.out);
    assert_true(works(&play));
    assert_int_equal(play.out.count, 1);
    Sb__Head *head = sb_msg_open(play.out.items[0].msg, NULL);
    assert_int_equal(head->body_case, SB__HEAD__BODY_DONE);
    assert_int_equal(head->done->kind, SB__WORK_KIND__WORK_EMBED);
    assert_int_equal(head->done->slot, 1);
    assert_memory_equal(play.out.items[0].msg->frames[0]->data, vectors, sizeof(vectors));
    sb_msg_close(&head);
    sb_client_push_vectors(play.client, play.now, 2, NULL, 0, 0.1, &play.out);
    assert_int_equal(play.out.items[1].msg->frame_count, 0);
    assert_false(works(&play));
    sb_outbox_clear(&play.out);
    tick(&play, RETRY_MS);
    assert_int_equal(said(&play, SB__HEAD__BODY_DONE), 2);
    for (uint64_t slot = 1; slot <= 2; slot++) {
        Sb__Head answer = SB__HEAD__INIT;
        Sb__DoneAck ack = SB__DONE_ACK__INIT;
        ack.kind = SB__WORK_KIND__WORK_EMBED;
        ack.sequence = 1;
        ack.slot = slot;
        answer.body_case = SB__HEAD__BODY_DONE_ACK;
        answer.done_ack = &ack;
        say(&play, 0, &answer, NULL);
    }
    tick(&play, 10 * RETRY_MS);
    assert_int_equal(said(&play, SB__HEAD__BODY_DONE), 0);
    play_release(&play);
}

static void nodes_wait_for_the_group_which_is_asked_for_until_it_comes(void **state)
{
    (void)state;
    struct play play;
    size_t count;
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_TRAIN, 0, 1, 0, 0);
    assert_false(works(&play));
    assert_int_equal(said(&play, SB__HEAD__BODY_GROUP_WANT), 1);
    for (int i = 0; i < 20; i++) { /* steadily: it is a sign of life */
        tick(&play, RETRY_MS);
        assert_int_equal(said(&play, SB__HEAD__BODY_GROUP_WANT), 1);
    }
    say_group(&play, 0, 1, 2, 9); /* of another step */
    say_group(&play, 1, 0, 2, 9); /* not of the coordinator */
    assert_false(works(&play));
    say_group(&play, 0, 0, 2, 5);
    assert_true(works(&play));
    const float *group = sb_client_group(play.client, &count);
    assert_int_equal(count, 2 * SIZE);
    assert_true(group[0] == 5);
    say_group(&play, 0, 0, 3, 9); /* nothing is asked any more */
    assert_true(sb_client_group(play.client, &count) == group);
    tick(&play, 10 * RETRY_MS);
    assert_int_equal(said(&play, SB__HEAD__BODY_GROUP_WANT), 0);
    play_release(&play);
}

static void a_group_may_have_no_row(void **state)
{
    (void)state;
    struct play play;
    size_t count;
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_TRAIN, 0, 1, 0, 0);
    say_group(&play, 0, 0, 0, 0);
    assert_true(works(&play));
    assert_null(sb_client_group(play.client, &count));
    assert_int_equal(count, 0);
    play_release(&play);
}

static void nodes_end_the_publishing_of_their_step(void **state)
{
    (void)state;
    struct play play;
    const float vectors[SIZE] = {1, 2, 3};
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_EMBED, 0, 1, 0, 2);
    say_work(&play, SB__WORK_KIND__WORK_TRAIN, 0, 2, 0, 0);
    for (uint64_t slot = 0; slot < 2; slot++) /* others have published them meanwhile */
        sb_client_push_vectors(play.client, play.now, slot, vectors, SIZE, 0.1, &play.out);
    assert_int_equal(said(&play, SB__HEAD__BODY_DONE), 0);
    tick(&play, RETRY_MS);
    assert_int_equal(said(&play, SB__HEAD__BODY_GROUP_WANT), 1);
    say_group(&play, 0, 0, 1, 1);
    assert_true(works(&play));
    assert_false(sb_client_work(play.client)->embed);
    play_release(&play);
}

static void later_work_ends_the_wish_for_a_group(void **state)
{
    (void)state;
    struct play play;
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_TRAIN, 0, 1, 0, 0);
    say_work(&play, SB__WORK_KIND__WORK_EMBED, 1, 2, 0, 1);
    sb_outbox_clear(&play.out);
    tick(&play, 10 * RETRY_MS);
    assert_int_equal(said(&play, SB__HEAD__BODY_GROUP_WANT), 0);
    play_release(&play);
}

static void slots_outside_the_plan_are_not_work(void **state)
{
    (void)state;
    struct play play;
    play_init(&play);
    say_work(&play, SB__WORK_KIND__WORK_EMBED, 0, 1, 0, SLOTS + 1);
    assert_false(works(&play));
    play.plan.vector_size = 0;
    say_work(&play, SB__WORK_KIND__WORK_EMBED, 0, 2, 0, SLOTS);
    assert_false(works(&play));
    play_release(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_sent_by_slot_until_they_are_acknowledged),
        cmocka_unit_test(nodes_wait_for_the_group_which_is_asked_for_until_it_comes),
        cmocka_unit_test(a_group_may_have_no_row),
        cmocka_unit_test(nodes_end_the_publishing_of_their_step),
        cmocka_unit_test(later_work_ends_the_wish_for_a_group),
        cmocka_unit_test(slots_outside_the_plan_are_not_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
