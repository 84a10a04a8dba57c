#include "support.h"

#include "bytes.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sb_metrics *serve(char bound[SB_METRICS_ADDRESS_BYTES])
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_metrics *metrics = sb_metrics_new("worker", 3);
    if (sb_metrics_serve(metrics, "127.0.0.1:0", bound, &err) < 0)
        fail_msg("%s", err.text);
    return metrics;
}

/* Sends a request over a plain socket and returns all that comes back. */
static void fetch(struct sb_bytes *out, const char *bound, const char *request)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    name.sin_port = htons((uint16_t)atoi(strrchr(bound, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    sb_bytes_clear(out);
    for (;;) {
        ssize_t got = recv(fd, sb_bytes_reserve(out, 4096), 4096, 0);
        if (got <= 0)
            break;
        out->count += (size_t)got;
        out->data[out->count] = 0;
    }
    close(fd);
}

static void get(struct sb_bytes *out, const char *bound, const char *path, const char *accept)
{
    char request[512];
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\nConnection: close\r\n\r\n", path, accept);
    fetch(out, bound, request);
}

static void has(const struct sb_bytes *text, const char *words)
{
    if (!text->count || !strstr(text->data, words))
        fail_msg("'%s' is not in:\n%s", words, text->count ? text->data : "");
}

static void fill(struct sb_metrics *metrics)
{
    sb_metrics_set(metrics, SB_METRIC_STEP, 120);
    sb_metrics_set(metrics, SB_METRIC_LOSS, 3.4127);
    sb_metrics_add(metrics, SB_METRIC_TOKENS, 1000);
    sb_metrics_add(metrics, SB_METRIC_TOKENS, 0.5);
    sb_metrics_add(metrics, SB_METRIC_PUSH_NEW, 2);
    sb_metrics_add(metrics, SB_METRIC_PUSH_BAD, 0);
    sb_metrics_observe(metrics, SB_METRIC_STEP_DURATION, 0.02);
    sb_metrics_observe(metrics, SB_METRIC_STEP_DURATION, 0.025);
    sb_metrics_observe(metrics, SB_METRIC_STEP_DURATION, 1000);
}

static void page_is_prometheus_text(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = serve(bound);
    fill(metrics);
    get(&page, bound, "/metrics", "*/*");
    has(&page, "HTTP/1.1 200 ");
    has(&page, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    has(&page, "\nshardbert_build_info{role=\"worker\",index=\"3\",version=\"");
    has(&page, "\n# HELP shardbert_step Newest committed step.\n# TYPE shardbert_step gauge\n"
               "shardbert_step{role=\"worker\",index=\"3\"} 120\n");
    has(&page, "\nshardbert_loss{role=\"worker\",index=\"3\"} 3.4127\n");
    has(&page, "\n# TYPE shardbert_tokens_total counter\n"
               "shardbert_tokens_total{role=\"worker\",index=\"3\"} 1000.5\n");
    has(&page, "\n# TYPE shardbert_push_total counter\n"
               "shardbert_push_total{role=\"worker\",index=\"3\",result=\"new\"} 2\n"
               "shardbert_push_total{role=\"worker\",index=\"3\",result=\"bad\"} 0\n");
    /* 0.02 and 0.025 lie at or below 0.025; 1000 lies above every bound. */
    has(&page, "\n# TYPE shardbert_step_duration_seconds histogram\n");
    has(&page, "_bucket{role=\"worker\",index=\"3\",le=\"0.01\"} 0\n");
    has(&page, "_bucket{role=\"worker\",index=\"3\",le=\"0.025\"} 2\n");
    has(&page, "_bucket{role=\"worker\",index=\"3\",le=\"250.0\"} 2\n");
    has(&page, "_bucket{role=\"worker\",index=\"3\",le=\"+Inf\"} 3\n");
    has(&page, "_seconds_sum{role=\"worker\",index=\"3\"} 1000.045\n");
    has(&page, "_seconds_count{role=\"worker\",index=\"3\"} 3\n");
    assert_null(strstr(page.data, "shardbert_epoch"));
    assert_null(strstr(page.data, "# EOF"));
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
    assert_null(metrics);
}

static void page_is_open_metrics_when_asked(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = serve(bound);
    fill(metrics);
    get(&page, bound, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    has(&page, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    has(&page, "\n# TYPE shardbert_tokens counter\n"
               "shardbert_tokens_total{role=\"worker\",index=\"3\"} 1000.5\n");
    has(&page, "le=\"1.0\"");
    assert_string_equal(page.data + page.count - 6, "# EOF\n");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void numbers_that_are_not_finite_have_names(void **state)
{
    (void)state;
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = sb_metrics_new("server", 0);
    sb_metrics_set(metrics, SB_METRIC_LOSS, (double)NAN);
    sb_metrics_set(metrics, SB_METRIC_GRAD_NORM, (double)INFINITY);
    sb_metrics_set(metrics, SB_METRIC_LEARNING_RATE, 0.1 + 0.2);
    sb_metrics_print(metrics, false, &page);
    has(&page, "loss{role=\"server\",index=\"0\"} NaN\n");
    has(&page, "grad_norm{role=\"server\",index=\"0\"} +Inf\n");
    has(&page, "learning_rate{role=\"server\",index=\"0\"} 0.30000000000000004\n");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void health_follows_the_heartbeat(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = serve(bound);
    get(&page, bound, "/healthz", "*/*");
    has(&page, "HTTP/1.1 200 ");
    sb_metrics_health_limit(metrics, 0.001);
    sb_test_sleep_ms(3);
    get(&page, bound, "/healthz", "*/*");
    has(&page, "HTTP/1.1 503 ");
    has(&page, "the event loop has not turned for ");
    sb_metrics_health_limit(metrics, 60);
    sb_metrics_heartbeat(metrics);
    get(&page, bound, "/healthz", "*/*");
    has(&page, "HTTP/1.1 200 ");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void readiness_is_what_was_said(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = serve(bound);
    get(&page, bound, "/readyz", "*/*");
    has(&page, "HTTP/1.1 503 ");
    sb_metrics_ready(metrics, true);
    get(&page, bound, "/readyz", "*/*");
    has(&page, "HTTP/1.1 200 ");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void other_requests_are_refused(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = serve(bound);
    get(&page, bound, "/etc/passwd", "*/*");
    has(&page, "HTTP/1.1 404 ");
    fetch(&page, bound, "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    has(&page, "HTTP/1.1 405 ");
    has(&page, "Allow: GET, HEAD");
    fetch(&page, bound, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    has(&page, "HTTP/1.1 200 ");
    assert_null(strstr(page.data, "# HELP"));
    fetch(&page, bound, "not even HTTP\r\n\r\n");
    get(&page, bound, "/healthz", "*/*");
    has(&page, "HTTP/1.1 200 ");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void bad_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     "localhost",       "127.0.0.1:", "127.0.0.1:x",     "::1:9100",    "[::1]9100",
        "[::1", "127.0.0.1:65536", ":9x",        "127.0.0.1:9100 ", "127.0.0.1:-1"};
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_metrics *metrics = sb_metrics_new("worker", 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sb_err err = SB_ERR_INIT;
        assert_int_equal(sb_metrics_serve(metrics, bad[i], bound, &err), -1);
        sb_test_err_is(&err, SB_ERR_CONFIG, "expected host:port");
        assert_string_equal(bound, "");
    }
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_metrics_serve(metrics, "off", bound, &err), 0);
    assert_string_equal(bound, "");
    sb_metrics_free(&metrics);
}

static void port_in_use_is_a_clear_error(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES], second_bound[SB_METRICS_ADDRESS_BYTES];
    char expected[256];
    struct sb_err err = SB_ERR_INIT;
    struct sb_metrics *metrics = serve(bound);
    struct sb_metrics *second = sb_metrics_new("worker", 4);
    assert_int_equal(sb_metrics_serve(second, bound, second_bound, &err), -1);
    snprintf(expected, sizeof(expected), "cannot serve metrics on %s: Address already in use",
             bound);
    sb_test_err_is(&err, SB_ERR_TRY_AGAIN, expected);
    /* The port is free again at once when its owner stops. */
    sb_metrics_stop(metrics);
    assert_int_equal(sb_metrics_serve(second, bound, second_bound, &err), 0);
    assert_string_equal(bound, second_bound);
    sb_metrics_free(&metrics);
    sb_metrics_free(&second);
}

static void ipv6_is_named_in_brackets(void **state)
{
    (void)state;
    char bound[SB_METRICS_ADDRESS_BYTES];
    struct sb_err err = SB_ERR_INIT;
    struct sb_metrics *metrics = sb_metrics_new("worker", 0);
    if (sb_metrics_serve(metrics, "[::1]:0", bound, &err) < 0) {
        sb_metrics_free(&metrics);
        print_message("skipped: no IPv6 here: %s\n", err.text);
        skip();
    }
    assert_memory_equal(bound, "[::1]:", 6);
    sb_metrics_free(&metrics);
}

static void *count(void *context)
{
    for (int i = 0; i < 20000; i++) {
        sb_metrics_add(context, SB_METRIC_TOKENS, 3);
        sb_metrics_observe(context, SB_METRIC_STEP_DURATION, 0.5);
    }
    return NULL;
}

static void no_update_is_lost_between_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = sb_metrics_new("worker", 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, metrics), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(sb_metrics_value(metrics, SB_METRIC_TOKENS) == THREADS * 20000 * 3.0);
    sb_metrics_print(metrics, false, &page);
    has(&page, "_seconds_count{role=\"worker\",index=\"0\"} 80000\n");
    has(&page, "_seconds_sum{role=\"worker\",index=\"0\"} 40000\n");
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

static void no_metrics_is_allowed(void **state)
{
    (void)state;
    struct sb_metrics *metrics = NULL;
    sb_metrics_set(NULL, SB_METRIC_STEP, 1);
    sb_metrics_add(NULL, SB_METRIC_TOKENS, 1);
    sb_metrics_observe(NULL, SB_METRIC_STEP_DURATION, 1);
    sb_metrics_heartbeat(NULL);
    sb_metrics_ready(NULL, true);
    assert_true(sb_metrics_value(NULL, SB_METRIC_STEP) == 0);
    sb_metrics_free(&metrics);
}

static void promtool_finds_nothing_to_complain_about(void **state)
{
    (void)state;
    if (system("promtool --version >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool is not installed\n");
        skip();
    }
    struct sb_bytes page = SB_BYTES_INIT;
    struct sb_metrics *metrics = sb_metrics_new("worker", 0);
    char command[512];
#define gauge(id)                sb_metrics_set(metrics, SB_METRIC_##id, 1);
#define counter(id)              sb_metrics_add(metrics, SB_METRIC_##id, 1);
#define histogram(id)            sb_metrics_observe(metrics, SB_METRIC_##id, 1);
#define SB_METRIC(id, type, ...) type(id)
#include "metrics.def"
#undef SB_METRIC
    sb_metrics_print(metrics, false, &page);
    snprintf(command, sizeof(command), "promtool check metrics < %s",
             sb_test_write(sb_test_dir(), "metrics.txt", page.data));
    assert_int_equal(system(command), 0);
    sb_bytes_release(&page);
    sb_metrics_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_prometheus_text),
        cmocka_unit_test(page_is_open_metrics_when_asked),
        cmocka_unit_test(numbers_that_are_not_finite_have_names),
        cmocka_unit_test(health_follows_the_heartbeat),
        cmocka_unit_test(readiness_is_what_was_said),
        cmocka_unit_test(other_requests_are_refused),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(port_in_use_is_a_clear_error),
        cmocka_unit_test(ipv6_is_named_in_brackets),
        cmocka_unit_test(no_update_is_lost_between_threads),
        cmocka_unit_test(no_metrics_is_allowed),
        cmocka_unit_test(promtool_finds_nothing_to_complain_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
