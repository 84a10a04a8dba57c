/*
 * Messages over ZeroMQ.  What is known here and nowhere else: sockets, identities, how frames
 * become zmq_msg_t.
 *
 * A ROUTER hears everybody who connects to us and answers by identity; each peer that we connect to
 * has a DEALER of its own.  Nothing blocks: a queue that is full drops, as any network may, and the
 * cores send again.
 */
#include "arena.h"
#include "clock.h"
#include "net.h"

#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zmq.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

enum {
    /* 'P' and the peer's number, big-endian; of a server also random bytes of its process. */
    IDENTITY_BYTES = 9,
    FULL_IDENTITY_BYTES = IDENTITY_BYTES + 8,
    QUEUE_MESSAGES = 16384, /* per peer and direction; heads and references, not gradients */
    LINGER_MS = 500,        /* enough for the last FINISH and BYE */
    RECONNECT_MS = 20,
    RECONNECT_MS_MAX = 250,
    KEEPALIVE_IDLE_S = 1, /* the least: who waits has nothing to send, and must notice too */
    KEEPALIVE_EVERY_S = 1,
    /* Below this a copy is cheaper than the bookkeeping of sharing; and a small message that was
     * received lies in a buffer together with others, unaligned. */
    COPY_BYTES = 64 << 10,
    ALIGNMENT = sizeof(double),
    ENDPOINT_BYTES = 512,
    PARTS_MAX = 1 + SB_FRAMES_MAX,
    SERVERS_MAX = 1024,
};

struct dealer {
    uint64_t peer;
    void *socket;
    char endpoint[ENDPOINT_BYTES];
};

/*
 * Two processes may have the number of one server: one that was cut off, and the one that has taken
 * its place.  If they had one identity too, each would take the other's connection over, again and
 * again.  So it is longer than the number, and what is sent to the number goes to the process that
 * was heard last.
 */
struct process {
    uint64_t peer;
    uint8_t identity[FULL_IDENTITY_BYTES];
};

struct net_zmq {
    struct sb_net net; /* first: the one is the other */
    void *context;
    void *router; /* NULL: nobody connects to us */
    uint64_t self;
    uint8_t identity[FULL_IDENTITY_BYTES];
    struct process *processes; /* of servers */
    size_t process_count;
    uint32_t timeout_ms;
    char endpoint[ENDPOINT_BYTES];
    struct dealer *dealers;
    zmq_pollitem_t *items; /* [dealer count + 1] */
    size_t dealer_count;
    size_t turn; /* the socket that is asked first, so that a busy one starves nobody */
};

static struct net_zmq *zmq_of(struct sb_net *net)
{
    return (struct net_zmq *)net;
}

/* ---- identities ---- */

static size_t identity_bytes(uint64_t peer)
{
    return peer & SB_PEER_WORKER_BIT ? IDENTITY_BYTES : FULL_IDENTITY_BYTES;
}

static void write_identity(uint8_t identity[IDENTITY_BYTES], uint64_t peer)
{
    identity[0] = 'P';
    for (int i = 0; i < 8; i++)
        identity[1 + i] = (uint8_t)(peer >> (56 - 8 * i));
}

static struct process *find_process(struct net_zmq *net, uint64_t peer)
{
    for (size_t i = 0; i < net->process_count; i++)
        if (net->processes[i].peer == peer)
            return &net->processes[i];
    return NULL;
}

static void remember_process(struct net_zmq *net, uint64_t peer, const uint8_t *identity)
{
    struct process *process = find_process(net, peer);
    if (!process && net->process_count == SERVERS_MAX)
        return; /* nobody has so many: these are none of ours */
    if (!process) {
        net->processes =
            sb_realloc(net->processes, (net->process_count + 1) * sizeof(*net->processes));
        process = &net->processes[net->process_count++];
        process->peer = peer;
    }
    memcpy(process->identity, identity, FULL_IDENTITY_BYTES);
}

