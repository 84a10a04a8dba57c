/*
 * BERT against PyTorch: outputs, losses, and the gradient of every tensor.
 *
 * Tolerances: our float32 against PyTorch's (float32 or double).  Two float32 programs that add in
 * different orders differ by about 1e-6 after two layers; outputs are asked to 1e-5 and gradients
 * to 1e-4 of the tensor's norm.  The true gradient of a key bias is zero (a softmax does not see a
 * shift of its scores), so it is compared absolutely.
 */
#include "bert_golden.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double OUTPUT_ERROR = 1e-5, GRADIENT_ERROR = 1e-4, KEY_BIAS_ERROR = 1e-5;

static struct sb_bert_config config_small(void)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 211;
    config.hidden_size = 32;
    config.layer_count = 2;
    config.head_count = 4;
    config.intermediate_size = 64;
    config.max_positions = 40;
    return config;
}

static struct sb_bert_config config_tiny(void)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 30522;
    config.hidden_size = 128;
    config.layer_count = 2;
    config.head_count = 2;
    config.intermediate_size = 512;
    config.max_positions = 512;
    return config;
}

static void open_shared(struct sb_golden *golden, const struct sb_bert_config *config,
                        const char *folder, size_t threads)
{
    char weights[256], results[256];
    snprintf(weights, sizeof(weights), "data/models/%s/model.safetensors", folder);
    snprintf(results, sizeof(results), "data/models/%s/golden.safetensors", folder);
    const char *weights_path = sb_test_shared(weights);
    const char *results_path = sb_test_shared(results);
    sb_golden_open(golden, config, SB_HEAD_MLM | SB_HEAD_NSP, weights_path, results_path, threads);
}

/* Of the ragged rows, taken from a padded array. */
static void assert_rows_match(const struct sb_golden *golden, const float *got, const char *name)
{
    size_t count, C = golden->bert.config.hidden_size, N = golden->batch.N;
    float *expected = sb_golden_floats(golden, name, &count);
    double difference = 0, norm = 0;
    assert_non_null(expected);
    for (size_t row = 0; row < N; row++) {
        const float *e = expected + golden->padded_row[row] * C;
        difference += pow(sb_golden_distance(got + row * C, e, C), 2);
        norm += pow(sb_golden_norm(e, C), 2);
    }
    print_message("%s: relative error %.2g\n", name, sqrt(difference / norm));
    assert_true(sqrt(difference / norm) < OUTPUT_ERROR);
    free(expected);
}

static void assert_near(double got, double expected, double error, const char *what)
{
    if (!(fabs(got - expected) <= error * fabs(expected)))
        fail_msg("%s is %.9g, expected %.9g", what, got, expected);
}

static double mean_loss(struct sb_golden *golden, bool masked_words, const char *name)
{
    struct sb_batch batch = golden->batch;
    float *expected = sb_golden_floats(golden, name, NULL);
    struct sb_stats stats = {0};
    if (masked_words)
        batch.labels = NULL;
    else
        batch.target_count = 0;
    sb_arena_reset(&golden->arena);
    sb_bert_eval(&golden->bert, &batch, &golden->arena, NULL, &stats);
    assert_near(stats.loss / stats.targets, expected[0], OUTPUT_ERROR, name);
    free(expected);
    return stats.targets;
}

static void check_forward(struct sb_golden *golden)
{
    const struct sb_bert_config *config = &golden->bert.config;
    const struct sb_batch *batch = &golden->batch;
    size_t count;
    float *hidden = sb_calloc(batch->N * config->hidden_size, sizeof(float));
    float *classes = sb_calloc(batch->B * 2, sizeof(float));
    float *logits = sb_calloc(batch->target_count * config->vocab_size, sizeof(float));
    struct sb_outputs outputs = {
        .hidden = hidden, .class_logits = classes, .target_logits = logits};
    struct sb_stats stats = {0};
    sb_bert_eval(&golden->bert, batch, &golden->arena, &outputs, &stats);
    assert_rows_match(golden, hidden, "out.hidden_states.2");
    float *expected = sb_golden_floats(golden, "out.seq_relationship_logits", &count);
    assert_true(sb_golden_distance(classes, expected, count) <
                OUTPUT_ERROR * sb_golden_norm(expected, count));
    free(expected);
    size_t V = config->vocab_size;
    expected = sb_golden_floats(golden, "out.prediction_logits", NULL);
    for (size_t i = 0; expected != NULL && i < batch->target_count; i++) {
        const float *row = expected + golden->padded_row[batch->target_rows[i]] * V;
        assert_true(sb_golden_distance(logits + i * V, row, V) <
                    OUTPUT_ERROR * sb_golden_norm(row, V));
    }
    free(expected);
    float *top = sb_golden_floats(golden, "out.masked_top10_logits", NULL);
    int64_t *ids = sb_golden_ints(golden, "out.masked_top10_ids", NULL);
    for (size_t i = 0; top != NULL && i < batch->target_count * 10; i++)
        assert_near(logits[i / 10 * V + (size_t)ids[i]], top[i], 2 * OUTPUT_ERROR, "a top logit");
    free(top);
    free(ids);
    free(hidden);
    free(classes);
    free(logits);
    mean_loss(golden, true, "out.mlm_loss");
    mean_loss(golden, false, "out.nsp_loss");
}

