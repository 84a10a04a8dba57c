/*
 * What a pass promises beyond the right numbers: the same bits for any number of threads, masks
 * that do not know their batch, gradients where they belong and nowhere else.
 */
#include "arena.h"
#include "arrays.h"
#include "bert.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { B = 6, N_MAX = 64, LAYERS = 3, PAD = 0 };

static const uint32_t lengths[B] = {9, 1, 24, 13, 2, 8};

struct model {
    struct sb_bert bert;
    float *weights;
    struct sb_arena arena;
    struct sb_grad grad;
    struct sb_stats stats;
};

static struct sb_bert_config small_config(void)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 97;
    config.hidden_size = 32;
    config.layer_count = LAYERS;
    config.head_count = 4;
    config.intermediate_size = 48;
    config.max_positions = 24;
    config.label_count = 3;
    config.hidden_dropout = 0.1;
    config.attention_dropout = 0.2;
    config.classifier_dropout = 0.3;
    return config;
}

static void open_model(struct model *model, unsigned heads, size_t threads)
{
    struct sb_bert_config config = small_config();
    *model = (struct model){0};
    sb_bert_config_copy(&model->bert.config, &config);
    sb_params_init(&model->bert.params, &config, heads);
    model->weights = sb_alloc_pages(model->bert.params.float_count * sizeof(float));
    /* Larger than fresh ones, so that attention is not flat. */
    sb_test_fill(model->weights, model->bert.params.float_count, 5, -0.25, 0.25);
    model->bert.weights = model->weights;
    model->bert.pool = sb_pool_new(threads);
    sb_arena_init(&model->arena, 4096);
    sb_grad_init(&model->grad, &model->bert.params);
}

static void close_model(struct model *model)
{
    sb_grad_release(&model->grad, &model->bert.params);
    sb_arena_release(&model->arena);
    sb_pool_free(&model->bert.pool);
    sb_free_pages(model->weights, model->bert.params.float_count * sizeof(float));
    sb_params_release(&model->bert.params);
    sb_bert_config_release(&model->bert.config);
}

struct texts {
    uint32_t starts[B + 1], rows[N_MAX];
    int32_t ids[N_MAX], gold[N_MAX], labels[B];
    uint8_t types[N_MAX];
    uint64_t samples[B];
    struct sb_batch batch;
};

/* The sequences named in order[0..count-1], each the same wherever it stands. */
static void write_texts(struct texts *texts, const int *order, size_t count)
{
    struct sb_rng rng = sb_rng_key(3, SB_RNG_SAMPLE, 1);
    size_t n = 0, targets = 0;
    for (size_t b = 0; b < count; b++) {
        uint64_t sample = (uint64_t)order[b];
        for (uint32_t i = 0; i < lengths[sample]; i++, n++) {
            uint32_t words[4];
            sb_rng_draw(&rng, sample, 0, i, words);
            texts->ids[n] = 1 + (int32_t)sb_rng_below(words[0], 40);
            texts->types[n] = i > 5;
            if (sb_rng_unit(words[1]) < 0.3) {
                texts->rows[targets] = (uint32_t)n;
                texts->gold[targets++] = (int32_t)sb_rng_below(words[2], 97);
            }
        }
        texts->starts[b + 1] = (uint32_t)n;
        texts->samples[b] = sample;
        texts->labels[b] = (int32_t)(sample % 3);
    }
    texts->starts[0] = 0;
    texts->batch = (struct sb_batch){.B = count,
                                     .N = n,
                                     .starts = texts->starts,
                                     .ids = texts->ids,
                                     .types = texts->types,
                                     .samples = texts->samples,
                                     .target_count = targets,
                                     .target_rows = texts->rows,
                                     .target_ids = texts->gold,
                                     .labels = texts->labels};
}

static const int IN_ORDER[B] = {0, 1, 2, 3, 4, 5};

static void train(struct model *model, const struct sb_batch *batch, bool drops)
{
    struct sb_rng dropout = sb_rng_key(9, SB_RNG_DROPOUT, 12);
    sb_arena_reset(&model->arena);
    sb_bert_train(&model->bert, batch, drops ? &dropout : NULL, &model->arena, &model->grad,
                  &model->stats);
}

