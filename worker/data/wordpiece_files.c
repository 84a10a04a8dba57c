/* A tokenizer's files: vocab.txt, tokenizer.json, tokenizer_config.json, special_tokens_map.json.
 */
#include "arena.h"
#include "bytes.h"
#include "file.h"
#include "reader.h"
#include "wordpiece.h"
#include "wordpiece_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const special_texts[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
enum { SPECIAL_COUNT = sizeof(special_texts) / sizeof(special_texts[0]) };

/* ---- vocab.txt ---- */

/* One piece a line; an empty line keeps its id and names nothing. */
static int add_lines(struct sb_wordpiece *t, const struct sb_bytes *file, struct sb_err *err)
{
    const char *at = file->data, *end = file->data + file->count;
    for (size_t id = 0; at < end; id++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *next = line_end ? line_end + 1 : end;
        size_t bytes = (size_t)((line_end ? line_end : end) - at);
        if (bytes && at[bytes - 1] == '\r')
            bytes--;
        if (sb_wordpiece_add_piece(t, at, bytes, id, err) < 0)
            return sb_err_context(err, "line %zu", id + 1);
        at = next;
    }
    return 0;
}

static int open_vocab(struct sb_wordpiece **tokenizer, const struct sb_bytes *file,
                      const struct sb_wordpiece_options *options, struct sb_err *err)
{
    struct sb_wordpiece *t = sb_wordpiece_new(options);
    int rc = add_lines(t, file, err);
    for (size_t i = 0; rc == 0 && i < SPECIAL_COUNT; i++) {
        int32_t id = sb_wordpiece_id(t, special_texts[i]);
        if (id >= 0)
            rc = sb_wordpiece_add_token(t, special_texts[i], id, true, err);
    }
    if (rc == 0)
        rc = sb_wordpiece_finish(t, "[UNK]", err);
    if (rc < 0)
        sb_wordpiece_free(&t);
    *tokenizer = t;
    return rc;
}

int sb_wordpiece_open_vocab(struct sb_wordpiece **tokenizer, const char *path,
                            const struct sb_wordpiece_options *options, struct sb_err *err)
{
    struct sb_bytes file = SB_BYTES_INIT;
    *tokenizer = NULL;
    int rc = sb_file_read(&file, path, err);
    if (rc == 0 && open_vocab(tokenizer, &file, options, err) < 0)
        rc = sb_err_context(err, "reading '%s'", path);
    sb_bytes_release(&file);
    return rc;
}

/*
 * Does a vocabulary whose folder does not say distinguish case?  It does if a piece has an ASCII
 * capital; bracketed ones such as [CLS] and [unused1] do not count.
 */
static bool has_capitals(const struct sb_bytes *file)
{
    bool line_start = true, bracketed = false;
    for (size_t i = 0; i < file->count; i++) {
        char c = file->data[i];
        if (line_start)
            bracketed = c == '[';
        line_start = c == '\n';
        if (!bracketed && c >= 'A' && c <= 'Z')
            return true;
    }
    return false;
}

/* ---- JSON ---- */

static int load_json(json_t **root, const char *path, struct sb_err *err)
{
    struct sb_bytes file = SB_BYTES_INIT;
    json_error_t where;
    int rc = sb_file_read(&file, path, err);
    if (rc == 0) {
        *root = json_loadb(file.data ? file.data : "", file.count, 0, &where);
        if (!*root)
            rc = sb_err_set(err, SB_ERR_DATA, "%s:%d:%d: %s", path, where.line, where.column,
                            where.text);
        else if (!json_is_object(*root))
            rc = sb_err_set(err, SB_ERR_DATA, "%s: not a JSON object", path);
    }
    sb_bytes_release(&file);
    return rc;
}

static bool get_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* 1, 0, or -1 where it is null or absent. */
static int get_tristate(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : -1;
}

static int want_type(const json_t *root, const char *part, const char *type, struct sb_err *err)
{
    const char *found = json_string_value(json_object_get(json_object_get(root, part), "type"));
    if (found && !strcmp(found, type))
        return 0;
    return sb_err_set(err, SB_ERR_DATA, "the %s is %s, not %s: this is no BERT tokenizer", part,
                      found ? found : "missing", type);
}

