/* The definition of softmax.h and xent.h: one row, in double. */
#ifndef SB_SOFTMAX_REF_H
#define SB_SOFTMAX_REF_H

#include <stddef.h>

void sb_softmax_ref(double *p, const double *x, size_t n);
/* -log softmax(x)[gold] */
double sb_xent_ref(const double *x, size_t gold, size_t n);

#endif
