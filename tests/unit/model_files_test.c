/* Model folders: what Hugging Face and older writers leave there, and what must be refused. */
#include "support.h"

#include "arena.h"
#include "model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZES                                                                                      \
    "\"vocab_size\":20,\"hidden_size\":4,\"num_hidden_layers\":1,\"num_attention_heads\":2,"       \
    "\"intermediate_size\":6,\"max_position_embeddings\":5"
#define BERT "\"model_type\":\"bert\"," SIZES

/* ---- config.json ---- */

static int read_config(struct sb_bert_config *config, const char *text, struct sb_err *err)
{
    const char *dir = sb_test_dir();
    sb_test_write(dir, "config.json", text);
    return sb_config_read(config, dir, err);
}

static void config_is_read_with_the_defaults_of_bert(void **state)
{
    (void)state;
    struct sb_bert_config config;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(
        read_config(&config, "{" BERT ",\"classifier_dropout\":null,\"extra\":[1]}", &err), 0);
    assert_int_equal(config.vocab_size, 20);
    assert_int_equal(config.layer_count, 1);
    assert_int_equal(config.type_count, 2);
    assert_int_equal(config.label_count, 0);
    assert_int_equal(config.activation, SB_GELU_ERF);
    assert_true(config.classifier_dropout < 0);
    assert_true(config.hidden_dropout == 0.1 && config.layer_norm_eps == 1e-12);
    sb_bert_config_release(&config);

    assert_int_equal(read_config(&config,
                                 "{" BERT ",\"hidden_act\":\"gelu_new\",\"hidden_dropout_prob\":0,"
                                 "\"classifier_dropout\":0.25,\"pad_token_id\":3}",
                                 &err),
                     0);
    assert_int_equal(config.activation, SB_GELU_TANH);
    assert_true(config.hidden_dropout == 0 && config.classifier_dropout == 0.25);
    assert_int_equal(config.pad_id, 3);
    sb_bert_config_release(&config);
}

static void labels_are_found_wherever_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        const char *last;
    } cases[] = {
        {"{" BERT ",\"id2label\":{\"1\":\"pos\",\"0\":\"neg\"}}", 2, "pos"},
        {"{" BERT ",\"id2label\":{\"0\":\"a\",\"1\":\"b\"},\"label2id\":{\"b\":1,\"a\":0}}", 2,
         "b"},
        {"{" BERT ",\"label2id\":{\"c\":2,\"b\":1,\"a\":0}}", 3, "c"},
        {"{" BERT ",\"num_labels\":4}", 4, "LABEL_3"},
        {"{" BERT ",\"architectures\":[\"BertForSequenceClassification\"]}", 2, "LABEL_1"},
        {"{" BERT ",\"architectures\":[\"BertForMaskedLM\"]}", 0, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_bert_config config;
        struct sb_err err = SB_ERR_INIT;
        if (read_config(&config, cases[i].text, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(config.label_count, cases[i].count);
        if (cases[i].last)
            assert_string_equal(config.labels[cases[i].count - 1], cases[i].last);
        sb_bert_config_release(&config);
    }
}

static void configs_that_lie_are_refused_with_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "line"},
        {"[]", "not a JSON object"},
        {"{" BERT, "line"},
        {"{" BERT ",\"vocab_size\":20}", "duplicate"},
        {"{\"model_type\":\"roberta\"," SIZES "}", "roberta"},
        {"{\"model_type\":\"distilbert\"," SIZES "}", "distilbert"},
        {"{\"model_type\":5," SIZES "}", "model_type"},
        {"{\"architectures\":[\"RobertaModel\"]," SIZES "}", "RobertaModel"},
        {"{\"model_type\":\"bert\"}", "hidden_size"},
        {"{" BERT ",\"type_vocab_size\":0}", "type_vocab_size"},
        {"{" BERT ",\"type_vocab_size\":\"2\"}", "type_vocab_size"},
        {"{" BERT ",\"type_vocab_size\":2.0}", "type_vocab_size"},
        {"{" BERT ",\"type_vocab_size\":-2}", "type_vocab_size"},
        {"{" BERT ",\"type_vocab_size\":1000000000000}", "type_vocab_size"},
        {"{" BERT ",\"hidden_dropout_prob\":1.0}", "hidden_dropout_prob"},
        {"{" BERT ",\"hidden_dropout_prob\":true}", "hidden_dropout_prob"},
        {"{" BERT ",\"layer_norm_eps\":0}", "layer_norm_eps"},
        {"{" BERT ",\"hidden_act\":\"relu\"}", "relu"},
        {"{" BERT ",\"position_embedding_type\":\"relative_key\"}", "relative_key"},
        {"{" BERT ",\"is_decoder\":true}", "is_decoder"},
        {"{" BERT ",\"pad_token_id\":20}", "pad_token_id"},
        {"{\"model_type\":\"bert\",\"vocab_size\":9,\"hidden_size\":5,\"num_hidden_layers\":1,"
         "\"num_attention_heads\":2,\"intermediate_size\":6}",
         "multiple"},
        {"{" BERT ",\"id2label\":[\"a\"]}", "objects"},
        {"{" BERT ",\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}", "each once"},
        {"{" BERT ",\"id2label\":{\"0\":\"a\",\"01\":\"b\"}}", "each once"},
        {"{" BERT ",\"id2label\":{\"0\":5}}", "each once"},
        {"{" BERT ",\"label2id\":{\"a\":0,\"b\":0}}", "each once"},
        {"{" BERT ",\"id2label\":{\"0\":\"a\",\"1\":\"b\"},\"label2id\":{\"a\":1,\"b\":0}}",
         "does not agree"},
        {"{" BERT ",\"id2label\":{\"0\":\"a\",\"1\":\"a\"},\"label2id\":{\"a\":1}}",
         "does not agree"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_bert_config config;
        struct sb_err err = SB_ERR_INIT;
        if (read_config(&config, cases[i].text, &err) == 0)
            fail_msg("accepted: %s", cases[i].text);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        sb_test_err_is(&err, SB_ERR_DATA, "config.json");
    }
}

