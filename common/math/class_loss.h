/*
 * Losses of a classifier, as sums over targets (never means), and of a score.  Each divided by its
 * targets equals PyTorch's mean over the same rows.  x [N, K] are logits, p = softmax(x) of a row
 * and s = 1 / (1 + e^-x) of an element; w are weights, all 1 where there are none.
 *
 *   single   one class y a row:   (1-e) w_y f -log p_y  +  e/K sum over k of w_k -log p_k
 *            with f = (1 - p_y)^gamma (Lin et al., 2017); targets: the sum of w_y over the rows,
 *            as in torch.nn.functional.cross_entropy with weight and label_smoothing e
 *   multi    any classes, y is 0 or 1:   sum over k of
 *            -w_k y (1-s)^gamma log s - (1-y) s^gamma log(1-s);  targets: N K, as in
 *            binary_cross_entropy_with_logits with pos_weight w
 *   score    K = 1:   (x - y)^2;  targets: N, as in mse_loss
 */
#ifndef SB_CLASS_LOSS_H
#define SB_CLASS_LOSS_H

#include "xent.h"

struct sb_class_loss {
    const double *weights; /* [K]; NULL: all 1 */
    double smoothing;      /* e, of single alone; not beside gamma */
    double gamma;          /* of focal loss; 0: plain */
};

/*
 *   out     dx    [N, K]  gradient of the sum, 0 in rows without a label; NULL if not wanted; may
 *                         be x
 *   in-out  sums          added to; correct counts rows whose best class is y; rows in which every
 *                         class is decided rightly at 0; of a score nothing
 *   in      gold  [N]     -1: no label
 *           y     [N, K]
 *
 * Computed in double, in row order, from each float of x.
 */
void sb_class_loss_single(float *dx, struct sb_xent_sums *sums, const float *x, const int32_t *gold,
                          size_t N, size_t K, const struct sb_class_loss *loss);
void sb_class_loss_multi(float *dx, struct sb_xent_sums *sums, const float *x, const float *y,
                         size_t N, size_t K, const struct sb_class_loss *loss);
void sb_class_loss_score(float *dx, struct sb_xent_sums *sums, const float *x, const float *y,
                         size_t N);

#endif