static const float *gradient(const struct model *model, size_t tensor)
{
    return model->grad.dense + model->bert.params.tensors[tensor].offset;
}

static double gradient_norm(const struct model *model, size_t tensor)
{
    const float *d = gradient(model, tensor);
    double sum = 0;
    for (size_t i = 0; i < sb_tensor_count(&model->bert.params.tensors[tensor]); i++)
        sum += (double)d[i] * d[i];
    return sqrt(sum);
}

static void assert_same_gradient(const struct model *a, const struct model *b)
{
    size_t C = a->bert.config.hidden_size;
    assert_memory_equal(a->grad.dense, b->grad.dense, a->bert.params.float_count * sizeof(float));
    assert_int_equal(a->grad.row_count, b->grad.row_count);
    if (a->grad.row_count > 0) {
        assert_memory_equal(a->grad.rows, b->grad.rows, a->grad.row_count * sizeof(uint32_t));
        assert_memory_equal(a->grad.values, b->grad.values, a->grad.row_count * C * sizeof(float));
    }
    assert_memory_equal(&a->stats, &b->stats, sizeof(a->stats));
}

static void the_number_of_threads_leaves_no_trace(void **state)
{
    (void)state;
    const unsigned heads[] = {SB_HEAD_MLM, SB_HEAD_CLASSIFY};
    struct texts texts;
    write_texts(&texts, IN_ORDER, B);
    for (int h = 0; h < 2; h++) {
        struct model one, more;
        open_model(&one, heads[h], 1);
        train(&one, &texts.batch, true);
        assert_true(one.stats.targets > 0);
        for (size_t threads = 2; threads <= 3; threads++) {
            open_model(&more, heads[h], threads);
            train(&more, &texts.batch, true);
            assert_same_gradient(&one, &more);
            close_model(&more);
        }
        close_model(&one);
    }
}

static void what_was_computed_before_leaves_no_trace(void **state)
{
    (void)state;
    struct texts texts, other;
    struct model fresh, used;
    const int reversed[] = {5, 3, 2};
    write_texts(&texts, IN_ORDER, B);
    write_texts(&other, reversed, 3);
    open_model(&fresh, SB_HEAD_CLASSIFY, 2);
    open_model(&used, SB_HEAD_CLASSIFY, 2);
    train(&fresh, &texts.batch, true);
    train(&used, &other.batch, false);
    sb_grad_clear(&used.grad, &used.bert.params, used.bert.pool);
    used.stats = (struct sb_stats){0};
    train(&used, &texts.batch, true);
    assert_same_gradient(&fresh, &used);
    close_model(&fresh);
    close_model(&used);
}

static void assert_close_gradients(const struct model *a, const struct model *b, double error)
{
    for (size_t i = 0; i < a->bert.params.count; i++) {
        const struct sb_tensor *tensor = &a->bert.params.tensors[i];
        const float *x = gradient(a, i), *y = gradient(b, i);
        double sum = 0;
        for (size_t j = 0; j < sb_tensor_count(tensor); j++)
            sum += ((double)x[j] - y[j]) * ((double)x[j] - y[j]);
        if (sqrt(sum) > error * (gradient_norm(a, i) + 1e-2))
            fail_msg("%s differs by %.3g of %.3g", tensor->name, sqrt(sum), gradient_norm(a, i));
    }
}

static void a_sample_is_dropped_and_learnt_alike_in_any_batch(void **state)
{
    (void)state;
    struct model together, apart;
    struct texts texts;
    open_model(&together, SB_HEAD_MLM, 2);
    open_model(&apart, SB_HEAD_MLM, 2);
    write_texts(&texts, IN_ORDER, B);
    train(&together, &texts.batch, true);
    const int pieces[3][2] = {{5, 2}, {0, 4}, {3, 1}};
    for (int i = 0; i < 3; i++) {
        write_texts(&texts, pieces[i], 2);
        train(&apart, &texts.batch, true);
    }
    assert_true(fabs(together.stats.loss - apart.stats.loss) < 1e-5 * together.stats.loss);
    assert_true(together.stats.targets == apart.stats.targets);
    assert_close_gradients(&together, &apart, 1e-5);
    close_model(&together);
    close_model(&apart);
}

