#include "embed_head.h"

#include "arena.h"
#include "label_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The same as of the losses that tune embeddings by their cosine. */
static const double CENTROID_SCALE = 20.0;
static const double SHORTEST = 1e-12;
static const double LEAST_PROBABILITY = 1e-15;

size_t sb_embed_head_rows(enum sb_embed_head_kind kind, size_t class_count)
{
    return kind == SB_EMBED_HEAD_LOGISTIC ? sb_logreg_rows(class_count) : class_count;
}

/* y [C] = x / |x|; zeros if there is no direction. */
static void scale_to_one(float *y, const float *x, size_t C)
{
    double norm2 = 0;
    for (size_t c = 0; c < C; c++)
        norm2 += (double)x[c] * (double)x[c];
    double norm = sqrt(norm2);
    for (size_t c = 0; c < C; c++)
        y[c] = norm < SHORTEST ? 0.0f : (float)((double)x[c] / norm);
}

void sb_embed_head_normalize(float *x, size_t n, size_t C)
{
    for (size_t i = 0; i < n; i++)
        scale_to_one(x + i * C, x + i * C, C);
}

/* ---- fitting ---- */

static void begin_head(struct sb_embed_head *head, size_t C, char *const *labels,
                       size_t label_count, const struct sb_embed_head_options *options)
{
    bool of_objective =
        options->kind == SB_EMBED_HEAD_LOGISTIC || options->kind == SB_EMBED_HEAD_ONE_VS_REST;
    *head = (struct sb_embed_head){
        .kind = options->kind,
        .normalize = options->normalize || options->kind == SB_EMBED_HEAD_CENTROID,
        .C = of_objective ? options->logreg.C : 0,
        .embedding_size = C,
        .label_count = label_count,
    };
    head->labels = sb_calloc(label_count, sizeof(*head->labels));
    for (size_t l = 0; l < label_count; l++)
        head->labels[l] = sb_strdup(labels[l]);
    head->classes = sb_calloc(label_count, sizeof(*head->classes));
}

static void make_rows(struct sb_embed_head *head)
{
    head->row_count = sb_embed_head_rows(head->kind, head->class_count);
    head->coef = sb_calloc(head->row_count * head->embedding_size, sizeof(*head->coef));
    head->intercept = sb_calloc(head->row_count, sizeof(*head->intercept));
}

/* The embeddings as the head sees them; to be freed if it is not x itself. */
static const float *as_seen(const struct sb_embed_head *head, const float *x, size_t n)
{
    size_t C = head->embedding_size;
    if (!head->normalize)
        return x;
    float *scaled = sb_alloc(n * C * sizeof(*scaled));
    for (size_t i = 0; i < n; i++)
        scale_to_one(scaled + i * C, x + i * C, C);
    return scaled;
}

static void drop_seen(const float *seen, const float *x)
{
    if (seen != x)
        free((void *)(uintptr_t)seen);
}

/* Classes that have a sample get numbers without gaps: compact [n] receives that of each sample. */
static void number_classes(struct sb_embed_head *head, int32_t *compact, const int32_t *gold,
                           size_t n)
{
    int32_t *number = sb_calloc(head->label_count, sizeof(*number));
    for (size_t i = 0; i < n; i++) {
        sb_assert(gold[i] >= 0 && (size_t)gold[i] < head->label_count);
        number[gold[i]] = 1;
    }
    for (size_t l = 0; l < head->label_count; l++) {
        if (!number[l])
            continue;
        number[l] = (int32_t)head->class_count;
        head->classes[head->class_count++] = (uint32_t)l;
    }
    for (size_t i = 0; i < n; i++)
        compact[i] = number[gold[i]];
    free(number);
}

static void fit_centroids(struct sb_embed_head *head, const float *x, const int32_t *classes,
                          size_t n)
{
    size_t C = head->embedding_size;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < C; c++)
            head->coef[(size_t)classes[i] * C + c] += (double)x[i * C + c];
    for (size_t k = 0; k < head->class_count; k++) {
        double *mean = head->coef + k * C, norm2 = 0;
        for (size_t c = 0; c < C; c++)
            norm2 += mean[c] * mean[c];
        double norm = sqrt(norm2);
        for (size_t c = 0; c < C; c++)
            mean[c] = norm < SHORTEST ? 0 : CENTROID_SCALE * (mean[c] / norm);
    }
}

