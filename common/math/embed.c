#include "embed.h"

#include "kernel.h"

SB_KERNEL void sb_embed_forward(float *z, const float *word, const float *type,
                                const float *position, const int32_t *ids, const uint8_t *types,
                                const uint32_t *positions, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++, z += C) {
        const float *w = word + (size_t)ids[n] * C, *t = type + (size_t)types[n] * C;
        const float *p = position + (size_t)positions[n] * C;
        for (size_t c = 0; c < C; c++)
            z[c] = (w[c] + t[c]) + p[c];
    }
}

SB_KERNEL void sb_embed_backward(float *dtable, const float *dz, const uint32_t *row, size_t N,
                                 size_t C, size_t first, size_t end, uint32_t skip)
{
    for (size_t n = 0; n < N; n++, dz += C) {
        if (row[n] == skip)
            continue;
        float *d = dtable + (size_t)row[n] * C;
        for (size_t c = first; c < end; c++)
            d[c] += dz[c];
    }
}
