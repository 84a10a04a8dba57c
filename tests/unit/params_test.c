/* The tensor table: names, places, freezing, fresh weights. */
#include "support.h"

#include "arena.h"
#include "params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct sb_bert_config small_config(void)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 50;
    config.hidden_size = 8;
    config.layer_count = 3;
    config.head_count = 2;
    config.intermediate_size = 16;
    config.max_positions = 12;
    config.label_count = 5;
    return config;
}

static void tensors_fill_the_flat_space_in_order(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config();
    for (unsigned heads = 0; heads < 16; heads++) {
        struct sb_params params;
        size_t at = 0;
        sb_params_init(&params, &config, heads);
        for (size_t i = 0; i < params.count; i++) {
            assert_int_equal(params.tensors[i].offset, at);
            assert_int_equal(sb_params_find(&params, params.tensors[i].name), i);
            assert_true(params.tensors[i].trainable);
            assert_int_equal(params.tensors[i].decay, !params.tensors[i].is_vector);
            at += sb_tensor_count(&params.tensors[i]);
        }
        assert_int_equal(params.float_count, at);
        assert_int_equal(params.word, 0);
        sb_params_release(&params);
    }
}

/* The counts that the paper's model has: 199 tensors in all, layer i from tensor 5 + 16i. */
static void bert_base_has_its_known_size(void **state)
{
    (void)state;
    struct sb_bert_config config;
    struct sb_params params;
    sb_bert_config_defaults(&config);
    sb_params_init(&params, &config, SB_HEAD_POOLER);
    assert_int_equal(params.float_count, 109482240);
    assert_int_equal(params.count, 5 + 16 * 12 + 2);
    assert_int_equal(params.layers[10].query_w, 165);
    sb_params_release(&params);
    sb_params_init(&params, &config, SB_HEAD_MLM);
    assert_int_equal(params.float_count, 109514298);
    sb_params_release(&params);
}

static void query_key_and_value_stand_together(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config();
    struct sb_params params;
    sb_params_init(&params, &config, SB_HEAD_NONE);
    for (size_t l = 0; l < config.layer_count; l++) {
        const struct sb_layer_index *layer = &params.layers[l];
        size_t w = params.tensors[layer->query_w].offset;
        size_t b = params.tensors[layer->query_b].offset;
        assert_int_equal(params.tensors[layer->key_w].offset, w + 64);
        assert_int_equal(params.tensors[layer->value_w].offset, w + 128);
        assert_int_equal(params.tensors[layer->key_b].offset, b + 8);
        assert_int_equal(params.tensors[layer->value_b].offset, b + 16);
    }
    sb_params_release(&params);
}

static void heads_decide_which_tensors_exist(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config();
    struct sb_params params;
    sb_params_init(&params, &config, SB_HEAD_MLM);
    assert_int_equal(params.pooler_w, SIZE_MAX);
    assert_int_equal(params.classifier_b, SIZE_MAX);
    assert_int_equal(params.nsp_w, SIZE_MAX);
    assert_int_equal(params.tensors[params.decoder_b].cols, 50);
    assert_false(params.tensors[params.word].row_sparse);
    sb_params_release(&params);

    sb_params_init(&params, &config, SB_HEAD_CLASSIFY);
    assert_int_equal(params.transform_w, SIZE_MAX);
    assert_string_equal(params.tensors[params.pooler_w].name, "bert.pooler.dense.weight");
    assert_int_equal(params.tensors[params.classifier_w].rows, 5);
    assert_true(params.tensors[params.word].row_sparse);
    sb_params_release(&params);

    sb_params_init(&params, &config, SB_HEAD_MLM | SB_HEAD_NSP);
    assert_int_equal(params.tensors[params.nsp_w].rows, 2);
    assert_true(params.pooler_w < params.transform_w);
    sb_params_release(&params);
}

/* How many tensors train after a rule; -1 if it is refused. */
static int left_after(const char *rules, unsigned heads, int *lowest, struct sb_err *err)
{
    struct sb_bert_config config = small_config();
    struct sb_params params;
    sb_params_init(&params, &config, heads);
    int left = 0;
    if (sb_params_freeze(&params, &config, rules, err) < 0)
        left = -1;
    for (size_t i = 0; left >= 0 && i < params.count; i++)
        left += params.tensors[i].trainable;
    if (lowest)
        *lowest = sb_params_lowest_trainable(&params, &config);
    sb_params_release(&params);
    return left;
}

static void freeze_rules_take_what_they_name(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    int lowest;
    enum { ALL = 5 + 3 * 16 + 2 + 2 };
    assert_int_equal(left_after("", SB_HEAD_CLASSIFY, &lowest, &err), ALL);
    assert_int_equal(lowest, -1);
    assert_int_equal(left_after("body", SB_HEAD_CLASSIFY, &lowest, &err), 2);
    assert_int_equal(lowest, 3);
    assert_int_equal(left_after("layers:0", SB_HEAD_CLASSIFY, &lowest, &err), ALL - 5);
    assert_int_equal(lowest, 0);
    assert_int_equal(left_after("layers:2", SB_HEAD_CLASSIFY, &lowest, &err), ALL - 5 - 32);
    assert_int_equal(lowest, 2);
    assert_int_equal(left_after("layers:3", SB_HEAD_CLASSIFY, &lowest, &err), 4);
    assert_int_equal(lowest, 3);
    assert_int_equal(left_after("embeddings.*", SB_HEAD_CLASSIFY, &lowest, &err), ALL - 5);
    assert_int_equal(left_after("bert.embeddings.*, *.bias", SB_HEAD_CLASSIFY, &lowest, &err),
                     ALL - 5 - 3 * 8 - 2);
    assert_int_equal(left_after("*", SB_HEAD_CLASSIFY, &lowest, &err), 0);
    assert_int_equal(left_after("body", SB_HEAD_MLM, &lowest, &err), 5);
}

