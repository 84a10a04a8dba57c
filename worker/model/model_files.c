#include "model_files.h"

#include "arena.h"
#include "torch_bin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char weights_name[] = "model.safetensors";

/* The embedding that the MLM decoder shares, and its bias, under the names of the shared copies. */
static const char decoder_weight[] = "cls.predictions.decoder.weight";
static const char decoder_bias[] = "cls.predictions.decoder.bias";
static const char tied_weight[] = "bert.embeddings.word_embeddings.weight";
static const char tied_bias[] = "cls.predictions.bias";

enum { NAME_BYTES = 512 };

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

static void replace_end(char name[NAME_BYTES], const char *old_end, const char *new_end)
{
    size_t length = strlen(name), old_length = strlen(old_end);
    if (length >= old_length && !strcmp(name + length - old_length, old_end))
        snprintf(name + length - old_length, NAME_BYTES - (length - old_length), "%s", new_end);
}

/*
 * The name that today's files would use: without DataParallel's "module.", with weight and bias for
 * the gamma and beta of TensorFlow's LayerNorm.  False if it is longer than any name of ours.
 */
static bool modern_name(char out[NAME_BYTES], const char *name)
{
    if (starts_with(name, "module."))
        name += strlen("module.");
    if (strlen(name) + 16 > NAME_BYTES)
        return false;
    snprintf(out, NAME_BYTES, "%s", name);
    replace_end(out, "LayerNorm.gamma", "LayerNorm.weight");
    replace_end(out, "LayerNorm.beta", "LayerNorm.bias");
    return true;
}

/* Index in the table of a tensor of a file, with or without "bert."; SIZE_MAX if it has no place.
 */
static size_t place_of(const struct sb_params *params, const char *modern)
{
    size_t index = sb_params_find(params, modern);
    if (index != SIZE_MAX)
        return index;
    char prefixed[NAME_BYTES + 8];
    snprintf(prefixed, sizeof(prefixed), "bert.%s", modern);
    return sb_params_find(params, prefixed);
}

static bool is_known_extra(const char *modern)
{
    return !strcmp(modern, decoder_weight) || !strcmp(modern, decoder_bias) ||
           !strcmp(modern, "bert.embeddings.position_ids") ||
           !strcmp(modern, "embeddings.position_ids");
}

/* What the reading of one file knows. */
struct reading {
    struct sb_safetensors file;
    const struct sb_st_tensor **sources; /* [params->count], NULL: not in the file */
    const struct sb_st_tensor *decoder_weight, *decoder_bias;
    const struct sb_params *params;
    struct sb_load_report *report;
    struct sb_err *err;
};

static void add_name(char ***names, size_t *count, const char *name)
{
    *names = sb_realloc(*names, (*count + 1) * sizeof(**names));
    (*names)[(*count)++] = sb_strdup(name);
}

/* Gives every tensor of the file its place, or a reason why it has none. */
static int match_names(struct reading *r)
{
    for (size_t i = 0; i < r->file.count; i++) {
        const struct sb_st_tensor *tensor = &r->file.tensors[i];
        char modern[NAME_BYTES];
        bool known = modern_name(modern, tensor->name);
        size_t place = known ? place_of(r->params, modern) : SIZE_MAX;
        if (place != SIZE_MAX) {
            if (r->sources[place])
                return sb_err_set(r->err, SB_ERR_DATA,
                                  "'%s': tensors '%s' and '%s' have the same place", r->file.path,
                                  r->sources[place]->name, tensor->name);
            r->sources[place] = tensor;
        } else if (known && !strcmp(modern, decoder_weight)) {
            r->decoder_weight = tensor;
        } else if (known && !strcmp(modern, decoder_bias)) {
            r->decoder_bias = tensor;
        }
        if (place == SIZE_MAX && !(known && is_known_extra(modern)))
            add_name(&r->report->ignored_names, &r->report->ignored, tensor->name);
    }
    return 0;
}

/* Some writers keep only the decoder's copy of a shared tensor. */
static void use_decoder_copies(struct reading *r)
{
    size_t weight = sb_params_find(r->params, tied_weight);
    size_t bias = sb_params_find(r->params, tied_bias);
    if (weight != SIZE_MAX && !r->sources[weight])
        r->sources[weight] = r->decoder_weight;
    if (bias != SIZE_MAX && !r->sources[bias])
        r->sources[bias] = r->decoder_bias;
}

