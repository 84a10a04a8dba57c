#include "task.h"

#include "classify.h"
#include "few_shot_items.h"
#include "probe.h"
#include "setfit.h"
#include "task_embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool given(const char *text)
{
    return text && *text;
}

/* Labels that a person chose; LABEL_0, LABEL_1 ... of an untouched config are no names. */
static bool labels_are_named(const struct sb_bert_config *config)
{
    return config->labels && config->label_count && strncmp(config->labels[0], "LABEL_", 6) != 0;
}

static int open_tokenizer(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    const char *path = given(job->tokenizer_name) ? job->tokenizer_name : job->model_name_or_path;
    if (!given(path))
        return sb_err_set(err, SB_ERR_CONFIG,
                          "a fresh model needs tokenizer_name: a folder, or a vocab.txt");
    return sb_file_exists(path) ? sb_wordpiece_open_file(&task->tokenizer, path, err)
                                : sb_wordpiece_open_folder(&task->tokenizer, path, err);
}

static int read_config(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    struct sb_bert_config *config = &task->bert.config;
    bool fresh = !given(job->model_name_or_path);
    if (fresh && !given(job->config_name))
        return sb_err_set(err, SB_ERR_CONFIG,
                          "model_name_or_path (a starting model) or "
                          "config_name (the shape of a fresh one) is needed");
    if (sb_config_read(config, fresh ? job->config_name : job->model_name_or_path, err) < 0)
        return -1;
    size_t pieces = sb_wordpiece_count(task->tokenizer);
    if (fresh)
        config->vocab_size = pieces;
    else if (pieces > config->vocab_size) {
        /* Whose fault it is: of the model's own tokenizer, or of one that the job chose. */
        bool chosen = given(job->tokenizer_name);
        sb_err_set(err, chosen ? SB_ERR_CONFIG : SB_ERR_DATA,
                   "the tokenizer has %zu pieces, but the model's vocab_size is %zu", pieces,
                   config->vocab_size);
        return sb_job_place(job, chosen ? "tokenizer_name" : "model_name_or_path", err);
    }
    if (!task->mlm && !task->ner) /* of another problem, a classifier says nothing here */
        sb_task_set_problem(task);
    if (job->hidden_dropout_prob >= 0)
        config->hidden_dropout = job->hidden_dropout_prob;
    if (job->attention_probs_dropout_prob >= 0)
        config->attention_dropout = job->attention_probs_dropout_prob;
    if (job->classifier_dropout >= 0)
        config->classifier_dropout = job->classifier_dropout;
    task->max_seq_length = job->max_seq_length ? job->max_seq_length : config->max_positions;
    if (task->max_seq_length > config->max_positions) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "max_seq_length is %zu, but the model has only %zu positions",
                   task->max_seq_length, config->max_positions);
        return sb_job_place(job, "max_seq_length", err);
    }
    return 0;
}

struct data_request {
    const struct sb_list *files;
    char *const *labels;
    size_t label_count;
    sb_task_progress_fn *progress;
    void *context;
};

/* Of what is alike by 1 and not by 0 there is nothing below 0. */
static bool needs_similarity(const struct sb_job *job)
{
    return given(job->loss) && strstr(job->loss, "contrastive");
}

static int open_data(struct sb_dataset **data, const struct sb_task *task,
                     const struct data_request *request, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    enum sb_dataset_kind kind = task->ner     ? SB_DATA_WORDS
                                : task->embed ? SB_DATA_PAIRS
                                              : SB_DATA_LABELLED;
    if (task->mlm)
        sb_assert(sb_dataset_mlm_kind(&kind, job->mlm_grouping));
    struct sb_dataset_options options = {
        .kind = kind,
        .source = {.paths = request->files->items,
                   .path_count = request->files->count,
                   .labelled = !task->mlm && !task->embed,
                   .pairs = task->embed,
                   .negative_column = given(job->negative_column) ? job->negative_column : NULL,
                   .text_column = given(job->text_column) ? job->text_column : NULL,
                   .text_pair_column = given(job->text_pair_column) ? job->text_pair_column : NULL,
                   .label_column = given(job->label_column) ? job->label_column : NULL,
                   .label_form = task->ner || task->mlm || task->embed
                                     ? SB_LABEL_CLASS
                                     : sb_task_label_form(&task->bert.config),
                   .label_separator = job->label_separator,
                   .header = job->header,
                   .lenient = job->lenient},
        .max_seq_length = task->max_seq_length,
        .stride = job->stride,
        .label_all_tokens = job->label_all_tokens,
        .score_min = needs_similarity(job) ? 0 : -1,
        .score_max = job->score_max,
        .labels = request->labels,
        .label_count = request->label_count,
        .cache_dir = task->cache_dir,
        .threads = sb_pool_thread_count(task->bert.pool),
        .progress = request->progress,
        .progress_context = request->context,
    };
    return sb_dataset_open(data, task->tokenizer, &options, err);
}

