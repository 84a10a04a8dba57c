/*
 * Logistic regression on embeddings: scikit-learn's objective and defaults (Pedregosa et al., JMLR
 * 12, 2011; LogisticRegression with solver lbfgs, version 1.2), minimised by L-BFGS (Liu and
 * Nocedal, 1989; the code is liblbfgs').
 *
 *     1/2 |W|^2  +  C * sum over samples of  weight(gold) * -ln p(gold)
 *
 * Two classes: one row, p(1) = 1 / (1 + e^-(w x + b)).  Three and more: a row each, p = softmax(W x
 * + b).  The intercepts b are not penalised.  Everything is double, and sums run over the samples
 * in their order, in one thread: equal samples give equal bits (but ln is the C library's, which
 * may differ between processors in the last bit: fit a head in one place).  Unlike the kernels
 * beside it, it takes memory, and it can fail: what it is given comes from data.
 */
#ifndef SB_LOGREG_H
#define SB_LOGREG_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_logreg_options {
    double C;          /* inverse strength of the penalty, above 0 */
    double tol;        /* ends when no element of the gradient of objective / C is larger */
    uint32_t max_iter; /* at least 1 */
    bool balanced;     /* class_weight: samples / (classes * samples of the class) */
    const double *class_weights; /* [K] on top of that, above 0; NULL: all 1 */
};

#define SB_LOGREG_DEFAULTS                                                                         \
    {                                                                                              \
        .C = 1.0, .tol = 1e-4, .max_iter = 100                                                     \
    }

struct sb_logreg_report {
    double objective;    /* as above, nats */
    double gradient_max; /* of objective / C: what tol is compared with */
    uint32_t iterations;
    bool converged; /* gradient_max <= tol; else max_iter, or no better point within rounding */
};

/* Rows of coefficients for K classes: 1 for two, else K. */
size_t sb_logreg_rows(size_t K);

/*
 *   out  coef       [R, C]  R = sb_logreg_rows(K)
 *        intercept  [R]
 *        report     may be NULL
 *   in   x          [n, C]
 *        gold       [n]  0 .. K-1
 *
 * Starts from zeros.  An end without convergence is no error.  SB_ERR_DATA: fewer than two classes,
 * a class without a sample, an embedding that is not finite; SB_ERR_CONFIG: options out of range.
 * Coefficients are scikit-learn's to 1e-4 where both are asked for 1e-10 (1e-5 at worst on real
 * embeddings, against its solver newton-cg: near the bottom the objective is flat to its last bit).
 */
int sb_logreg_fit(double *coef, double *intercept, struct sb_logreg_report *report, const float *x,
                  const int32_t *gold, size_t n, size_t C, size_t K,
                  const struct sb_logreg_options *options, struct sb_err *err);

/*
 * Several labels at once, one against the rest: a regression of two classes for each.
 *
 *   out  coef       [L, C]; intercept [L]
 *        report     objectives and iterations added up, the largest gradient, all converged
 *   in   gold       [n, L]  0 or 1
 *
 * A label that all samples have, or none, has no finite answer: its coefficients are 0 and its
 * intercept is SB_LOGREG_CERTAIN or minus that.  class_weights [L]: of the samples that have the
 * label, over the others.
 */
int sb_logreg_fit_labels(double *coef, double *intercept, struct sb_logreg_report *report,
                         const float *x, const uint8_t *gold, size_t n, size_t C, size_t L,
                         const struct sb_logreg_options *options, struct sb_err *err);

#define SB_LOGREG_CERTAIN 30.0 /* 1 - 1e-13 */

/* z [n, R] = x coef^T + intercept, in double. */
void sb_logreg_scores(double *z, const float *x, const double *coef, const double *intercept,
                      size_t n, size_t C, size_t R);
/* p [n, K] = softmax of the rows of z [n, K]; p may be z. */
void sb_logreg_softmax(double *p, const double *z, size_t n, size_t K);
/* 1 / (1 + e^-z) without overflow. */
double sb_logreg_sigmoid(double z);

#endif
