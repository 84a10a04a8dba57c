#include "grow.h"

#include "err.h"

#include <string.h>

static void fill_row(float *out, const float *old, size_t C, const struct sb_grown_row *row)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t i = 0; i < row->count; i++)
            sum += (double)old[(size_t)row->from[i] * C + c];
        out[row->row * C + c] = (float)(sum / (double)row->count);
    }
}

void sb_model_grow(float *weights, const struct sb_params *params, const float *old_weights,
                   const struct sb_params *old, const struct sb_grown_row *rows, size_t row_count)
{
    sb_assert(params->count == old->count);
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i], *before = &old->tensors[i];
        bool by_word = i == params->word || i == params->decoder_b;
        sb_assert(!strcmp(tensor->name, before->name));
        sb_assert(by_word || sb_tensor_count(tensor) == sb_tensor_count(before));
        memcpy(weights + tensor->offset, old_weights + before->offset,
               sb_tensor_count(before) * sizeof(*weights));
        size_t C = i == params->word ? tensor->cols : 1;
        for (size_t r = 0; by_word && r < row_count; r++)
            fill_row(weights + tensor->offset, old_weights + before->offset, C, &rows[r]);
    }
}
