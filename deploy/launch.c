#include "launch.h"

#include "arena.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "output.h"
#include "signals.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 50,
    EXTRA_ARGS = 16,
    SAVE_LIMIT_S = 30, /* for the servers to write a checkpoint when a worker has failed */
    END_LIMIT_S = 5,   /* once that is out of reach, or done: the coordinator has ended */
    RESTART_MS_MAX = 30000,
};

struct child {
    pid_t pid; /* 0 once it has ended */
    const char *role;
    bool is_server;
    uint32_t index;
    uint32_t life;     /* how often it was started again */
    double restart_at; /* 0: never */
};

struct launch {
    const struct sb_run_args *args;
    struct child *children; /* servers first; child 0 is the coordinator */
    uint32_t count;
    uint32_t running;    /* also those that are about to be started again */
    uint32_t done;       /* workers that have left after the end */
    double done_at;      /* when the last of them did */
    bool ending;         /* nobody is started again */
    bool finished;       /* the coordinator has ended well: the model is written */
    struct sb_err cause; /* of a code that is not 0 */
    int code, passed_on;
    double end_by;   /* 0: no limit yet */
    char folder[64]; /* of the ipc sockets */
    char address[128];
    char programs[SB_PATH_BYTES]; /* folder of the role programs */
};

static int prepare(struct launch *launch, struct sb_err *err)
{
    char self[SB_PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0)
        return sb_err_set_errno(err, SB_ERR_BUG, "cannot find this program's own file");
    self[length] = 0;
    sb_path_folder(launch->programs, self);
    snprintf(launch->folder, sizeof(launch->folder), "/tmp/shardbert-sockets-%ld-XXXXXX",
             (long)getpid());
    if (!mkdtemp(launch->folder))
        return sb_err_set_errno(err, SB_ERR_CREATE, "cannot make a folder for sockets in /tmp");
    snprintf(launch->address, sizeof(launch->address), "ipc://%s/server-0", launch->folder);
    return 0;
}

/* In the child: becomes the role's program. */
static _Noreturn void become(const struct launch *launch, const struct child *child, pid_t parent)
{
    const struct sb_run_args *args = launch->args;
    const char *role = child->role;
    uint32_t index = child->index;
    char program[SB_PATH_BYTES], servers[32], workers[32], own_index[32], life[32], bind[128];
    char metrics[64];
    char **argv = sb_calloc((size_t)args->argc + EXTRA_ARGS, sizeof(*argv));
    size_t count = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(SB_ERR_PEER);
    char name[64];
    snprintf(name, sizeof(name), "shardbert-%s", role);
    sb_path_join(program, launch->programs, name);
    snprintf(own_index, sizeof(own_index), "--index=%" PRIu32, index);
    snprintf(life, sizeof(life), "--life=%" PRIu32, child->life);
    snprintf(bind, sizeof(bind), "--bind=ipc://%s/server-%" PRIu32, launch->folder, index);
    snprintf(servers, sizeof(servers), "--servers=%" PRIu32, args->job.servers);
    snprintf(workers, sizeof(workers), "--workers=%" PRIu32, args->job.workers);
    argv[count++] = program;
    for (int i = 0; i < args->argc; i++)
        argv[count++] = args->argv[i];
    argv[count++] = servers;
    argv[count++] = workers;
    argv[count++] = "--child";
    argv[count++] = "--address";
    argv[count++] = (char *)(uintptr_t)launch->address;
    argv[count++] = own_index;
    argv[count++] = life;
    if (!strcmp(role, "ps"))
        argv[count++] = bind;
    /* One port cannot serve them all: only the coordinator takes the address that was asked for. */
    if (index > 0 || strcmp(role, "ps") != 0) {
        snprintf(metrics, sizeof(metrics), "metrics_address=127.0.0.1:0");
        argv[count++] = "--set";
        argv[count++] = metrics;
    }
    execv(program, argv);
    fprintf(stderr, "shardbert: cannot start '%s': %s\n", program, strerror(errno));
    _exit(SB_ERR_BUG);
}

