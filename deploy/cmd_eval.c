/* shardbert eval: the scores of a model folder on a file. */
#include "answer.h"
#include "classify.h"
#include "commands.h"
#include "config.h"
#include "entities_json.h"
#include "eval_pairs.h"
#include "eval_table.h"
#include "evaluate.h"
#include "file.h"
#include "fitted.h"
#include "interval.h"
#include "intervals.h"
#include "label_scores.h"
#include "model_files.h"
#include "run_record.h"
#include "scored.h"
#include "scores.h"
#include "sentence.h"
#include "sums.h"
#include "task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum task { TASK_NONE, TASK_MLM, TASK_CLASSIFY, TASK_NER, TASK_EMBED };

enum { PASS_TOKENS = 4096, STRIDE = 32, RECORDED_BYTES = 64 };

struct eval {
    const char *model;
    enum task task;
    char **paths;
    size_t path_count;
    const char *text_column, *text_pair_column, *label_column, *label_separator;
    const char *negative_column;
    double score_max;
    const char *grouping; /* mlm; NULL: as the training, or document */
    bool header, lenient, json, label_all_tokens;
    struct sb_mask_options masks;
    uint64_t max_length, thread_count, pass_tokens, stride;
    uint32_t given; /* bit KEY - KEY_TASK of each option */

    char recorded_grouping[RECORDED_BYTES];
    struct sb_infer infer;
    struct sb_fitted fitted; /* head.coef NULL: none */
    struct sb_dataset *dataset;
    /* The sums of all samples: those of sums.h, then classify: those of evaluate.h; ner: those of
     * entities.h. */
    double *sums; /* [width] */
    size_t width;
    struct sb_blocks blocks;    /* the same of parts of the data; for classify without the counts */
    struct sb_tags tags;        /* ner */
    struct sb_eval_pairs pairs; /* embed: all of its results */
};

enum {
    KEY_TASK = 256,
    KEY_DATA,
    KEY_TEXT,
    KEY_PAIR,
    KEY_LABEL,
    KEY_SEPARATOR,
    KEY_NEGATIVE,
    KEY_SCORE_MAX,
    KEY_HEADER,
    KEY_GROUPING,
    KEY_PROBABILITY,
    KEY_WHOLE_WORD,
    KEY_LENGTH,
    KEY_STRIDE,
    KEY_ALL_TOKENS,
    KEY_PASS,
    KEY_LENIENT,
    KEY_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"model", 'm', "DIR", 0, "Model folder", 0},
    {"task", KEY_TASK, "TASK", 0, "mlm, classify, ner or embed", 0},
    {"data", KEY_DATA, "FILE", 0, "A file, glob, or - for standard input; may be repeated", 0},
    {"text-column", KEY_TEXT, "C", 0, "Column of the text: name, or number from 0", 1},
    {"text-pair-column", KEY_PAIR, "C", 0, "Column of the second text", 1},
    {"label-column", KEY_LABEL, "C", 0, "Column of the label", 1},
    {"label-separator", KEY_SEPARATOR, "TEXT", 0,
     "Between the labels of a cell, where a text has several (default: a comma)", 1},
    {"negative-column", KEY_NEGATIVE, "C", 0, "embed: column of what is farther from the text", 1},
    {"score-max", KEY_SCORE_MAX, "X", 0, "embed: scores are divided by it (default: 1)", 1},
    {"header", KEY_HEADER, NULL, 0, "The first line names the columns", 1},
    {"lenient", KEY_LENIENT, NULL, 0, "Replace broken UTF-8 instead of stopping", 1},
    {"max-seq-length", KEY_LENGTH, "N", 0,
     "Most tokens of a sample (default: the positions of the model; mlm: as its training)", 2},
    {"mlm-grouping", KEY_GROUPING, "HOW", 0,
     "mlm: line, document, pack, pack_documents or hf (default: as its training, or document)", 2},
    {"mlm-probability", KEY_PROBABILITY, "P", 0,
     "mlm: share of the tokens to predict (default: as its training, or 0.15)", 2},
    {"whole-word-mask", KEY_WHOLE_WORD, NULL, 0, "mlm: mask all pieces of a word together", 2},
    {"stride", KEY_STRIDE, "N", 0,
     "ner: pieces that the windows of a long sentence share (default: 32)", 2},
    {"label-all-tokens", KEY_ALL_TOKENS, NULL, 0, "ner: the loss is of all pieces of words", 2},
    {"max-tokens-per-pass", KEY_PASS, "N", 0, "Bounds the memory (default: 4096)", 3},
    {"threads", 't', "N", 0, "Compute threads (default: the usable cores)", 3},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of a table", 4},
    {0},
};

