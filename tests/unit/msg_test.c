#include "hash.h"
#include "msg.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t released;

static void count_release(struct sb_frame *frame)
{
    released++;
    assert_ptr_equal(frame->hint, &released);
}

/* A message as it comes off the wire: bytes and frames of its own, nothing checked. */
static struct sb_msg *raw(const uint8_t *head, size_t head_bytes, const struct sb_msg *like)
{
    struct sb_msg *msg = calloc(1, sizeof(*msg));
    msg->head = malloc(head_bytes ? head_bytes : 1);
    memcpy(msg->head, head, head_bytes);
    msg->head_bytes = head_bytes;
    for (size_t i = 0; like && i < like->frame_count; i++) {
        msg->frames[i] = sb_frame_new(like->frames[i]->bytes);
        memcpy(msg->frames[i]->data, like->frames[i]->data, like->frames[i]->bytes);
        msg->frame_count++;
    }
    return msg;
}

/* The same of a packed head: with its seal. */
static struct sb_msg *sealed(const uint8_t *packed, size_t bytes, const struct sb_msg *like)
{
    uint8_t head[SB_HEAD_BYTES_MAX + SB_SEAL_BYTES] = {0};
    memcpy(head, packed, bytes);
    struct sb_msg *msg = raw(head, bytes + SB_SEAL_BYTES, like);
    sb_msg_seal(msg);
    return msg;
}

static void refuse_to_open(struct sb_msg *msg)
{
    struct sb_err err = SB_ERR_INIT;
    assert_null(sb_msg_open(msg, &err));
    assert_int_equal(err.code, SB_ERR_PEER);
    sb_msg_free(&msg);
}

static struct sb_msg *a_push(bool checksum)
{
    struct sb_frame *values = sb_frame_new(6 * sizeof(float));
    struct sb_frame *rows = sb_frame_new(2 * sizeof(uint32_t));
    memcpy(values->data, (float[]){1, 2, 3, 4, 5, 6}, 24);
    memcpy(rows->data, (uint32_t[]){7, 9}, 8);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push push = SB__PUSH__INIT;
    push.rows = true;
    head.job = 0x1122334455667788;
    head.term = 3;
    head.step = 120;
    head.node = 5;
    head.part = 17;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &push;
    struct sb_msg *msg = sb_msg_new(&head, values, rows, checksum);
    sb_frame_drop(&values);
    sb_frame_drop(&rows);
    assert_null(rows);
    return msg;
}

static struct sb_msg *a_hello(size_t spans)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    Sb__Plan plan = SB__PLAN__INIT;
    Sb__EvalSet set = SB__EVAL_SET__INIT, *sets[1] = {&set};
    Sb__Span *layout = calloc(spans + 1, sizeof(*layout));
    Sb__Span **pointers = calloc(spans + 1, sizeof(*pointers));
    for (size_t i = 0; i < spans; i++) {
        sb__span__init(&layout[i]);
        layout[i].rows = i + 1;
        layout[i].cols = 8;
        layout[i].trainable = true;
        pointers[i] = &layout[i];
    }
    char *labels[2] = {"no", "yes"};
    set.name = "validation";
    plan.slots = 8;
    plan.n_eval_sets = 1;
    plan.eval_sets = sets;
    plan.n_labels = 2;
    plan.labels = labels;
    hello.role = SB__ROLE__ROLE_WORKER;
    hello.canonical = "batch_size=32";
    hello.plan = &plan;
    hello.n_layout = spans;
    hello.layout = pointers;
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    struct sb_msg *msg = sb_msg_new(&head, NULL, NULL, true);
    free(pointers);
    free(layout);
    return msg;
}

static void what_is_packed_is_read_back(void **state)
{
    (void)state;
    for (int checksum = 0; checksum < 2; checksum++) {
        struct sb_msg *msg = a_push(checksum);
        struct sb_err err = SB_ERR_INIT;
        Sb__Head *head = sb_msg_open(msg, &err);
        assert_non_null(head);
        assert_string_equal(sb_msg_name(head), "PUSH");
        assert_int_equal(head->version, SB_PROTOCOL_VERSION);
        assert_true(head->job == 0x1122334455667788);
        assert_int_equal(head->term, 3);
        assert_int_equal(head->step, 120);
        assert_int_equal(head->node, 5);
        assert_int_equal(head->part, 17);
        assert_true(head->push->rows);
        assert_int_equal(head->n_checksums, checksum ? 2 : 0);
        assert_int_equal(sb_msg_bytes(msg), msg->head_bytes + 32);
        sb_msg_close(&head);
        sb_msg_close(&head);
        sb_msg_free(&msg);
        sb_msg_free(&msg);
    }
}

