/* Exported folders, read back: ONNX by its own messages, sentence-transformers by its files. */
#include "support.h"

#include "arena.h"
#include "export.h"
#include "infer.h"
#include "model_files.h"
#include "onnx_subset.pb-c.h"
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char golden[] = "tests/golden/commands/model";

/* ---- reading ONNX ---- */

struct read_model {
    struct sb_map map;
    Sb__Onnx__Model *model;
    const Sb__Onnx__Graph *graph;
};

static struct read_model read_onnx(const char *path)
{
    struct sb_err err = SB_ERR_INIT;
    struct read_model read = {0};
    assert_int_equal(sb_file_map(&read.map, path, &err), 0);
    read.model = sb__onnx__model__unpack(NULL, read.map.bytes, read.map.data);
    assert_non_null(read.model);
    read.graph = read.model->graph;
    return read;
}

static void release_onnx(struct read_model *read)
{
    sb__onnx__model__free_unpacked(read->model, NULL);
    sb_file_unmap(&read->map);
}

static const Sb__Onnx__Tensor *find_tensor(const Sb__Onnx__Graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (!strcmp(graph->initializer[i]->name, name))
            return graph->initializer[i];
    return NULL;
}

/* How often a name is an input, an initializer, or the output of one of the first node_count. */
static size_t made_before(const Sb__Onnx__Graph *graph, size_t node_count, const char *name)
{
    size_t times = find_tensor(graph, name) != NULL;
    for (size_t i = 0; i < graph->n_input; i++)
        times += !strcmp(graph->input[i]->name, name);
    for (size_t i = 0; i < node_count; i++)
        times += !strcmp(graph->node[i]->output[0], name);
    return times;
}

static struct sb_export looked_at(const char *model, const char *output)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_export export = {.model = model, .output = output};
    assert_int_equal(sb_export_look(&export, &err), 0);
    return export;
}

static struct read_model export_and_read(enum sb_onnx_head head, struct sb_sentence sentence,
                                         const char *name)
{
    struct sb_err err = SB_ERR_INIT;
    const char *output = sb_test_path(sb_test_dir(), name);
    struct sb_export export = {
        .model = golden, .output = output, .head = head, .sentence = sentence};
    assert_int_equal(sb_export_onnx(&export, &err), 0);
    return read_onnx(sb_test_path(output, "onnx/model.onnx"));
}

/* ---- ONNX ---- */

static void every_value_is_made_once_and_before_it_is_used(void **state)
{
    (void)state;
    for (int head = SB_ONNX_BODY; head <= SB_ONNX_EMBED; head++) {
        struct read_model read =
            export_and_read((enum sb_onnx_head)head, (struct sb_sentence){.normalize = true}, "h");
        const Sb__Onnx__Graph *graph = read.graph;
        for (size_t i = 0; i < graph->n_node; i++) {
            const Sb__Onnx__Node *node = graph->node[i];
            for (size_t j = 0; j < node->n_input; j++)
                assert_int_equal(made_before(graph, i, node->input[j]), 1);
            assert_int_equal(node->n_output, 1);
            assert_int_equal(made_before(graph, i, node->output[0]), 0);
        }
        for (size_t i = 0; i < graph->n_output; i++)
            assert_int_equal(made_before(graph, graph->n_node, graph->output[i]->name), 1);
        release_onnx(&read);
    }
}