static void written_config_is_read_back(void **state)
{
    (void)state;
    struct sb_bert_config config, again;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes first = SB_BYTES_INIT, second = SB_BYTES_INIT;
    const char *dir = sb_test_dir();
    char *labels[] = {(char[]){"O"}, (char[]){"quote\""}, (char[]){"\xc3\xa9"}};
    sb_bert_config_defaults(&config);
    config.activation = SB_GELU_TANH;
    config.attention_dropout = 0.0;
    sb_bert_config_set_labels(&config, labels, 3);
    assert_int_equal(sb_config_write(&config, dir, "BertForSequenceClassification", &err), 0);
    assert_int_equal(sb_file_read(&first, sb_test_path(dir, "config.json"), &err), 0);
    assert_non_null(strstr(first.data, "\"initializer_range\": 0.02,"));
    if (sb_config_read(&again, dir, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(again.activation, SB_GELU_TANH);
    assert_true(again.attention_dropout == 0.0 && again.hidden_dropout == 0.1);
    assert_true(again.classifier_dropout < 0 && again.layer_norm_eps == 1e-12);
    assert_string_equal(again.labels[1], "quote\"");
    assert_int_equal(sb_config_write(&again, dir, "BertForSequenceClassification", &err), 0);
    assert_int_equal(sb_file_read(&second, sb_test_path(dir, "config.json"), &err), 0);
    assert_string_equal(first.data, second.data);

    char *twice[] = {(char[]){"a"}, (char[]){"a"}};
    sb_bert_config_set_labels(&config, twice, 2);
    assert_int_equal(sb_config_write(&config, dir, "BertForSequenceClassification", &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "only 1 differ");
    char *bad[] = {(char[]){"a"}, (char[]){"\xff"}};
    sb_bert_config_set_labels(&config, bad, 2);
    assert_int_equal(sb_config_write(&config, dir, "BertForSequenceClassification", &err), -1);

    sb_bert_config_release(&config);
    sb_bert_config_release(&again);
    sb_bytes_release(&first);
    sb_bytes_release(&second);
}

/* ---- model.safetensors ---- */

static struct sb_bert_config small_config(size_t label_count)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 20;
    config.hidden_size = 4;
    config.layer_count = 1;
    config.head_count = 2;
    config.intermediate_size = 6;
    config.max_positions = 5;
    config.label_count = label_count;
    return config;
}

/* How the tensors of a file differ from what sb_model_write would write. */
struct disguise {
    const char *add, *drop;         /* put before each name; taken from its front */
    const char *old_end, *new_end;  /* ends of names that are exchanged */
    const char *leave_out, *resize; /* a tensor that is missing; one that has a row more */
    const char *extra;              /* one more tensor, with the contents of copy_of */
    const char *copy_of;
    float extra_add; /* added to its first value */
    enum sb_dtype dtype;
    const char *spoil; /* a tensor whose last value is NaN */
};

static void disguised_name(char out[256], const char *name, const struct disguise *d)
{
    if (d->drop && !strncmp(name, d->drop, strlen(d->drop)))
        name += strlen(d->drop);
    snprintf(out, 256, "%s%s", d->add ? d->add : "", name);
    size_t length = strlen(out), end = d->old_end ? strlen(d->old_end) : 0;
    if (end && length > end && !strcmp(out + length - end, d->old_end))
        snprintf(out + length - end, 256 - (length - end), "%s", d->new_end);
}

static void append_values(struct sb_bytes *out, const float *values, size_t count,
                          enum sb_dtype dtype)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        uint16_t high = (uint16_t)(bits >> 16); /* bfloat16, cut */
        if (dtype == SB_BF16)
            sb_bytes_append(out, &high, sizeof(high));
        else
            sb_bytes_append(out, &bits, sizeof(bits));
    }
}