/* x *= factor on the whole flat space */
static void scale(float *x, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)((double)x[i] * factor);
}

/* The golden loss is the sum of two means: one pass for each, divided, added. */
static void compute_gradient(struct sb_golden *golden)
{
    const struct sb_params *params = &golden->bert.params;
    struct sb_batch words = golden->batch, classes = golden->batch;
    struct sb_grad other;
    struct sb_stats stats = {0};
    words.labels = NULL;
    classes.target_count = 0;
    sb_grad_init(&other, params);
    sb_arena_reset(&golden->arena);
    sb_bert_train(&golden->bert, &words, NULL, &golden->arena, &golden->grad, &stats);
    scale(golden->grad.dense, params->float_count, 1.0 / stats.targets);
    stats = (struct sb_stats){0};
    sb_arena_reset(&golden->arena);
    sb_bert_train(&golden->bert, &classes, NULL, &golden->arena, &other, &stats);
    scale(other.dense, params->float_count, 1.0 / stats.targets);
    sb_grad_add(&golden->grad, &other, params, golden->bert.pool);
    sb_grad_release(&other, params);
}

static void check_tensor(const struct sb_golden *golden, const struct sb_tensor *tensor,
                         double *worst)
{
    char name[128];
    size_t count;
    const float *got = golden->grad.dense + tensor->offset;
    snprintf(name, sizeof(name), "grad.%s", tensor->name);
    float *expected = sb_golden_floats(golden, name, &count);
    if (expected == NULL) {
        snprintf(name, sizeof(name), "gradnorm.%s", tensor->name);
        expected = sb_golden_floats(golden, name, NULL);
        assert_non_null(expected);
        assert_near(sb_golden_norm(got, sb_tensor_count(tensor)), expected[0], GRADIENT_ERROR,
                    name);
        free(expected);
        return;
    }
    double distance = sb_golden_distance(got, expected, count);
    double norm = sb_golden_norm(expected, count);
    bool is_key_bias = strstr(name, ".self.key.bias") != NULL;
    if (!is_key_bias && distance / norm > *worst)
        *worst = distance / norm;
    if (is_key_bias ? distance > KEY_BIAS_ERROR : distance > GRADIENT_ERROR * norm)
        fail_msg("%s is off by %.3g, its norm is %.3g", name, distance, norm);
    free(expected);
}

static void check_gradients(struct sb_golden *golden)
{
    const struct sb_params *params = &golden->bert.params;
    double worst = 0;
    compute_gradient(golden);
    for (size_t i = 0; i < params->count; i++)
        check_tensor(golden, &params->tensors[i], &worst);
    print_message("worst relative error of a gradient: %.2g\n", worst);
}

static void check_gradient_rows(struct sb_golden *golden)
{
    size_t count, C = golden->bert.config.hidden_size;
    int64_t *ids = sb_golden_ints(golden, "grad_rows.ids", &count);
    float *rows =
        sb_golden_floats(golden, "grad_rows.bert.embeddings.word_embeddings.weight", NULL);
    const float *word =
        golden->grad.dense + golden->bert.params.tensors[golden->bert.params.word].offset;
    double difference = 0;
    for (size_t i = 0; i < count; i++)
        difference += pow(sb_golden_distance(word + (size_t)ids[i] * C, rows + i * C, C), 2);
    assert_true(sqrt(difference) < GRADIENT_ERROR * sb_golden_norm(rows, count * C));
    free(ids);
    free(rows);
    rows = sb_golden_floats(golden, "grad_rows_first_T.bert.embeddings.position_embeddings.weight",
                            &count);
    const float *position =
        golden->grad.dense + golden->bert.params.tensors[golden->bert.params.position].offset;
    assert_true(sb_golden_distance(position, rows, count) <
                GRADIENT_ERROR * sb_golden_norm(rows, count));
    free(rows);
}

static void golden_small_forward_matches_pytorch(void **state)
{
    (void)state;
    struct sb_golden golden;
    struct sb_bert_config config = config_small();
    open_shared(&golden, &config, "golden-small", 2);
    check_forward(&golden);
    sb_golden_close(&golden);
}

