/* shardbert embed: each line as a vector. */
#include "answer.h"
#include "commands.h"
#include "sentence.h"

#include <math.h>
#include <string.h>

struct embed {
    struct sb_answer answer;
    bool pooling_given; /* then by the options alone, whatever the folder says */
    struct sb_sentence sentence;
};

/*
 * One vector from the rows of a text, [CLS] and [SEP] included: their mean, the first, or the
 * largest value of each column.
 *
 *   out  vector [C]
 *   in   hidden [T, C]
 */
static void pool_rows(double *vector, const float *hidden, size_t T, size_t C,
                      enum sb_pooling pooling)
{
    for (size_t c = 0; c < C; c++) {
        double value = hidden[c];
        for (size_t t = 1; t < T && pooling != SB_POOLING_CLS; t++) {
            double x = hidden[t * C + c];
            if (pooling == SB_POOLING_MEAN)
                value += x;
            else if (x > value)
                value = x;
        }
        vector[c] = pooling == SB_POOLING_MEAN ? value / (double)T : value;
    }
}

/* Divides by the Euclidean length, 1e-12 at least. */
static void normalize(double *vector, size_t C)
{
    double sum = 0;
    for (size_t c = 0; c < C; c++)
        sum += vector[c] * vector[c];
    double length = fmax(sqrt(sum), 1e-12);
    for (size_t c = 0; c < C; c++)
        vector[c] /= length;
}

static int print_vectors(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err)
{
    const struct embed *embed = answer->context;
    size_t C = answer->infer.bert.config.hidden_size;
    struct sb_batch batch = answer->texts.batch;
    float *hidden = sb_arena_array(arena, float, batch.N *C);
    double *vector = sb_arena_array(arena, double, C);
    struct sb_outputs outputs = {.hidden = hidden};
    struct sb_stats stats = {0};
    batch.target_count = 0; /* [MASK] is a token like any other here */
    sb_bert_eval(&answer->infer.bert, &batch, arena, &outputs, &stats);
    for (size_t b = 0; b < batch.B; b++) {
        size_t first = batch.starts[b];
        pool_rows(vector, hidden + first * C, batch.starts[b + 1] - first, C,
                  embed->sentence.pooling);
        if (embed->sentence.normalize)
            normalize(vector, C);
        json_t *values = json_array();
        for (size_t c = 0; c < C; c++)
            json_array_append_new(values, sb_answer_number(vector[c]));
        json_t *line = json_object();
        json_object_set_new(line, "embedding", values);
        if (sb_answer_print(line, err) < 0)
            return -1;
    }
    return 0;
}

static enum sb_pooling parse_pooling(const char *name, struct argp_state *state)
{
    for (int i = 0; i < SB_POOLING_COUNT; i++)
        if (!strcmp(name, sb_pooling_names[i]))
            return (enum sb_pooling)i;
    argp_error(state, "--pooling is '%s', expected mean, cls or max", name);
    return SB_POOLING_MEAN;
}

/* A sentence-transformers folder says how it is pooled. */
static int read_folder(struct embed *embed, struct sb_err *err)
{
    const char *model = embed->answer.model;
    const bool normalize = embed->sentence.normalize;
    if (embed->pooling_given || !sb_sentence_is_folder(model))
        return 0;
    if (sb_sentence_read(&embed->sentence, model, err) < 0)
        return -1;
    embed->sentence.normalize |= normalize;
    if (!embed->answer.max_length)
        embed->answer.max_length = embed->sentence.max_length;
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct embed *embed = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &embed->answer;
        return 0;
    case 'p':
        embed->sentence.pooling = parse_pooling(argument, state);
        embed->pooling_given = true;
        return 0;
    case 'n':
        embed->sentence.normalize = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int sb_cmd_embed(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"pooling", 'p', "HOW", 0,
         "mean, cls or max over the tokens (default: as the folder says, else mean)", 0},
        {"normalize", 'n', NULL, 0, "Scale each vector to length 1", 0},
        {0},
    };
    static const struct argp_child children[] = {{&sb_answer_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "--model DIR [FILE|-]",
        .doc =
            "Turn each line of FILE or standard input into a vector.\v"
            "A line is a text, or a JSON object {\"text\": ..., \"text_pair\": ...} if it starts "
            "with '{'. Each line in gives one line out, in order:\n{\"embedding\": [...]}",
        .children = children,
    };
    struct embed embed = {
        .answer = {.heads = SB_HEAD_NONE, .print = print_vectors, .context = &embed},
    };
    struct sb_err err = SB_ERR_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &embed);
    if (read_folder(&embed, &err) < 0)
        return sb_cmd_fail(&err);
    return sb_answer_all(&embed.answer);
}
