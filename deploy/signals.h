/*
 * SIGTERM, SIGUSR1, Ctrl-C and a terminal that is closed ask for a checkpoint and an end.  The same
 * one again (but SIGUSR1) leaves at once, and so does the end of the grace time: what is on the
 * disk is whole at every moment, and the same command goes on from there.
 */
#ifndef SB_SIGNALS_H
#define SB_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* 0, or the exit code that the first signal asks for: 130 (SIGINT), 143 (the others). */
extern volatile sig_atomic_t sb_stop_code;
/* A supervisor's: the same signal came again, nobody is waited for any more. */
extern volatile sig_atomic_t sb_stop_now;

enum sb_signals_of {
    SB_SIGNALS_ALONE, /* a process that its user started: train without others, a pod's role */
    SB_SIGNALS_CHILD, /* of our own supervisor, which decides when to end it, and hears Ctrl-C */
    SB_SIGNALS_SUPERVISOR, /* of processes: it ends them itself, so it never leaves from a handler
                            */
};

/*
 * From here on a signal is taken note of.  grace_s: a process that was asked to end leaves after so
 * many seconds wherever it is; 0: never by itself.
 */
void sb_signals_install(enum sb_signals_of of, unsigned grace_s);

/*
 * Keeps the signals back until sb_signals_install, also over fork and exec: one that comes before
 * there is a handler would end the process, or, in a container's first process, be lost.
 */
void sb_signals_hold(void);
void sb_signals_let_go(void);

/*
 * Between true and false nothing is done that would be lost: a signal ends the process at once,
 * with this sentence.
 */
void sb_signals_leave_at_once(bool at_once, const char *sentence);

#endif
