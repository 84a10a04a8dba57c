/* The client against a server that is played by hand: what it sends is looked at, what it hears is
 * written here. */
#include "client.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 100, SERVERS = 2, SLOTS = 4, COLS = 8, VOCAB = 100, TERM = 7 };
#define MS UINT64_C(1000000)
static const char canonical[] = "batch_size=4\n";

struct play {
    struct sb_client *client;
    struct sb_outbox out;
    uint64_t now;
    struct sb_parts parts; /* as the servers see them */
    float *weights;
    Sb__Plan plan;
    Sb__EvalSet set, *sets[1];
    struct sb_span spans[5];
    size_t span_count;
    int released;
};

static void play_init(struct play *play, bool sparse, bool frozen)
{
    *play = (struct play){.now = 1000 * MS};
    sb__plan__init(&play->plan);
    sb__eval_set__init(&play->set);
    play->set.slot_count = 6;
    play->sets[0] = &play->set;
    play->plan.slots = SLOTS;
    play->plan.n_eval_sets = 1;
    play->plan.eval_sets = play->sets;
    if (sparse) /* three parts: a row is 16 KiB */
        play->spans[play->span_count++] =
            (struct sb_span){.rows = 160, .cols = 4096, .trainable = true, .row_sparse = true};
    if (frozen)
        play->spans[play->span_count++] = (struct sb_span){.rows = 3, .cols = 5};
    play->spans[play->span_count++] =
        (struct sb_span){.rows = 64, .cols = 1024, .decay = true, .trainable = true};
    play->spans[play->span_count++] = (struct sb_span){.rows = 1, .cols = 7, .trainable = true};
    play->spans[play->span_count++] = (struct sb_span){.rows = 2, .cols = 7, .trainable = true};
    sb_parts_init(&play->parts, play->spans, play->span_count, SERVERS);
    play->weights = calloc(play->parts.float_count, sizeof(float));
    struct sb_client_options options = {
        .self = SB_PEER_WORKER_BIT | 1,
        .canonical = canonical,
        .fingerprint = "f",
        .name = "host:1",
        .plan = &play->plan,
        .spans = play->spans,
        .span_count = play->span_count,
        .weights = play->weights,
        .retry_ms = RETRY_MS,
        .checksum = true,
    };
    play->client = sb_client_new(&options, play->now);
}

static void play_release(struct play *play)
{
    sb_outbox_release(&play->out);
    sb_client_free(&play->client);
    assert_null(play->client);
    sb_client_free(&play->client);
    sb_parts_release(&play->parts);
    free(play->weights);
}

static void count_released(void *hint)
{
    ++*(int *)hint;
}

/* ---- what the servers say ---- */

static void say(struct play *play, uint64_t peer, Sb__Head *head, struct sb_frame *frame0,
                struct sb_frame *frame1)
{
    if (!head->job)
        head->job = sb_msg_job(canonical);
    if (!head->term)
        head->term = TERM;
    struct sb_msg *msg = sb_msg_new(head, frame0, frame1, true);
    sb_frame_drop(&frame0);
    sb_frame_drop(&frame1);
    sb_client_handle(play->client, play->now, peer, &msg, &play->out);
    assert_null(msg);
}

static void say_welcome(struct play *play, bool seed, uint64_t step)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Welcome welcome = SB__WELCOME__INIT;
    char *servers[SERVERS] = {"tcp://a:1", "tcp://b:2"};
    welcome.worker_count = 1;
    welcome.n_servers = SERVERS;
    welcome.servers = servers;
    welcome.seed = seed;
    welcome.resume_step = step;
    head.body_case = SB__HEAD__BODY_WELCOME;
    head.welcome = &welcome;
    say(play, 0, &head, NULL, NULL);
}

static void say_work(struct play *play, bool eval, uint64_t step, uint64_t sequence, size_t count,
                     uint32_t *nodes)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Work work = SB__WORK__INIT;
    work.kind = eval ? SB__WORK_KIND__WORK_EVAL : SB__WORK_KIND__WORK_TRAIN;
    work.sequence = sequence;
    work.n_nodes = eval ? 0 : count;
    work.nodes = nodes;
    work.end_slot = eval ? count : 0;
    head.step = step;
    head.body_case = SB__HEAD__BODY_WORK;
    head.work = &work;
    say(play, 0, &head, NULL, NULL);
}

