#include "logreg.h"

#include "arena.h"
#include "beat.h"
#include "real.h"
#include "vec.h"

#include <lbfgs.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CORRECTIONS = 10, /* as scipy's minimize, which scikit-learn calls */
    STOP = 1          /* what the progress function says when the gradient is small enough */
};

/*
 * The variables are theta [R, C] followed by the R intercepts.  What is minimised is the objective
 * over C, as scikit-learn does, so that tol means the same.
 */
struct fit {
    const float *x;
    const int32_t *gold;
    size_t n, C, K, R;
    double penalty;       /* 1 / options.C */
    const double *weight; /* [K] of a sample of the class */
    double *scores;       /* [R] of one sample; becomes the derivative */
    double tol;
    uint32_t iterations;
};

size_t sb_logreg_rows(size_t K)
{
    return K == 2 ? 1 : K;
}

SB_INLINE double dot(const float *x, const double *w, size_t C)
{
    double lane[SB_LANES] = {0};
    size_t i = 0;
    for (; i + SB_LANES <= C; i += SB_LANES)
        for (int j = 0; j < SB_LANES; j++)
            lane[j] += (double)x[i + j] * w[i + j];
    for (int j = 0; i < C; i++, j++)
        lane[j] += (double)x[i] * w[i];
    return sb_fold_lanes(lane);
}

/* z [R] = w [R, C] x [C] + b [R] */
SB_KERNEL static void score_row(double *z, const float *x, const double *w, const double *b,
                                size_t C, size_t R)
{
    for (size_t r = 0; r < R; r++)
        z[r] = dot(x, w + r * C, C) + b[r];
}

/* dw [R, C] += dz [R] x [C]^T */
SB_KERNEL static void add_outer(double *dw, const double *dz, const float *x, size_t C, size_t R)
{
    for (size_t r = 0; r < R; r++)
        for (size_t c = 0; c < C; c++)
            dw[r * C + c] += dz[r] * (double)x[c];
}

double sb_logreg_sigmoid(double z)
{
    if (z >= 0)
        return 1.0 / (1.0 + sb_exp_double_inline(-z));
    double e = sb_exp_double_inline(z);
    return e / (1.0 + e);
}

/* ln(1 + e^z) */
static double softplus(double z)
{
    return z > 0 ? z + log1p(sb_exp_double_inline(-z)) : log1p(sb_exp_double_inline(z));
}

/* -ln p(gold); z [R] becomes its derivative by z. */
static double sample_loss(double *z, int32_t gold, size_t K, size_t R)
{
    if (R == 1 && K == 2) {
        double score = z[0];
        z[0] = sb_logreg_sigmoid(score) - (gold == 1);
        return softplus(gold == 1 ? -score : score);
    }
    double max = z[0], sum = 0, gold_score = z[gold];
    for (size_t r = 1; r < R; r++)
        max = z[r] > max ? z[r] : max;
    for (size_t r = 0; r < R; r++) {
        z[r] = sb_exp_double_inline(z[r] - max);
        sum += z[r];
    }
    for (size_t r = 0; r < R; r++)
        z[r] /= sum;
    z[gold] -= 1.0;
    return log(sum) + (max - gold_score);
}

static lbfgsfloatval_t evaluate(void *instance, const lbfgsfloatval_t *theta,
                                lbfgsfloatval_t *gradient, const int count,
                                const lbfgsfloatval_t step)
{
    struct fit *fit = instance;
    (void)count;
    (void)step;
    size_t C = fit->C, R = fit->R;
    const double *intercept = theta + R * C;
    double *dintercept = gradient + R * C;
    double loss = 0, norm2 = 0;

    sb_beat();
    memset(gradient, 0, R * (C + 1) * sizeof(*gradient));
    for (size_t i = 0; i < fit->n; i++) {
        double weight = fit->weight[fit->gold[i]];
        score_row(fit->scores, fit->x + i * C, theta, intercept, C, R);
        loss += weight * sample_loss(fit->scores, fit->gold[i], fit->K, R);
        for (size_t r = 0; r < R; r++) {
            fit->scores[r] *= weight;
            dintercept[r] += fit->scores[r];
        }
        add_outer(gradient, fit->scores, fit->x + i * C, C, R);
    }
    for (size_t i = 0; i < R * C; i++) {
        norm2 += theta[i] * theta[i];
        gradient[i] += fit->penalty * theta[i];
    }
    return loss + 0.5 * fit->penalty * norm2;
}

