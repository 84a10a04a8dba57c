/* `shardbert tokenize`: one text a line in, one JSON object with ids, tokens and offsets a line
 * out. */
#include "commands.h"
#include "lines.h"
#include "wordpiece.h"

#include <argp.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { KEY_MODEL = 'm', KEY_VOCAB = 'v', KEY_CASED = 'c', KEY_NO_SPECIAL = 'n', KEY_LENIENT = 'l' };

struct arguments {
    const char *model, *vocab, *path;
    bool cased, no_special, lenient;
};

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "DIR", 0, "Folder with tokenizer.json, or with vocab.txt", 0},
    {"vocab", KEY_VOCAB, "FILE", 0, "Vocabulary, one piece a line", 0},
    {"cased", KEY_CASED, NULL, 0, "With --vocab: keep capitals and accents", 0},
    {"no-special", KEY_NO_SPECIAL, NULL, 0, "Leave out [CLS] and [SEP]", 0},
    {"lenient", KEY_LENIENT, NULL, 0, "Read bytes that are not UTF-8 as U+FFFD", 0},
    {0},
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case KEY_MODEL:
        a->model = value;
        return 0;
    case KEY_VOCAB:
        a->vocab = value;
        return 0;
    case KEY_CASED:
        a->cased = true;
        return 0;
    case KEY_NO_SPECIAL:
        a->no_special = true;
        return 0;
    case KEY_LENIENT:
        a->lenient = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->path)
            argp_error(state, "one FILE at most");
        a->path = value;
        return 0;
    case ARGP_KEY_END:
        if (!a->model == !a->vocab)
            argp_error(state, "one of --model and --vocab is needed");
        if (a->cased && a->model)
            argp_error(state, "--cased goes with --vocab: a model folder says it itself");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "[FILE]",
    .doc =
        "Cut each line of FILE, or of standard input, into the pieces of a vocabulary.\v"
        "A line that starts with a double quote is read as a JSON string, any other as it stands. "
        "Each answer is one line of JSON: ids, tokens, and offsets in characters of the text "
        "([0,0] for [CLS] and [SEP]).",
};

static int open_tokenizer(struct sb_wordpiece **tokenizer, const struct arguments *a,
                          struct sb_err *err)
{
    struct sb_wordpiece_options wordpiece = {.lowercase = !a->cased,
                                             .strip_accents = -1,
                                             .split_chinese_chars = true,
                                             .clean_text = true};
    if (a->model)
        return sb_wordpiece_open_folder(tokenizer, a->model, err);
    return sb_wordpiece_open_vocab(tokenizer, a->vocab, &wordpiece, err);
}

static void print_string(const char *text)
{
    putchar('"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

/* Prints what `print` says of [CLS], each piece and [SEP], with commas between. */
static void print_list(const struct sb_wordpiece *t, const struct sb_encoding *e, bool specials,
                       void (*print)(const struct sb_wordpiece *, int32_t, const uint32_t[2]))
{
    static const uint32_t nowhere[2] = {0, 0};
    struct sb_specials s = sb_wordpiece_specials(t);
    if (specials)
        print(t, s.cls, nowhere);
    for (size_t i = 0; i < e->count; i++) {
        if (i || specials)
            putchar(',');
        print(t, e->ids[i], e->offsets[i]);
    }
    if (specials) {
        putchar(',');
        print(t, s.sep, nowhere);
    }
}

static void print_id(const struct sb_wordpiece *t, int32_t id, const uint32_t offset[2])
{
    (void)t;
    (void)offset;
    printf("%" PRId32, id);
}

static void print_token(const struct sb_wordpiece *t, int32_t id, const uint32_t offset[2])
{
    (void)offset;
    print_string(sb_wordpiece_text(t, id));
}

static void print_offset(const struct sb_wordpiece *t, int32_t id, const uint32_t offset[2])
{
    (void)t;
    (void)id;
    printf("[%" PRIu32 ",%" PRIu32 "]", offset[0], offset[1]);
}

static void print_encoding(const struct sb_wordpiece *t, const struct sb_encoding *e, bool specials)
{
    fputs("{\"ids\":[", stdout);
    print_list(t, e, specials, print_id);
    fputs("],\"tokens\":[", stdout);
    print_list(t, e, specials, print_token);
    fputs("],\"offsets\":[", stdout);
    print_list(t, e, specials, print_offset);
    fputs("]}\n", stdout);
}

static int encode_json(const struct sb_wordpiece *t, const struct sb_lines *lines,
                       struct sb_encoding *e, struct sb_err *err)
{
    json_error_t where;
    json_t *text = json_loadb(lines->text, lines->bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    if (!text)
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ":%d: no JSON string: %s", lines->path,
                          lines->number, where.column, where.text);
    sb_wordpiece_encode(t, json_string_value(text), json_string_length(text), e);
    json_decref(text);
    return 0;
}

static int tokenize_lines(const struct sb_wordpiece *t, const struct arguments *a,
                          struct sb_err *err)
{
    struct sb_lines lines = SB_LINES_INIT;
    struct sb_encoding e = {0};
    int rc = sb_lines_open(&lines, a->path ? a->path : "-", a->lenient, err);
    while (rc >= 0 && (rc = sb_lines_next(&lines, err)) == 1) {
        if (lines.text[0] == '"')
            rc = encode_json(t, &lines, &e, err);
        else
            sb_wordpiece_encode(t, lines.text, lines.bytes, &e);
        if (rc >= 0)
            print_encoding(t, &e, !a->no_special);
    }
    if (lines.replaced)
        fprintf(stderr, "shardbert: %" PRIu64 " bytes were not UTF-8 and became U+FFFD\n",
                lines.replaced);
    sb_encoding_release(&e);
    sb_lines_release(&lines);
    return rc;
}

int sb_cmd_tokenize(int argc, char **argv)
{
    struct arguments a = {0};
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *tokenizer = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int rc = open_tokenizer(&tokenizer, &a, &err);
    if (rc == 0)
        rc = tokenize_lines(tokenizer, &a, &err);
    if (rc == 0)
        rc = sb_cmd_finish_output(&err);
    sb_wordpiece_free(&tokenizer);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
