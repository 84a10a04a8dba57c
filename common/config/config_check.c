/* What no single row can say: what must be there, and what excludes each other. */
#include "config.h"

#include "config_rows.h"
#include "file.h"

#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static int trouble(const struct sb_job *job, const char *key, enum sb_err_code code,
                   struct sb_err *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* An error about one row, with the place where its value comes from in front. */
static int trouble(const struct sb_job *job, const char *key, enum sb_err_code code,
                   struct sb_err *err, const char *format, ...)
{
    char sentence[768];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    sb_err_set(err, code, "%s", sentence);
    return sb_job_place(job, key, err);
}

int sb_job_place(const struct sb_job *job, const char *key, struct sb_err *err)
{
    const struct sb_row *row = sb_row_find(key);
    sb_assert(row);
    const struct sb_origin *origin = &job->origins[row - sb_rows];
    switch (origin->source) {
    case SB_BY_FILE:
        return sb_err_context(err, "%s:%u:%u", origin->file ? origin->file : job->job_path,
                              origin->line, origin->column);
    case SB_BY_ENVIRONMENT:
        return sb_err_context(err, "environment");
    case SB_BY_COMMAND:
        return sb_err_context(err, "--set %s", key);
    case SB_BY_DEFAULT:
        break;
    }
    return job->job_path ? sb_err_context(err, "%s", job->job_path) : -1;
}

/* Settings that not every task reads. */
static const struct {
    const char *key, *tasks;
} owned[] = {
    {"whole_word_mask", "mlm"},
    {"mlm_grouping", "mlm"},
    {"mlm_probability", "mlm"},
    {"mlm_probability_end", "mlm"},
    {"eval_mlm_probability", "mlm"},
    {"span_mask", "mlm"},
    {"probe_sentences", "mlm"},
    {"labels", "classify|ner|setfit"},
    {"label_column", "classify|ner|setfit|embed"},
    {"text_pair_column", "classify|embed"},
    {"header", "mlm|classify|setfit|embed"},
    {"classifier_dropout", "classify|ner"},
    {"problem_type", "classify|setfit"},
    {"label_separator", "classify|setfit"},
    {"samples_per_label", "classify|setfit"},
    {"class_weight", "classify|setfit"},
    {"label_smoothing_factor", "classify"},
    {"focal_gamma", "classify"},
    {"head_learning_rate", "classify|ner|setfit"},
    {"unfreeze_steps", "classify|ner"},
    {"unfreeze_epochs", "classify|ner"},
    {"stride", "ner"},
    {"label_all_tokens", "ner"},
    {"sampling_strategy", "setfit"},
    {"num_iterations", "setfit"},
    {"self_pairs", "setfit"},
    {"body_learning_rate", "setfit"},
    {"head", "setfit"},
    {"normalize_embeddings", "setfit"},
    {"head_C", "setfit"},
    {"head_max_iter", "setfit"},
    {"head_tol", "setfit"},
    {"head_num_epochs", "setfit"},
    {"head_batch_size", "setfit"},
    {"head_weight_decay", "setfit"},
    {"loss", "setfit|embed"},
    {"distance_metric", "setfit|embed"},
    {"margin", "setfit|embed"},
    {"scale", "setfit|embed"},
    {"pooling_mode", "setfit|embed"},
    {"negative_column", "embed"},
    {"score_max", "embed"},
};

const char *sb_job_key_tasks(const char *key, const char *task)
{
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        if (!strcmp(owned[i].key, key) && !sb_word_is_one_of(owned[i].tasks, task))
            return owned[i].tasks;
    return NULL;
}

static bool is_default(const struct sb_job *job, const struct sb_row *row)
{
    struct sb_bytes value = SB_BYTES_INIT, usual = SB_BYTES_INIT;
    struct sb_job defaults;
    sb_job_init(&defaults);
    sb_row_print(&value, job, row);
    sb_row_print(&usual, &defaults, row);
    bool same = value.count == usual.count &&
                !memcmp(value.count ? value.data : "", usual.count ? usual.data : "", value.count);
    sb_job_release(&defaults);
    sb_bytes_release(&value);
    sb_bytes_release(&usual);
    return same;
}

