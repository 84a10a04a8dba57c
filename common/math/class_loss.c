#include "class_loss.h"

#include <math.h>
#include <stdbool.h>

static double weight_of(const struct sb_class_loss *loss, size_t k)
{
    return loss->weights ? loss->weights[k] : 1.0;
}

/* log of the sum of e^x over a row, and its largest element */
static double log_sum(double *max, const float *x, size_t K)
{
    double sum = 0;
    *max = x[0];
    for (size_t k = 1; k < K; k++)
        *max = (double)x[k] > *max ? (double)x[k] : *max;
    for (size_t k = 0; k < K; k++)
        sum += exp((double)x[k] - *max);
    return *max + log(sum);
}

/* d loss / d x_k = a (p_k - [k = y]) + b (w_all p_k - w_k):  a of the gold class, b of smoothing.
 */
static void single_gradient(float *dx, const float *x, double log_total, size_t gold, double a,
                            double b, size_t K, const struct sb_class_loss *loss)
{
    double w_all = 0;
    for (size_t k = 0; b > 0 && k < K; k++)
        w_all += weight_of(loss, k);
    for (size_t k = 0; k < K; k++) {
        double p = exp((double)x[k] - log_total);
        double d = a * (p - (k == gold ? 1.0 : 0.0));
        if (b > 0)
            d += b * (w_all * p - weight_of(loss, k));
        dx[k] = (float)d;
    }
}

void sb_class_loss_single(float *dx, struct sb_xent_sums *sums, const float *x, const int32_t *gold,
                          size_t N, size_t K, const struct sb_class_loss *loss)
{
    for (size_t row = 0; row < N; row++, x += K, dx += dx ? K : 0) {
        if (gold[row] < 0) {
            for (size_t k = 0; dx && k < K; k++)
                dx[k] = 0.0f;
            continue;
        }
        size_t y = (size_t)gold[row];
        double max, log_total = log_sum(&max, x, K), w = weight_of(loss, y);
        double log_p = (double)x[y] - log_total, p = exp(log_p);
        double rest = -expm1(log_p), focus = loss->gamma > 0 ? pow(rest, loss->gamma) : 1.0;
        double each = loss->smoothing / (double)K;
        sums->loss -= (1 - loss->smoothing) * w * focus * log_p;
        for (size_t k = 0; each > 0 && k < K; k++)
            sums->loss += each * weight_of(loss, k) * (log_total - (double)x[k]);
        sums->correct += (double)x[y] == max ? 1.0 : 0.0;
        sums->targets += w;
        /* The focus has a slope of its own; where p_y is 1 both factors of it vanish together. */
        double slope = loss->gamma > 0 && rest > 0
                           ? loss->gamma * pow(rest, loss->gamma - 1) * p * log_p
                           : 0.0;
        if (dx)
            single_gradient(dx, x, log_total, y, (1 - loss->smoothing) * w * (focus - slope), each,
                            K, loss);
    }
}

/* -(1-s)^gamma log s of one logit, and its derivative; for the other side x and d change sign. */
static double one_side(double *d, double x, double gamma)
{
    double log_s = x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
    double s = exp(log_s), rest = 1 / (1 + exp(x));
    if (!(gamma > 0)) {
        *d = -rest;
        return -log_s;
    }
    double focus = pow(rest, gamma);
    *d = focus * (gamma * s * log_s - rest);
    return -focus * log_s;
}

void sb_class_loss_multi(float *dx, struct sb_xent_sums *sums, const float *x, const float *y,
                         size_t N, size_t K, const struct sb_class_loss *loss)
{
    for (size_t row = 0; row < N; row++, x += K, y += K, dx += dx ? K : 0) {
        bool right = true;
        for (size_t k = 0; k < K; k++) {
            double with, without, w = weight_of(loss, k) * (double)y[k], rest = 1 - (double)y[k];
            double value = x[k];
            sums->loss += w * one_side(&with, value, loss->gamma) +
                          rest * one_side(&without, -value, loss->gamma);
            right = right && (value > 0) == (y[k] > 0.5f);
            if (dx)
                dx[k] = (float)(w * with - rest * without);
        }
        sums->correct += right;
        sums->targets += (double)K;
    }
}

void sb_class_loss_score(float *dx, struct sb_xent_sums *sums, const float *x, const float *y,
                         size_t N)
{
    for (size_t row = 0; row < N; row++) {
        double error = (double)x[row] - (double)y[row];
        sums->loss += error * error;
        sums->targets += 1.0;
        if (dx)
            dx[row] = (float)(2 * error);
    }
}
