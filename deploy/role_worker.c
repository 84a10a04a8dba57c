/* shardbert-worker: computes the nodes that it is dealt. */
#include "rank.h"
#include "role.h"

/* Of a run's child processes the coordinator says why it ends, for it is told; unless it is gone,
 * or the model could not be written after the end. */
static int work(struct sb_role *role, struct sb_place *place, struct sb_err *err)
{
    int code = sb_role_work(role, place, false, err);
    if (role->args.child && code != SB_ERR_PEER && !role->unheard)
        err->text[0] = 0;
    return code;
}

int main(int argc, char **argv)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_role role;
    struct sb_place place = {0};
    int code = -1;
    if (sb_role_begin(&role, "worker", argc, argv, &err) < 0)
        return sb_role_exit((int)err.code, &err);
    if (sb_rank_here(&role.args)) {
        code = sb_rank_run(&role, false, &err);
        sb_role_end(&role);
        return sb_role_exit(code, &err);
    }
    if (sb_place_take(&place, &role.args, false, &err) == 0 &&
        sb_report_serve(&role.report, place.index, true, &err) == 0 &&
        (code = sb_role_skip(&role, false, &err)) < 0 && !err.text[0])
        code = work(&role, &place, &err);
    if (code < 0)
        code = (int)err.code;
    sb_role_exit(code, &err); /* before we leave: a supervisor may end the others at once */
    code = sb_role_code(&role, code);
    sb_place_leave(&place);
    sb_role_end(&role);
    return code;
}
