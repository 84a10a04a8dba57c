/*
 * Sentence vectors and the gradient of a loss of them: against PyTorch in double, against finite
 * differences under dropout, and what a pass promises beyond the numbers.
 */
#include "arena.h"
#include "arrays.h"
#include "bert_golden.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { B = 5, N = 38, C = 24, FLOATS = B * C };
static const uint32_t starts[B + 1] = {0, 9, 10, 26, 35, 38};
static const enum sb_pooling poolings[] = {SB_POOLING_MEAN, SB_POOLING_CLS, SB_POOLING_MAX};
static const char *const pooling_names[] = {"mean", "cls", "max"};
enum { POOLINGS = 3 };

/* ---- PyTorch ---- */

/* The loss is the sum of cubes. */
static void cube(void *context, const float *vectors, float *dvectors)
{
    size_t count = *(const size_t *)context;
    for (size_t i = 0; i < count; i++)
        dvectors[i] += 3.0F * vectors[i] * vectors[i];
}

static void open_golden(struct sb_golden *golden)
{
    static const char path[] = "tests/golden/bert_vectors.safetensors";
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 40;
    config.hidden_size = 16;
    config.layer_count = 2;
    config.head_count = 2;
    config.intermediate_size = 24;
    config.max_positions = 16;
    sb_golden_open(golden, &config, 0, path, path, 2);
    golden->bert.params.tensors[golden->bert.params.word].row_sparse = false;
}

static void vectors_match_pytorch_in_double(void **state)
{
    (void)state;
    struct sb_golden golden;
    open_golden(&golden);
    for (int p = 0; p < POOLINGS; p++) {
        char name[32];
        size_t count;
        float got[64];
        snprintf(name, sizeof(name), "out.%s", pooling_names[p]);
        float *expected = sb_golden_floats(&golden, name, &count);
        assert_int_equal(count, 64);
        sb_arena_reset(&golden.arena);
        sb_bert_vectors(&golden.bert, &golden.batch, poolings[p], NULL, &golden.arena, got);
        assert_true(sb_golden_distance(got, expected, count) <
                    1e-5 * sb_golden_norm(expected, count));
        free(expected);
    }
    sb_golden_close(&golden);
}

static void gradients_of_vectors_match_pytorch_in_double(void **state)
{
    (void)state;
    struct sb_golden golden;
    open_golden(&golden);
    const struct sb_params *params = &golden.bert.params;
    double worst = 0;
    for (int p = 0; p < POOLINGS; p++) {
        size_t floats = golden.batch.B * golden.bert.config.hidden_size;
        sb_arena_reset(&golden.arena);
        sb_grad_clear(&golden.grad, params, golden.bert.pool);
        sb_bert_train_vectors(&golden.bert, &golden.batch, poolings[p], NULL, cube, &floats,
                              &golden.arena, &golden.grad);
        for (size_t i = 0; i < params->count; i++) {
            char name[160];
            size_t count;
            const float *got = golden.grad.dense + params->tensors[i].offset;
            snprintf(name, sizeof(name), "grad.%s.%s", pooling_names[p], params->tensors[i].name);
            float *expected = sb_golden_floats(&golden, name, &count);
            assert_non_null(expected);
            double off = sb_golden_distance(got, expected, count);
            double norm = sb_golden_norm(expected, count);
            bool is_zero = strstr(name, ".self.key.bias") != NULL;
            if (is_zero ? off > 1e-4 : off > 1e-4 * norm)
                fail_msg("%s is off by %.3g, its norm is %.3g", name, off, norm);
            worst = !is_zero && off / norm > worst ? off / norm : worst;
            free(expected);
        }
    }
    print_message("worst relative error of a gradient: %.2g\n", worst);
    sb_golden_close(&golden);
}

/* ---- a model of our own, with dropout ---- */

struct model {
    struct sb_bert bert;
    float *weights;
    struct sb_arena arena;
    struct sb_grad grad;
    struct sb_batch batch;
    int32_t ids[N];
    uint8_t types[N];
    uint64_t samples[B];
    float seen[FLOATS]; /* vectors of the newest pass */
};

