#include "supervise.h"

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
    LOOK_EVERY_S = 5, /* at output_dir, for the end of a run that somebody else sees */
    RESTART_MS_MAX = 30000,
};

/* ---- starting ---- */

static const char *name_of(const struct sb_ward *ward)
{
    return ward->is_server ? "server" : "worker";
}

static bool is_coordinator(const struct sb_ward *ward)
{
    return ward->is_server && ward->index == 0;
}

/* Where the processes of a run all are in our care, their coordinator is the first. */
static bool has_all(const struct sb_supervision *s)
{
    return s->count == s->server_count + s->worker_count;
}

/* One port cannot serve them all: only the coordinator takes the one that was asked for. */
static void any_metrics_port(char *out, size_t size, const struct sb_job *job)
{
    const char *colon = job->metrics_address ? strrchr(job->metrics_address, ':') : NULL;
    if (colon)
        snprintf(out, size, "metrics_address=%.*s:0", (int)(colon - job->metrics_address),
                 job->metrics_address);
    else
        snprintf(out, size, "metrics_address=%s", job->metrics_address ? job->metrics_address : "");
}

/* In the child: becomes the role's program. */
static _Noreturn void become(const struct sb_supervision *s, const struct sb_ward *ward,
                             pid_t parent)
{
    const struct sb_run_args *args = s->args;
    char self[SB_PATH_BYTES], folder[SB_PATH_BYTES], program[SB_PATH_BYTES];
    char servers[32], workers[32], index[32], life[32], metrics[SB_PATH_BYTES];
    char **argv = sb_calloc((size_t)args->argc + EXTRA_ARGS, sizeof(*argv));
    size_t count = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(SB_ERR_PEER);
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = 0;
    sb_path_join(program, sb_path_folder(folder, self),
                 ward->is_server ? "shardbert-ps" : "shardbert-worker");
    snprintf(index, sizeof(index), "--index=%" PRIu32, ward->index);
    snprintf(life, sizeof(life), "--life=%" PRIu32, ward->life);
    snprintf(servers, sizeof(servers), "--servers=%" PRIu32, s->server_count);
    snprintf(workers, sizeof(workers), "--workers=%" PRIu32, s->worker_count);
    argv[count++] = program;
    for (int i = 0; i < args->argc; i++)
        argv[count++] = args->argv[i];
    argv[count++] = servers;
    argv[count++] = workers;
    argv[count++] = "--child";
    argv[count++] = "--address";
    argv[count++] = (char *)(uintptr_t)s->address;
    argv[count++] = index;
    argv[count++] = life;
    if (ward->is_server) {
        argv[count++] = "--bind";
        argv[count++] = (char *)(uintptr_t)ward->bind;
    }
    if (!is_coordinator(ward)) {
        any_metrics_port(metrics, sizeof(metrics), &args->job);
        argv[count++] = "--set";
        argv[count++] = metrics;
    }
    execv(program, argv);
    fprintf(stderr, "shardbert: cannot start '%s': %s\n", program, strerror(errno));
    _exit(SB_ERR_CREATE); /* the next time it will not be there either */
}

/* A signal that comes before the child's handlers are there waits for them. */
static int start(struct sb_ward *ward, const struct sb_supervision *s, struct sb_err *err)
{
    pid_t parent = getpid();
    sb_signals_hold();
    pid_t pid = fork();
    if (pid == 0)
        become(s, ward, parent);
    int error = errno;
    sb_signals_let_go();
    errno = error;
    if (pid < 0)
        return sb_err_set_errno(err, SB_ERR_TRY_AGAIN, "cannot start a %s process", name_of(ward));
    ward->pid = pid;
    return 0;
}

/* ---- ending ---- */

static void signal_all(const struct sb_supervision *s, int number)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->wards[i].pid)
            kill(s->wards[i].pid, number);
}

/* Ends whoever still runs, and waits for them. */
static void end_all(struct sb_supervision *s)
{
    signal_all(s, SIGKILL);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->wards[i].pid)
            waitpid(s->wards[i].pid, NULL, 0);
    s->running = 0;
}

/* To leave, once the coordinator has ended and nothing is left to write. */
static double leave_s(const struct sb_supervision *s)
{
    double limit_s = s->args->job.stop_grace_s / 5.0;
    return limit_s > 2 ? limit_s : 2;
}

/* The others end by themselves, or are ended then. */
static void limit_end(struct sb_supervision *s, const struct sb_ward *gone)
{
    /* Where a worker has failed, the servers write a checkpoint. */
    double limit = gone->is_server ? leave_s(s) : (double)s->args->job.stop_grace_s;
    double end_by = sb_clock_seconds() + limit;
    if (s->end_by == 0 || end_by < s->end_by)
        s->end_by = end_by;
    s->ending = true;
}

struct ending {
    int signal; /* 0: it ended by itself */
    int code;
    bool told;
};