static void golden_small_gradients_match_pytorch(void **state)
{
    (void)state;
    struct sb_golden golden;
    struct sb_bert_config config = config_small();
    open_shared(&golden, &config, "golden-small", 2);
    check_gradients(&golden);
    sb_golden_close(&golden);
}

static void bert_tiny_general_forward_matches_pytorch(void **state)
{
    (void)state;
    struct sb_golden golden;
    struct sb_bert_config config = config_tiny();
    open_shared(&golden, &config, "bert-tiny-general", 2);
    check_forward(&golden);
    sb_golden_close(&golden);
}

static void bert_tiny_general_gradients_match_pytorch(void **state)
{
    (void)state;
    struct sb_golden golden;
    struct sb_bert_config config = config_tiny();
    open_shared(&golden, &config, "bert-tiny-general", 2);
    check_gradients(&golden);
    check_gradient_rows(&golden);
    sb_golden_close(&golden);
}

/* A case of tests/golden/make_bert_golden.py: weights, batch, loss and gradients in one file. */
struct own_case {
    const char *path;
    size_t V, C, L, H, F, P, K;
    enum sb_activation activation;
    bool tokens;
};

static void check_own(const struct own_case *own)
{
    for (size_t threads = 1; threads <= 2; threads++) {
        struct sb_golden golden;
        struct sb_bert_config config;
        sb_bert_config_defaults(&config);
        config.vocab_size = own->V;
        config.hidden_size = own->C;
        config.layer_count = own->L;
        config.head_count = own->H;
        config.intermediate_size = own->F;
        config.max_positions = own->P;
        config.label_count = own->K;
        config.activation = own->activation;
        unsigned head = own->tokens ? SB_HEAD_TOKENS : own->K > 0 ? SB_HEAD_CLASSIFY : SB_HEAD_MLM;
        sb_golden_open(&golden, &config, head, own->path, own->path, threads);
        struct sb_params *params = &golden.bert.params;
        params->tensors[params->word].row_sparse = false;
        double worst = 0;
        sb_bert_train(&golden.bert, &golden.batch, NULL, &golden.arena, &golden.grad,
                      &golden.stats);
        float *loss = sb_golden_floats(&golden, "out.loss_sum", NULL);
        assert_near(golden.stats.loss, loss[0], OUTPUT_ERROR, "the loss");
        for (size_t i = 0; i < params->count; i++)
            check_tensor(&golden, &params->tensors[i], &worst);
        print_message("%s: worst relative error of a gradient: %.2g\n", own->path, worst);
        free(loss);
        sb_golden_close(&golden);
    }
}

static void classifier_matches_pytorch_in_double(void **state)
{
    (void)state;
    check_own(&(struct own_case){.path = "tests/golden/bert_classify.safetensors",
                                 .V = 61,
                                 .C = 24,
                                 .L = 3,
                                 .H = 3,
                                 .F = 40,
                                 .P = 20,
                                 .K = 4,
                                 .activation = SB_GELU_TANH});
}

static void decoder_in_blocks_matches_pytorch_in_double(void **state)
{
    (void)state;
    check_own(&(struct own_case){.path = "tests/golden/bert_mlm.safetensors",
                                 .V = 1100,
                                 .C = 20,
                                 .L = 1,
                                 .H = 2,
                                 .F = 36,
                                 .P = 48,
                                 .activation = SB_GELU_ERF});
}

static void pad_ids_inside_a_text_match_pytorch_in_double(void **state)
{
    (void)state;
    check_own(&(struct own_case){.path = "tests/golden/bert_mlm_tanh.safetensors",
                                 .V = 90,
                                 .C = 32,
                                 .L = 2,
                                 .H = 4,
                                 .F = 50,
                                 .P = 16,
                                 .activation = SB_GELU_TANH});
}

static void token_classifier_matches_pytorch_in_double(void **state)
{
    (void)state;
    check_own(&(struct own_case){.path = "tests/golden/bert_tokens.safetensors",
                                 .V = 70,
                                 .C = 24,
                                 .L = 2,
                                 .H = 2,
                                 .F = 44,
                                 .P = 24,
                                 .K = 5,
                                 .activation = SB_GELU_ERF,
                                 .tokens = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifier_matches_pytorch_in_double),
        cmocka_unit_test(token_classifier_matches_pytorch_in_double),
        cmocka_unit_test(decoder_in_blocks_matches_pytorch_in_double),
        cmocka_unit_test(pad_ids_inside_a_text_match_pytorch_in_double),
        cmocka_unit_test(golden_small_forward_matches_pytorch),
        cmocka_unit_test(golden_small_gradients_match_pytorch),
        cmocka_unit_test(bert_tiny_general_forward_matches_pytorch),
        cmocka_unit_test(bert_tiny_general_gradients_match_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
