/*
 * `--servers S --workers W` on one machine: the roles as child processes that talk over ipc.  No
 * process is left behind: children die with the launcher, and the launcher ends the others when one
 * fails.
 */
#ifndef SB_LAUNCH_H
#define SB_LAUNCH_H

#include "run_args.h"

/* Runs the job in child processes; returns the exit code (err says why when it is not 0). */
int sb_launch(const struct sb_run_args *args, struct sb_err *err);

#endif
