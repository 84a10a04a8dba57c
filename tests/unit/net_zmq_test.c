#include "net.h"
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <zmq.h>

enum { WAIT_MS = 5000, TIMEOUT_MS = 3000, WORKER = 5 };
#define WORKER_PEER (SB_PEER_WORKER_BIT | WORKER)

static struct sb_msg *a_push(uint32_t part, struct sb_frame *frame)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push push = SB__PUSH__INIT;
    push.empty = !frame;
    head.part = part;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &push;
    return sb_msg_new(&head, frame, NULL, true);
}

static void send_part(struct sb_net *net, uint64_t peer, uint32_t part, struct sb_frame *frame)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_msg *msg = a_push(part, frame);
    assert_int_equal(sb_net_send(net, peer, &msg, &err), 0);
    assert_null(msg);
}

/* Expects the push of this part from this peer; returns its message. */
static struct sb_msg *expect(struct sb_net *net, uint64_t peer, uint32_t part)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_msg *msg = NULL;
    uint64_t from = 99;
    assert_int_equal(sb_net_recv(net, WAIT_MS, &from, &msg, &err), 1);
    assert_true(from == peer);
    Sb__Head *head = sb_msg_open(msg, &err);
    assert_non_null(head);
    assert_int_equal(head->part, part);
    sb_msg_close(&head);
    return msg;
}

static void expect_only(struct sb_net *net, uint64_t peer, uint32_t part)
{
    struct sb_msg *msg = expect(net, peer, part);
    sb_msg_free(&msg);
}

static struct sb_net *listen_at(uint64_t self, const char *endpoint)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *net = NULL;
    if (sb_net_zmq_new(&net, self, endpoint, TIMEOUT_MS, &err) < 0)
        fail_msg("%s", err.text);
    return net;
}

static struct sb_net *connect_to(uint64_t self, uint64_t peer, const char *endpoint)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *net = listen_at(self, NULL);
    if (sb_net_zmq_connect(net, peer, endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return net;
}

static void both_ways_over(const char *endpoint)
{
    struct sb_net *server = listen_at(0, endpoint);
    struct sb_net *worker = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    send_part(worker, 0, 1, NULL);
    expect_only(server, WORKER_PEER, 1);
    send_part(server, WORKER_PEER, 2, NULL);
    expect_only(worker, 0, 2);
    sb_net_free(&worker);
    assert_null(worker);
    sb_net_free(&server);
    sb_net_free(&server);
}

static void messages_go_both_ways_over_tcp_and_ipc(void **state)
{
    (void)state;
    char ipc[SB_PATH_BYTES];
    snprintf(ipc, sizeof(ipc), "ipc://%s", sb_test_path(sb_test_dir(), "s"));
    both_ways_over("tcp://127.0.0.1:0");
    both_ways_over("tcp://localhost:0");
    both_ways_over(ipc);
}

static atomic_int released;

static void count_release(struct sb_frame *frame)
{
    (void)frame;
    atomic_fetch_add(&released, 1);
}

static void frames_of_all_sizes_arrive_whole_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {4, 100, 8188, 8196, 65532, 65536, 1 << 20, SB_FRAME_BYTES_MAX};
    enum { SIZES = sizeof(sizes) / sizeof(*sizes) };
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *worker = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    uint32_t *numbers = malloc(SB_FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < SB_FRAME_BYTES_MAX / 4; i++)
        numbers[i] = i * 2654435761u;
    atomic_store(&released, 0);
    for (uint32_t i = 0; i < SIZES; i++) {
        struct sb_frame *frame = sb_frame_over(numbers, sizes[i], count_release, NULL);
        send_part(worker, 0, i, frame);
        sb_frame_drop(&frame);
    }
    for (uint32_t i = 0; i < SIZES; i++) {
        struct sb_msg *msg = expect(server, WORKER_PEER, i);
        assert_int_equal(msg->frames[0]->bytes, sizes[i]);
        assert_int_equal((uintptr_t)msg->frames[0]->data % sizeof(double), 0);
        assert_memory_equal(msg->frames[0]->data, numbers, sizes[i]);
        sb_msg_free(&msg);
    }
    assert_true(sb_wait_until(atomic_load(&released) == SIZES, WAIT_MS));
    assert_true(worker->sent_bytes == server->received_bytes);
    sb_net_free(&worker);
    sb_net_free(&server);
    free(numbers);
}

static void a_message_to_an_unknown_peer_is_dropped(void **state)
{
    (void)state;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *worker = listen_at(WORKER_PEER, NULL);
    struct sb_frame *frame = sb_frame_over(calloc(1, 1 << 20), 1 << 20, count_release, NULL);
    void *memory = frame->data;
    atomic_store(&released, 0);
    send_part(server, 77, 1, frame);
    send_part(worker, 0, 1, frame);
    sb_frame_drop(&frame);
    assert_true(sb_wait_until(atomic_load(&released) == 1, WAIT_MS));
    free(memory);
    sb_net_free(&worker);
    sb_net_free(&server);
}

