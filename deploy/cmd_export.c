/* shardbert export: a model folder for other programs. */
#include "commands.h"
#include "export.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

enum { KEY_HEAD = 256 };

enum format { FORMAT_NONE, FORMAT_ONNX, FORMAT_SENTENCE_TRANSFORMERS, FORMAT_CLASSIFIER };

static const char *const FORMAT_NAMES[] = {"", "onnx", "sentence-transformers", "classifier"};
static const char *const HEAD_NAMES[] = {"body", "mlm", "classify", "ner", "embed"};
enum {
    FORMAT_COUNT = sizeof(FORMAT_NAMES) / sizeof(FORMAT_NAMES[0]),
    HEAD_COUNT = sizeof(HEAD_NAMES) / sizeof(HEAD_NAMES[0]),
};

/* -1, 0: as the model folder says */
struct wish {
    struct sb_export export;
    int format, head, pooling;
    bool normalize;
    uint64_t max_length;
};

/* The place of a word in a list; any other word ends the program, naming the option. */
static int choose(struct argp_state *state, const char *option, const char *word,
                  const char *const *words, int first, int end)
{
    char all[128] = "";
    for (int i = first; i < end; i++) {
        if (!strcmp(word, words[i]))
            return i;
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > first ? ", " : "",
                 words[i]);
    }
    argp_error(state, "%s is '%s', expected one of %s", option, word, all);
    return first;
}

static void check(const struct wish *wish, struct argp_state *state)
{
    if (!wish->export.model)
        argp_error(state, "--model DIR is missing: which model folder?");
    if (wish->format == FORMAT_NONE)
        argp_error(state, "--format is missing: onnx, sentence-transformers or classifier?");
    if (!wish->export.output)
        argp_error(state, "--output DIR is missing: where to?");
    if (wish->head >= 0 && wish->format != FORMAT_ONNX)
        argp_error(state, "--head goes with --format onnx only");
    if (wish->format == FORMAT_CLASSIFIER && (wish->pooling >= 0 || wish->normalize))
        argp_error(state, "a classifier pools as it was trained: no --pooling, no --normalize");
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct wish *wish = state->input;
    struct sb_err err = SB_ERR_INIT;
    switch (key) {
    case 'm':
        wish->export.model = argument;
        return 0;
    case 'o':
        wish->export.output = argument;
        return 0;
    case 'f':
        wish->format = choose(state, "--format", argument, FORMAT_NAMES, 1, FORMAT_COUNT);
        return 0;
    case KEY_HEAD:
        wish->head = choose(state, "--head", argument, HEAD_NAMES, 0, HEAD_COUNT);
        return 0;
    case 'p':
        wish->pooling = choose(state, "--pooling", argument, sb_pooling_names, 0, SB_POOLING_COUNT);
        return 0;
    case 'n':
        wish->normalize = true;
        return 0;
    case 'l':
        if (sb_cmd_number(&wish->max_length, "--max-length", argument, 4, 65536, &err) < 0)
            argp_error(state, "%s", err.text);
        return 0;
    case ARGP_KEY_END:
        check(wish, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the model folder says, and over it what the options say. */
static int settle(struct wish *wish, struct sb_err *err)
{
    struct sb_export *export = &wish->export;
    if (sb_export_look(export, err) < 0)
        return -1;
    enum sb_onnx_head own = export->head;
    if (wish->head >= 0)
        export->head = (enum sb_onnx_head)wish->head;
    if (wish->format == FORMAT_CLASSIFIER)
        export->head = SB_ONNX_CLASSIFY;
    /* Of two ways to classify, the folder has one. */
    if (export->head == SB_ONNX_CLASSIFY && own == SB_ONNX_FOLDED)
        export->head = own;
    if (wish->pooling >= 0)
        export->sentence.pooling = (enum sb_pooling)wish->pooling;
    if (wish->normalize)
        export->sentence.normalize = true;
    if (wish->max_length)
        export->sentence.max_length = wish->max_length;
    if (wish->format == FORMAT_ONNX && export->head != SB_ONNX_EMBED &&
        (wish->pooling >= 0 || wish->normalize))
        return sb_err_set(err, SB_ERR_USAGE,
                          "--pooling and --normalize make sentence embeddings: add --head embed");
    return 0;
}

int sb_cmd_export(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"model", 'm', "DIR", 0, "The model folder (required)", 0},
        {"format", 'f', "FORMAT", 0, "onnx, sentence-transformers or classifier (required)", 0},
        {"output", 'o', "DIR", 0, "The folder to write (required)", 0},
        {"head", KEY_HEAD, "HEAD", 0,
         "onnx: body, mlm, classify, ner or embed (default: what the model folder is)", 0},
        {"pooling", 'p', "HOW", 0,
         "mean, cls or max over the tokens (default: as the folder says, else mean)", 0},
        {"normalize", 'n', NULL, 0, "Scale each sentence embedding to length 1", 0},
        {"max-length", 'l', "N", 0,
         "Most tokens of a text (default: as the folder says, else the model's positions)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "--model DIR --format FORMAT --output DIR",
        .doc =
            "Write a model folder for other programs.\v"
            "onnx: onnx/model.onnx, config.json and the tokenizer, as ONNX Runtime and "
            "transformers.js take them. Inputs are input_ids, attention_mask and token_type_ids "
            "[batch, sequence]. Outputs are last_hidden_state (body), logits (mlm, classify, ner), "
            "token_embeddings and sentence_embedding (embed).\n"
            "classifier: the same, with the logits of the classes, whatever else the model has; a "
            "head "
            "on embeddings (head.json) becomes part of the graph.\n"
            "sentence-transformers: the body with its pooling, as that library takes it.",
    };
    struct wish wish = {.head = -1, .pooling = -1};
    struct sb_err err = SB_ERR_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &wish);
    int rc = settle(&wish, &err);
    if (rc == 0)
        rc = wish.format == FORMAT_SENTENCE_TRANSFORMERS
                 ? sb_export_sentence_transformers(&wish.export, &err)
                 : sb_export_onnx(&wish.export, &err);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
