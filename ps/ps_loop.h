/*
 * The shell around a server: moves bytes between the sockets and the pure core, gives it the time,
 * and turns signals into a stop.
 */
#ifndef SB_PS_LOOP_H
#define SB_PS_LOOP_H

#include "metrics.h"
#include "net.h"
#include "server.h"

#include <signal.h>

/* Seconds, of the settings of these names. */
struct sb_ps_limits {
    double join_s, step_s;
    const char *coordinator; /* where it is; "": known to MPI alone */
};

/* Beyond what the coordinator itself waits: its sentence says more than ours. */
enum { SB_PS_PATIENCE_S = 5 };

/*
 * Runs until the server says that it is over.  Returns its exit code; err says why when it is not
 * 0. A server that does not hear the coordinator for longer than the limits gives up (SB_ERR_PEER).
 */
int sb_ps_loop(struct sb_server *server, struct sb_net *net, struct sb_metrics *metrics,
               const volatile sig_atomic_t *stop_code, const struct sb_ps_limits *limits,
               struct sb_err *err);

#endif