static void write_disguised(const char *dir, const float *weights, const struct sb_params *params,
                            const struct disguise *d)
{
    struct sb_st_writer writer;
    struct sb_bytes data = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    enum sb_dtype dtype = d->dtype;
    assert_int_equal(sb_st_writer_begin(&writer, sb_test_path(dir, "model.safetensors"), &err), 0);
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *t = &params->tensors[i];
        char name[256];
        float zeros[16] = {0}, nan = 0.0f / 0.0f;
        if (d->leave_out && !strncmp(t->name, d->leave_out, strlen(d->leave_out)))
            continue;
        bool bigger = d->resize && !strcmp(t->name, d->resize);
        bool spoil = d->spoil && !strcmp(t->name, d->spoil);
        size_t dims[2] = {t->rows + (bigger && !t->is_vector), t->cols + (bigger && t->is_vector)};
        disguised_name(name, t->name, d);
        sb_st_writer_describe(&writer, name, dtype, dims + t->is_vector, t->is_vector ? 1 : 2);
        append_values(&data, weights + t->offset, sb_tensor_count(t) - spoil, dtype);
        append_values(&data, &nan, spoil, dtype);
        append_values(&data, zeros, dims[0] * dims[1] - sb_tensor_count(t), dtype);
    }
    if (d->extra) {
        const struct sb_tensor *t = &params->tensors[sb_params_find(params, d->copy_of)];
        size_t dims[2] = {t->rows, t->cols};
        sb_st_writer_describe(&writer, d->extra, dtype, dims + t->is_vector, t->is_vector ? 1 : 2);
        float first = weights[t->offset] + d->extra_add;
        append_values(&data, &first, 1, dtype);
        append_values(&data, weights + t->offset + 1, sb_tensor_count(t) - 1, dtype);
    }
    assert_int_equal(sb_st_writer_data(&writer, data.data, data.count, &err), 0);
    assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
    sb_bytes_release(&data);
}

/* Sixty-fourths, which bfloat16 holds exactly. */
static float *sample_weights(const struct sb_params *params)
{
    float *weights = sb_alloc(params->float_count * sizeof(*weights));
    for (size_t i = 0; i < params->float_count; i++)
        weights[i] = (float)((int)(i % 251) - 125) / 64.0f;
    return weights;
}

