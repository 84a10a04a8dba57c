#include "launch.h"

#include "arena.h"
#include "file.h"
#include "signals.h"
#include "supervise.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int sb_launch(const struct sb_run_args *args, struct sb_err *err)
{
    const struct sb_job *job = &args->job;
    char folder[64], address[128]; /* of the ipc sockets, of the coordinator */
    snprintf(folder, sizeof(folder), "/tmp/shardbert-sockets-%ld-XXXXXX", (long)getpid());
    if (!mkdtemp(folder)) {
        sb_err_set_errno(err, SB_ERR_CREATE, "cannot make a folder for sockets in /tmp");
        return err->code;
    }
    snprintf(address, sizeof(address), "ipc://%s/server-0", folder);
    sb_signals_install(SB_SIGNALS_SUPERVISOR, 0);
    struct sb_supervision s = {.args = args,
                               .server_count = job->servers,
                               .worker_count = job->workers,
                               .address = address,
                               .wards = sb_calloc(job->servers + job->workers, sizeof(*s.wards)),
                               .count = job->servers + job->workers};
    for (uint32_t i = 0; i < s.count; i++) {
        struct sb_ward *ward = &s.wards[i];
        ward->is_server = i < job->servers;
        ward->index = ward->is_server ? i : i - job->servers;
        if (ward->is_server)
            snprintf(ward->bind, sizeof(ward->bind), "ipc://%s/server-%" PRIu32, folder, i);
    }
    int code = sb_supervise(&s, err);
    free(s.wards);
    sb_dir_remove(folder, NULL);
    return code;
}
