/* shardbert-ps: one parameter server; server 0 has the coordinator inside. */
#include "ckpt.h"
#include "ps_loop.h"
#include "rank.h"
#include "role.h"
#include "signals.h"
#include "watchdog.h"

int main(int argc, char **argv)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_role role;
    struct sb_place place = {0};
    int code = -1;
    if (sb_role_begin(&role, "server", argc, argv, &err) < 0)
        return sb_role_exit((int)err.code, &err);
    if (sb_rank_here(&role.args)) {
        code = sb_rank_run(&role, true, &err);
        sb_role_end(&role);
        return sb_role_exit(code, &err);
    }
    if (sb_place_take(&place, &role.args, true, &err) == 0 &&
        sb_report_serve(&role.report, place.index, true, &err) == 0 &&
        (code = sb_role_skip(&role, place.index == 0, &err)) < 0 && !err.text[0]) {
        if (place.index == 0)
            sb_report_announce(&role.report, role.args.child);
        struct sb_server *server = sb_role_server(&role, &place, &sb_disk_files, &err);
        const struct sb_job *job = &role.args.job;
        struct sb_ps_limits limits = {.join_s = job->join_timeout_s,
                                      .step_s = job->step_timeout_s,
                                      .coordinator = job->address ? job->address : ""};
        sb_role_guard(&role, "server", &place);
        if (server)
            code = sb_ps_loop(server, place.net, role.report.metrics, &sb_stop_code, &limits, &err);
        sb_watchdog_end();
        /* Who was refused may be alone on its host, and not see what the coordinator says. */
        role.told = server && sb_server_over(server, NULL) >= 0 &&
                    (role.args.child || !sb_server_was_refused(server));
        sb_server_free(&server);
    }
    if (code < 0)
        code = (int)err.code;
    /* The coordinator speaks for the cluster, and has done so when it decided to end the run. */
    if (role.report.said || role.told)
        err.text[0] = 0;
    sb_role_exit(code, &err);
    code = sb_role_code(&role, code);
    sb_place_leave(&place);
    sb_role_end(&role);
    return code;
}