static void say_ack(struct play *play, uint64_t peer, const Sb__Head *push, Sb__Answer answer)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ack ack = SB__ACK__INIT;
    ack.answer = answer;
    ack.initial = push->push->initial;
    ack.sentence = answer == SB__ANSWER__ANSWER_BAD ? "rows do not rise" : (char *)"";
    head.step = push->step;
    head.node = push->node;
    head.part = push->part;
    head.body_case = SB__HEAD__BODY_ACK;
    head.ack = &ack;
    say(play, peer, &head, NULL, NULL);
}

/* The value that the play's servers give to float i at a step. */
static float value(uint64_t step, uint64_t i)
{
    return (float)step + (float)(i % 1000) / 1000.0f;
}

static void say_weights(struct play *play, uint32_t index, uint64_t step,
                        const struct sb_frame *want)
{
    const struct sb_part *part = &play->parts.parts[index];
    Sb__Head head = SB__HEAD__INIT;
    Sb__Weights weights = SB__WEIGHTS__INIT;
    struct sb_frame *rows = NULL, *values;
    if (want) {
        rows = sb_frame_new(want->bytes);
        memcpy(rows->data, want->data, want->bytes);
        values = sb_frame_new(want->bytes * part->cols);
        const uint32_t *numbers = want->data;
        for (size_t row = 0; row < want->bytes / 4; row++)
            for (uint64_t col = 0; col < part->cols; col++)
                ((float *)values->data)[row * part->cols + col] =
                    value(step, part->offset + numbers[row] * part->cols + col);
    } else {
        values = sb_frame_new(part->count * sizeof(float));
        for (uint64_t i = 0; i < part->count; i++)
            ((float *)values->data)[i] = value(step, part->offset + i);
    }
    weights.rows = want != NULL;
    head.step = step;
    head.part = index;
    head.body_case = SB__HEAD__BODY_WEIGHTS;
    head.weights = &weights;
    say(play, part->owner, &head, values, rows);
}

static void say_finish(struct play *play, uint64_t step, int code, const char *history)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Finish finish = SB__FINISH__INIT;
    finish.code = (uint32_t)code;
    finish.sentence = code ? "stopped" : "";
    head.step = step;
    head.body_case = SB__HEAD__BODY_FINISH;
    head.finish = &finish;
    struct sb_frame *frame = sb_frame_new(strlen(history));
    memcpy(frame->data, history, strlen(history));
    say(play, 0, &head, frame, NULL);
}

/* ---- what the client said ---- */

static size_t count_of(const struct play *play, Sb__Head__BodyCase body)
{
    size_t count = 0;
    for (size_t i = 0; i < play->out.count; i++) {
        Sb__Head *head = sb_msg_open(play->out.items[i].msg, NULL);
        assert_non_null(head);
        assert_true(head->job == sb_msg_job(canonical));
        count += head->body_case == body;
        sb_msg_close(&head);
    }
    return count;
}

/* Answers everything in the outbox that a willing cluster at this step would, in order. */
static void answer_all(struct play *play, uint64_t step)
{
    struct sb_outbox said = play->out;
    play->out = (struct sb_outbox){0};
    for (size_t i = 0; i < said.count; i++) {
        Sb__Head *head = sb_msg_open(said.items[i].msg, NULL);
        const struct sb_msg *msg = said.items[i].msg;
        assert_non_null(head);
        if (head->body_case == SB__HEAD__BODY_PUSH) {
            assert_int_equal(said.items[i].peer, play->parts.parts[head->part].owner);
            say_ack(play, said.items[i].peer, head, SB__ANSWER__ANSWER_NEW);
        } else if (head->body_case == SB__HEAD__BODY_WANT && head->step <= step) {
            assert_int_equal(said.items[i].peer, play->parts.parts[head->part].owner);
            say_weights(play, head->part, step, head->want->rows ? msg->frames[0] : NULL);
        } else if (head->body_case == SB__HEAD__BODY_DONE) {
            Sb__Head answer = SB__HEAD__INIT;
            Sb__DoneAck ack = SB__DONE_ACK__INIT;
            assert_int_equal(said.items[i].peer, 0);
            ack.kind = head->done->kind;
            ack.sequence = head->done->sequence;
            ack.slot = head->done->slot;
            answer.step = head->step;
            answer.node = head->node;
            answer.body_case = SB__HEAD__BODY_DONE_ACK;
            answer.done_ack = &ack;
            say(play, 0, &answer, NULL, NULL);
        }
        sb_msg_close(&head);
    }
    sb_outbox_release(&said); /* only now the frames are gone */
    sb_client_tick(play->client, play->now, &play->out);
}