static void take_label_names(struct sb_bert_config *config, const struct sb_dataset *data)
{
    size_t count = sb_dataset_label_count(data);
    char **names = sb_calloc(count, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = sb_strdup(sb_dataset_label(data, i));
    sb_bert_config_set_labels(config, names, count);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* Names travel in the plan of HELLO, whose head is limited. */
static int check_label_bytes(const struct sb_bert_config *config, struct sb_err *err)
{
    enum { LABEL_BYTES_MAX = 16 << 10 }; /* with the types of tags three times */
    size_t bytes = 0;
    for (size_t i = 0; i < config->label_count; i++)
        bytes += strlen(config->labels[i]) + 4;
    if (bytes <= LABEL_BYTES_MAX)
        return 0;
    return sb_err_set(err, SB_ERR_DATA,
                      "%zu labels have names of %zu bytes; at most %d are possible",
                      config->label_count, bytes, LABEL_BYTES_MAX);
}

static bool has_label(const struct sb_bert_config *config, const char *name)
{
    for (size_t i = 0; i < config->label_count; i++)
        if (!strcmp(config->labels[i], name))
            return true;
    return false;
}

/* Other names may rename the model's classes; its own in another order would exchange them. */
static int check_label_order(const struct sb_task *task, struct sb_err *err)
{
    const struct sb_list *labels = &task->job->labels;
    const struct sb_bert_config *config = &task->bert.config;
    bool moved = false;
    if (!given(task->job->model_name_or_path) || !labels_are_named(config) ||
        labels->count != config->label_count)
        return 0;
    for (size_t i = 0; i < labels->count; i++) {
        if (!has_label(config, labels->items[i]))
            return 0;
        moved = moved || strcmp(labels->items[i], config->labels[i]) != 0;
    }
    if (!moved)
        return 0;
    sb_err_set(err, SB_ERR_CONFIG,
               "labels has the model's own names in another order; the model's first is '%s' "
               "(leave labels out to take the model's)",
               config->labels[0]);
    return sb_job_place(task->job, "labels", err);
}

/* The names of the job are those of the model. */
static bool same_names(const struct sb_bert_config *config, const struct sb_list *labels)
{
    if (labels->count != config->label_count)
        return false;
    for (size_t i = 0; i < labels->count; i++)
        if (strcmp(labels->items[i], config->labels[i]) != 0)
            return false;
    return true;
}

static bool reads_standard_input(const struct sb_list *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (!strcmp(files->items[i], "-"))
            return true;
    return false;
}

/*
 * The training file by the labels of the model; where it has others it names the classes itself,
 * and the model's classifier is of no use.  A file that cannot be read that way either is said to
 * be wrong by the model's labels.
 */
static int open_by_model_labels(struct sb_task *task, struct data_request *request,
                                struct sb_err *err)
{
    struct sb_err other = SB_ERR_INIT;
    if (open_data(&task->train, task, request, err) == 0)
        return 0;
    if (!err || err->code != SB_ERR_DATA || reads_standard_input(request->files))
        return -1;
    request->labels = NULL;
    request->label_count = 0;
    if (open_data(&task->train, task, request, &other) < 0)
        return -1;
    *err = (struct sb_err)SB_ERR_INIT;
    task->fresh_head = true;
    sb_bert_config_set_labels(&task->bert.config, NULL, 0);
    return 0;
}

/* The training file first: without a list, and without a model that has one, it names the classes.
 */
static int open_labelled(struct sb_task *task, struct data_request *request, struct sb_err *err)
{
    const struct sb_list *labels = &task->job->labels;
    struct sb_bert_config *config = &task->bert.config;
    bool model = given(task->job->model_name_or_path), named = model && labels_are_named(config);
    size_t model_count = model ? config->label_count : 0;
    if (check_label_order(task, err) < 0)
        return -1;
    if (labels->count) {
        task->fresh_head = task->fresh_head || (named && !same_names(config, labels));
        sb_bert_config_set_labels(config, labels->items, labels->count);
    } else if (!labels_are_named(config)) {
        sb_bert_config_set_labels(config, NULL, 0);
    }
    request->labels = config->labels;
    request->label_count = config->label_count;
    int rc = named && !labels->count ? open_by_model_labels(task, request, err)
                                     : open_data(&task->train, task, request, err);
    if (rc < 0)
        return -1;
    if (!config->label_count)
        take_label_names(config, task->train);
    if (config->label_count < (config->problem == SB_MULTI_LABEL ? 1 : 2))
        return sb_err_set(
            err, SB_ERR_DATA, "'%s' has only the label '%s', but a classifier needs at least two",
            task->job->train_file.items[0], config->label_count ? config->labels[0] : "(none)");
    if (model_count && model_count != config->label_count)
        task->fresh_head = true;
    request->labels = config->labels;
    request->label_count = config->label_count;
    return check_label_bytes(config, err);
}

static int open_train_data(struct sb_task *task, struct data_request *request, struct sb_err *err)
{
    request->files = &task->job->train_file;
    if (task->embed) {
        sb_bert_config_set_labels(&task->bert.config, NULL, 0);
        return open_data(&task->train, task, request, err);
    }
    if (!task->mlm && task->bert.config.problem != SB_REGRESSION)
        return open_labelled(task, request, err);
    if (!task->mlm)
        sb_bert_config_set_labels(&task->bert.config, (char *[]){"LABEL_0"}, 1);
    return open_data(&task->train, task, request, err);
}

static int open_all_data(struct sb_task *task, struct data_request request, struct sb_err *err)
{
    const struct {
        const char *name;
        const struct sb_list *files;
    } sets[] = {{"validation", &task->job->validation_file}, {"test", &task->job->test_file}};
    if (open_train_data(task, &request, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        if (!sets[i].files->count)
            continue;
        struct sb_eval_set *set = &task->evals[task->eval_count];
        request.files = sets[i].files;
        if (open_data(&set->data, task, &request, err) < 0)
            return -1;
        set->name = sets[i].name;
        set->slot_samples = SB_EVAL_SLOT_SAMPLES;
        if (!task->embed)
            set->slot_samples = sb_evaluate_slot_samples(sb_dataset_count(set->data));
        set->slot_count =
            (sb_dataset_item_count(set->data) + set->slot_samples - 1) / set->slot_samples;
        task->eval_count++;
    }
    return 0;
}

uint32_t sb_task_choose_slots(const struct sb_task *task, uint32_t texts)
{
    if (task->job->slots)
        return task->job->slots;
    double tokens_per_step =
        (double)task->train_tokens / (double)task->train_count * texts * task->job->batch_size;
    uint32_t slots = 1;
    while (slots < 16 && slots * 2 <= task->job->batch_size &&
           slots * 1024.0 * M_SQRT2 < tokens_per_step)
        slots *= 2;
    return slots;
}

static int plan_steps(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    uint64_t samples = task->train_count;
    task->steps_per_epoch = (samples + job->batch_size - 1) / job->batch_size;
    task->slots = sb_task_choose_slots(task, 1);
    if (task->setfit && sb_setfit_open(task, err) < 0)
        return -1;
    task->total_steps = job->max_steps
                            ? job->max_steps
                            : (uint64_t)ceil(job->num_train_epochs * (double)task->steps_per_epoch);
    task->masks = (struct sb_mask_options){.probability = job->mlm_probability,
                                           .whole_word = job->whole_word_mask,
                                           .spans = job->span_mask};
    task->eval_masks = (struct sb_mask_options){.probability = job->eval_mlm_probability};
    if (!task->total_steps)
        return sb_err_set(err, SB_ERR_CONFIG,
                          "max_steps and num_train_epochs leave no step to take");
    return 0;
}

static int init_params(struct sb_task *task, struct sb_err *err)
{
    struct sb_bert *bert = &task->bert;
    const struct sb_list *freeze = &task->job->freeze;
    sb_params_init(&bert->params, &bert->config,
                   task->setfit || task->embed ? SB_HEAD_NONE
                   : task->ner                 ? SB_HEAD_TOKENS
                   : task->mlm                 ? SB_HEAD_MLM
                                               : SB_HEAD_CLASSIFY);
    if (task->ner)
        sb_tags_init(&task->tags, bert->config.labels, bert->config.label_count);
    if (task->fresh_head && bert->params.classifier_w != SIZE_MAX)
        sb_task_renew_head(task);
    task->weights = sb_alloc_pages(bert->params.float_count * sizeof(float));
    bert->weights = task->weights;
    if (!task->job->row_sparse)
        bert->params.tensors[bert->params.word].row_sparse = false;
    for (size_t i = 0; i < freeze->count; i++)
        if (sb_params_freeze(&bert->params, &bert->config, freeze->items[i], err) < 0)
            return sb_job_place(task->job, "freeze", err);
    sb_task_set_rates(task);
    for (size_t i = 0; i < bert->params.count; i++)
        if (bert->params.tensors[i].trainable)
            return 0;
    if (task->setfit) { /* the body stays as it is, and its vectors get a head */
        task->total_steps = 0;
        return 0;
    }
    sb_err_set(err, SB_ERR_CONFIG, "freeze leaves no tensor to train");
    return sb_job_place(task->job, "freeze", err);
}

int sb_task_open(struct sb_task **out, const struct sb_job *job, struct sb_pool *pool,
                 sb_task_progress_fn *progress, void *context, struct sb_err *err)
{
    struct sb_task *task = sb_calloc(1, sizeof(*task));
    char cache[SB_PATH_BYTES];
    task->job = job;
    task->mlm = strcmp(job->task, "mlm") == 0;
    task->ner = strcmp(job->task, "ner") == 0;
    task->setfit = strcmp(job->task, "setfit") == 0;
    task->embed = strcmp(job->task, "embed") == 0;
    if (!task->mlm && !task->ner && !task->setfit && !task->embed &&
        strcmp(job->task, "classify") != 0) {
        sb_err_set(err, SB_ERR_CONFIG, "task %s cannot be trained by this version", job->task);
        sb_task_free(&task);
        return sb_job_place(job, "task", err);
    }
    task->bert.pool = pool;
    sb_bert_config_defaults(&task->bert.config);
    task->cache_dir = sb_strdup(
        given(job->cache_dir) ? job->cache_dir : sb_path_join(cache, job->output_dir, "cache"));
    struct data_request request = {.progress = progress, .context = context};
    if (open_tokenizer(task, err) < 0 || read_config(task, err) < 0 ||
        sb_probe_check(task, err) < 0 ||
        ((task->embed || task->setfit) && sb_task_read_sentence(task, err) < 0) ||
        sb_dir_make(task->cache_dir, err) < 0 || open_all_data(task, request, err) < 0 ||
        sb_task_choose_samples(task, err) < 0 || sb_task_set_loss(task, err) < 0 ||
        plan_steps(task, err) < 0 || init_params(task, err) < 0 ||
        (task->embed && sb_task_open_pairs(task, err) < 0)) {
        sb_task_free(&task);
        return -1;
    }
    *out = task;
    return 0;
}

void sb_task_free(struct sb_task **out)
{
    struct sb_task *task = *out;
    if (!task)
        return;
    if (task->embedding)
        sb_embedding_release(task->embedding);
    free(task->embedding);
    sb_few_shot_items_free(&task->few_items);
    sb_free_pages(task->weights, task->bert.params.float_count * sizeof(float));
    sb_params_release(&task->bert.params);
    sb_tags_release(&task->tags);
    sb_task_close_pairs(task);
    sb_bert_config_release(&task->bert.config);
    sb_dataset_free(&task->train);
    sb_few_shot_release(&task->few);
    free(task->class_weights);
    free(task->notice);
    for (size_t i = 0; i < task->eval_count; i++)
        if (!task->evals[i].samples) /* else train */
            sb_dataset_free(&task->evals[i].data);
    sb_wordpiece_free(&task->tokenizer);
    sb_arena_release(&task->step_arena);
    sb_arena_release(&task->pass_arena);
    sb_load_report_release(&task->report);
    free(task->cache_dir);
    free(task);
    *out = NULL;
}

int sb_task_load_weights(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    struct sb_bert *bert = &task->bert;
    if (given(job->model_name_or_path))
        return sb_model_read(task->weights, &bert->params, &bert->config, job->model_name_or_path,
                             job->seed, &task->report, err);
    sb_params_fill(task->weights, &bert->params, &bert->config, job->seed, 0, bert->params.count);
    return 0;
}

int sb_task_export(const struct sb_task *task, const char *folder, struct sb_err *err)
{
    const struct sb_bert *bert = &task->bert;
    if (task->embed || task->setfit)
        return sb_task_export_sentence(task, folder, err);
    const char *architecture = task->ner   ? "BertForTokenClassification"
                               : task->mlm ? "BertForMaskedLM"
                                           : "BertForSequenceClassification";
    if (sb_dir_make(folder, err) < 0 ||
        sb_config_write(&bert->config, folder, architecture, err) < 0 ||
        sb_wordpiece_write(task->tokenizer, folder, bert->config.max_positions, err) < 0 ||
        sb_model_write(task->weights, &bert->params, folder, err) < 0)
        return sb_err_context(err, "writing the model folder '%s'", folder);
    return 0;
}
