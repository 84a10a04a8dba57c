/* The definition of norm.h, in double; y, dx in double too, so that differences can be taken. */
#ifndef SB_NORM_REF_H
#define SB_NORM_REF_H

#include <stddef.h>

void sb_layernorm_forward_ref(double *y, const double *x, const double *gamma, const double *beta,
                              size_t N, size_t C, double eps);

#endif