/* Writes the disguised file of a model with file_heads, reads it for heads, and compares. */
static int read_disguised(const struct disguise *d, unsigned file_heads, size_t file_labels,
                          unsigned heads, size_t labels, struct sb_load_report *report,
                          struct sb_err *err)
{
    struct sb_bert_config file_config = small_config(file_labels), config = small_config(labels);
    struct sb_params file_params, params;
    const char *dir = sb_test_dir();
    sb_params_init(&file_params, &file_config, file_heads);
    sb_params_init(&params, &config, heads);
    float *weights = sample_weights(&file_params);
    float *out = sb_calloc(params.float_count, sizeof(*out));
    float *fresh = sb_calloc(params.float_count, sizeof(*fresh));
    write_disguised(dir, weights, &file_params, d);
    int rc = sb_model_read(out, &params, &config, dir, 7, report, err);
    sb_params_fill(fresh, &params, &config, 7, 0, params.count);
    for (size_t i = 0; rc == 0 && i < params.count; i++) {
        const struct sb_tensor *t = &params.tensors[i];
        size_t place = sb_params_find(&file_params, t->name);
        bool created =
            place == SIZE_MAX || (d->leave_out && strcmp(d->leave_out, "bert.embeddings.word") &&
                                  !strncmp(t->name, d->leave_out, strlen(d->leave_out)));
        const float *expected =
            created ? fresh + t->offset : weights + file_params.tensors[place].offset;
        assert_memory_equal(out + t->offset, expected, sb_tensor_count(t) * sizeof(float));
    }
    free(weights);
    free(out);
    free(fresh);
    sb_params_release(&params);
    sb_params_release(&file_params);
    return rc;
}

static void names_of_all_times_find_their_place(void **state)
{
    (void)state;
    static const struct disguise disguises[] = {
        {0},
        {.drop = "bert."},
        {.add = "module."},
        {.add = "module.", .drop = "bert."},
        {.old_end = "LayerNorm.weight", .new_end = "LayerNorm.gamma"},
        {.old_end = "LayerNorm.bias", .new_end = "LayerNorm.beta"},
        {.dtype = SB_BF16},
        {.extra = "bert.embeddings.position_ids", .copy_of = "bert.pooler.dense.bias"},
        {.extra = "cls.predictions.decoder.bias", .copy_of = "cls.predictions.bias"},
        {.extra = "cls.predictions.decoder.weight",
         .copy_of = "bert.embeddings.word_embeddings.weight"},
        {.leave_out = "bert.embeddings.word",
         .extra = "cls.predictions.decoder.weight",
         .copy_of = "bert.embeddings.word_embeddings.weight"},
    };
    for (size_t i = 0; i < sizeof(disguises) / sizeof(disguises[0]); i++) {
        struct sb_load_report report;
        struct sb_err err = SB_ERR_INIT;
        unsigned heads = SB_HEAD_MLM | SB_HEAD_NSP;
        if (read_disguised(&disguises[i], heads, 0, heads, 0, &report, &err) < 0)
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(report.loaded, 5 + 16 + 2 + 5 + 2);
        assert_int_equal(report.created, 0);
        assert_int_equal(report.ignored, 0);
        sb_load_report_release(&report);
    }
}

static void heads_are_created_or_ignored_and_reported(void **state)
{
    (void)state;
    struct sb_load_report report;
    struct sb_err err = SB_ERR_INIT;
    /* From a pretrained folder to a classifier: the pooler is there, the classifier is new. */
    assert_int_equal(read_disguised(&(struct disguise){0}, SB_HEAD_MLM | SB_HEAD_NSP, 0,
                                    SB_HEAD_CLASSIFY, 3, &report, &err),
                     0);
    assert_int_equal(report.loaded, 23);
    assert_int_equal(report.created, 2);
    assert_string_equal(report.created_names[0], "classifier.weight");
    assert_int_equal(report.ignored, 7);
    sb_load_report_release(&report);
    /* From a masked language model: the pooler is new as well. */
    assert_int_equal(
        read_disguised(&(struct disguise){0}, SB_HEAD_MLM, 0, SB_HEAD_CLASSIFY, 3, &report, &err),
        0);
    assert_int_equal(report.created, 4);
    assert_string_equal(report.created_names[0], "bert.pooler.dense.weight");
    sb_load_report_release(&report);
    /* From a classifier back. */
    assert_int_equal(
        read_disguised(&(struct disguise){0}, SB_HEAD_CLASSIFY, 3, SB_HEAD_MLM, 0, &report, &err),
        0);
    assert_int_equal(report.created, 5);
    assert_int_equal(report.ignored, 4);
    sb_load_report_release(&report);
    /* A report is not needed. */
    assert_int_equal(
        read_disguised(&(struct disguise){0}, SB_HEAD_CLASSIFY, 3, SB_HEAD_MLM, 0, NULL, &err), 0);
}

