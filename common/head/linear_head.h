/*
 * A linear head trained by gradients on fixed vectors: SetFit's differentiable head, its second
 * phase (Tunstall et al., 2022; huggingface/setfit).
 *
 *     loss of a batch = mean of -ln softmax(W x + b)[gold]
 *     AdamW (adamw.h: decay of W and b alike), rate halved after every 5 epochs
 *
 * W starts uniform in +-sqrt(6 / (C + K)) (Glorot and Bengio, 2010), b at 0.01.  All in double, in
 * one thread, in an order drawn from the seed: equal vectors give equal bits.
 */
#ifndef SB_LINEAR_HEAD_H
#define SB_LINEAR_HEAD_H

#include <stddef.h>
#include <stdint.h>

struct sb_linear_head_options {
    uint64_t seed;
    uint32_t epochs,
        batch_size; /* batch_size at least 1; after no epoch the start is what there is */
    double learning_rate, weight_decay;
    const double *class_weights; /* [K] the mean of a batch is by weight; NULL: all 1 */
};

/*
 *   out  coef       [K, C]
 *        intercept  [K]
 *   in   x          [n, C]
 *        gold       [n]  0 .. K-1
 *
 * Returns the mean loss of the last epoch, each batch before its step.
 */
double sb_linear_head_fit(double *coef, double *intercept, const float *x, const int32_t *gold,
                          size_t n, size_t C, size_t K,
                          const struct sb_linear_head_options *options);

#endif