static void tick(struct play *play, uint64_t ms)
{
    play->now += ms * MS;
    sb_client_tick(play->client, play->now, &play->out);
}

static void join(struct play *play, uint64_t step)
{
    tick(play, 0);
    assert_int_equal(count_of(play, SB__HEAD__BODY_HELLO), 1);
    sb_outbox_clear(&play->out);
    say_welcome(play, false, step);
    assert_int_equal(sb_client_state(play->client), SB_CLIENT_WAITING);
}

static void push_node(struct play *play, uint32_t node, float *dense, const struct sb_stats *stats)
{
    sb_client_push_node(play->client, play->now, node, dense, NULL, NULL, 0, stats, UINT32_MAX, 0.5,
                        count_released, &play->released, &play->out);
}

/* ---- promises ---- */

static void hello_is_repeated_until_the_welcome(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    tick(&play, 0);
    assert_int_equal(play.out.count, 1);
    assert_int_equal(play.out.items[0].peer, SB_PEER_COORDINATOR);
    Sb__Head *head = sb_msg_open(play.out.items[0].msg, NULL);
    assert_int_equal(head->body_case, SB__HEAD__BODY_HELLO);
    assert_int_equal(head->hello->role, SB__ROLE__ROLE_WORKER);
    assert_string_equal(head->hello->canonical, canonical);
    assert_int_equal(head->hello->n_layout, play.span_count);
    assert_int_equal(head->hello->layout[1]->rows, 64);
    assert_int_equal(head->hello->plan->slots, SLOTS);
    sb_msg_close(&head);
    tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 1);
    for (size_t i = 0; i < 5; i++)
        tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, 6);
    assert_null(sb_client_welcome(play.client));
    sb_outbox_clear(&play.out);
    say_welcome(&play, false, 0);
    assert_non_null(sb_client_welcome(play.client));
    assert_int_equal(sb_client_parts(play.client)->server_count, SERVERS);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_WANT), play.parts.count); /* frozen ones too */
    sb_outbox_clear(&play.out);
    say_welcome(&play, false, 0); /* repeated: nothing new */
    assert_int_equal(play.out.count, 0);
    play_release(&play);
}

static void first_weights_are_pushed_and_wanted(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, true);
    tick(&play, 0);
    sb_outbox_clear(&play.out);
    say_welcome(&play, true, 0);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_SEED);
    assert_int_equal(play.out.count, 0);
    for (uint64_t i = 0; i < play.parts.float_count; i++)
        play.weights[i] = value(0, i);
    sb_client_seed(play.client, play.now, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count);
    size_t sparse = 0;
    for (size_t i = 0; i < play.parts.count; i++)
        sparse += play.parts.parts[i].row_sparse;
    assert_int_equal(sparse, 3);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_WANT), play.parts.count - sparse);
    answer_all(&play, 0);
    tick(&play, 10 * RETRY_MS);
    assert_int_equal(play.out.count, 0);
    play_release(&play);
}

static void work_is_reported_when_its_weights_are_complete(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    join(&play, 3);
    say_work(&play, false, 3, 1, 2, (uint32_t[]){2, 6});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    assert_null(sb_client_work(play.client));
    for (uint32_t i = 0; i + 1 < play.parts.count; i++) {
        say_weights(&play, i, 3, NULL);
        assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    }
    say_weights(&play, (uint32_t)play.parts.count - 1, 3, NULL);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    for (uint64_t i = 0; i < play.parts.float_count; i++)
        assert_true(play.weights[i] == value(3, i));
    const struct sb_work *work = sb_client_work(play.client);
    assert_false(work->eval);
    assert_int_equal(work->step, 3);
    assert_int_equal(work->node_count, 2);
    assert_int_equal(work->nodes[1], 6);
    /* What was not asked for, or is older, changes nothing. */
    say_weights(&play, 0, 2, NULL);
    say_weights(&play, 0, 9, NULL);
    assert_true(play.weights[0] == value(3, 0));
    assert_int_equal(sb_client_counters(play.client)->dropped, 2);
    say_work(&play, false, 3, 1, 1, (uint32_t[]){7}); /* a repeated sequence */
    assert_int_equal(work->nodes[0], 2);
    play_release(&play);
}

