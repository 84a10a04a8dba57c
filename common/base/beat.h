/*
 * Signs that this process gets on: whoever has finished a piece of work, or a turn of its loop,
 * beats.  The watchdog (watchdog.h) counts the beats; without one they cost an atomic addition.
 *
 * Any thread may beat.  Threads that do the work join, so that the watchdog knows whom to look at.
 */
#ifndef SB_BEAT_H
#define SB_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SB_BEAT_THREADS_MAX = 1024 };

void sb_beat(void);
uint64_t sb_beat_count(void);

/* Around calls that may take as long as others like: a pipe, a lock, a file system.  They nest,
 * over all threads; while one is under way nobody is called hung. */
void sb_beat_pause(void);
void sb_beat_resume(void);
bool sb_beat_paused(void);

/* From here on the calling thread neither beats nor pauses: others do not wait for it, and what it
 * does says nothing about them. */
void sb_beat_stand_aside(void);

/* The calling thread works, until it leaves.  Those beyond SB_BEAT_THREADS_MAX are not watched. */
void sb_beat_join(void);
void sb_beat_leave(void);
/* The threads that have joined; returns how many. */
size_t sb_beat_threads(int threads[SB_BEAT_THREADS_MAX]);

#endif
