/* `shardbert COMMAND ...`: the table of commands, and the way into them. */
#include "commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command COMMANDS[] = {
    {"train", sb_cmd_train, "Train as a job file says: mlm, classify, ner, setfit or embed."},
    {"run", sb_cmd_run,
     "Jobs in a row, each from the model of an earlier one; a report at the end."},
    {"plan", sb_cmd_plan, "Memory, traffic and steps of a job, before it is started."},
    {"status", sb_cmd_status,
     "How a run is: step, members, checkpoints, what was lost; also when it does not run."},
    {"sweep", sb_cmd_sweep,
     "Train a job with more and more of the model frozen; scores, costs, a picture."},
    {"eval", sb_cmd_eval, "Score a model folder on a file: loss, perplexity, accuracy, F1."},
    {"predict", sb_cmd_predict, "Classify lines of text."},
    {"fill-mask", sb_cmd_fill_mask, "Propose words for each [MASK]."},
    {"embed", sb_cmd_embed, "Turn lines of text into vectors."},
    {"tokenize", sb_cmd_tokenize, "Cut lines of text into the pieces of a vocabulary."},
    {"vocab", sb_cmd_vocab, "Learn a vocabulary from text."},
    {"sample", sb_cmd_sample,
     "Choose a few labelled texts of each class, as samples_per_label does."},
    {"inspect", sb_cmd_inspect, "Say what a model folder or a checkpoint holds."},
    {"export", sb_cmd_export,
     "Write a model folder for other programs: ONNX, sentence-transformers."},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

static void print_help(FILE *out)
{
    fputs("Usage: shardbert COMMAND [OPTION...]\n"
          "Train BERT on your own text with workers and parameter servers, and use the result.\n\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-11s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    fputs(
        "\n  --help      This text; `shardbert COMMAND --help` says more about one command.\n"
        "  --version   The version.\n\n"
        "Exit codes: 0 done, 64 wrong use, 65 bad data or model, 66 missing input, 69 peer lost,\n"
        "70 our bug, 73 cannot create output, 74 I/O error, 75 try again, 77 not authorised,\n"
        "78 bad job file, 130 and 143 stopped by a signal after a good checkpoint.\n",
        out);
}

/* Letters to insert, delete or replace to get from a to b (Levenshtein); names are short. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64];
    size_t b_count = strnlen(b, sizeof(row) / sizeof(row[0]) - 1);
    for (size_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t longer = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replaced < longer ? replaced : longer;
        }
    }
    return row[b_count];
}

static int unknown_command(const char *name)
{
    const char *nearest = COMMANDS[0].name;
    for (size_t i = 1; i < COMMAND_COUNT; i++)
        if (edit_distance(name, COMMANDS[i].name) < edit_distance(name, nearest))
            nearest = COMMANDS[i].name;
    fprintf(stderr,
            "shardbert: unknown command '%s'; did you mean '%s'? `shardbert --help` lists all\n",
            name, nearest);
    return SB_ERR_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return SB_ERR_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        puts("shardbert " SB_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], COMMANDS[i].name) != 0)
            continue;
        /* Options are explained under this name. */
        char full_name[64];
        snprintf(full_name, sizeof(full_name), "shardbert %s", COMMANDS[i].name);
        argv[1] = full_name;
        return COMMANDS[i].run(argc - 1, argv + 1);
    }
    return unknown_command(argv[1]);
}