static int add_vocab_object(struct sb_wordpiece *t, json_t *vocab, struct sb_err *err)
{
    const char *piece;
    json_t *id;
    if (!json_is_object(vocab))
        return sb_err_set(err, SB_ERR_DATA, "the model has no object vocab");
    json_object_foreach(vocab, piece, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            return sb_err_set(err, SB_ERR_DATA, "the id of '%.80s' is not a number from 0", piece);
        if (sb_wordpiece_add_piece(t, piece, strlen(piece), (size_t)json_integer_value(id), err) <
            0)
            return -1;
    }
    return 0;
}

/*
 * Only tokens that are found in the raw text as they stand.  What asks for more (normalized,
 * single_word, lstrip, rstrip) would tokenize differently from the original: it is refused, not
 * approximated.
 */
static int add_added_token(struct sb_wordpiece *t, const json_t *token, struct sb_err *err)
{
    static const char *const unsupported[] = {"single_word", "lstrip", "rstrip", "normalized"};
    const char *content = json_string_value(json_object_get(token, "content"));
    const json_t *id = json_object_get(token, "id");
    if (!content || !json_is_integer(id) || json_integer_value(id) < 0)
        return sb_err_set(err, SB_ERR_DATA, "an added token has no content or id");
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        if (get_bool(token, unsupported[i], false))
            return sb_err_set(err, SB_ERR_DATA,
                              "the added token '%.80s' is '%s', which is not supported", content,
                              unsupported[i]);
    int32_t known = sb_trie_find(&t->pieces, content, strlen(content));
    json_int_t number = json_integer_value(id);
    if (known >= 0 && known != number)
        return sb_err_set(err, SB_ERR_DATA,
                          "the added token '%.80s' has the id %lld, in vocab it has %d", content,
                          (long long)number, known);
    if (known < 0 && sb_wordpiece_add_piece(t, content, strlen(content), (size_t)number, err) < 0)
        return -1;
    return sb_wordpiece_add_token(t, content, (int32_t)number, get_bool(token, "special", false),
                                  err);
}

static int set_model_options(struct sb_wordpiece *t, const json_t *model, struct sb_err *err)
{
    const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    const json_t *max = json_object_get(model, "max_input_chars_per_word");
    if (prefix) {
        free(t->prefix);
        t->prefix = sb_strdup(prefix);
    }
    if (max) {
        if (!json_is_integer(max) || json_integer_value(max) < 1 ||
            json_integer_value(max) > SB_MAX_WORD_CHARS)
            return sb_err_set(err, SB_ERR_DATA,
                              "max_input_chars_per_word is not a number from 1 to %d",
                              SB_MAX_WORD_CHARS);
        t->max_word_chars = (size_t)json_integer_value(max);
    }
    return 0;
}

static int build_from_json(struct sb_wordpiece **tokenizer, const json_t *root, struct sb_err *err)
{
    const json_t *normalizer = json_object_get(root, "normalizer");
    const json_t *model = json_object_get(root, "model");
    const char *unk = json_string_value(json_object_get(model, "unk_token"));
    if (want_type(root, "normalizer", "BertNormalizer", err) < 0 ||
        want_type(root, "pre_tokenizer", "BertPreTokenizer", err) < 0)
        return -1;
    /* Files of older versions leave the model's type out. */
    if (json_object_get(model, "type") && want_type(root, "model", "WordPiece", err) < 0)
        return -1;
    struct sb_wordpiece_options options = {
        .lowercase = get_bool(normalizer, "lowercase", true),
        .strip_accents = get_tristate(normalizer, "strip_accents"),
        .split_chinese_chars = get_bool(normalizer, "handle_chinese_chars", true),
        .clean_text = get_bool(normalizer, "clean_text", true),
    };
    struct sb_wordpiece *t = sb_wordpiece_new(&options);
    int rc = set_model_options(t, model, err);
    if (rc == 0)
        rc = add_vocab_object(t, json_object_get(model, "vocab"), err);
    const json_t *added = json_object_get(root, "added_tokens");
    for (size_t i = 0; rc == 0 && i < json_array_size(added); i++)
        rc = add_added_token(t, json_array_get(added, i), err);
    if (rc == 0)
        rc = sb_wordpiece_finish(t, unk ? unk : "[UNK]", err);
    if (rc < 0)
        sb_wordpiece_free(&t);
    *tokenizer = t;
    return rc;
}

static int open_json(struct sb_wordpiece **tokenizer, const char *path, struct sb_err *err)
{
    json_t *root = NULL;
    int rc = load_json(&root, path, err);
    if (rc == 0 && build_from_json(tokenizer, root, err) < 0)
        rc = sb_err_context(err, "reading '%s'", path);
    json_decref(root);
    return rc;
}