static void a_wait_has_an_end(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *nobody = listen_at(1, NULL);
    struct sb_msg *msg = NULL;
    uint64_t peer, before = sb_clock_ns();
    assert_int_equal(sb_net_recv(server, 0, &peer, &msg, &err), 0);
    assert_int_equal(sb_net_recv(server, 30, &peer, &msg, &err), 0);
    assert_int_equal(sb_net_recv(nobody, 30, &peer, &msg, &err), 0);
    assert_true(sb_clock_ns() - before >= 60 * UINT64_C(1000000));
    assert_null(msg);
    sb_net_free(&server);
    sb_net_free(&nobody);
}

static void on_alarm(int number)
{
    (void)number;
}

static void a_signal_ends_a_wait(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    struct sb_msg *msg = NULL;
    uint64_t peer, before = sb_clock_ns();
    assert_int_equal(sb_net_recv(server, 20000, &peer, &msg, &err), 0);
    assert_true(sb_clock_ns() - before < 10000 * UINT64_C(1000000));
    sigaction(SIGALRM, &old, NULL);
    sb_net_free(&server);
}

static void raw_send(void *socket, size_t parts, size_t bytes)
{
    char *junk = calloc(1, bytes + 1);
    for (size_t i = 0; i < parts; i++)
        assert_true(zmq_send(socket, junk, bytes, i + 1 < parts ? ZMQ_SNDMORE : 0) >= 0);
    free(junk);
}

