#include "act_ref.h"

#include <math.h>

double sb_gelu_ref(double x, enum sb_gelu form)
{
    if (form == SB_GELU_IS_ERF)
        return 0.5 * x * erfc(-x * M_SQRT1_2);
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}