static struct ending read_status(int status)
{
    if (WIFSIGNALED(status))
        return (struct ending){.signal = WTERMSIG(status), .code = SB_ERR_PEER};
    int code = WEXITSTATUS(status);
    bool told = code >= SB_EXIT_TOLD + SB_ERR_USAGE && code <= SB_EXIT_TOLD + SB_ERR_CONFIG;
    return (struct ending){.code = told ? code - SB_EXIT_TOLD : code, .told = told};
}

/* The table of supervise.h. */
static bool may_go_better(const struct sb_ward *ward, const struct ending *ending)
{
    if (ending->signal)
        return true;
    if (ending->told)
        return false;
    return ending->code == SB_ERR_BUG || ending->code == SB_ERR_TRY_AGAIN ||
           (ending->code == SB_ERR_PEER && !is_coordinator(ward));
}

static void say_end(char *out, size_t size, const struct ending *ending)
{
    if (ending->signal)
        snprintf(out, size, "was killed by signal %d", ending->signal);
    else
        snprintf(out, size, "ended with code %d", ending->code);
}

static void say_restart(const struct sb_ward *ward, pid_t pid, const char *how, double delay_s,
                        uint32_t max_restarts)
{
    char who[32], sentence[256];
    snprintf(who, sizeof(who), "%s %" PRIu32, name_of(ward), ward->index);
    snprintf(sentence, sizeof(sentence),
             "%s (process %ld) %s; it is started again in %.1f s (%" PRIu32 " of %" PRIu32
             ", max_restarts)",
             who, (long)pid, how, delay_s, ward->life, max_restarts);
    sb_log_notice("killed", SB_LOG_WARNING, sentence,
                  SB_FIELDS(sb_text("who", who), sb_u64("process", (uint64_t)pid),
                            sb_u64("life", ward->life)));
}

/*
 * Who died is started again a few times, each time after a longer wait; the coordinator gives it
 * its old place.
 */
static bool start_later(struct sb_supervision *s, struct sb_ward *ward, const struct ending *ending,
                        pid_t pid)
{
    const struct sb_job *job = &s->args->job;
    char how[64];
    /* A coordinator waits for all workers, and those who have left do not come back. */
    bool in_vain = is_coordinator(ward) && s->done;
    if (!may_go_better(ward, ending) || s->ending || sb_stop_code || in_vain ||
        ward->life >= job->max_restarts)
        return false;
    double delay_ms = job->restart_delay_ms;
    for (uint32_t i = 0; i < ward->life && delay_ms < RESTART_MS_MAX; i++)
        delay_ms *= 2;
    delay_ms = delay_ms < RESTART_MS_MAX ? delay_ms : RESTART_MS_MAX;
    ward->life++;
    ward->restart_at = sb_clock_seconds() + delay_ms * 1e-3;
    ward->code = ending->signal ? 0 : ending->code;
    say_end(how, sizeof(how), ending);
    /* Who ends by himself may have followed the coordinator, which is about to say why. */
    if (ending->signal)
        say_restart(ward, pid, how, delay_ms * 1e-3, job->max_restarts);
    return true;
}

static void set_cause(struct sb_err *why, const struct sb_ward *ward, const struct ending *ending)
{
    char how[64], often[64] = "";
    why->code = (enum sb_err_code)ending->code;
    /* Who ends by himself has said why. */
    if (!ending->signal && (!ward->life || ending->told || !may_go_better(ward, ending)))
        return;
    if (ward->life)
        snprintf(often, sizeof(often), ", also after %" PRIu32 " restarts (max_restarts)",
                 ward->life);
    say_end(how, sizeof(how), ending);
    sb_err_set(why, why->code, "%s %" PRIu32 " %s%s", name_of(ward), ward->index, how, often);
}

/* The code of one who only missed another, or who was told to end. */
static bool is_consequence(int code)
{
    return code == SB_ERR_PEER || code == SB_ERR_TERMINATE || code == SB_ERR_INTERRUPT;
}

/*
 * The first failure gives the rest a limited time to end, and decides the code; unless it says no
 * more than that somebody is gone, and he says why later.
 */
static void take_end(struct sb_supervision *s, struct sb_ward *ward, int status)
{
    struct sb_err why = SB_ERR_INIT;
    struct ending ending = read_status(status);
    pid_t pid = ward->pid;
    ward->pid = 0;
    if (start_later(s, ward, &ending, pid))
        return;
    s->running--;
    int code = ending.code;
    if (is_coordinator(ward) && code == 0)
        s->finished = true;
    if (s->finished && ending.signal) { /* one that hung, and that nobody waited for */
        sb_log_warning("%s %" PRIu32 " (process %ld) was killed by signal %d after the end of the "
                       "run",
                       name_of(ward), ward->index, (long)pid, ending.signal);
        return;
    }
    bool first = code && !s->code;
    bool vague = s->code == SB_ERR_PEER && !s->cause.text[0];
    if (first || (vague && code && !is_consequence(code))) {
        set_cause(&why, ward, &ending);
        s->code = code;
        s->cause = why;
    }
    bool by_signal = code == SB_ERR_TERMINATE || code == SB_ERR_INTERRUPT;
    /* A role that is gone for good must not be waited for by the others; who still prepares data
     * hears nothing but signals. */
    if ((first && !by_signal) || (is_coordinator(ward) && sb_stop_code))
        signal_all(s, SIGTERM);
    if (code || is_coordinator(ward))
        limit_end(s, ward);
    if (!code && !ward->is_server) {
        s->done++;
        s->done_at = sb_clock_seconds();
    }
}

