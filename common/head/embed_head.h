/*
 * A classifier on sentence embeddings: fitted at once on all of them, not by gradients.
 *
 *     logistic regression  z = W x + b;  p = softmax z, or 1 / (1 + e^-z) of the second of two
 *     one against the rest z = W x + b;  p of each label = 1 / (1 + e^-z)
 *     linear               z = W x + b, a row for each of two and more; p = softmax z; trained by
 *                          gradients (linear_head.h)
 *     centroid             the baseline: z = 20 cos(x, mean of the class's unit vectors), p =
 * softmax z
 *
 * With normalize, x is scaled to length 1 first (a vector of zeros stays).  The files are
 *
 *     head.safetensors  coef F64 [rows, embedding size], intercept F64 [rows]
 *     head.json         kind, labels (all, in id order), classes (those that have rows, in row
 *                       order; two classes share one row), embedding_size, normalize_embeddings, C,
 *                       coef_hash
 *
 * and nothing in them is executed.  They are SetFit's and scikit-learn's numbers under their names:
 * classes, coef and intercept are what LogisticRegression has as classes_, coef_ and intercept_.
 */
#ifndef SB_EMBED_HEAD_H
#define SB_EMBED_HEAD_H

#include "err.h"
#include "linear_head.h"
#include "logreg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sb_embed_head_kind {
    SB_EMBED_HEAD_LOGISTIC,
    SB_EMBED_HEAD_ONE_VS_REST,
    SB_EMBED_HEAD_CENTROID,
    SB_EMBED_HEAD_LINEAR,
};

/* Life: fitted or read, then any use, release; release after a failure is harmless. */
struct sb_embed_head {
    enum sb_embed_head_kind kind;
    bool normalize; /* centroid: always */
    double C;       /* what the fit was asked for; centroid, linear: 0 */
    size_t embedding_size, row_count;
    double *coef;      /* [row_count, embedding_size] */
    double *intercept; /* [row_count] */
    char **labels;     /* [label_count] in id order */
    size_t label_count;
    uint32_t
        *classes; /* [class_count] ids of the labels that were seen, rising; one_vs_rest: all */
    size_t class_count;
};

#define SB_EMBED_HEAD_INIT                                                                         \
    {                                                                                              \
        0                                                                                          \
    }

struct sb_embed_head_options {
    enum sb_embed_head_kind kind;
    bool normalize;
    struct sb_logreg_options logreg;      /* class_weights: [label_count], also of LINEAR */
    struct sb_linear_head_options linear; /* LINEAR; its class_weights are not used */
};

/*
 * One label a sample.  kind LOGISTIC, CENTROID or LINEAR.
 *
 *   out  report  may be NULL; zeros for CENTROID, which is converged; of LINEAR the loss of the
 * last epoch, and its epochs in   x       [n, C] gold    [n]  0 .. label_count-1; labels that no
 * sample has are left out of the fit and have probability 0
 *
 * Errors as sb_logreg_fit's.
 */
int sb_embed_head_fit(struct sb_embed_head *head, struct sb_logreg_report *report, const float *x,
                      const int32_t *gold, size_t n, size_t C, char *const *labels,
                      size_t label_count, const struct sb_embed_head_options *options,
                      struct sb_err *err);

/* Any number of labels a sample: gold [n, label_count] of 0 and 1; kind ONE_VS_REST.  The
 * class_weights are of those who have the label, over those who have not. */
int sb_embed_head_fit_labels(struct sb_embed_head *head, struct sb_logreg_report *report,
                             const float *x, const uint8_t *gold, size_t n, size_t C,
                             char *const *labels, size_t label_count,
                             const struct sb_embed_head_options *options, struct sb_err *err);

/* Vectors x [n, C] in place to length 1; a vector of zeros stays. */
void sb_embed_head_normalize(float *x, size_t n, size_t C);

void sb_embed_head_release(struct sb_embed_head *head);

/* p [n, label_count] in id order; x [n, embedding_size]. */
void sb_embed_head_probabilities(double *p, const struct sb_embed_head *head, const float *x,
                                 size_t n);

/*
 * Both files, each atomically, head.json last: equal heads give equal bytes.  Reading trusts
 * nothing: SB_ERR_NO_INPUT for a file that is missing, SB_ERR_DATA for contents that do not fit
 * together, with file and key or tensor.  coef_hash may be missing in files made elsewhere.
 */
int sb_embed_head_write(const struct sb_embed_head *head, const char *folder, struct sb_err *err);
int sb_embed_head_read(struct sb_embed_head *head, const char *folder, struct sb_err *err);

/* The whole head as one JSON object: head.json's keys, and coef and intercept as lists of all
 * digits.
 */
json_t *sb_embed_head_pack(const struct sb_embed_head *head);
/* name is what an error is about.  Trusts nothing, as reading the files. */
int sb_embed_head_unpack(struct sb_embed_head *head, const json_t *object, const char *name,
                         struct sb_err *err);

/*
 * Adds what the head says of vectors with one known label each.
 *
 *   in-out  score      sums are added
 *           confusion  [label_count, label_count] counts, rows gold, are added
 *   in      x          [n, embedding_size]
 *           gold       [n]  -1: none, counts nowhere
 *
 * The loss is the sum of -ln p(gold), where p is at least 1e-15: a label that the head has never
 * seen has probability 0.  Of equal probabilities the first is the answer.
 */
struct sb_head_score {
    double targets, loss, correct;
};
void sb_embed_head_score(struct sb_head_score *score, double *confusion,
                         const struct sb_embed_head *head, const float *x, const int32_t *gold,
                         size_t n);

/*
 * The same of several known labels each.
 *
 *   in-out  counts  those of label_scores.h for label_count labels are added
 *   in      gold    [n, label_count] 0 or 1
 *
 * A label is given from a probability of 0.5 on.  Targets are vectors times labels, the loss is the
 * sum of -ln p, or -ln (1 - p) of labels that are not there; correct counts vectors of which every
 * label is right.
 */
void sb_embed_head_score_labels(struct sb_head_score *score, double *counts,
                                const struct sb_embed_head *head, const float *x,
                                const int32_t *gold, size_t n);

/* Rows that a head of this kind has for so many classes. */
size_t sb_embed_head_rows(enum sb_embed_head_kind kind, size_t class_count);

#endif
