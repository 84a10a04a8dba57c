/* shardbert predict: the class of each line. */
#include "answer.h"
#include "commands.h"

#include <math.h>

struct predict {
    struct sb_answer answer;
    bool logits;
};

static json_t *describe(const struct predict *predict, const float *logits)
{
    const struct sb_bert_config *config = &predict->answer.infer.bert.config;
    size_t best = 0;
    double sum = 0;
    for (size_t k = 1; k < config->label_count; k++)
        if (logits[k] > logits[best])
            best = k;
    for (size_t k = 0; k < config->label_count; k++)
        sum += exp((double)logits[k] - logits[best]);

    json_t *scores = json_object();
    json_t *raw = json_array();
    for (size_t k = 0; k < config->label_count; k++) {
        double score = exp((double)logits[k] - logits[best]) / sum;
        json_object_set_new(scores, config->labels[k], sb_answer_number(score));
        json_array_append_new(raw, sb_answer_number(logits[k]));
    }
    json_t *line = json_object();
    json_object_set_new(line, "label", json_string(config->labels[best]));
    json_object_set_new(line, "score", sb_answer_number(1 / sum));
    json_object_set_new(line, "scores", scores);
    if (predict->logits)
        json_object_set(line, "logits", raw);
    json_decref(raw);
    return line;
}

static int print_classes(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_batch *batch = &answer->texts.batch;
    size_t K = answer->infer.bert.config.label_count;
    float *logits = sb_arena_array(arena, float, batch->B *K);
    struct sb_batch plain = *batch;
    struct sb_outputs outputs = {.class_logits = logits};
    struct sb_stats stats = {0};
    plain.target_count = 0; /* no MLM head here */
    sb_bert_eval(&answer->infer.bert, &plain, arena, &outputs, &stats);
    for (size_t b = 0; b < batch->B; b++)
        if (sb_answer_print(describe(answer->context, logits + b * K), err) < 0)
            return -1;
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct predict *predict = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &predict->answer;
        return 0;
    case 'g':
        predict->logits = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int sb_cmd_predict(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"logits", 'g', NULL, 0, "Print the scores before the softmax as well", 0},
        {0},
    };
    static const struct argp_child children[] = {{&sb_answer_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "--model DIR [FILE|-]",
        .doc =
            "Classify each line of FILE or standard input.\v"
            "A line is a text, or a JSON object {\"text\": ..., \"text_pair\": ...} if it starts "
            "with '{'. Each line in gives one line out, in order:\n"
            "{\"label\": ..., \"score\": ..., \"scores\": {label: score, ...}}",
        .children = children,
    };
    struct predict predict = {
        .answer = {.heads = SB_HEAD_CLASSIFY, .print = print_classes, .context = &predict},
    };
    argp_parse(&argp, argc, argv, 0, NULL, &predict);
    return sb_answer_all(&predict.answer);
}
