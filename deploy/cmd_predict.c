/* shardbert predict: the class of each line, or the tags of its words. */
#include "answer.h"
#include "commands.h"
#include "config.h"
#include "file.h"
#include "fitted.h"
#include "model_files.h"
#include "tag_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STRIDE = 32 };

struct predict {
    struct sb_answer answer;
    bool logits;
    double threshold;        /* of several labels; below 0: not given */
    struct sb_fitted fitted; /* a head on vectors, if the model has one */
    struct sb_tagger_options tagging;
    const char *tagging_option; /* one that was given, NULL: none */
};

enum { KEY_THRESHOLD = 256, KEY_AGGREGATION, KEY_CONSTRAINED, KEY_STRIDE };

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

/* Those whose probability is at least the threshold, and the probability of each. */
static json_t *describe_several(const struct predict *predict, const float *logits)
{
    const struct sb_bert_config *config = &predict->answer.infer.bert.config;
    double threshold = predict->threshold < 0 ? 0.5 : predict->threshold;
    json_t *line = json_object(), *labels = json_array(), *scores = json_object();
    for (size_t k = 0; k < config->label_count; k++) {
        double score = 1 / (1 + exp(-(double)logits[k]));
        bool chosen = predict->threshold < 0 ? logits[k] > 0.0f : score >= threshold;
        if (chosen)
            json_array_append_new(labels, json_string(config->labels[k]));
        json_object_set_new(scores, config->labels[k], sb_answer_number(score));
    }
    json_object_set_new(line, "labels", labels);
    json_object_set_new(line, "scores", scores);
    return line;
}

static json_t *describe_line(const struct predict *predict, const float *logits)
{
    const struct sb_bert_config *config = &predict->answer.infer.bert.config;
    if (config->problem == SB_SINGLE_LABEL)
        return describe(predict, logits);
    json_t *line =
        config->problem == SB_MULTI_LABEL ? describe_several(predict, logits) : json_object();
    if (config->problem == SB_REGRESSION)
        json_object_set_new(line, "score", sb_answer_number((double)logits[0]));
    json_t *raw = json_array();
    for (size_t k = 0; k < config->label_count; k++)
        json_array_append_new(raw, sb_answer_number((double)logits[k]));
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
        if (sb_answer_print(describe_line(answer->context, logits + b * K), err) < 0)
            return -1;
    return 0;
}

/* p [label_count]: of a head on vectors. */
static json_t *describe_probabilities(const struct predict *predict, const double *p)
{
    const struct sb_embed_head *head = &predict->fitted.head;
    bool several = head->kind == SB_EMBED_HEAD_ONE_VS_REST;
    double threshold = predict->threshold < 0 ? 0.5 : predict->threshold;
    json_t *line = json_object(), *labels = json_array(), *scores = json_object();
    size_t best = 0;
    for (size_t l = 0; l < head->label_count; l++) {
        if (p[l] > p[best])
            best = l;
        if (p[l] >= threshold)
            json_array_append_new(labels, json_string(head->labels[l]));
        json_object_set_new(scores, head->labels[l], sb_answer_number(p[l]));
    }
    if (several) {
        json_object_set(line, "labels", labels);
    } else {
        json_object_set_new(line, "label", json_string(head->labels[best]));
        json_object_set_new(line, "score", sb_answer_number(p[best]));
    }
    json_object_set_new(line, "scores", scores);
    json_decref(labels);
    return line;
}

static int print_fitted(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err)
{
    const struct predict *predict = answer->context;
    const struct sb_fitted *fitted = &predict->fitted;
    struct sb_batch plain = answer->texts.batch;
    size_t C = answer->infer.bert.config.hidden_size;
    if (fitted->head.embedding_size != C)
        return sb_fitted_join(fitted, &answer->infer, err);
    float *vectors = sb_arena_array(arena, float, plain.B *C);
    double *p = sb_arena_array(arena, double, fitted->head.label_count);
    plain.target_count = 0;
    sb_fitted_vectors(vectors, fitted, &answer->infer.bert, &plain, arena);
    for (size_t b = 0; b < plain.B; b++) {
        sb_embed_head_probabilities(p, &fitted->head, vectors + b * C, 1);
        if (sb_answer_print(describe_probabilities(predict, p), err) < 0)
            return -1;
    }
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct predict *predict = state->input;
    struct sb_err err = SB_ERR_INIT;
    uint64_t stride;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &predict->answer;
        return 0;
    case 'g':
        predict->logits = true;
        return 0;
    case KEY_THRESHOLD: {
        char *end;
        predict->threshold = strtod(argument, &end);
        if (end == argument || *end || !(predict->threshold >= 0 && predict->threshold <= 1))
            argp_error(state, "--threshold is '%s', expected a number from 0 to 1", argument);
        return 0;
    }
    case KEY_AGGREGATION:
        predict->tagging_option = "--aggregation";
        if (!sb_aggregation_find(&predict->tagging.aggregation, argument))
            argp_error(state, "--aggregation is '%s', expected none, simple, first, average or max",
                       argument);
        return 0;
    case KEY_CONSTRAINED:
        predict->tagging_option = "--constrained";
        predict->tagging.constrained = true;
        return 0;
    case KEY_STRIDE:
        predict->tagging_option = "--stride";
        if (sb_cmd_number(&stride, "--stride", argument, 0, 65536, &err) < 0)
            argp_error(state, "%s", err.text);
        predict->tagging.stride = (size_t)stride;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the model is for, by its config; an option that is not for it is a mistake. */
static int tags_words(bool *tags, const struct predict *predict, struct sb_err *err)
{
    char architecture[SB_ARCHITECTURE_BYTES];
    const char *model = predict->answer.model;
    if (!sb_dir_exists(model))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no model folder '%s'" SB_NO_HUB_HINT,
                          model);
    if (sb_config_architecture(architecture, model, err) < 0)
        return -1;
    *tags = strstr(architecture, "TokenClassification") != NULL;
    if (*tags && predict->logits)
        return sb_err_set(err, SB_ERR_USAGE, "--logits is not for a model that tags words");
    if (predict->threshold >= 0) {
        struct sb_bert_config config;
        if (sb_config_read(&config, model, err) < 0)
            return -1;
        bool several = !*tags && config.problem == SB_MULTI_LABEL;
        sb_bert_config_release(&config);
        if (!several)
            return sb_err_set(err, SB_ERR_USAGE,
                              "--threshold is for models that give several labels, not for '%s'",
                              model);
    }
    if (!*tags && predict->tagging_option)
        return sb_err_set(err, SB_ERR_USAGE, "%s is for models that tag words; '%s' is a %s",
                          predict->tagging_option, model, *architecture ? architecture : "BERT");
    return 0;
}

