#include "export.h"

#include "config.h"
#include "export_json.h"
#include "infer.h"
#include "model_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The architecture of config.json that goes with each head; the first that a name contains. */
static const struct {
    const char *part, *architecture;
    enum sb_onnx_head head;
} heads[] = {
    {"SequenceClassification", "BertForSequenceClassification", SB_ONNX_CLASSIFY},
    {"TokenClassification", "BertForTokenClassification", SB_ONNX_TOKENS},
    {"MaskedLM", "BertForMaskedLM", SB_ONNX_MLM},
    {"PreTraining", "BertForMaskedLM", SB_ONNX_MLM},
    {"", "BertModel", SB_ONNX_BODY},
    {"", "BertForSequenceClassification", SB_ONNX_FOLDED}, /* known by its head.json */
};
enum { HEAD_COUNT = sizeof(heads) / sizeof(heads[0]) };

static const char *architecture_of(enum sb_onnx_head head)
{
    for (size_t i = 0; i < HEAD_COUNT; i++)
        if (heads[i].head == head)
            return heads[i].architecture;
    return "BertModel";
}

int sb_export_look(struct sb_export *export, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    if (!sb_dir_exists(export->model))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no model folder '%s'" SB_NO_HUB_HINT,
                          export->model);
    const bool has_head = sb_file_exists(sb_path_join(path, export->model, "head.json"));
    const bool is_sentence = sb_sentence_is_folder(export->model);
    export->sentence = (struct sb_sentence){0};
    export->head = has_head ? SB_ONNX_FOLDED : SB_ONNX_EMBED;
    if (is_sentence)
        return sb_sentence_read(&export->sentence, export->model, err);
    if (has_head)
        return 0;
    json_t *config = sb_export_load(sb_path_join(path, export->model, "config.json"), err);
    if (!config)
        return -1;
    const char *name =
        json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    size_t i = 0;
    while (!strstr(name ? name : "", heads[i].part))
        i++; /* "" is part of every name */
    export->head = heads[i].head;
    json_decref(config);
    return 0;
}

/* ---- what both kinds of folders share ---- */

/* Made if it is missing; never the folder that the model is read from. */
static int make_output(const struct sb_export *export, struct sb_err *err)
{
    struct stat model, output;
    if (sb_dir_make(export->output, err) < 0)
        return -1;
    if (stat(export->model, &model) == 0 && stat(export->output, &output) == 0 &&
        model.st_dev == output.st_dev && model.st_ino == output.st_ino)
        return sb_err_set(err, SB_ERR_CREATE,
                          "'%s' is the model's own folder: name another for the output",
                          export->output);
    return 0;
}

/* Names of the classes, and how their logits are read. */
struct classes {
    char *const *labels; /* [count] */
    size_t count;
    const char *problem; /* NULL: as the config says */
};

static void set_labels(json_t *root, const struct classes *classes)
{
    json_t *by_id = json_object(), *by_label = json_object();
    for (size_t i = 0; i < classes->count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%zu", i);
        json_object_set_new(by_id, key, json_string(classes->labels[i]));
        json_object_set_new(by_label, classes->labels[i], json_integer((json_int_t)i));
    }
    json_object_set_new(root, "id2label", by_id);
    json_object_set_new(root, "label2id", by_label);
    if (classes->problem)
        json_object_set_new(root, "problem_type", json_string(classes->problem));
}

/*
 * The model's own config.json, with whatever else it says, for the head that is exported.
 * classes: NULL for a head that has none.
 */