static void a_frame_is_released_by_the_last_one_that_drops_it(void **state)
{
    (void)state;
    float memory[4] = {0};
    released = 0;
    struct sb_frame *frame = sb_frame_over(memory, sizeof(memory), count_release, &released);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push push = SB__PUSH__INIT;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &push;
    struct sb_msg *msg = sb_msg_new(&head, frame, NULL, true);
    assert_null(head.checksums);
    struct sb_msg *copy = sb_msg_copy(msg);
    assert_ptr_equal(copy->frames[0]->data, memory);
    sb_frame_drop(&frame);
    sb_frame_drop(&frame);
    struct sb_outbox outbox = {0};
    sb_outbox_put(&outbox, 1, copy);
    sb_msg_free(&msg);
    assert_int_equal(released, 0);
    sb_outbox_clear(&outbox);
    assert_int_equal(released, 1);
    sb_outbox_release(&outbox);
    frame = sb_frame_over(memory, sizeof(memory), NULL, NULL); /* nobody asks to be told */
    sb_frame_drop(&frame);
    assert_null(frame);
}

static void every_kind_of_message_has_the_name_of_its_field(void **state)
{
    (void)state;
    size_t named = 0;
    for (unsigned i = 0; i < 64; i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(&sb__head__descriptor, i);
        Sb__Head head = SB__HEAD__INIT;
        head.body_case = (Sb__Head__BodyCase)i;
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            assert_int_equal(strcasecmp(sb_msg_name(&head), field->name), 0);
            named++;
        } else {
            assert_string_equal(sb_msg_name(&head), "nothing known");
        }
    }
    assert_true(named >= 22);
}

static void damaged_floats_are_noticed(void **state)
{
    (void)state;
    struct sb_msg *msg = a_push(true);
    for (size_t i = 0; i < msg->frame_count; i++)
        for (size_t bit = 0; bit < 8 * msg->frames[i]->bytes; bit++) {
            uint8_t *byte = (uint8_t *)msg->frames[i]->data + bit / 8;
            *byte ^= (uint8_t)(1u << bit % 8);
            struct sb_err err = SB_ERR_INIT;
            assert_null(sb_msg_open(msg, &err));
            sb_test_err_is(&err, SB_ERR_PEER, "checksum");
            *byte ^= (uint8_t)(1u << bit % 8);
        }
    sb_msg_free(&msg);
}

/* Whatever comes, it is opened within the limits or refused with a sentence. */
static void try_to_open(struct sb_msg *msg)
{
    struct sb_err err = SB_ERR_INIT;
    Sb__Head *head = sb_msg_open(msg, &err);
    if (head) {
        assert_int_not_equal(head->body_case, SB__HEAD__BODY__NOT_SET);
        if (head->body_case == SB__HEAD__BODY_HELLO)
            assert_true(head->hello->n_layout <= 4096 && head->hello->plan);
    } else {
        assert_int_equal(err.code, SB_ERR_PEER);
        assert_true(strlen(err.text) > 0);
    }
    sb_msg_close(&head);
    sb_msg_free(&msg);
}