static int start(struct launch *launch, struct child *child, struct sb_err *err)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return sb_err_set_errno(err, SB_ERR_TRY_AGAIN, "cannot start a %s process", child->role);
    if (pid == 0)
        become(launch, child, parent);
    child->pid = pid;
    return 0;
}

static int start_all(struct launch *launch, const char *role, uint32_t count, struct sb_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct child *child = &launch->children[launch->count++];
        *child = (struct child){.role = role, .is_server = !strcmp(role, "ps"), .index = i};
        if (start(launch, child, err) < 0)
            return -1;
        launch->running++;
    }
    return 0;
}

static void signal_all(struct launch *launch, int number)
{
    for (uint32_t i = 0; i < launch->count; i++)
        if (launch->children[i].pid)
            kill(launch->children[i].pid, number);
}

/* Ends whoever still runs, and waits for them. */
static void end_all(struct launch *launch)
{
    signal_all(launch, SIGKILL);
    for (uint32_t i = 0; i < launch->count; i++)
        if (launch->children[i].pid)
            waitpid(launch->children[i].pid, NULL, 0);
    launch->running = 0;
}

static const char *name_of(const struct child *child)
{
    return child->is_server ? "server" : "worker";
}

static int exit_code(int status, const struct child *child, struct sb_err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status)) {
        char often[64] = "";
        if (child->life)
            snprintf(often, sizeof(often), ", also after %" PRIu32 " restarts (max_restarts)",
                     child->life);
        sb_err_set(err, SB_ERR_PEER, "%s %" PRIu32 " was killed by signal %d%s", name_of(child),
                   child->index, WTERMSIG(status), often);
        return SB_ERR_PEER;
    }
    /* It has said why itself. */
    err->text[0] = 0;
    return err->code = (enum sb_err_code)WEXITSTATUS(status);
}

/* The others end by themselves, or are ended then. */
static void limit_end(struct launch *launch, const struct child *gone)
{
    double limit = sb_clock_seconds() + (gone->is_server ? END_LIMIT_S : SAVE_LIMIT_S);
    if (launch->end_by == 0 || limit < launch->end_by)
        launch->end_by = limit;
    launch->ending = true;
}

/* The code of one who only missed another, or who was told to end. */
static bool is_consequence(int code)
{
    return code == SB_ERR_PEER || code == SB_ERR_TERMINATE || code == SB_ERR_INTERRUPT;
}

/*
 * Who was killed, or crashed, is started again a few times, each time after a longer wait; the
 * coordinator gives it its old place.  Who ends by himself has a reason, and says it.
 */
static bool start_later(struct launch *launch, struct child *child, int status, pid_t pid)
{
    const struct sb_job *job = &launch->args->job;
    /* A coordinator waits for all workers, and those who have left do not come back. */
    bool in_vain = child == launch->children && launch->done;
    if (!WIFSIGNALED(status) || launch->ending || sb_stop_code || in_vain ||
        child->life >= job->max_restarts)
        return false;
    double delay_ms = job->restart_delay_ms;
    for (uint32_t i = 0; i < child->life && delay_ms < RESTART_MS_MAX; i++)
        delay_ms *= 2;
    delay_ms = delay_ms < RESTART_MS_MAX ? delay_ms : RESTART_MS_MAX;
    child->life++;
    child->restart_at = sb_clock_seconds() + delay_ms * 1e-3;
    sb_log_warning("%s %" PRIu32 " (process %ld) was killed by signal %d; it is started again in "
                   "%.1f s (%" PRIu32 " of %" PRIu32 ", max_restarts)",
                   name_of(child), child->index, (long)pid, WTERMSIG(status), delay_ms * 1e-3,
                   child->life, job->max_restarts);
    return true;
}

/*
 * The first failure gives the rest a limited time to end, and decides the code; unless it says no
 * more than that somebody is gone, and he says why later.
 */
