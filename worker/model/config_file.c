/* config.json: the shape of a model as Hugging Face writes it. */
#include "model_files.h"

#include "arena.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The limits keep every product of two sizes far from overflow; no BERT comes near them.
 *
 *     key, field, must be there, largest
 */
#define CONFIG_SIZES(X)                                                                            \
    X("vocab_size", vocab_size, false, 16777216) /* of a fresh model: the tokenizer's */           \
    X("hidden_size", hidden_size, true, 65536)                                                     \
    X("num_hidden_layers", layer_count, true, 1024)                                                \
    X("num_attention_heads", head_count, true, 65536)                                              \
    X("intermediate_size", intermediate_size, true, 1048576)                                       \
    X("max_position_embeddings", max_positions, false, 1048576)                                    \
    X("type_vocab_size", type_count, false, 256)

/*     key, field, least, below */
#define CONFIG_REALS(X)                                                                            \
    X("hidden_dropout_prob", hidden_dropout, 0.0, 1.0)                                             \
    X("attention_probs_dropout_prob", attention_dropout, 0.0, 1.0)                                 \
    X("classifier_dropout", classifier_dropout, 0.0, 1.0)                                          \
    X("initializer_range", initializer_range, 0.0, 100.0)                                          \
    X("layer_norm_eps", layer_norm_eps, 1e-30, 1.0)

enum { LABELS_MAX = 1048576, HF_DEFAULT_LABELS = 2 };

static const struct {
    const char *name;
    enum sb_activation activation;
} activations[] = {
    {"gelu", SB_GELU_ERF},
    {"gelu_new", SB_GELU_TANH},
    {"gelu_pytorch_tanh", SB_GELU_TANH},
};

/* ---- reading ---- */

struct config_file {
    const char *path;
    const json_t *root;
    struct sb_err *err;
};

static const json_t *get(const struct config_file *file, const char *key)
{
    const json_t *value = json_object_get(file->root, key);
    return json_is_null(value) ? NULL : value; /* null means: the default */
}

static int read_size(size_t *out, const struct config_file *file, const char *key, bool required,
                     long long most)
{
    const json_t *value = get(file, key);
    if (!value && required)
        return sb_err_set(file->err, SB_ERR_DATA, "'%s': '%s' is missing", file->path, key);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > most)
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': '%s' must be a whole number from 1 to %lld", file->path, key,
                          most);
    *out = (size_t)json_integer_value(value);
    return 0;
}

static int read_real(double *out, const struct config_file *file, const char *key, double least,
                     double below)
{
    const json_t *value = get(file, key);
    if (!value)
        return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= least && number < below))
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': '%s' must be a number, at least %g and below %g", file->path, key,
                          least, below);
    *out = number;
    return 0;
}

/* NULL if the key is missing; *failed is set if it is no string. */
static const char *read_text(const struct config_file *file, const char *key, bool *failed)
{
    const json_t *value = get(file, key);
    if (!value || json_is_string(value))
        return value ? json_string_value(value) : NULL;
    sb_err_set(file->err, SB_ERR_DATA, "'%s': '%s' must be a string", file->path, key);
    *failed = true;
    return NULL;
}

/* The first name of "architectures", or "". */
static const char *first_architecture(const struct config_file *file)
{
    const char *name = json_string_value(json_array_get(get(file, "architectures"), 0));
    return name ? name : "";
}

/* Other models share file names, and often tensor names, with BERT; their arithmetic differs. */
static int check_kind(const struct config_file *file)
{
    bool failed = false;
    const char *type = read_text(file, "model_type", &failed);
    const char *positions = read_text(file, "position_embedding_type", &failed);
    if (failed)
        return -1;
    if (type && strcmp(type, "bert"))
        return sb_err_set(file->err, SB_ERR_DATA, "'%s': model_type is '%s', only 'bert' is read",
                          file->path, type);
    /* Configs of 2018 and 2019 name no type; their architecture, if any, does. */
    const char *architecture = first_architecture(file);
    if (!type && *architecture && strncmp(architecture, "Bert", strlen("Bert")))
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': the architecture is '%s', only Bert... is read", file->path,
                          architecture);
    if (positions && strcmp(positions, "absolute"))
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': position_embedding_type '%s' is not supported, only 'absolute' is",
                          file->path, positions);
    const char *decoders[] = {"is_decoder", "add_cross_attention"};
    for (size_t i = 0; i < 2; i++)
        if (json_is_true(get(file, decoders[i])))
            return sb_err_set(file->err, SB_ERR_DATA,
                              "'%s': '%s' is true: only encoders are supported", file->path,
                              decoders[i]);
    return 0;
}

