#include "bert_golden.h"

#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void need(int rc, const struct sb_err *err)
{
    if (rc < 0)
        fail_msg("%s", err->text);
}

float *sb_golden_floats(const struct sb_golden *golden, const char *name, size_t *count)
{
    struct sb_err err = SB_ERR_INIT;
    const struct sb_st_tensor *tensor = sb_safetensors_find(&golden->file, name);
    if (tensor == NULL)
        return NULL;
    float *out = sb_alloc((tensor->element_count + 1) * sizeof(*out));
    need(sb_safetensors_floats(out, &golden->file, tensor, &err), &err);
    if (count != NULL)
        *count = tensor->element_count;
    return out;
}

int64_t *sb_golden_ints(const struct sb_golden *golden, const char *name, size_t *count)
{
    struct sb_err err = SB_ERR_INIT;
    const struct sb_st_tensor *tensor = sb_safetensors_find(&golden->file, name);
    if (tensor == NULL)
        return NULL;
    int64_t *out = sb_alloc((tensor->element_count + 1) * sizeof(*out));
    need(sb_safetensors_ints(out, &golden->file, tensor, &err), &err);
    if (count != NULL)
        *count = tensor->element_count;
    return out;
}

static void read_weights(struct sb_golden *golden, const char *path)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors file = SB_SAFETENSORS_INIT;
    const struct sb_params *params = &golden->bert.params;
    need(sb_safetensors_open(&file, path, &err), &err);
    golden->weights = sb_alloc_pages(params->float_count * sizeof(float));
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        const struct sb_st_tensor *stored = sb_safetensors_find(&file, tensor->name);
        if (stored == NULL || stored->element_count != sb_tensor_count(tensor))
            fail_msg("%s: no fitting tensor %s", path, tensor->name);
        need(sb_safetensors_floats(golden->weights + tensor->offset, &file, stored, &err), &err);
    }
    sb_safetensors_close(&file);
}

static void read_batch(struct sb_golden *golden)
{
    const struct sb_st_tensor *shape = sb_safetensors_find(&golden->file, "input_ids");
    assert_non_null(shape);
    size_t B = shape->dims[0], S = shape->dims[1], N = 0, targets = 0;
    int64_t *ids = sb_golden_ints(golden, "input_ids", NULL);
    int64_t *types = sb_golden_ints(golden, "token_type_ids", NULL);
    int64_t *mask = sb_golden_ints(golden, "attention_mask", NULL);
    int64_t *masked = sb_golden_ints(golden, "labels", NULL);
    int64_t *classes = sb_golden_ints(golden, "next_sentence_label", NULL);
    uint32_t *starts = sb_calloc(B + 1, sizeof(*starts));
    int32_t *token = sb_calloc(B * S, sizeof(*token)), *gold = sb_calloc(B * S, sizeof(*gold));
    uint8_t *type = sb_calloc(B * S, sizeof(*type));
    uint64_t *samples = sb_calloc(B, sizeof(*samples));
    uint32_t *rows = sb_calloc(B * S, sizeof(*rows));
    golden->labels = sb_calloc(B, sizeof(*golden->labels));
    golden->padded_row = sb_calloc(B * S, sizeof(*golden->padded_row));
    for (size_t b = 0; b < B; b++) {
        samples[b] = 100 + 7 * b;
        golden->labels[b] = (int32_t)classes[b];
        for (size_t i = b * S; i < (b + 1) * S; i++) {
            if (mask[i] == 0)
                continue;
            if (masked[i] >= 0) {
                rows[targets] = (uint32_t)N;
                gold[targets++] = (int32_t)masked[i];
            }
            golden->padded_row[N] = (uint32_t)i;
            token[N] = (int32_t)ids[i];
            type[N++] = (uint8_t)types[i];
        }
        starts[b + 1] = (uint32_t)N;
    }
    golden->batch = (struct sb_batch){.B = B,
                                      .N = N,
                                      .starts = starts,
                                      .ids = token,
                                      .types = type,
                                      .samples = samples,
                                      .target_count = targets,
                                      .target_rows = rows,
                                      .target_ids = gold,
                                      .labels = golden->labels};
    free(ids);
    free(types);
    free(mask);
    free(masked);
    free(classes);
}

void sb_golden_open(struct sb_golden *golden, const struct sb_bert_config *config, unsigned heads,
                    const char *weights_path, const char *results_path, size_t threads)
{
    struct sb_err err = SB_ERR_INIT;
    *golden = (struct sb_golden){0};
    need(sb_safetensors_open(&golden->file, results_path, &err), &err);
    sb_bert_config_copy(&golden->bert.config, config);
    sb_params_init(&golden->bert.params, config, heads);
    read_weights(golden, weights_path);
    read_batch(golden);
    golden->bert.weights = golden->weights;
    golden->bert.pool = sb_pool_new(threads);
    sb_arena_init(&golden->arena, 1 << 20);
    sb_grad_init(&golden->grad, &golden->bert.params);
}

void sb_golden_close(struct sb_golden *golden)
{
    sb_grad_release(&golden->grad, &golden->bert.params);
    sb_arena_release(&golden->arena);
    sb_pool_free(&golden->bert.pool);
    sb_free_pages(golden->weights, golden->bert.params.float_count * sizeof(float));
    sb_params_release(&golden->bert.params);
    sb_bert_config_release(&golden->bert.config);
    sb_safetensors_close(&golden->file);
    free((void *)golden->batch.starts);
    free((void *)golden->batch.ids);
    free((void *)golden->batch.types);
    free((void *)golden->batch.samples);
    free((void *)golden->batch.target_rows);
    free((void *)golden->batch.target_ids);
    free(golden->labels);
    free(golden->padded_row);
}

double sb_golden_distance(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

double sb_golden_norm(const float *a, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)a[i];
    return sqrt(sum);
}
