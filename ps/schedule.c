#include "schedule.h"

#include "err.h"

#include <math.h>
#include <string.h>

/* What a schedule sees: the step, the warmup W, the end N, and the share p of the way from W to N.
 */
struct place {
    double step, warmup, total, p;
    double peak;
};

static double linear(const struct place *at)
{
    return fmax(0.0, (at->total - at->step) / fmax(1.0, at->total - at->warmup));
}

static double cosine(const struct place *at)
{
    return fmax(0.0, 0.5 * (1.0 + cos(M_PI * at->p)));
}

static double cosine_with_restarts(const struct place *at)
{
    return at->p >= 1.0 ? 0.0 : cosine(at);
}

static double polynomial(const struct place *at)
{
    const double end = 1e-7;
    if (at->step >= at->total)
        return end / at->peak;
    double left = 1.0 - (at->step - at->warmup) / (at->total - at->warmup);
    return ((at->peak - end) * left + end) / at->peak;
}

static double inverse_sqrt(const struct place *at)
{
    double timescale = at->warmup > 0 ? at->warmup : 10000.0;
    double shift = timescale - at->warmup;
    return 1.0 / sqrt((at->step + shift) / timescale);
}

static double constant(const struct place *at)
{
    (void)at;
    return 1.0;
}

static const struct schedule {
    const char *name;
    double (*factor)(const struct place *at);
    bool warms_up;
} schedules[] = {
    {"linear", linear, true},
    {"cosine", cosine, true},
    {"cosine_with_restarts", cosine_with_restarts, true},
    {"polynomial", polynomial, true},
    {"inverse_sqrt", inverse_sqrt, true},
    {"constant", constant, false},
    {"constant_with_warmup", constant, true},
};

uint64_t sb_schedule_warmup_steps(const struct sb_job *job, uint64_t total_steps)
{
    if (job->warmup_steps > 0)
        return job->warmup_steps;
    return (uint64_t)ceil(job->warmup_ratio * (double)total_steps);
}

double sb_schedule_rate(const struct sb_job *job, uint64_t step, uint64_t total_steps)
{
    const struct schedule *schedule = NULL;
    for (size_t i = 0; i < sizeof(schedules) / sizeof(schedules[0]); i++)
        if (!strcmp(job->lr_scheduler_type, schedules[i].name))
            schedule = &schedules[i];
    sb_assert(schedule); /* options.def lists the same words, and sb_job_set let only those in */
    uint64_t warmup_steps = sb_schedule_warmup_steps(job, total_steps);
    struct place at = {
        .step = (double)step,
        .warmup = (double)warmup_steps,
        .total = (double)total_steps,
        .peak = job->learning_rate,
    };
    at.p = (at.step - at.warmup) / fmax(1.0, at.total - at.warmup);
    if (at.peak == 0)
        return 0;
    if (schedule->warms_up && step < warmup_steps)
        return at.peak * (at.step / fmax(1.0, at.warmup));
    return at.peak * schedule->factor(&at);
}