/* Starts those whose wait is over; a run that ends waits for nobody. */
static void restart_due(struct sb_supervision *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct sb_ward *ward = &s->wards[i];
        bool given_up = s->ending || sb_stop_code;
        if (ward->restart_at == 0 || (!given_up && sb_clock_seconds() < ward->restart_at))
            continue;
        ward->restart_at = 0;
        struct sb_err why = SB_ERR_INIT;
        if (!given_up && ward->code)
            sb_log_warning("%s %" PRIu32 " ended with code %d; it is started again (%" PRIu32
                           " of %" PRIu32 ", max_restarts)",
                           name_of(ward), ward->index, ward->code, ward->life,
                           s->args->job.max_restarts);
        if (!given_up && start(ward, s, &why) == 0)
            continue;
        s->running--;
        /* The others end, or write the checkpoint. */
        if (s->ending || (sb_stop_code && !ward->is_server))
            continue;
        if (given_up)
            sb_err_set(&why, (enum sb_err_code)sb_stop_code,
                       "stopped while server %" PRIu32 " was gone; the same command resumes from "
                       "the last checkpoint",
                       ward->index);
        if (!s->code) {
            s->code = (int)why.code;
            s->cause = why;
        }
        if (!given_up)
            signal_all(s, SIGTERM);
        limit_end(s, ward);
    }
}

static bool is_finished(const struct sb_job *job)
{
    struct sb_bytes canonical = SB_BYTES_INIT;
    enum sb_output_state state;
    sb_job_canonical(job, &canonical);
    int rc = sb_output_look(&state, job, canonical.data, NULL, NULL);
    sb_bytes_release(&canonical);
    return rc == 0 && state == SB_OUTPUT_FINISHED;
}

/*
 * The model is written, and one of ours is still there: a coordinator that was started again just
 * then and waits for workers who have left, or, where the others are not in our care, one that is
 * stopped or that looks for a coordinator that has left.
 */
static void look_for_end(struct sb_supervision *s)
{
    double now = sb_clock_seconds();
    bool may_be =
        has_all(s) ? s->done && s->wards[0].life && now - s->done_at >= leave_s(s) : s->end_by == 0;
    if (s->code || !may_be || now - s->looked_at < LOOK_EVERY_S)
        return;
    s->looked_at = now;
    if (!is_finished(&s->args->job))
        return;
    if (has_all(s))
        end_all(s);
    s->end_by = now + leave_s(s);
    s->ending = true;
}

/* ---- signals ---- */

/* A signal is passed on to the coordinator, which tells the others; or to the only one we have. */
static void pass_on(struct sb_supervision *s)
{
    if (s->parent && getppid() != s->parent && !sb_stop_code)
        sb_stop_code = SB_ERR_TERMINATE;
    if (sb_stop_code == s->passed_on || !s->wards[0].pid)
        return;
    s->passed_on = sb_stop_code;
    kill(s->wards[0].pid, SIGTERM);
}

static bool out_of_time(struct sb_supervision *s)
{
    if (!sb_stop_code)
        return false;
    double now = sb_clock_seconds();
    if (s->stop_by == 0)
        s->stop_by = now + s->args->job.stop_grace_s;
    return sb_stop_now || now > s->stop_by;
}

static void say_out_of_time(struct sb_supervision *s)
{
    const char *why = sb_stop_now ? "left at once after a second signal"
                                  : "the time to leave is over (stop_grace_s)";
    s->code = (int)sb_stop_code;
    s->cause = (struct sb_err)SB_ERR_INIT;
    if (has_all(s) || is_coordinator(&s->wards[0]))
        sb_err_set(&s->cause, (enum sb_err_code)s->code,
                   "%s; the same command resumes from the last checkpoint", why);
}

static void watch(struct sb_supervision *s)
{
    while (s->running) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (uint32_t i = 0; pid > 0 && i < s->count; i++)
            if (s->wards[i].pid == pid)
                take_end(s, &s->wards[i], status);
        restart_due(s);
        if (pid > 0)
            continue;
        pass_on(s);
        look_for_end(s);
        if (s->running && out_of_time(s)) {
            end_all(s);
            say_out_of_time(s);
        } else if (s->end_by > 0 && sb_clock_seconds() > s->end_by) {
            end_all(s);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

int sb_supervise(struct sb_supervision *s, struct sb_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->count && rc == 0; i++) {
        rc = start(&s->wards[i], s, err);
        s->running += rc == 0;
    }
    if (rc == 0)
        watch(s);
    end_all(s);
    if (rc < 0)
        return err->code;
    *err = s->cause;
    /* Children know SIGTERM only; the person pressed Ctrl-C. */
    return s->code == SB_ERR_TERMINATE && sb_stop_code ? (int)sb_stop_code : s->code;
}