static int check_few_shot(const struct sb_job *job, struct sb_err *err)
{
    if (job->body_learning_rate < 0 && job->body_learning_rate != -1)
        return trouble(job, "body_learning_rate", SB_ERR_CONFIG, err,
                       "body_learning_rate is %.15g; it must be 0 or more, or -1",
                       job->body_learning_rate);
    if (job->body_learning_rate >= 0 && job->learning_rate != job->body_learning_rate)
        return trouble(job, "body_learning_rate", SB_ERR_CONFIG, err,
                       "learning_rate is %.15g and body_learning_rate %.15g, two names of one "
                       "thing: set one of them",
                       job->learning_rate, job->body_learning_rate);
    if (job->num_iterations && sb_job_given(job, "sampling_strategy"))
        return trouble(job, "num_iterations", SB_ERR_CONFIG, err,
                       "num_iterations and sampling_strategy exclude each other");
    return 0;
}

/* Settings that only some losses, or some heads, read. */
static const struct {
    const char *key;
    bool of_head; /* else of the loss */
    const char *readers;
} partial[] = {
    {"margin", false, "contrastive|online_contrastive|triplet|batch_hard_triplet"},
    {"scale", false, "cosent|multiple_negatives_ranking"},
    {"distance_metric", false, "triplet|batch_hard_triplet"},
    {"self_pairs", false,
     "cosine_similarity|contrastive|online_contrastive|cosent|triplet|multiple_negatives_ranking"},
    {"sampling_strategy", false,
     "cosine_similarity|contrastive|online_contrastive|cosent|triplet|multiple_negatives_ranking"},
    {"head_C", true, "logistic"},
    {"head_tol", true, "logistic"},
    {"head_max_iter", true, "logistic"},
    {"class_weight", true, "logistic|differentiable"},
    {"head_learning_rate", true, "differentiable"},
    {"head_num_epochs", true, "differentiable"},
    {"head_batch_size", true, "differentiable"},
    {"head_weight_decay", true, "differentiable"},
};

static int check_partial(const struct sb_job *job, struct sb_err *err)
{
    bool setfit = job->task && !strcmp(job->task, "setfit");
    for (size_t i = 0; i < sizeof(partial) / sizeof(partial[0]); i++) {
        const char *key = partial[i].key, *chosen = partial[i].of_head ? job->head : job->loss;
        /* Without a loss, embed takes one that fits its data. */
        if (!chosen || (partial[i].of_head && !setfit) || !sb_job_given(job, key) ||
            sb_word_is_one_of(partial[i].readers, chosen) || is_default(job, sb_row_find(key)))
            continue;
        return trouble(job, key, SB_ERR_CONFIG, err, "%s has no meaning with %s %s", key,
                       partial[i].of_head ? "head" : "loss", chosen);
    }
    return 0;
}

static int check_loss(const struct sb_job *job, struct sb_err *err)
{
    if (job->margin < 0 && job->margin != -1)
        return trouble(job, "margin", SB_ERR_CONFIG, err,
                       "margin is %.15g; it must be 0 or more, or -1 for the loss's own",
                       job->margin);
    if (job->task && job->loss && !strcmp(job->task, "embed") &&
        !strcmp(job->loss, "batch_hard_triplet"))
        return trouble(job, "loss", SB_ERR_CONFIG, err,
                       "loss batch_hard_triplet needs texts with classes (task setfit); for "
                       "anchors with a positive and a negative there is triplet");
    return 0;
}

static bool is_problem(const struct sb_job *job, const char *problem)
{
    return !strcmp(job->problem_type, problem);
}

/* Few texts with any number of labels: what compares classes, or chooses one, is not for them. */
static int check_few_sets(const struct sb_job *job, struct sb_err *err)
{
    if (!job->task || strcmp(job->task, "setfit") != 0)
        return 0;
    if (is_problem(job, "regression"))
        return trouble(job, "problem_type", SB_ERR_CONFIG, err,
                       "problem_type regression belongs to task classify; this task is setfit");
    if (!is_problem(job, "multi_label_classification"))
        return 0;
    if (job->head && strcmp(job->head, "logistic") != 0)
        return trouble(job, "head", SB_ERR_CONFIG, err,
                       "head %s gives one label a text; with problem_type "
                       "multi_label_classification there is logistic, one for each label",
                       job->head);
    if (job->loss && (!strcmp(job->loss, "batch_hard_triplet") ||
                      !strcmp(job->loss, "multiple_negatives_ranking")))
        return trouble(job, "loss", SB_ERR_CONFIG, err,
                       "loss %s takes texts of other classes for negatives, and texts with several "
                       "labels have no class; there are cosine_similarity, contrastive, "
                       "online_contrastive, cosent and triplet",
                       job->loss);
    return 0;
}

