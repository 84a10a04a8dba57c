#include "embedded.h"

#include "arena.h"
#include "clock.h"

#include <stdlib.h>
#include <time.h>

struct embedded {
    struct sb_net net;
    struct sb_server *server;
    uint64_t self;
    struct sb_outbox answers; /* for the worker, oldest first from next on */
    size_t next;
};

static int embedded_send(struct sb_net *net, uint64_t peer, struct sb_msg **msg, struct sb_err *err)
{
    struct embedded *e = (struct embedded *)net;
    (void)peer;
    (void)err;
    net->sent_bytes += sb_msg_bytes(*msg);
    sb_server_handle(e->server, sb_clock_ns(), e->self, msg, &e->answers);
    return 0;
}

static int embedded_recv(struct sb_net *net, int timeout_ms, uint64_t *peer, struct sb_msg **msg,
                         struct sb_err *err)
{
    struct embedded *e = (struct embedded *)net;
    (void)err;
    if (e->next == e->answers.count) {
        e->next = e->answers.count = 0;
        sb_server_tick(e->server, sb_clock_ns(), &e->answers);
    }
    if (e->next == e->answers.count) {
        /* Nobody else can send: only a timer of the server can bring something. */
        if (timeout_ms > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        return 0;
    }
    *peer = SB_PEER_COORDINATOR;
    *msg = e->answers.items[e->next].msg;
    e->answers.items[e->next++].msg = NULL;
    net->received_bytes += sb_msg_bytes(*msg);
    return 1;
}

static void embedded_free(struct sb_net *net)
{
    struct embedded *e = (struct embedded *)net;
    sb_outbox_release(&e->answers);
    free(e);
}

struct sb_net *sb_net_embedded_new(struct sb_server *server, uint64_t self)
{
    static const struct sb_net_ops ops = {
        .send = embedded_send, .recv = embedded_recv, .free = embedded_free};
    struct embedded *e = sb_calloc(1, sizeof(*e));
    e->net.ops = &ops;
    e->server = server;
    e->self = self;
    return &e->net;
}