static void a_step_ends_with_wants_for_the_next(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, true);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 6});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {1, 2, 3, 4, 5, 6};
    size_t trainable = play.parts.count - 1;
    push_node(&play, 6, dense, &stats);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_PUSH), trainable);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_WANT), 0);
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
    push_node(&play, 2, NULL, &stats); /* an empty node */
    assert_int_equal(count_of(&play, SB__HEAD__BODY_DONE), 2);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_WANT), trainable); /* frozen: once only */
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    answer_all(&play, 0); /* acknowledged, not committed yet */
    assert_int_equal(play.released, 2);
    say_work(&play, false, 1, 2, 1, (uint32_t[]){1});
    assert_int_equal(play.out.count, 0); /* asked already */
    tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, trainable);
    answer_all(&play, 1);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_int_equal(sb_client_work(play.client)->step, 1);
    free(dense);
    play_release(&play);
}

static void a_push_is_resent_until_it_is_answered(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    push_node(&play, 2, dense, &stats);
    size_t first = play.out.count;
    sb_outbox_clear(&play.out); /* all of it is lost */
    tick(&play, RETRY_MS - 1);
    assert_int_equal(play.out.count, 0);
    tick(&play, 1);
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
    say_ack(&play, peer, push, SB__ANSWER__ANSWER_FUTURE); /* no end */
    say_ack(&play, !peer, push, SB__ANSWER__ANSWER_NEW);   /* not the owner */
    sb_outbox_clear(&play.out);
    tick(&play, 8 * RETRY_MS);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count);
    say_ack(&play, peer, push, SB__ANSWER__ANSWER_STALE); /* silently the end of it */
    sb_outbox_clear(&play.out);
    tick(&play, 8 * RETRY_MS);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_PUSH), play.parts.count - 1);
    sb_msg_close(&push);
    assert_int_equal(play.released, 0);
    answer_all(&play, 0);
    assert_int_equal(play.released, 1);
    tick(&play, 8 * RETRY_MS);
    assert_int_equal(play.out.count, 0);
    free(dense);
    play_release(&play);
}

static void memory_goes_back_when_the_last_frame_is_gone(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    push_node(&play, 2, dense, &stats);
    struct sb_msg *queued = sb_msg_copy(play.out.items[0].msg); /* as a slow network holds it */
    answer_all(&play, 0);
    assert_int_equal(play.released, 0);
    sb_msg_free(&queued);
    tick(&play, 1);
    assert_int_equal(play.released, 1);
    free(dense);
    play_release(&play);
}

static void later_work_ends_what_came_before(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    push_node(&play, 2, dense, &stats);
    sb_outbox_clear(&play.out);
    say_work(&play, false, 1, 2, 1, (uint32_t[]){1}); /* others have computed our nodes */
    assert_int_equal(play.released, 1);
    assert_int_equal(sb_client_work(play.client)->step, 0); /* the caller is still busy with it */
    const struct sb_work *before = sb_client_work(play.client);
    push_node(&play, 3, dense, &stats); /* nobody needs it */
    assert_int_equal(play.released, 2);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_PUSH), 0);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_DONE), 0);
    assert_int_equal(before->node_count, 2); /* a loop over it ends where it should */
    answer_all(&play, 1);
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
    join(&play, 0);
    say_work(&play, false, 0, 1, 1, (uint32_t[]){2});
    answer_all(&play, 4); /* servers answer with the newest that they have */
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    say_work(&play, false, 4, 2, 1, (uint32_t[]){3});
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_int_equal(sb_client_work(play.client)->step, 4);
    play_release(&play);
}