static void take_end(struct launch *launch, struct child *child, int status)
{
    struct sb_err why = SB_ERR_INIT;
    pid_t pid = child->pid;
    child->pid = 0;
    if (start_later(launch, child, status, pid))
        return;
    launch->running--;
    int code = exit_code(status, child, &why);
    if (child == launch->children && code == 0)
        launch->finished = true;
    if (launch->finished && WIFSIGNALED(status)) { /* one that hung, and that nobody waited for */
        sb_log_warning("%s %" PRIu32 " (process %ld) was killed by signal %d after the end of the "
                       "run",
                       name_of(child), child->index, (long)pid, WTERMSIG(status));
        return;
    }
    bool first = code && !launch->code;
    bool vague = launch->code == SB_ERR_PEER && !launch->cause.text[0];
    if (first || (vague && code && !is_consequence(code))) {
        launch->code = code;
        launch->cause = why;
    }
    /* A role that is gone for good must not be waited for by the others. */
    if (first && code != SB_ERR_TERMINATE && code != SB_ERR_INTERRUPT)
        signal_all(launch, SIGTERM);
    if (code || child == launch->children)
        limit_end(launch, child);
    if (!code && !child->is_server) {
        launch->done++;
        launch->done_at = sb_clock_seconds();
    }
}

/* Starts those whose wait is over; a run that ends waits for nobody. */
static void restart_due(struct launch *launch)
{
    for (uint32_t i = 0; i < launch->count; i++) {
        struct child *child = &launch->children[i];
        bool given_up = launch->ending || sb_stop_code;
        if (child->restart_at == 0 || (!given_up && sb_clock_seconds() < child->restart_at))
            continue;
        child->restart_at = 0;
        struct sb_err why = SB_ERR_INIT;
        if (!given_up && start(launch, child, &why) == 0)
            continue;
        launch->running--;
        if (sb_stop_code && !child->is_server) /* the others write the checkpoint */
            continue;
        if (given_up)
            sb_err_set(&why, SB_ERR_PEER, "%s %" PRIu32 " is gone", name_of(child), child->index);
        if (!launch->code) {
            launch->code = (int)why.code;
            launch->cause = why;
        }
        if (!given_up)
            signal_all(launch, SIGTERM);
        limit_end(launch, child);
    }
}

/*
 * The model is written and the workers have left, and a coordinator that was started again just
 * then waits for them: there is nothing to wait for.
 */
static bool is_finished(const struct launch *launch)
{
    if (launch->code || !launch->done || !launch->children[0].life ||
        sb_clock_seconds() - launch->done_at < END_LIMIT_S)
        return false;
    struct sb_bytes canonical = SB_BYTES_INIT;
    enum sb_output_state state;
    sb_job_canonical(&launch->args->job, &canonical);
    int rc = sb_output_look(&state, &launch->args->job, canonical.data, NULL, NULL);
    sb_bytes_release(&canonical);
    return rc == 0 && state == SB_OUTPUT_FINISHED;
}

/* Waits for all children. */
static int watch(struct launch *launch, struct sb_err *err)
{
    while (launch->running) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (uint32_t i = 0; pid > 0 && i < launch->count; i++)
            if (launch->children[i].pid == pid)
                take_end(launch, &launch->children[i], status);
        restart_due(launch);
        if (pid > 0)
            continue;
        if (sb_stop_code != launch->passed_on && launch->children[0].pid) {
            launch->passed_on = sb_stop_code;
            kill(launch->children[0].pid, SIGTERM);
        }
        if ((launch->end_by > 0 && sb_clock_seconds() > launch->end_by) || is_finished(launch))
            end_all(launch);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    *err = launch->cause;
    /* Children know SIGTERM only; the person pressed Ctrl-C. */
    return launch->code == SB_ERR_TERMINATE && sb_stop_code ? (int)sb_stop_code : launch->code;
}

int sb_launch(const struct sb_run_args *args, struct sb_err *err)
{
    struct launch launch = {.args = args};
    const struct sb_job *job = &args->job;
    int code = -1;
    if (prepare(&launch, err) < 0)
        return err->code;
    sb_signals_install(false);
    launch.children = sb_calloc(job->servers + job->workers, sizeof(*launch.children));
    if (start_all(&launch, "ps", job->servers, err) == 0 &&
        start_all(&launch, "worker", job->workers, err) == 0)
        code = watch(&launch, err);
    end_all(&launch);
    free(launch.children);
    sb_dir_remove(launch.folder, NULL);
    return code < 0 ? (int)err->code : code;
}
