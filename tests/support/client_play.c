#include "client_play.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

const char play_canonical[] = "batch_size=4\n";

void play_init(struct play *play, bool sparse, bool frozen)
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
        .canonical = play_canonical,
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

void play_release(struct play *play)
{
    sb_outbox_release(&play->out);
    sb_client_free(&play->client);
    assert_null(play->client);
    sb_client_free(&play->client);
    sb_parts_release(&play->parts);
    free(play->weights);
}

void play_count_released(void *hint)
{
    ++*(int *)hint;
}

/* ---- what the servers say ---- */

void play_say(struct play *play, uint64_t peer, Sb__Head *head, struct sb_frame *frame0,
              struct sb_frame *frame1)
{
    if (!head->job)
        head->job = sb_msg_job(play_canonical);
    if (!head->term)
        head->term = TERM;
    struct sb_msg *msg = sb_msg_new(head, frame0, frame1, true);
    sb_frame_drop(&frame0);
    sb_frame_drop(&frame1);
    sb_client_handle(play->client, play->now, peer, &msg, &play->out);
    assert_null(msg);
}

void play_say_welcome(struct play *play, bool seed, uint64_t step)
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
    play_say(play, 0, &head, NULL, NULL);
}

void play_say_work(struct play *play, bool eval, uint64_t step, uint64_t sequence, size_t count,
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
    play_say(play, 0, &head, NULL, NULL);
}

void play_say_ack(struct play *play, uint64_t peer, const Sb__Head *push, Sb__Answer answer)
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
    play_say(play, peer, &head, NULL, NULL);
}

/* The value that the play's servers give to float i at a step. */
float play_value(uint64_t step, uint64_t i)
{
    return (float)step + (float)(i % 1000) / 1000.0f;
}

void play_say_weights(struct play *play, uint32_t index, uint64_t step, const struct sb_frame *want)
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
                    play_value(step, part->offset + numbers[row] * part->cols + col);
    } else {
        values = sb_frame_new(part->count * sizeof(float));
        for (uint64_t i = 0; i < part->count; i++)
            ((float *)values->data)[i] = play_value(step, part->offset + i);
    }
    weights.rows = want != NULL;
    head.step = step;
    head.part = index;
    head.body_case = SB__HEAD__BODY_WEIGHTS;
    head.weights = &weights;
    play_say(play, part->owner, &head, values, rows);
}

void play_say_finish(struct play *play, uint64_t step, int code, const char *history)
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
    play_say(play, 0, &head, frame, NULL);
}

/* ---- what the client said ---- */

size_t play_count_of(const struct play *play, Sb__Head__BodyCase body)
{
    size_t count = 0;
    for (size_t i = 0; i < play->out.count; i++) {
        Sb__Head *head = sb_msg_open(play->out.items[i].msg, NULL);
        assert_non_null(head);
        assert_true(head->job == sb_msg_job(play_canonical));
        count += head->body_case == body;
        sb_msg_close(&head);
    }
    return count;
}

/* Answers everything in the outbox that a willing cluster at this step would, in order. */
void play_answer_all(struct play *play, uint64_t step)
{
    struct sb_outbox said = play->out;
    play->out = (struct sb_outbox){0};
    for (size_t i = 0; i < said.count; i++) {
        Sb__Head *head = sb_msg_open(said.items[i].msg, NULL);
        const struct sb_msg *msg = said.items[i].msg;
        assert_non_null(head);
        if (head->body_case == SB__HEAD__BODY_PUSH) {
            assert_int_equal(said.items[i].peer, play->parts.parts[head->part].owner);
            play_say_ack(play, said.items[i].peer, head, SB__ANSWER__ANSWER_NEW);
        } else if (head->body_case == SB__HEAD__BODY_WANT && head->step <= step) {
            assert_int_equal(said.items[i].peer, play->parts.parts[head->part].owner);
            play_say_weights(play, head->part, step, head->want->rows ? msg->frames[0] : NULL);
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
            play_say(play, 0, &answer, NULL, NULL);
        }
        sb_msg_close(&head);
    }
    sb_outbox_release(&said); /* only now the frames are gone */
    sb_client_tick(play->client, play->now, &play->out);
}

void play_tick(struct play *play, uint64_t ms)
{
    play->now += ms * MS;
    sb_client_tick(play->client, play->now, &play->out);
}

void play_join(struct play *play, uint64_t step)
{
    play_tick(play, 0);
    assert_int_equal(play_count_of(play, SB__HEAD__BODY_HELLO), 1);
    sb_outbox_clear(&play->out);
    play_say_welcome(play, false, step);
    assert_int_equal(sb_client_state(play->client), SB_CLIENT_WAITING);
}

void play_push_node(struct play *play, uint32_t node, float *dense, const struct sb_stats *stats)
{
    sb_client_push_node(play->client, play->now, node, dense, NULL, NULL, 0, stats, UINT32_MAX, 0.5,
                        play_count_released, &play->released, &play->out);
}

size_t play_said(const struct play *play)
{
    return play->out.count - play_count_of(play, SB__HEAD__BODY_HELLO);
}
