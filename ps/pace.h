/*
 * How fast workers are, by what they have done, and how a step is cut for them.  This decides who
 * computes what and nothing else: no bit depends on it.
 */
#ifndef SB_PACE_H
#define SB_PACE_H

#include <stddef.h>
#include <stdint.h>

enum { SB_RECENT_COUNT = 5, SB_RECENT_LEAST = 3 };

/* The last few values.  Their median forgets a moment in which a machine stood still. */
struct sb_recent {
    double values[SB_RECENT_COUNT];
    uint32_t count; /* ever added */
};

void sb_recent_add(struct sb_recent *recent, double value);
/* 0 before there are SB_RECENT_LEAST. */
double sb_recent_median(const struct sb_recent *recent);

/* Of one worker. */
struct sb_pace {
    double tokens, seconds;  /* of the running step */
    struct sb_recent speeds; /* tokens per second, a step each */
    uint32_t idle_steps;     /* without a share: what was measured once grows old */
};

/* A node of the running step.  seconds: by the worker's clock; anything may come. */
void sb_pace_add(struct sb_pace *pace, double tokens, double seconds);
void sb_pace_end_step(struct sb_pace *pace);

/*
 * Cuts total slots into count runs, one for each worker in order, so that the last to be done is
 * done early:
 *
 *     seconds of run [first, end) = (end - first) / speed + node_seconds * nodes of the run
 *
 *   out  ends   [count]  where each run ends; it begins where the one before ends
 *   in   speeds [count]  slots per second; 0: not known, taken to be the mean of the others
 *        slots           a power of two, and total: runs are cut into aligned nodes; 0: they are
 * not node_seconds    what one more node costs, in seconds
 *
 * The even cut, end i = floor((i + 1) total / count), stays unless another is a tenth faster: by
 * equal speeds, or none, it is always the even one.
 */
void sb_pace_cut(uint64_t *ends, size_t count, uint64_t total, const double *speeds, uint32_t slots,
                 double node_seconds);

#endif
