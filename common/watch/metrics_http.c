/* The pages, by libmicrohttpd on a socket of our own, so that every error of it has a
 * sentence. */
#include "metrics.h"

#include "metrics_rows.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A page takes milliseconds: more clients than this, or slower ones, are not scrapers. */
enum { CLIENT_LIMIT = 64, CLIENT_SECONDS = 10 };

static const char text_type[] = "text/plain; charset=utf-8";
static const char prometheus_type[] = "text/plain; version=0.0.4; charset=utf-8";
static const char open_metrics_type[] =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const char *text, size_t bytes)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(bytes, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    return answer(connection, status, text_type, text, strlen(text));
}

static enum MHD_Result metrics_page(struct MHD_Connection *connection,
                                    const struct sb_metrics *metrics)
{
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool open_metrics = accept && strstr(accept, "application/openmetrics-text");
    struct sb_bytes page = SB_BYTES_INIT;
    sb_metrics_print(metrics, open_metrics, &page);
    enum MHD_Result result =
        answer(connection, MHD_HTTP_OK, open_metrics ? open_metrics_type : prometheus_type,
               page.data, page.count);
    sb_bytes_release(&page);
    return result;
}

static enum MHD_Result health_page(struct MHD_Connection *connection,
                                   const struct sb_metrics *metrics)
{
    double seconds;
    char text[96];
    if (sb_metrics_healthy(metrics, &seconds))
        return answer_text(connection, MHD_HTTP_OK, "ok\n");
    snprintf(text, sizeof(text), "the event loop has not turned for %.0f seconds\n", seconds);
    return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result status_page(struct MHD_Connection *connection, struct sb_metrics *metrics)
{
    struct sb_bytes page = SB_BYTES_INIT;
    if (!sb_metrics_print_status(metrics, &page))
        return answer_text(connection, MHD_HTTP_NOT_FOUND,
                           "the status of a run is served by its coordinator, server 0\n");
    enum MHD_Result result =
        answer(connection, MHD_HTTP_OK, "application/json", page.data, page.count);
    sb_bytes_release(&page);
    return result;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **request)
{
    struct sb_metrics *metrics = context;
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is answered\n");
    if (!strcmp(url, "/metrics"))
        return metrics_page(connection, metrics);
    if (!strcmp(url, "/healthz"))
        return health_page(connection, metrics);
    if (!strcmp(url, "/readyz"))
        return sb_metrics_is_ready(metrics)
                   ? answer_text(connection, MHD_HTTP_OK, "ok\n")
                   : answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    if (!strcmp(url, "/status"))
        return status_page(connection, metrics);
    return answer_text(connection, MHD_HTTP_NOT_FOUND,
                       "pages: /metrics /healthz /readyz /status\n");
}

/* "host:port" or "[host]:port" in two; false if it is neither. */
static bool split_address(const char *address, char host[SB_METRICS_ADDRESS_BYTES],
                          const char **port)
{
    bool bracket = address[0] == '[';
    const char *end = bracket ? strchr(address, ']') : strchr(address, ':');
    if (!end || (bracket && end[1] != ':'))
        return false;
    const char *begin = address + bracket;
    size_t bytes = (size_t)(end - begin);
    *port = end + 1 + bracket;
    size_t digits = strspn(*port, "0123456789");
    if (bytes >= SB_METRICS_ADDRESS_BYTES || !digits || digits > 5 || (*port)[digits] ||
        atoi(*port) > 65535)
        return false;
    memcpy(host, begin, bytes);
    host[bytes] = 0;
    return true;
}

static int listen_at(const struct addrinfo *info)
{
    int on = 1, off = 0;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, CLIENT_LIMIT) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The listening socket of an address, or -1. */
static int open_socket(const char *address, struct sb_err *err)
{
    char host[SB_METRICS_ADDRESS_BYTES];
    const char *port;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (!split_address(address, host, &port))
        return sb_err_set(err, SB_ERR_CONFIG,
                          "metrics_address is '%s', expected host:port, [IPv6]:port or off",
                          address);
    int rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return sb_err_set(err, SB_ERR_CONFIG, "metrics_address '%s': %s", address,
                          gai_strerror(rc));
    int fd = -1;
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = listen_at(info);
    if (fd < 0)
        sb_err_set_errno(err, errno == EADDRINUSE ? SB_ERR_TRY_AGAIN : SB_ERR_CONFIG,
                         "cannot serve metrics on %s", address);
    freeaddrinfo(found);
    return fd;
}

static int name_socket(int fd, char bound[SB_METRICS_ADDRESS_BYTES], struct sb_err *err)
{
    struct sockaddr_storage name;
    socklen_t bytes = sizeof(name);
    char host[64], port[8];
    if (getsockname(fd, (struct sockaddr *)&name, &bytes) < 0)
        return sb_err_set_errno(err, SB_ERR_IO, "getsockname");
    if (getnameinfo((struct sockaddr *)&name, bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return sb_err_set(err, SB_ERR_IO, "the address of the metrics has no name");
    snprintf(bound, SB_METRICS_ADDRESS_BYTES, name.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
             host, port);
    return 0;
}

int sb_metrics_serve(struct sb_metrics *metrics, const char *address,
                     char bound[SB_METRICS_ADDRESS_BYTES], struct sb_err *err)
{
    struct MHD_Daemon **daemon = sb_metrics_daemon(metrics);
    sb_assert(!*daemon);
    bound[0] = 0;
    if (!address || !strcmp(address, "off"))
        return 0;
    int fd = open_socket(address, err);
    if (fd < 0)
        return -1;
    if (name_socket(fd, bound, err) < 0) {
        close(fd);
        return -1;
    }
    /* Signals belong to the event loop: the thread that MHD starts inherits this mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    *daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, handle, metrics,
                               MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                               (unsigned)CLIENT_LIMIT, MHD_OPTION_CONNECTION_TIMEOUT,
                               (unsigned)CLIENT_SECONDS, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!*daemon) {
        sb_err_set_errno(err, SB_ERR_IO, "cannot start the thread that serves metrics on %s",
                         address);
        close(fd);
        return -1;
    }
    return 0;
}

void sb_metrics_stop(struct sb_metrics *metrics)
{
    struct MHD_Daemon **daemon = sb_metrics_daemon(metrics);
    if (*daemon)
        MHD_stop_daemon(*daemon);
    *daemon = NULL;
}
