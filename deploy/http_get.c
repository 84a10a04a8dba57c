#include "http_get.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES = 256, PORT_BYTES = 6, PAGE_BYTES_MAX = 16 << 20, PIECE_BYTES = 65536 };

/* "http://host:port/" in two; false if it is none. */
static bool split(const char *address, char host[HOST_BYTES], char port[PORT_BYTES])
{
    static const char scheme[] = "http://";
    if (!strncmp(address, scheme, sizeof(scheme) - 1))
        address += sizeof(scheme) - 1;
    bool bracket = address[0] == '[';
    const char *end = bracket ? strchr(address, ']') : strchr(address, ':');
    if (!end || (bracket && end[1] != ':'))
        return false;
    const char *begin = address + bracket, *digits = end + 1 + bracket;
    size_t host_bytes = (size_t)(end - begin), port_bytes = strspn(digits, "0123456789");
    if (host_bytes >= HOST_BYTES || !port_bytes || port_bytes >= PORT_BYTES ||
        (digits[port_bytes] && strcmp(digits + port_bytes, "/")))
        return false;
    snprintf(host, HOST_BYTES, "%.*s", (int)host_bytes, begin);
    snprintf(port, PORT_BYTES, "%.*s", (int)port_bytes, digits);
    return true;
}

/* 0 once the socket is ready; -1 when the time is over. */
static int wait_for(int fd, short events, double end, struct sb_err *err)
{
    for (;;) {
        double left = end - sb_clock_seconds();
        struct pollfd entry = {.fd = fd, .events = events};
        int got = left > 0 ? poll(&entry, 1, (int)(left * 1e3) + 1) : 0;
        if (got > 0)
            return 0;
        if (got == 0)
            return sb_err_set(err, SB_ERR_PEER, "no answer in time");
        if (errno != EINTR)
            return sb_err_set_errno(err, SB_ERR_IO, "poll");
    }
}

static int connect_one(const struct addrinfo *info, double end, struct sb_err *err)
{
    int fault = 0;
    socklen_t bytes = sizeof(fault);
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    info->ai_protocol);
    if (fd < 0)
        return sb_err_set_errno(err, SB_ERR_IO, "cannot make a socket");
    int rc = connect(fd, info->ai_addr, info->ai_addrlen);
    if (rc < 0 && errno != EINPROGRESS)
        fault = errno;
    else if (rc < 0) {
        if (wait_for(fd, POLLOUT, end, err) < 0)
            goto failed;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &bytes);
    }
    if (!fault)
        return fd;
    errno = fault;
    sb_err_set_errno(err, SB_ERR_PEER, "cannot connect");
failed:
    close(fd);
    return -1;
}

static int connect_any(const char *host, const char *port, double end, struct sb_err *err)
{
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return sb_err_set(err, SB_ERR_PEER, "%s", gai_strerror(rc));
    int fd = -1;
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = connect_one(info, end, err);
    freeaddrinfo(found);
    return fd;
}

static int send_all(int fd, const char *text, size_t bytes, double end, struct sb_err *err)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
        if (sent > 0) {
            text += sent;
            bytes -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return sb_err_set_errno(err, SB_ERR_PEER, "cannot ask");
        } else if (wait_for(fd, POLLOUT, end, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Until the other side closes. */
static int receive_all(int fd, struct sb_bytes *answer, double end, struct sb_err *err)
{
    for (;;) {
        ssize_t got = recv(fd, sb_bytes_reserve(answer, PIECE_BYTES), PIECE_BYTES, 0);
        if (got == 0)
            return 0;
        if (got > 0) {
            answer->count += (size_t)got;
            answer->data[answer->count] = 0;
        } else if (errno != EAGAIN && errno != EINTR) {
            return sb_err_set_errno(err, SB_ERR_PEER, "the answer broke off");
        } else if (wait_for(fd, POLLIN, end, err) < 0) {
            return -1;
        }
        if (answer->count > PAGE_BYTES_MAX)
            return sb_err_set(err, SB_ERR_DATA, "the answer is longer than %d bytes",
                              PAGE_BYTES_MAX);
    }
}

/* Cuts the head off. */
static int open_answer(struct sb_bytes *body, const struct sb_bytes *answer, struct sb_err *err)
{
    int status = 0;
    const char *text = answer->data ? answer->data : "";
    const char *end = strstr(text, "\r\n\r\n");
    if (!end || sscanf(text, "HTTP/1.%*1[01] %3d", &status) != 1)
        return sb_err_set(err, SB_ERR_DATA, "what answers there is not a web server");
    end += 4;
    size_t bytes = answer->count - (size_t)(end - text);
    if (status != 200)
        return sb_err_set(err, SB_ERR_DATA, "it answers with status %d: %.*s", status,
                          (int)strcspn(end, "\r\n"), end);
    sb_bytes_clear(body);
    sb_bytes_append(body, end, bytes);
    return 0;
}

int sb_http_get(struct sb_bytes *body, const char *address, const char *page, double timeout_s,
                struct sb_err *err)
{
    char host[HOST_BYTES], port[PORT_BYTES], request[HOST_BYTES + 128];
    struct sb_bytes answer = SB_BYTES_INIT;
    double end = sb_clock_seconds() + timeout_s;
    if (!split(address, host, port))
        return sb_err_set(err, SB_ERR_USAGE, "'%s' is no address: expected host:port", address);
    int rc = -1, fd = connect_any(host, port, end, err);
    /* 1.0: one answer, in one piece, and then the connection is closed. */
    int bytes = snprintf(request, sizeof(request), "GET %.64s HTTP/1.0\r\nHost: %s\r\n\r\n", page,
                         *host ? host : "localhost");
    if (fd >= 0 && send_all(fd, request, (size_t)bytes, end, err) == 0 &&
        receive_all(fd, &answer, end, err) == 0)
        rc = open_answer(body, &answer, err);
    if (fd >= 0)
        close(fd);
    sb_bytes_release(&answer);
    return rc;
}