static void a_graph_names_its_version_inputs_and_outputs(void **state)
{
    (void)state;
    static const struct {
        enum sb_onnx_head head;
        const char *outputs[2];
        size_t dim_count;
        int64_t width;
    } cases[] = {
        {SB_ONNX_BODY, {"last_hidden_state"}, 3, 16},
        {SB_ONNX_MLM, {"logits"}, 3, 43},
        {SB_ONNX_CLASSIFY, {"logits"}, 2, 3},
        {SB_ONNX_EMBED, {"token_embeddings", "sentence_embedding"}, 3, 16},
    };
    static const char *const inputs[] = {"input_ids", "attention_mask", "token_type_ids"};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct read_model read = export_and_read(cases[c].head, (struct sb_sentence){0}, "v");
        assert_int_equal(read.model->ir_version, 7);
        assert_int_equal(read.model->n_opset_import, 1);
        assert_int_equal(read.model->opset_import[0]->version, 14);
        assert_int_equal(read.graph->n_input, 3);
        for (size_t i = 0; i < 3; i++) {
            const Sb__Onnx__TensorType *type = read.graph->input[i]->type->tensor_type;
            assert_string_equal(read.graph->input[i]->name, inputs[i]);
            assert_int_equal(type->elem_type, SB__ONNX__DATA_TYPE__INT64);
            assert_string_equal(type->shape->dim[0]->dim_param, "batch");
            assert_string_equal(type->shape->dim[1]->dim_param, "sequence");
        }
        const Sb__Onnx__Shape *shape = read.graph->output[0]->type->tensor_type->shape;
        assert_int_equal(shape->n_dim, cases[c].dim_count);
        assert_int_equal(shape->dim[shape->n_dim - 1]->dim_value, cases[c].width);
        assert_int_equal(read.graph->n_output, cases[c].outputs[1] ? 2 : 1);
        for (size_t i = 0; i < read.graph->n_output; i++)
            assert_string_equal(read.graph->output[i]->name, cases[c].outputs[i]);
        release_onnx(&read);
    }
}

/* Bit by bit, in the order of the file or turned over. */
static void check_tensor(const Sb__Onnx__Tensor *tensor, const struct sb_tensor *entry,
                         const float *weights)
{
    const float *from = weights + entry->offset;
    float value;
    assert_non_null(tensor);
    assert_int_equal(tensor->raw_data.len, sb_tensor_count(entry) * sizeof(float));
    bool turned = strstr(entry->name, "embeddings") == NULL && !entry->is_vector;
    assert_int_equal(tensor->n_dims, entry->is_vector ? 1 : 2);
    assert_int_equal(tensor->dims[tensor->n_dims - 1], turned ? entry->rows : entry->cols);
    for (size_t row = 0; row < entry->rows; row++)
        for (size_t col = 0; col < entry->cols; col++) {
            size_t at = turned ? col * entry->rows + row : row * entry->cols + col;
            memcpy(&value, tensor->raw_data.data + at * sizeof(value), sizeof(value));
            assert_memory_equal(&value, &from[row * entry->cols + col], sizeof(value));
        }
}

static void weights_are_those_of_the_model_and_stand_there_once(void **state)
{
    (void)state;
    static const enum sb_onnx_head heads[] = {SB_ONNX_BODY, SB_ONNX_MLM, SB_ONNX_CLASSIFY};
    for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_infer infer = SB_INFER_INIT;
        struct read_model read = export_and_read(heads[h], (struct sb_sentence){0}, "w");
        assert_int_equal(sb_infer_open(&infer, golden, sb_onnx_head_needs(heads[h]), 1, &err), 0);
        const struct sb_params *params = &infer.bert.params;
        size_t constants = 0;
        for (size_t i = 0; i < params->count; i++)
            check_tensor(find_tensor(read.graph, params->tensors[i].name), &params->tensors[i],
                         infer.weights);
        for (size_t i = 0; i < read.graph->n_initializer; i++)
            constants += !strncmp(read.graph->initializer[i]->name, "constant/", 9);
        assert_int_equal(read.graph->n_initializer, params->count + constants);
        sb_infer_release(&infer);
        release_onnx(&read);
    }
}

static void equal_constants_are_one_tensor(void **state)
{
    (void)state;
    struct sb_onnx *onnx = sb_onnx_new("constants");
    const int64_t one[] = {1}, ones[] = {1, 1};
    const char *half = sb_onnx_float(onnx, 0.5f);
    assert_ptr_equal(sb_onnx_float(onnx, 0.5f), half);
    assert_ptr_not_equal(sb_onnx_float(onnx, -0.5f), half);
    assert_ptr_equal(sb_onnx_ints(onnx, ones, 2), sb_onnx_ints(onnx, ones, 2));
    assert_ptr_not_equal(sb_onnx_ints(onnx, one, 1), sb_onnx_int(onnx, 1));
    sb_onnx_free(&onnx);
    assert_null(onnx);
    sb_onnx_free(&onnx);
}

