#include "launch.h"

#include "arena.h"
#include "clock.h"
#include "file.h"
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
};

struct child {
    pid_t pid; /* 0 once it has ended */
    const char *role;
    bool is_server;
    uint32_t index;
};

struct launch {
    struct child *children; /* servers first; child 0 is the coordinator */
    uint32_t count, running;
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
    snprintf(launch->folder, sizeof(launch->folder), "/tmp/shardbert-sockets-XXXXXX");
    if (!mkdtemp(launch->folder))
        return sb_err_set_errno(err, SB_ERR_CREATE, "cannot make a folder for sockets in /tmp");
    snprintf(launch->address, sizeof(launch->address), "ipc://%s/server-0", launch->folder);
    return 0;
}

/* In the child: becomes the role's program. */
static _Noreturn void become(const struct launch *launch, const struct sb_run_args *args,
                             const char *role, uint32_t index, pid_t parent)
{
    char program[SB_PATH_BYTES], servers[32], workers[32], own_index[32], bind[128], metrics[64];
    char **argv = sb_calloc((size_t)args->argc + EXTRA_ARGS, sizeof(*argv));
    size_t count = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(SB_ERR_PEER);
    char name[64];
    snprintf(name, sizeof(name), "shardbert-%s", role);
    sb_path_join(program, launch->programs, name);
    snprintf(own_index, sizeof(own_index), "--index=%" PRIu32, index);
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

static int start(struct launch *launch, const struct sb_run_args *args, const char *role,
                 uint32_t index, struct sb_err *err)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return sb_err_set_errno(err, SB_ERR_TRY_AGAIN, "cannot start a %s process", role);
    if (pid == 0)
        become(launch, args, role, index, parent);
    launch->children[launch->count++] =
        (struct child){.pid = pid, .role = role, .is_server = !strcmp(role, "ps"), .index = index};
    launch->running++;
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

static int exit_code(int status, const struct child *child, struct sb_err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status)) {
        sb_err_set(err, SB_ERR_PEER, "%s %" PRIu32 " was killed by signal %d",
                   child->is_server ? "server" : "worker", child->index, WTERMSIG(status));
        return SB_ERR_PEER;
    }
    /* It has said why itself. */
    err->text[0] = 0;
    return err->code = (enum sb_err_code)WEXITSTATUS(status);
}

/* The others end by themselves, or are ended then. */
static void limit_end(double *end_by, const struct child *gone)
{
    double limit = sb_clock_seconds() + (gone->is_server ? END_LIMIT_S : SAVE_LIMIT_S);
    if (*end_by == 0 || limit < *end_by)
        *end_by = limit;
}

/* The code of one who only missed another, or who was told to end. */
static bool is_consequence(int code)
{
    return code == SB_ERR_PEER || code == SB_ERR_TERMINATE || code == SB_ERR_INTERRUPT;
}

/*
 * Waits for all children.  The first failure gives the rest a limited time to end, and decides the
 * code; unless it says no more than that somebody is gone, and he says why later.
 */
static int watch(struct launch *launch, struct sb_err *err)
{
    int code = 0, passed_on = 0;
    double end_by = 0;
    while (launch->running) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (uint32_t i = 0; pid > 0 && i < launch->count; i++) {
            if (launch->children[i].pid != pid)
                continue;
            launch->children[i].pid = 0;
            launch->running--;
            struct sb_err why = SB_ERR_INIT;
            int child_code = exit_code(status, &launch->children[i], &why);
            bool first = child_code && !code, vague = code == SB_ERR_PEER && !err->text[0];
            if (first || (vague && child_code && !is_consequence(child_code))) {
                code = child_code;
                *err = why;
            }
            /* A role that is gone for good must not be waited for by the others. */
            if (first && code != SB_ERR_TERMINATE && code != SB_ERR_INTERRUPT)
                signal_all(launch, SIGTERM);
            if (child_code || i == 0)
                limit_end(&end_by, &launch->children[i]);
        }
        if (pid > 0)
            continue;
        if (sb_stop_code != passed_on && launch->children[0].pid) {
            passed_on = sb_stop_code;
            kill(launch->children[0].pid, SIGTERM);
        }
        if (end_by > 0 && sb_clock_seconds() > end_by)
            end_all(launch);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    /* Children know SIGTERM only; the person pressed Ctrl-C. */
    return code == SB_ERR_TERMINATE && sb_stop_code ? (int)sb_stop_code : code;
}

int sb_launch(const struct sb_run_args *args, struct sb_err *err)
{
    struct launch launch = {0};
    const struct sb_job *job = &args->job;
    int code = -1;
    if (prepare(&launch, err) < 0)
        return err->code;
    sb_signals_install(false);
    launch.children = sb_calloc(job->servers + job->workers, sizeof(*launch.children));
    for (uint32_t i = 0; i < job->servers; i++)
        if (start(&launch, args, "ps", i, err) < 0)
            goto done;
    for (uint32_t i = 0; i < job->workers; i++)
        if (start(&launch, args, "worker", i, err) < 0)
            goto done;
    code = watch(&launch, err);
done:
    end_all(&launch);
    free(launch.children);
    sb_dir_remove(launch.folder, NULL);
    return code < 0 ? (int)err->code : code;
}
