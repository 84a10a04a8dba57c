/* What the roles have in common: the settings that peers compare, and the way a role is built from
 * them. */
#ifndef SB_ROLE_H
#define SB_ROLE_H

#include "bootstrap.h"
#include "fingerprint.h"
#include "ledger.h"
#include "report.h"
#include "run_args.h"
#include "server.h"
#include "worker.h"

struct sb_role {
    struct sb_run_args args;
    bool reads_inputs; /* model and data: all but servers */
    struct sb_bytes canonical;
    char fingerprint[SB_FINGERPRINT_BYTES];
    struct sb_pool *pool;
    struct sb_report report;
    struct sb_ledger *server_ledger, *worker_ledger; /* NULL: none is kept */
    bool told;                                       /* the coordinator has said how the run ends */
    bool unheard;                                    /* our own trouble came after that */
};

/* The exit code of a process of a supervisor: it tells codes of the run from its own trouble. */
int sb_role_code(const struct sb_role *role, int code);

/*
 * Command line -> settings, threads, log, metrics.  role: "train", "server", "worker".
 */
int sb_role_begin(struct sb_role *role, const char *name, int argc, char **argv,
                  struct sb_err *err);
void sb_role_end(struct sb_role *role);

/*
 * Reads model and data as a run does at its start, so that a job that cannot begin is found out
 * before something is thrown away for it.  The prepared data stay in the cache.
 */
int sb_role_rehearse(struct sb_role *role, struct sb_err *err);
/*
 * 1: output_dir holds this run finished (said on the log); 0: go on; -1: it holds another one, or
 * trouble. owner: the one process that carries out --fresh.
 */
int sb_role_check_output(struct sb_role *role, bool owner, struct sb_err *err);

/* 0: nothing to do, exit with 0; -1 with an empty err: go on; -1 with a sentence: trouble. */
int sb_role_skip(struct sb_role *role, bool owner, struct sb_err *err);

/* NULL and err if there can be no ledger. */
struct sb_server *sb_role_server(struct sb_role *role, const struct sb_place *place,
                                 const struct sb_disk *disk, struct sb_err *err);
/* From here to sb_watchdog_end it is noticed when this process hangs: "server 1", as name and place
 * say. */
void sb_role_guard(const struct sb_role *role, const char *name, const struct sb_place *place);
/* Opens the task and works until the end; returns the exit code. */
int sb_role_work(struct sb_role *role, struct sb_place *place, bool embedded, struct sb_err *err);

/* Says `shardbert: <sentence>` unless it is empty, and returns code. */
int sb_role_exit(int code, const struct sb_err *err);

#endif
