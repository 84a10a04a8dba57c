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
 *     min(sqrt(2 C M), max(max_lost_s, 200 C))
 *
 *   C  cost_s, for which the run stood still at the last checkpoint; 0: not known yet
 *   M  failure_interval_s
 *
 * The root makes the least of what is lost to checkpoints and to failures together; max_lost_s is
 * what a person would put up with, unless checkpoints then took more than 0.5 % of the time.
 * Source: Young, "A first order approximation to the optimum checkpoint interval", 1974; Daly, "A
 * higher order estimate of the optimum checkpoint interval for restart dumps", 2006.
 */
double sb_save_interval_s(const struct sb_job *job, double cost_s);

#endif