static int read_activation(struct sb_bert_config *config, const struct config_file *file)
{
    bool failed = false;
    const char *name = read_text(file, "hidden_act", &failed);
    if (failed || !name)
        return failed ? -1 : 0;
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++) {
        if (!strcmp(activations[i].name, name)) {
            config->activation = activations[i].activation;
            return 0;
        }
    }
    return sb_err_set(file->err, SB_ERR_DATA,
                      "'%s': hidden_act '%s' is not supported, gelu and gelu_new are", file->path,
                      name);
}

static int read_pad_id(struct sb_bert_config *config, const struct config_file *file)
{
    const json_t *value = get(file, "pad_token_id");
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (size_t)json_integer_value(value) >= config->vocab_size)
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': 'pad_token_id' must be a whole number below vocab_size %zu",
                          file->path, config->vocab_size);
    config->pad_id = (int32_t)json_integer_value(value);
    return 0;
}

/* A class number in decimal, as the keys of id2label are: "0", "17"; not "", "+1", "01" or "1x". */
static bool parse_class(size_t *out, const char *key, size_t count)
{
    size_t value = 0;
    if (!*key || (key[0] == '0' && key[1]))
        return false;
    for (; *key; key++) {
        if (*key < '0' || *key > '9' || value >= count)
            return false;
        value = value * 10 + (size_t)(*key - '0');
    }
    *out = value;
    return value < count;
}

/* Turns id2label, or an equal list made from label2id, into names[0..count): each class once. */
static int collect_labels(const char **names, const struct config_file *file, const json_t *map,
                          bool by_id)
{
    size_t count = json_object_size(map), class_id = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        bool valid = by_id ? json_is_string(value) && parse_class(&class_id, key, count)
                           : json_is_integer(value) && json_integer_value(value) >= 0 &&
                                 (size_t)json_integer_value(value) < count;
        if (valid && !by_id)
            class_id = (size_t)json_integer_value(value);
        if (!valid || names[class_id])
            return sb_err_set(file->err, SB_ERR_DATA,
                              "'%s': %s must name the classes 0 to %zu, each once: see '%s'",
                              file->path, by_id ? "id2label" : "label2id", count - 1, key);
        names[class_id] = by_id ? json_string_value(value) : key;
    }
    return 0;
}

/* Where both maps are there they must agree: else class 3 means one thing here, another there. */
static int check_label_ids(char *const *labels, size_t count, const struct config_file *file,
                           const json_t *ids)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_object_get(ids, labels[i]);
        if (!json_is_integer(id) || json_integer_value(id) != (json_int_t)i)
            return sb_err_set(file->err, SB_ERR_DATA,
                              "'%s': id2label calls class %zu '%s', label2id does not agree",
                              file->path, i, labels[i]);
    }
    return 0;
}

static void default_labels(struct sb_bert_config *config, size_t count)
{
    char **names = sb_calloc(count, sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "LABEL_%zu", i);
        names[i] = sb_strdup(name);
    }
    config->labels = names;
    config->label_count = count;
}