static void rows_are_wanted_and_pushed_by_part(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, false);
    join(&play, 0);
    answer_all(&play, 0);
    const struct sb_work *work;
    assert_false(sb_client_needs_rows(play.client, &work));
    assert_null(work);
    say_work(&play, false, 0, 1, 1, (uint32_t[]){1});
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
    answer_all(&play, 0);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WORK);
    assert_true(play.weights[52 * 4096 + 5] == value(0, 52 * 4096 + 5));
    assert_true(play.weights[159 * 4096 + 5] == value(0, 159 * 4096 + 5));
    assert_true(play.weights[51 * 4096 + 5] == 0);

    float *dense = calloc(play.parts.float_count, sizeof(float));
    float *values = calloc(3 * 4096, sizeof(float));
    struct sb_stats stats = {0};
    sb_client_push_node(play.client, play.now, 1, dense, (uint32_t[]){52, 53, 105}, values, 3,
                        &stats, UINT32_MAX, 0, count_released, &play.released, &play.out);
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
    answer_all(&play, 0);
    assert_int_equal(play.released, 1);

    /* Evaluation of other rows; an answer that names other rows than these is not taken. */
    tick(&play, 8 * RETRY_MS);
    answer_all(&play, 1);
    say_work(&play, true, 1, 2, 1, NULL);
    assert_true(sb_client_needs_rows(play.client, &work));
    assert_true(work->eval);
    sb_client_want_rows(play.client, play.now, (uint32_t[]){60}, 1, &play.out);
    struct sb_frame *others = sb_frame_new(4);
    memcpy(others->data, (uint32_t[]){8}, 4);
    say_weights(&play, 1, 1, others);
    sb_frame_drop(&others);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    answer_all(&play, 1);
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
    join(&play, 2);
    answer_all(&play, 2);
    say_work(&play, true, 2, 5, 2, NULL);
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
    tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, 2);
    answer_all(&play, 2);
    tick(&play, 8 * RETRY_MS);
    assert_int_equal(play.out.count, 0);
    /* An evaluation set or a slot that the plan has not. */
    say_work(&play, true, 2, 6, 7, NULL);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_WAITING);
    play_release(&play);
}

static void the_confusion_of_many_classes_fits_a_message(void **state)
{
    (void)state;
    enum { K = 300 };
    struct play play;
    play_init(&play, false, false);
    join(&play, 2);
    answer_all(&play, 2);
    say_work(&play, true, 2, 5, 1, NULL);
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

static void finish_waits_for_the_export_and_is_answered_for_ever(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, true, true);
    join(&play, 0);
    answer_all(&play, 0);
    sb_client_stop(play.client, play.now, 130, NULL, &play.out);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_STOP), 1);
    tick(&play, RETRY_MS);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_STOP), 2);
    sb_outbox_clear(&play.out);
    say_finish(&play, 9, 130, "{\"a\":1}");
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_FINISH);
    assert_string_equal(sb_client_history(play.client), "{\"a\":1}");
    assert_false(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_false(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_int_equal(play.out.count, play.parts.count - 1); /* the frozen part is here */
    sb_outbox_clear(&play.out);
    tick(&play, RETRY_MS);
    assert_int_equal(play.out.count, play.parts.count - 1);
    answer_all(&play, 9);
    assert_true(sb_client_fetch_all(play.client, play.now, &play.out));
    assert_true(play.weights[100 * 4096] == value(9, 100 * 4096));
    say_finish(&play, 9, 130, "");
    assert_int_equal(play.out.count, 0);
    sb_client_bye(play.client, play.now, &play.out);
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_BYE), 3);
    say_finish(&play, 9, 130, "");
    assert_int_equal(count_of(&play, SB__HEAD__BODY_BYE), 4);
    const char *sentence;
    assert_int_equal(sb_client_code(play.client, &sentence), 130);
    assert_string_equal(sentence, "stopped");
    sb_outbox_clear(&play.out);
    tick(&play, 100000);
    assert_int_equal(play.out.count, 0);
    play_release(&play);
}

