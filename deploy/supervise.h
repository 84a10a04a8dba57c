/*
 * Looks after the processes of a run: starts them, starts again who dies, passes signals on, and
 * leaves nobody behind.  The launcher has all roles of a run in its care, a rank under mpirun one.
 *
 * What becomes of a process that ends before the run does:
 *
 *   killed by a signal                      started again
 *   69 peer lost, 70 our bug, 75 try again  started again; 69 of the coordinator is the run's end
 *   0, 130, 143                             has left, and is not missed
 *   64 to 68, 71 to 74, 76 to 78            ends the run: the next start would meet the same
 *
 * Each process is started again max_restarts times, restart_delay_ms after its end and twice as
 * long each time.  Who is told by the coordinator to end says so by SB_EXIT_TOLD and is not started
 * again.
 */
#ifndef SB_SUPERVISE_H
#define SB_SUPERVISE_H

#include "run_args.h"

#include <sys/types.h>

/* Of a --child: added to codes 64 to 78 that are not its own but the run's. */
enum { SB_EXIT_TOLD = 128 };

struct sb_ward {
    bool is_server;
    uint32_t index;    /* among servers, among workers */
    char bind[128];    /* endpoint of a server */
    pid_t pid;         /* 0 once it has ended */
    uint32_t life;     /* how often it was started again */
    double restart_at; /* 0: never */
    int code;          /* that it is started again for; 0: it was killed */
};

struct sb_supervision {
    const struct sb_run_args *args;
    uint32_t server_count, worker_count; /* of the run */
    const char *address;                 /* of the coordinator */
    struct sb_ward *wards;               /* servers first */
    uint32_t count;
    pid_t parent; /* whose end is as good as a SIGTERM: a rank's mpirun; 0: nobody's */

    /* ours */
    uint32_t running;    /* also those that are about to be started again */
    uint32_t done;       /* workers that have left after the end */
    double done_at;      /* when the last of them did */
    double looked_at;    /* last time output_dir was looked at */
    bool ending;         /* nobody is started again */
    bool finished;       /* the coordinator has ended well: the model is written */
    struct sb_err cause; /* of a code that is not 0 */
    int code, passed_on;
    double end_by;  /* 0: no limit yet */
    double stop_by; /* of stop_grace_s; 0: nobody has asked us to end */
};

/*
 * Starts all wards and waits until they have ended.  Returns the exit code; err says why when that
 * is nobody else's to say.  The caller has installed the signals of a supervisor.
 */
int sb_supervise(struct sb_supervision *s, struct sb_err *err);

#endif