static double largest(const double *gradient, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fabs(gradient[i]) > most ? fabs(gradient[i]) : most;
    return most;
}

static int progress(void *instance, const lbfgsfloatval_t *theta, const lbfgsfloatval_t *gradient,
                    const lbfgsfloatval_t value, const lbfgsfloatval_t theta_norm,
                    const lbfgsfloatval_t gradient_norm, const lbfgsfloatval_t step, int count,
                    int iteration, int evaluations)
{
    struct fit *fit = instance;
    (void)theta;
    (void)value;
    (void)theta_norm;
    (void)gradient_norm;
    (void)step;
    (void)evaluations;
    fit->iterations = (uint32_t)iteration;
    return largest(gradient, (size_t)count) <= fit->tol ? STOP : 0;
}

/*
 * liblbfgs gives up where no step leads down within the precision of the sum; it then goes back to
 * the point before, which is the answer as far as it can be known.  The gradient says how good it
 * is, so it is computed once more, at the end.
 */
static int minimise(double *theta, struct sb_logreg_report *report, struct fit *fit,
                    const struct sb_logreg_options *options, struct sb_err *err)
{
    lbfgs_parameter_t parameters;
    lbfgs_parameter_init(&parameters);
    parameters.m = CORRECTIONS;
    parameters.epsilon = 0; /* only our own test of the gradient */
    parameters.max_iterations = (int)options->max_iter;
    size_t count = fit->R * (fit->C + 1);

    memset(theta, 0, count * sizeof(*theta));
    fit->iterations = 0;
    int status = lbfgs((int)count, theta, NULL, evaluate, progress, fit, &parameters);
    if (status == LBFGSERR_OUTOFMEMORY)
        return sb_err_set(err, SB_ERR_IO, "logistic regression: out of memory");
    double *gradient = sb_alloc(count * sizeof(*gradient));
    double value = evaluate(fit, theta, gradient, (int)count, 0);
    report->objective = value / fit->penalty;
    report->gradient_max = largest(gradient, count);
    report->iterations = fit->iterations;
    report->converged = report->gradient_max <= options->tol;
    free(gradient);
    if (!isfinite(value))
        return sb_err_set(err, SB_ERR_DATA, "logistic regression: the objective is not finite");
    return 0;
}

/* ---- what is asked ---- */

static int check(const float *x, size_t n, size_t C, size_t R,
                 const struct sb_logreg_options *options, struct sb_err *err)
{
    if (!(options->C > 0) || !isfinite(options->C))
        return sb_err_set(err, SB_ERR_CONFIG, "logistic regression: C is %g, not above 0",
                          options->C);
    if (!(options->tol >= 0))
        return sb_err_set(err, SB_ERR_CONFIG, "logistic regression: tol is %g, not 0 or more",
                          options->tol);
    if (options->max_iter == 0 || options->max_iter > INT32_MAX)
        return sb_err_set(err, SB_ERR_CONFIG, "logistic regression: max_iter is %u, not 1 or more",
                          options->max_iter);
    if (C + 1 > INT32_MAX / R)
        return sb_err_set(err, SB_ERR_CONFIG,
                          "logistic regression: %zu rows of %zu are too many coefficients", R, C);
    if (n == 0)
        return sb_err_set(err, SB_ERR_DATA, "logistic regression: there is no sample");
    for (size_t i = 0; i < n; i++)
        if (!sb_all_finite(x + i * C, C))
            return sb_err_set(err, SB_ERR_DATA, "logistic regression: embedding %zu is not finite",
                              i);
    return 0;
}

static int weigh_classes(double *weights, const int32_t *gold, size_t n, size_t K,
                         const struct sb_logreg_options *options, struct sb_err *err)
{
    memset(weights, 0, K * sizeof(*weights));
    for (size_t i = 0; i < n; i++) {
        sb_assert(gold[i] >= 0 && (size_t)gold[i] < K);
        weights[gold[i]] += 1;
    }
    for (size_t k = 0; k < K; k++) {
        if (weights[k] == 0)
            return sb_err_set(err, SB_ERR_DATA, "logistic regression: class %zu has no sample", k);
        weights[k] = options->balanced ? (double)n / ((double)K * weights[k]) : 1.0;
        if (options->class_weights && !(options->class_weights[k] > 0))
            return sb_err_set(err, SB_ERR_CONFIG,
                              "logistic regression: the weight of class %zu is %g, not above 0", k,
                              options->class_weights[k]);
        if (options->class_weights)
            weights[k] *= options->class_weights[k];
    }
    return 0;
}

