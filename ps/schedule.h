/*
 * The learning rate of a step, as Hugging Face's schedulers give it.  Steps are counted from 0, so
 * the first step of a warmup has the rate 0.  With W warmup steps and N steps in all, and p = (step
 * - W) / (N - W):
 *
 *   all (but constant)     step / W                                    while step < W
 *   linear                 (N - step) / (N - W), at least 0
 *   cosine                 (1 + cos(pi p)) / 2
 *   cosine_with_restarts   (1 + cos(pi (p mod 1))) / 2, 0 once p >= 1   (one cycle, HF's default)
 *   polynomial             from 1 to 1e-7 / learning_rate, straight (power 1)
 *   inverse_sqrt           1 / sqrt((step + s) / T), T = W or 10000, s = T - W
 *   constant, constant_with_warmup   1
 *
 * All in double, times learning_rate.  Source: transformers, optimization.py.
 */
#ifndef SB_SCHEDULE_H
#define SB_SCHEDULE_H

#include "config.h"

#include <stdint.h>

/* warmup_steps, or warmup_ratio of all steps rounded up. */
uint64_t sb_schedule_warmup_steps(const struct sb_job *job, uint64_t total_steps);
double sb_schedule_rate(const struct sb_job *job, uint64_t step, uint64_t total_steps);

#endif
