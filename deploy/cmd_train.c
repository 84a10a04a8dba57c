/*
 * `shardbert train JOB.yaml`: the whole job in this process, or, with --servers and --workers, in
 * child processes.
 */
#include "commands.h"

#include "ckpt.h"
#include "embedded.h"
#include "launch.h"
#include "role.h"
#include "signals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int train_embedded(struct sb_role *role, struct sb_err *err)
{
    struct sb_place place = {.server_count = 1, .worker_count = 1, .self = SB_PEER_WORKER_BIT | 1};
    struct sb_place beside = place; /* the server's own: it keeps its name and address */
    snprintf(beside.name, sizeof(beside.name), "server 0, process %ld", (long)getpid());
    struct sb_server *server = sb_role_server(role, &beside, &sb_disk_files, err);
    if (!server)
        return (int)err->code;
    snprintf(place.name, sizeof(place.name), "worker 0, process %ld", (long)getpid());
    place.net = sb_net_embedded_new(server, place.self);
    int code = sb_role_work(role, &place, true, err);
    sb_net_free(&place.net);
    sb_server_free(&server);
    return code;
}

int sb_cmd_train(int argc, char **argv)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_role role;
    int code;
    if (sb_role_begin(&role, "train", argc, argv, &err) < 0)
        return sb_role_exit((int)err.code, &err);
    sb_signals_leave_at_once(true, "stopped before the training began");
    /* Of a run of processes, they serve the metrics, and we do not. */
    int finished = role.args.job.servers ? 0 : sb_report_serve(&role.report, 0, true, &err);
    if (finished == 0 && role.args.fresh)
        finished = sb_role_rehearse(&role, &err);
    if (finished == 0)
        finished = sb_role_check_output(&role, true, &err);
    sb_signals_leave_at_once(false, "");
    if (finished < 0)
        code = (int)err.code;
    else if (finished)
        code = 0;
    else if (role.args.job.servers)
        code = sb_launch(&role.args, &err);
    else {
        sb_report_announce(&role.report, false);
        code = train_embedded(&role, &err);
    }
    if (role.report.said)
        err.text[0] = 0;
    sb_role_end(&role);
    return sb_role_exit(code, &err);
}
