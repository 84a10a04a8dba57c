/*
 * Holds back each packet of a netfilter queue for DELAY ms, give or take JITTER: then packets
 * overtake each other.  For kernels without netem; iptables sends it the packets:
 *
 *     delay QUEUE DELAY JITTER SEED
 */
#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { HELD_MAX = 65536, BUFFER_BYTES = 65536, SOCKET_BYTES = 8 << 20 };

static struct held {
    uint64_t due_ns;
    uint32_t id;
} held[HELD_MAX];
static size_t held_count;
static double delay_ms, jitter_ms;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int take(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
                void *context)
{
    (void)message, (void)context;
    uint32_t id = ntohl(nfq_get_msg_packet_hdr(data)->packet_id);
    double ms = delay_ms + jitter_ms * (2.0 * (double)random() / RAND_MAX - 1.0);
    if (held_count == HELD_MAX) /* a queue that is full drops */
        return nfq_set_verdict(queue, id, NF_DROP, 0, NULL);
    held[held_count++] = (struct held){.due_ns = now_ns() + (uint64_t)(ms * 1e6), .id = id};
    return 0;
}

/* In the order in which they are due. */
static int by_due(const void *a, const void *b)
{
    const struct held *x = a, *y = b;
    return (x->due_ns > y->due_ns) - (x->due_ns < y->due_ns);
}

static void let_go(struct nfq_q_handle *queue)
{
    static struct held due[HELD_MAX];
    uint64_t now = now_ns();
    size_t kept = 0, due_count = 0;
    for (size_t i = 0; i < held_count; i++) {
        if (held[i].due_ns <= now)
            due[due_count++] = held[i];
        else
            held[kept++] = held[i];
    }
    held_count = kept;
    qsort(due, due_count, sizeof(*due), by_due);
    for (size_t i = 0; i < due_count; i++)
        nfq_set_verdict(queue, due[i].id, NF_ACCEPT, 0, NULL);
}

int main(int argc, char **argv)
{
    static char buffer[BUFFER_BYTES];
    if (argc != 5)
        return 64;
    delay_ms = atof(argv[2]);
    jitter_ms = atof(argv[3]);
    srandom((unsigned)atoi(argv[4]));
    struct nfq_handle *handle = nfq_open();
    struct nfq_q_handle *queue =
        handle ? nfq_create_queue(handle, (uint16_t)atoi(argv[1]), take, NULL) : NULL;
    if (!queue || nfq_set_mode(queue, NFQNL_COPY_META, 0) < 0 ||
        nfq_set_queue_maxlen(queue, HELD_MAX) < 0) {
        perror("delay");
        return 1;
    }
    struct pollfd ready = {.fd = nfq_fd(handle), .events = POLLIN};
    int bytes_of_socket = SOCKET_BYTES;
    setsockopt(ready.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes_of_socket, sizeof(bytes_of_socket));
    for (;;) {
        if (poll(&ready, 1, held_count ? 1 : 1000) > 0) {
            ssize_t bytes = recv(ready.fd, buffer, sizeof(buffer), 0);
            if (bytes > 0)
                nfq_handle_packet(handle, buffer, (int)bytes);
        }
        let_go(queue);
    }
}