static int read_labels(struct sb_bert_config *config, const struct config_file *file)
{
    const json_t *by_id = get(file, "id2label"), *by_label = get(file, "label2id");
    const json_t *map = by_id ? by_id : by_label;
    if ((by_id && !json_is_object(by_id)) || (by_label && !json_is_object(by_label)))
        return sb_err_set(file->err, SB_ERR_DATA, "'%s': id2label and label2id must be objects",
                          file->path);
    size_t count = json_object_size(map);
    if (!count) {
        /* The default of two classes is left out of files; without a classifier there are none. */
        size_t default_count =
            strstr(first_architecture(file), "Classification") ? HF_DEFAULT_LABELS : 0;
        if (read_size(&default_count, file, "num_labels", false, LABELS_MAX) < 0)
            return -1;
        if (default_count)
            default_labels(config, default_count);
        return 0;
    }
    const char **names = sb_calloc(count, sizeof(*names));
    int rc = collect_labels(names, file, map, by_id != NULL);
    if (rc == 0)
        sb_bert_config_set_labels(config, (char *const *)(uintptr_t)names, count);
    if (rc == 0 && by_id && json_object_size(by_label))
        rc = check_label_ids(config->labels, count, file, by_label);
    free(names);
    return rc;
}

static const char *const problems[] = {
#define PROBLEM_NAME(id, name) [id] = name,
    SB_PROBLEMS(PROBLEM_NAME)
#undef PROBLEM_NAME
};

bool sb_problem_find(enum sb_problem *problem, const char *name)
{
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
        if (!strcmp(problems[i], name)) {
            *problem = (enum sb_problem)i;
            return true;
        }
    return false;
}

const char *sb_problem_name(enum sb_problem problem)
{
    return problems[problem];
}

/* Where nothing is said, a classifier of one output is a regression, as Hugging Face takes it. */
static int read_problem(struct sb_bert_config *config, const struct config_file *file)
{
    bool failed = false;
    const char *name = read_text(file, "problem_type", &failed);
    if (failed)
        return -1;
    if (!name && config->label_count == 1 &&
        strstr(first_architecture(file), "SequenceClassification"))
        config->problem = SB_REGRESSION;
    if (!name || sb_problem_find(&config->problem, name))
        return 0;
    return sb_err_set(file->err, SB_ERR_DATA,
                      "'%s': problem_type '%s' is unknown; there are single_label_classification, "
                      "multi_label_classification and regression",
                      file->path, name);
}

static int read_fields(struct sb_bert_config *config, const struct config_file *file)
{
    if (check_kind(file) < 0)
        return -1;
#define READ_SIZE(key, field, required, most)                                                      \
    if (read_size(&config->field, file, key, required, most) < 0)                                  \
        return -1;
#define READ_REAL(key, field, least, below)                                                        \
    if (read_real(&config->field, file, key, least, below) < 0)                                    \
        return -1;
    CONFIG_SIZES(READ_SIZE)
    CONFIG_REALS(READ_REAL)
    if (config->hidden_size % config->head_count)
        return sb_err_set(file->err, SB_ERR_DATA,
                          "'%s': hidden_size %zu is not a multiple of num_attention_heads %zu",
                          file->path, config->hidden_size, config->head_count);
    if (read_activation(config, file) < 0 || read_pad_id(config, file) < 0)
        return -1;
    return read_labels(config, file) < 0 ? -1 : read_problem(config, file);
}

/* The object of folder/config.json, or of folder if it is a file; path receives its name. */
static json_t *load(char path[SB_PATH_BYTES], const char *folder, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    json_t *root = NULL;
    json_error_t json_err;
    if (sb_file_exists(folder))
        snprintf(path, SB_PATH_BYTES, "%s", folder);
    else
        sb_path_join(path, folder, "config.json");
    if (sb_file_read(&text, path, err) < 0)
        goto done;
    root = json_loadb(text.data ? text.data : "", text.count, JSON_REJECT_DUPLICATES, &json_err);
    if (!root) {
        sb_err_set(err, SB_ERR_DATA, "'%s': line %d: %s", path, json_err.line, json_err.text);
    } else if (!json_is_object(root)) {
        sb_err_set(err, SB_ERR_DATA, "'%s': is not a JSON object", path);
        json_decref(root);
        root = NULL;
    }
done:
    sb_bytes_release(&text);
    return root;
}

int sb_config_read(struct sb_bert_config *config, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    sb_bert_config_defaults(config);
    json_t *root = load(path, folder, err);
    int rc = root ? read_fields(config, &(struct config_file){path, root, err}) : -1;
    json_decref(root);
    if (rc < 0)
        sb_bert_config_release(config);
    return rc;
}