static int fit_classes(struct sb_embed_head *head, struct sb_logreg_report *report, const float *x,
                       const int32_t *classes, size_t n, const struct sb_logreg_options *asked,
                       struct sb_err *err)
{
    struct sb_logreg_options options = *asked;
    double *weights = sb_alloc(head->class_count * sizeof(*weights));
    for (size_t k = 0; asked->class_weights && k < head->class_count; k++)
        weights[k] = asked->class_weights[head->classes[k]];
    if (asked->class_weights)
        options.class_weights = weights;
    int rc = sb_logreg_fit(head->coef, head->intercept, report, x, classes, n, head->embedding_size,
                           head->class_count, &options, err);
    free(weights);
    return rc;
}

/* balanced: as scikit-learn weighs classes. */
static int fit_linear(struct sb_embed_head *head, struct sb_logreg_report *report, const float *x,
                      const int32_t *classes, size_t n, const struct sb_embed_head_options *asked,
                      struct sb_err *err)
{
    struct sb_linear_head_options options = asked->linear;
    size_t K = head->class_count;
    if (K < 2)
        return sb_err_set(err, SB_ERR_DATA, "linear head: fewer than two classes have a sample");
    for (size_t i = 0; i < n * head->embedding_size; i++)
        if (!isfinite(x[i]))
            return sb_err_set(err, SB_ERR_DATA, "linear head: an embedding is not finite");
    double *weights = sb_calloc(K, sizeof(*weights));
    for (size_t i = 0; i < n; i++)
        weights[classes[i]]++;
    for (size_t k = 0; k < K; k++) {
        double given =
            asked->logreg.class_weights ? asked->logreg.class_weights[head->classes[k]] : 1;
        weights[k] = asked->logreg.balanced ? given * (double)n / ((double)K * weights[k]) : given;
    }
    options.class_weights = weights;
    double loss = sb_linear_head_fit(head->coef, head->intercept, x, classes, n,
                                     head->embedding_size, K, &options);
    if (report)
        *report = (struct sb_logreg_report){
            .objective = loss, .iterations = options.epochs, .converged = true};
    free(weights);
    return 0;
}

int sb_embed_head_fit(struct sb_embed_head *head, struct sb_logreg_report *report, const float *x,
                      const int32_t *gold, size_t n, size_t C, char *const *labels,
                      size_t label_count, const struct sb_embed_head_options *options,
                      struct sb_err *err)
{
    sb_assert(options->kind != SB_EMBED_HEAD_ONE_VS_REST);
    begin_head(head, C, labels, label_count, options);
    int32_t *classes = sb_alloc(n * sizeof(*classes));
    number_classes(head, classes, gold, n);
    make_rows(head);
    const float *seen = as_seen(head, x, n);
    int rc = 0;
    if (options->kind == SB_EMBED_HEAD_LOGISTIC) {
        rc = fit_classes(head, report, seen, classes, n, &options->logreg, err);
    } else if (options->kind == SB_EMBED_HEAD_LINEAR) {
        rc = fit_linear(head, report, seen, classes, n, options, err);
    } else if (n == 0) {
        rc = sb_err_set(err, SB_ERR_DATA, "centroids: there is no sample");
    } else {
        fit_centroids(head, seen, classes, n);
        if (report)
            *report = (struct sb_logreg_report){.converged = true};
    }
    drop_seen(seen, x);
    free(classes);
    if (rc < 0)
        sb_embed_head_release(head);
    return rc;
}

int sb_embed_head_fit_labels(struct sb_embed_head *head, struct sb_logreg_report *report,
                             const float *x, const uint8_t *gold, size_t n, size_t C,
                             char *const *labels, size_t label_count,
                             const struct sb_embed_head_options *options, struct sb_err *err)
{
    sb_assert(options->kind == SB_EMBED_HEAD_ONE_VS_REST);
    begin_head(head, C, labels, label_count, options);
    for (size_t l = 0; l < label_count; l++)
        head->classes[l] = (uint32_t)l;
    head->class_count = label_count;
    make_rows(head);
    const float *seen = as_seen(head, x, n);
    int rc = sb_logreg_fit_labels(head->coef, head->intercept, report, seen, gold, n, C,
                                  label_count, &options->logreg, err);
    drop_seen(seen, x);
    if (rc < 0)
        sb_embed_head_release(head);
    return rc;
}

