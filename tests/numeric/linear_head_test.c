/* The head that is trained by gradients, against finite differences and AdamW as its paper writes
 * it. */
#include "linear_head.h"
#include "support.h"

#include <math.h>
#include <string.h>

enum { N = 6, C = 2, K = 3, COUNT = K * (C + 1) };

static const float x[N * C] = {1, 0.2F, 0.8F, -0.3F, -1, 0.5F, -0.7F, 0.9F, 0.1F, -1, 0.3F, -0.8F};
static const int32_t gold[N] = {0, 0, 1, 1, 2, 2};
static const double weights[K] = {1, 2, 0.5};

/* Mean by weight of -ln softmax(W x + b)[gold]; w is W, then b. */
static double loss_of(const double *w)
{
    double loss = 0, sum_weights = 0;
    for (size_t i = 0; i < N; i++) {
        double z[K], sum = 0;
        for (size_t k = 0; k < K; k++) {
            z[k] = w[K * C + k] + w[k * C] * x[i * C] + w[k * C + 1] * x[i * C + 1];
            sum += exp(z[k]);
        }
        loss += weights[gold[i]] * (log(sum) - z[gold[i]]);
        sum_weights += weights[gold[i]];
    }
    return loss / sum_weights;
}

static double fit(double *w, uint32_t epochs)
{
    const struct sb_linear_head_options options = {.seed = 3,
                                                   .epochs = epochs,
                                                   .batch_size = N,
                                                   .learning_rate = 0.1,
                                                   .weight_decay = 0.01,
                                                   .class_weights = weights};
    return sb_linear_head_fit(w, w + K * C, x, gold, N, C, K, &options);
}

/* Whole batches, so that the order is no matter; seven epochs, so that the rate is halved once. */
static void steps_are_those_of_adamw(void **state)
{
    (void)state;
    double w[COUNT], m[COUNT] = {0}, v[COUNT] = {0}, got[COUNT], last = 0;
    fit(w, 0);
    for (int t = 1; t <= 7; t++) {
        double rate = t <= 5 ? 0.1 : 0.05, grad[COUNT];
        last = loss_of(w);
        for (size_t i = 0; i < COUNT; i++) {
            double kept = w[i], up, down;
            w[i] = kept + 1e-5;
            up = loss_of(w);
            w[i] = kept - 1e-5;
            down = loss_of(w);
            w[i] = kept;
            grad[i] = (up - down) / 2e-5;
        }
        for (size_t i = 0; i < COUNT; i++) {
            m[i] = 0.9 * m[i] + 0.1 * grad[i];
            v[i] = 0.999 * v[i] + 0.001 * grad[i] * grad[i];
            w[i] = w[i] * (1 - rate * 0.01) -
                   rate * (m[i] / (1 - pow(0.9, t))) / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
        }
    }
    assert_true(fabs(fit(got, 7) - last) < 1e-6);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(fabs(got[i] - w[i]) < 1e-6);
}

static void the_start_is_glorots(void **state)
{
    (void)state;
    double w[COUNT], limit = sqrt(6.0 / (C + K)), largest = 0;
    fit(w, 0);
    for (size_t i = 0; i < K * C; i++) {
        assert_true(fabs(w[i]) < limit);
        largest = fmax(largest, fabs(w[i]));
    }
    assert_true(largest > limit / 4);
    for (size_t k = 0; k < K; k++)
        assert_true(w[K * C + k] == 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_adamw),
        cmocka_unit_test(the_start_is_glorots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