static int check_task(const struct sb_job *job, struct sb_err *err)
{
    if (!job->task)
        return trouble(job, "task", SB_ERR_CONFIG, err,
                       "task is missing: mlm, classify, ner, setfit or embed");
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        const char *tasks = sb_job_key_tasks(owned[i].key, job->task);
        if (tasks && !is_default(job, sb_row_find(owned[i].key)))
            return trouble(job, owned[i].key, SB_ERR_CONFIG, err,
                           "%s belongs to task %s; this task is %s", owned[i].key, tasks,
                           job->task);
    }
    for (size_t i = 0; i < job->labels.count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(job->labels.items[i], job->labels.items[j]))
                return trouble(job, "labels", SB_ERR_CONFIG, err, "labels has '%s' twice",
                               job->labels.items[i]);
        }
    }
    if (job->labels.count == 1)
        return trouble(job, "labels", SB_ERR_CONFIG, err,
                       "labels has one name; a classifier needs two or more");
    if (check_few_shot(job, err) < 0 || check_few_sets(job, err) < 0 || check_loss(job, err) < 0)
        return -1;
    return check_partial(job, err);
}

/* none, balanced, or numbers that are not negative. */
static int check_class_weight(const struct sb_job *job, struct sb_err *err)
{
    const struct sb_list *list = &job->class_weight;
    if (list->count == 1 &&
        (!strcmp(list->items[0], "none") || !strcmp(list->items[0], "balanced")))
        return 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i];
        char *end;
        double weight = strtod(text, &end);
        if (!*text || *end || text[strspn(text, "+.0123456789eE-")] ||
            !(weight >= 0 && weight <= 1e9))
            return trouble(job, "class_weight", SB_ERR_CONFIG, err,
                           "class_weight has '%s'; it is none, balanced, or a list of one weight "
                           "for each class",
                           text);
    }
    return 0;
}

/* What the losses of a classifier cannot be together. */
static int check_classifier(const struct sb_job *job, struct sb_err *err)
{
    bool score = is_problem(job, "regression");
    bool single = is_problem(job, "single_label_classification");
    const struct {
        const char *key;
        bool used, allowed;
    } parts[] = {
        {"labels", job->labels.count > 0, !score},
        {"label_separator", job->label_separator != NULL, !score && !single},
        {"samples_per_label", job->samples_per_label > 0, !score},
        {"class_weight",
         job->class_weight.count > 0 && strcmp(job->class_weight.items[0], "none") != 0, !score},
        {"focal_gamma", job->focal_gamma > 0, !score},
        {"label_smoothing_factor", job->label_smoothing_factor > 0, single},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].used && !parts[i].allowed)
            return trouble(job, parts[i].key, SB_ERR_CONFIG, err,
                           "%s has no meaning with problem_type %s", parts[i].key,
                           job->problem_type);
    if (job->focal_gamma > 0 && job->label_smoothing_factor > 0)
        return trouble(job, "focal_gamma", SB_ERR_CONFIG, err,
                       "focal_gamma and label_smoothing_factor exclude each other");
    return check_class_weight(job, err);
}

/* What is frozen at first must not be frozen for good. */
static int check_unfreezing(const struct sb_job *job, struct sb_err *err)
{
    const char *key = job->unfreeze_steps ? "unfreeze_steps" : "unfreeze_epochs";
    if (!job->unfreeze_steps && !(job->unfreeze_epochs > 0))
        return 0;
    if (job->unfreeze_steps && job->unfreeze_epochs > 0)
        return trouble(job, "unfreeze_epochs", SB_ERR_CONFIG, err,
                       "unfreeze_steps and unfreeze_epochs exclude each other");
    for (size_t i = 0; i < job->freeze.count; i++)
        if (!strcmp(job->freeze.items[i], "body"))
            return trouble(job, key, SB_ERR_CONFIG, err,
                           "%s has nothing to do with freeze: body, which stays frozen", key);
    return 0;
}