static void freeze_rules_that_match_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const rules[] = {"nothing",
                                        "layers:",
                                        "layers:4",
                                        "layers:-1",
                                        "layers:1x",
                                        "body,none",
                                        "layers:99999999999999999999"};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct sb_err err = SB_ERR_INIT;
        if (left_after(rules[i], SB_HEAD_CLASSIFY, NULL, &err) >= 0)
            fail_msg("accepted '%s'", rules[i]);
        sb_test_err_is(&err, SB_ERR_CONFIG, "freeze rule");
    }
}

static void fresh_weights_have_the_stated_distribution(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config();
    struct sb_params params;
    config.vocab_size = 4000;
    sb_params_init(&params, &config, SB_HEAD_MLM);
    float *weights = sb_alloc(params.float_count * sizeof(*weights));
    memset(weights, 0xff, params.float_count * sizeof(*weights));
    sb_params_fill(weights, &params, &config, 7, 0, params.count);

    const struct sb_tensor *word = &params.tensors[params.word];
    double sum = 0, squares = 0, fourth = 0;
    size_t count = sb_tensor_count(word) - word->cols;
    for (size_t i = 0; i < word->cols; i++)
        assert_true(weights[word->offset + i] == 0.0f); /* the pad row */
    for (size_t i = 0; i < count; i++) {
        double x = weights[word->offset + word->cols + i] / config.initializer_range;
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    /* Standard errors over 31992 draws: 0.0056, 0.0079, 0.055. */
    assert_true(fabs(sum / (double)count) < 0.025);
    assert_true(fabs(squares / (double)count - 1) < 0.035);
    assert_true(fabs(fourth / (double)count - 3) < 0.25);

    assert_true(weights[params.tensors[params.embed_ln_w].offset] == 1.0f);
    assert_true(weights[params.tensors[params.embed_ln_b].offset] == 0.0f);
    assert_true(weights[params.tensors[params.decoder_b].offset + 3999] == 0.0f);
    free(weights);
    sb_params_release(&params);
}

static void fresh_weights_depend_on_name_and_seed_only(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config();
    struct sb_params with, without;
    sb_params_init(&with, &config, SB_HEAD_MLM | SB_HEAD_CLASSIFY);
    sb_params_init(&without, &config, SB_HEAD_CLASSIFY);
    float *a = sb_calloc(with.float_count, sizeof(*a));
    float *b = sb_calloc(with.float_count, sizeof(*b));
    sb_params_fill(a, &with, &config, 1, 0, with.count);
    for (size_t i = without.count; i-- > 0;) /* piece by piece and in another order */
        sb_params_fill(b, &without, &config, 1, i, i + 1);
    for (size_t i = 0; i < without.count; i++) {
        const struct sb_tensor *right = &without.tensors[i];
        const struct sb_tensor *left = &with.tensors[sb_params_find(&with, right->name)];
        assert_memory_equal(a + left->offset, b + right->offset, sb_tensor_count(right) * 4);
    }
    sb_params_fill(b, &without, &config, 2, 0, without.count);
    assert_memory_not_equal(a, b, sb_tensor_count(&with.tensors[0]) * 4);
    /* Equal shapes, different names: different numbers. */
    assert_memory_not_equal(a + with.tensors[with.layers[0].query_w].offset,
                            a + with.tensors[with.layers[0].key_w].offset, 64 * 4);
    free(a);
    free(b);
    sb_params_release(&with);
    sb_params_release(&without);
}

static void labels_are_copied(void **state)
{
    (void)state;
    struct sb_bert_config config, copy;
    char *names[] = {(char[]){"neg"}, (char[]){"pos"}};
    sb_bert_config_defaults(&config);
    sb_bert_config_set_labels(&config, names, 2);
    sb_bert_config_set_labels(&config, config.labels, 2); /* its own are fine */
    names[0][0] = 'X';
    sb_bert_config_copy(&copy, &config);
    sb_bert_config_release(&config);
    assert_int_equal(copy.label_count, 2);
    assert_string_equal(copy.labels[0], "neg");
    assert_string_equal(copy.labels[1], "pos");
    sb_bert_config_release(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_fill_the_flat_space_in_order),
        cmocka_unit_test(bert_base_has_its_known_size),
        cmocka_unit_test(query_key_and_value_stand_together),
        cmocka_unit_test(heads_decide_which_tensors_exist),
        cmocka_unit_test(freeze_rules_take_what_they_name),
        cmocka_unit_test(freeze_rules_that_match_nothing_are_refused),
        cmocka_unit_test(fresh_weights_have_the_stated_distribution),
        cmocka_unit_test(fresh_weights_depend_on_name_and_seed_only),
        cmocka_unit_test(labels_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