static void equal_models_give_equal_bytes(void **state)
{
    (void)state;
    struct read_model first = export_and_read(SB_ONNX_MLM, (struct sb_sentence){0}, "e1");
    struct read_model second = export_and_read(SB_ONNX_MLM, (struct sb_sentence){0}, "e2");
    assert_int_equal(first.map.bytes, second.map.bytes);
    assert_memory_equal(first.map.data, second.map.data, first.map.bytes);
    release_onnx(&first);
    release_onnx(&second);
}

static void a_model_beyond_two_gibibytes_is_refused_untouched(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_onnx *onnx = sb_onnx_new("large");
    const char *path = sb_test_path(sb_test_dir(), "large.onnx");
    float first = 1; /* nothing beyond it may be read */
    sb_onnx_matrix(onnx, "a", &first, 1u << 14, 1u << 14);
    sb_onnx_transposed(onnx, "b", &first, 1u << 14, 1u << 14);
    assert_int_equal(sb_onnx_write(onnx, path, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "2147483647 at most");
    assert_false(sb_file_exists(path));
    sb_onnx_free(&onnx);
}

static void a_folder_is_what_its_architecture_says(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum sb_onnx_head head;
    } cases[] = {
        {"{\"architectures\": [\"BertForSequenceClassification\"]}", SB_ONNX_CLASSIFY},
        {"{\"architectures\": [\"BertForTokenClassification\"]}", SB_ONNX_TOKENS},
        {"{\"architectures\": [\"BertForMaskedLM\"]}", SB_ONNX_MLM},
        {"{\"architectures\": [\"BertForPreTraining\"]}", SB_ONNX_MLM},
        {"{\"architectures\": [\"BertModel\"]}", SB_ONNX_BODY},
        {"{\"architectures\": [7]}", SB_ONNX_BODY},
        {"{}", SB_ONNX_BODY},
    };
    const char *folder = sb_test_dir();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sb_test_write(folder, "config.json", cases[i].config);
        assert_int_equal(looked_at(folder, NULL).head, cases[i].head);
    }
    struct sb_err err = SB_ERR_INIT;
    sb_test_write(folder, "config.json", "{");
    struct sb_export export = {.model = folder};
    assert_int_equal(sb_export_look(&export, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "config.json': line 1");
}

/* ---- sentence-transformers ---- */

static const char *export_sentences(const char *name, struct sb_sentence sentence)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_export export = {
        .model = golden, .output = sb_test_path(sb_test_dir(), name), .sentence = sentence};
    assert_int_equal(sb_export_sentence_transformers(&export, &err), 0);
    return export.output;
}

static void a_sentence_folder_tells_what_was_asked_for(void **state)
{
    (void)state;
    for (int pooling = 0; pooling < SB_POOLING_COUNT; pooling++)
        for (int normalize = 0; normalize < 2; normalize++) {
            const char *folder =
                export_sentences("s", (struct sb_sentence){.pooling = (enum sb_pooling)pooling,
                                                           .normalize = normalize,
                                                           .max_length = 9});
            struct sb_export export = looked_at(folder, NULL);
            assert_int_equal(export.head, SB_ONNX_EMBED);
            assert_int_equal(export.sentence.pooling, pooling);
            assert_int_equal(export.sentence.normalize, normalize);
            assert_int_equal(export.sentence.max_length, 9);
        }
}

static void a_sentence_is_no_longer_than_the_positions(void **state)
{
    (void)state;
    const char *folder = export_sentences("p", (struct sb_sentence){.max_length = 500});
    assert_int_equal(looked_at(folder, NULL).sentence.max_length, 24);
}