static bool read_identity(struct net_zmq *net, const zmq_msg_t *part, uint64_t *peer)
{
    const uint8_t *identity = zmq_msg_data((zmq_msg_t *)part);
    size_t bytes = zmq_msg_size(part);
    if (bytes < IDENTITY_BYTES || identity[0] != 'P')
        return false;
    *peer = 0;
    for (int i = 0; i < 8; i++)
        *peer = *peer << 8 | identity[1 + i];
    if (bytes != identity_bytes(*peer))
        return false;
    if (bytes == FULL_IDENTITY_BYTES)
        remember_process(net, *peer, identity);
    return true;
}

/* ---- sending ---- */

/*
 * A frame that is sent is let go by the library's thread.  The library's queues see to it that all
 * that we wrote is visible there; ThreadSanitizer, which does not look inside it, has to be told.
 */
static struct sb_frame *hand_to_library(struct sb_frame *frame)
{
#ifdef __SANITIZE_THREAD__
    __tsan_release(frame);
#endif
    return sb_frame_keep(frame);
}

static void drop_sent_frame(void *data, void *hint)
{
    (void)data;
    struct sb_frame *frame = hint;
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(frame);
#endif
    sb_frame_drop(&frame);
}

static void copy_part(zmq_msg_t *part, const void *data, size_t bytes)
{
    sb_assert(zmq_msg_init_size(part, bytes) == 0);
    if (bytes)
        memcpy(zmq_msg_data(part), data, bytes);
}

static void frame_part(zmq_msg_t *part, struct sb_frame *frame)
{
    if (frame->bytes < COPY_BYTES)
        copy_part(part, frame->data, frame->bytes);
    else
        sb_assert(zmq_msg_init_data(part, frame->data, frame->bytes, drop_sent_frame,
                                    hand_to_library(frame)) == 0);
}

static struct dealer *find_dealer(struct net_zmq *net, uint64_t peer)
{
    for (size_t i = 0; i < net->dealer_count; i++)
        if (net->dealers[i].peer == peer)
            return &net->dealers[i];
    return NULL;
}

static int net_send(struct sb_net *base, uint64_t peer, struct sb_msg **msg, struct sb_err *err)
{
    struct net_zmq *net = zmq_of(base);
    const struct dealer *dealer = find_dealer(net, peer);
    void *socket = dealer ? dealer->socket : net->router;
    zmq_msg_t parts[1 + PARTS_MAX];
    size_t count = 0;
    if (!socket)
        goto sent; /* not connected: dropped */
    if (!dealer) {
        uint8_t identity[IDENTITY_BYTES];
        const struct process *process = find_process(net, peer);
        write_identity(identity, peer);
        if (process)
            copy_part(&parts[count++], process->identity, FULL_IDENTITY_BYTES);
        else
            copy_part(&parts[count++], identity, IDENTITY_BYTES); /* a server: not heard yet */
    }
    copy_part(&parts[count++], (*msg)->head, (*msg)->head_bytes);
    for (size_t i = 0; i < (*msg)->frame_count; i++)
        frame_part(&parts[count++], (*msg)->frames[i]);

    bool dropped = false; /* the first part decides */
    for (size_t i = 0; i < count; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
        int rc = dropped ? -1 : zmq_msg_send(&parts[i], socket, flags);
        if (rc >= 0)
            continue;
        int error = dropped ? 0 : errno;
        zmq_msg_close(&parts[i]);
        /* A peer that goes in mid-message: the library takes the other parts and drops the whole.
         */
        dropped = dropped || i == 0;
        if (error == ETERM || error == ENOTSOCK) {
            for (size_t rest = i + 1; rest < count; rest++)
                zmq_msg_close(&parts[rest]);
            return sb_err_set(err, SB_ERR_IO, "sending to a peer: %s", zmq_strerror(error));
        }
    }
    if (!dropped)
        base->sent_bytes += sb_msg_bytes(*msg);
sent:
    sb_msg_free(msg);
    return 0;
}

/* ---- receiving ---- */

static void close_received_part(struct sb_frame *frame)
{
    zmq_msg_close(frame->hint);
    free(frame->hint);
}

