#include "rank.h"

#include "arena.h"
#include "clock.h"
#include "signals.h"
#include "supervise.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mpi.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESS_BYTES = 256, PORT_TRIES = 8, POLL_MS = 5, ASK_MS = 1000, ASK_EVERY_MS = 100 };

static const char ANY_PORT_HERE[] = "tcp://127.0.0.1:*", ANY_PORT[] = "tcp://*:*";

struct seat {
    int32_t is_server;
    char host[64];
};

struct rank {
    struct sb_role *role;
    struct sb_ward ward;
    uint32_t server_count, worker_count;
    int coordinator_rank, first_worker_rank;
    bool one_host;
    char address[ADDRESS_BYTES]; /* of the coordinator */
    int port_holder;             /* -1: none */
};

/* How the start stands, in the eyes of one rank that the others listen to. */
struct verdict {
    int32_t code; /* -1: go on */
    char address[ADDRESS_BYTES];
};

bool sb_rank_here(const struct sb_run_args *args)
{
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL && !args->child;
}

/* Counts the roles and the hosts of all ranks. */
static void meet(struct rank *rank)
{
    int own, count;
    MPI_Comm_rank(MPI_COMM_WORLD, &own);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    struct seat mine = {.is_server = rank->ward.is_server};
    struct seat *all = sb_calloc((size_t)count, sizeof(*all));
    gethostname(mine.host, sizeof(mine.host) - 1);
    MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, all, sizeof(mine), MPI_BYTE, MPI_COMM_WORLD);
    rank->one_host = true;
    rank->coordinator_rank = rank->first_worker_rank = -1;
    for (int i = 0; i < count; i++) {
        bool is_server = all[i].is_server != 0;
        int *first = is_server ? &rank->coordinator_rank : &rank->first_worker_rank;
        if (*first < 0)
            *first = i;
        if (i < own && is_server == rank->ward.is_server)
            rank->ward.index++;
        rank->server_count += is_server;
        rank->worker_count += !is_server;
        rank->one_host = rank->one_host && !strcmp(all[i].host, mine.host);
    }
    free(all);
}

/* ---- a port that stays ours ---- */

/*
 * Bound and never listening: others cannot choose this port, while our child, and the next one
 * after it, may listen there (both say SO_REUSEADDR, as libzmq does).  -1: taken meanwhile.
 */