static void open_model(struct model *m, size_t threads)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 53;
    config.hidden_size = C;
    config.layer_count = 3;
    config.head_count = 3;
    config.intermediate_size = 40;
    config.max_positions = 16;
    config.hidden_dropout = 0.1;
    config.attention_dropout = 0.2;
    *m = (struct model){0};
    sb_bert_config_copy(&m->bert.config, &config);
    sb_params_init(&m->bert.params, &config, 0);
    m->weights = sb_alloc_pages(m->bert.params.float_count * sizeof(float));
    sb_test_fill(m->weights, m->bert.params.float_count, 5, -0.25, 0.25);
    m->bert.weights = m->weights;
    m->bert.pool = sb_pool_new(threads);
    sb_arena_init(&m->arena, 4096);
    sb_grad_init(&m->grad, &m->bert.params);
    for (size_t i = 0; i < N; i++)
        m->ids[i] = 1 + (int32_t)((7 * i + i / 5) % 40);
    for (size_t b = 0; b < B; b++)
        m->samples[b] = 3 * b + 1;
    m->batch = (struct sb_batch){
        .B = B, .N = N, .starts = starts, .ids = m->ids, .types = m->types, .samples = m->samples};
}

static void close_model(struct model *m)
{
    sb_grad_release(&m->grad, &m->bert.params);
    sb_arena_release(&m->arena);
    sb_pool_free(&m->bert.pool);
    sb_free_pages(m->weights, m->bert.params.float_count * sizeof(float));
    sb_params_release(&m->bert.params);
    sb_bert_config_release(&m->bert.config);
}

static float coefficient(size_t i)
{
    return 0.1F * (float)(i % 7) - 0.25F;
}

/* sum of (c x + x^2 / 2) */
static double loss_of(const float *vectors)
{
    double loss = 0;
    for (size_t i = 0; i < FLOATS; i++)
        loss += (double)vectors[i] * ((double)coefficient(i) + 0.5 * (double)vectors[i]);
    return loss;
}

static void note_and_pull(void *context, const float *vectors, float *dvectors)
{
    struct model *m = context;
    memcpy(m->seen, vectors, sizeof(m->seen));
    for (size_t i = 0; i < FLOATS; i++) {
        assert_true(dvectors[i] == 0);
        dvectors[i] = coefficient(i) + vectors[i];
    }
}

static void train(struct model *m, enum sb_pooling pooling)
{
    struct sb_rng dropout = sb_rng_key(9, SB_RNG_DROPOUT, 12);
    sb_arena_reset(&m->arena);
    sb_bert_train_vectors(&m->bert, &m->batch, pooling, &dropout, note_and_pull, m, &m->arena,
                          &m->grad);
}

static void look(struct model *m, enum sb_pooling pooling, float *vectors)
{
    struct sb_rng dropout = sb_rng_key(9, SB_RNG_DROPOUT, 12);
    sb_arena_reset(&m->arena);
    sb_bert_vectors(&m->bert, &m->batch, pooling, &dropout, &m->arena, vectors);
}

/* What is published is what the backward pass is of, masks and all. */
static void training_sees_the_bits_of_the_published_vectors(void **state)
{
    (void)state;
    struct model m;
    float published[FLOATS];
    open_model(&m, 2);
    for (int p = 0; p < POOLINGS; p++) {
        look(&m, poolings[p], published);
        train(&m, poolings[p]);
        assert_memory_equal(m.seen, published, sizeof(published));
    }
    close_model(&m);
}

static void threads_leave_no_trace_in_vectors_and_gradients(void **state)
{
    (void)state;
    for (int p = 0; p < POOLINGS; p++) {
        struct model one;
        open_model(&one, 1);
        train(&one, poolings[p]);
        for (size_t threads = 2; threads <= 3; threads++) {
            struct model more;
            open_model(&more, threads);
            train(&more, poolings[p]);
            assert_memory_equal(one.seen, more.seen, sizeof(one.seen));
            assert_memory_equal(one.grad.dense, more.grad.dense,
                                one.bert.params.float_count * sizeof(float));
            assert_int_equal(one.grad.row_count, more.grad.row_count);
            assert_memory_equal(one.grad.values, more.grad.values,
                                one.grad.row_count * C * sizeof(float));
            close_model(&more);
        }
        close_model(&one);
    }
}

