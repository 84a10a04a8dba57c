#include "adamw.h"

#include "kernel.h"

#include <math.h>

struct sb_adamw sb_adamw_at(double lr, double decay, double beta1, double beta2, double epsilon,
                            uint64_t t, double scale)
{
    return (struct sb_adamw){
        .scale = (float)scale,
        .keep = (float)(1.0 - lr * decay),
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .rate = (float)(lr / (1.0 - pow(beta1, (double)t))),
        .root = (float)(1.0 / sqrt(1.0 - pow(beta2, (double)t))),
        .epsilon = (float)epsilon,
    };
}

/* One element; g is the gradient after scaling. */
SB_INLINE float moved(float w, float *m, float *v, float g, const struct sb_adamw *a)
{
    *m = a->beta1 * *m + (1.0f - a->beta1) * g;
    *v = a->beta2 * *v + (1.0f - a->beta2) * (g * g);
    return w * a->keep - a->rate * (*m / (sqrtf(*v) * a->root + a->epsilon));
}

SB_KERNEL void sb_adamw_apply(float *w_out, float *m, float *v, const float *w, const float *grad,
                              size_t count, const struct sb_adamw *adamw)
{
    const struct sb_adamw a = *adamw;
    if (grad == NULL) {
        for (size_t i = 0; i < count; i++)
            w_out[i] = moved(w[i], &m[i], &v[i], 0.0f, &a);
        return;
    }
    for (size_t i = 0; i < count; i++)
        w_out[i] = moved(w[i], &m[i], &v[i], grad[i] * a.scale, &a);
}
