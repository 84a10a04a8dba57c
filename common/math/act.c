#include "act.h"

#include "real.h"

#include <stdbool.h>

struct value_and_slope {
    float value, slope;
};

SB_INLINE struct value_and_slope gelu_erf(float x)
{
    const float density = 0.398942280f; /* 1 / sqrt(2 pi) */
    float e = sb_exp_inline(-0.5f * x * x);
    float phi = sb_normal_inline(x, e);
    return (struct value_and_slope){.value = x * phi, .slope = phi + x * (e * density)};
}

/* (1 + tanh u) / 2 = 1 / (1 + e^(-2u)) */
SB_INLINE struct value_and_slope gelu_tanh(float x)
{
    const float twice_root = 1.59576912f; /* 2 sqrt(2 / pi) */
    float s = x * x;
    float twice_u = twice_root * (x + 0.044715f * (s * x));
    float sigma = 1.0f / (1.0f + sb_exp_inline(-twice_u));
    float du = twice_root * (1.0f + 0.134145f * s);
    return (struct value_and_slope){.value = x * sigma,
                                    .slope = sigma + x * (sigma * (1.0f - sigma)) * du};
}

SB_KERNEL static void gelu_erf_value(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu_erf(x[i]).value;
}

SB_KERNEL static void gelu_tanh_value(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu_tanh(x[i]).value;
}

SB_KERNEL static void gelu_erf_both(float *y, float *slope, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct value_and_slope both = gelu_erf(x[i]);
        y[i] = both.value;
        slope[i] = both.slope;
    }
}

SB_KERNEL static void gelu_tanh_both(float *y, float *slope, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct value_and_slope both = gelu_tanh(x[i]);
        y[i] = both.value;
        slope[i] = both.slope;
    }
}

void sb_gelu_forward(float *y, float *slope, const float *x, size_t n, enum sb_gelu form)
{
    bool erf_form = form == SB_GELU_IS_ERF;
    if (slope == NULL && erf_form)
        gelu_erf_value(y, x, n);
    else if (slope == NULL)
        gelu_tanh_value(y, x, n);
    else if (erf_form)
        gelu_erf_both(y, slope, x, n);
    else
        gelu_tanh_both(y, slope, x, n);
}

SB_KERNEL void sb_tanh_forward(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = sb_tanh_inline(x[i]);
}

SB_KERNEL void sb_tanh_backward(float *dx, const float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

SB_KERNEL void sb_multiply(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

SB_KERNEL void sb_exp(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = sb_exp_inline(x[i]);
}