/* vocab.txt, read as tokenizer_config.json says; where that is silent about case, as the pieces
 * look. */
static int open_vocab_folder(struct sb_wordpiece **tokenizer, const char *vocab_path,
                             const char *config_path, struct sb_err *err)
{
    struct sb_bytes file = SB_BYTES_INIT;
    json_t *config = NULL;
    int rc = sb_file_read(&file, vocab_path, err);
    if (rc == 0 && sb_file_exists(config_path))
        rc = load_json(&config, config_path, err);
    if (rc == 0) {
        struct sb_wordpiece_options options = {
            .lowercase = get_bool(config, "do_lower_case", !has_capitals(&file)),
            .strip_accents = get_tristate(config, "strip_accents"),
            .split_chinese_chars = get_bool(config, "tokenize_chinese_chars", true),
            .clean_text = true,
        };
        if (open_vocab(tokenizer, &file, &options, err) < 0)
            rc = sb_err_context(err, "reading '%s'", vocab_path);
    }
    json_decref(config);
    sb_bytes_release(&file);
    return rc;
}

int sb_wordpiece_open_folder(struct sb_wordpiece **tokenizer, const char *folder,
                             struct sb_err *err)
{
    char json_path[SB_PATH_BYTES], vocab_path[SB_PATH_BYTES], config_path[SB_PATH_BYTES];
    *tokenizer = NULL;
    if (!sb_dir_exists(folder))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no folder '%s'", folder);
    sb_path_join(json_path, folder, "tokenizer.json");
    sb_path_join(vocab_path, folder, "vocab.txt");
    sb_path_join(config_path, folder, "tokenizer_config.json");
    if (sb_file_exists(json_path))
        return open_json(tokenizer, json_path, err);
    if (sb_file_exists(vocab_path))
        return open_vocab_folder(tokenizer, vocab_path, config_path, err);
    return sb_err_set(err, SB_ERR_NO_INPUT, "'%s' has neither tokenizer.json nor vocab.txt",
                      folder);
}

int sb_wordpiece_open_file(struct sb_wordpiece **tokenizer, const char *path, struct sb_err *err)
{
    char folder[SB_PATH_BYTES], config_path[SB_PATH_BYTES];
    size_t bytes = strlen(path);
    *tokenizer = NULL;
    if (bytes > 5 && !strcmp(path + bytes - 5, ".json"))
        return open_json(tokenizer, path, err);
    sb_path_folder(folder, path);
    sb_path_join(config_path, folder, "tokenizer_config.json");
    return open_vocab_folder(tokenizer, path, config_path, err);
}

/* ---- writing ---- */

static json_t *text_json(const struct sb_wordpiece *t, int32_t id)
{
    return json_string(sb_wordpiece_text(t, id));
}

static json_t *template_item(const struct sb_wordpiece *t, int32_t id, const char *sequence,
                             int type)
{
    if (sequence)
        return json_pack("{s:{s:s, s:i}}", "Sequence", "id", sequence, "type_id", type);
    return json_pack("{s:{s:o, s:i}}", "SpecialToken", "id", text_json(t, id), "type_id", type);
}

static json_t *template_special(const struct sb_wordpiece *t, int32_t id)
{
    return json_pack("{s:o, s:[i], s:[o]}", "id", text_json(t, id), "ids", id, "tokens",
                     text_json(t, id));
}

static json_t *post_processor(const struct sb_wordpiece *t)
{
    int32_t cls = t->specials.cls, sep = t->specials.sep;
    json_t *specials = json_object();
    json_object_set_new(specials, sb_wordpiece_text(t, cls), template_special(t, cls));
    json_object_set_new(specials, sb_wordpiece_text(t, sep), template_special(t, sep));
    return json_pack("{s:s, s:[o,o,o], s:[o,o,o,o,o], s:o}", "type", "TemplateProcessing", "single",
                     template_item(t, cls, NULL, 0), template_item(t, 0, "A", 0),
                     template_item(t, sep, NULL, 0), "pair", template_item(t, cls, NULL, 0),
                     template_item(t, 0, "A", 0), template_item(t, sep, NULL, 0),
                     template_item(t, 0, "B", 1), template_item(t, sep, NULL, 1), "special_tokens",
                     specials);
}

