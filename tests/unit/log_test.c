#include "support.h"

#include "bytes.h"
#include "log.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The log writes into a file that the tests read back. */
static const char *path;
static int fd = -1;

static void open_log(const char *format, const char *role)
{
    path = sb_test_path(sb_test_dir(), "log");
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    sb_log_open(&(struct sb_log_options){.format = format, .role = role, .index = 3, .fd = fd});
}

static void close_log(struct sb_bytes *written)
{
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_file_read(written, path, &err), 0);
    close(fd);
    sb_log_open(&(struct sb_log_options){0});
}

/* The log must be exactly this. */
static void wrote(const char *expected)
{
    struct sb_bytes written = SB_BYTES_INIT;
    close_log(&written);
    assert_string_equal(written.count ? written.data : "", expected);
    sb_bytes_release(&written);
}

static void report_is_one_line_of_keys_and_values(void **state)
{
    (void)state;
    open_log("auto", NULL);
    assert_false(sb_log_is_terminal());
    sb_log_report("train", sb_u64("step", 120), sb_real("loss", 3.4127),
                  sb_real("tokens_per_second", 812), sb_real("wait_seconds", 0.014));
    sb_log_event(NULL, sb_text("metrics", "127.0.0.1:9100"), sb_flag("ready", true));
    wrote("event=train step=120 loss=3.4127 tokens_per_second=812 wait_seconds=0.014\n"
          "metrics=127.0.0.1:9100 ready=true\n");
}

static void process_is_named_where_there_are_several(void **state)
{
    (void)state;
    open_log("text", "worker");
    sb_log_event("join", sb_u64("step", 7));
    wrote("event=join role=worker index=3 step=7\n");
}

