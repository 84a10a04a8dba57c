/* The definition of gemm.h: three loops in double. */
#ifndef SB_GEMM_REF_H
#define SB_GEMM_REF_H

#include "gemm.h"

void sb_gemm_ref(const struct sb_gemm *gemm);

#endif
