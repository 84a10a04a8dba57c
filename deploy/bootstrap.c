#include "bootstrap.h"

#include "arena.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t new_incarnation(void)
{
    uint64_t bits = 0;
    while (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        ;
    return bits | SB_PEER_WORKER_BIT;
}

static bool is_loopback(const char *endpoint)
{
    return !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "tcp://127.", 10) ||
           !strncmp(endpoint, "tcp://[::1]", 11) || !strncmp(endpoint, "tcp://localhost", 15);
}

/* Nothing is encrypted or authenticated yet: other hosts are served only when the user says so. */
static int check_exposure(const struct sb_run_args *args, const char *endpoint, struct sb_err *err)
{
    if (args->insecure || is_loopback(endpoint))
        return 0;
    return sb_err_set(
        err, SB_ERR_PERMISSION,
        "'%s' can be reached from other hosts, and the traffic is neither encrypted nor "
        "authenticated; say --insecure if the network is trusted",
        endpoint);
}

struct rank {
    int32_t is_server;
    char host[64];
};

/* Counts the roles and the hosts of all ranks. */
static void meet(struct sb_place *place, bool is_server, bool *one_host, int *coordinator_rank)
{
    int rank, count;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    struct rank mine = {.is_server = is_server}, *all = sb_calloc((size_t)count, sizeof(*all));
    gethostname(mine.host, sizeof(mine.host) - 1);
    MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, all, sizeof(mine), MPI_BYTE, MPI_COMM_WORLD);
    *one_host = true;
    *coordinator_rank = -1;
    place->index = place->server_count = place->worker_count = 0;
    for (int i = 0; i < count; i++) {
        if (i < rank && (all[i].is_server != 0) == is_server)
            place->index++;
        if (all[i].is_server && *coordinator_rank < 0)
            *coordinator_rank = i;
        place->server_count += all[i].is_server != 0;
        place->worker_count += all[i].is_server == 0;
        *one_host = *one_host && !strcmp(all[i].host, mine.host);
    }
    free(all);
}

static int take_by_mpi(struct sb_place *place, struct sb_run_args *args, bool is_server,
                       struct sb_err *err)
{
    bool one_host;
    int coordinator_rank;
    meet(place, is_server, &one_host, &coordinator_rank);
    if (!place->server_count || !place->worker_count)
        return sb_err_set(
            err, SB_ERR_USAGE,
            "mpirun started %u servers and %u workers; at least one of each is needed",
            place->server_count, place->worker_count);
    place->self = is_server ? place->index : new_incarnation();
    const char *bind = args->bind ? args->bind : one_host ? "tcp://127.0.0.1:*" : "tcp://*:*";
    struct sb_err own = SB_ERR_INIT;
    int rc = is_server ? check_exposure(args, bind, &own) : 0;
    if (rc == 0)
        rc = sb_net_zmq_new(&place->net, place->self, is_server ? bind : NULL,
                            args->job.network_timeout_ms, &own);
    char coordinator[sizeof(place->address)] = "";
    if (rc == 0 && is_server) {
        snprintf(place->address, sizeof(place->address), "%s", sb_net_zmq_endpoint(place->net));
        if (place->index == 0)
            memcpy(coordinator, place->address, sizeof(coordinator));
    }
    /* An empty address tells everybody that the coordinator could not start. */
    MPI_Bcast(coordinator, sizeof(coordinator), MPI_CHAR, coordinator_rank, MPI_COMM_WORLD);
    if (rc < 0) {
        *err = own;
        return -1;
    }
    if (!coordinator[0])
        return sb_err_set(err, SB_ERR_PEER, "the coordinator (rank %d) could not start",
                          coordinator_rank);
    if (is_server && place->index == 0)
        return 0;
    return sb_net_zmq_connect(place->net, SB_PEER_COORDINATOR, coordinator, err);
}

static int take_by_arguments(struct sb_place *place, struct sb_run_args *args, bool is_server,
                             struct sb_err *err)
{
    const struct sb_job *job = &args->job;
    if (!job->address || !*job->address)
        return sb_err_set(err, SB_ERR_USAGE,
                          "--address (the coordinator's endpoint) is needed, or a start by mpirun");
    if (!job->servers || !job->workers)
        return sb_err_set(err, SB_ERR_USAGE,
                          "--servers and --workers (how many of each the job has) are needed");
    if (is_server && args->index >= job->servers)
        return sb_err_set(err, SB_ERR_USAGE, "--index is %u, but the job has %u servers",
                          args->index, job->servers);
    place->index = args->index;
    place->life = args->life;
    place->server_count = job->servers;
    place->worker_count = job->workers;
    place->self = is_server ? args->index : new_incarnation();
    const char *bind = !is_server                  ? NULL
                       : args->bind                ? args->bind
                       : args->index == 0          ? job->address
                       : is_loopback(job->address) ? "tcp://127.0.0.1:*"
                                                   : "tcp://*:*";
    if (bind && check_exposure(args, bind, err) < 0)
        return -1;
    if (sb_net_zmq_new(&place->net, place->self, bind, job->network_timeout_ms, err) < 0)
        return -1;
    if (is_server)
        snprintf(place->address, sizeof(place->address), "%s", sb_net_zmq_endpoint(place->net));
    if (is_server && place->index == 0)
        return 0;
    return sb_net_zmq_connect(place->net, SB_PEER_COORDINATOR, job->address, err);
}

int sb_place_take(struct sb_place *place, struct sb_run_args *args, bool is_server,
                  struct sb_err *err)
{
    *place = (struct sb_place){.mpi = getenv("OMPI_COMM_WORLD_SIZE") != NULL && !args->child};
    char host[64] = "";
    gethostname(host, sizeof(host) - 1);
    if (place->mpi)
        MPI_Init(NULL, NULL);
    int rc = place->mpi ? take_by_mpi(place, args, is_server, err)
                        : take_by_arguments(place, args, is_server, err);
    /* MPI's work is done.  Its end is a barrier: later, one that hangs would keep all the others.
     */
    if (place->mpi)
        MPI_Finalize();
    snprintf(place->name, sizeof(place->name), "%s %u at %s, process %ld",
             is_server ? "server" : "worker", place->index, host, (long)getpid());
    return rc;
}

void sb_place_leave(struct sb_place *place)
{
    sb_net_free(&place->net);
}
