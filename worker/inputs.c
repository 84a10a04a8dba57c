#include "inputs.h"

#include "content.h"
#include "file.h"
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What decides how a model folder is read; who is missing is left out. */
static const char *const MODEL_FILES[] = {
    "config.json",           "model.safetensors",     "pytorch_model.bin", "vocab.txt",
    "tokenizer_config.json", "tokenizer.json",        "head.json",         "head.safetensors",
    "modules.json",          "1_Pooling/config.json",
};

static const char *const KEYS[SB_INPUT_COUNT] = {
    "model_name_or_path", "config_name",     "tokenizer_name",
    "train_file",         "validation_file", "test_file",
};

const char *sb_input_key(enum sb_input input)
{
    return KEYS[input];
}

static int add_file(struct sb_hasher *hasher, const char *name, const char *path,
                    struct sb_err *err)
{
    struct sb_map map = SB_MAP_INIT;
    if (sb_file_map(&map, path, err) < 0)
        return -1;
    uint64_t bytes = map.bytes;
    sb_hasher_add(hasher, name, strlen(name) + 1);
    sb_hasher_add(hasher, &bytes, sizeof(bytes));
    sb_hasher_add(hasher, map.data, map.bytes);
    sb_file_unmap(&map);
    return 0;
}

int sb_model_hash(char text[SB_HASH_TEXT_BYTES], const char *path, struct sb_err *err)
{
    struct sb_hasher hasher;
    char file[SB_PATH_BYTES];
    int rc = 0;
    sb_hasher_init(&hasher);
    if (sb_file_exists(path)) {
        rc = add_file(&hasher, "", path, err);
    } else if (!sb_dir_exists(path)) {
        rc = sb_err_set(err, SB_ERR_NO_INPUT, "there is no '%s'", path);
    } else {
        for (size_t i = 0; rc == 0 && i < sizeof(MODEL_FILES) / sizeof(*MODEL_FILES); i++)
            if (sb_file_exists(sb_path_join(file, path, MODEL_FILES[i])))
                rc = add_file(&hasher, MODEL_FILES[i], file, err);
    }
    sb_hasher_text128(&hasher, text);
    sb_hasher_release(&hasher);
    return rc;
}

static int hash_data(char text[SB_HASH_TEXT_BYTES], const struct sb_list *files,
                     const char *cache_dir, struct sb_err *err)
{
    char **paths;
    size_t count;
    struct sb_bytes stamp = SB_BYTES_INIT;
    bool once = false;
    text[0] = 0;
    if (!files->count)
        return 0;
    if (sb_paths_expand(&paths, &count, files->items, files->count, err) < 0)
        return -1;
    int rc = sb_content_stamp(&stamp, &once, paths, count, err);
    if (rc == 0 && !once)
        rc = sb_content_hash(text, &stamp, paths, count, cache_dir, err);
    sb_bytes_release(&stamp);
    sb_paths_free(&paths, &count);
    return rc;
}

int sb_inputs_read(struct sb_inputs *inputs, const struct sb_job *job, struct sb_err *err)
{
    char cache[SB_PATH_BYTES];
    const char *cache_dir =
        job->cache_dir ? job->cache_dir : sb_path_join(cache, job->output_dir, "cache");
    const char *folders[] = {job->model_name_or_path, job->config_name, job->tokenizer_name};
    const struct sb_list *data[] = {&job->train_file, &job->validation_file, &job->test_file};
    *inputs = (struct sb_inputs){0};
    for (size_t i = 0; i < SB_INPUT_TRAIN; i++)
        if (folders[i] && sb_model_hash(inputs->hash[i], folders[i], err) < 0)
            return sb_job_place(job, KEYS[i], err);
    for (size_t i = SB_INPUT_TRAIN; i < SB_INPUT_COUNT; i++)
        if (hash_data(inputs->hash[i], data[i - SB_INPUT_TRAIN], cache_dir, err) < 0)
            return sb_job_place(job, KEYS[i], err);
    return 0;
}

enum sb_input sb_inputs_difference(const struct sb_inputs *ours, const struct sb_inputs *theirs)
{
    for (enum sb_input i = 0; i < SB_INPUT_COUNT; i++)
        if (ours->hash[i][0] && theirs->hash[i][0] && strcmp(ours->hash[i], theirs->hash[i]) != 0)
            return i;
    return SB_INPUT_COUNT;
}

void sb_path_last(char *out, size_t out_bytes, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    snprintf(out, out_bytes, "%.*s", (int)(end - begin), path + begin);
}

void sb_model_name(char *out, size_t out_bytes, const char *folder)
{
    char last[SB_PATH_BYTES], above[SB_PATH_BYTES], head[SB_PATH_BYTES];
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/')
        end--;
    sb_path_last(last, sizeof(last), folder);
    snprintf(head, sizeof(head), "%.*s", (int)(end - strlen(last)), folder);
    sb_path_last(above, sizeof(above), head);
    bool repeated = !strncmp(last, "seed-", 5) && *above && strcmp(above, "/") != 0;
    snprintf(out, out_bytes, "%s%s%s", repeated ? above : "", repeated ? "/" : "", last);
}

/* Only the last parts of the paths: the folders above them are nobody's business but the owner's.
 */
static json_t *names_of(const struct sb_list *files, bool is_model)
{
    json_t *names = json_array();
    for (size_t i = 0; i < files->count; i++) {
        char name[SB_PATH_BYTES];
        (is_model ? sb_model_name : sb_path_last)(name, sizeof(name), files->items[i]);
        json_t *text = json_string(name);
        json_array_append_new(names, text ? text : json_string("(a name that is not UTF-8)"));
    }
    return names;
}

json_t *sb_inputs_to_json(const struct sb_inputs *inputs, const struct sb_job *job)
{
    char *folders[] = {job->model_name_or_path, job->config_name, job->tokenizer_name};
    const struct sb_list *data[] = {&job->train_file, &job->validation_file, &job->test_file};
    json_t *json = json_object();
    for (size_t i = 0; i < SB_INPUT_COUNT; i++) {
        struct sb_list one = {&folders[i < SB_INPUT_TRAIN ? i : 0], 1};
        const struct sb_list *files = i < SB_INPUT_TRAIN ? &one : data[i - SB_INPUT_TRAIN];
        if (i < SB_INPUT_TRAIN ? !folders[i] : !files->count)
            continue;
        json_object_set_new(json, KEYS[i],
                            json_pack("{s:o, s:s}", "names", names_of(files, i < SB_INPUT_TRAIN),
                                      "content", inputs->hash[i]));
    }
    return json;
}

void sb_inputs_from_json(struct sb_inputs *inputs, const json_t *json)
{
    *inputs = (struct sb_inputs){0};
    for (size_t i = 0; i < SB_INPUT_COUNT; i++) {
        const char *hash =
            json_string_value(json_object_get(json_object_get(json, KEYS[i]), "content"));
        if (hash && strlen(hash) == SB_HASH_TEXT_BYTES - 1)
            snprintf(inputs->hash[i], sizeof(inputs->hash[i]), "%s", hash);
    }
}