static json_t *added_tokens(const struct sb_wordpiece *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->added_count; i++)
        json_array_append_new(list, json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id",
                                              t->added_tokens[i].id, "content",
                                              text_json(t, t->added_tokens[i].id), "single_word", 0,
                                              "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                                              t->added_tokens[i].special));
    return list;
}

static json_t *strip_accents_json(const struct sb_wordpiece *t)
{
    return t->strip_accents_given < 0 ? json_null() : json_boolean(t->strip_accents_given);
}

static json_t *tokenizer_json(const struct sb_wordpiece *t)
{
    json_t *vocab = json_object();
    for (size_t i = 0; i < t->count; i++)
        if (sb_wordpiece_text(t, (int32_t)i)[0])
            json_object_set_new(vocab, sb_wordpiece_text(t, (int32_t)i),
                                json_integer((json_int_t)i));
    json_t *normalizer =
        json_pack("{s:s, s:b, s:b, s:o, s:b}", "type", "BertNormalizer", "clean_text",
                  t->options.clean_text, "handle_chinese_chars", t->options.split_chinese_chars,
                  "strip_accents", strip_accents_json(t), "lowercase", t->options.lowercase);
    json_t *model =
        json_pack("{s:s, s:o, s:s, s:I, s:o}", "type", "WordPiece", "unk_token",
                  text_json(t, t->specials.unk), "continuing_subword_prefix", t->prefix,
                  "max_input_chars_per_word", (json_int_t)t->max_word_chars, "vocab", vocab);
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:{s:s}, s:o, s:{s:s, s:s, s:b}, s:o}", "version",
                     "1.0", "truncation", "padding", "added_tokens", added_tokens(t), "normalizer",
                     normalizer, "pre_tokenizer", "type", "BertPreTokenizer", "post_processor",
                     post_processor(t), "decoder", "type", "WordPiece", "prefix", t->prefix,
                     "cleanup", 1, "model", model);
}

static json_t *special_tokens_map(const struct sb_wordpiece *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "cls_token", text_json(t, t->specials.cls),
                     "mask_token", text_json(t, t->specials.mask), "pad_token",
                     text_json(t, t->specials.pad), "sep_token", text_json(t, t->specials.sep),
                     "unk_token", text_json(t, t->specials.unk));
}

static json_t *tokenizer_config(const struct sb_wordpiece *t, size_t max_length)
{
    json_t *config =
        json_pack("{s:b, s:b, s:I, s:o, s:b, s:s}", "clean_up_tokenization_spaces", 1,
                  "do_lower_case", t->options.lowercase, "model_max_length", (json_int_t)max_length,
                  "strip_accents", strip_accents_json(t), "tokenize_chinese_chars",
                  t->options.split_chinese_chars, "tokenizer_class", "BertTokenizer");
    json_t *specials = special_tokens_map(t);
    json_object_update(config, specials);
    json_decref(specials);
    return config;
}

static int write_json(const char *folder, const char *name, json_t *root, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    sb_assert(root);
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    sb_assert(text);
    int rc = sb_file_write_atomic(sb_path_join(path, folder, name), text, strlen(text), err);
    free(text);
    return rc;
}

static int write_vocab(const struct sb_wordpiece *t, const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes lines = SB_BYTES_INIT;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->count; i++) {
        const char *text = sb_wordpiece_text(t, (int32_t)i);
        if (strpbrk(text, "\r\n"))
            rc = sb_err_set(err, SB_ERR_DATA,
                            "piece %zu has a line break, which vocab.txt cannot hold", i);
        sb_bytes_append_text(&lines, text);
        sb_bytes_append_text(&lines, "\n");
    }
    if (rc == 0)
        rc = sb_file_write_atomic(sb_path_join(path, folder, "vocab.txt"), lines.data, lines.count,
                                  err);
    sb_bytes_release(&lines);
    return rc;
}

int sb_wordpiece_write(const struct sb_wordpiece *t, const char *folder, size_t max_length,
                       struct sb_err *err)
{
    if (sb_dir_make(folder, err) < 0 || write_vocab(t, folder, err) < 0 ||
        write_json(folder, "tokenizer.json", tokenizer_json(t), err) < 0 ||
        write_json(folder, "tokenizer_config.json", tokenizer_config(t, max_length), err) < 0 ||
        write_json(folder, "special_tokens_map.json", special_tokens_map(t), err) < 0)
        return sb_err_context(err, "writing the tokenizer to '%s'", folder);
    return 0;
}