static int write_config(const struct sb_export *export, enum sb_onnx_head head, bool onnx,
                        const struct classes *classes, struct sb_err *err)
{
    static const char *const of_classifiers[] = {"id2label", "label2id", "num_labels",
                                                 "problem_type", "finetuning_task"};
    char path[SB_PATH_BYTES];
    json_t *root = sb_export_load(sb_path_join(path, export->model, "config.json"), err);
    if (!root)
        return -1;
    json_object_set_new(root, "architectures", json_pack("[s]", architecture_of(head)));
    json_object_set_new(root, "model_type", json_string("bert"));
    json_object_set_new(root, "torch_dtype", json_string("float32"));
    const size_t count = sizeof(of_classifiers) / sizeof(of_classifiers[0]);
    for (size_t i = 0; !classes && i < count; i++)
        json_object_del(root, of_classifiers[i]);
    if (classes)
        set_labels(root, classes);
    /* In browsers transformers.js looks for a quantised file unless it is told what is there. */
    if (onnx)
        json_object_set_new(root, "transformers.js_config", json_pack("{s:s}", "dtype", "fp32"));
    else
        json_object_del(root, "transformers.js_config");
    return sb_export_save(export->output, "config.json", root, err);
}

static size_t max_length(const struct sb_export *export, const struct sb_bert_config *config)
{
    size_t wanted = export->sentence.max_length;
    return wanted && wanted < config->max_positions ? wanted : config->max_positions;
}

/* The head on embeddings beside a body; it must fit. */
static int read_head(struct sb_embed_head *head, const struct sb_export *export,
                     const struct sb_bert_config *config, struct sb_err *err)
{
    if (sb_embed_head_read(head, export->model, err) < 0)
        return -1;
    if (head->embedding_size == config->hidden_size)
        return 0;
    sb_err_set(err, SB_ERR_DATA, "'%s': the head takes vectors of %zu numbers, the body makes %zu",
               export->model, head->embedding_size, config->hidden_size);
    sb_embed_head_release(head);
    return -1;
}

/* ---- onnx ---- */

static int write_graph(const struct sb_export *export, struct sb_infer *infer,
                       const struct sb_embed_head *head, struct sb_err *err)
{
    char folder[SB_PATH_BYTES], path[SB_PATH_BYTES];
    struct sb_onnx_outputs outputs = {.head = export->head, .sentence = export->sentence};
    if (sb_dir_make(sb_path_join(folder, export->output, "onnx"), err) < 0)
        return -1;
    if (export->head == SB_ONNX_FOLDED) {
        sb_folded_head_init(&outputs.folded, head);
        outputs.sentence.normalize |= outputs.folded.normalize;
    }
    struct sb_onnx *onnx = sb_onnx_new("bert");
    sb_onnx_bert(onnx, &infer->bert.config, &infer->bert.params, infer->weights, &outputs);
    int rc = sb_onnx_write(onnx, sb_path_join(path, folder, "model.onnx"), err);
    sb_onnx_free(&onnx);
    sb_folded_head_release(&outputs.folded);
    return rc;
}

static int write_onnx(const struct sb_export *export, struct sb_infer *infer,
                      const struct sb_embed_head *head, struct sb_err *err)
{
    const struct sb_bert_config *config = &infer->bert.config;
    const struct classes own = {.labels = config->labels, .count = config->label_count};
    const bool multi_label = head->kind == SB_EMBED_HEAD_ONE_VS_REST;
    const struct classes folded = {
        .labels = head->labels,
        .count = head->label_count,
        .problem = multi_label ? "multi_label_classification" : "single_label_classification",
    };
    const struct classes *classes = NULL;
    if (export->head == SB_ONNX_CLASSIFY || export->head == SB_ONNX_TOKENS)
        classes = &own;
    if (export->head == SB_ONNX_FOLDED)
        classes = &folded;
    /* The graph first, for it may be refused. */
    if (make_output(export, err) < 0 || write_graph(export, infer, head, err) < 0 ||
        sb_wordpiece_write(infer->tokenizer, export->output, max_length(export, config), err) < 0)
        return -1;
    return write_config(export, export->head, true, classes, err);
}

int sb_export_onnx(const struct sb_export *export, struct sb_err *err)
{
    struct sb_infer infer = SB_INFER_INIT;
    struct sb_embed_head head = SB_EMBED_HEAD_INIT;
    int rc = sb_infer_open(&infer, export->model, sb_onnx_head_needs(export->head), 1, err);
    if (rc == 0 && export->head == SB_ONNX_FOLDED)
        rc = read_head(&head, export, &infer.bert.config, err);
    if (rc == 0)
        rc = write_onnx(export, &infer, &head, err);
    sb_embed_head_release(&head);
    sb_infer_release(&infer);
    return rc;
}

