/* The monotonic clock; the only one that the protocol and the measurements know. */
#ifndef SB_CLOCK_H
#define SB_CLOCK_H

#include <stdint.h>

uint64_t sb_clock_ns(void);
double sb_clock_seconds(void);

#endif
