#include "beat.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic uint64_t beats;
static atomic_int pauses;
static atomic_int working[SB_BEAT_THREADS_MAX]; /* 0: free */
static _Thread_local int place = -1;
static _Thread_local bool aside;

void sb_beat_stand_aside(void)
{
    aside = true;
}

void sb_beat(void)
{
    if (!aside)
        atomic_fetch_add_explicit(&beats, 1, memory_order_relaxed);
}

uint64_t sb_beat_count(void)
{
    return atomic_load_explicit(&beats, memory_order_relaxed);
}

void sb_beat_pause(void)
{
    if (!aside)
        atomic_fetch_add(&pauses, 1);
}

void sb_beat_resume(void)
{
    sb_beat(); /* what went before was no standstill */
    if (!aside)
        atomic_fetch_sub(&pauses, 1);
}

bool sb_beat_paused(void)
{
    return atomic_load(&pauses) > 0;
}

void sb_beat_join(void)
{
    int self = (int)syscall(SYS_gettid);
    for (int i = 0; place < 0 && i < SB_BEAT_THREADS_MAX; i++) {
        int nobody = 0;
        if (atomic_compare_exchange_strong(&working[i], &nobody, self))
            place = i;
    }
}

void sb_beat_leave(void)
{
    if (place >= 0)
        atomic_store(&working[place], 0);
    place = -1;
}

size_t sb_beat_threads(int threads[SB_BEAT_THREADS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < SB_BEAT_THREADS_MAX; i++)
        if ((threads[count] = atomic_load(&working[i])) != 0)
            count++;
    return count;
}