/* Rates of layers, and which evaluation is the best. */
static int check_course(const struct sb_job *job, struct sb_err *err)
{
    if (check_unfreezing(job, err) < 0)
        return -1;
    bool own_head = job->task && !strcmp(job->task, "setfit"); /* trained apart from the body */
    if (job->head_learning_rate > 0 && job->learning_rate == 0 && !own_head)
        return trouble(job, "head_learning_rate", SB_ERR_CONFIG, err,
                       "head_learning_rate needs a learning_rate above 0; freeze: body trains the "
                       "classifier alone");
    if (job->learning_rate == 0 && !own_head)
        return trouble(job, "learning_rate", SB_ERR_CONFIG, err,
                       "learning_rate is 0: nothing would be learnt; `shardbert eval` scores a "
                       "model as it is");
    if (strcmp(job->greater_is_better, "auto") != 0 && !job->metric_for_best_model)
        return trouble(job, "greater_is_better", SB_ERR_CONFIG, err,
                       "greater_is_better without metric_for_best_model");
    const struct {
        const char *key;
        bool used;
    } judged[] = {
        {"early_stopping_patience", job->early_stopping_patience > 0},
        {"load_best_model_at_end", job->load_best_model_at_end},
        {"metric_for_best_model", job->metric_for_best_model != NULL},
    };
    for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++)
        if (judged[i].used && !job->validation_file.count)
            return trouble(job, judged[i].key, SB_ERR_CONFIG, err, "%s without a validation_file",
                           judged[i].key);
    if (job->early_stopping_threshold > 0 && !job->early_stopping_patience)
        return trouble(job, "early_stopping_threshold", SB_ERR_CONFIG, err,
                       "early_stopping_threshold without early_stopping_patience");
    return 0;
}

static int check_model(const struct sb_job *job, struct sb_err *err)
{
    if (!job->model_name_or_path && !job->config_name)
        return trouble(job, "model_name_or_path", SB_ERR_CONFIG, err,
                       "no model: set model_name_or_path to a model folder, or config_name and "
                       "tokenizer_name for a fresh one");
    if (job->model_name_or_path && job->config_name)
        return trouble(job, "config_name", SB_ERR_CONFIG, err,
                       "config_name is for a fresh model; model_name_or_path brings its own");
    if (!job->model_name_or_path && !job->tokenizer_name)
        return trouble(job, "tokenizer_name", SB_ERR_CONFIG, err,
                       "tokenizer_name is missing; a fresh model has none of its own");
    return 0;
}

/* Standard input can be read once, by one process. */
static int check_standard_input(const struct sb_job *job, struct sb_err *err)
{
    const struct {
        const char *key;
        const struct sb_list *files;
    } all[] = {{"train_file", &job->train_file},
               {"validation_file", &job->validation_file},
               {"test_file", &job->test_file}};
    size_t uses = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (size_t j = 0; j < all[i].files->count; j++) {
            if (strcmp(all[i].files->items[j], "-") != 0)
                continue;
            if (job->workers > 1)
                return trouble(job, all[i].key, SB_ERR_CONFIG, err,
                               "%s is '-', but %" PRIu32
                               " workers cannot all read standard input; write it to a file first",
                               all[i].key, job->workers);
            if (uses++)
                return trouble(job, all[i].key, SB_ERR_CONFIG, err,
                               "%s is '-', but standard input can be read only once", all[i].key);
        }
    }
    return 0;
}

/* One column cannot be two things. */
static int check_columns(const struct sb_job *job, struct sb_err *err)
{
    const struct {
        const char *key, *column;
    } all[] = {{"text_column", job->text_column},
               {"text_pair_column", job->text_pair_column},
               {"negative_column", job->negative_column},
               {"label_column", job->label_column}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            if (all[i].column && *all[i].column && all[j].column &&
                !strcmp(all[i].column, all[j].column))
                return trouble(job, all[i].key, SB_ERR_CONFIG, err, "%s and %s are both '%s'",
                               all[j].key, all[i].key, all[i].column);
        }
    }
    return 0;
}

