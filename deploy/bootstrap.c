#include "bootstrap.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t random_bits(void)
{
    uint64_t bits = 0;
    while (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        ;
    return bits;
}

static bool is_loopback(const char *endpoint)
{
    return !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "tcp://127.", 10) ||
           !strncmp(endpoint, "tcp://[::1]", 11) || !strncmp(endpoint, "tcp://localhost", 15);
}

/* Nothing is encrypted or authenticated yet: other hosts are served only when the user says so. */
int sb_place_check_exposure(const struct sb_run_args *args, const char *endpoint,
                            struct sb_err *err)
{
    if (args->insecure || is_loopback(endpoint))
        return 0;
    return sb_err_set(
        err, SB_ERR_PERMISSION,
        "'%s' can be reached from other hosts, and the traffic is neither encrypted nor "
        "authenticated; say --insecure if the network is trusted",
        endpoint);
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
    place->self = is_server ? args->index : random_bits() | SB_PEER_WORKER_BIT;
    const char *bind = !is_server                  ? NULL
                       : args->bind                ? args->bind
                       : args->index == 0          ? job->address
                       : is_loopback(job->address) ? "tcp://127.0.0.1:*"
                                                   : "tcp://*:*";
    if (bind && sb_place_check_exposure(args, bind, err) < 0)
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
    char host[64] = "";
    *place = (struct sb_place){0};
    gethostname(host, sizeof(host) - 1);
    int rc = take_by_arguments(place, args, is_server, err);
    /* In a container that is started again host and process are the same: a server is told from the
     * one before by the rest.  Workers have a new peer number. */
    int length = snprintf(place->name, sizeof(place->name), "%s %u at %s, process %ld",
                          is_server ? "server" : "worker", place->index, host, (long)getpid());
    if (is_server)
        snprintf(place->name + length, sizeof(place->name) - (size_t)length, " (%08x)",
                 (unsigned)random_bits());
    return rc;
}

void sb_place_leave(struct sb_place *place)
{
    sb_net_free(&place->net);
}