static void no_cut_and_no_flipped_bit_of_a_head_does_harm(void **state)
{
    (void)state;
    struct sb_msg *all[3] = {a_push(true), a_push(false), a_hello(5)};
    for (size_t i = 0; i < 3; i++) {
        struct sb_msg *msg = all[i];
        for (size_t bytes = 0; bytes < msg->head_bytes; bytes++)
            refuse_to_open(raw(msg->head, bytes, msg));
        for (size_t bit = 0; bit < 8 * msg->head_bytes; bit++) {
            struct sb_msg *flipped = raw(msg->head, msg->head_bytes, msg);
            flipped->head[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct sb_msg *again = sb_msg_copy(flipped);
            refuse_to_open(flipped);
            sb_msg_seal(again); /* as if its sender had meant it */
            try_to_open(again);
        }
        for (size_t byte = 0; byte < msg->head_bytes; byte++)
            for (unsigned value = 0; value < 256; value += 15) {
                struct sb_msg *other = raw(msg->head, msg->head_bytes, msg);
                other->head[byte] = (uint8_t)value;
                sb_msg_seal(other);
                try_to_open(other);
            }
        sb_msg_free(&msg);
    }
}

static void expect_refusal(struct sb_msg *msg, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    assert_null(sb_msg_open(msg, &err));
    sb_test_err_is(&err, SB_ERR_PEER, words);
    sb_msg_free(&msg);
}

static void heads_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    uint8_t *zeros = calloc(1, SB_HEAD_BYTES_MAX + 1);
    expect_refusal(raw(zeros, 0, NULL), "0 bytes");
    expect_refusal(raw(zeros, SB_HEAD_BYTES_MAX + 1, NULL), "65537 bytes");
    free(zeros);

    Sb__Head head = SB__HEAD__INIT;
    head.version = SB_PROTOCOL_VERSION;
    uint8_t bytes[512];
    expect_refusal(sealed(bytes, sb__head__pack(&head, bytes), NULL), "known body");
    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    head.version = 7;
    expect_refusal(sealed(bytes, sb__head__pack(&head, bytes), NULL), "version 7");

    struct sb_msg *hello = a_hello(4096);
    struct sb_err err = SB_ERR_INIT;
    Sb__Head *open = sb_msg_open(hello, &err);
    assert_non_null(open);
    sb_msg_close(&open);
    sb_msg_free(&hello);
    expect_refusal(a_hello(4097), "4096");

    Sb__Work work = SB__WORK__INIT;
    uint32_t nodes[65];
    for (uint32_t i = 0; i < 65; i++)
        nodes[i] = i + 1;
    head.version = SB_PROTOCOL_VERSION;
    head.body_case = SB__HEAD__BODY_WORK;
    head.work = &work;
    work.n_nodes = 65;
    work.nodes = nodes;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "64 nodes");
    work.n_nodes = 1;
    nodes[0] = 0;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "tree");
    nodes[0] = 1;
    work.kind = 3;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "kind");
    work.kind = SB__WORK_KIND__WORK_EVAL;
    work.first_slot = 3;
    work.end_slot = 2;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "slots");

    Sb__Ack ack = SB__ACK__INIT;
    head.body_case = SB__HEAD__BODY_ACK;
    head.ack = &ack;
    ack.answer = 5;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "answer");

    Sb__Hello stranger = SB__HELLO__INIT;
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &stranger;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "role");
    stranger.role = SB__ROLE__ROLE_WORKER;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "plan");
    Sb__Plan plan = SB__PLAN__INIT;
    plan.slots = 12;
    stranger.plan = &plan;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "power of two");
    plan.slots = 16;
    plan.vector_size = 1 << 25;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "does not fit a frame");
    plan.vector_size = 0;
    Sb__Span span = SB__SPAN__INIT, *spans[2] = {&span, &span};
    stranger.n_layout = 2;
    stranger.layout = spans;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "rows");
    span.rows = UINT32_MAX;
    span.cols = 16 << 20;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "2^33");
    span.rows = 1 << 20;
    span.cols = 5000; /* one fits, two do not */
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "2^33");
}

static struct sb_msg *body(Sb__Head__BodyCase which, void *of)
{
    Sb__Head head = SB__HEAD__INIT;
    head.body_case = which;
    head.hello = of; /* any member of the union */
    return sb_msg_new(&head, NULL, NULL, true);
}