static int hold_port(const char *host, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    if (strcmp(host, "*") != 0 && inet_pton(AF_INET, host, &at.sin_addr) != 1)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Listens for a moment, to learn where this server can be reached now and after a restart. */
static int choose_endpoint(struct rank *rank, struct sb_err *err)
{
    const struct sb_run_args *args = &rank->role->args;
    const char *wanted = args->bind ? args->bind : rank->one_host ? ANY_PORT_HERE : ANY_PORT;
    if (sb_place_check_exposure(args, wanted, err) < 0)
        return -1;
    for (int i = 0; i < PORT_TRIES && rank->port_holder < 0; i++) {
        struct sb_net *net;
        if (sb_net_zmq_new(&net, rank->ward.index, wanted, args->job.network_timeout_ms, err) < 0)
            return -1;
        snprintf(rank->address, sizeof(rank->address), "%s", sb_net_zmq_endpoint(net));
        sb_net_free(&net);
        const char *colon = strrchr(rank->address, ':');
        bool any_host = !strncmp(wanted, "tcp://*:", 8);
        char host[64];
        if (any_host)
            snprintf(rank->ward.bind, sizeof(rank->ward.bind), "tcp://*%s", colon);
        else
            snprintf(rank->ward.bind, sizeof(rank->ward.bind), "%.127s", rank->address);
        if (strncmp(rank->address, "tcp://", 6) != 0)
            return 0;
        snprintf(host, sizeof(host), "%.*s", (int)(colon - rank->address - 6), rank->address + 6);
        rank->port_holder = hold_port(any_host ? "*" : host, atoi(colon + 1));
        if (args->bind)
            return 0; /* its user says that nobody else takes it */
    }
    if (rank->port_holder >= 0)
        return 0;
    return sb_err_set_errno(err, SB_ERR_TRY_AGAIN, "no port to listen on stays free");
}

/* ---- agreeing ---- */

/* What one rank says to all.  The others sleep: it may have much to read. */
static void hear(void *what, size_t bytes, int from)
{
    MPI_Request request;
    int done = 0;
    MPI_Ibcast(what, (int)bytes, MPI_BYTE, from, MPI_COMM_WORLD, &request);
    for (;;) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done)
            return;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

/* The first worker looks at output_dir, for all: it sees the inputs too, and begins the record. */
static int32_t look_at_output(struct rank *rank, struct sb_err *err)
{
    int finished = rank->role->args.fresh ? sb_role_rehearse(rank->role, err) : 0;
    if (finished == 0)
        finished = sb_role_check_output(rank->role, true, err);
    return finished < 0 ? (int32_t)err->code : finished > 0 ? 0 : -1;
}

/* -1: go on; or the code to leave with, and err is empty where another rank says why. */
static int agree(struct rank *rank, struct sb_err *err)
{
    struct sb_err own = SB_ERR_INIT;
    struct verdict servers = {.code = -1}, output = {.code = -1};
    if (!rank->server_count || !rank->worker_count) {
        sb_err_set(err, SB_ERR_USAGE,
                   "mpirun started %u servers and %u workers; at least one of each is needed",
                   rank->server_count, rank->worker_count);
        return SB_ERR_USAGE;
    }
    bool coordinates = rank->ward.is_server && rank->ward.index == 0;
    int own_code = rank->ward.is_server && choose_endpoint(rank, &own) < 0 ? (int)own.code : -1;
    if (coordinates) {
        servers.code = own_code;
        snprintf(servers.address, sizeof(servers.address), "%s", rank->address);
    }
    hear(&servers, sizeof(servers), rank->coordinator_rank);
    snprintf(rank->address, sizeof(rank->address), "%s", servers.address);
    if (servers.code < 0 && !rank->ward.is_server && rank->ward.index == 0)
        output.code = look_at_output(rank, &own);
    hear(&output, sizeof(output), rank->first_worker_rank);
    *err = own;
    return own_code >= 0 ? own_code : servers.code >= 0 ? servers.code : output.code;
}

/* ---- leaving ---- */

/* Whether somebody listens at a tcp://HOST:PORT. */
static bool listens(const char *address)
{
    char host[ADDRESS_BYTES];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *at = NULL;
    bool does = false;
    if (strncmp(address, "tcp://", 6) != 0 || colon < address + 6)
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address - 6), address + 6);
    if (getaddrinfo(host, colon + 1, &hints, &at) != 0)
        return false;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        int error = 0;
        socklen_t size = sizeof(error);
        int rc = connect(fd, at->ai_addr, at->ai_addrlen);
        if (rc < 0 && errno == EINPROGRESS && poll(&ready, 1, ASK_MS) == 1 &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
            rc = error ? -1 : 0;
        does = rc == 0;
        close(fd);
    }
    freeaddrinfo(at);
    return does;
}

/*
 * mpirun kills everybody a second after the first rank whose code is not 0.  So who has such a code
 * leaves after the coordinator, which may still be at the checkpoint of this end.
 */
static void leave_after_coordinator(const struct rank *rank)
{
    double until = sb_clock_seconds() + rank->role->args.job.stop_grace_s;
    while (!sb_stop_now && sb_clock_seconds() < until && listens(rank->address))
        nanosleep(&(struct timespec){.tv_nsec = ASK_EVERY_MS * 1000000L}, NULL);
}

static int supervise(struct rank *rank, pid_t parent, struct sb_err *err)
{
    struct sb_supervision s = {.args = &rank->role->args,
                               .server_count = rank->server_count,
                               .worker_count = rank->worker_count,
                               .address = rank->address,
                               .wards = &rank->ward,
                               .count = 1,
                               .parent = parent};
    sb_signals_install(SB_SIGNALS_SUPERVISOR, 0);
    sb_signals_leave_at_once(false, "");
    int code = sb_supervise(&s, err);
    bool coordinates = rank->ward.is_server && rank->ward.index == 0;
    /* With a text it is this rank that has given up, and the others are to end for it. */
    if (code && !coordinates && !err->text[0])
        leave_after_coordinator(rank);
    return code;
}

int sb_rank_run(struct sb_role *role, bool is_server, struct sb_err *err)
{
    struct rank rank = {.role = role, .ward = {.is_server = is_server}, .port_holder = -1};
    const char *number = getenv("OMPI_COMM_WORLD_RANK");
    pid_t parent = getppid();
    bool speaks = number && !strcmp(number, "0");
    sb_signals_leave_at_once(true, speaks ? "stopped before the training began" : "");
    MPI_Init(NULL, NULL);
    meet(&rank);
    int code = agree(&rank, err);
    /* MPI's work is done.  Its end is a barrier: later, one that hangs would keep all the others.
     */
    MPI_Finalize();
    sb_pool_free(&role->pool);
    if (code < 0)
        code = supervise(&rank, parent, err);
    if (rank.port_holder >= 0)
        close(rank.port_holder);
    return code;
}