static void models_that_do_not_fit_are_refused_by_tensor(void **state)
{
    (void)state;
    const unsigned mlm = SB_HEAD_MLM, classify = SB_HEAD_CLASSIFY;
    const struct {
        struct disguise disguise;
        unsigned file_heads;
        size_t file_labels;
        unsigned heads;
        size_t labels;
        const char *words;
    } cases[] = {
        {{.leave_out = "bert.encoder.layer.0.output.dense.bias"},
         mlm,
         0,
         mlm,
         0,
         "'bert.encoder.layer.0.output.dense.bias' is missing"},
        {{.leave_out = "bert.embeddings.word"}, mlm, 0, mlm, 0, "is missing"},
        {{.leave_out = "classifier.bias"},
         classify,
         2,
         classify,
         2,
         "'classifier.bias' is missing"},
        {{.leave_out = "cls.predictions.bias"},
         mlm,
         0,
         mlm,
         0,
         "'cls.predictions.bias' is missing"},
        {{.resize = "bert.embeddings.position_embeddings.weight"},
         mlm,
         0,
         mlm,
         0,
         "has shape [6, 4], expected [5, 4]"},
        {{.resize = "bert.pooler.dense.bias"}, classify, 2, classify, 2, "[5], expected [4]"},
        {{0}, classify, 6, classify, 2, "for 6 labels, the task has 2"},
        {{.spoil = "bert.embeddings.LayerNorm.bias"}, mlm, 0, mlm, 0, "element 3 is not finite"},
        {{.extra = "embeddings.LayerNorm.gamma", .copy_of = "bert.embeddings.LayerNorm.weight"},
         mlm,
         0,
         mlm,
         0,
         "same place"},
        {{.extra = "cls.predictions.decoder.weight",
          .copy_of = "bert.embeddings.word_embeddings.weight",
          .extra_add = 1},
         mlm,
         0,
         mlm,
         0,
         "untied"},
        {{.extra = "cls.predictions.decoder.weight",
          .copy_of = "bert.embeddings.position_embeddings.weight"},
         mlm,
         0,
         mlm,
         0,
         "expected [20, 4]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_load_report report;
        struct sb_err err = SB_ERR_INIT;
        if (read_disguised(&cases[i].disguise, cases[i].file_heads, cases[i].file_labels,
                           cases[i].heads, cases[i].labels, &report, &err) == 0)
            fail_msg("accepted case %zu", i);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        sb_test_err_is(&err, SB_ERR_DATA, "model.safetensors");
    }
}

static void untied_decoder_does_not_matter_without_its_head(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const struct disguise untied = {.extra = "cls.predictions.decoder.weight",
                                    .copy_of = "bert.embeddings.word_embeddings.weight",
                                    .extra_add = 1};
    assert_int_equal(read_disguised(&untied, SB_HEAD_MLM, 0, SB_HEAD_CLASSIFY, 2, NULL, &err), 0);
}

static void missing_weights_say_what_is_there(void **state)
{
    (void)state;
    struct sb_bert_config config = small_config(0);
    struct sb_params params;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    float weight;
    sb_params_init(&params, &config, SB_HEAD_NONE);
    assert_int_equal(sb_model_read(&weight, &params, &config, dir, 1, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "model.safetensors");
    sb_test_write(dir, "tf_model.h5", "");
    assert_int_equal(sb_model_read(&weight, &params, &config, dir, 1, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "tf_model.h5");
    sb_test_write(dir, "pytorch_model.bin", "PK");
    assert_int_equal(sb_model_read(&weight, &params, &config, dir, 1, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "pytorch_model.bin': is not a file that torch.save makes");
    assert_int_equal(sb_config_read(&config, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "config.json");
    sb_params_release(&params);
}

/* The data part of the file, where its header differs only in a note, and the whole of two writes.
 */
static void real_folder_round_trips_to_equal_bytes(void **state)
{
    (void)state;
    const char *folder = sb_test_shared("data/models/bert-tiny-general");
    const char *first = sb_test_dir(), *second = sb_test_dir();
    struct sb_bert_config config;
    struct sb_params params;
    struct sb_load_report report;
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors original, written;
    struct sb_bytes a = SB_BYTES_INIT, b = SB_BYTES_INIT;
    if (sb_config_read(&config, folder, &err) < 0)
        fail_msg("%s", err.text);
    sb_params_init(&params, &config, SB_HEAD_MLM | SB_HEAD_NSP);
    float *weights = sb_alloc(params.float_count * sizeof(*weights));
    if (sb_model_read(weights, &params, &config, folder, 1, &report, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(report.loaded, 46);
    assert_int_equal(report.created + report.ignored, 0);
    assert_int_equal(params.float_count, 4433468);
    sb_load_report_release(&report);

    assert_int_equal(sb_model_write(weights, &params, first, &err), 0);
    assert_int_equal(sb_config_write(&config, first, "BertForPreTraining", &err), 0);
    assert_int_equal(
        sb_safetensors_open(&original, sb_test_path(folder, "model.safetensors"), &err), 0);
    assert_int_equal(sb_safetensors_open(&written, sb_test_path(first, "model.safetensors"), &err),
                     0);
    assert_int_equal(written.count, original.count);
    assert_int_equal(written.meta_count, 1);
    assert_string_equal(sb_safetensors_meta(&written, "format"), "pt");
    for (size_t i = 0; i < written.count; i++) {
        assert_string_equal(written.tensors[i].name, original.tensors[i].name);
        assert_int_equal(written.tensors[i].begin, original.tensors[i].begin);
        assert_int_equal(written.tensors[i].dim_count, original.tensors[i].dim_count);
    }
    assert_memory_equal(written.data, original.data, params.float_count * sizeof(float));
    sb_safetensors_close(&original);
    sb_safetensors_close(&written);

    struct sb_bert_config again;
    memset(weights, 0, params.float_count * sizeof(*weights));
    assert_int_equal(sb_config_read(&again, first, &err), 0);
    assert_int_equal(sb_model_read(weights, &params, &again, first, 2, NULL, &err), 0);
    assert_int_equal(sb_model_write(weights, &params, second, &err), 0);
    assert_int_equal(sb_file_read(&a, sb_test_path(first, "model.safetensors"), &err), 0);
    assert_int_equal(sb_file_read(&b, sb_test_path(second, "model.safetensors"), &err), 0);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.data, b.data, a.count);
    sb_bytes_release(&a);
    sb_bytes_release(&b);
    sb_bert_config_release(&config);
    sb_bert_config_release(&again);
    sb_params_release(&params);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_is_read_with_the_defaults_of_bert),
        cmocka_unit_test(labels_are_found_wherever_they_stand),
        cmocka_unit_test(configs_that_lie_are_refused_with_the_key),
        cmocka_unit_test(written_config_is_read_back),
        cmocka_unit_test(names_of_all_times_find_their_place),
        cmocka_unit_test(heads_are_created_or_ignored_and_reported),
        cmocka_unit_test(models_that_do_not_fit_are_refused_by_tensor),
        cmocka_unit_test(untied_decoder_does_not_matter_without_its_head),
        cmocka_unit_test(missing_weights_say_what_is_there),
        cmocka_unit_test(real_folder_round_trips_to_equal_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
