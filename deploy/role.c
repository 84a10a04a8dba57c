#include "role.h"

#include "clock.h"
#include "log.h"
#include "output.h"
#include "run_record.h"
#include "signals.h"
#include "supervise.h"
#include "watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Of one process: its files, its metrics and MPI; and of each peer. */
enum { DESCRIPTORS = 32, DESCRIPTORS_OF_PEER = 4 };

/*
 * Asks for as many descriptors as a process of this job may open, before it opens the first: in the
 * middle of a run their end is met by whoever comes last, and the others can only say that he is
 * gone.
 */
static int check_descriptors(const struct sb_job *job, struct sb_err *err)
{
    struct rlimit limit;
    rlim_t needed = DESCRIPTORS + DESCRIPTORS_OF_PEER * ((rlim_t)job->servers + job->workers);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return 0;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (limit.rlim_cur == needed && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    return sb_err_set(err, SB_ERR_IO,
                      "Too many open files: a process may open %llu (ulimit -n), and one of this "
                      "job needs %llu",
                      (unsigned long long)limit.rlim_max, (unsigned long long)needed);
}

int sb_role_begin(struct sb_role *role, const char *name, int argc, char **argv, struct sb_err *err)
{
    *role = (struct sb_role){0};
    sb_signals_hold();
    if (sb_run_args_parse(&role->args, argc, argv, err) < 0)
        return -1;
    /* A server reads neither model nor data. */
    role->reads_inputs = strcmp(name, "server") != 0;
    if (check_descriptors(&role->args.job, err) < 0 ||
        (role->reads_inputs && sb_job_check_inputs(&role->args.job, err) < 0)) {
        sb_run_args_release(&role->args);
        return -1;
    }
    /* A second to spare for whoever waits for us. */
    sb_signals_install(role->args.child ? SB_SIGNALS_CHILD : SB_SIGNALS_ALONE,
                       role->args.job.stop_grace_s - 1);
    sb_job_canonical(&role->args.job, &role->canonical);
    if (role->canonical.count > SB_HEAD_BYTES_MAX / 4) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "the settings are %zu bytes of text, and peers exchange at most %d",
                   role->canonical.count, SB_HEAD_BYTES_MAX / 4);
        sb_role_end(role);
        return -1;
    }
    role->pool = sb_pool_new(role->args.job.threads);
    sb_fingerprint(role->fingerprint);
    sb_report_begin(&role->report, &role->args.job, name, role->args.index);
    return 0;
}

void sb_role_end(struct sb_role *role)
{
    sb_ledger_close(&role->server_ledger);
    sb_ledger_close(&role->worker_ledger);
    sb_report_end(&role->report);
    sb_pool_free(&role->pool);
    sb_bytes_release(&role->canonical);
    sb_run_args_release(&role->args);
}

static bool reads_standard_input(const struct sb_job *job)
{
    const struct sb_list *all[] = {&job->train_file, &job->validation_file, &job->test_file};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        for (size_t j = 0; j < all[i]->count; j++)
            if (!strcmp(all[i]->items[j], "-"))
                return true;
    return false;
}

int sb_role_rehearse(struct sb_role *role, struct sb_err *err)
{
    struct sb_task *task = NULL;
    if (reads_standard_input(&role->args.job))
        return 0; /* it could not be read again */
    if (sb_task_open(&task, &role->args.job, role->pool, sb_report_prepare, &role->report, err) < 0)
        return -1;
    int rc = sb_task_load_weights(task, err);
    sb_task_free(&task);
    return rc;
}

int sb_role_check_output(struct sb_role *role, bool owner, struct sb_err *err)
{
    const struct sb_job *job = &role->args.job;
    enum sb_output_state state;
    struct sb_inputs inputs;
    char cache[SB_PATH_BYTES];
    if (role->args.fresh && !owner)
        return 0;
    if (role->args.fresh && sb_output_forget(job->output_dir, err) < 0)
        return -1;
    if (sb_dir_make(job->output_dir, err) < 0)
        return -1;
    /* Where the names of contents are kept, so that the data is not read again to be named. */
    if (role->reads_inputs &&
        (sb_dir_make(job->cache_dir ? job->cache_dir
                                    : sb_path_join(cache, job->output_dir, "cache"),
                     err) < 0 ||
         sb_inputs_read(&inputs, job, err) < 0))
        return -1;
    if (sb_output_look(&state, job, role->canonical.data, role->reads_inputs ? &inputs : NULL,
                       err) < 0 ||
        state == SB_OUTPUT_CHANGED)
        return -1;
    if (state == SB_OUTPUT_FINISHED)
        sb_log_event("done", sb_text("output_dir", job->output_dir),
                     sb_text("why", "is finished; nothing to do (--fresh starts over)"));
    else if (owner && role->reads_inputs && /* resumed: perhaps with other evaluations */
             sb_run_record_begin(job, role->canonical.data, &inputs, err) < 0)
        return -1;
    return state == SB_OUTPUT_FINISHED;
}

int sb_role_skip(struct sb_role *role, bool owner, struct sb_err *err)
{
    /* The launcher has looked already. */
    int finished = role->args.child ? 0 : sb_role_check_output(role, owner, err);
    return finished > 0 ? 0 : -1;
}

static int keep_ledger(struct sb_ledger **ledger, const struct sb_role *role, const char *name,
                       const struct sb_place *place, struct sb_err *err)
{
    const char *dir = role->args.job.ledger_dir;
    uint64_t peer = strcmp(name, "server") ? place->self : place->index;
    if (!dir || !*dir ||
        sb_ledger_open(ledger, dir, name, place->index, place->life, peer, err) == 0)
        return 0;
    return sb_err_context(err, "ledger_dir");
}

