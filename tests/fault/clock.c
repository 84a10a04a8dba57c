/*
 * A library to be preloaded: the time of day jumps to and fro, as where a clock is set by hand or
 * by a bad time server.  The monotonic clock is left alone: it does not jump.
 *
 *   SB_CLOCK=SECONDS       between -SECONDS and SECONDS, another jump in each quarter of a second
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real_gettime)(clockid_t, struct timespec *);
static long range;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("SB_CLOCK");
    range = text ? atol(text) : 0;
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

static long jump(void)
{
    struct timespec now;
    real_gettime(CLOCK_MONOTONIC, &now);
    unsigned long quarter = (unsigned long)now.tv_sec * 4 + (unsigned long)now.tv_nsec / 250000000;
    return range ? (long)(quarter * 2654435761u % (2 * (unsigned long)range + 1)) - range : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (!real_gettime)
        begin();
    int rc = real_gettime(clock, out);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += jump();
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}
