/* The definitions of act.h, by libm in double. */
#ifndef SB_ACT_REF_H
#define SB_ACT_REF_H

#include "act.h"

double sb_gelu_ref(double x, enum sb_gelu form);

#endif