/* Loss of a pass with the fixed masks of this dropout key. */
static double loss_of(struct model *model, const struct sb_batch *batch)
{
    model->stats = (struct sb_stats){0};
    train(model, batch, true);
    return model->stats.loss;
}

/*
 * Along each tensor's own gradient the loss must rise by the gradient's norm.  The step is a
 * compromise between curvature and the float32 noise of the loss.
 */
static void check_rises(unsigned heads)
{
    struct model model, at;
    struct texts texts;
    double worst = 0;
    open_model(&model, heads, 2);
    open_model(&at, heads, 2);
    /* All gradients in the dense space: the sparse ones have their own test. */
    model.bert.params.tensors[model.bert.params.word].row_sparse = false;
    write_texts(&texts, IN_ORDER, B);
    for (size_t i = 0; heads == SB_HEAD_TOKENS && i < texts.batch.target_count; i++)
        texts.gold[i] %= 3;
    train(&model, &texts.batch, true);
    for (size_t i = 0; i < model.bert.params.count; i++) {
        const struct sb_tensor *tensor = &model.bert.params.tensors[i];
        double norm = gradient_norm(&model, i), step = 4e-3;
        if (strstr(tensor->name, "key.bias") != NULL) {
            assert_true(norm < 1e-4);
            continue;
        }
        double loss[2];
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < sb_tensor_count(tensor); j++)
                at.weights[tensor->offset + j] +=
                    (float)((side == 0 ? step : -step) / norm * (double)gradient(&model, i)[j]);
            loss[side] = loss_of(&at, &texts.batch);
            memcpy(at.weights, model.weights, model.bert.params.float_count * sizeof(float));
        }
        double rise = (loss[0] - loss[1]) / (2 * step);
        worst = norm > 1 ? fmax(worst, fabs(rise / norm - 1)) : worst;
        if (!(fabs(rise - norm) < 5e-3 * norm + 2e-3))
            fail_msg("%s: the loss rises by %.6g, the gradient says %.6g", tensor->name, rise,
                     norm);
    }
    print_message("worst relative difference %.2g\n", worst);
    close_model(&model);
    close_model(&at);
}

static void gradients_match_finite_differences_under_dropout(void **state)
{
    (void)state;
    check_rises(SB_HEAD_MLM);
    check_rises(SB_HEAD_CLASSIFY);
    check_rises(SB_HEAD_TOKENS);
}

static void asking_for_fewer_rows_changes_no_logits(void **state)
{
    (void)state;
    struct model model;
    struct texts texts;
    enum { V = 97 };
    static float hidden[N_MAX * 32], few[N_MAX * V], all[N_MAX * V];
    open_model(&model, SB_HEAD_MLM, 2);
    write_texts(&texts, IN_ORDER, B);
    struct sb_outputs outputs = {.target_logits = few};
    sb_bert_eval(&model.bert, &texts.batch, &model.arena, &outputs, NULL);
    outputs = (struct sb_outputs){.target_logits = all, .hidden = hidden};
    sb_arena_reset(&model.arena);
    sb_bert_eval(&model.bert, &texts.batch, &model.arena, &outputs, NULL);
    for (size_t i = 0; i < texts.batch.target_count * V; i++)
        assert_true(fabsf(few[i] - all[i]) < 1e-5f);
    close_model(&model);
}

static void evaluation_and_training_without_dropout_have_the_same_loss(void **state)
{
    (void)state;
    struct model model;
    struct texts texts;
    struct sb_stats stats = {0};
    open_model(&model, SB_HEAD_CLASSIFY, 2);
    write_texts(&texts, IN_ORDER, B);
    train(&model, &texts.batch, false);
    sb_arena_reset(&model.arena);
    sb_bert_eval(&model.bert, &texts.batch, &model.arena, NULL, &stats);
    assert_true(stats.loss == model.stats.loss);
    assert_true(stats.correct == model.stats.correct);
    assert_true(stats.targets == B);
    close_model(&model);
}

