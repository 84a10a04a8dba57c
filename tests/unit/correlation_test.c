/* Pearson's r and Spearman's rho against scipy, and their intervals against tables. */
#include "support.h"

#include "correlation.h"

#include "../golden/correlation_golden.h"

#include <math.h>

static void correlations_equal_scipy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        double r = sb_pearson(golden[i].x, golden[i].y, golden[i].n);
        double rho = sb_spearman(golden[i].x, golden[i].y, golden[i].n);
        /* the last case stands on an offset of 1e8, which costs both sides eight digits */
        double tolerance = golden[i].x[0] > 1e7 ? 1e-7 : 1e-14;
        if (!(fabs(r - golden[i].pearson) < tolerance))
            fail_msg("case %zu: r is %.17g, expected %.17g", i, r, golden[i].pearson);
        if (!(fabs(rho - golden[i].spearman) < 1e-14))
            fail_msg("case %zu: rho is %.17g, expected %.17g", i, rho, golden[i].spearman);
    }
}

static void equal_values_share_the_mean_rank(void **state)
{
    (void)state;
    const double x[] = {3, 1, 3, 2, 3}, expected[] = {4, 1, 4, 2, 4};
    double ranks[5];
    sb_ranks(ranks, x, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(ranks[i] == expected[i]);
}

static void what_does_not_vary_has_no_correlation(void **state)
{
    (void)state;
    const double same[] = {0.1, 0.1, 0.1, 0.1}, x[] = {1, 2, 3, 4}, odd[] = {1, NAN, 3, INFINITY};
    assert_true(isnan(sb_pearson(same, x, 4)));
    assert_true(isnan(sb_spearman(x, same, 4)));
    assert_true(isnan(sb_spearman(x, odd, 4)));
    assert_true(isnan(sb_pearson(x, odd, 4)));
    assert_true(isnan(sb_pearson(x, x, 1)));
    assert_true(isnan(sb_spearman(x, x, 0)));
}

/* Fisher, 1921: r = 0.5 of 28 examples is [0.156, 0.736]. */
static void intervals_are_fishers(void **state)
{
    (void)state;
    struct sb_interval r = sb_interval_pearson(0.5, 28), rho = sb_interval_spearman(0.5, 28);
    assert_true(fabs(r.low - 0.1561) < 1e-4 && fabs(r.high - 0.7359) < 1e-4);
    assert_true(rho.low < r.low && rho.high > r.high);
    assert_null(sb_interval_pearson(1, 28).method);
    assert_null(sb_interval_spearman(NAN, 28).method);
    assert_null(sb_interval_spearman(0.5, 9).method);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations_equal_scipy),
        cmocka_unit_test(equal_values_share_the_mean_rank),
        cmocka_unit_test(what_does_not_vary_has_no_correlation),
        cmocka_unit_test(intervals_are_fishers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