static void pushes_after_finish_give_the_memory_back(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 2, (uint32_t[]){2, 3});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    push_node(&play, 2, dense, &stats);
    sb_outbox_clear(&play.out);
    say_finish(&play, 0, 143, "");
    assert_int_equal(play.released, 1);
    push_node(&play, 3, dense, &stats);
    sb_client_push_eval(play.client, play.now, 0, &stats, NULL, 0, 0, &play.out);
    assert_int_equal(play.released, 2);
    assert_int_equal(play.out.count, 0);
    free(dense);
    play_release(&play);
}

static void a_refusal_ends_it_with_code_and_sentence(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    tick(&play, 0);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Refuse refuse = SB__REFUSE__INIT;
    refuse.code = SB_ERR_CONFIG;
    refuse.sentence = "batch_size is 32 here and 16 there";
    head.job = 12345; /* of another job: that is why */
    head.body_case = SB__HEAD__BODY_REFUSE;
    head.refuse = &refuse;
    say(&play, 0, &head, NULL, NULL);
    const char *sentence;
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(sb_client_code(play.client, &sentence), SB_ERR_CONFIG);
    assert_string_equal(sentence, refuse.sentence);
    play_release(&play);
}

static void a_push_that_is_bad_every_time_ends_it(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
    say_work(&play, false, 0, 1, 1, (uint32_t[]){1});
    float *dense = calloc(play.parts.float_count, sizeof(float));
    struct sb_stats stats = {0};
    push_node(&play, 1, dense, &stats);
    Sb__Head *push = sb_msg_open(play.out.items[0].msg, NULL);
    uint64_t peer = play.out.items[0].peer;
    sb_outbox_clear(&play.out);
    say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    assert_int_not_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    say_ack(&play, peer, push, SB__ANSWER__ANSWER_BAD);
    const char *sentence;
    assert_int_equal(sb_client_state(play.client), SB_CLIENT_OVER);
    assert_int_equal(sb_client_code(play.client, &sentence), SB_ERR_BUG);
    assert_string_equal(sentence, "rows do not rise");
    assert_int_equal(play.released, 1);
    sb_msg_close(&push);
    free(dense);
    play_release(&play);
}

static void strangers_and_damage_are_dropped_and_counted(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, false, false);
    join(&play, 0);
    answer_all(&play, 0);
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
    say(&play, 0, &head, NULL, NULL);
    head.job = 0;
    head.term = TERM - 1;
    say(&play, 0, &head, NULL, NULL);
    head.term = 0;
    say(&play, 1, &head, NULL, NULL); /* not the coordinator */
    nodes[0] = 2 * SLOTS;             /* not in this job's tree */
    say(&play, 0, &head, NULL, NULL);
    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    say(&play, 0, &head, NULL, NULL);
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
    join(&play, 0);
    answer_all(&play, 0);
    uint64_t heard = sb_client_last_heard(play.client);
    for (int i = 0; i < 4; i++)
        tick(&play, 1000);
    assert_int_equal(play.out.count, 0);
    tick(&play, 1000);
    assert_int_equal(count_of(&play, SB__HEAD__BODY_HELLO), 1);
    tick(&play, 1000);
    assert_int_equal(play.out.count, 1);
    assert_true(sb_client_last_heard(play.client) == heard);
    say_welcome(&play, false, 0);
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
        cmocka_unit_test(a_push_is_resent_until_it_is_answered),
        cmocka_unit_test(memory_goes_back_when_the_last_frame_is_gone),
        cmocka_unit_test(later_work_ends_what_came_before),
        cmocka_unit_test(weights_from_the_future_drop_the_work),
        cmocka_unit_test(rows_are_wanted_and_pushed_by_part),
        cmocka_unit_test(evaluation_sends_sums_of_each_slot),
        cmocka_unit_test(the_confusion_of_many_classes_fits_a_message),
        cmocka_unit_test(finish_waits_for_the_export_and_is_answered_for_ever),
        cmocka_unit_test(pushes_after_finish_give_the_memory_back),
        cmocka_unit_test(a_refusal_ends_it_with_code_and_sentence),
        cmocka_unit_test(a_push_that_is_bad_every_time_ends_it),
        cmocka_unit_test(strangers_and_damage_are_dropped_and_counted),
        cmocka_unit_test(a_silent_coordinator_is_asked_for_a_sign_of_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