/* part is empty afterwards. */
static struct sb_frame *frame_of_part(zmq_msg_t *part)
{
    void *data = zmq_msg_data(part);
    size_t bytes = zmq_msg_size(part);
    if (bytes < COPY_BYTES || (uintptr_t)data % ALIGNMENT) {
        struct sb_frame *frame = sb_frame_new(bytes);
        if (bytes)
            memcpy(frame->data, data, bytes);
        return frame;
    }
    zmq_msg_t *kept = sb_alloc(sizeof(*kept));
    zmq_msg_init(kept);
    zmq_msg_move(kept, part);
    return sb_frame_over(zmq_msg_data(kept), bytes, close_received_part, kept);
}

static struct sb_msg *msg_of_parts(zmq_msg_t *parts, size_t count)
{
    struct sb_msg *msg = sb_calloc(1, sizeof(*msg));
    msg->head_bytes = zmq_msg_size(&parts[0]);
    msg->head = sb_alloc(msg->head_bytes);
    memcpy(msg->head, zmq_msg_data(&parts[0]), msg->head_bytes);
    for (size_t i = 1; i < count; i++)
        msg->frames[msg->frame_count++] = frame_of_part(&parts[i]);
    return msg;
}

/* 1: a message; 0: nothing there, or something that is none of ours (then *again is true). */
static int receive(struct net_zmq *net, void *socket, uint64_t *peer, struct sb_msg **msg,
                   bool *again)
{
    zmq_msg_t parts[PARTS_MAX];
    size_t count = 0;
    bool from_router = socket == net->router, good = true, more = true;
    *again = false;
    for (size_t index = 0; more; index++) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            good =
                false; /* nothing, at the first part; the others of a message are there with it */
            break;
        }
        *again = true;
        more = zmq_msg_more(&part);
        if (from_router && index == 0) {
            good = read_identity(net, &part, peer);
            zmq_msg_close(&part);
        } else if (count < PARTS_MAX) {
            parts[count++] = part;
        } else {
            zmq_msg_close(&part);
            good = false;
        }
    }
    good = good && count >= 1 && zmq_msg_size(&parts[0]) >= 1 &&
           zmq_msg_size(&parts[0]) <= SB_HEAD_BYTES_MAX;
    if (good) {
        *msg = msg_of_parts(parts, count);
        net->net.received_bytes += sb_msg_bytes(*msg);
    } else if (*again) {
        net->net.dropped_messages++;
    }
    for (size_t i = 0; i < count; i++)
        zmq_msg_close(&parts[i]);
    return good;
}

static void *socket_at(const struct net_zmq *net, size_t index)
{
    return index < net->dealer_count ? net->dealers[index].socket : net->router;
}

/* One round over all sockets.  1: a message; 0: all of them are empty. */
static int receive_any(struct net_zmq *net, uint64_t *peer, struct sb_msg **msg)
{
    size_t count = net->dealer_count + (net->router != NULL);
    for (size_t i = 0; i < count; i++) {
        size_t index = (net->turn + i) % count;
        bool again;
        do {
            if (!receive(net, socket_at(net, index), peer, msg, &again))
                continue;
            net->turn = index + 1;
            if (index < net->dealer_count)
                *peer = net->dealers[index].peer;
            return 1;
        } while (again);
    }
    return 0;
}

static int net_recv(struct sb_net *base, int timeout_ms, uint64_t *peer, struct sb_msg **msg,
                    struct sb_err *err)
{
    struct net_zmq *net = zmq_of(base);
    uint64_t end_ns = sb_clock_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    size_t count = net->dealer_count + (net->router != NULL);
    *msg = NULL;
    for (;;) {
        if (receive_any(net, peer, msg))
            return 1;
        uint64_t now_ns = sb_clock_ns();
        if (now_ns >= end_ns)
            return 0;
        for (size_t i = 0; i < count; i++)
            net->items[i] = (zmq_pollitem_t){.socket = socket_at(net, i), .events = ZMQ_POLLIN};
        long wait_ms = (long)((end_ns - now_ns + 999999) / 1000000);
        if (zmq_poll(net->items, (int)count, wait_ms) >= 0)
            continue;
        if (errno == EINTR) /* a signal: the caller wants to look at it */
            return 0;
        return sb_err_set(err, SB_ERR_IO, "waiting for messages: %s", zmq_strerror(errno));
    }
}

/* ---- life ---- */