static void the_body_has_its_own_names_and_the_same_weights(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors from = SB_SAFETENSORS_INIT, to = SB_SAFETENSORS_INIT;
    const char *folder = export_sentences("b", (struct sb_sentence){0});
    const char *source = sb_test_path(golden, "model.safetensors");
    assert_int_equal(sb_safetensors_open(&from, source, &err), 0);
    assert_int_equal(sb_safetensors_open(&to, sb_test_path(folder, "model.safetensors"), &err), 0);
    assert_int_equal(to.count, 5 + 2 * 16 + 2); /* embeddings, layers, pooler */
    for (size_t i = 0; i < to.count; i++) {
        char name[128];
        snprintf(name, sizeof(name), "bert.%s", to.tensors[i].name);
        const struct sb_st_tensor *tensor = sb_safetensors_find(&from, name);
        assert_non_null(tensor);
        assert_int_equal(tensor->end - tensor->begin, to.tensors[i].end - to.tensors[i].begin);
        assert_memory_equal(from.data + tensor->begin, to.data + to.tensors[i].begin,
                            tensor->end - tensor->begin);
    }
    sb_safetensors_close(&from);
    sb_safetensors_close(&to);
}

/* ---- heads on embeddings ---- */

enum { EMBEDDING = 16, LABELS = 4 };

/* A head of the golden body's width with made-up numbers; class 2 is unseen unless all are. */
static struct sb_embed_head made_up_head(enum sb_embed_head_kind kind, size_t class_count)
{
    struct sb_embed_head head = {
        .kind = kind,
        .normalize = kind == SB_EMBED_HEAD_CENTROID,
        .C = kind == SB_EMBED_HEAD_CENTROID ? 0 : 1,
        .embedding_size = EMBEDDING,
        .row_count = sb_embed_head_rows(kind, class_count),
        .label_count = LABELS,
        .class_count = class_count,
    };
    head.coef = sb_calloc(head.row_count * EMBEDDING, sizeof(*head.coef));
    head.intercept = sb_calloc(head.row_count, sizeof(*head.intercept));
    for (size_t i = 0; i < head.row_count * EMBEDDING; i++)
        head.coef[i] = (double)((i * 37 + 11) % 64) / 32 - 1;
    for (size_t r = 0; r < head.row_count && kind != SB_EMBED_HEAD_CENTROID; r++)
        head.intercept[r] = 0.25 * (double)r - 0.5;
    head.labels = sb_calloc(LABELS, sizeof(*head.labels));
    head.classes = sb_calloc(class_count, sizeof(*head.classes));
    for (size_t l = 0; l < LABELS; l++) {
        char name[16];
        snprintf(name, sizeof(name), "label %zu", l);
        head.labels[l] = sb_strdup(name);
    }
    for (size_t k = 0, l = 0; k < class_count; k++, l++) {
        l += l == 2 && class_count < LABELS;
        head.classes[k] = (uint32_t)l;
    }
    return head;
}

static void probabilities(double *p, const struct sb_folded_head *folded, const float *x,
                          bool one_vs_rest)
{
    double sum = 0, length = 0;
    for (size_t c = 0; c < EMBEDDING; c++)
        length += (double)x[c] * (double)x[c];
    double scale = folded->normalize ? 1 / sqrt(length) : 1;
    for (size_t l = 0; l < LABELS; l++) {
        double logit = (double)folded->bias[l];
        for (size_t c = 0; c < EMBEDDING; c++)
            logit += (double)folded->weight[l * EMBEDDING + c] * (double)x[c] * scale;
        p[l] = one_vs_rest ? 1 / (1 + exp(-logit)) : exp(logit);
        sum += p[l];
    }
    for (size_t l = 0; l < LABELS && !one_vs_rest; l++)
        p[l] /= sum;
}

static const struct {
    enum sb_embed_head_kind kind;
    size_t class_count;
} head_cases[] = {
    {SB_EMBED_HEAD_LOGISTIC, 2},    {SB_EMBED_HEAD_LOGISTIC, 3}, {SB_EMBED_HEAD_LOGISTIC, 4},
    {SB_EMBED_HEAD_ONE_VS_REST, 4}, {SB_EMBED_HEAD_CENTROID, 3}, {SB_EMBED_HEAD_CENTROID, 2},
};
enum { HEAD_CASES = sizeof(head_cases) / sizeof(head_cases[0]) };

