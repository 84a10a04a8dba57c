#include "watchdog.h"

#include "beat.h"
#include "log.h"

#include <dirent.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, BUSY_FACTOR = 10, FRAMES_MAX = 64, STACK_WAIT_MS = 500 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    pthread_t thread;
    bool running, ending;
    char who[64];
    uint32_t limit_s;
} dog = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static atomic_int stacks_written;

/* ---- stacks ---- */

static int stack_signal(void)
{
    return SIGRTMIN + 4;
}

/* Only what may be done inside a signal; the thread may hold any lock. */
static void write_stack(int number)
{
    void *frames[FRAMES_MAX];
    static const char head[] = "-- a thread:\n";
    (void)number;
    ssize_t wrote = write(STDERR_FILENO, head, sizeof(head) - 1);
    (void)wrote;
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    atomic_fetch_add(&stacks_written, 1);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* One after the other, so that they do not mix; a thread that waits for the disk does not answer.
 */
static void write_stacks(void)
{
    int self = (int)syscall(SYS_gettid);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        int thread = atoi(entry->d_name), before = atomic_load(&stacks_written);
        if (thread == 0 || thread == self ||
            syscall(SYS_tgkill, getpid(), thread, stack_signal()) < 0)
            continue;
        for (int ms = 0; ms < STACK_WAIT_MS && atomic_load(&stacks_written) == before; ms++)
            sleep_ms(1);
    }
    if (tasks)
        closedir(tasks);
}

/*
 * stderr is written without the log: the hung thread may hold its lock.  abort and not exit, for
 * who ends by himself has a reason and is not started again, and nothing of us can be trusted to
 * clean up.
 */
static _Noreturn void give_up(double seconds, bool busy)
{
    char text[256];
    int bytes = snprintf(text, sizeof(text),
                         "shardbert: %s hangs: %s for %.0f s (hang_timeout_s); it ends itself, "
                         "and its threads were here:\n",
                         dog.who,
                         busy ? "its threads compute and finish nothing, by now"
                              : "its threads sleep and finish nothing",
                         seconds);
    ssize_t wrote = write(STDERR_FILENO, text, (size_t)bytes);
    (void)wrote;
    write_stacks();
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* ---- watching ---- */

struct look {
    uint64_t cpu_ms; /* of all working threads, since they began */
    bool asleep;     /* all of them, and none for the disk */
};

/* State and CPU time of a thread: the third, 14th and 15th words, counted behind its name, which
 * may have spaces. */
static void look_at_thread(struct look *look, int thread)
{
    char path[64], line[512];
    unsigned long user = 0, kernel = 0;
    char state = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    const char *rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    fclose(file);
    if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state, &user,
                        &kernel) != 3)
        return;
    look->cpu_ms += (user + kernel) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
    look->asleep = look->asleep && state == 'S';
}

static struct look look_around(void)
{
    int threads[SB_BEAT_THREADS_MAX];
    struct look look = {.asleep = true};
    size_t count = sb_beat_threads(threads);
    for (size_t i = 0; i < count; i++)
        look_at_thread(&look, threads[i]);
    return look;
}

/* True when it is time to end. */
static bool wait_for_tick(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&dog.mutex);
    int rc = 0;
    while (!dog.ending && rc == 0)
        rc = pthread_cond_timedwait(&dog.ended, &dog.mutex, &until);
    bool ending = dog.ending;
    pthread_mutex_unlock(&dog.mutex);
    return ending;
}

/* Ticks are counted, not read from the clock: a process that was stopped has not hung. */
static void *watch(void *unused)
{
    uint64_t beats = sb_beat_count(), cpu_ms = 0;
    uint64_t limit_ms = dog.limit_s * UINT64_C(1000);
    uint64_t asleep_ms = 0, busy_ms = 0;
    (void)unused;
    while (!wait_for_tick()) {
        uint64_t now = sb_beat_count();
        if (now != beats || sb_beat_paused()) {
            beats = now;
            cpu_ms = asleep_ms = busy_ms = 0;
            continue;
        }
        struct look look = look_around();
        if (cpu_ms && look.cpu_ms > cpu_ms)
            busy_ms += look.cpu_ms - cpu_ms;
        else if (look.asleep)
            asleep_ms += TICK_MS;
        cpu_ms = look.cpu_ms ? look.cpu_ms : 1;
        if (asleep_ms >= limit_ms || busy_ms >= BUSY_FACTOR * limit_ms)
            give_up((double)(asleep_ms >= limit_ms ? asleep_ms : busy_ms) * 1e-3,
                    asleep_ms < limit_ms);
    }
    return NULL;
}

void sb_watchdog_begin(const char *who, uint32_t limit_s)
{
    void *frames[1];
    pthread_condattr_t attributes;
    if (limit_s == 0 || dog.running)
        return;
    snprintf(dog.who, sizeof(dog.who), "%s", who);
    dog.limit_s = limit_s;
    dog.ending = false;
    backtrace(frames, 1); /* loads what it needs, which a signal must not do */
    struct sigaction action = {.sa_handler = write_stack, .sa_flags = SA_RESTART};
    sigaction(stack_signal(), &action, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.ended, &attributes);
    pthread_condattr_destroy(&attributes);
    sb_beat_join();
    sb_beat();
    dog.running = pthread_create(&dog.thread, NULL, watch, NULL) == 0;
    if (dog.running)
        return;
    sb_beat_leave();
    sb_log_warning("no thread can be made that would notice if %s hangs (hang_timeout_s)", who);
}

void sb_watchdog_end(void)
{
    if (!dog.running)
        return;
    pthread_mutex_lock(&dog.mutex);
    dog.ending = true;
    pthread_cond_signal(&dog.ended);
    pthread_mutex_unlock(&dog.mutex);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.ended);
    sb_beat_leave();
    dog.running = false;
}