/* Is the file of one of the kinds, or may it be one?  A pattern may end in anything. */
static bool may_be(const char *path, const char *const *endings)
{
    static const char *const packed[] = {"", ".gz", ".xz", ".zst"};
    size_t bytes = strlen(path);
    if (!strcmp(path, "-") || (bytes && strchr("*?]", path[bytes - 1])))
        return true;
    for (size_t i = 0; endings[i]; i++)
        for (size_t j = 0; j < sizeof(packed) / sizeof(packed[0]); j++) {
            char ending[16];
            int ending_bytes = snprintf(ending, sizeof(ending), "%s%s", endings[i], packed[j]);
            if (bytes >= (size_t)ending_bytes &&
                !strcasecmp(path + bytes - (size_t)ending_bytes, ending))
                return true;
        }
    return false;
}

static bool any_may_be(const struct sb_job *job, const char *const *endings)
{
    const struct sb_list *all[] = {&job->train_file, &job->validation_file, &job->test_file};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (size_t j = 0; j < all[i]->count; j++)
            if (may_be(all[i]->items[j], endings))
                return true;
    return false;
}

/* What is said of tables or JSON objects, where there are none. */
static int check_kinds(const struct sb_job *job, struct sb_err *err)
{
    static const char *const tables[] = {".csv", ".tsv", NULL};
    static const char *const json[] = {".jsonl", ".json", NULL};
    if (job->header && !job->text_column && !strcmp(job->task, "mlm") && !any_may_be(job, tables))
        return trouble(job, "header", SB_ERR_CONFIG, err,
                       "header: true speaks of .csv and .tsv, and no file is one: the others are "
                       "read as text, line by line");
    const char *key = job->label_column ? "label_column" : "text_column";
    if ((job->label_column || job->text_column) && !strcmp(job->task, "ner") &&
        !any_may_be(job, json))
        return trouble(job, key, SB_ERR_CONFIG, err,
                       "%s names a key of JSON lines, and no file has them: in CoNLL columns the "
                       "word is the first and its tag the last",
                       key);
    return 0;
}

static int check_data(const struct sb_job *job, struct sb_err *err)
{
    if (!job->train_file.count)
        return trouble(job, "train_file", SB_ERR_CONFIG, err, "train_file is missing");
    if (!job->output_dir)
        return trouble(job, "output_dir", SB_ERR_CONFIG, err, "output_dir is missing");
    if (job->eval_steps && !job->validation_file.count)
        return trouble(job, "eval_steps", SB_ERR_CONFIG, err,
                       "eval_steps without a validation_file");
    /* [CLS] and [SEP] are two, and a sample without a token of its own teaches nothing. */
    if (job->max_seq_length && job->max_seq_length < 3)
        return trouble(job, "max_seq_length", SB_ERR_CONFIG, err,
                       "max_seq_length is %" PRIu32 "; [CLS], one token and [SEP] need 3",
                       job->max_seq_length);
    if (check_columns(job, err) < 0 || check_kinds(job, err) < 0)
        return -1;
    if (job->negative_column && job->label_column)
        return trouble(job, "negative_column", SB_ERR_CONFIG, err,
                       "negative_column and label_column exclude each other: a pair has a score or "
                       "a negative");
    return check_standard_input(job, err);
}

static int check_steps(const struct sb_job *job, struct sb_err *err)
{
    if (job->slots & (job->slots - 1))
        return trouble(job, "slots", SB_ERR_CONFIG, err,
                       "slots is %" PRIu32 "; it must be a power of two, or 0", job->slots);
    if (job->max_steps == 0 && job->num_train_epochs == 0)
        return trouble(job, "num_train_epochs", SB_ERR_CONFIG, err,
                       "max_steps and num_train_epochs are both 0: there is nothing to do");
    if (job->max_seq_length > job->max_tokens_per_pass)
        return trouble(job, "max_tokens_per_pass", SB_ERR_CONFIG, err,
                       "max_tokens_per_pass is %" PRIu32 ", less than one sample of "
                       "max_seq_length %" PRIu32,
                       job->max_tokens_per_pass, job->max_seq_length);
    return 0;
}