static void a_folded_head_has_the_probabilities_of_the_head(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAD_CASES; i++) {
        struct sb_embed_head head = made_up_head(head_cases[i].kind, head_cases[i].class_count);
        struct sb_folded_head folded;
        float x[EMBEDDING];
        double got[LABELS], wanted[LABELS];
        for (size_t c = 0; c < EMBEDDING; c++)
            x[c] = (float)((c * 29 + 5) % 16) / 16 - 0.5f;
        sb_folded_head_init(&folded, &head);
        sb_embed_head_probabilities(wanted, &head, x, 1);
        probabilities(got, &folded, x, head.kind == SB_EMBED_HEAD_ONE_VS_REST);
        for (size_t l = 0; l < LABELS; l++)
            assert_true(fabs(got[l] - wanted[l]) < 1e-6);
        sb_folded_head_release(&folded);
        sb_embed_head_release(&head);
    }
}

/* The golden body and a head, as a folder that both formats take. */
static const char *folder_with_head(enum sb_embed_head_kind kind, size_t class_count)
{
    struct sb_err err = SB_ERR_INIT;
    const char *folder = export_sentences("body", (struct sb_sentence){.pooling = SB_POOLING_MAX});
    struct sb_embed_head head = made_up_head(kind, class_count);
    assert_int_equal(sb_embed_head_write(&head, folder, &err), 0);
    sb_embed_head_release(&head);
    return folder;
}

static void a_head_on_embeddings_goes_where_the_body_goes(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_embed_head head;
    const char *source = folder_with_head(SB_EMBED_HEAD_ONE_VS_REST, 4);
    struct sb_export export = looked_at(source, sb_test_path(sb_test_dir(), "out"));
    assert_int_equal(export.head, SB_ONNX_FOLDED);
    assert_int_equal(export.sentence.pooling, SB_POOLING_MAX);
    assert_int_equal(sb_export_sentence_transformers(&export, &err), 0);
    assert_int_equal(sb_embed_head_read(&head, export.output, &err), 0);
    assert_int_equal(head.label_count, LABELS);
    sb_embed_head_release(&head);
    assert_int_equal(sb_export_onnx(&export, &err), 0);
    struct read_model read = read_onnx(sb_test_path(export.output, "onnx/model.onnx"));
    const Sb__Onnx__Tensor *weight = find_tensor(read.graph, "classifier.weight");
    assert_int_equal(weight->dims[0], EMBEDDING);
    assert_int_equal(weight->dims[1], LABELS);
    assert_string_equal(read.graph->output[0]->name, "logits");
    release_onnx(&read);
}