int sb_logreg_fit(double *coef, double *intercept, struct sb_logreg_report *report, const float *x,
                  const int32_t *gold, size_t n, size_t C, size_t K,
                  const struct sb_logreg_options *options, struct sb_err *err)
{
    struct sb_logreg_report ignored;
    if (K < 2)
        return sb_err_set(err, SB_ERR_DATA, "logistic regression: %zu class%s: it needs two", K,
                          K == 1 ? "" : "es");
    size_t R = sb_logreg_rows(K);
    if (check(x, n, C, R, options, err) < 0)
        return -1;

    double *weights = sb_alloc(K * sizeof(*weights));
    double *scores = sb_alloc(R * sizeof(*scores));
    double *theta = lbfgs_malloc((int)(R * (C + 1)));
    struct fit fit = {.x = x,
                      .gold = gold,
                      .n = n,
                      .C = C,
                      .K = K,
                      .R = R,
                      .penalty = 1.0 / options->C,
                      .weight = weights,
                      .scores = scores,
                      .tol = options->tol};
    int rc = -1;
    if (!theta) {
        sb_err_set(err, SB_ERR_IO, "logistic regression: out of memory");
        goto done;
    }
    if (weigh_classes(weights, gold, n, K, options, err) < 0 ||
        minimise(theta, report ? report : &ignored, &fit, options, err) < 0)
        goto done;
    memcpy(coef, theta, R * C * sizeof(*coef));
    memcpy(intercept, theta + R * C, R * sizeof(*intercept));
    rc = 0;
done:
    lbfgs_free(theta);
    free(scores);
    free(weights);
    return rc;
}

int sb_logreg_fit_labels(double *coef, double *intercept, struct sb_logreg_report *report,
                         const float *x, const uint8_t *gold, size_t n, size_t C, size_t L,
                         const struct sb_logreg_options *options, struct sb_err *err)
{
    struct sb_logreg_report sum = {.converged = true}, one;
    struct sb_logreg_options of_two = *options;
    if (check(x, n, C, 1, options, err) < 0)
        return -1;
    int32_t *column = sb_alloc(n * sizeof(*column));
    int rc = 0;
    for (size_t l = 0; l < L && rc == 0; l++) {
        size_t have = 0;
        for (size_t i = 0; i < n; i++) {
            column[i] = gold[i * L + l] != 0;
            have += (size_t)column[i];
        }
        if (have == 0 || have == n) {
            memset(coef + l * C, 0, C * sizeof(*coef));
            intercept[l] = have ? SB_LOGREG_CERTAIN : -SB_LOGREG_CERTAIN;
            continue;
        }
        const double weights[2] = {1, options->class_weights ? options->class_weights[l] : 1};
        of_two.class_weights = weights;
        rc = sb_logreg_fit(coef + l * C, intercept + l, &one, x, column, n, C, 2, &of_two, err);
        if (rc < 0)
            break;
        sum.objective += one.objective;
        sum.iterations += one.iterations;
        sum.gradient_max =
            one.gradient_max > sum.gradient_max ? one.gradient_max : sum.gradient_max;
        sum.converged = sum.converged && one.converged;
    }
    free(column);
    if (report && rc == 0)
        *report = sum;
    return rc;
}

/* ---- answers ---- */

void sb_logreg_scores(double *z, const float *x, const double *coef, const double *intercept,
                      size_t n, size_t C, size_t R)
{
    for (size_t i = 0; i < n; i++)
        score_row(z + i * R, x + i * C, coef, intercept, C, R);
}

void sb_logreg_softmax(double *p, const double *z, size_t n, size_t K)
{
    for (size_t i = 0; i < n; i++, p += K, z += K) {
        double max = z[0], sum = 0;
        for (size_t k = 1; k < K; k++)
            max = z[k] > max ? z[k] : max;
        for (size_t k = 0; k < K; k++) {
            p[k] = sb_exp_double_inline(z[k] - max);
            sum += p[k];
        }
        for (size_t k = 0; k < K; k++)
            p[k] /= sum;
    }
}
