/* Who hangs is found out, and nobody else.  Each case is a process of its own: the watchdog ends
 * it. */
#include "watchdog.h"

#include "beat.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_S = 1, LONGER_MS = 1500 };

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void sleeps(void)
{
    sleep_ms(60000);
}

static void beats_now_and_then(void)
{
    for (int i = 0; i < LONGER_MS / 100; i++) {
        sleep_ms(100);
        sb_beat();
    }
}

static void waits_for_others(void)
{
    sb_beat_pause();
    sleep_ms(LONGER_MS);
    sb_beat_resume();
}

static void computes_for_a_while(void)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
           LONGER_MS / 2);
}

static void is_no_longer_watched(void)
{
    sb_watchdog_end();
    sleep_ms(LONGER_MS);
}

/* How a process ends that is watched, and does this; its words go to *said. */
static int fate_of(void (*deed)(void), char said[4096])
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        dup2(ends[1], STDERR_FILENO);
        sb_watchdog_begin("worker 7", LIMIT_S);
        deed();
        sb_watchdog_end();
        _exit(0);
    }
    close(ends[1]);
    size_t count = 0;
    for (ssize_t got; count < 4095 && (got = read(ends[0], said + count, 4095 - count)) > 0;)
        count += (size_t)got;
    said[count] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void a_process_whose_threads_sleep_ends_itself_and_says_where(void **unused)
{
    char said[4096];
    (void)unused;
    assert_int_equal(fate_of(sleeps, said), SIGABRT);
    assert_non_null(strstr(said, "shardbert: worker 7 hangs: its threads sleep"));
    assert_non_null(strstr(said, "(hang_timeout_s)"));
    assert_non_null(strstr(said, "libc.so"));
}

static void who_gets_on_is_left_alone(void **unused)
{
    char said[4096];
    (void)unused;
    assert_int_equal(fate_of(beats_now_and_then, said), 0);
    assert_string_equal(said, "");
}

static void who_waits_for_others_is_left_alone(void **unused)
{
    char said[4096];
    (void)unused;
    assert_int_equal(fate_of(waits_for_others, said), 0);
}

static void who_computes_is_given_longer(void **unused)
{
    char said[4096];
    (void)unused;
    assert_int_equal(fate_of(computes_for_a_while, said), 0);
}

/* The process stands still for longer than the limit, and so does its watchdog. */
static void who_was_stopped_has_not_hung(void **unused)
{
    int status;
    (void)unused;
    pid_t pid = fork();
    if (pid == 0) {
        sb_watchdog_begin("worker 7", LIMIT_S);
        beats_now_and_then();
        sb_watchdog_end();
        _exit(0);
    }
    sleep_ms(200);
    kill(pid, SIGSTOP);
    sleep_ms(LONGER_MS);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void after_the_end_nobody_looks(void **unused)
{
    char said[4096];
    (void)unused;
    assert_int_equal(fate_of(is_no_longer_watched, said), 0);
}

static void *join_and_leave(void *unused)
{
    sb_beat_join();
    sb_beat_leave();
    return unused;
}

static void threads_that_left_make_room(void **unused)
{
    int threads[SB_BEAT_THREADS_MAX];
    (void)unused;
    for (int i = 0; i < 2 * SB_BEAT_THREADS_MAX; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, join_and_leave, NULL), 0);
        pthread_join(thread, NULL);
    }
    assert_int_equal(sb_beat_threads(threads), 0);
    sb_beat_join();
    sb_beat_join();
    assert_int_equal(sb_beat_threads(threads), 1);
    sb_beat_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_whose_threads_sleep_ends_itself_and_says_where),
        cmocka_unit_test(who_gets_on_is_left_alone),
        cmocka_unit_test(who_waits_for_others_is_left_alone),
        cmocka_unit_test(who_computes_is_given_longer),
        cmocka_unit_test(who_was_stopped_has_not_hung),
        cmocka_unit_test(after_the_end_nobody_looks),
        cmocka_unit_test(threads_that_left_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