void sb_embed_head_release(struct sb_embed_head *head)
{
    for (size_t l = 0; head->labels && l < head->label_count; l++)
        free(head->labels[l]);
    free(head->labels);
    free(head->classes);
    free(head->coef);
    free(head->intercept);
    *head = (struct sb_embed_head)SB_EMBED_HEAD_INIT;
}

/* ---- answers ---- */

/* z [row_count] in place becomes the probabilities of the classes; room for class_count. */
static void probabilities_of(double *z, const struct sb_embed_head *head)
{
    if (head->kind == SB_EMBED_HEAD_ONE_VS_REST) {
        for (size_t r = 0; r < head->row_count; r++)
            z[r] = sb_logreg_sigmoid(z[r]);
    } else if (head->row_count < head->class_count) {
        double score = z[0];
        z[0] = sb_logreg_sigmoid(-score);
        z[1] = sb_logreg_sigmoid(score);
    } else {
        sb_logreg_softmax(z, z, 1, head->class_count);
    }
}

void sb_embed_head_probabilities(double *p, const struct sb_embed_head *head, const float *x,
                                 size_t n)
{
    size_t C = head->embedding_size;
    double *z = sb_alloc(head->class_count * sizeof(*z));
    float *scaled = sb_alloc(C * sizeof(*scaled));
    for (size_t i = 0; i < n; i++, x += C, p += head->label_count) {
        const float *seen = x;
        if (head->normalize) {
            scale_to_one(scaled, x, C);
            seen = scaled;
        }
        sb_logreg_scores(z, seen, head->coef, head->intercept, 1, C, head->row_count);
        probabilities_of(z, head);
        memset(p, 0, head->label_count * sizeof(*p));
        for (size_t k = 0; k < head->class_count; k++)
            p[head->classes[k]] = z[k];
    }
    free(scaled);
    free(z);
}

static size_t best_of(const double *p, size_t count)
{
    size_t best = 0;
    for (size_t l = 1; l < count; l++)
        if (p[l] > p[best])
            best = l;
    return best;
}

void sb_embed_head_score(struct sb_head_score *score, double *confusion,
                         const struct sb_embed_head *head, const float *x, const int32_t *gold,
                         size_t n)
{
    size_t L = head->label_count;
    double *p = sb_alloc(L * sizeof(*p));
    for (size_t i = 0; i < n; i++) {
        if (gold[i] < 0)
            continue;
        sb_embed_head_probabilities(p, head, x + i * head->embedding_size, 1);
        size_t best = best_of(p, L);
        score->targets++;
        score->loss -= log(fmax(p[gold[i]], LEAST_PROBABILITY));
        score->correct += best == (size_t)gold[i];
        confusion[(size_t)gold[i] * L + best]++;
    }
    free(p);
}

void sb_embed_head_score_labels(struct sb_head_score *score, double *counts,
                                const struct sb_embed_head *head, const float *x,
                                const int32_t *gold, size_t n)
{
    size_t L = head->label_count;
    double *p = sb_alloc(L * sizeof(*p));
    float *right = sb_alloc(2 * L * sizeof(*right)), *said = right + L;
    for (size_t i = 0; i < n; i++) {
        bool all = true;
        sb_embed_head_probabilities(p, head, x + i * head->embedding_size, 1);
        for (size_t l = 0; l < L; l++) {
            bool has = gold[i * L + l] != 0, given = p[l] >= 0.5;
            score->loss -= log(fmax(has ? p[l] : 1 - p[l], LEAST_PROBABILITY));
            right[l] = has;
            said[l] = given;
            all = all && has == given;
        }
        score->targets += (double)L;
        score->correct += all;
        sb_label_counts_add(counts, right, said, L);
    }
    free(right);
    free(p);
}
