/*
 * AdamW with decoupled decay (Loshchilov and Hutter, 2019), in PyTorch's order of operations:
 *
 *     g = grad * scale;   w = w * (1 - lr*decay);
 *     m = beta1*m + (1-beta1)*g;   v = beta2*v + (1-beta2)*g*g
 *     w = w - (lr / (1-beta1^t)) * m / (sqrt(v) / sqrt(1-beta2^t) + eps)
 *
 *   in-out  w, m, v [count]   w_out may be w itself, or a fresh copy
 *   in      grad    [count]   gradient sum, or NULL for a gradient of zeros (a row not touched)
 *
 * Element by element: the result does not depend on how a range is cut into calls.
 */
#ifndef SB_ADAMW_H
#define SB_ADAMW_H

#include <stddef.h>
#include <stdint.h>

struct sb_adamw {
    float scale; /* clipping factor over target count */
    float keep;  /* 1 - lr*decay; 1 where the tensor is not decayed */
    float beta1, beta2;
    float rate; /* lr / (1 - beta1^t) */
    float root; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
};

/* t counts applied updates from 1.  The powers are taken in double. */
struct sb_adamw sb_adamw_at(double lr, double decay, double beta1, double beta2, double epsilon,
                            uint64_t t, double scale);
void sb_adamw_apply(float *w_out, float *m, float *v, const float *w, const float *grad,
                    size_t count, const struct sb_adamw *adamw);

#endif
