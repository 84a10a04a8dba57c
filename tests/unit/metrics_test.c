#include "metrics.h"
#include "support.h"

#include <math.h>

/* Made by tests/golden/metrics.py: accuracy, mcc, then precision, recall, f1 for macro, micro,
 * weighted. */
static const struct {
    size_t K;
    uint64_t confusion[16];
    double expected[11];
} CASES[] = {
    {2,
     {50, 3, 7, 40},
     {0.9, 0.800916562671066, 0.903712770297838, 0.897230028101164, 0.898989898989899, 0.9, 0.9,
      0.9, 0.902121583027336, 0.9, 0.89959595959596}},
    {3,
     {11, 2, 0, 4, 9, 5, 1, 0, 23},
     {0.781818181818182, 0.674017492377661, 0.775703463203463, 0.768162393162393, 0.754641909814324,
      0.781818181818182, 0.781818181818182, 0.781818181818182, 0.788710153482881, 0.781818181818182,
      0.768459127079817}},
    {4,
     {6, 0, 2, 0, 0, 0, 0, 0, 3, 0, 5, 1, 0, 0, 0, 0},
     {0.647058823529412, 0.344741489809483, 0.46031746031746, 0.435185185185185, 0.443627450980392,
      0.647058823529412, 0.647058823529412, 0.647058823529412, 0.69187675070028, 0.647058823529412,
      0.663062283737024}},
    {2,
     {0, 4, 0, 9},
     {0.692307692307692, 0, 0.346153846153846, 0.5, 0.409090909090909, 0.692307692307692,
      0.692307692307692, 0.692307692307692, 0.479289940828402, 0.692307692307692,
      0.566433566433566}},
    {1, {7}, {1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
};

static void scores_equal_scikit_learn(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct sb_metrics m;
        sb_metrics_from_confusion(&m, CASES[i].confusion, CASES[i].K);
        const double got[11] = {m.accuracy,        m.mcc,        m.macro.precision,
                                m.macro.recall,    m.macro.f1,   m.micro.precision,
                                m.micro.recall,    m.micro.f1,   m.weighted.precision,
                                m.weighted.recall, m.weighted.f1};
        for (size_t j = 0; j < 11; j++)
            if (!(fabs(got[j] - CASES[i].expected[j]) < 1e-12))
                fail_msg("case %zu, score %zu: %.15g, expected %.15g", i, j, got[j],
                         CASES[i].expected[j]);
    }
}

static void no_samples_score_zero(void **state)
{
    (void)state;
    struct sb_metrics m;
    const uint64_t confusion[4] = {0};
    sb_metrics_from_confusion(&m, confusion, 2);
    assert_true(m.accuracy == 0 && m.mcc == 0 && m.macro.f1 == 0 && m.weighted.f1 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_equal_scikit_learn),
        cmocka_unit_test(no_samples_score_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
