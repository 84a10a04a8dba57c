/*
 * How a role learns its place: from its command line, which its user, its launcher or its rank
 * (rank.h) has written.
 */
#ifndef SB_BOOTSTRAP_H
#define SB_BOOTSTRAP_H

#include "net.h"
#include "run_args.h"

struct sb_place {
    uint32_t index; /* of a server among servers, of a worker among workers */
    uint32_t life;  /* of our own launcher: how often it has started this one before */
    uint32_t server_count, worker_count;
    uint64_t self;      /* peer number */
    struct sb_net *net; /* bound (servers) and connected to the coordinator */
    char address[256];  /* where workers reach this server */
    char name[128];     /* host and process, for people */
};

int sb_place_take(struct sb_place *place, struct sb_run_args *args, bool is_server,
                  struct sb_err *err);
/* Nothing is encrypted yet: an endpoint that other hosts reach needs --insecure.  0, or -1. */
int sb_place_check_exposure(const struct sb_run_args *args, const char *endpoint,
                            struct sb_err *err);
/* Closes the net. */
void sb_place_leave(struct sb_place *place);

#endif