static bool same_shape(const struct sb_st_tensor *source, const struct sb_tensor *tensor)
{
    if (tensor->is_vector)
        return source->dim_count == 1 && source->dims[0] == tensor->cols;
    return source->dim_count == 2 && source->dims[0] == tensor->rows &&
           source->dims[1] == tensor->cols;
}

static void print_shape(char *out, size_t bytes, const size_t *dims, size_t count)
{
    size_t used = (size_t)snprintf(out, bytes, "[");
    for (size_t i = 0; i < count && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%zu", i ? ", " : "", dims[i]);
    if (used < bytes)
        snprintf(out + used, bytes - used, "]");
}

static int refuse_shape(const struct reading *r, const struct sb_st_tensor *source,
                        const struct sb_tensor *tensor)
{
    if (starts_with(tensor->name, "classifier.") && source->dim_count > 0) {
        size_t wanted = tensor->is_vector ? tensor->cols : tensor->rows;
        if (source->dims[0] != wanted)
            return sb_err_set(r->err, SB_ERR_DATA,
                              "'%s': tensor '%s' is a classifier for %zu labels, the task has %zu",
                              r->file.path, source->name, source->dims[0], wanted);
    }
    char have[256], want[64];
    const size_t *dims = (const size_t[]){tensor->rows, tensor->cols};
    print_shape(have, sizeof(have), source->dims, source->dim_count);
    print_shape(want, sizeof(want), dims + tensor->is_vector, tensor->is_vector ? 1 : 2);
    return sb_err_set(r->err, SB_ERR_DATA, "'%s': tensor '%s' has shape %s, expected %s",
                      r->file.path, source->name, have, want);
}

/* Copies one tensor and looks at every value: one that is not finite would spoil all later steps.
 */
static int load_tensor(float *out, const struct reading *r, const struct sb_st_tensor *source,
                       const struct sb_tensor *tensor)
{
    if (!same_shape(source, tensor))
        return refuse_shape(r, source, tensor);
    if (sb_safetensors_floats(out, &r->file, source, r->err) < 0)
        return -1;
    for (size_t i = 0; i < source->element_count; i++)
        if (!isfinite(out[i]))
            return sb_err_set(r->err, SB_ERR_DATA, "'%s': tensor '%s' element %zu is not finite",
                              r->file.path, source->name, i);
    return 0;
}

/* Tensors that only make sense together share a prefix: a head is there completely or not at all.
 */
static const char *head_of(const struct sb_tensor *tensor)
{
    static const char *const heads[] = {"bert.pooler.", "cls.predictions.", "cls.seq_relationship.",
                                        "classifier."};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (starts_with(tensor->name, heads[i]))
            return heads[i];
    return NULL;
}

static int check_missing(const struct reading *r, size_t missing)
{
    const struct sb_tensor *tensor = &r->params->tensors[missing];
    const char *head = head_of(tensor);
    if (!head)
        return sb_err_set(r->err, SB_ERR_DATA, "'%s': tensor '%s' is missing", r->file.path,
                          tensor->name);
    for (size_t i = 0; i < r->params->count; i++)
        if (r->sources[i] && head_of(&r->params->tensors[i]) == head)
            return sb_err_set(r->err, SB_ERR_DATA, "'%s': tensor '%s' is there, '%s' is missing",
                              r->file.path, r->sources[i]->name, tensor->name);
    return 0;
}

static int load_all(float *weights, struct reading *r, const struct sb_bert_config *config,
                    uint64_t seed)
{
    for (size_t i = 0; i < r->params->count; i++) {
        const struct sb_tensor *tensor = &r->params->tensors[i];
        if (r->sources[i] && !tensor->fresh) {
            if (load_tensor(weights + tensor->offset, r, r->sources[i], tensor) < 0)
                return -1;
            r->report->loaded++;
            continue;
        }
        if (!tensor->fresh && check_missing(r, i) < 0)
            return -1;
        sb_params_fill(weights, r->params, config, seed, i, i + 1);
        add_name(&r->report->created_names, &r->report->created, tensor->name);
    }
    return 0;
}

/* A decoder with weights of its own is another model: dropping them in silence would spoil it. */
static int check_tied(const float *weights, const struct reading *r,
                      const struct sb_st_tensor *copy, const char *name)
{
    size_t index = sb_params_find(r->params, name);
    if (!copy || index == SIZE_MAX || r->sources[index] == copy)
        return 0;
    const struct sb_tensor *tensor = &r->params->tensors[index];
    float *values = sb_alloc(sb_tensor_count(tensor) * sizeof(*values));
    int rc = load_tensor(values, r, copy, tensor);
    if (rc == 0 && memcmp(values, weights + tensor->offset, copy->element_count * sizeof(*values)))
        rc = sb_err_set(r->err, SB_ERR_DATA,
                        "'%s': tensor '%s' differs from '%s': an untied decoder is not supported",
                        r->file.path, copy->name, name);
    free(values);
    return rc;
}

/* Folders that hold their weights in a form that is not read get a sentence of their own. */
int sb_model_open(struct sb_safetensors *file, const char *folder, struct sb_err *err)
{
    static const char *const others[] = {"model.safetensors.index.json", "tf_model.h5",
                                         "flax_model.msgpack"};
    char path[SB_PATH_BYTES], other[SB_PATH_BYTES];
    sb_path_join(path, folder, weights_name);
    if (!sb_file_exists(path) && sb_file_exists(sb_path_join(other, folder, "pytorch_model.bin")))
        return sb_torch_open(file, other, err);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && !sb_file_exists(path); i++)
        if (sb_file_exists(sb_path_join(other, folder, others[i])))
            return sb_err_set(
                err, SB_ERR_NO_INPUT,
                "'%s' is missing; '%s' is there but cannot be read: convert it to one "
                "safetensors file",
                path, others[i]);
    return sb_safetensors_open(file, path, err);
}

