#include "save_interval.h"

#include <math.h>

enum { LEAST_COSTS = 200 };

double sb_save_interval_s(const struct sb_job *job, double cost_s)
{
    if (job->save_interval_s)
        return job->save_interval_s;
    if (job->save_steps)
        return 0;
    if (!(cost_s > 0))
        return job->max_lost_s;
    double best_s = sqrt(2 * cost_s * job->failure_interval_s);
    return fmin(best_s, fmax(job->max_lost_s, LEAST_COSTS * cost_s));
}
