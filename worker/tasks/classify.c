#include "classify.h"

#include "file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sb_label_form sb_task_label_form(const struct sb_bert_config *config)
{
    return config->problem == SB_REGRESSION    ? SB_LABEL_SCORE
           : config->problem == SB_MULTI_LABEL ? SB_LABEL_SET
                                               : SB_LABEL_CLASS;
}

void sb_task_set_problem(struct sb_task *task)
{
    struct sb_bert_config *config = &task->bert.config;
    enum sb_problem problem = SB_SINGLE_LABEL, before = config->problem;
    bool known = sb_problem_find(&problem, task->job->problem_type);
    sb_assert(known); /* options.def lists the same words */
    config->problem = problem;
    if (task->job->model_name_or_path && config->label_count &&
        (before != problem || (problem == SB_REGRESSION && config->label_count != 1)))
        task->fresh_head = true;
    if (before != problem) /* other classes, whatever their names */
        sb_bert_config_set_labels(config, NULL, 0);
}

static void add_notice(struct sb_task *task, const char *sentence)
{
    struct sb_bytes text = SB_BYTES_INIT;
    sb_bytes_printf(&text, "%s%s%s", task->notice ? task->notice : "", task->notice ? "; " : "",
                    sentence);
    free(task->notice);
    task->notice = text.data;
}

void sb_task_renew_head(struct sb_task *task)
{
    struct sb_params *params = &task->bert.params;
    char text[SB_PATH_BYTES + 128];
    params->tensors[params->classifier_w].fresh = true;
    params->tensors[params->classifier_b].fresh = true;
    snprintf(text, sizeof(text),
             "the classifier of '%s' is for other labels than this job: a fresh one of %zu "
             "label%s is trained",
             task->job->model_name_or_path, task->bert.config.label_count,
             task->bert.config.label_count == 1 ? "" : "s");
    add_notice(task, text);
}

/* first_steps [L + 1]: of the layers from the top, and of the embeddings. */
static void say_never_trained(struct sb_task *task, const uint64_t *first_steps)
{
    size_t L = task->bert.config.layer_count, layers = 0;
    char text[192];
    for (size_t i = 0; i < L; i++)
        layers += first_steps[i] >= task->total_steps;
    if (first_steps[L] < task->total_steps)
        return;
    snprintf(text, sizeof(text),
             "the run is over before the unfreezing is: %zu of %zu layers, and the embeddings, are "
             "never trained in its %" PRIu64 " steps",
             layers, L, task->total_steps);
    add_notice(task, text);
}

void sb_task_set_rates(struct sb_task *task)
{
    const struct sb_job *job = task->job;
    struct sb_bert *bert = &task->bert;
    double head = job->head_learning_rate > 0 ? job->head_learning_rate / job->learning_rate : 1.0;
    sb_params_set_rates(&bert->params, &bert->config, head, job->layerwise_lr_decay);
    if (!job->unfreeze_steps && !(job->unfreeze_epochs > 0))
        return;
    size_t L = bert->config.layer_count;
    uint64_t *first_steps = sb_calloc(L + 1, sizeof(*first_steps));
    for (size_t i = 0; i <= L; i++) {
        double steps = job->unfreeze_epochs * (double)(i + 1) * (double)task->steps_per_epoch;
        first_steps[i] =
            job->unfreeze_steps ? (i + 1) * job->unfreeze_steps : (uint64_t)ceil(steps);
    }
    sb_params_freeze_until(&bert->params, &bert->config, first_steps);
    say_never_trained(task, first_steps);
    free(first_steps);
}

static void say_few(struct sb_task *task, const struct sb_few_shot *chosen)
{
    const struct sb_bert_config *config = &task->bert.config;
    uint32_t asked = task->job->samples_per_label;
    size_t short_count = 0, least = 0;
    char text[512];
    for (size_t l = 0; l < chosen->label_count; l++) {
        short_count += chosen->label_sizes[l] < asked;
        least = chosen->label_sizes[l] < chosen->label_sizes[least] ? l : least;
    }
    if (!short_count)
        return;
    snprintf(text, sizeof(text),
             "samples_per_label is %" PRIu32
             ", and %zu of %zu classes have fewer: '%.200s' has %" PRIu64,
             asked, short_count, chosen->label_count, config->labels[least],
             chosen->label_sizes[least]);
    add_notice(task, text);
}

int sb_task_choose_samples(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    task->train_count = sb_dataset_item_count(task->train);
    task->train_tokens = sb_dataset_token_count(task->train);
    if (!job->samples_per_label)
        return 0;
    if (sb_few_shot_choose(&task->few, task->train, job->samples_per_label, job->seed, err) < 0)
        return sb_err_context(err, "choosing samples_per_label");
    say_few(task, &task->few);
    task->train_count = task->few.count;
    task->train_tokens = 0;
    for (uint64_t i = 0; i < task->few.count; i++)
        task->train_tokens += sb_dataset_length(task->train, task->few.samples[i]);
    return 0;
}

/* Samples of each class among those that are trained on. */
static int count_classes(double *counts, const struct sb_task *task, struct sb_err *err)
{
    size_t K = task->bert.config.label_count;
    int32_t *ids = sb_alloc(task->max_seq_length * sizeof(*ids));
    float *values = sb_calloc(K, sizeof(*values));
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < task->train_count; i++) {
        uint64_t sample = task->few.count ? task->few.samples[i] : i;
        int32_t label = -1;
        rc = sb_dataset_read(task->train, sample, ids, NULL, &label, NULL, err);
        if (rc < 0 || label < 0)
            continue;
        if (task->bert.config.problem == SB_SINGLE_LABEL) {
            counts[label]++;
            continue;
        }
        sb_dataset_values(task->train, label, values);
        for (size_t k = 0; k < K; k++)
            counts[k] += (double)values[k];
    }
    free(values);
    free(ids);
    return rc;
}

/* n / (K n_k), as scikit-learn has it, or negatives / positives of each label. */
static int balance(double *weights, const struct sb_task *task, struct sb_err *err)
{
    size_t K = task->bert.config.label_count;
    double n = (double)task->train_count;
    bool single = task->bert.config.problem == SB_SINGLE_LABEL;
    if (count_classes(weights, task, err) < 0)
        return -1;
    for (size_t k = 0; k < K; k++) {
        double count = weights[k]; /* a class that does not occur: any weight will do */
        weights[k] = count == 0 ? 1.0 : single ? n / ((double)K * count) : (n - count) / count;
    }
    return 0;
}

int sb_task_set_loss(struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    const struct sb_list *list = &job->class_weight;
    size_t K = task->bert.config.label_count;
    task->bert.loss =
        (struct sb_class_loss){.smoothing = job->label_smoothing_factor, .gamma = job->focal_gamma};
    if (!list->count || !strcmp(list->items[0], "none"))
        return 0;
    task->class_weights = sb_calloc(K, sizeof(*task->class_weights));
    task->bert.loss.weights = task->class_weights;
    if (!strcmp(list->items[0], "balanced"))
        return balance(task->class_weights, task, err);
    if (list->count != K) {
        sb_err_set(err, SB_ERR_CONFIG, "class_weight has %zu weights, and there are %zu classes",
                   list->count, K);
        return sb_job_place(job, "class_weight", err);
    }
    for (size_t k = 0; k < K; k++)
        task->class_weights[k] = strtod(list->items[k], NULL);
    return 0;
}