static int check_optimizer(const struct sb_job *job, struct sb_err *err)
{
    if (job->warmup_steps && job->warmup_ratio > 0)
        return trouble(job, "warmup_ratio", SB_ERR_CONFIG, err,
                       "warmup_steps and warmup_ratio exclude each other");
    if ((job->warmup_steps || job->warmup_ratio > 0) && !strcmp(job->lr_scheduler_type, "constant"))
        return trouble(job, "lr_scheduler_type", SB_ERR_CONFIG, err,
                       "lr_scheduler_type constant has no warmup; constant_with_warmup has");
    if (job->max_steps && job->warmup_steps > job->max_steps)
        return trouble(job, "warmup_steps", SB_ERR_CONFIG, err,
                       "warmup_steps is %" PRIu64 ", more than max_steps %" PRIu64,
                       job->warmup_steps, job->max_steps);
    const struct {
        const char *key;
        double value;
    } dropouts[] = {
        {"hidden_dropout_prob", job->hidden_dropout_prob},
        {"attention_probs_dropout_prob", job->attention_probs_dropout_prob},
        {"classifier_dropout", job->classifier_dropout},
    };
    for (size_t i = 0; i < sizeof(dropouts) / sizeof(dropouts[0]); i++) {
        if (dropouts[i].value < 0 && dropouts[i].value != -1)
            return trouble(job, dropouts[i].key, SB_ERR_CONFIG, err,
                           "%s is %.15g; it must be from 0 to 0.99, or -1 for the model's",
                           dropouts[i].key, dropouts[i].value);
    }
    return 0;
}

static int check_processes(const struct sb_job *job, struct sb_err *err)
{
    if (job->servers && !job->workers)
        return trouble(job, "servers", SB_ERR_CONFIG, err,
                       "servers is %" PRIu32
                       " but workers is 0: set both, or neither for one process",
                       job->servers);
    if (job->workers && !job->servers)
        return trouble(job, "workers", SB_ERR_CONFIG, err,
                       "workers is %" PRIu32
                       " but servers is 0: set both, or neither for one process",
                       job->workers);
    return 0;
}

int sb_job_check(const struct sb_job *job, struct sb_err *err)
{
    if (check_task(job, err) < 0 || check_classifier(job, err) < 0 || check_model(job, err) < 0 ||
        check_data(job, err) < 0 || check_steps(job, err) < 0 || check_optimizer(job, err) < 0 ||
        check_course(job, err) < 0 || check_processes(job, err) < 0)
        return -1;
    return 0;
}

static int check_path(const struct sb_job *job, const char *key, const char *path,
                      struct sb_err *err)
{
    if (!path || sb_file_exists(path) || sb_dir_exists(path))
        return 0;
    if (*path == '@')
        return trouble(job, key, SB_ERR_CONFIG, err,
                       "%s: '%s' is the stage of a pipeline, which `shardbert run` knows", key,
                       path);
    const char *hint = strcmp(key, "model_name_or_path") != 0 ? "" : SB_NO_HUB_HINT;
    return trouble(job, key, SB_ERR_NO_INPUT, err, "%s: there is no '%s'%s", key, path, hint);
}

static int check_sources(const struct sb_job *job, const char *key, const struct sb_list *list,
                         struct sb_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *path = list->items[i];
        glob_t found = {0};
        if (!strcmp(path, "-") || sb_file_exists(path))
            continue;
        int rc = glob(path, GLOB_NOSORT, NULL, &found);
        globfree(&found);
        if (rc != 0)
            return trouble(job, key, SB_ERR_NO_INPUT, err, "%s: there is no '%s'", key, path);
    }
    return 0;
}

/* The trained model would be written over the one that it starts from. */
static int check_output(const struct sb_job *job, struct sb_err *err)
{
    struct stat from, to;
    const char *model = job->model_name_or_path;
    if (!model || !job->output_dir || stat(model, &from) < 0 || stat(job->output_dir, &to) < 0 ||
        from.st_dev != to.st_dev || from.st_ino != to.st_ino)
        return 0;
    return trouble(
        job, "output_dir", SB_ERR_CONFIG, err,
        "output_dir '%s' is the folder of the starting model, which would be overwritten",
        job->output_dir);
}

int sb_job_check_inputs(const struct sb_job *job, struct sb_err *err)
{
    if (check_path(job, "model_name_or_path", job->model_name_or_path, err) < 0 ||
        check_path(job, "config_name", job->config_name, err) < 0 ||
        check_path(job, "tokenizer_name", job->tokenizer_name, err) < 0 ||
        check_sources(job, "train_file", &job->train_file, err) < 0 ||
        check_sources(job, "validation_file", &job->validation_file, err) < 0 ||
        check_sources(job, "test_file", &job->test_file, err) < 0 || check_output(job, err) < 0)
        return -1;
    return 0;
}
