#include "sentence.h"

#include "export_json.h"
#include "file.h"

#include <string.h>

const char *const sb_pooling_names[SB_POOLING_COUNT] = {"mean", "cls", "max"};

/* The keys of 1_Pooling/config.json; those that we compute first, in the order of the enum. */
static const char *const pooling_keys[] = {
    "pooling_mode_mean_tokens",         "pooling_mode_cls_token",
    "pooling_mode_max_tokens",          "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken",
};
enum { POOLING_KEY_COUNT = sizeof(pooling_keys) / sizeof(pooling_keys[0]) };

enum { SHORTEST_MAX = 4 }; /* tokens: a pair of texts has three specials */

static const char modules_name[] = "modules.json";
static const char limits_name[] = "sentence_bert_config.json";
static const char pooling_folder[] = "1_Pooling";
static const char normalize_folder[] = "2_Normalize";

bool sb_sentence_is_folder(const char *folder)
{
    char path[SB_PATH_BYTES];
    return sb_file_exists(sb_path_join(path, folder, modules_name));
}

/* ---- reading ---- */

static int read_pooling(struct sb_sentence *sentence, const char *folder, const char *module_path,
                        struct sb_err *err)
{
    char module[SB_PATH_BYTES], path[SB_PATH_BYTES];
    /* Beside modules.json and nowhere else. */
    if (!*module_path || strchr(module_path, '/') || module_path[0] == '.')
        return sb_err_set(err, SB_ERR_DATA, "'%s/%s': '%s' is not the name of a folder beside it",
                          folder, modules_name, module_path);
    sb_path_join(path, sb_path_join(module, folder, module_path), "config.json");
    json_t *root = sb_export_load(path, err);
    if (!root)
        return -1;
    int rc = 0, found = -1;
    for (int i = 0; rc == 0 && i < POOLING_KEY_COUNT; i++) {
        if (!json_is_true(json_object_get(root, pooling_keys[i])))
            continue;
        if (i >= SB_POOLING_COUNT)
            rc = sb_err_set(err, SB_ERR_DATA, "'%s': %s is not supported; mean, cls and max are",
                            path, pooling_keys[i]);
        else if (found >= 0)
            rc = sb_err_set(err, SB_ERR_DATA, "'%s': more than one pooling is not supported", path);
        found = i;
    }
    if (rc == 0 && found < 0)
        rc = sb_err_set(err, SB_ERR_DATA, "'%s': no pooling_mode_... is true", path);
    if (rc == 0)
        sentence->pooling = (enum sb_pooling)found;
    json_decref(root);
    return rc;
}

/* "sentence_transformers.models.Pooling" -> "Pooling": what stands before it differs by release. */
static const char *module_kind(const json_t *module)
{
    const char *type = json_string_value(json_object_get(module, "type"));
    const char *dot = type ? strrchr(type, '.') : NULL;
    return dot ? dot + 1 : type ? type : "";
}

/* A body in the folder itself, a pooling, and perhaps a normalisation, in this order. */
static int read_modules(struct sb_sentence *sentence, const char *folder, const json_t *modules,
                        struct sb_err *err)
{
    static const char *const kinds[] = {"Transformer", "Pooling", "Normalize"};
    size_t count = json_array_size(modules);
    for (size_t i = 0; i < count; i++) {
        const json_t *module = json_array_get(modules, i);
        const char *kind = module_kind(module);
        const char *path = json_string_value(json_object_get(module, "path"));
        if (i >= sizeof(kinds) / sizeof(kinds[0]) || strcmp(kind, kinds[i]) || !path)
            return sb_err_set(err, SB_ERR_DATA,
                              "'%s/%s': module %zu is '%s': only Transformer, Pooling and perhaps "
                              "Normalize, in this order, are supported",
                              folder, modules_name, i, kind);
        if (i == 0 && *path)
            return sb_err_set(err, SB_ERR_DATA,
                              "'%s/%s': the body lies in '%s'; only one in the folder itself is "
                              "supported",
                              folder, modules_name, path);
        if (i == 1 && read_pooling(sentence, folder, path, err) < 0)
            return -1;
    }
    if (count < 2)
        return sb_err_set(err, SB_ERR_DATA, "'%s/%s': a Transformer and a Pooling are expected",
                          folder, modules_name);
    sentence->normalize = count == 3;
    return 0;
}

