#include "support.h"

#include "arrays.h"
#include "golden_doubles.h"
#include "logreg.h"

/* 90 questions of TREC as embeddings of 128, and what scikit-learn makes of them. */
enum { N = 90, C = 128, CLASSES = 6, LABELS = 4, THE_CLASS = 3 };

static struct sb_safetensors file;
static float x[N * C];
static int32_t six[N], two[N];
static uint8_t labels[N * LABELS];

static int set_up(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    int64_t wide[N], bits[N * LABELS];
    if (sb_safetensors_open(&file, "tests/golden/logreg_golden.safetensors", &err) < 0 ||
        sb_safetensors_floats(x, &file, sb_safetensors_find(&file, "x"), &err) < 0 ||
        sb_safetensors_ints(wide, &file, sb_safetensors_find(&file, "classes"), &err) < 0 ||
        sb_safetensors_ints(bits, &file, sb_safetensors_find(&file, "labels"), &err) < 0)
        return -1;
    for (size_t i = 0; i < N; i++) {
        six[i] = (int32_t)wide[i];
        two[i] = wide[i] == THE_CLASS;
    }
    for (size_t i = 0; i < N * LABELS; i++)
        labels[i] = (uint8_t)bits[i];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_safetensors_close(&file);
    return 0;
}

static const struct problem {
    const char *name;
    const int32_t *gold;
    size_t K;
    double C;
    bool balanced;
} problems[] = {
    {"six", six, CLASSES, 1.0, false},
    {"six_balanced", six, CLASSES, 0.5, true},
    {"two", two, 2, 1.0, false},
    {"two_balanced", two, 2, 10.0, true},
};
enum { PROBLEMS = sizeof(problems) / sizeof(problems[0]) };

static double *golden(const struct problem *problem, const char *what, size_t count)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s", problem->name, what);
    return sb_golden_doubles(&file, name, count);
}

static void check_against(const struct problem *problem, const char *solver, const double *coef,
                          const double *intercept, double allowed)
{
    char name[64];
    size_t R = sb_logreg_rows(problem->K);
    snprintf(name, sizeof(name), "%s.coef", solver);
    double *expected = golden(problem, name, R * C);
    double worst = sb_golden_worst(coef, expected, R * C);
    free(expected);
    snprintf(name, sizeof(name), "%s.intercept", solver);
    expected = golden(problem, name, R);
    double worst_intercept = sb_golden_worst(intercept, expected, R);
    free(expected);
    print_message("%s against %s: coefficients %.1e, intercepts %.1e\n", problem->name, solver,
                  worst, worst_intercept);
    assert_true(worst < allowed && worst_intercept < allowed);
}

static void coefficients_are_those_of_scikit_learn(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEMS; i++) {
        const struct problem *problem = &problems[i];
        const struct sb_logreg_options options = {
            .C = problem->C, .tol = 1e-10, .max_iter = 100000, .balanced = problem->balanced};
        double coef[CLASSES * C], intercept[CLASSES];
        struct sb_logreg_report report;
        struct sb_err err = SB_ERR_INIT;
        if (sb_logreg_fit(coef, intercept, &report, x, problem->gold, N, C, problem->K, &options,
                          &err) < 0)
            fail_msg("%s", err.text);
        print_message("%s: %u iterations, gradient %.1e, objective %.12f\n", problem->name,
                      report.iterations, report.gradient_max, report.objective);
        check_against(problem, "newton-cg", coef, intercept, 1e-4);
        /* This one stops where the objective falls by less than 2e-9 of itself. */
        check_against(problem, "lbfgs", coef, intercept, 2e-2);
    }
}