static void each_number_of_a_head_has_its_limits(void **state)
{
    (void)state;
    Sb__Hello hello = SB__HELLO__INIT;
    Sb__Plan plan = SB__PLAN__INIT;
    Sb__EvalSet set = SB__EVAL_SET__INIT, *sets[17];
    Sb__Span span = SB__SPAN__INIT, *spans[1] = {&span};
    for (size_t i = 0; i < 17; i++)
        sets[i] = &set;
    hello.role = SB__ROLE__ROLE_WORKER;
    hello.plan = &plan;
    for (uint32_t slots = 0; slots <= 1 << 17; slots += 1 << 17) {
        plan.slots = slots;
        expect_refusal(body(SB__HEAD__BODY_HELLO, &hello), "power of two");
    }
    plan.slots = 8;
    plan.n_eval_sets = 17;
    plan.eval_sets = sets;
    expect_refusal(body(SB__HEAD__BODY_HELLO, &hello), "16 evaluation sets");
    plan.n_eval_sets = 0;
    hello.n_layout = 1;
    hello.layout = spans;
    static const uint64_t shapes[][2] = {
        {UINT64_C(1) << 32, 1}, {1, 0}, {1, (16 << 20) + 1}, {0, 1}};
    for (size_t i = 0; i < 4; i++) {
        span.rows = shapes[i][0];
        span.cols = shapes[i][1];
        expect_refusal(body(SB__HEAD__BODY_HELLO, &hello), "rows or columns");
    }

    Sb__Start start = SB__START__INIT;
    static const uint32_t servers[][2] = {{0, 0}, {4097, 0}, {2, 2}}; /* how many, which */
    for (size_t i = 0; i < 3; i++) {
        start.server_count = servers[i][0];
        start.server_index = servers[i][1];
        expect_refusal(body(SB__HEAD__BODY_START, &start), "server index");
    }

    Sb__Welcome welcome = SB__WELCOME__INIT;
    static char *addresses[4097];
    for (size_t i = 0; i < 4097; i++)
        addresses[i] = (char *)(uintptr_t) "";
    welcome.worker_count = 1;
    welcome.servers = addresses;
    expect_refusal(body(SB__HEAD__BODY_WELCOME, &welcome), "no servers");
    welcome.n_servers = 4097;
    expect_refusal(body(SB__HEAD__BODY_WELCOME, &welcome), "too many");
    welcome.n_servers = 1;
    welcome.worker_index = 1;
    expect_refusal(body(SB__HEAD__BODY_WELCOME, &welcome), "worker index");

    Sb__Work work = SB__WORK__INIT;
    uint32_t nodes[65] = {0};
    work.next_nodes = nodes;
    work.n_next_nodes = 65;
    expect_refusal(body(SB__HEAD__BODY_WORK, &work), "64 nodes");
    work.n_next_nodes = 1;
    expect_refusal(body(SB__HEAD__BODY_WORK, &work), "tree");
    nodes[0] = 1 << 17;
    expect_refusal(body(SB__HEAD__BODY_WORK, &work), "tree");
    work.n_next_nodes = 0;
    work.nodes = nodes;
    work.n_nodes = 1;
    expect_refusal(body(SB__HEAD__BODY_WORK, &work), "tree");

    Sb__Done done = SB__DONE__INIT;
    done.kind = 7;
    expect_refusal(body(SB__HEAD__BODY_DONE, &done), "kind");
    Sb__DoneAck done_ack = SB__DONE_ACK__INIT;
    done_ack.kind = 7;
    expect_refusal(body(SB__HEAD__BODY_DONE_ACK, &done_ack), "kind");
    Sb__Push push = SB__PUSH__INIT;
    push.empty = push.rows = true;
    expect_refusal(body(SB__HEAD__BODY_PUSH, &push), "empty");
}

/* What the transport may hand over, whatever a peer sent. */
static void too_many_frames_and_too_large_ones_are_refused(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    Sb__Bye bye = SB__BYE__INIT;
    struct sb_msg *msg = body(SB__HEAD__BODY_BYE, &bye);
    msg->frame_count = SB_FRAMES_MAX + 1;
    assert_null(sb_msg_open(msg, &err));
    sb_test_err_is(&err, SB_ERR_PEER, "3 frames");
    char byte = 0;
    msg->frame_count = 1;
    msg->frames[0] = sb_frame_over(&byte, SB_FRAME_BYTES_MAX + (size_t)1, NULL, NULL);
    expect_refusal(msg, "frame of 67108865 bytes");
}

static void a_body_takes_its_frames_and_no_others(void **state)
{
    (void)state;
    struct sb_frame *floats = sb_frame_new(12), *rows = sb_frame_new(4), *odd = sb_frame_new(6);
    struct sb_frame *none = sb_frame_new(0);
    memset(floats->data, 0, 12);
    memset(rows->data, 0, 4);
    memset(odd->data, 0, 6);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push push = SB__PUSH__INIT;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &push;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "0 frames, expected 1");
    expect_refusal(sb_msg_new(&head, floats, rows, true), "2 frames, expected 1");
    expect_refusal(sb_msg_new(&head, odd, NULL, true), "6 bytes");
    expect_refusal(sb_msg_new(&head, none, NULL, true), "0 bytes");
    push.rows = true;
    expect_refusal(sb_msg_new(&head, floats, NULL, true), "1 frames, expected 2");
    expect_refusal(sb_msg_new(&head, rows, floats, true), "belong together");
    push.rows = false;
    push.empty = true;
    expect_refusal(sb_msg_new(&head, floats, NULL, true), "1 frames, expected 0");
    push.initial = true;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "empty");

    Sb__Want want = SB__WANT__INIT;
    head.body_case = SB__HEAD__BODY_WANT;
    head.want = &want;
    expect_refusal(sb_msg_new(&head, rows, NULL, true), "1 frames, expected 0");
    want.rows = true;
    expect_refusal(sb_msg_new(&head, NULL, NULL, true), "0 frames, expected 1");

    Sb__Report report = SB__REPORT__INIT;
    head.body_case = SB__HEAD__BODY_REPORT;
    head.report = &report;
    expect_refusal(sb_msg_new(&head, floats, NULL, true), "12 bytes");
    struct sb_msg *msg = sb_msg_new(&head, none, NULL, true);
    try_to_open(msg);

    Sb__Finish finish = SB__FINISH__INIT;
    head.body_case = SB__HEAD__BODY_FINISH;
    head.finish = &finish;
    struct sb_err err = SB_ERR_INIT;
    msg = sb_msg_new(&head, odd, NULL, true);
    Sb__Head *open = sb_msg_open(msg, &err);
    assert_non_null(open);
    sb_msg_close(&open);
    sb_msg_free(&msg);
    expect_refusal(sb_msg_new(&head, odd, odd, true), "2 frames");

    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    expect_refusal(sb_msg_new(&head, rows, NULL, true), "BYE message: 1 frames, expected 0");
    sb_frame_drop(&floats);
    sb_frame_drop(&rows);
    sb_frame_drop(&odd);
    sb_frame_drop(&none);
}

