#include "ps_loop.h"

#include "clock.h"

#include <inttypes.h>

enum { TICK_MS = 20 };

int sb_ps_loop(struct sb_server *server, struct sb_net *net, struct sb_metrics *metrics,
               const volatile sig_atomic_t *stop_code, double silence_s, struct sb_err *err)
{
    struct sb_outbox out = {0};
    uint64_t heard_ns = sb_clock_ns(), sent = 0, received = 0, refused = 0;
    const char *text = NULL;
    bool stopping = false;
    int code = -1;
    while ((code = sb_server_over(server, &text)) < 0) {
        uint64_t peer;
        struct sb_msg *msg = NULL;
        int got = sb_net_recv(net, TICK_MS, &peer, &msg, err);
        if (got < 0)
            break;
        if (got > 0) {
            heard_ns = sb_clock_ns();
            sb_server_handle(server, heard_ns, peer, &msg, &out);
        }
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
        double silent = (double)(sb_clock_ns() - heard_ns) * 1e-9;
        if (silent > silence_s) {
            sb_err_set(err, SB_ERR_PEER, "nothing heard from anybody for %.0f s", silent);
            break;
        }
    }
    sb_outbox_release(&out);
    if (code < 0)
        return err->code;
    if (code > 0)
        sb_err_set(err, (enum sb_err_code)code, "%s", text ? text : "stopped");
    return code;
}