static void row_sparse_gradient_has_the_bits_of_the_dense_one(void **state)
{
    (void)state;
    struct model sparse[2], dense[2];
    const int halves[2][3] = {{5, 2, 0}, {1, 3, 4}};
    for (int i = 0; i < 2; i++) {
        struct texts texts;
        write_texts(&texts, halves[i], 3);
        texts.ids[4] = PAD;
        open_model(&sparse[i], SB_HEAD_CLASSIFY, 2);
        open_model(&dense[i], SB_HEAD_CLASSIFY, 2);
        struct sb_params *params = &dense[i].bert.params;
        assert_true(params->tensors[params->word].row_sparse);
        params->tensors[params->word].row_sparse = false;
        train(&sparse[i], &texts.batch, true);
        train(&dense[i], &texts.batch, true);
        train(&sparse[i], &texts.batch, false);
        train(&dense[i], &texts.batch, false);
    }
    sb_grad_add(&sparse[0].grad, &sparse[1].grad, &sparse[0].bert.params, sparse[0].bert.pool);
    sb_grad_add(&dense[0].grad, &dense[1].grad, &dense[0].bert.params, dense[0].bert.pool);

    const struct sb_grad *grad = &sparse[0].grad;
    const struct sb_tensor *word = &dense[0].bert.params.tensors[dense[0].bert.params.word];
    const float *table = dense[0].grad.dense + word->offset;
    size_t C = word->cols;
    static const float zeros[32];
    assert_true(grad->row_count > 10);
    for (size_t row = 0, at = 0; row < word->rows; row++) {
        bool here = at < grad->row_count && grad->rows[at] == row;
        assert_memory_equal(table + row * C, here ? grad->values + at * C : zeros,
                            C * sizeof(float));
        assert_true(!here || row != PAD);
        at += here;
        assert_true(at < grad->row_count || row >= grad->rows[grad->row_count - 1]);
    }
    for (int i = 0; i < 2; i++) {
        close_model(&sparse[i]);
        close_model(&dense[i]);
    }
}

static void frozen_tensors_get_nothing_and_change_nothing_else(void **state)
{
    (void)state;
    const char *rules[] = {"body",
                           "layers:0",
                           "layers:2",
                           "*.attention.self.*",
                           "bert.embeddings.word_embeddings.weight",
                           "*.LayerNorm.*"};
    struct texts texts;
    write_texts(&texts, IN_ORDER, B);
    for (int h = 0; h < 2; h++)
        for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
            struct sb_err err = SB_ERR_INIT;
            struct model all, part;
            open_model(&all, h ? SB_HEAD_MLM : SB_HEAD_CLASSIFY, 2);
            open_model(&part, h ? SB_HEAD_MLM : SB_HEAD_CLASSIFY, 2);
            if (sb_params_freeze(&part.bert.params, &part.bert.config, rules[r], &err) < 0)
                fail_msg("%s", err.text);
            train(&all, &texts.batch, true);
            train(&part, &texts.batch, true);
            size_t frozen = 0;
            for (size_t i = 0; i < part.bert.params.count; i++) {
                const struct sb_tensor *tensor = &part.bert.params.tensors[i];
                size_t bytes = sb_tensor_count(tensor) * sizeof(float);
                frozen += !tensor->trainable;
                if (tensor->trainable)
                    assert_memory_equal(gradient(&all, i), gradient(&part, i), bytes);
                else
                    assert_true(gradient_norm(&part, i) == 0);
            }
            assert_true(frozen > 0);
            if (!part.bert.params.tensors[part.bert.params.word].trainable)
                assert_int_equal(part.grad.row_count, 0);
            assert_true(all.stats.loss == part.stats.loss);
            close_model(&all);
            close_model(&part);
        }
}