int sb_config_architecture(char name[SB_ARCHITECTURE_BYTES], const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    json_t *root = load(path, folder, err);
    if (!root)
        return -1;
    snprintf(name, SB_ARCHITECTURE_BYTES, "%s",
             first_architecture(&(struct config_file){path, root, err}));
    json_decref(root);
    return 0;
}

/* ---- writing ---- */

/* Keys stand in the order in which they are set: equal configs give equal bytes. */
static json_t *labels_by_id(const struct sb_bert_config *config)
{
    json_t *map = json_object();
    for (size_t i = 0; i < config->label_count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%zu", i);
        json_object_set_new(map, key, json_string(config->labels[i]));
    }
    return map;
}

static json_t *ids_by_label(const struct sb_bert_config *config)
{
    json_t *map = json_object();
    for (size_t i = 0; i < config->label_count; i++)
        json_object_set_new(map, config->labels[i], json_integer((json_int_t)i));
    return map;
}

/*
 * transformers reads any version; this says which one's keys these are: torch_dtype, as 4.x writes
 * it (5 says dtype).  A constant, so that equal models have equal files.
 */
static const char TRANSFORMERS_VERSION[] = "4.44.0";

static json_t *config_as_json(const struct sb_bert_config *config, const char *architecture)
{
    json_t *root = json_object();
    json_object_set_new(root, "architectures", json_pack("[s]", architecture));
    json_object_set_new(root, "model_type", json_string("bert"));
#define WRITE_SIZE(key, field, required, most)                                                     \
    json_object_set_new(root, key, json_integer((json_int_t)config->field));
#define WRITE_REAL(key, field, least, below)                                                       \
    json_object_set_new(root, key, config->field < 0 ? json_null() : json_real(config->field));
    CONFIG_SIZES(WRITE_SIZE)
    CONFIG_REALS(WRITE_REAL)
    json_object_set_new(root, "hidden_act",
                        json_string(config->activation == SB_GELU_ERF ? "gelu" : "gelu_new"));
    json_object_set_new(root, "pad_token_id", json_integer(config->pad_id));
    json_object_set_new(root, "position_embedding_type", json_string("absolute"));
    json_object_set_new(root, "torch_dtype", json_string("float32"));
    json_object_set_new(root, "transformers_version", json_string(TRANSFORMERS_VERSION));
    if (config->label_count) {
        json_object_set_new(root, "id2label", labels_by_id(config));
        json_object_set_new(root, "label2id", ids_by_label(config));
    }
    if (strstr(architecture, "SequenceClassification"))
        json_object_set_new(root, "problem_type", json_string(sb_problem_name(config->problem)));
    return root;
}

/* Labels come from data files: they must be text that JSON can carry, and each must be one class.
 */
static int check_labels(const struct sb_bert_config *config, const char *path, struct sb_err *err)
{
    json_t *map = ids_by_label(config);
    size_t different = json_object_size(map);
    json_decref(map);
    if (different != config->label_count)
        return sb_err_set(err, SB_ERR_DATA,
                          "'%s': of %zu labels only %zu differ and are valid UTF-8", path,
                          config->label_count, different);
    return 0;
}

static int write_named(const struct sb_bert_config *config, const char *path,
                       const char *architecture, struct sb_err *err)
{
    if (check_labels(config, path, err) < 0)
        return -1;
    json_t *root = config_as_json(config, architecture);
    /* 15 digits give back what a person wrote: 0.1, where 17 would give 0.10000000000000001. */
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(root);
    sb_assert(text);
    struct sb_bytes bytes = SB_BYTES_INIT;
    sb_bytes_printf(&bytes, "%s\n", text);
    free(text);
    int rc = sb_file_write_atomic(path, bytes.data, bytes.count, err);
    sb_bytes_release(&bytes);
    return rc;
}

int sb_config_write(const struct sb_bert_config *config, const char *folder,
                    const char *architecture, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bert_config named;
    sb_bert_config_copy(&named, config);
    if (named.label_count && !named.labels)
        default_labels(&named, named.label_count);
    int rc = write_named(&named, sb_path_join(path, folder, "config.json"), architecture, err);
    sb_bert_config_release(&named);
    return rc;
}
