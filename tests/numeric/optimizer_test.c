/*
 * Many steps of real training against PyTorch in double precision: forward, backward, clipping,
 * schedule, decay and AdamW together.
 *
 * What is compared is the change of each tensor, not its value: a weight of 1 hides a wrong step of
 * 1e-3.  The norm of the difference may be 5e-3 of the norm of the change.  The true gradient of a
 * key bias is 0, and AdamW turns what rounding leaves of it into steps of up to the full rate: its
 * change is bounded absolutely.
 */
#include "support.h"

#include "adamw.h"
#include "arena.h"
#include "bert.h"
#include "bert_golden.h"
#include "safetensors.h"
#include "vec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char golden_path[] = "tests/golden/trajectory_golden.safetensors";

enum { STEPS = 20, B = 4, T = 24, CLASSES = 3 };
static const double change_tolerance = 5e-3;

struct trainer {
    struct sb_bert bert;
    float *weights, *start, *m, *v;
    struct sb_grad grad;
    struct sb_arena arena;
    double decay, epsilon;
};

static struct sb_bert_config golden_config(size_t label_count)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 211;
    config.hidden_size = 32;
    config.layer_count = 2;
    config.head_count = 4;
    config.intermediate_size = 64;
    config.max_positions = 40;
    config.label_count = label_count;
    config.hidden_dropout = config.attention_dropout = 0.0;
    return config;
}

static void trainer_init(struct trainer *trainer, unsigned heads, size_t label_count)
{
    *trainer = (struct trainer){.decay = 0.01, .epsilon = 1e-8};
    struct sb_bert *bert = &trainer->bert;
    bert->config = golden_config(label_count);
    sb_params_init(&bert->params, &bert->config, heads);
    size_t count = bert->params.float_count;
    trainer->weights = sb_calloc(count, sizeof(float));
    trainer->start = sb_calloc(count, sizeof(float));
    trainer->m = sb_calloc(count, sizeof(float));
    trainer->v = sb_calloc(count, sizeof(float));
    bert->weights = trainer->weights;
    bert->pool = sb_pool_new(1);
    sb_grad_init(&trainer->grad, &bert->params);
    sb_grad_clear(&trainer->grad, &bert->params, bert->pool);
}

static void trainer_release(struct trainer *trainer)
{
    sb_grad_release(&trainer->grad, &trainer->bert.params);
    sb_params_release(&trainer->bert.params);
    sb_pool_free(&trainer->bert.pool);
    sb_arena_release(&trainer->arena);
    free(trainer->weights);
    free(trainer->start);
    free(trainer->m);
    free(trainer->v);
}

/* Sum of squares of all gradients, rows of the word embeddings included. */
static double squares(const struct trainer *trainer)
{
    const struct sb_params *params = &trainer->bert.params;
    const struct sb_grad *grad = &trainer->grad;
    double sum = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        sum += tensor->row_sparse ? sb_norm2_rows(grad->values, grad->row_count, tensor->cols)
                                  : sb_norm2(grad->dense + tensor->offset, sb_tensor_count(tensor));
    }
    return sum;
}

static void update_rows(struct trainer *trainer, const struct sb_tensor *tensor,
                        const struct sb_adamw *adamw)
{
    const struct sb_grad *grad = &trainer->grad;
    size_t next = 0;
    for (size_t row = 0; row < tensor->rows; row++) {
        size_t at = tensor->offset + row * tensor->cols;
        const float *values = NULL;
        if (next < grad->row_count && grad->rows[next] == row)
            values = grad->values + next++ * tensor->cols;
        sb_adamw_apply(trainer->weights + at, trainer->m + at, trainer->v + at,
                       trainer->weights + at, values, tensor->cols, adamw);
    }
    assert_int_equal(next, grad->row_count);
}

