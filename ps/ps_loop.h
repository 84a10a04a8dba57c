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

/*
 * Runs until the server says that it is over.  Returns its exit code; err says why when it is not
 * 0. silence_s: a server that is not the coordinator and hears nothing for so long gives up
 * (SB_ERR_PEER).
 */
int sb_ps_loop(struct sb_server *server, struct sb_net *net, struct sb_metrics *metrics,
               const volatile sig_atomic_t *stop_code, double silence_s, struct sb_err *err);

#endif
