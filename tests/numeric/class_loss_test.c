/* Losses of classifiers against PyTorch's, by tests/golden/make_class_loss_golden.py. */
#include "class_loss.h"
#include "label_scores.h"
#include "support.h"

#include <math.h>

#include "../golden/class_loss_golden.h"

enum { COUNT = GOLD_N * GOLD_K };

struct data {
    float x[COUNT], many[COUNT], score[GOLD_N], value[GOLD_N];
    int32_t gold[GOLD_N];
};

static struct data read_data(void)
{
    struct data d;
    for (size_t i = 0; i < COUNT; i++) {
        d.x[i] = (float)gold_x[i];
        d.many[i] = (float)gold_many[i];
    }
    for (size_t i = 0; i < GOLD_N; i++) {
        d.score[i] = d.x[i * GOLD_K];
        d.value[i] = (float)gold_value[i];
        d.gold[i] = (int32_t)gold_class[i];
    }
    return d;
}

/* The sums divided by their targets are PyTorch's means. */
static void compare(const struct sb_xent_sums *sums, const float *dx, size_t stride, size_t count,
                    double loss, const double *golden)
{
    assert_true(fabs(sums->loss / sums->targets - loss) < 1e-12 * fmax(1, loss));
    for (size_t i = 0; i < count; i++)
        assert_true(fabs((double)dx[i] / sums->targets - golden[i * stride]) < 1e-7);
}

#define SINGLE(name, ...)                                                                          \
    do {                                                                                           \
        struct data d = read_data();                                                               \
        struct sb_xent_sums sums = {0};                                                            \
        sb_class_loss_single(d.x, &sums, d.x, d.gold, GOLD_N, GOLD_K,                              \
                             &(struct sb_class_loss){__VA_ARGS__});                                \
        compare(&sums, d.x, 1, COUNT, name##_loss[0], name##_dx);                                  \
    } while (0)
#define MULTI(name, ...)                                                                           \
    do {                                                                                           \
        struct data d = read_data();                                                               \
        struct sb_xent_sums sums = {0};                                                            \
        sb_class_loss_multi(d.x, &sums, d.x, d.many, GOLD_N, GOLD_K,                               \
                            &(struct sb_class_loss){__VA_ARGS__});                                 \
        compare(&sums, d.x, 1, COUNT, name##_loss[0], name##_dx);                                  \
    } while (0)

static void losses_of_one_class_equal_pytorch(void **state)
{
    (void)state;
    SINGLE(plain, .gamma = 0);
    SINGLE(weighted, .weights = gold_weight);
    SINGLE(smoothed, .smoothing = 0.1);
    SINGLE(both, .weights = gold_weight, .smoothing = 0.1);
    SINGLE(focal, .gamma = 2);
    SINGLE(focal_weighted, .weights = gold_weight, .gamma = 0.5);
}

static void losses_of_several_classes_equal_pytorch(void **state)
{
    (void)state;
    MULTI(several, .gamma = 0);
    MULTI(several_weighted, .weights = gold_weight);
    MULTI(several_focal, .gamma = 2);
}

static void loss_of_a_number_equals_pytorch(void **state)
{
    (void)state;
    struct data d = read_data();
    struct sb_xent_sums sums = {0};
    sb_class_loss_score(d.score, &sums, d.score, d.value, GOLD_N);
    compare(&sums, d.score, GOLD_K, GOLD_N, score_loss[0], score_dx);
}

static void extreme_logits_stay_finite(void **state)
{
    (void)state;
    float x[4] = {400, -400, 1e4f, -1e4f}, dx[4];
    const float y[4] = {0, 1, 1, 0};
    const int32_t gold[2] = {1, 0};
    const double gammas[] = {0, 0.5, 2};
    for (size_t g = 0; g < 3; g++) {
        struct sb_xent_sums sums = {0};
        struct sb_class_loss loss = {.gamma = gammas[g]};
        sb_class_loss_single(dx, &sums, x, gold, 2, 2, &loss);
        for (size_t i = 0; i < 4; i++)
            assert_true(isfinite(dx[i]));
        sb_class_loss_multi(dx, &sums, x, y, 2, 2, &loss);
        for (size_t i = 0; i < 4; i++)
            assert_true(isfinite(dx[i]));
        assert_true(isfinite(sums.loss));
    }
}

/* By hand: three rows, two labels. */
static void scores_of_labels_are_those_of_the_definition(void **state)
{
    (void)state;
    const float gold[3][2] = {{1, 0}, {1, 1}, {0, 0}}, said[3][2] = {{1, 0}, {0, 1}, {0, 1}};
    double counts[9] = {0};
    struct sb_label_scores s;
    for (size_t i = 0; i < 3; i++)
        sb_label_counts_add(counts, gold[i], said[i], 2);
    sb_label_scores_from_counts(&s, counts, 2);
    assert_true(fabs(s.accuracy - 1.0 / 3) < 1e-15 && fabs(s.hamming_loss - 2.0 / 6) < 1e-15);
    assert_true(fabs(s.f1_micro - 4.0 / 6) < 1e-15);
    assert_true(fabs(s.f1_macro - (2.0 / 3 + 2.0 / 3) / 2) < 1e-15);
    assert_true(fabs(s.f1_samples - (1 + 2.0 / 3 + 0) / 3) < 1e-15);
    assert_true(fabs(s.recall_weighted - (0.5 * 2 + 1.0 * 1) / 3) < 1e-15);
}

static void scores_of_numbers_are_those_of_the_definition(void **state)
{
    (void)state;
    const double gold[4] = {-1, 0, 1, 2}, said[4] = {-2, 1, 0.5, 3};
    double counts[SB_VALUE_COUNTS] = {0}, gold_mean = 0.5, said_mean = 0.625;
    double xy = 0, xx = 0, yy = 0;
    struct sb_value_scores s;
    for (size_t i = 0; i < 4; i++) {
        sb_value_counts_add(counts, gold[i], said[i]);
        xy += (gold[i] - gold_mean) * (said[i] - said_mean);
        xx += (said[i] - said_mean) * (said[i] - said_mean);
        yy += (gold[i] - gold_mean) * (gold[i] - gold_mean);
    }
    sb_value_scores_from_counts(&s, counts);
    assert_true(fabs(s.mse - 3.25 / 4) < 1e-15 && fabs(s.mae - 3.5 / 4) < 1e-15);
    assert_true(fabs(s.pearson - xy / sqrt(xx * yy)) < 1e-12);
    assert_true(fabs(s.r2 - (1 - 3.25 / yy)) < 1e-12);
}

static void equal_numbers_correlate_with_nothing(void **state)
{
    (void)state;
    double counts[SB_VALUE_COUNTS] = {0};
    struct sb_value_scores s;
    for (size_t i = 0; i < 1000; i++)
        sb_value_counts_add(counts, (double)i, 0.1);
    sb_value_scores_from_counts(&s, counts);
    assert_true(s.pearson == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_of_one_class_equal_pytorch),
        cmocka_unit_test(losses_of_several_classes_equal_pytorch),
        cmocka_unit_test(loss_of_a_number_equals_pytorch),
        cmocka_unit_test(extreme_logits_stay_finite),
        cmocka_unit_test(scores_of_labels_are_those_of_the_definition),
        cmocka_unit_test(scores_of_numbers_are_those_of_the_definition),
        cmocka_unit_test(equal_numbers_correlate_with_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
