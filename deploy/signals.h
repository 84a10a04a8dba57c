/*
 * SIGTERM, SIGUSR1 and Ctrl-C ask for a checkpoint and an end; a second Ctrl-C leaves at once.
 */
#ifndef SB_SIGNALS_H
#define SB_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* 0, or the exit code that the first signal asks for: 130 (SIGINT), 143 (the others). */
extern volatile sig_atomic_t sb_stop_code;

/* child: a process of our own launcher leaves Ctrl-C to it. */
void sb_signals_install(bool child);

#endif