static void the_objective_at_the_defaults_is_that_of_scikit_learn(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEMS; i++) {
        const struct problem *problem = &problems[i];
        struct sb_logreg_options options = SB_LOGREG_DEFAULTS;
        double coef[CLASSES * C], intercept[CLASSES];
        struct sb_logreg_report report;
        options.C = problem->C;
        options.balanced = problem->balanced;
        assert_int_equal(sb_logreg_fit(coef, intercept, &report, x, problem->gold, N, C, problem->K,
                                       &options, NULL),
                         0);
        double *expected = golden(problem, "objective", 1);
        print_message("%s: %u iterations, objective %.9f, scikit-learn %.9f\n", problem->name,
                      report.iterations, report.objective, *expected);
        assert_true(fabs(report.objective - *expected) < 2e-4 * *expected);
        free(expected);
    }
}

static void each_label_is_fitted_against_the_rest(void **state)
{
    (void)state;
    const struct sb_logreg_options options = {.C = 1.0, .tol = 1e-10, .max_iter = 100000};
    double coef[LABELS * C], intercept[LABELS];
    struct sb_logreg_report report;
    assert_int_equal(
        sb_logreg_fit_labels(coef, intercept, &report, x, labels, N, C, LABELS, &options, NULL), 0);
    double *expected = sb_golden_doubles(&file, "labels.coef", LABELS * C);
    assert_true(sb_golden_worst(coef, expected, LABELS * C) < 1e-4);
    free(expected);
    expected = sb_golden_doubles(&file, "labels.intercept", LABELS);
    assert_true(sb_golden_worst(intercept, expected, LABELS) < 1e-4);
    free(expected);
    assert_true(report.gradient_max < 1e-4);
}

static void a_label_of_all_or_none_is_certain(void **state)
{
    (void)state;
    const struct sb_logreg_options options = SB_LOGREG_DEFAULTS;
    uint8_t gold[N * 3];
    double coef[3 * C], intercept[3], alone[C], alone_intercept;
    for (size_t i = 0; i < N; i++) {
        gold[3 * i] = 1;
        gold[3 * i + 1] = 0;
        gold[3 * i + 2] = (uint8_t)two[i];
    }
    assert_int_equal(sb_logreg_fit_labels(coef, intercept, NULL, x, gold, N, C, 3, &options, NULL),
                     0);
    assert_true(intercept[0] == SB_LOGREG_CERTAIN && intercept[1] == -SB_LOGREG_CERTAIN);
    for (size_t i = 0; i < 2 * C; i++)
        assert_true(coef[i] == 0);
    assert_int_equal(sb_logreg_fit(alone, &alone_intercept, NULL, x, two, N, C, 2, &options, NULL),
                     0);
    assert_memory_equal(alone, coef + 2 * C, sizeof(alone));
    assert_true(alone_intercept == intercept[2]);
}

static void probabilities_are_those_of_scikit_learn(void **state)
{
    (void)state;
    double *coef = sb_golden_doubles(&file, "six.newton-cg.coef", CLASSES * C);
    double *intercept = sb_golden_doubles(&file, "six.newton-cg.intercept", CLASSES);
    double *expected = sb_golden_doubles(&file, "six.p", 5 * CLASSES), p[5 * CLASSES];
    sb_logreg_scores(p, x, coef, intercept, 5, C, CLASSES);
    sb_logreg_softmax(p, p, 5, CLASSES);
    assert_true(sb_golden_worst(p, expected, 5 * CLASSES) < 1e-12);
    free(coef);
    free(intercept);
    free(expected);
    assert_true(sb_logreg_sigmoid(0) == 0.5);
    assert_true(sb_logreg_sigmoid(-1000) == 0 && sb_logreg_sigmoid(1000) == 1);
    assert_true(fabs(sb_logreg_sigmoid(1) + sb_logreg_sigmoid(-1) - 1) < 1e-15);
}

