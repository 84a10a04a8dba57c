#include "inspect.h"

#include "arena.h"
#include "model_files.h"
#include "torch_bin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_config(struct sb_bytes *out, const struct sb_bert_config *config)
{
    sb_bytes_printf(out,
                    "bert: %zu layers, hidden size %zu, %zu heads, inner size %zu, vocabulary %zu, "
                    "%zu positions, %zu types, %s\n",
                    config->layer_count, config->hidden_size, config->head_count,
                    config->intermediate_size, config->vocab_size, config->max_positions,
                    config->type_count,
                    config->activation == SB_GELU_ERF ? "gelu (erf)" : "gelu (tanh)");
    if (!config->label_count)
        return;
    sb_bytes_printf(out, "labels:");
    for (size_t i = 0; i < config->label_count; i++)
        sb_bytes_printf(out, "%s %s", i ? "," : "", config->labels[i]);
    sb_bytes_append_text(out, "\n");
}

static void shape_text(char *text, size_t bytes, const struct sb_st_tensor *tensor)
{
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (size_t i = 0; i < tensor->dim_count && used < bytes; i++)
        used +=
            (size_t)snprintf(text + used, bytes - used, "%s%zu", i ? ", " : "", tensor->dims[i]);
    if (used < bytes)
        snprintf(text + used, bytes - used, "]");
}

static bool is_real(enum sb_dtype dtype)
{
    return dtype == SB_F32 || dtype == SB_F16 || dtype == SB_BF16 || dtype == SB_F64;
}

/* sqrt of the sum of squares, summed in double.  "-" for what has no norm. */
static int norm_text(char *text, size_t bytes, const struct sb_safetensors *file,
                     const struct sb_st_tensor *tensor, struct sb_err *err)
{
    snprintf(text, bytes, "-");
    if (!is_real(tensor->dtype))
        return 0;
    float *values = sb_alloc(tensor->element_count * sizeof(*values));
    int rc = sb_safetensors_floats(values, file, tensor, err);
    double squares = 0;
    for (size_t i = 0; rc == 0 && i < tensor->element_count; i++)
        squares += (double)values[i] * (double)values[i];
    free(values);
    snprintf(text, bytes, "%.6g", sqrt(squares));
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct sb_st_tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int print_tensors(struct sb_bytes *out, const struct sb_safetensors *file,
                         const struct sb_st_tensor **sorted, struct sb_err *err)
{
    int width = (int)strlen("tensor");
    for (size_t i = 0; i < file->count; i++) {
        sorted[i] = &file->tensors[i];
        size_t length = strlen(sorted[i]->name);
        if (length > (size_t)width)
            width = length < 200 ? (int)length : 200;
    }
    qsort(sorted, file->count, sizeof(*sorted), by_name);
    sb_bytes_printf(out, "%-*s  %-5s %-16s %12s %12s\n", width, "tensor", "dtype", "shape",
                    "values", "norm");
    for (size_t i = 0; i < file->count; i++) {
        char shape[256], norm[32];
        shape_text(shape, sizeof(shape), sorted[i]);
        if (norm_text(norm, sizeof(norm), file, sorted[i], err) < 0)
            return -1;
        sb_bytes_printf(out, "%-*s  %-5s %-16s %12zu %12s\n", width, sorted[i]->name,
                        sb_dtype_name(sorted[i]->dtype), shape, sorted[i]->element_count, norm);
    }
    return 0;
}

/* Parts by what stands in their names, with or without the prefix; the first that fits counts. */
static const struct {
    const char *word, *name;
} parts[] = {
    {"embeddings.", "embeddings"},
    {"encoder.", "layers"},
    {"pooler.", "pooler"},
    {"cls.predictions.", "masked-word head"},
    {"cls.seq", "next-sentence head"},
    {"classifier.", "classifier"},
    {"", "other"},
};
enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

static void print_sums(struct sb_bytes *out, const struct sb_safetensors *file)
{
    size_t values[PART_COUNT] = {0}, all = 0, bytes = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct sb_st_tensor *tensor = &file->tensors[i];
        size_t part = 0;
        while (!strstr(tensor->name, parts[part].word))
            part++;
        values[part] += tensor->element_count;
        all += tensor->element_count;
        bytes += tensor->end - tensor->begin;
    }
    sb_bytes_printf(out, "%zu tensors, %zu values, %zu bytes:", file->count, all, bytes);
    const char *comma = "";
    for (size_t part = 0; part < PART_COUNT; part++) {
        if (!values[part])
            continue;
        sb_bytes_printf(out, "%s %s %zu", comma, parts[part].name, values[part]);
        comma = ",";
    }
    sb_bytes_append_text(out, "\n");
}

/* Names come from outside: what could steer a terminal is shown as a question mark. */
static void hide_controls(char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f)
            text[i] = '?';
}

/* By its ending: what torch.save makes, or safetensors. */
static int open_file(struct sb_safetensors *file, const char *path, struct sb_err *err)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".bin"))
        return sb_torch_open(file, path, err);
    return sb_safetensors_open(file, path, err);
}

int sb_inspect_model(struct sb_bytes *out, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bert_config config = {0};
    struct sb_safetensors file = SB_SAFETENSORS_INIT;
    const struct sb_st_tensor **sorted = NULL;
    size_t start = out->count;
    int rc = -1;

    bool is_folder = !sb_file_exists(folder);
    if (is_folder && sb_file_exists(sb_path_join(path, folder, "config.json"))) {
        if (sb_config_read(&config, folder, err) < 0)
            return -1;
        print_config(out, &config);
    }
    if ((is_folder ? sb_model_open(&file, folder, err) : open_file(&file, folder, err)) < 0)
        goto done;
    for (size_t i = 0; i < file.meta_count; i++)
        sb_bytes_printf(out, "%s: %s\n", file.meta_keys[i], file.meta_values[i]);
    sorted = sb_calloc(file.count, sizeof(*sorted));
    if (print_tensors(out, &file, sorted, err) < 0)
        goto done;
    print_sums(out, &file);
    hide_controls(out->data + start, out->count - start);
    rc = 0;
done:
    free(sorted);
    sb_safetensors_close(&file);
    sb_bert_config_release(&config);
    return rc;
}
