/*
 * How long to train between two checkpoints.
 */
#ifndef SB_SAVE_INTERVAL_H
#define SB_SAVE_INTERVAL_H

#include "config.h"

/*
 * Seconds; 0: time does not decide.  save_interval_s if it is set, nothing where only save_steps
 * is; else
 *
 *     max(min(sqrt(2 C M), max(max_lost_s, 200 C)), 2 D)
 *
 *   D  write_s, from the beginning of the last checkpoint to its manifest; 0: not known yet
 *   C  stall_s, that the run stood still for it, and D / 20
 *   M  failure_interval_s
 *
 * The root makes the least of what is lost to checkpoints and to failures together; max_lost_s is
 * what a person would put up with, unless checkpoints then took more than 0.5 % of the time.
 *
 * Young and Daly stop the run for the whole of a checkpoint: there C is D.  Here it goes on, and
 * what it loses is the moment in which the state is kept, and something of D, while it shares
 * cores, memory and disk with the writing: a twentieth is what we ask it to lose at most, not what
 * it was seen to lose.  That a failure also costs the D before the newest checkpoint can be used is
 * the same for every interval, and moves the best one nowhere.  Only one is written at a time, so
 * the interval is never near D. Source: Young, "A first order approximation to the optimum
 * checkpoint interval", 1974; Daly, "A higher order estimate of the optimum checkpoint interval for
 * restart dumps", 2006.
 */
double sb_save_interval_s(const struct sb_job *job, double stall_s, double write_s);

#endif