static void net_free(struct sb_net *base)
{
    struct net_zmq *net = zmq_of(base);
    for (size_t i = 0; i < net->dealer_count; i++)
        zmq_close(net->dealers[i].socket);
    if (net->router)
        zmq_close(net->router);
    while (net->context && zmq_ctx_term(net->context) < 0 && errno == EINTR)
        continue; /* waits for LINGER_MS at most */
    free(net->dealers);
    free(net->items);
    free(net->processes);
    free(net);
}

static const struct sb_net_ops ops = {.send = net_send, .recv = net_recv, .free = net_free};

static void set_int(void *socket, int option, int value)
{
    sb_assert(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

/*
 * TCP waits ever longer before it sends again, twice as long as before each time.  So a network
 * that was cut for a minute is of use to old connections half a minute after it is whole again.
 * One that had no answer for timeout_ms is therefore closed, and those that try to connect begin
 * anew about every second.  The side that has nothing to send notices by keepalive.
 */
static void set_timeouts(const struct net_zmq *net, void *socket)
{
    int limit_ms = (int)net->timeout_ms;
    set_int(socket, ZMQ_TCP_MAXRT, limit_ms);
    set_int(socket, ZMQ_HANDSHAKE_IVL, limit_ms);
    set_int(socket, ZMQ_CONNECT_TIMEOUT, limit_ms / 2);
    set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 1 + limit_ms / 1000);
}

static void *open_socket(struct net_zmq *net, int type, struct sb_err *err)
{
    void *socket = zmq_socket(net->context, type);
    if (!socket) {
        sb_err_set(err, SB_ERR_IO, "no more sockets: %s", zmq_strerror(errno));
        return NULL;
    }
    sb_assert(zmq_setsockopt(socket, ZMQ_ROUTING_ID, net->identity, identity_bytes(net->self)) ==
              0);
    int64_t largest = SB_FRAME_BYTES_MAX;
    sb_assert(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)) == 0);
    set_int(socket, ZMQ_LINGER, LINGER_MS);
    set_int(socket, ZMQ_SNDHWM, QUEUE_MESSAGES);
    set_int(socket, ZMQ_RCVHWM, QUEUE_MESSAGES);
    set_timeouts(net, socket);
    /* A peer that comes back before its old connection is seen to be dead takes its name over. */
    if (type == ZMQ_ROUTER)
        set_int(socket, ZMQ_ROUTER_HANDOVER, 1);
    return socket;
}

/* ---- endpoints ---- */

static int check_endpoint(const char *endpoint, struct sb_err *err)
{
    if (strlen(endpoint) >= ENDPOINT_BYTES)
        return sb_err_set(err, SB_ERR_CONFIG, "address '%.60s...' is too long", endpoint);
    if (strncmp(endpoint, "ipc://", 6) == 0) {
        size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
        if (strlen(endpoint + 6) > most)
            return sb_err_set(err, SB_ERR_CONFIG,
                              "socket path '%s' has %zu characters, the system takes %zu: use a "
                              "shorter folder",
                              endpoint + 6, strlen(endpoint + 6), most);
        return 0;
    }
    if (strncmp(endpoint, "tcp://", 6) == 0 && strrchr(endpoint + 6, ':'))
        return 0;
    return sb_err_set(err, SB_ERR_CONFIG,
                      "'%s' is no address: expected tcp://HOST:PORT or ipc://PATH", endpoint);
}

/* The library binds to numbers and interfaces only: a host's name becomes its number. */
static void resolve(char out[ENDPOINT_BYTES], const char *endpoint)
{
    snprintf(out, ENDPOINT_BYTES, "%s", endpoint);
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return;
    const char *colon = strrchr(endpoint, ':');
    char host[ENDPOINT_BYTES], number[NI_MAXHOST];
    snprintf(host, sizeof(host), "%.*s", (int)(colon - endpoint - 6), endpoint + 6);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (strcmp(host, "*") == 0 || getaddrinfo(host, NULL, &hints, &found) != 0)
        return;
    if (getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof(number), NULL, 0,
                    NI_NUMERICHOST) == 0)
        snprintf(out, ENDPOINT_BYTES, "tcp://%.64s%.16s", number, colon);
    freeaddrinfo(found);
}