static int read_limits(struct sb_sentence *sentence, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    if (!sb_file_exists(sb_path_join(path, folder, limits_name)))
        return 0;
    json_t *root = sb_export_load(path, err);
    if (!root)
        return -1;
    const json_t *length = json_object_get(root, "max_seq_length");
    int rc = 0;
    if (json_is_integer(length) && json_integer_value(length) >= SHORTEST_MAX)
        sentence->max_length = (size_t)json_integer_value(length);
    else if (length && !json_is_null(length))
        rc =
            sb_err_set(err, SB_ERR_DATA, "'%s': max_seq_length must be a whole number, at least %d",
                       path, SHORTEST_MAX);
    json_decref(root);
    return rc;
}

int sb_sentence_read(struct sb_sentence *sentence, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    *sentence = (struct sb_sentence){0};
    json_t *modules = sb_export_load(sb_path_join(path, folder, modules_name), err);
    if (!modules)
        return -1;
    int rc = read_modules(sentence, folder, modules, err);
    if (rc == 0)
        rc = read_limits(sentence, folder, err);
    json_decref(modules);
    return rc;
}

/* ---- writing ---- */

static int write_pooling(const struct sb_sentence *sentence, size_t hidden_size, const char *folder,
                         struct sb_err *err)
{
    char module[SB_PATH_BYTES];
    json_t *root = json_object();
    json_object_set_new(root, "word_embedding_dimension", json_integer((json_int_t)hidden_size));
    for (int i = 0; i < POOLING_KEY_COUNT; i++)
        json_object_set_new(root, pooling_keys[i], json_boolean(i == (int)sentence->pooling));
    json_object_set_new(root, "include_prompt", json_true());
    if (sb_dir_make(sb_path_join(module, folder, pooling_folder), err) < 0) {
        json_decref(root);
        return -1;
    }
    return sb_export_save(module, "config.json", root, err);
}

static json_t *module_json(int index, const char *path, const char *kind)
{
    char name[16], type[64];
    snprintf(name, sizeof(name), "%d", index);
    snprintf(type, sizeof(type), "sentence_transformers.models.%s", kind);
    return json_pack("{s:i, s:s, s:s, s:s}", "idx", index, "name", name, "path", path, "type",
                     type);
}

int sb_sentence_write(const struct sb_sentence *sentence, size_t hidden_size, const char *folder,
                      struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    sb_assert(sentence->max_length > 0);
    /* The tokenizer lowers the text where it must: do_lower_case would do so a second time. */
    json_t *limits = json_pack("{s:I, s:b}", "max_seq_length", (json_int_t)sentence->max_length,
                               "do_lower_case", 0);
    /* Of sentence-transformers no version is named: these files bind to none. */
    json_t *config = json_pack("{s:{s:s}, s:{}, s:n, s:s}", "__version__", "shardbert", SB_VERSION,
                               "prompts", "default_prompt_name", "similarity_fn_name", "cosine");
    json_t *modules = json_array();
    json_array_append_new(modules, module_json(0, "", "Transformer"));
    json_array_append_new(modules, module_json(1, pooling_folder, "Pooling"));
    if (sentence->normalize)
        json_array_append_new(modules, module_json(2, normalize_folder, "Normalize"));

    int rc = sb_export_save(folder, limits_name, limits, err);
    if (rc == 0)
        rc = write_pooling(sentence, hidden_size, folder, err);
    if (rc == 0 && sentence->normalize)
        rc = sb_dir_make(sb_path_join(path, folder, normalize_folder), err);
    if (rc == 0)
        rc = sb_export_save(folder, "config_sentence_transformers.json", config, err);
    else
        json_decref(config);
    if (rc == 0)
        return sb_export_save(folder, modules_name, modules, err);
    json_decref(modules);
    return rc;
}
