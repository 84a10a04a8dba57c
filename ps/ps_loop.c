#include "ps_loop.h"

#include "clock.h"
#include "log.h"

#include <inttypes.h>

enum { TICK_MS = 20, SAY_AFTER_S = 4 };

struct silence {
    uint64_t born_ns;
    bool said;
};

/*
 * A coordinator that is not heard is waited for as long as a worker waits for it: a little longer
 * than it waits itself, so that it can say who is missing.  That workers speak to us leads to
 * nothing without it.
 */
static int check_silence(struct silence *silence, const struct sb_server *server,
                         const struct sb_ps_limits *limits, struct sb_err *err)
{
    uint64_t now_ns = sb_clock_ns(), heard_ns = sb_server_heard_ns(server, now_ns);
    bool joining = heard_ns == 0;
    double silent = (double)(now_ns - (joining ? silence->born_ns : heard_ns)) * 1e-9;
    double limit = (joining ? limits->join_s : limits->step_s) + SB_PS_PATIENCE_S;
    const char *at = *limits->coordinator ? " at " : "";
    if (joining && silent > SAY_AFTER_S && !silence->said) {
        silence->said = true;
        sb_log_waiting(limits->coordinator, silent, limit);
    }
    if (silent <= limit)
        return 0;
    return sb_err_set(err, SB_ERR_PEER, "nothing heard from the coordinator%s%s for %.0f s (%s)",
                      at, limits->coordinator, silent,
                      joining ? "join_timeout_s" : "step_timeout_s");
}

int sb_ps_loop(struct sb_server *server, struct sb_net *net, struct sb_metrics *metrics,
               const volatile sig_atomic_t *stop_code, const struct sb_ps_limits *limits,
               struct sb_err *err)
{
    struct sb_outbox out = {0};
    uint64_t sent = 0, received = 0, refused = 0;
    struct silence silence = {.born_ns = sb_clock_ns()};
    const char *text = NULL;
    bool stopping = false;
    int code = -1;
    while ((code = sb_server_over(server, &text)) < 0) {
        uint64_t peer;
        struct sb_msg *msg = NULL;
        int got = sb_net_recv(net, TICK_MS, &peer, &msg, err);
        if (got < 0)
            break;
        if (got > 0)
            sb_server_handle(server, sb_clock_ns(), peer, &msg, &out);
        else
            sb_server_rest(server);
        if (*stop_code && !stopping) {
            stopping = true;
            sb_server_stop(server, *stop_code);
        }
        sb_server_tick(server, sb_clock_ns(), &out);
        if (sb_net_send_all(net, &out, err) < 0)
            break;
        sb_metrics_heartbeat(metrics);
        sb_metrics_ready(metrics, sb_server_ready(server));
        sb_metrics_add(metrics, SB_METRIC_NETWORK_SENT, (double)(net->sent_bytes - sent));
        sb_metrics_add(metrics, SB_METRIC_NETWORK_RECEIVED,
                       (double)(net->received_bytes - received));
        uint64_t now_refused = net->dropped_messages + sb_server_refused_count(server);
        sb_metrics_add(metrics, SB_METRIC_MESSAGES_REFUSED, (double)(now_refused - refused));
        refused = now_refused;
        sent = net->sent_bytes;
        received = net->received_bytes;
        if (check_silence(&silence, server, limits, err) < 0)
            break;
    }
    sb_outbox_release(&out);
    if (code < 0)
        return err->code;
    if (code > 0)
        sb_err_set(err, (enum sb_err_code)code, "%s", text ? text : "stopped");
    return code;
}