static void what_is_no_message_is_dropped_and_counted(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *worker = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    void *context = zmq_ctx_new();
    void *foreign = zmq_socket(context, ZMQ_DEALER); /* without an identity of ours */
    void *known = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(foreign, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(known, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(known, ZMQ_ROUTING_ID, "P\0\0\0\0\0\0\0\3process ", 17);
    assert_int_equal(zmq_connect(foreign, sb_net_zmq_endpoint(server)), 0);
    assert_int_equal(zmq_connect(known, sb_net_zmq_endpoint(server)), 0);
    raw_send(foreign, 1, 20);
    raw_send(foreign, 3, 20);
    raw_send(known, 4, 20); /* more frames than any message has */
    raw_send(known, 40, 20);
    raw_send(known, 1, 0);                     /* no head */
    raw_send(known, 1, SB_HEAD_BYTES_MAX + 1); /* too much of one */
    struct sb_msg *msg = NULL;
    uint64_t peer;
    assert_true(sb_wait_until(
        sb_net_recv(server, 0, &peer, &msg, &err) == 0 && server->dropped_messages == 6, WAIT_MS));
    raw_send(known, 2, 20); /* the shape is right: what it says is for others to judge */
    assert_int_equal(sb_net_recv(server, WAIT_MS, &peer, &msg, &err), 1);
    assert_int_equal(peer, 3);
    assert_null(sb_msg_open(msg, &err));
    sb_msg_free(&msg);
    raw_send(known, 2, SB_FRAME_BYTES_MAX + 1); /* the connection is closed on this one */
    send_part(worker, 0, 9, NULL);
    expect_only(server, WORKER_PEER, 9);
    assert_int_equal(sb_net_recv(server, 50, &peer, &msg, &err), 0);
    zmq_close(foreign);
    zmq_close(known);
    zmq_ctx_term(context);
    sb_net_free(&worker);
    sb_net_free(&server);
}

/* One that was cut off, and the one that has taken its place: neither shuts the other out. */
static void two_processes_of_one_number_are_told_apart(void **state)
{
    (void)state;
    struct sb_net *coordinator = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *old = connect_to(1, 0, sb_net_zmq_endpoint(coordinator));
    struct sb_net *new = connect_to(1, 0, sb_net_zmq_endpoint(coordinator));
    for (uint32_t round = 0; round < 20; round++) {
        struct sb_net *speaker = round % 3 ? new : old;
        send_part(speaker, 0, round, NULL);
        expect_only(coordinator, 1, round);
        send_part(coordinator, 1, 100 + round, NULL); /* to the one that spoke */
        expect_only(speaker, 0, 100 + round);
    }
    sb_net_free(&old);
    sb_net_free(&new);
    sb_net_free(&coordinator);
}

static void a_server_that_comes_back_is_found_again(void **state)
{
    (void)state;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    char endpoint[256];
    snprintf(endpoint, sizeof(endpoint), "%s", sb_net_zmq_endpoint(server));
    struct sb_net *worker = connect_to(WORKER_PEER, 0, endpoint);
    send_part(worker, 0, 1, NULL);
    expect_only(server, WORKER_PEER, 1);
    sb_net_free(&server);
    sb_test_sleep_ms(50);
    server = listen_at(0, endpoint);
    struct sb_err err = SB_ERR_INIT;
    struct sb_msg *msg = NULL;
    uint64_t peer;
    uint32_t part = 2;
    assert_true(sb_wait_until(
        (send_part(worker, 0, part++, NULL), sb_net_recv(server, 20, &peer, &msg, &err)) == 1,
        WAIT_MS));
    assert_true(peer == WORKER_PEER);
    sb_msg_free(&msg);
    sb_net_free(&worker);
    sb_net_free(&server);
}

static void a_worker_that_comes_back_takes_its_name_over(void **state)
{
    (void)state;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *first = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    send_part(first, 0, 1, NULL);
    expect_only(server, WORKER_PEER, 1);
    struct sb_net *second = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    send_part(second, 0, 2, NULL);
    expect_only(server, WORKER_PEER, 2);
    send_part(server, WORKER_PEER, 3, NULL);
    expect_only(second, 0, 3);
    sb_net_free(&first);
    sb_net_free(&second);
    sb_net_free(&server);
}

static void another_endpoint_of_a_peer_replaces_the_first(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *old = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *new = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *worker = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(old));
    assert_int_equal(sb_net_zmq_connect(worker, 0, sb_net_zmq_endpoint(old), &err), 0);
    assert_int_equal(sb_net_zmq_connect(worker, 0, sb_net_zmq_endpoint(new), &err), 0);
    send_part(worker, 0, 1, NULL);
    expect_only(new, WORKER_PEER, 1);
    sb_net_free(&worker);
    sb_net_free(&old);
    sb_net_free(&new);
}

static void every_interface_is_told_as_an_address(void **state)
{
    (void)state;
    struct sb_net *server = listen_at(0, "tcp://*:0");
    const char *endpoint = sb_net_zmq_endpoint(server);
    assert_true(strncmp(endpoint, "tcp://", 6) == 0);
    assert_null(strstr(endpoint, "0.0.0.0"));
    assert_null(strchr(endpoint, '*'));
    assert_true(atoi(strrchr(endpoint, ':') + 1) > 0);
    struct sb_net *worker = connect_to(WORKER_PEER, 0, endpoint);
    send_part(worker, 0, 1, NULL);
    expect_only(server, WORKER_PEER, 1);
    sb_net_free(&worker);
    sb_net_free(&server);
}

static void an_address_that_cannot_be_used_is_one_clear_sentence(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *net = NULL, *server = listen_at(0, "tcp://127.0.0.1:0");
    assert_int_equal(sb_net_zmq_new(&net, 0, sb_net_zmq_endpoint(server), TIMEOUT_MS, &err), -1);
    assert_null(net);
    sb_test_err_is(&err, SB_ERR_CONFIG, "cannot listen on 'tcp://127.0.0.1:");
    sb_test_err_is(&err, SB_ERR_CONFIG, "in use");
    assert_int_equal(sb_net_zmq_new(&net, 0, "tcp://192.0.2.1:0", TIMEOUT_MS, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "192.0.2.1");
    assert_int_equal(sb_net_zmq_new(&net, 0, "http://here", TIMEOUT_MS, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "'http://here' is no address");
    char path[200] = "ipc:///tmp/";
    memset(path + 11, 'x', sizeof(path) - 12);
    assert_int_equal(sb_net_zmq_new(&net, 0, path, TIMEOUT_MS, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "193 characters, the system takes 107");
    assert_int_equal(sb_net_zmq_connect(server, 1, path, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "107");
    assert_int_equal(sb_net_zmq_connect(server, 1, "tcp://", &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "no address");
    assert_int_equal(sb_net_zmq_connect(server, 1, "tcp://here:port", &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "cannot connect to 'tcp://here:port'");
    sb_net_free(&server);
}

static void an_outbox_is_sent_in_order(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_net *server = listen_at(0, "tcp://127.0.0.1:0");
    struct sb_net *worker = connect_to(WORKER_PEER, 0, sb_net_zmq_endpoint(server));
    struct sb_outbox outbox = {0};
    for (uint32_t part = 0; part < 300; part++)
        sb_outbox_put(&outbox, 0, a_push(part, NULL));
    assert_int_equal(sb_net_send_all(worker, &outbox, &err), 0);
    assert_int_equal(outbox.count, 0);
    for (uint32_t part = 0; part < 300; part++)
        expect_only(server, WORKER_PEER, part);
    sb_outbox_release(&outbox);
    sb_net_free(&worker);
    sb_net_free(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_both_ways_over_tcp_and_ipc),
        cmocka_unit_test(frames_of_all_sizes_arrive_whole_and_aligned),
        cmocka_unit_test(a_message_to_an_unknown_peer_is_dropped),
        cmocka_unit_test(a_wait_has_an_end),
        cmocka_unit_test(a_signal_ends_a_wait),
        cmocka_unit_test(what_is_no_message_is_dropped_and_counted),
        cmocka_unit_test(two_processes_of_one_number_are_told_apart),
        cmocka_unit_test(a_server_that_comes_back_is_found_again),
        cmocka_unit_test(a_worker_that_comes_back_takes_its_name_over),
        cmocka_unit_test(another_endpoint_of_a_peer_replaces_the_first),
        cmocka_unit_test(every_interface_is_told_as_an_address),
        cmocka_unit_test(an_address_that_cannot_be_used_is_one_clear_sentence),
        cmocka_unit_test(an_outbox_is_sent_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