static void a_head_for_another_body_is_refused(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *source = folder_with_head(SB_EMBED_HEAD_LOGISTIC, 4);
    struct sb_embed_head head = made_up_head(SB_EMBED_HEAD_LOGISTIC, 4);
    head.embedding_size = EMBEDDING / 2;
    assert_int_equal(sb_embed_head_write(&head, source, &err), 0);
    sb_embed_head_release(&head);
    struct sb_export export = looked_at(source, sb_test_path(sb_test_dir(), "out"));
    assert_int_equal(sb_export_onnx(&export, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "vectors of 8 numbers, the body makes 16");
}

#define MODULE(kind, path) "{\"path\": \"" path "\", \"type\": \"any.place." kind "\"}"
#define BODY               MODULE("Transformer", "")
#define POOL               MODULE("Pooling", "1_Pooling")
#define MEAN               "{\"pooling_mode_mean_tokens\": true}"

static void what_a_sentence_folder_asks_and_we_do_not_compute_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *modules, *pooling, *limits, *words;
    } cases[] = {
        {"[", MEAN, "{}", "modules.json': line 1"},
        {"{}", MEAN, "{}", "a Transformer and a Pooling are expected"},
        {"[]", MEAN, "{}", "a Transformer and a Pooling are expected"},
        {"[" BODY "]", MEAN, "{}", "a Transformer and a Pooling are expected"},
        {"[" POOL "," BODY "]", MEAN, "{}", "module 0 is 'Pooling'"},
        {"[" BODY "," POOL "," MODULE("Dense", "2_Dense") "]", MEAN, "{}", "module 2 is 'Dense'"},
        {"[" BODY "," POOL ",{},{}]", MEAN, "{}", "module 2 is ''"},
        {"[" BODY "," POOL "," MODULE("Normalize", "2") "," MODULE("Normalize", "3") "]", MEAN,
         "{}", "module 3"},
        {"[" MODULE("Transformer", "0_Transformer") "," POOL "]", MEAN, "{}", "'0_Transformer'"},
        {"[" BODY "," MODULE("Pooling", "../1_Pooling") "]", MEAN, "{}", "'../1_Pooling' is not"},
        {"[" BODY "," MODULE("Pooling", "/etc") "]", MEAN, "{}", "'/etc' is not"},
        {"[" BODY "," MODULE("Pooling", "..") "]", MEAN, "{}", "'..' is not"},
        {"[" BODY ",{\"type\": \"x.Pooling\", \"path\": 3}]", MEAN, "{}", "module 1"},
        {"[" BODY "," POOL "]", "{}", "{}", "no pooling_mode"},
        {"[" BODY "," POOL "]", "[]", "{}", "no pooling_mode"},
        {"[" BODY "," POOL "]", "{\"pooling_mode_lasttoken\": true}", "{}", "lasttoken"},
        {"[" BODY "," POOL "]",
         "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_max_tokens\": true}", "{}",
         "more than one"},
        {"[" BODY "," POOL "]", MEAN, "{\"max_seq_length\": 3}", "at least 4"},
        {"[" BODY "," POOL "]", MEAN, "{\"max_seq_length\": \"9\"}", "max_seq_length"},
    };
    struct sb_err err = SB_ERR_INIT;
    const char *folder = sb_test_path(sb_test_dir(), "refused");
    const char *pooling = sb_test_path(folder, "1_Pooling");
    assert_int_equal(sb_dir_make(pooling, &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_sentence sentence;
        err = (struct sb_err)SB_ERR_INIT;
        sb_test_write(folder, "modules.json", cases[i].modules);
        sb_test_write(folder, "sentence_bert_config.json", cases[i].limits);
        sb_test_write(pooling, "config.json", cases[i].pooling);
        assert_int_equal(sb_sentence_read(&sentence, folder, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
    }
}

static void a_folder_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *file = sb_test_write(sb_test_dir(), "file", "not a folder");
    struct sb_export export = looked_at(golden, sb_test_path(file, "x"));
    assert_int_equal(sb_export_onnx(&export, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, file);
    assert_int_equal(sb_export_sentence_transformers(&export, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, file);
    export.output = golden;
    assert_int_equal(sb_export_onnx(&export, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "own folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_made_once_and_before_it_is_used),
        cmocka_unit_test(a_graph_names_its_version_inputs_and_outputs),
        cmocka_unit_test(weights_are_those_of_the_model_and_stand_there_once),
        cmocka_unit_test(equal_constants_are_one_tensor),
        cmocka_unit_test(equal_models_give_equal_bytes),
        cmocka_unit_test(a_model_beyond_two_gibibytes_is_refused_untouched),
        cmocka_unit_test(a_folder_is_what_its_architecture_says),
        cmocka_unit_test(a_sentence_folder_tells_what_was_asked_for),
        cmocka_unit_test(a_sentence_is_no_longer_than_the_positions),
        cmocka_unit_test(the_body_has_its_own_names_and_the_same_weights),
        cmocka_unit_test(a_folded_head_has_the_probabilities_of_the_head),
        cmocka_unit_test(a_head_on_embeddings_goes_where_the_body_goes),
        cmocka_unit_test(a_head_for_another_body_is_refused),
        cmocka_unit_test(what_a_sentence_folder_asks_and_we_do_not_compute_is_refused),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