/* Update t (from 1) with gradient * scale, and clears the gradient. */
static void update(struct trainer *trainer, uint64_t t, double rate, double scale)
{
    const struct sb_params *params = &trainer->bert.params;
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        size_t at = tensor->offset;
        struct sb_adamw adamw = sb_adamw_at(rate, tensor->decay ? trainer->decay : 0.0, 0.9, 0.999,
                                            trainer->epsilon, t, scale);
        if (tensor->row_sparse)
            update_rows(trainer, tensor, &adamw);
        else
            sb_adamw_apply(trainer->weights + at, trainer->m + at, trainer->v + at,
                           trainer->weights + at, trainer->grad.dense + at, sb_tensor_count(tensor),
                           &adamw);
    }
    sb_grad_clear(&trainer->grad, params, trainer->bert.pool);
}

static double clip_factor(double norm, double max_norm)
{
    double factor = max_norm / (norm + 1e-6);
    return factor < 1.0 ? factor : 1.0;
}

/* ---- batches ---- */

static void open_file(struct sb_safetensors *file, const char *path)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_safetensors_open(file, path, &err) < 0)
        fail_msg("%s", err.text);
}

static const struct sb_st_tensor *must_find(const struct sb_safetensors *file, const char *name)
{
    const struct sb_st_tensor *tensor = sb_safetensors_find(file, name);
    if (!tensor)
        fail_msg("'%s' has no tensor '%s'", file->path, name);
    return tensor;
}

