/*
 * Where the coordinator of a run is: output_dir/.coordinator.json, for those who ask how it is.
 *
 *   run        sixteen digits that no other start has
 *   address    of its status, host:port; "" if it serves none
 *   host, process, started   whose it is; started: by that host's clock, in ticks since it began
 *   watcher    the process that starts it again if it is killed; 0: none that we know of
 *
 * It is written when the coordinator starts and removed when it ends.  After a kill -9 it stays,
 * and who reads it finds out by asking.
 */
#ifndef SB_BEACON_H
#define SB_BEACON_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

enum { SB_BEACON_RUN_BYTES = 17, SB_BEACON_TEXT_BYTES = 128 };

struct sb_beacon {
    char run[SB_BEACON_RUN_BYTES]; /* "": none is out */
    char address[SB_BEACON_TEXT_BYTES], host[SB_BEACON_TEXT_BYTES];
    int64_t process, watcher;
    uint64_t started;
};

/* Fills beacon in and writes it.  watched: our parent starts us again. */
int sb_beacon_light(struct sb_beacon *beacon, const char *output_dir, const char *address,
                    bool watched, struct sb_err *err);
/* Removes it, if it is still ours; harmless if none is out. */
void sb_beacon_out(struct sb_beacon *beacon, const char *output_dir);
/* 1, 0 if there is none, -1 with err for a file that is none of ours. */
int sb_beacon_read(struct sb_beacon *beacon, const char *output_dir, struct sb_err *err);

/* The process is one of this host: then it can be seen whether it is alive. */
bool sb_beacon_is_here(const struct sb_beacon *beacon);
bool sb_beacon_alive(const struct sb_beacon *beacon);
bool sb_beacon_watched(const struct sb_beacon *beacon);

#endif
