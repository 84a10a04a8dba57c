/*
 * Finds out that this process hangs, which it cannot say itself: a thread of its own looks whether
 * beats (beat.h) still come.  If none came for the limit, the stacks of all threads go to stderr
 * and the process aborts; whoever started it starts it again, and the others go on without it
 * meanwhile.
 *
 * Time counts only where somebody should have worked: not while the whole process was stopped,
 * while a working thread waits for the disk or for a core, or between sb_beat_pause and
 * sb_beat_resume. Working threads that compute without a beat are given ten times the limit, in CPU
 * time.
 *
 * One watchdog in a process; begin and end are called by the thread whose work is watched.
 */
#ifndef SB_WATCHDOG_H
#define SB_WATCHDOG_H

#include <stdint.h>

/* who ("worker 1") stands in the sentence, and is copied.  limit_s 0: there is none.  If no thread
 * can be made the process is not watched, which is said. */
void sb_watchdog_begin(const char *who, uint32_t limit_s);
void sb_watchdog_end(void);

#endif