static void number_option(uint64_t *value, const char *option, const char *text, uint64_t min,
                          uint64_t max, struct argp_state *state)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_cmd_number(value, option, text, min, max, &err) < 0)
        argp_error(state, "%s", err.text);
}

static double parse_probability(const char *text, struct argp_state *state)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value <= 1))
        argp_error(state, "--mlm-probability is '%s', expected a number above 0, at most 1", text);
    return value;
}

static double parse_score_max(const char *text, struct argp_state *state)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0.0001 && value <= 1e6))
        argp_error(state, "--score-max is '%s', expected a number from 0.0001 to 1000000", text);
    return value;
}

static void parse_task(struct eval *eval, const char *name, struct argp_state *state)
{
    eval->task = !strcmp(name, "mlm")        ? TASK_MLM
                 : !strcmp(name, "classify") ? TASK_CLASSIFY
                 : !strcmp(name, "ner")      ? TASK_NER
                 : !strcmp(name, "embed")    ? TASK_EMBED
                                             : TASK_NONE;
    if (eval->task == TASK_NONE)
        argp_error(state, "--task is '%s', expected mlm, classify, ner or embed", name);
}

static void check_required(const struct eval *eval, struct argp_state *state)
{
    const char *missing = !eval->model              ? "--model"
                          : eval->task == TASK_NONE ? "--task"
                          : !eval->path_count       ? "--data"
                                                    : NULL;
    if (missing)
        argp_error(state, "%s is missing", missing);
}

