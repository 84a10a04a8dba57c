/*
 * The command line of everything that runs a job: `shardbert train`, `shardbert plan`, shardbert-ps
 * and shardbert-worker take the same JOB.yaml, --set, --servers, --workers; the roles take their
 * place in the cluster besides.
 */
#ifndef SB_RUN_ARGS_H
#define SB_RUN_ARGS_H

#include "config.h"

#include <stdbool.h>

struct sb_run_args {
    struct sb_job job; /* read, set and checked */
    bool fresh;        /* --fresh: forget what output_dir holds */
    uint32_t index;    /* --index: which server, or worker */
    uint32_t life;     /* --life: how often our launcher has started this one before */
    const char *bind;  /* --bind: endpoint of a server; NULL: by its index */
    bool child;        /* --child: started by our own launcher */
    bool insecure;     /* --insecure: serve other hosts without keys */
    char **argv;       /* what a launcher passes on: JOB.yaml and settings */
    int argc;
};

/* Returns 0, or -1 with err.  `--help` prints and exits. */
int sb_run_args_parse(struct sb_run_args *args, int argc, char **argv, struct sb_err *err);
void sb_run_args_release(struct sb_run_args *args);

#endif
