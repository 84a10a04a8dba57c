#include "clock.h"

#include <time.h>

uint64_t sb_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double sb_clock_seconds(void)
{
    return (double)sb_clock_ns() * 1e-9;
}
