/*
 * exp, tanh and the normal distribution, one number at a time and without branches, to be inlined
 * into kernels.  Own code, because the ones of libm differ between processors in the last bit.
 * Polynomials are least-maximum fits made for this file; errors are against long double.
 */
#ifndef SB_REAL_H
#define SB_REAL_H

#include "kernel.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/*
 * e^x.  Error at most 2e-7 of the value.  0 below -87.33 (no denormals), infinity above 88.37 (the
 * largest float is e^88.72), NaN for NaN.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2;  e^r = 1 + r + r^2 q(r).  ln 2 is taken in two parts, the
 * first of which times n is exact.  Adding 1.5 * 2^23 rounds to the integer n and leaves it in the
 * lowest bits, from where it moves to the exponent.  What lies outside is computed like the rest,
 * to whatever it gives, and replaced at the end.
 */
SB_INLINE float sb_exp_inline(float x)
{
    const float round = 0x1.8p23f;
    float shifted = x * 1.44269504f + round;
    float n = shifted - round;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float q = 0.00831250101f;
    q = q * r + 0.0418903306f;
    q = q * r + 0.166671157f;
    q = q * r + 0.499992311f;
    float e = (q * r) * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u;
    float power;
    memcpy(&power, &bits, sizeof(power));
    e = e * power;
    e = x < -87.33f ? 0.0f : e;
    return x > 88.37f ? INFINITY : e;
}

/*
 * e^x in double.  Error at most 3e-16 of the value.  0 below -708 (no denormals), infinity above
 * 709.7, NaN for NaN.
 *
 * As above; e^r is its Taylor sum up to r^13 / 13!, of which the rest is below 5e-18.
 */
SB_INLINE double sb_exp_double_inline(double x)
{
    const double round = 0x1.8p52;
    double clamped = x > 710.0 ? 710.0 : x;
    clamped = clamped < -709.0 ? -709.0 : clamped;
    double n = (clamped * 1.4426950408889634 + round) - round;
    double r = (clamped - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    double q = 1.0 / 6227020800.0;
    q = q * r + 1.0 / 479001600.0;
    q = q * r + 1.0 / 39916800.0;
    q = q * r + 1.0 / 3628800.0;
    q = q * r + 1.0 / 362880.0;
    q = q * r + 1.0 / 40320.0;
    q = q * r + 1.0 / 5040.0;
    q = q * r + 1.0 / 720.0;
    q = q * r + 1.0 / 120.0;
    q = q * r + 1.0 / 24.0;
    q = q * r + 1.0 / 6.0;
    q = q * r + 0.5;
    double e = (q * r) * r + r + 1.0;
    int64_t whole = (int64_t)n, half = whole >> 1;
    uint64_t low_bits = (uint64_t)(half + 1023) << 52;
    uint64_t high_bits = (uint64_t)(whole - half + 1023) << 52;
    double low, high;
    memcpy(&low, &low_bits, sizeof(low));
    memcpy(&high, &high_bits, sizeof(high));
    e = e * low * high;
    e = x < -708.0 ? 0.0 : x > 709.7 ? HUGE_VAL : e;
    return x == x ? e : x;
}

/* tanh x.  Error at most 2e-7 of the value. */
SB_INLINE float sb_tanh_inline(float x)
{
    float a = fabsf(x), s = x * x;
    float e = sb_exp_inline(-2.0f * a);
    float far = (1.0f - e) / (1.0f + e);
    float q = -0.00626318250f;
    q = q * s + 0.0211061091f;
    q = q * s + -0.0538726225f;
    q = q * s + 0.133329019f;
    q = q * s + -0.333333313f;
    float near = a + a * (s * q);
    return copysignf(a < 0.6f ? near : far, x);
}

/*
 * The standard normal distribution: Phi(x) = (1 + erf(x / sqrt 2)) / 2, given e = exp(-x^2/2).
 *
 * Phi(-a) = e g(t) for a >= 0 with t = (a - 3) / (a + 3), g a polynomial.  Error at most 1e-7
 * absolutely; the tail below -1 keeps six digits.
 */
SB_INLINE float sb_normal_inline(float x, float e)
{
    float a = fabsf(x);
    float t = (a - 3.0f) / (a + 3.0f);
    float g = 5.36720836e-05f;
    g = g * t + 0.000115543953f;
    g = g * t + -0.000339485181f;
    g = g * t + -0.000983758597f;
    g = g * t + 0.00290455623f;
    g = g * t + 0.00613207091f;
    g = g * t + -0.0462132916f;
    g = g * t + 0.123225033f;
    g = g * t + -0.206402615f;
    g = g * t + 0.121513948f;
    float tail = e * g;
    return x < 0.0f ? tail : 1.0f - tail;
}

#endif