/* A weight of two is the sample twice; so weights count samples and nothing else. */
static void a_weight_counts_as_copies(void **state)
{
    (void)state;
    static float more[2 * N * C];
    int32_t gold[2 * N];
    size_t n = N;
    const double weights[2] = {1.0, 2.0};
    struct sb_logreg_options options = {.C = 1.0, .tol = 1e-8, .max_iter = 10000};
    double coef[C], intercept, copies[C], copies_intercept;
    memcpy(more, x, sizeof(x));
    memcpy(gold, two, sizeof(two));
    for (size_t i = 0; i < N; i++) {
        if (two[i]) {
            memcpy(more + n * C, x + i * C, C * sizeof(*x));
            gold[n++] = 1;
        }
    }
    assert_int_equal(
        sb_logreg_fit(copies, &copies_intercept, NULL, more, gold, n, C, 2, &options, NULL), 0);
    options.class_weights = weights;
    assert_int_equal(sb_logreg_fit(coef, &intercept, NULL, x, two, N, C, 2, &options, NULL), 0);
    assert_true(sb_golden_worst(coef, copies, C) < 1e-5);
    assert_true(fabs(intercept - copies_intercept) < 1e-4);
}

/* One feature, four samples: the minimum can be found by hand, as the root of one equation. */
static void one_feature_has_the_minimum_of_its_equation(void **state)
{
    (void)state;
    const float points[4] = {-1, -1, 1, 1};
    const int32_t gold[4] = {0, 0, 1, 1};
    const struct sb_logreg_options options = {.C = 3.0, .tol = 1e-12, .max_iter = 1000};
    double coef, intercept, low = 0, high = 10;
    struct sb_logreg_report report;
    assert_int_equal(
        sb_logreg_fit(&coef, &intercept, &report, points, gold, 4, 1, 2, &options, NULL), 0);
    for (int i = 0; i < 100; i++) { /* w = 4 C / (1 + e^w), by halving */
        double w = (low + high) / 2;
        if (w < 12.0 / (1 + exp(w)))
            low = w;
        else
            high = w;
    }
    assert_true(fabs(coef - low) < 1e-9 && fabs(intercept) < 1e-12);
    assert_true(fabs(report.objective - (low * low / 2 + 12 * log1p(exp(-low)))) < 1e-12);
    assert_true(report.converged && report.gradient_max <= 1e-12);
}

static void what_cannot_be_fitted_is_refused_in_words(void **state)
{
    (void)state;
    float points[4] = {0, 1, 2, 3};
    const int32_t gold[4] = {0, 0, 2, 2}, ones[4] = {0, 0, 0, 0};
    const double weights[2] = {1.0, 0.0};
    struct sb_logreg_options options = SB_LOGREG_DEFAULTS;
    double coef[3], intercept[3];
    struct sb_err err = SB_ERR_INIT;
    const int32_t fine[4] = {0, 1, 0, 1};

    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, gold, 4, 1, 3, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "class 1 has no sample");
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, ones, 4, 1, 1, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "1 class: it needs two");
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 0, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "there is no sample");
    points[2] = NAN;
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "embedding 2 is not finite");
    points[2] = 2;
    options.class_weights = weights;
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "the weight of class 1 is 0");
    options.class_weights = NULL;
    options.C = 0;
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "C is 0");
    options.C = 1e-320; /* of which the inverse is infinite */
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "the objective is not finite");
    options.C = 1;
    options.max_iter = 0;
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "max_iter is 0");
    options.max_iter = 100;
    options.tol = NAN;
    assert_int_equal(sb_logreg_fit(coef, intercept, NULL, points, fine, 4, 1, 2, &options, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "tol is");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_those_of_scikit_learn),
        cmocka_unit_test(the_objective_at_the_defaults_is_that_of_scikit_learn),
        cmocka_unit_test(each_label_is_fitted_against_the_rest),
        cmocka_unit_test(a_label_of_all_or_none_is_certain),
        cmocka_unit_test(probabilities_are_those_of_scikit_learn),
        cmocka_unit_test(a_weight_counts_as_copies),
        cmocka_unit_test(one_feature_has_the_minimum_of_its_equation),
        cmocka_unit_test(what_cannot_be_fitted_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
