/*
 * How a run is: asked of its coordinator, or read from what it left in its folder.
 *
 * The answer is one object:
 *
 *   state        running      the coordinator answered
 *                restarting   it was killed, and whoever watches it starts it again
 *                mute         it is there, or somewhere, and gives no answer
 *                killed       unfinished, and it did not end by itself
 *                unfinished   it ended by itself, before its time
 *                finished
 *   sentence     the same for a person, and what comes next
 *   output_dir   unless only an address was given
 *   run          running: what the coordinator says (coordinator_status.c), its age_seconds beside
 * it checkpoints  of output_dir, newest first, down to the first that verifies: step, folder,
 *                age_seconds, complete; why, if it is damaged
 *   account      what was lost and done again (account.h), if that is known
 *   results      finished: the numbers of all_results.json
 */
#ifndef SB_STATUS_LOOK_H
#define SB_STATUS_LOOK_H

#include "err.h"

#include <jansson.h>

/*
 * target: an output_dir, or host:port of the metrics of the coordinator.  NULL with err: nothing
 * can be said; SB_ERR_NO_INPUT where no run has begun.
 */
json_t *sb_status_look(const char *target, double timeout_s, struct sb_err *err);

#endif
