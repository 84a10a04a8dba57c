#include "save_interval.h"

#include <math.h>

enum { LEAST_COSTS = 200, SHARE_OF_WRITING = 20, LEAST_WRITINGS = 2 };

double sb_save_interval_s(const struct sb_job *job, double stall_s, double write_s)
{
    if (job->save_interval_s)
        return job->save_interval_s;
    if (job->save_steps)
        return 0;
    double cost_s = stall_s + write_s / SHARE_OF_WRITING;
    if (!(cost_s > 0))
        return job->max_lost_s;
    double best_s = sqrt(2 * cost_s * job->failure_interval_s);
    double interval_s = fmin(best_s, fmax(job->max_lost_s, LEAST_COSTS * cost_s));
    return fmax(interval_s, LEAST_WRITINGS * write_s);
}
