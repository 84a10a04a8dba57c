/*
 * `shardbert vocab`: learns a WordPiece vocabulary from text and writes the tokenizer's files; with
 * --extend, adds a domain's words to those of a model.
 */
#include "commands.h"
#include "extend_model.h"
#include "vocab.h"

#include <argp.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    KEY_SIZE = 's',
    KEY_CASED = 'c',
    KEY_OUTPUT = 'o',
    KEY_LENIENT = 'l',
    KEY_MIN_COUNT = 1000,
    KEY_MAX_LENGTH,
    KEY_TEXT_COLUMN,
    KEY_EXTEND,
    KEY_WORDS,
    KEY_KEEP_UNUSED,
};

struct arguments {
    const char *size, *min_count, *max_length, *output, *text_column;
    const char *extend, *words;
    bool cased, lenient, keep_unused;
    char **paths;
    size_t path_count;
};

static const struct argp_option options[] = {
    {"output", KEY_OUTPUT, "DIR", 0, "Folder to write (required)", 0},
    {"size", KEY_SIZE, "N", 0, "Learn a vocabulary of N pieces, specials included", 1},
    {"cased", KEY_CASED, NULL, 0, "Keep capitals and accents", 1},
    {"max-length", KEY_MAX_LENGTH, "N", 0, "Longest sequence, as noted for the model (512)", 1},
    {"extend", KEY_EXTEND, "DIR", 0, "Add words to this model folder instead", 2},
    {"words", KEY_WORDS, "N", 0, "How many words to add at most (1000)", 2},
    {"keep-unused", KEY_KEEP_UNUSED, NULL, 0,
     "Leave the places [unused0], [unused1] ... alone: append only", 2},
    {"min-count", KEY_MIN_COUNT, "N", 0, "Do not join pairs, or add words, rarer than this (2)", 3},
    {"text-column", KEY_TEXT_COLUMN, "COLUMN", 0,
     "Text of tables and JSON lines: a name, or a number from 0", 3},
    {"lenient", KEY_LENIENT, NULL, 0, "Read bytes that are not UTF-8 as U+FFFD", 3},
    {0},
};

/* Which of the two things is asked for, and does all that is said belong to it? */
static void check_options(const struct arguments *a, const struct argp_state *state)
{
    if (!a->extend == !a->size || !a->output || !a->path_count)
        argp_error(state, "--size or --extend, and --output and at least one FILE are needed");
    if (a->extend && (a->cased || a->max_length))
        argp_error(state, "--extend takes case and length from the model");
    if (a->size && (a->words || a->keep_unused))
        argp_error(state, "--words and --keep-unused belong to --extend");
}

static error_t take_option(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case KEY_SIZE:
        a->size = value;
        return 0;
    case KEY_CASED:
        a->cased = true;
        return 0;
    case KEY_OUTPUT:
        a->output = value;
        return 0;
    case KEY_LENIENT:
        a->lenient = true;
        return 0;
    case KEY_MIN_COUNT:
        a->min_count = value;
        return 0;
    case KEY_MAX_LENGTH:
        a->max_length = value;
        return 0;
    case KEY_TEXT_COLUMN:
        a->text_column = value;
        return 0;
    case ARGP_KEY_ARGS:
        a->paths = state->argv + state->next;
        a->path_count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        check_options(a, state);
        return 0;
    case KEY_EXTEND:
        a->extend = value;
        return 0;
    case KEY_WORDS:
        a->words = value;
        return 0;
    case KEY_KEEP_UNUSED:
        a->keep_unused = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = take_option,
    .args_doc = "FILE...",
    .doc = "Learn a WordPiece vocabulary from the text of FILEs (--size), or add the words of a "
           "domain to a model (--extend). FILEs are lines of text, tables, JSON lines; plain, .gz, "
           ".xz or .zst; globs; - is standard input.\v"
           "--extend finds the words of the text that the model's tokenizer splits and that cost "
           "it the most tokens, and writes a whole model folder in which they are pieces, in the "
           "places of [unused..] first. The embedding of a new piece is the mean of those that "
           "stood for it, and so is its bias: go on with an mlm job. added_words.tsv has the "
           "words, their ids and counts, and what they were cut into.",
};

static int train(struct sb_wordpiece **tokenizer, const struct arguments *a, uint64_t *max_length,
                 struct sb_err *err)
{
    uint64_t size = 0, min_count = 2;
    struct sb_vocab_stats stats;
    if (sb_cmd_number(&size, "--size", a->size, SB_MIN_VOCAB_SIZE, SB_MAX_VOCAB_SIZE, err) < 0)
        return -1;
    if (a->min_count &&
        sb_cmd_number(&min_count, "--min-count", a->min_count, 1, UINT32_MAX, err) < 0)
        return -1;
    if (a->max_length &&
        sb_cmd_number(max_length, "--max-length", a->max_length, 2, 1 << 20, err) < 0)
        return -1;
    struct sb_vocab_options vocab = {
        .size = (size_t)size,
        .min_count = min_count,
        .normalise = {.lowercase = !a->cased,
                      .strip_accents = -1,
                      .split_chinese_chars = true,
                      .clean_text = true},
        .source = {.paths = a->paths,
                   .path_count = a->path_count,
                   .text_column = a->text_column,
                   .lenient = a->lenient},
    };
    if (sb_vocab_train(tokenizer, &vocab, &stats, err) < 0)
        return -1;
    fprintf(stderr,
            "pieces=%zu records=%" PRIu64 " words=%" PRIu64 " distinct_words=%" PRIu64
            " forgotten_words=%" PRIu64 " characters=%zu dropped_characters=%zu\n",
            sb_wordpiece_count(*tokenizer), stats.records, stats.words, stats.distinct_words,
            stats.forgotten_words, stats.chars, stats.dropped_chars);
    return 0;
}

static int extend(const struct arguments *a, struct sb_err *err)
{
    uint64_t words = 1000, min_count = 2;
    if ((a->words && sb_cmd_number(&words, "--words", a->words, 1, SB_MAX_VOCAB_SIZE, err) < 0) ||
        (a->min_count &&
         sb_cmd_number(&min_count, "--min-count", a->min_count, 1, UINT32_MAX, err) < 0))
        return -1;
    const struct sb_extend_options extension = {
        .words = (size_t)words,
        .min_count = min_count,
        .keep_unused = a->keep_unused,
        .source = {.paths = a->paths,
                   .path_count = a->path_count,
                   .text_column = a->text_column,
                   .lenient = a->lenient},
    };
    return sb_extend_model(a->extend, a->output, &extension, err);
}

int sb_cmd_vocab(int argc, char **argv)
{
    struct arguments a = {0};
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *tokenizer = NULL;
    uint64_t max_length = 512;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int rc = a.extend ? extend(&a, &err) : train(&tokenizer, &a, &max_length, &err);
    if (rc == 0 && !a.extend)
        rc = sb_wordpiece_write(tokenizer, a.output, (size_t)max_length, &err);
    sb_wordpiece_free(&tokenizer);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