/* An address of this host that others may reach: the first that is up and not loopback. */
static void own_address(char out[NI_MAXHOST])
{
    snprintf(out, NI_MAXHOST, "127.0.0.1");
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP) ||
            (at->ifa_flags & IFF_LOOPBACK))
            continue;
        if (getnameinfo(at->ifa_addr, sizeof(struct sockaddr_in), out, NI_MAXHOST, NULL, 0,
                        NI_NUMERICHOST) == 0)
            break;
    }
    freeifaddrs(all);
}

static int bind_router(struct net_zmq *net, const char *endpoint, struct sb_err *err)
{
    char wanted[ENDPOINT_BYTES], bound[ENDPOINT_BYTES] = "", host[NI_MAXHOST];
    size_t bytes = sizeof(bound);
    if (check_endpoint(endpoint, err) < 0)
        return -1;
    net->router = open_socket(net, ZMQ_ROUTER, err);
    if (!net->router)
        return -1;
    resolve(wanted, endpoint);
    if (zmq_bind(net->router, wanted) < 0)
        return sb_err_set(err, SB_ERR_CONFIG, "cannot listen on '%s': %s", endpoint,
                          errno == ENODEV ? "this host has no such address" : zmq_strerror(errno));
    sb_assert(zmq_getsockopt(net->router, ZMQ_LAST_ENDPOINT, bound, &bytes) == 0);
    if (strncmp(bound, "tcp://0.0.0.0:", 14) == 0) {
        own_address(host);
        snprintf(net->endpoint, sizeof(net->endpoint), "tcp://%.64s:%.8s", host, bound + 14);
    } else {
        snprintf(net->endpoint, sizeof(net->endpoint), "%s", bound);
    }
    return 0;
}

int sb_net_zmq_new(struct sb_net **out, uint64_t self, const char *endpoint, uint32_t timeout_ms,
                   struct sb_err *err)
{
    struct net_zmq *net = sb_calloc(1, sizeof(*net));
    net->net.ops = &ops;
    net->self = self;
    write_identity(net->identity, self);
    while (getrandom(net->identity + IDENTITY_BYTES, FULL_IDENTITY_BYTES - IDENTITY_BYTES, 0) < 0)
        sb_assert(errno == EINTR);
    net->timeout_ms = timeout_ms;
    net->context = zmq_ctx_new();
    net->items = sb_calloc(1, sizeof(*net->items));
    *out = &net->net;
    if (net->context && (!endpoint || bind_router(net, endpoint, err) == 0))
        return 0;
    if (!net->context)
        sb_err_set_errno(err, SB_ERR_IO, "no messages can be sent or received");
    sb_net_free(out);
    return -1;
}

const char *sb_net_zmq_endpoint(const struct sb_net *net)
{
    return ((const struct net_zmq *)net)->endpoint;
}

int sb_net_zmq_connect(struct sb_net *base, uint64_t peer, const char *endpoint, struct sb_err *err)
{
    struct net_zmq *net = zmq_of(base);
    struct dealer *dealer = find_dealer(net, peer);
    if (check_endpoint(endpoint, err) < 0)
        return -1;
    if (dealer && strcmp(dealer->endpoint, endpoint) == 0)
        return 0;
    void *socket = open_socket(net, ZMQ_DEALER, err);
    if (!socket)
        return -1;
    if (zmq_connect(socket, endpoint) < 0) {
        sb_err_set(err, SB_ERR_CONFIG, "cannot connect to '%s': %s", endpoint, zmq_strerror(errno));
        zmq_close(socket);
        return -1;
    }
    if (dealer) {
        zmq_close(dealer->socket);
    } else {
        net->dealers = sb_realloc(net->dealers, (net->dealer_count + 1) * sizeof(*net->dealers));
        net->items = sb_realloc(net->items, (net->dealer_count + 2) * sizeof(*net->items));
        dealer = &net->dealers[net->dealer_count++];
    }
    *dealer = (struct dealer){.peer = peer, .socket = socket};
    snprintf(dealer->endpoint, sizeof(dealer->endpoint), "%s", endpoint);
    return 0;
}
