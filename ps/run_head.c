#include "run_head.h"

#include "arena.h"
#include "history.h"
#include "label_scores.h"

#include <stdlib.h>
#include <string.h>

void sb_run_head_init(struct sb_run_head *head)
{
    *head = (struct sb_run_head){.step = SB_HISTORY_NEVER};
}

void sb_run_head_release(struct sb_run_head *head)
{
    sb_embed_head_release(&head->head);
    sb_run_head_init(head);
}

static enum sb_embed_head_kind kind_of(const char *name, bool several)
{
    return several                           ? SB_EMBED_HEAD_ONE_VS_REST
           : !strcmp(name, "centroid")       ? SB_EMBED_HEAD_CENTROID
           : !strcmp(name, "differentiable") ? SB_EMBED_HEAD_LINEAR
                                             : SB_EMBED_HEAD_LOGISTIC;
}

/* weights [label_count]: filled where the job names them. */
static struct sb_embed_head_options options_of(const struct sb_job *job, double *weights,
                                               size_t label_count, bool several)
{
    const struct sb_list *list = &job->class_weight;
    bool listed = list->count == label_count && label_count > 1;
    for (size_t l = 0; listed && l < label_count; l++)
        weights[l] = strtod(list->items[l], NULL);
    return (struct sb_embed_head_options){
        .kind = kind_of(job->head, several),
        .normalize = job->normalize_embeddings,
        .logreg = {.C = job->head_C,
                   .tol = job->head_tol,
                   .max_iter = job->head_max_iter,
                   .balanced = list->count == 1 && !strcmp(list->items[0], "balanced"),
                   .class_weights = listed ? weights : NULL},
        .linear = {.seed = job->seed,
                   .epochs = job->head_num_epochs,
                   .batch_size = job->head_batch_size,
                   .learning_rate = job->head_learning_rate,
                   .weight_decay = job->head_weight_decay},
    };
}

/* Fitted, and scored on what it was fitted on. */
static int fit(struct sb_run_head *head, const float *x, const int32_t *gold, size_t n, size_t C,
               char *const *labels, size_t L, const struct sb_embed_head_options *options,
               struct sb_err *err)
{
    int rc = sb_embed_head_fit(&head->head, &head->report, x, gold, n, C, labels, L, options, err);
    if (rc < 0)
        return -1;
    double *confusion = sb_calloc(L * L, sizeof(*confusion));
    sb_embed_head_score(&head->score, confusion, &head->head, x, gold, n);
    free(confusion);
    return 0;
}

/* gold [n, L] of 0 and 1. */
static int fit_labels(struct sb_run_head *head, const float *x, const int32_t *gold, size_t n,
                      size_t C, char *const *labels, size_t L,
                      const struct sb_embed_head_options *options, struct sb_err *err)
{
    uint8_t *has = sb_alloc(n * L + 1);
    for (size_t i = 0; i < n * L; i++)
        has[i] = gold[i] != 0;
    int rc =
        sb_embed_head_fit_labels(&head->head, &head->report, x, has, n, C, labels, L, options, err);
    free(has);
    if (rc < 0)
        return -1;
    double *counts = sb_calloc(sb_label_count_count(L), sizeof(*counts));
    sb_embed_head_score_labels(&head->score, counts, &head->head, x, gold, n);
    free(counts);
    return 0;
}

int sb_run_head_fit(struct sb_run_head *head, const struct sb_evaluation *evaluation,
                    char *const *labels, const struct sb_job *job, uint64_t step,
                    struct sb_err *err)
{
    size_t L = evaluation->set->label_count, C = evaluation->set->vector_size;
    double *weights = sb_calloc(L, sizeof(*weights));
    bool several = sb_evaluation_has_sets(evaluation);
    const struct sb_embed_head_options options = options_of(job, weights, L, several);
    float *x;
    int32_t *gold;
    sb_run_head_release(head);
    size_t n = sb_evaluation_vectors(evaluation, &x, &gold);
    int rc = several ? fit_labels(head, x, gold, n, C, labels, L, &options, err)
                     : fit(head, x, gold, n, C, labels, L, &options, err);
    if (rc < 0) {
        sb_err_context(err, "fitting the head after step %llu", (unsigned long long)step);
    } else {
        head->texts = n;
        head->step = step;
    }
    free(weights);
    free(gold);
    free(x);
    return rc;
}

json_t *sb_run_head_describe(const struct sb_run_head *head)
{
    json_t *object = json_object();
    double targets = head->score.targets, texts = (double)head->texts;
    json_object_set_new(object, "texts", json_integer((json_int_t)head->texts));
    json_object_set_new(object, "iterations", json_integer(head->report.iterations));
    json_object_set_new(object, "converged", json_integer(head->report.converged));
    json_object_set_new(object, "loss", json_real(targets > 0 ? head->score.loss / targets : 0));
    json_object_set_new(object, "accuracy", json_real(texts > 0 ? head->score.correct / texts : 0));
    return object;
}
