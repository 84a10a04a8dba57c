#include "softmax.h"

#include "real.h"

#include <math.h>

SB_INLINE size_t padded(size_t cols)
{
    return (cols + SB_SOFTMAX_PAD - 1) / SB_SOFTMAX_PAD * SB_SOFTMAX_PAD;
}

SB_INLINE float row_max(const float *x, size_t n)
{
    float lane[SB_LANES];
    for (int j = 0; j < SB_LANES; j++)
        lane[j] = x[j];
    for (size_t i = SB_LANES; i < n; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] = lane[j] > x[i + j] ? lane[j] : x[i + j];
    return sb_fold_lanes_max(lane);
}

SB_INLINE float fold_floats(float lane[SB_LANES])
{
    for (int half = SB_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

SB_INLINE float row_sum(const float *x, size_t n)
{
    float lane[SB_LANES] = {0};
    for (size_t i = 0; i < n; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += x[i + j];
    return fold_floats(lane);
}

SB_KERNEL void sb_softmax_forward(float *p, size_t rows, size_t cols, size_t stride)
{
    size_t n = padded(cols);
    if (cols == 0)
        return;
    for (size_t row = 0; row < rows; row++, p += stride) {
        for (size_t i = cols; i < n; i++)
            p[i] = -INFINITY;
        float max = row_max(p, n);
        for (size_t i = 0; i < n; i++)
            p[i] = sb_exp_inline(p[i] - max);
        float inverse = 1.0f / row_sum(p, n);
        for (size_t i = 0; i < n; i++)
            p[i] *= inverse;
    }
}

SB_KERNEL void sb_softmax_dropout(float *kept, float *p, const uint16_t *words, size_t rows,
                                  size_t cols, size_t stride, const struct sb_dropout *dropout)
{
    if (words == NULL) {
        for (size_t i = 0; i < rows * stride; i++)
            kept[i] = p[i];
        return;
    }
    const int32_t threshold = (int32_t)dropout->threshold;
    const float scale = dropout->scale;
    for (size_t row = 0; row < rows; row++, p += stride, kept += stride, words += cols)
        for (size_t i = 0; i < cols; i++) {
            int dropped = (int32_t)words[i] < threshold;
            float value = p[i];
            kept[i] = dropped ? 0.0f : value * scale;
            p[i] = dropped ? -value : value;
        }
}

SB_KERNEL void sb_softmax_backward(float *ds, float *kept, const float *p, size_t rows, size_t cols,
                                   size_t stride, float scale)
{
    size_t n = padded(cols);
    for (size_t row = 0; row < rows; row++, p += stride, kept += stride, ds += stride) {
        float lane[SB_LANES] = {0};
        for (size_t i = cols; i < n; i++)
            ds[i] = 0.0f;
        for (size_t i = 0; i < n; i += SB_LANES)
            for (int j = 0; j < SB_LANES; j++) {
                float value = p[i + j], scaled = value * scale;
                kept[i + j] = value > 0.0f ? scaled : 0.0f;
                lane[j] += kept[i + j] * ds[i + j];
            }
        float dot = fold_floats(lane);
        for (size_t i = 0; i < n; i++) {
            float g = p[i] > 0.0f ? ds[i] * scale : 0.0f;
            ds[i] = fabsf(p[i]) * (g - dot);
        }
    }
}