/* Options are called as the settings of a job, and belong to the tasks that those belong to. */
static void check_belong(const struct eval *eval, struct argp_state *state)
{
    static const char *const tasks[] = {[TASK_MLM] = "mlm",
                                        [TASK_CLASSIFY] = "classify",
                                        [TASK_NER] = "ner",
                                        [TASK_EMBED] = "embed"};
    for (const struct argp_option *option = OPTIONS; option->name; option++) {
        char key[64];
        if (option->key < KEY_TASK || !(eval->given >> (option->key - KEY_TASK) & 1))
            continue;
        snprintf(key, sizeof(key), "%s", option->name);
        for (char *c = key; *c; c++)
            *c = *c == '-' ? '_' : *c;
        const char *readers = sb_job_key_tasks(key, tasks[eval->task]);
        if (readers)
            argp_error(state, "--%s belongs to task %s; this task is %s", option->name, readers,
                       tasks[eval->task]);
    }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct eval *eval = state->input;
    enum sb_dataset_kind kind;
    if (key >= KEY_TASK && key <= KEY_JSON)
        eval->given |= UINT32_C(1) << (key - KEY_TASK);
    switch (key) {
    case 'm':
        eval->model = argument;
        return 0;
    case KEY_TASK:
        parse_task(eval, argument, state);
        return 0;
    case KEY_DATA:
        eval->paths = sb_realloc(eval->paths, (eval->path_count + 1) * sizeof(*eval->paths));
        eval->paths[eval->path_count++] = argument;
        return 0;
    case KEY_TEXT:
        eval->text_column = argument;
        return 0;
    case KEY_PAIR:
        eval->text_pair_column = argument;
        return 0;
    case KEY_LABEL:
        eval->label_column = argument;
        return 0;
    case KEY_NEGATIVE:
        eval->negative_column = argument;
        return 0;
    case KEY_SCORE_MAX:
        eval->score_max = parse_score_max(argument, state);
        return 0;
    case KEY_SEPARATOR:
        eval->label_separator = argument;
        return 0;
    case KEY_HEADER:
        eval->header = true;
        return 0;
    case KEY_LENIENT:
        eval->lenient = true;
        return 0;
    case KEY_LENGTH:
        number_option(&eval->max_length, "--max-seq-length", argument, 4, 65535, state);
        return 0;
    case KEY_GROUPING:
        if (!sb_dataset_mlm_kind(&kind, argument))
            argp_error(state,
                       "--mlm-grouping is '%s', expected line, document, pack, pack_documents or "
                       "hf",
                       argument);
        eval->grouping = argument;
        return 0;
    case KEY_PROBABILITY:
        eval->masks.probability = parse_probability(argument, state);
        return 0;
    case KEY_WHOLE_WORD:
        eval->masks.whole_word = true;
        return 0;
    case KEY_STRIDE:
        number_option(&eval->stride, "--stride", argument, 0, 65536, state);
        return 0;
    case KEY_ALL_TOKENS:
        eval->label_all_tokens = true;
        return 0;
    case KEY_PASS:
        number_option(&eval->pass_tokens, "--max-tokens-per-pass", argument, 1, 1 << 24, state);
        return 0;
    case 't':
        number_option(&eval->thread_count, "--threads", argument, 1, 1024, state);
        return 0;
    case KEY_JSON:
        eval->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "data is named with --data, not by '%s' alone", argument);
        return 0;
    case ARGP_KEY_END:
        check_required(eval, state);
        check_belong(eval, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A setting of the training that made the folder; false where it says nothing. */
static bool recorded(char value[RECORDED_BYTES], const struct sb_bytes *settings, const char *key)
{
    char start[RECORDED_BYTES];
    snprintf(start, sizeof(start), "\n%s=", key);
    const char *at = settings->count ? strstr(settings->data, start) : NULL;
    at = at ? at + strlen(start) : "";
    size_t bytes = strcspn(at, "\n");
    if (!bytes || bytes >= RECORDED_BYTES)
        return false;
    memcpy(value, at, bytes);
    value[bytes] = 0;
    return true;
}

/*
 * Samples of another length, or formed otherwise, have other masks and so another perplexity.
 * Where the options do not say, a model that a run of ours has finished is scored as that run
 * scored it, and we say so: another model has to be scored with the same options to be compared.
 */
static void take_training_settings(struct eval *eval)
{
    struct sb_run_record record = {.state = SB_RUN_NONE};
    const struct sb_bytes *settings = &record.settings;
    enum sb_dataset_kind kind;
    char value[RECORDED_BYTES];
    bool took = false;
    if (sb_run_record_read(&record, eval->model, NULL) == 0 && record.state == SB_RUN_FINISHED) {
        if (!eval->max_length && recorded(value, settings, "max_seq_length"))
            took = (eval->max_length = strtoul(value, NULL, 10)) > 0;
        if (!eval->grouping && recorded(value, settings, "mlm_grouping") &&
            sb_dataset_mlm_kind(&kind, value)) {
            took = took || strcmp(value, "document") != 0;
            eval->grouping = memcpy(eval->recorded_grouping, value, sizeof(value));
        }
        if (!eval->masks.probability && recorded(value, settings, "eval_mlm_probability")) {
            double probability = strtod(value, NULL);
            if (probability > 0 && probability <= 1)
                eval->masks.probability = probability;
        }
    }
    sb_run_record_release(&record);
    if (!eval->grouping)
        eval->grouping = "document";
    if (!eval->masks.probability)
        eval->masks.probability = 0.15;
    if (took)
        fprintf(stderr,
                "shardbert: scored as in its training; for a model to compare with: "
                "--max-seq-length %" PRIu64 " --mlm-grouping %s\n",
                eval->max_length ? eval->max_length : eval->infer.bert.config.max_positions,
                eval->grouping);
}

/*
 * The prepared data lies in a folder of its own.  It is gone from there as soon as it is open, so
 * that nothing is left behind however this process ends.
 */
static int open_data(struct eval *eval, struct sb_err *err)
{
    const struct sb_bert_config *config = &eval->infer.bert.config;
    const char *place = getenv("TMPDIR");
    size_t length = eval->max_length && eval->max_length < config->max_positions
                        ? eval->max_length
                        : config->max_positions;
    bool labelled = eval->task != TASK_MLM && eval->task != TASK_EMBED;
    enum sb_dataset_kind kind = eval->task == TASK_NER     ? SB_DATA_WORDS
                                : eval->task == TASK_EMBED ? SB_DATA_PAIRS
                                                           : SB_DATA_LABELLED;
    bool known = eval->task != TASK_MLM || sb_dataset_mlm_kind(&kind, eval->grouping);
    sb_assert(known);
    bool named = labelled && (eval->task == TASK_NER || config->problem != SB_REGRESSION);
    char cache_dir[SB_PATH_BYTES];
    sb_path_join(cache_dir, place && *place ? place : "/tmp", "shardbert-eval-XXXXXX");
    if (!mkdtemp(cache_dir))
        return sb_err_set_errno(err, SB_ERR_CREATE, "cannot make a folder like '%s'", cache_dir);
    struct sb_dataset_options options = {
        .kind = kind,
        .source = {.paths = eval->paths,
                   .path_count = eval->path_count,
                   .labelled = labelled,
                   .text_column = eval->text_column,
                   .text_pair_column = eval->text_pair_column,
                   .label_column = eval->label_column,
                   .pairs = eval->task == TASK_EMBED,
                   .negative_column = eval->negative_column,
                   .label_form =
                       eval->task == TASK_CLASSIFY ? sb_task_label_form(config) : SB_LABEL_CLASS,
                   .label_separator = eval->label_separator,
                   .header = eval->header,
                   .lenient = eval->lenient},
        .max_seq_length = length,
        .stride = eval->stride,
        .label_all_tokens = eval->label_all_tokens,
        .score_min = -1,
        .score_max = eval->score_max,
        .labels = named ? config->labels : NULL,
        .label_count = named ? config->label_count : 0,
        .cache_dir = cache_dir,
        .threads = eval->thread_count ? eval->thread_count : sb_pool_usable_cores(),
    };
    int rc = sb_dataset_open(&eval->dataset, eval->infer.tokenizer, &options, err);
    sb_dir_remove(cache_dir, NULL);
    if (rc < 0)
        return -1;
    if (!sb_dataset_count(eval->dataset))
        return sb_err_set(err, SB_ERR_DATA, "there is no sample in '%s'", eval->paths[0]);
    return 0;
}

/* A classifier of texts has the same tensors as a tagger, and a pooler. */
static int check_tagger(const char *model, struct sb_err *err)
{
    char architecture[SB_ARCHITECTURE_BYTES];
    if (!sb_dir_exists(model) || sb_config_architecture(architecture, model, NULL) < 0)
        return 0; /* opening it says why */
    if (strstr(architecture, "SequenceClassification"))
        return sb_err_set(err, SB_ERR_DATA, "model '%s' is a %s: it does not tag words", model,
                          architecture);
    return 0;
}

static int evaluate(struct eval *eval, uint64_t first, uint64_t end, struct sb_arena *arena,
                    struct sb_stats *stats, double *counts, struct sb_err *err)
{
    const struct sb_infer *infer = &eval->infer;
    if (eval->fitted.head.coef)
        return sb_fitted_evaluate(&eval->fitted, infer, eval->dataset, first, end,
                                  eval->pass_tokens, arena, stats, counts, err);
    if (eval->task == TASK_NER)
        return sb_evaluate_tags(&infer->bert, eval->dataset, infer->tokenizer, &eval->tags, first,
                                end, eval->pass_tokens, arena, stats, counts, err);
    return sb_evaluate(&infer->bert, eval->dataset, infer->tokenizer,
                       eval->task == TASK_MLM ? &eval->masks : NULL, first, end, eval->pass_tokens,
                       arena, stats, counts, err);
}

/* One class a text: then there is a confusion matrix. */
static bool has_matrix(const struct eval *eval)
{
    return eval->task == TASK_CLASSIFY && eval->infer.bert.config.problem == SB_SINGLE_LABEL;
}

/* How the samples are cut: slots, whose sums are computed together, and blocks of slots. */
struct cut {
    uint64_t slot_samples, slot_count, block_slots;
};

/* As training evaluates, so that both give the same sums and intervals. */
static struct cut cut_samples(uint64_t count)
{
    struct cut cut = {.slot_samples = sb_evaluate_slot_samples(count)};
    cut.slot_count = (count + cut.slot_samples - 1) / cut.slot_samples;
    cut.block_slots = sb_block_slots(cut.slot_count);
    return cut;
}

static void add_slot(struct eval *eval, double *block, const double *slot)
{
    for (size_t i = 0; i < eval->width; i++)
        eval->sums[i] += slot[i];
    for (size_t i = 0; i < eval->blocks.width; i++)
        block[i] += slot[i];
}

static int evaluate_all(struct eval *eval, struct sb_err *err)
{
    struct sb_arena arena = SB_ARENA_INIT;
    uint64_t count = sb_dataset_count(eval->dataset);
    struct cut cut = cut_samples(count);
    size_t block_width = has_matrix(eval) ? SB_SUM_COUNT : eval->width;
    eval->sums = sb_calloc(eval->width, sizeof(*eval->sums));
    eval->blocks = (struct sb_blocks){
        .count = (cut.slot_count + cut.block_slots - 1) / cut.block_slots, .width = block_width};
    eval->blocks.sums = sb_calloc(eval->blocks.count * block_width, sizeof(double));
    double *slot_sums = sb_alloc(eval->width * sizeof(*slot_sums));
    int rc = 0;
    for (uint64_t slot = 0; rc == 0 && slot < cut.slot_count; slot++) {
        uint64_t first = slot * cut.slot_samples, left = count - first;
        struct sb_stats stats = {0};
        memset(slot_sums, 0, eval->width * sizeof(*slot_sums));
        rc = evaluate(eval, first, first + (left < cut.slot_samples ? left : cut.slot_samples),
                      &arena, &stats, slot_sums + SB_SUM_COUNT, err);
        memcpy(slot_sums, &stats, sizeof(stats));
        add_slot(eval, eval->blocks.sums + slot / cut.block_slots * block_width, slot_sums);
    }
    free(slot_sums);
    sb_arena_release(&arena);
    return rc;
}

/* A classifier on vectors brings its labels, and its longest text, with it. */
static int open_fitted(struct eval *eval, struct sb_err *err)
{
    if (sb_fitted_read(&eval->fitted, eval->model, err) < 0 ||
        sb_infer_open(&eval->infer, eval->model, SB_HEAD_NONE, eval->thread_count, err) < 0)
        return -1;
    if (!eval->max_length)
        eval->max_length = eval->fitted.sentence.max_length;
    return sb_fitted_join(&eval->fitted, &eval->infer, err);
}

/* The loss of the training, and how the folder pools. */
static int compute_pairs(struct eval *eval, struct sb_err *err)
{
    struct sb_sentence sentence = {0};
    struct sb_embedding_options *options = &eval->pairs.options;
    struct sb_run_record record = {.state = SB_RUN_NONE};
    const struct sb_bytes *settings = &record.settings;
    char value[RECORDED_BYTES];
    *options =
        (struct sb_embedding_options){.metric = SB_EMBED_EUCLIDEAN, .margin = -1, .scale = 20};
    if (sb_sentence_is_folder(eval->model) && sb_sentence_read(&sentence, eval->model, err) < 0)
        return -1;
    if (sb_run_record_read(&record, eval->model, NULL) == 0 && record.state == SB_RUN_FINISHED) {
        eval->pairs.loss_given =
            recorded(value, settings, "loss") && sb_embedding_loss_find(&options->loss, value);
        if (recorded(value, settings, "distance_metric") && !strcmp(value, "cosine"))
            options->metric = SB_EMBED_COSINE;
        if (recorded(value, settings, "margin"))
            options->margin = strtod(value, NULL);
        if (recorded(value, settings, "scale"))
            options->scale = strtod(value, NULL);
    }
    sb_run_record_release(&record);
    options->pooling = sentence.pooling;
    eval->max_length = eval->max_length ? eval->max_length : sentence.max_length;
    if (sb_infer_open(&eval->infer, eval->model, SB_HEAD_NONE, eval->thread_count, err) < 0 ||
        open_data(eval, err) < 0)
        return -1;
    return sb_eval_pairs_compute(&eval->pairs, &eval->infer, eval->dataset, eval->pass_tokens, err);
}

static int compute(struct eval *eval, struct sb_err *err)
{
    if (eval->task == TASK_EMBED)
        return compute_pairs(eval, err);
    unsigned heads = eval->task == TASK_MLM   ? SB_HEAD_MLM
                     : eval->task == TASK_NER ? SB_HEAD_TOKENS
                                              : SB_HEAD_CLASSIFY;
    bool fitted = eval->task == TASK_CLASSIFY && sb_fitted_is_folder(eval->model);
    if (fitted && open_fitted(eval, err) < 0)
        return -1;
    if ((eval->task == TASK_NER && check_tagger(eval->model, err) < 0) ||
        (!fitted && sb_infer_open(&eval->infer, eval->model, heads, eval->thread_count, err) < 0))
        return -1;
    if (eval->task == TASK_MLM)
        take_training_settings(eval);
    if (open_data(eval, err) < 0)
        return -1;
    size_t K = eval->infer.bert.config.label_count;
    eval->width = SB_SUM_COUNT;
    if (eval->task == TASK_NER) {
        sb_tags_init(&eval->tags, eval->infer.bert.config.labels, K);
        eval->width += sb_entity_count_count(eval->tags.type_count);
    } else if (eval->task == TASK_CLASSIFY) {
        eval->width += sb_evaluate_count_count(&eval->infer.bert.config);
    }
    if (evaluate_all(eval, err) < 0)
        return -1;
    if (eval->sums[SB_SUM_TARGETS] == 0)
        return sb_err_set(err, SB_ERR_DATA, "there is nothing to predict in '%s'", eval->paths[0]);
    return 0;
}

static void describe_labels(json_t *out, const double *counts, const struct sb_bert_config *config)
{
    struct sb_label_scores s;
    json_t *labels = json_object();
    sb_label_scores_from_counts(&s, counts, config->label_count);
#define SET(name) json_object_set_new(out, #name, sb_answer_number(s.name));
    SB_LABEL_SCORES(SET)
#undef SET
    for (size_t k = 0; k < config->label_count; k++) {
        double precision, recall, f1;
        sb_label_scores_of(&precision, &recall, &f1, counts, k);
        json_object_set_new(
            labels, config->labels[k],
            json_pack("{s:f, s:f, s:f}", "precision", precision, "recall", recall, "f1", f1));
    }
    json_object_set_new(out, "per_label", labels);
}

static void describe_values(json_t *out, const double *counts)
{
    struct sb_value_scores s;
    sb_value_scores_from_counts(&s, counts);
#define SET(name) json_object_set_new(out, #name, sb_answer_number(s.name));
    SB_VALUE_SCORES(SET)
#undef SET
}

/* ---- scores: whatever has a fraction is a function of sums, and so may have an interval ---- */

static json_t *describe(const double *sums, const void *context)
{
    const struct eval *eval = context;
    const double *counts = sums + SB_SUM_COUNT;
    double loss = sums[SB_SUM_LOSS] / sums[SB_SUM_TARGETS];
    json_t *out = json_object();
    json_object_set_new(out, "loss", sb_answer_number(loss));
    if (eval->task == TASK_MLM)
        json_object_set_new(out, "perplexity", sb_answer_number(sb_perplexity(loss)));
    else if (eval->task == TASK_NER)
        sb_entities_describe(out, counts, &eval->tags);
    else if (eval->infer.bert.config.problem == SB_MULTI_LABEL)
        describe_labels(out, counts, &eval->infer.bert.config);
    else if (eval->infer.bert.config.problem == SB_REGRESSION)
        describe_values(out, counts);
    else {
        struct sb_scores scores;
        double score;
        sb_scores_from_confusion(&scores, counts, eval->infer.bert.config.label_count);
        for (size_t i = 0; sb_score_name(i); i++)
            if (sb_scores_get(&score, &scores, sb_score_name(i)))
                json_object_set_new(out, sb_score_name(i), sb_answer_number(score));
    }
    return out;
}

static void add_confusion(json_t *out, const struct eval *eval)
{
    const struct sb_bert_config *config = &eval->infer.bert.config;
    const double *counts = eval->sums + SB_SUM_COUNT;
    size_t K = config->label_count;
    json_t *labels = json_array();
    json_t *confusion = json_array();
    for (size_t i = 0; i < K; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < K; j++)
            json_array_append_new(row, json_integer((json_int_t)counts[i * K + j]));
        json_array_append_new(confusion, row);
        json_array_append_new(labels, json_string(config->labels[i]));
    }
    json_object_set_new(out, "labels", labels);
    json_object_set_new(out, "confusion_matrix", confusion);
}

static json_t *describe_all(const struct eval *eval)
{
    char words[256];
    bool classify = eval->task == TASK_CLASSIFY;
    struct sb_intervals intervals = {
        .describe = describe,
        .context = eval,
        .blocks = &eval->blocks,
        .confusion = has_matrix(eval) ? eval->sums + SB_SUM_COUNT : NULL,
        .class_count = has_matrix(eval) ? eval->infer.bert.config.label_count : 0,
    };
    json_t *out = json_object(), *plain = describe(eval->sums, eval);
    json_t *scores = sb_intervals_beside(plain, &intervals, words, sizeof(words));
    json_object_set_new(out, "samples", json_integer((json_int_t)eval->sums[SB_SUM_SAMPLES]));
    if (!classify)
        json_object_set_new(out, "targets", json_integer((json_int_t)eval->sums[SB_SUM_TARGETS]));
    json_object_update(out, scores);
    json_object_set_new(out, "ci_method", json_string(words));
    if (has_matrix(eval))
        add_confusion(out, eval);
    json_decref(plain);
    json_decref(scores);
    return out;
}

static int print_scores(const struct eval *eval, struct sb_err *err)
{
    json_t *scores =
        eval->task == TASK_EMBED ? sb_eval_pairs_describe(&eval->pairs) : describe_all(eval);
    if (eval->sums && eval->sums[SB_SUM_TRUNCATED] > 0)
        fprintf(stderr, "shardbert: %.0f of %.0f samples were cut to fit\n",
                eval->sums[SB_SUM_TRUNCATED], eval->sums[SB_SUM_SAMPLES]);
    if (eval->json)
        return sb_answer_print(scores, err) < 0 ? -1 : sb_cmd_finish_output(err);
    sb_eval_table_print(scores);
    json_decref(scores);
    return sb_cmd_finish_output(err);
}

int sb_cmd_eval(int argc, char **argv)
{
    static const struct argp argp = {
        .options = OPTIONS,
        .parser = parse,
        .args_doc = "--model DIR --task mlm|classify|ner|embed --data FILE",
        .doc =
            "Score a model folder on labelled or plain text.\v"
            "mlm: loss and perplexity over masked tokens; the masks depend on the text alone, so "
            "models can be compared. classify: loss, accuracy, precision, recall and F1 (macro, "
            "micro, weighted), Matthews correlation, confusion matrix (rows: gold); of several "
            "labels a text: all of them right (accuracy), F1 (also of samples and of each label); "
            "of numbers: mse, rmse, mae, r2 and Pearson's correlation. ner: loss, "
            "accuracy and micro F1 of the tokens (without O), and precision, recall and F1 of "
            "whole entities by seqeval's rules, default and strict. embed: of pairs with scores "
            "Spearman's and Pearson's correlation of the cosines with them; of triplets, and of "
            "pairs among their neighbours in the file, how often the positive is the nearer one. "
            "Each score with its 95 % "
            "interval and the number of samples; ci_method says how intervals were made. They "
            "speak of the draw of the samples, not of the seed of the training.",
    };
    struct eval eval = {.pass_tokens = PASS_TOKENS, .stride = STRIDE, .score_max = 1};
    struct sb_err err = SB_ERR_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &eval);
    int rc = compute(&eval, &err);
    sb_dataset_free(&eval.dataset);
    if (rc == 0)
        rc = print_scores(&eval, &err);
    sb_infer_release(&eval.infer);
    sb_fitted_release(&eval.fitted);
    free(eval.sums);
    free(eval.blocks.sums);
    sb_tags_release(&eval.tags);
    sb_eval_pairs_release(&eval.pairs);
    free(eval.paths);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
