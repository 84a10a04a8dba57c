#include "signals.h"

#include "err.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* timeout(1) and a group's kill send the same signal twice in one breath: that is one. */
enum { SAME_BREATH_MS = 500 };

static const int ASKED[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP};
enum { ASKED_COUNT = sizeof(ASKED) / sizeof(*ASKED) };

volatile sig_atomic_t sb_stop_code, sb_stop_now;

static volatile sig_atomic_t at_once, first_signal, of_whom;
static volatile unsigned grace_seconds;
static volatile int64_t first_ms;
static const char *volatile last_words = "";

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* From a handler: only what is safe there. */
static _Noreturn void leave(const char *sentence)
{
    static const char begin[] = "shardbert: ", end[] = "\n";
    if (of_whom == SB_SIGNALS_ALONE && *sentence &&
        write(STDERR_FILENO, begin, sizeof(begin) - 1) > 0 &&
        write(STDERR_FILENO, sentence, strlen(sentence)) > 0)
        (void)!write(STDERR_FILENO, end, sizeof(end) - 1);
    _exit((int)sb_stop_code);
}

static void again(void)
{
    if (of_whom == SB_SIGNALS_SUPERVISOR)
        sb_stop_now = 1;
    else if (of_whom == SB_SIGNALS_ALONE)
        leave("left at once after a second signal; the same command resumes from the last "
              "checkpoint");
}

static void on_signal(int number)
{
    if (sb_stop_code) {
        /* SIGUSR1 is a scheduler's, which may repeat it. */
        if (number == first_signal && number != SIGUSR1 && now_ms() - first_ms > SAME_BREATH_MS)
            again();
        return;
    }
    sb_stop_code = number == SIGINT ? SB_ERR_INTERRUPT : SB_ERR_TERMINATE;
    first_signal = number;
    first_ms = now_ms();
    if (at_once)
        leave(last_words);
    if (grace_seconds)
        alarm(grace_seconds);
}

static void on_alarm(int number)
{
    (void)number;
    if (sb_stop_code)
        leave("the time to leave is over (stop_grace_s); the same command resumes from the "
              "checkpoint before");
}

void sb_signals_install(enum sb_signals_of of, unsigned grace_s)
{
    struct sigaction action = {.sa_handler = on_signal}, before;
    of_whom = of;
    grace_seconds = grace_s;
    if (!grace_s)
        alarm(0); /* of whoever we were before */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* as SIGTERM: mpirun passes this one on and kills nobody */
    /* nohup means that the run outlives its terminal. */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = of == SB_SIGNALS_CHILD ? SIG_IGN : on_signal;
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    if (of == SB_SIGNALS_CHILD)
        sigaction(SIGHUP, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL); /* a file that grows too big is a write that fails */
    sb_signals_let_go();
}

static void mask(int how)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ASKED_COUNT; i++)
        sigaddset(&set, ASKED[i]);
    sigprocmask(how, &set, NULL);
}

void sb_signals_hold(void)
{
    mask(SIG_BLOCK);
}

void sb_signals_let_go(void)
{
    mask(SIG_UNBLOCK);
}

void sb_signals_leave_at_once(bool on, const char *sentence)
{
    last_words = sentence;
    at_once = on;
    if (on && sb_stop_code)
        leave(sentence);
}