static void sums_that_the_head_has_no_room_for_join_those_of_the_head(void **state)
{
    (void)state;
    double sums[3] = {1, 2, 3};
    struct sb_frame *more = sb_frame_new(2 * sizeof(double)), *odd = sb_frame_new(12);
    memcpy(more->data, (double[]){4, 5}, 2 * sizeof(double));
    memset(odd->data, 0, 12);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done done = SB__DONE__INIT;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &done;
    for (size_t in_head = 0; in_head <= 3; in_head += 3) {
        done.n_sums = in_head;
        done.sums = sums;
        struct sb_msg *msg = sb_msg_new(&head, more, NULL, true);
        Sb__Head *open = sb_msg_open(msg, NULL);
        assert_non_null(open);
        assert_int_equal(open->done->n_sums, in_head + 2);
        assert_true(open->done->sums[in_head] == 4 && open->done->sums[in_head + 1] == 5);
        sb_msg_close(&open);
        sb_msg_free(&msg);
    }
    expect_refusal(sb_msg_new(&head, odd, NULL, true), "12 bytes");
    sb_frame_drop(&more);
    sb_frame_drop(&odd);
}

static void vectors_travel_as_floats_without_sums(void **state)
{
    (void)state;
    double sum = 1;
    struct sb_frame *floats = sb_frame_new(3 * sizeof(float)), *odd = sb_frame_new(6);
    memset(floats->data, 0, floats->bytes);
    memset(odd->data, 0, odd->bytes);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done done = SB__DONE__INIT;
    Sb__Group group = SB__GROUP__INIT;
    done.kind = SB__WORK_KIND__WORK_EMBED;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &done;
    struct sb_msg *msg = sb_msg_new(&head, floats, NULL, true);
    Sb__Head *open = sb_msg_open(msg, NULL);
    assert_non_null(open);
    assert_int_equal(open->done->n_sums, 0);
    sb_msg_close(&open);
    sb_msg_free(&msg);
    expect_refusal(sb_msg_new(&head, odd, NULL, true), "6 bytes");
    done.n_sums = 1;
    done.sums = &sum;
    expect_refusal(sb_msg_new(&head, floats, NULL, true), "sums beside vectors");
    head.body_case = SB__HEAD__BODY_GROUP;
    head.group = &group;
    expect_refusal(sb_msg_new(&head, odd, NULL, true), "6 bytes");
    expect_refusal(sb_msg_new(&head, floats, floats, true), "2 frames, expected 1");
    sb_frame_drop(&floats);
    sb_frame_drop(&odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_read_back),
        cmocka_unit_test(a_frame_is_released_by_the_last_one_that_drops_it),
        cmocka_unit_test(damaged_floats_are_noticed),
        cmocka_unit_test(no_cut_and_no_flipped_bit_of_a_head_does_harm),
        cmocka_unit_test(heads_beyond_the_limits_are_refused),
        cmocka_unit_test(sums_that_the_head_has_no_room_for_join_those_of_the_head),
        cmocka_unit_test(vectors_travel_as_floats_without_sums),
        cmocka_unit_test(a_body_takes_its_frames_and_no_others),
        cmocka_unit_test(every_kind_of_message_has_the_name_of_its_field),
        cmocka_unit_test(each_number_of_a_head_has_its_limits),
        cmocka_unit_test(too_many_frames_and_too_large_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
