#include "linear_head.h"

#include "arena.h"
#include "beat.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of SB_RNG_SAMPLE; the epoch is added above the low 32 bits. */
enum { ROUND_HEAD = 0x68656164, HALVED_AFTER = 5 };
static const double FIRST_BIAS = 0.01;
static const double BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

/* Weights and what AdamW keeps of them: [K, C + 1], the bias behind each row. */
struct fit {
    const struct sb_linear_head_options *options;
    size_t C, K, count;
    double *w, *m, *v, *grad;
    double *p; /* [K] */
    uint64_t steps;
};

static void begin(struct fit *fit)
{
    struct sb_rng key = sb_rng_key(fit->options->seed, SB_RNG_INIT, ROUND_HEAD);
    double limit = sqrt(6.0 / (double)(fit->C + fit->K));
    for (size_t k = 0; k < fit->K; k++)
        for (size_t c = 0; c <= fit->C; c++) {
            uint32_t word[4];
            sb_rng_draw(&key, k * fit->C + c, 0, 0, word);
            fit->w[k * (fit->C + 1) + c] =
                c == fit->C ? FIRST_BIAS : limit * (2 * sb_rng_unit(word[0]) - 1);
        }
}

static double weight_of(const struct fit *fit, int32_t class)
{
    return fit->options->class_weights ? fit->options->class_weights[class] : 1.0;
}

/* p = softmax(W x + b); returns -ln p[gold]. */
static double predict(struct fit *fit, const float *x, int32_t gold)
{
    double max = -INFINITY, sum = 0;
    for (size_t k = 0; k < fit->K; k++) {
        const double *row = fit->w + k * (fit->C + 1);
        double z = row[fit->C];
        for (size_t c = 0; c < fit->C; c++)
            z += row[c] * (double)x[c];
        fit->p[k] = z;
        max = z > max ? z : max;
    }
    double of_gold = fit->p[gold];
    for (size_t k = 0; k < fit->K; k++)
        sum += fit->p[k] = exp(fit->p[k] - max);
    for (size_t k = 0; k < fit->K; k++)
        fit->p[k] /= sum;
    return log(sum) + max - of_gold;
}

/* Adds weight * d(loss)/d(W, b). */
static void add_gradient(struct fit *fit, const float *x, int32_t gold, double weight)
{
    for (size_t k = 0; k < fit->K; k++) {
        double dz = weight * (fit->p[k] - (k == (size_t)gold));
        double *row = fit->grad + k * (fit->C + 1);
        for (size_t c = 0; c < fit->C; c++)
            row[c] += dz * (double)x[c];
        row[fit->C] += dz;
    }
}

static void step(struct fit *fit, double rate, double scale)
{
    double t = (double)++fit->steps;
    double first = 1 - pow(BETA1, t), second = 1 - pow(BETA2, t);
    for (size_t i = 0; i < fit->count; i++) {
        double g = fit->grad[i] * scale;
        fit->w[i] *= 1 - rate * fit->options->weight_decay;
        fit->m[i] = BETA1 * fit->m[i] + (1 - BETA1) * g;
        fit->v[i] = BETA2 * fit->v[i] + (1 - BETA2) * g * g;
        fit->w[i] -= rate * (fit->m[i] / first) / (sqrt(fit->v[i] / second) + EPSILON);
        fit->grad[i] = 0;
    }
}

static double run_epoch(struct fit *fit, uint32_t epoch, const float *x, const int32_t *gold,
                        size_t n)
{
    const struct sb_linear_head_options *options = fit->options;
    struct sb_rng order =
        sb_rng_key(options->seed, SB_RNG_SAMPLE, ROUND_HEAD + ((uint64_t)epoch << 32));
    double rate = options->learning_rate * pow(0.5, epoch / HALVED_AFTER);
    double loss = 0, weights = 0, all_loss = 0, all_weights = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)sb_rng_permute(&order, n, i);
        double weight = weight_of(fit, gold[at]);
        loss += weight * predict(fit, x + at * fit->C, gold[at]);
        weights += weight;
        add_gradient(fit, x + at * fit->C, gold[at], weight);
        if ((i + 1) % options->batch_size != 0 && i + 1 < n)
            continue;
        step(fit, rate, 1 / weights);
        all_loss += loss;
        all_weights += weights;
        loss = weights = 0;
    }
    return all_loss / all_weights;
}

double sb_linear_head_fit(double *coef, double *intercept, const float *x, const int32_t *gold,
                          size_t n, size_t C, size_t K,
                          const struct sb_linear_head_options *options)
{
    struct fit fit = {.options = options, .C = C, .K = K, .count = K * (C + 1)};
    fit.w = sb_calloc(fit.count, sizeof(double));
    fit.m = sb_calloc(fit.count, sizeof(double));
    fit.v = sb_calloc(fit.count, sizeof(double));
    fit.grad = sb_calloc(fit.count, sizeof(double));
    fit.p = sb_calloc(K, sizeof(double));
    double loss = 0;
    begin(&fit);
    for (uint32_t epoch = 0; epoch < options->epochs; epoch++) {
        loss = run_epoch(&fit, epoch, x, gold, n);
        sb_beat();
    }
    for (size_t k = 0; k < K; k++) {
        memcpy(coef + k * C, fit.w + k * (C + 1), C * sizeof(*coef));
        intercept[k] = fit.w[k * (C + 1) + C];
    }
    free(fit.p);
    free(fit.grad);
    free(fit.v);
    free(fit.m);
    free(fit.w);
    return loss;
}