/* ---- sentence-transformers ---- */

static const char card[] =
    "---\n"
    "library_name: sentence-transformers\n"
    "pipeline_tag: sentence-similarity\n"
    "tags:\n"
    "- sentence-transformers\n"
    "- sentence-similarity\n"
    "- feature-extraction\n"
    "---\n"
    "\n"
    "# Sentence embeddings\n"
    "\n"
    "A BERT that maps a text to a vector of %zu numbers; trained and written by shardbert.\n"
    "\n"
    "| | |\n"
    "|---|---|\n"
    "| layers | %zu |\n"
    "| longest text | %zu tokens |\n"
    "| pooling | %s |\n"
    "| length of a vector | %s |\n"
    "\n"
    "```python\n"
    "from sentence_transformers import SentenceTransformer\n"
    "\n"
    "model = SentenceTransformer(\"path/to/this/folder\")\n"
    "vectors = model.encode([\"A text.\", \"Another one.\"])\n"
    "```\n";

static int write_card(const struct sb_export *export, const struct sb_bert_config *config,
                      struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    sb_bytes_printf(&text, card, config->hidden_size, config->layer_count,
                    max_length(export, config), sb_pooling_names[export->sentence.pooling],
                    export->sentence.normalize ? "1" : "as it comes");
    int rc = sb_file_write_atomic(sb_path_join(path, export->output, "README.md"), text.data,
                                  text.count, err);
    sb_bytes_release(&text);
    return rc;
}

/* A body may come with its pooler or without; what is there is kept. */
static int look_for_pooler(unsigned *heads_there, const char *folder, struct sb_err *err)
{
    static const char name[] = "pooler.dense.weight";
    struct sb_safetensors file = SB_SAFETENSORS_INIT;
    *heads_there = SB_HEAD_NONE;
    if (sb_model_open(&file, folder, err) < 0)
        return -1;
    for (size_t i = 0; i < file.count; i++) {
        size_t bytes = strlen(file.tensors[i].name);
        if (bytes >= strlen(name) && !strcmp(file.tensors[i].name + bytes - strlen(name), name))
            *heads_there = SB_HEAD_POOLER;
    }
    sb_safetensors_close(&file);
    return 0;
}

/* A head that was fitted on this body's embeddings goes where the body goes. */
static int copy_head(const struct sb_export *export, const struct sb_bert_config *config,
                     struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_embed_head head = SB_EMBED_HEAD_INIT;
    if (!sb_file_exists(sb_path_join(path, export->model, "head.json")))
        return 0;
    int rc = read_head(&head, export, config, err);
    if (rc == 0)
        rc = sb_embed_head_write(&head, export->output, err);
    sb_embed_head_release(&head);
    return rc;
}

static int write_sentence_model(const struct sb_export *export, struct sb_infer *infer,
                                struct sb_err *err)
{
    const struct sb_bert_config *config = &infer->bert.config;
    struct sb_sentence sentence = export->sentence;
    sentence.max_length = max_length(export, config);
    sb_params_drop_prefix(&infer->bert.params);
    if (make_output(export, err) < 0 ||
        sb_wordpiece_write(infer->tokenizer, export->output, sentence.max_length, err) < 0 ||
        write_config(export, SB_ONNX_BODY, false, NULL, err) < 0 ||
        sb_model_write(infer->weights, &infer->bert.params, export->output, err) < 0 ||
        write_card(export, config, err) < 0 || copy_head(export, config, err) < 0)
        return -1;
    return sb_sentence_write(&sentence, config->hidden_size, export->output, err);
}

int sb_export_sentence_transformers(const struct sb_export *export, struct sb_err *err)
{
    struct sb_infer infer = SB_INFER_INIT;
    unsigned heads_there;
    if (look_for_pooler(&heads_there, export->model, err) < 0)
        return -1;
    int rc = sb_infer_open(&infer, export->model, heads_there, 1, err);
    if (rc == 0)
        rc = write_sentence_model(export, &infer, err);
    sb_infer_release(&infer);
    return rc;
}