/* Along each tensor's own gradient the loss must rise by the gradient's norm. */
static void gradients_of_vectors_match_finite_differences_under_dropout(void **state)
{
    (void)state;
    double worst = 0;
    for (int p = 0; p < POOLINGS; p++) {
        struct model m, at;
        open_model(&m, 2);
        open_model(&at, 2);
        m.bert.params.tensors[m.bert.params.word].row_sparse = false;
        train(&m, poolings[p]);
        for (size_t i = 0; i < m.bert.params.count; i++) {
            const struct sb_tensor *tensor = &m.bert.params.tensors[i];
            const float *gradient = m.grad.dense + tensor->offset;
            size_t count = sb_tensor_count(tensor);
            /* A larger step moves the winners of a maximum. */
            double norm = sb_golden_norm(gradient, count);
            double step = poolings[p] == SB_POOLING_MAX ? 1e-3 : 4e-3, loss[2];
            for (int side = 0; side < 2 && norm > 0; side++) {
                float vectors[FLOATS];
                for (size_t j = 0; j < count; j++)
                    at.weights[tensor->offset + j] +=
                        (float)((side ? -step : step) / norm * (double)gradient[j]);
                look(&at, poolings[p], vectors);
                loss[side] = loss_of(vectors);
                memcpy(at.weights, m.weights, m.bert.params.float_count * sizeof(float));
            }
            double rise = norm > 0 ? (loss[0] - loss[1]) / (2 * step) : 0;
            if (!(fabs(rise - norm) < 5e-3 * norm + 4e-3))
                fail_msg("%s, %s: the loss rises by %.6g, the gradient says %.6g", pooling_names[p],
                         tensor->name, rise, norm);
            worst = norm > 1 ? fmax(worst, fabs(rise / norm - 1)) : worst;
        }
        close_model(&m);
        close_model(&at);
    }
    print_message("worst relative difference %.2g\n", worst);
}

/* Freezing takes gradients away and changes none of the others. */
static void frozen_layers_have_no_gradient_of_vectors(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    for (int p = 0; p < POOLINGS; p++) {
        struct model all, some;
        open_model(&all, 2);
        open_model(&some, 2);
        struct sb_params *params = &some.bert.params;
        assert_int_equal(sb_params_freeze(params, &some.bert.config, "layers:1", &err), 0);
        train(&all, poolings[p]);
        train(&some, poolings[p]);
        assert_int_equal(some.grad.row_count, 0);
        for (size_t i = 0; i < params->count; i++) {
            const struct sb_tensor *tensor = &params->tensors[i];
            size_t count = sb_tensor_count(tensor);
            const float *got = some.grad.dense + tensor->offset;
            if (tensor->trainable)
                assert_memory_equal(got, all.grad.dense + tensor->offset, count * sizeof(float));
            else
                assert_true(sb_golden_norm(got, count) == 0);
        }
        close_model(&all);
        close_model(&some);
    }
}

static void a_frozen_body_gives_vectors_and_no_gradient(void **state)
{
    (void)state;
    struct model m;
    open_model(&m, 1);
    for (size_t i = 0; i < m.bert.params.count; i++)
        m.bert.params.tensors[i].trainable = false;
    train(&m, SB_POOLING_MEAN);
    assert_true(sb_golden_norm(m.seen, FLOATS) > 0);
    assert_true(sb_golden_norm(m.grad.dense, m.bert.params.float_count) == 0);
    assert_int_equal(m.grad.row_count, 0);
    close_model(&m);
}

static void an_empty_batch_is_harmless(void **state)
{
    (void)state;
    struct model m;
    float unwritten = 7;
    uint32_t zero = 0;
    open_model(&m, 1);
    m.batch = (struct sb_batch){.starts = &zero};
    look(&m, SB_POOLING_MEAN, &unwritten);
    train(&m, SB_POOLING_MEAN);
    assert_true(unwritten == 7);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_match_pytorch_in_double),
        cmocka_unit_test(gradients_of_vectors_match_pytorch_in_double),
        cmocka_unit_test(training_sees_the_bits_of_the_published_vectors),
        cmocka_unit_test(threads_leave_no_trace_in_vectors_and_gradients),
        cmocka_unit_test(gradients_of_vectors_match_finite_differences_under_dropout),
        cmocka_unit_test(frozen_layers_have_no_gradient_of_vectors),
        cmocka_unit_test(a_frozen_body_gives_vectors_and_no_gradient),
        cmocka_unit_test(an_empty_batch_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