/* A head on vectors speaks instead of a classifier. */
static int take_fitted(struct predict *predict, struct sb_err *err)
{
    struct sb_answer *answer = &predict->answer;
    if (sb_fitted_read(&predict->fitted, answer->model, err) < 0)
        return -1;
    bool several = predict->fitted.head.kind == SB_EMBED_HEAD_ONE_VS_REST;
    const char *option = predict->logits                       ? "--logits"
                         : predict->threshold >= 0 && !several ? "--threshold"
                                                               : predict->tagging_option;
    if (option)
        return sb_err_set(err, SB_ERR_USAGE, "%s is not for '%s', a head on sentence vectors",
                          option, answer->model);
    answer->heads = SB_HEAD_NONE;
    answer->print = print_fitted;
    if (!answer->max_length)
        answer->max_length = predict->fitted.sentence.max_length;
    return 0;
}

int sb_cmd_predict(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"logits", 'g', NULL, 0, "Print the scores before the softmax as well", 0},
        {"threshold", KEY_THRESHOLD, "P", 0,
         "Of several labels a text: least probability of those that are given (default: 0.5)", 0},
        {"aggregation", KEY_AGGREGATION, "HOW", 0,
         "Of words: how pieces speak for a word, and words for an entity: none, simple, first "
         "(default), average or max",
         1},
        {"constrained", KEY_CONSTRAINED, NULL, 0,
         "Of words: no I- where nothing of its type stands before it", 1},
        {"stride", KEY_STRIDE, "N", 0,
         "Of words: pieces that the windows of a long text share (default: 32)", 1},
        {0},
    };
    static const struct argp_child children[] = {{&sb_answer_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "--model DIR [FILE|-]",
        .doc =
            "Classify each line of FILE or standard input, or tag its words, as the model does.\v"
            "A line is a text, or a JSON object {\"text\": ..., \"text_pair\": ...} if it starts "
            "with '{'. Each line in gives one line out, in order:\n"
            "{\"label\": ..., \"score\": ..., \"scores\": {label: score, ...}}\n"
            "A model for several labels a text gives {\"labels\": [...], \"scores\": {...}}, one "
            "for numbers {\"score\": ...}.\n\n"
            "A model that tags words also takes {\"tokens\": [...]} and gives\n"
            "{\"tokens\": [...], \"tags\": [...], \"entities\": [{\"type\", \"start\", "
            "\"end\", \"score\", \"text\"}, ...]}\n"
            "with a tag for every token; start and end count characters of the text, or tokens "
            "where tokens were given.",
        .children = children,
    };
    struct predict predict = {
        .answer = {.heads = SB_HEAD_CLASSIFY, .print = print_classes, .context = &predict},
        .threshold = -1,
        .tagging = {.aggregation = SB_AGGREGATE_first, .stride = STRIDE},
    };
    argp_parse(&argp, argc, argv, 0, NULL, &predict);
    bool tags = false;
    struct sb_err err = SB_ERR_INIT;
    bool fitted = sb_fitted_is_folder(predict.answer.model);
    if ((fitted ? take_fitted(&predict, &err) : tags_words(&tags, &predict, &err)) < 0) {
        sb_fitted_release(&predict.fitted);
        return sb_cmd_fail(&err);
    }
    predict.tagging.max_length = (size_t)predict.answer.max_length;
    int code =
        tags ? sb_tag_lines(&predict.answer, &predict.tagging) : sb_answer_all(&predict.answer);
    sb_fitted_release(&predict.fitted);
    return code;
}