struct sb_server *sb_role_server(struct sb_role *role, const struct sb_place *place,
                                 const struct sb_disk *disk, struct sb_err *err)
{
    if (keep_ledger(&role->server_ledger, role, "server", place, err) < 0)
        return NULL;
    struct sb_server_options options = {.index = place->index,
                                        .life = place->life,
                                        .server_count = place->server_count,
                                        .worker_count = place->worker_count,
                                        .job = &role->args.job,
                                        .canonical = role->canonical.data,
                                        .fingerprint = role->fingerprint,
                                        .address = place->address,
                                        .name = place->name,
                                        .pool = role->pool,
                                        .disk = disk,
                                        .checksum = place->net != NULL,
                                        .on_event = sb_report_event,
                                        .on_status = sb_report_status,
                                        .metrics = role->report.metrics,
                                        .event_context = &role->report,
                                        .on_entry = role->server_ledger ? sb_ledger_write : NULL,
                                        .entry_context = role->server_ledger};
    return sb_server_new(&options, sb_clock_ns());
}

static int connect_servers(struct sb_net *net, const Sb__Welcome *welcome, struct sb_err *err)
{
    for (size_t i = 1; i < welcome->n_servers; i++)
        if (sb_net_zmq_connect(net, i, welcome->servers[i], err) < 0)
            return -1;
    return 0;
}

/* The others wait for us: they should not have to wait for their limits. */
static void tell_coordinator(const struct sb_role *role, struct sb_place *place,
                             const struct sb_err *why)
{
    struct sb_msg *msg = sb_client_stop_msg(role->canonical.data, place->name, why);
    sb_net_send(place->net, SB_PEER_COORDINATOR, &msg, NULL);
    sb_msg_free(&msg);
}

enum { SAY_PREPARING_NS = 1000000000 / 4 };

/* While the data is prepared nothing is received; who waits for us should not give up. */
struct preparing {
    struct sb_role *role;
    struct sb_place *place;
    uint64_t said_ns;
};

static void say_preparing(struct preparing *preparing)
{
    struct sb_msg *msg = sb_client_preparing_msg(preparing->role->canonical.data);
    preparing->said_ns = sb_clock_ns();
    sb_net_send(preparing->place->net, SB_PEER_COORDINATOR, &msg, NULL);
    sb_msg_free(&msg);
}

static void prepare_progress(void *context, uint64_t done_bytes, uint64_t total_bytes,
                             uint64_t samples)
{
    struct preparing *preparing = context;
    if (sb_clock_ns() - preparing->said_ns > SAY_PREPARING_NS)
        say_preparing(preparing);
    sb_report_prepare(&preparing->role->report, done_bytes, total_bytes, samples);
}

static int work(struct sb_role *role, struct sb_place *place, bool embedded, struct sb_err *err)
{
    struct sb_task *task = NULL;
    struct preparing preparing = {.role = role, .place = place, .said_ns = sb_clock_ns()};
    sb_signals_leave_at_once(true, "stopped while the data was prepared; the same command goes on");
    bool ready =
        sb_task_open(&task, &role->args.job, role->pool, prepare_progress, &preparing, err) == 0 &&
        sb_worker_check(task, err) == 0;
    sb_signals_leave_at_once(false, "");
    if (!ready || keep_ledger(&role->worker_ledger, role, "worker", place, err) < 0) {
        if (!embedded)
            tell_coordinator(role, place, err);
        sb_task_free(&task);
        return err->code;
    }
    say_preparing(&preparing); /* the last time: from here on we can say HELLO */
    if (place->index == 0)
        sb_report_task(&role->report, task);
    struct sb_worker_options options = {.job = &role->args.job,
                                        .task = task,
                                        .net = &place->net,
                                        .self = place->self,
                                        .canonical = role->canonical.data,
                                        .fingerprint = role->fingerprint,
                                        .index = place->index,
                                        .life = place->life,
                                        .name = place->name,
                                        .checksum = !embedded,
                                        .metrics = role->report.metrics,
                                        .told = &role->told,
                                        .unheard = &role->unheard,
                                        .stop_code = &sb_stop_code,
                                        .loaded = sb_report_loaded,
                                        .loaded_context = &role->report,
                                        .connect = embedded ? NULL : connect_servers,
                                        .on_entry = role->worker_ledger ? sb_ledger_write : NULL,
                                        .entry_context = role->worker_ledger};
    int code = sb_worker_run(&options, err);
    sb_task_free(&task);
    return code;
}

void sb_role_guard(const struct sb_role *role, const char *name, const struct sb_place *place)
{
    char who[64];
    snprintf(who, sizeof(who), "%s %" PRIu32, name, place->index);
    sb_watchdog_begin(who, role->args.job.hang_timeout_s);
}

int sb_role_work(struct sb_role *role, struct sb_place *place, bool embedded, struct sb_err *err)
{
    sb_role_guard(role, "worker", place);
    int code = work(role, place, embedded, err);
    sb_watchdog_end();
    return code;
}

int sb_role_code(const struct sb_role *role, int code)
{
    bool of_run = role->args.child && role->told && code >= SB_ERR_USAGE && code <= SB_ERR_CONFIG;
    return of_run && code != SB_ERR_TRY_AGAIN ? code + SB_EXIT_TOLD : code;
}

int sb_role_exit(int code, const struct sb_err *err)
{
    if (code && err->text[0])
        sb_log_error(err);
    return code;
}
