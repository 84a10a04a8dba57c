/*
 * The default shape: server and worker in one process and one thread.  The same messages, as
 * function calls.
 */
#ifndef SB_EMBEDDED_H
#define SB_EMBEDDED_H

#include "net.h"
#include "server.h"

/* A net whose only peer is a server in this process.  The server is not owned. */
struct sb_net *sb_net_embedded_new(struct sb_server *server, uint64_t self);

#endif
