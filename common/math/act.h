/* Activations, element by element; how a range is cut into calls leaves no trace. */
#ifndef SB_ACT_H
#define SB_ACT_H

#include <stddef.h>

enum sb_gelu { SB_GELU_IS_ERF, SB_GELU_IS_TANH };

/*
 * GELU:  erf form   y = x Phi(x)                                        Hugging Face "gelu"
 *        tanh form  y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2   "gelu_new"
 *
 *   out  y      [n]  may be x itself
 *        slope  [n]  dy/dx, kept for the backward pass (dx = dy * slope); may be x itself; or NULL
 *   in   x      [n]
 *
 * y and slope must not be the same array.  Error of y, for |x| <= 4 and |x| / 4 times that beyond:
 * erf 4e-7, tanh 6e-7; of slope: erf 3e-7, tanh 3e-6.
 * Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
 */
void sb_gelu_forward(float *y, float *slope, const float *x, size_t n, enum sb_gelu form);

/* y = tanh(x); y may be x. */
void sb_tanh_forward(float *y, const float *x, size_t n);
/* dx = dy (1 - y^2); written, not added; dx may be dy. */
void sb_tanh_backward(float *dx, const float *dy, const float *y, size_t n);

/* y [n] *= x [n] */
void sb_multiply(float *y, const float *x, size_t n);

/* y = e^x as the softmax takes it: see real.h. */
void sb_exp(float *y, const float *x, size_t n);

#endif