/* Freed by the caller. */
static int64_t *ints_of(const struct sb_safetensors *file, const char *name)
{
    const struct sb_st_tensor *tensor = must_find(file, name);
    struct sb_err err = SB_ERR_INIT;
    int64_t *values = sb_alloc(tensor->element_count * sizeof(*values));
    if (sb_safetensors_ints(values, file, tensor, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}

static float *floats_of(const struct sb_safetensors *file, const char *name)
{
    const struct sb_st_tensor *tensor = must_find(file, name);
    struct sb_err err = SB_ERR_INIT;
    float *values = sb_alloc(tensor->element_count * sizeof(*values));
    if (sb_safetensors_floats(values, file, tensor, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}

/* Padded arrays [rows, columns] of a file, and the ragged batch made from some rows of them. */
struct padded {
    const int64_t *ids, *types, *labels, *lengths, *classes; /* labels -100: no target */
    size_t columns;
};

static void ragged(struct sb_batch *batch, struct sb_arena *arena, const struct padded *padded,
                   size_t first_row, size_t count, bool mlm)
{
    size_t room = count * padded->columns;
    uint32_t *starts = sb_arena_array(arena, uint32_t, count + 1);
    int32_t *ids = sb_arena_array(arena, int32_t, room);
    uint8_t *types = sb_arena_array(arena, uint8_t, room);
    uint64_t *samples = sb_arena_array(arena, uint64_t, count);
    uint32_t *target_rows = sb_arena_array(arena, uint32_t, room);
    int32_t *target_ids = sb_arena_array(arena, int32_t, room);
    int32_t *labels = sb_arena_array(arena, int32_t, count);
    uint32_t N = 0;
    size_t targets = 0;
    for (size_t b = 0; b < count; b++) {
        size_t row = first_row + b;
        starts[b] = N;
        samples[b] = row;
        labels[b] = (int32_t)padded->classes[row];
        for (size_t i = 0; i < (size_t)padded->lengths[row]; i++, N++) {
            size_t at = row * padded->columns + i;
            ids[N] = (int32_t)padded->ids[at];
            types[N] = (uint8_t)padded->types[at];
            if (mlm && padded->labels[at] >= 0) {
                target_rows[targets] = N;
                target_ids[targets++] = (int32_t)padded->labels[at];
            }
        }
    }
    starts[count] = N;
    *batch = (struct sb_batch){.B = count,
                               .N = N,
                               .starts = starts,
                               .ids = ids,
                               .types = types,
                               .samples = samples,
                               .target_count = targets,
                               .target_rows = target_rows,
                               .target_ids = target_ids,
                               .labels = mlm ? NULL : labels};
}

/* ---- comparing ---- */

static bool is_key_bias(const char *name)
{
    size_t length = strlen(name), end = strlen("key.bias");
    return length > end && !strcmp(name + length - end, "key.bias");
}

/* The change since the start against the expected change of every tensor. */
static void changes_are(const struct trainer *trainer, const struct sb_safetensors *file,
                        const char *prefix, bool expected_is_end, double key_bias_bound)
{
    const struct sb_params *params = &trainer->bert.params;
    double worst = 0, worst_key = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        char name[256];
        snprintf(name, sizeof(name), "%s%s", prefix, tensor->name);
        float *expected = floats_of(file, name);
        double wrong = 0, change = 0, largest = 0;
        for (size_t j = 0; j < sb_tensor_count(tensor); j++) {
            double start = trainer->start[tensor->offset + j];
            double got = (double)trainer->weights[tensor->offset + j] - start;
            double want = (double)expected[j] - (expected_is_end ? start : 0.0);
            wrong += (got - want) * (got - want);
            change += want * want;
            largest = fmax(largest, fabs(got));
        }
        free(expected);
        double error = sqrt(wrong / change);
        if (is_key_bias(tensor->name)) {
            worst_key = fmax(worst_key, largest);
            if (!(largest <= key_bias_bound))
                fail_msg("%s: moved by %g, at most %g expected", name, largest, key_bias_bound);
        } else {
            worst = fmax(worst, error);
            if (!(error <= change_tolerance))
                fail_msg("%s: error %g of a change of norm %g", name, error, sqrt(change));
        }
    }
    print_message("worst error of a change %.2g, largest key bias change %.2g\n", worst, worst_key);
}

/* ---- the tests ---- */

static void start_from(struct trainer *trainer, const struct sb_safetensors *file,
                       const char *prefix)
{
    const struct sb_params *params = &trainer->bert.params;
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        char name[256];
        snprintf(name, sizeof(name), "%s%s", prefix, tensor->name);
        float *values = floats_of(file, name);
        memcpy(trainer->start + tensor->offset, values, sb_tensor_count(tensor) * sizeof(float));
        free(values);
    }
    memcpy(trainer->weights, trainer->start, params->float_count * sizeof(float));
}

static void follow(unsigned heads, const char *task)
{
    struct sb_safetensors file;
    struct trainer trainer;
    char name[64];
    open_file(&file, golden_path);
    trainer_init(&trainer, heads, heads & SB_HEAD_CLASSIFY ? CLASSES : 0);
    start_from(&trainer, &file, "start.");
    int64_t *ids = ints_of(&file, "batch.ids"), *types = ints_of(&file, "batch.types");
    int64_t *labels = ints_of(&file, "batch.labels"), *lengths = ints_of(&file, "batch.lengths");
    int64_t *classes = ints_of(&file, "batch.classes");
    const struct padded padded = {ids, types, labels, lengths, classes, T};
    snprintf(name, sizeof(name), "%s.steps", task);
    float *steps = floats_of(&file, name); /* [STEPS, 3]: loss, norm, rate */
    double max_norm = atof(sb_safetensors_meta(&file, "max_grad_norm")), rates = 0;
    size_t clipped = 0;

    for (size_t step = 0; step < STEPS; step++) {
        struct sb_batch batch;
        struct sb_stats stats = {0};
        const float *expected = steps + 3 * step;
        sb_arena_reset(&trainer.arena);
        ragged(&batch, &trainer.arena, &padded, step * B, B, heads & SB_HEAD_MLM);
        sb_bert_train(&trainer.bert, &batch, NULL, &trainer.arena, &trainer.grad, &stats);
        double loss = stats.loss / stats.targets;
        double norm = sqrt(squares(&trainer)) / stats.targets;
        if (!(fabs(loss - expected[0]) < 1e-4 * expected[0] &&
              fabs(norm - expected[1]) < 1e-3 * expected[1]))
            fail_msg("step %zu: loss %g norm %g, expected %g and %g", step, loss, norm,
                     (double)expected[0], (double)expected[1]);
        double clip = clip_factor(norm, max_norm);
        clipped += clip < 1.0;
        rates += expected[2];
        update(&trainer, step + 1, expected[2], clip / stats.targets);
    }
    assert_in_range(clipped, 1, STEPS - 1); /* both ways were taken */
    snprintf(name, sizeof(name), "%s.change.", task);
    changes_are(&trainer, &file, name, false, rates);

    free(ids);
    free(types);
    free(labels);
    free(lengths);
    free(classes);
    free(steps);
    trainer_release(&trainer);
    sb_safetensors_close(&file);
}

/* One pass for one of the two losses; its gradient, as a mean, is added to sum.  Returns the mean.
 */
static double add_mean(struct trainer *trainer, const struct sb_batch *batch, float *sum)
{
    struct sb_stats stats = {0};
    sb_arena_reset(&trainer->arena);
    sb_bert_train(&trainer->bert, batch, NULL, &trainer->arena, &trainer->grad, &stats);
    for (size_t i = 0; i < trainer->bert.params.float_count; i++)
        sum[i] += (float)((double)trainer->grad.dense[i] / stats.targets);
    sb_grad_clear(&trainer->grad, &trainer->bert.params, trainer->bert.pool);
    return stats.loss / stats.targets;
}

/* The shared reference: masked words and next sentence together, float32, three steps on one batch.
 */
static void pretraining_of_golden_small_follows_pytorch(void **state)
{
    (void)state;
    const char *weights = sb_test_shared("data/models/golden-small/model.safetensors");
    const char *results = sb_test_shared("data/models/golden-small/golden.safetensors");
    const char *after = sb_test_shared("data/models/golden-small/adamw3.safetensors");
    const unsigned heads = SB_HEAD_MLM | SB_HEAD_NSP;
    struct sb_bert_config config = golden_config(0);
    struct sb_safetensors file;
    struct sb_golden golden;
    struct trainer trainer;
    open_file(&file, after);
    sb_golden_open(&golden, &config, heads, weights, results, 1);
    trainer_init(&trainer, heads, 0);
    size_t count = trainer.bert.params.float_count;
    memcpy(trainer.start, golden.weights, count * sizeof(float));
    memcpy(trainer.weights, golden.weights, count * sizeof(float));
    struct sb_batch words = golden.batch, sentences = golden.batch;
    words.labels = NULL;
    sentences.target_count = 0;
    float *expected = floats_of(&file, "step_losses"); /* [3, 3]: words, sentences, norm */

    for (size_t step = 0; step < 3; step++) {
        float *sum = sb_calloc(count, sizeof(*sum));
        double got[3];
        got[0] = add_mean(&trainer, &words, sum);
        got[1] = add_mean(&trainer, &sentences, sum);
        memcpy(trainer.grad.dense, sum, count * sizeof(*sum));
        free(sum);
        got[2] = sqrt(squares(&trainer));
        for (size_t i = 0; i < 3; i++)
            if (!(fabs(got[i] - expected[3 * step + i]) < 1e-4 * expected[3 * step + i]))
                fail_msg("step %zu, number %zu: %.7g, expected %.7g", step, i, got[i],
                         (double)expected[3 * step + i]);
        update(&trainer, step + 1, 1e-3, clip_factor(got[2], 1.0));
    }
    changes_are(&trainer, &file, "", true, 3e-3);

    free(expected);
    trainer_release(&trainer);
    sb_golden_close(&golden);
    sb_safetensors_close(&file);
}

static void masked_word_training_follows_pytorch(void **state)
{
    (void)state;
    follow(SB_HEAD_MLM, "mlm");
}

static void classifier_training_follows_pytorch(void **state)
{
    (void)state;
    follow(SB_HEAD_CLASSIFY, "classify");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pretraining_of_golden_small_follows_pytorch),
        cmocka_unit_test(masked_word_training_follows_pytorch),
        cmocka_unit_test(classifier_training_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
