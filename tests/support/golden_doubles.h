/* Golden numbers in double precision from a safetensors file. */
#ifndef SB_GOLDEN_DOUBLES_H
#define SB_GOLDEN_DOUBLES_H

#include "support.h"

#include "arena.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The F64 tensor of this name and size, aligned; the caller frees it.  Fails the running test. */
static inline double *sb_golden_doubles(const struct sb_safetensors *file, const char *name,
                                        size_t count)
{
    const struct sb_st_tensor *tensor = sb_safetensors_find(file, name);
    if (!tensor || tensor->dtype != SB_F64 || tensor->element_count != count)
        fail_msg("'%s' has no '%s' of %zu doubles", file->path, name, count);
    double *values = sb_alloc(count * sizeof(*values));
    memcpy(values, file->data + tensor->begin, count * sizeof(*values));
    return values;
}

static inline double sb_golden_number(const struct sb_safetensors *file, const char *name)
{
    double *value = sb_golden_doubles(file, name, 1), number = *value;
    free(value);
    return number;
}

/* Largest |a - b|; infinite if one is not a number. */
static inline double sb_golden_worst(const double *a, const double *b, size_t count)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(a[i] - b[i]);
        if (!(difference <= worst))
            worst = isnan(difference) ? INFINITY : difference;
    }
    return worst;
}

#endif
