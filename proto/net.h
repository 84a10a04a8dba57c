/*
 * How bytes travel: an interface with a ZeroMQ side (net_zmq) and an in-process side (net_local).
 * One thread owns a net.  Every wait has an end.
 */
#ifndef SB_NET_H
#define SB_NET_H

#include "err.h"
#include "msg.h"

struct sb_net;

struct sb_net_ops {
    /* msg is the net's on success (and *msg NULL).  A peer that is not connected is not an error:
     * the message is dropped, as on any network. */
    int (*send)(struct sb_net *net, uint64_t peer, struct sb_msg **msg, struct sb_err *err);
    /* 1: a message; 0: none within timeout_ms (0: do not wait); -1: trouble. */
    int (*recv)(struct sb_net *net, int timeout_ms, uint64_t *peer, struct sb_msg **msg,
                struct sb_err *err);
    void (*free)(struct sb_net *net);
};

struct sb_net {
    const struct sb_net_ops *ops;
    uint64_t sent_bytes, received_bytes;
    uint64_t dropped_messages; /* received ones that were no messages of ours */
};

static inline int sb_net_send(struct sb_net *net, uint64_t peer, struct sb_msg **msg,
                              struct sb_err *err)
{
    return net->ops->send(net, peer, msg, err);
}

static inline int sb_net_recv(struct sb_net *net, int timeout_ms, uint64_t *peer,
                              struct sb_msg **msg, struct sb_err *err)
{
    return net->ops->recv(net, timeout_ms, peer, msg, err);
}

void sb_net_free(struct sb_net **net);
/* Sends all of an outbox and empties it. */
int sb_net_send_all(struct sb_net *net, struct sb_outbox *outbox, struct sb_err *err);

/*
 * ZeroMQ.  self is this process's peer number: it is the ROUTER identity under which others see us.
 * endpoint: "tcp://HOST:PORT" (HOST * is every interface, PORT 0 any free one) or "ipc://PATH";
 * NULL for a process that only connects.  timeout_ms: a connection on which what was sent is not
 * acknowledged for so long is given up and made anew (network_timeout_ms).
 */
int sb_net_zmq_new(struct sb_net **net, uint64_t self, const char *endpoint, uint32_t timeout_ms,
                   struct sb_err *err);
/* The endpoint that was bound, with the port (and for host * an address that others reach) filled
 * in. */
const char *sb_net_zmq_endpoint(const struct sb_net *net);
/* From now on messages to peer go to endpoint.  Calling again with another endpoint replaces it. */
int sb_net_zmq_connect(struct sb_net *net, uint64_t peer, const char *endpoint, struct sb_err *err);

#endif