static void the_pad_row_learns_from_the_decoder_alone(void **state)
{
    (void)state;
    struct model with, without;
    struct texts texts;
    open_model(&with, SB_HEAD_MLM, 2);
    open_model(&without, SB_HEAD_MLM, 2);
    write_texts(&texts, IN_ORDER, B);
    texts.ids[3] = PAD;
    train(&with, &texts.batch, false);
    without.bert.config.pad_id = 96; /* a word that does not occur */
    train(&without, &texts.batch, false);
    const float *a = gradient(&with, with.bert.params.word);
    const float *b = gradient(&without, with.bert.params.word);
    double kept = 0, lookup = 0;
    for (size_t c = 0; c < 32; c++) {
        kept += fabs((double)a[c]);
        lookup += fabs((double)a[c] - b[c]);
    }
    assert_true(kept > 1e-3 && lookup > 1e-3);
    assert_memory_equal(a + 32, b + 32, 96 * 32 * sizeof(float));
    close_model(&with);
    close_model(&without);
}

static void what_has_no_label_adds_nothing(void **state)
{
    (void)state;
    struct model model;
    struct texts texts;
    open_model(&model, SB_HEAD_CLASSIFY, 2);
    write_texts(&texts, IN_ORDER, B);
    for (int b = 0; b < B; b++)
        texts.labels[b] = -1;
    train(&model, &texts.batch, true);
    texts.batch.labels = NULL;
    train(&model, &texts.batch, true);
    texts.batch = (struct sb_batch){.starts = texts.starts, .labels = texts.labels};
    train(&model, &texts.batch, true);
    assert_true(model.stats.targets == 0 && model.stats.loss == 0);
    for (size_t i = 0; i < model.bert.params.count; i++)
        assert_true(gradient_norm(&model, i) == 0);
    close_model(&model);
}

static void two_heads_in_one_pass_are_the_sum_of_two_passes(void **state)
{
    (void)state;
    struct model once, twice;
    struct texts texts;
    open_model(&once, SB_HEAD_MLM | SB_HEAD_CLASSIFY, 2);
    open_model(&twice, SB_HEAD_MLM | SB_HEAD_CLASSIFY, 2);
    write_texts(&texts, IN_ORDER, B);
    struct sb_batch words = texts.batch, classes = texts.batch;
    words.labels = NULL;
    classes.target_count = 0;
    train(&once, &texts.batch, true);
    train(&twice, &words, true);
    train(&twice, &classes, true);
    assert_close_gradients(&once, &twice, 1e-5);
    assert_true(fabs(once.stats.loss - twice.stats.loss) < 1e-5 * once.stats.loss);
    assert_true(once.stats.targets == twice.stats.targets);
    close_model(&once);
    close_model(&twice);
}

static void passes_add_up(void **state)
{
    (void)state;
    struct model once, twice;
    struct texts texts;
    open_model(&once, SB_HEAD_MLM, 2);
    open_model(&twice, SB_HEAD_MLM, 2);
    write_texts(&texts, IN_ORDER, B);
    train(&once, &texts.batch, true);
    train(&twice, &texts.batch, true);
    train(&twice, &texts.batch, true);
    sb_grad_add(&once.grad, &once.grad, &once.bert.params, once.bert.pool);
    assert_close_gradients(&once, &twice, 1e-5);
    assert_true(twice.stats.loss == 2 * once.stats.loss);
    close_model(&once);
    close_model(&twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_of_threads_leaves_no_trace),
        cmocka_unit_test(what_was_computed_before_leaves_no_trace),
        cmocka_unit_test(a_sample_is_dropped_and_learnt_alike_in_any_batch),
        cmocka_unit_test(gradients_match_finite_differences_under_dropout),
        cmocka_unit_test(asking_for_fewer_rows_changes_no_logits),
        cmocka_unit_test(evaluation_and_training_without_dropout_have_the_same_loss),
        cmocka_unit_test(row_sparse_gradient_has_the_bits_of_the_dense_one),
        cmocka_unit_test(frozen_tensors_get_nothing_and_change_nothing_else),
        cmocka_unit_test(the_pad_row_learns_from_the_decoder_alone),
        cmocka_unit_test(what_has_no_label_adds_nothing),
        cmocka_unit_test(two_heads_in_one_pass_are_the_sum_of_two_passes),
        cmocka_unit_test(passes_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