int sb_model_read(float *weights, const struct sb_params *params,
                  const struct sb_bert_config *config, const char *folder, uint64_t seed,
                  struct sb_load_report *report, struct sb_err *err)
{
    struct sb_load_report own = {0};
    struct reading r = {.params = params, .report = report ? report : &own, .err = err};
    *r.report = (struct sb_load_report){0};
    if (sb_model_open(&r.file, folder, err) < 0)
        return -1;
    r.sources = sb_calloc(params->count, sizeof(*r.sources));
    int rc = match_names(&r);
    if (rc == 0)
        use_decoder_copies(&r);
    if (rc == 0)
        rc = load_all(weights, &r, config, seed);
    if (rc == 0 && params->decoder_b != SIZE_MAX) {
        rc = check_tied(weights, &r, r.decoder_weight, tied_weight);
        if (rc == 0)
            rc = check_tied(weights, &r, r.decoder_bias, tied_bias);
    }
    free(r.sources);
    sb_safetensors_close(&r.file);
    if (rc < 0 || !report)
        sb_load_report_release(r.report);
    return rc;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void sb_load_report_release(struct sb_load_report *report)
{
    free_names(report->created_names, report->created);
    free_names(report->ignored_names, report->ignored);
    *report = (struct sb_load_report){0};
}

static int by_name(const void *a, const void *b)
{
    const struct sb_tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

int sb_model_write(const float *weights, const struct sb_params *params, const char *folder,
                   struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_st_writer writer = SB_ST_WRITER_INIT;
    const struct sb_tensor **sorted = sb_calloc(params->count, sizeof(*sorted));
    int rc = -1;
    /* In the order of names, as the format's own library writes them. */
    for (size_t i = 0; i < params->count; i++)
        sorted[i] = &params->tensors[i];
    qsort(sorted, params->count, sizeof(*sorted), by_name);

    if (sb_st_writer_begin(&writer, sb_path_join(path, folder, weights_name), err) < 0)
        goto done;
    sb_st_writer_meta(&writer, "format", "pt");
    for (size_t i = 0; i < params->count; i++) {
        const size_t *dims = (const size_t[]){sorted[i]->rows, sorted[i]->cols};
        bool is_vector = sorted[i]->is_vector;
        sb_st_writer_describe(&writer, sorted[i]->name, SB_F32, dims + is_vector,
                              is_vector ? 1 : 2);
    }
    for (size_t i = 0; i < params->count; i++)
        if (sb_st_writer_data(&writer, weights + sorted[i]->offset,
                              sb_tensor_count(sorted[i]) * sizeof(float), err) < 0)
            goto done;
    rc = sb_st_writer_commit(&writer, err);
done:
    sb_st_writer_abort(&writer);
    free(sorted);
    return rc;
}