static void texts_cannot_break_a_line(void **state)
{
    (void)state;
    open_log("text", NULL);
    sb_log_event("x", sb_text("a", "two words"), sb_text("b", "q\"\\\n\x1b[K=1"), sb_text("c", ""),
                 sb_text("d", NULL));
    wrote("event=x a=\"two words\" b=\"q\\\"\\\\\\n\\x1b[K=1\" c=\"\" d=\"\"\n");
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    struct sb_bytes written = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    open_log("json", "server");
    sb_log_report("train", sb_u64("step", 120), sb_real("loss", 0.5), sb_real("grad", (double)NAN),
                  sb_text("path", "caf\xe9\n"), sb_flag("last", false), sb_u64("seed", UINT64_MAX));
    sb_err_set(&err, SB_ERR_IO, "disk is full");
    sb_log_error(&err);
    sb_log_warning("slot %d is late", 4);
    close_log(&written);

    char *rest = written.data;
    json_t *report = json_loads(strsep(&rest, "\n"), 0, NULL);
    json_t *error = json_loads(strsep(&rest, "\n"), 0, NULL);
    json_t *warning = json_loads(strsep(&rest, "\n"), 0, NULL);
    assert_string_equal(rest, "");
    assert_string_equal(json_string_value(json_object_get(report, "event")), "train");
    assert_string_equal(json_string_value(json_object_get(report, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(report, "role")), "server");
    assert_int_equal(json_integer_value(json_object_get(report, "index")), 3);
    assert_int_equal(json_integer_value(json_object_get(report, "step")), 120);
    assert_true(json_real_value(json_object_get(report, "loss")) == 0.5);
    assert_true(json_is_null(json_object_get(report, "grad")));
    assert_string_equal(json_string_value(json_object_get(report, "path")), "caf?\n");
    assert_true(json_is_false(json_object_get(report, "last")));
    assert_true(json_real_value(json_object_get(report, "seed")) > 1.8e19);
    assert_true(json_is_number(json_object_get(report, "time")));
    assert_string_equal(json_string_value(json_object_get(error, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(error, "text")), "disk is full");
    assert_string_equal(json_string_value(json_object_get(warning, "level")), "warning");
    assert_string_equal(json_string_value(json_object_get(warning, "text")), "slot 4 is late");
    json_decref(report);
    json_decref(error);
    json_decref(warning);
    sb_bytes_release(&written);
}

static void quiet_says_trouble_only(void **state)
{
    (void)state;
    struct sb_progress progress;
    open_log("quiet", NULL);
    sb_log_event("a", sb_u64("step", 1));
    sb_log_report("b", sb_u64("step", 1));
    sb_log_table("table\n");
    sb_progress_begin(&progress, "train", 0, 10, 1);
    sb_progress_show(&progress, 10, 1.0, 2.0, "tokens");
    sb_progress_end(&progress);
    sb_log_warning("the disk is %s", "slow");
    wrote("shardbert: the disk is slow\n");
}

static void progress_away_from_a_terminal_is_sparse_lines(void **state)
{
    (void)state;
    struct sb_progress progress;
    struct sb_bytes written = SB_BYTES_INIT;
    open_log("auto", NULL);
    sb_progress_begin(&progress, "train", 0, 10, 0);
    sb_progress_show(&progress, 5, 1.0, 2.0, "tokens");
    sb_progress_end(&progress);
    sb_progress_begin(&progress, "prepare", 2, 10, 1);
    sb_progress_show(&progress, 3, (double)NAN, 2.5, "bytes");
    progress.shown_ns -= 2000000000u;
    sb_progress_show(&progress, 6, (double)NAN, 2.5, "bytes");
    sb_progress_show(&progress, 7, (double)NAN, 2.5, "bytes");
    sb_progress_end(&progress);
    close_log(&written);
    const char *expected = "event=prepare done=6 total=10 bytes_per_second=2.5 left_seconds=";
    assert_memory_equal(written.data, expected, strlen(expected));
    assert_ptr_equal(strchr(written.data, '\n'), written.data + written.count - 1);
    sb_bytes_release(&written);
}

static void read_terminal(int terminal, char *out, size_t bytes)
{
    /* The line discipline passes on what was written before it is asked: no waiting is needed. */
    ssize_t got = read(terminal, out, bytes - 1);
    out[got > 0 ? got : 0] = 0;
}

static void progress_on_a_terminal_is_redrawn_in_place(void **state)
{
    (void)state;
    struct sb_progress progress;
    char seen[1024];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0) {
        print_message("skipped: no pseudo-terminals here\n");
        skip();
    }
    int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(screen >= 0);
    setenv("TERM", "xterm", 1);
    sb_log_open(&(struct sb_log_options){.format = "auto", .fd = screen});
    assert_true(sb_log_is_terminal());

    sb_progress_begin(&progress, "train", 100, 1000, 0);
    progress.began_ns -= 10000000000u; /* ten seconds for twenty steps: 440 for the other 880 */
    progress.shown_ns = progress.began_ns;
    sb_progress_show(&progress, 120, 3.41274, 812.3, "tokens");
    read_terminal(terminal, seen, sizeof(seen));
    assert_string_equal(seen, "\rtrain 120/1000 12% loss 3.4127 812 tokens/s 7:20 left\x1b[K");

    sb_progress_show(&progress, 121, 3.4, 812, "tokens");
    sb_log_report("train", sb_u64("step", 121));
    read_terminal(terminal, seen, sizeof(seen));
    assert_string_equal(seen, "");

    sb_log_event("checkpoint", sb_u64("step", 121));
    read_terminal(terminal, seen, sizeof(seen));
    assert_string_equal(seen, "\r\x1b[Kevent=checkpoint step=121\r\n");

    sb_progress_show(&progress, 1000, (double)NAN, (double)NAN, "");
    sb_progress_end(&progress);
    sb_progress_end(&progress);
    read_terminal(terminal, seen, sizeof(seen));
    assert_string_equal(seen, "\rtrain 1000/1000 100% 0:00 left\x1b[K\r\n");
    sb_log_open(&(struct sb_log_options){0});
    close(screen);
    close(terminal);
}

static void durations_are_read_at_a_glance(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},       {59.4, "0:59"},         {271, "4:31"},
                 {3871, "1:04:31"}, {86400, "1d 00:00:00"}, {1e30, "1000d 00:00:00"},
                 {-1, "0:00"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        sb_log_duration(text, sizeof(text), cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

static void *chatter(void *context)
{
    (void)context;
    for (int i = 0; i < 500; i++)
        sb_log_event("chatter", sb_text("a", "aaaaaaaaaa"), sb_text("b", "bbbbbbbbbb"));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct sb_bytes written = SB_BYTES_INIT;
    const char line[] = "event=chatter a=aaaaaaaaaa b=bbbbbbbbbb\n";
    open_log("text", NULL);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_log(&written);
    assert_int_equal(written.count, THREADS * 500 * strlen(line));
    for (size_t at = 0; at < written.count; at += strlen(line))
        assert_memory_equal(written.data + at, line, strlen(line));
    sb_bytes_release(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_is_one_line_of_keys_and_values),
        cmocka_unit_test(process_is_named_where_there_are_several),
        cmocka_unit_test(texts_cannot_break_a_line),
        cmocka_unit_test(json_is_one_object_a_line),
        cmocka_unit_test(quiet_says_trouble_only),
        cmocka_unit_test(progress_away_from_a_terminal_is_sparse_lines),
        cmocka_unit_test(progress_on_a_terminal_is_redrawn_in_place),
        cmocka_unit_test(durations_are_read_at_a_glance),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
