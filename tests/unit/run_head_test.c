/* The coordinator's head: what it is fitted on, what it says, and how it travels. */
#include "history.h"
#include "run_head.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C = 3, K = 3, ROWS = 4, SLOTS = 3, WIDTH = SB_SUM_COUNT + ROWS * (1 + C) };

static char *labels[K] = {"cat", "dog", "eel"};

static Sb__EvalSet set_of(const char *name)
{
    Sb__EvalSet set = SB__EVAL_SET__INIT;
    set.name = (char *)(uintptr_t)name;
    set.slot_count = SLOTS;
    set.label_count = K;
    set.vector_size = C;
    set.slot_rows = ROWS;
    return set;
}

/* Ten texts, class i % 3 along axis i % 3; the last two rows are not there. */
static void fill(double sums[SLOTS][WIDTH], double shift)
{
    memset(sums, 0, SLOTS * sizeof(*sums));
    for (size_t i = 0; i < SLOTS * ROWS; i++) {
        double *row = sums[i / ROWS] + SB_SUM_COUNT + i % ROWS * (1 + C);
        row[0] = i < 10 ? (double)(i % K) : -1;
        for (size_t c = 0; i < 10 && c < C; c++)
            row[1 + c] = (c == i % K) * 2.0 + shift * (double)((i * 7 + c * 3) % 5) / 8;
        sums[i / ROWS][SB_SUM_SAMPLES] += i < 10;
    }
}

static void take_all(struct sb_evaluation *evaluation, const double sums[SLOTS][WIDTH])
{
    for (size_t slot = SLOTS; slot-- > 0;)
        assert_int_equal(sb_evaluation_take(evaluation, slot, sums[slot], WIDTH), 1);
    assert_int_equal(evaluation->missing, 0);
}

static void fit(struct sb_run_head *head, const char *assignment)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_job job;
    struct sb_evaluation evaluation;
    const Sb__EvalSet set = set_of(SB_HEAD_SET);
    double sums[SLOTS][WIDTH];
    sb_job_init(&job);
    assert_int_equal(sb_job_set(&job, "head_learning_rate=0.05", &err), 0);
    assert_int_equal(sb_job_set(&job, assignment, &err), 0);
    fill(sums, 1);
    sb_evaluation_begin(&evaluation, &set, 0);
    take_all(&evaluation, sums);
    sb_run_head_init(head);
    assert_true(head->step == SB_HISTORY_NEVER);
    assert_int_equal(sb_run_head_fit(head, &evaluation, labels, &job, 7, &err), 0);
    assert_int_equal(head->step, 7);
    assert_int_equal(head->texts, 10);
    sb_evaluation_end(&evaluation);
    sb_job_release(&job);
}

/* Whatever the head: rows that are not there are not fitted, and the planted classes are found. */
static void every_head_finds_planted_classes(void **state)
{
    (void)state;
    static const char *const heads[] = {"head=logistic", "head=centroid", "head=differentiable"};
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        struct sb_run_head head;
        fit(&head, heads[i]);
        assert_true(head.score.targets == 10 && head.score.correct == 10);
        sb_run_head_release(&head);
    }
}

/* The validation set in the head's hands: the same as asking the head for each vector. */
static void vectors_become_counts_as_they_come(void **state)
{
    (void)state;
    struct sb_run_head head;
    struct sb_evaluation evaluation;
    const Sb__EvalSet set = set_of("validation");
    double sums[SLOTS][WIDTH], loss = 0;
    fit(&head, "head=logistic");
    fill(sums, 5);
    sb_evaluation_begin_scored(&evaluation, &set, 0, &head.head);
    take_all(&evaluation, (const double(*)[WIDTH])sums);
    size_t right = 0;
    for (size_t i = 0; i < 10; i++) {
        const double *row = sums[i / ROWS] + SB_SUM_COUNT + i % ROWS * (1 + C);
        float x[C] = {(float)row[1], (float)row[2], (float)row[3]};
        double p[K];
        sb_embed_head_probabilities(p, &head.head, x, 1);
        size_t best = p[1] > p[0] ? 1 : 0, gold = (size_t)row[0];
        best = p[2] > p[best] ? 2 : best;
        right += best == gold;
        loss -= log(p[gold]);
    }
    json_t *results = sb_evaluation_results(&evaluation, labels);
    assert_int_equal(json_integer_value(json_object_get(results, "eval_targets")), 10);
    double accuracy = json_number_value(json_object_get(results, "eval_accuracy"));
    assert_true(fabs(accuracy - (double)right / 10) < 1e-12);
    assert_true(fabs(json_number_value(json_object_get(results, "eval_loss")) - loss / 10) < 1e-12);
    json_decref(results);
    sb_evaluation_end(&evaluation);
    sb_run_head_release(&head);
}

/* A label that is none of ours, and half a label, come from a peer that we do not believe. */
static void labels_of_strangers_are_refused(void **state)
{
    (void)state;
    struct sb_evaluation evaluation;
    const Sb__EvalSet set = set_of(SB_HEAD_SET);
    double sums[SLOTS][WIDTH];
    const double wrong[] = {K, -2, 0.5, NAN, INFINITY, 1e300};
    sb_evaluation_begin(&evaluation, &set, 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        fill(sums, 1);
        sums[1][SB_SUM_COUNT + 2 * (1 + C)] = wrong[i];
        assert_int_equal(sb_evaluation_take(&evaluation, 1, sums[1], WIDTH), -1);
    }
    fill(sums, 1);
    assert_int_equal(sb_evaluation_take(&evaluation, 1, sums[1], WIDTH - 1), -1);
    assert_int_equal(sb_evaluation_take(&evaluation, SLOTS, sums[1], WIDTH), -1);
    assert_int_equal(sb_evaluation_take(&evaluation, 1, sums[1], WIDTH), 1);
    assert_int_equal(sb_evaluation_take(&evaluation, 1, sums[1], WIDTH), 0);
    sb_evaluation_end(&evaluation);
}

static void vectors_that_are_not_finite_are_named(void **state)
{
    (void)state;
    struct sb_run_head head;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    struct sb_evaluation evaluation;
    const Sb__EvalSet set = set_of(SB_HEAD_SET);
    double sums[SLOTS][WIDTH];
    sb_job_init(&job);
    fill(sums, 1);
    sums[0][SB_SUM_COUNT + 1] = NAN;
    sb_evaluation_begin(&evaluation, &set, 0);
    take_all(&evaluation, (const double(*)[WIDTH])sums);
    sb_run_head_init(&head);
    assert_int_equal(sb_run_head_fit(&head, &evaluation, labels, &job, 9, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "after step 9");
    assert_true(head.step == SB_HISTORY_NEVER);
    sb_evaluation_end(&evaluation);
    sb_run_head_release(&head);
    sb_job_release(&job);
}

/* As FINISH carries it: through text and back, to the last bit; damage is noticed. */
static void a_head_travels_as_text_to_the_last_bit(void **state)
{
    (void)state;
    struct sb_run_head head;
    struct sb_embed_head copy;
    struct sb_err err = SB_ERR_INIT;
    fit(&head, "head=logistic");
    json_t *packed = sb_embed_head_pack(&head.head);
    char *text = json_dumps(packed, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);
    assert_int_equal(sb_embed_head_unpack(&copy, read, "a head", &err), 0);
    assert_int_equal(copy.row_count, K);
    assert_memory_equal(copy.coef, head.head.coef, K * C * sizeof(double));
    assert_memory_equal(copy.intercept, head.head.intercept, K * sizeof(double));
    sb_embed_head_release(&copy);
    json_array_set_new(json_object_get(read, "coef"), 0, json_real(0.5));
    assert_int_equal(sb_embed_head_unpack(&copy, read, "a head", &err), -1);
    json_array_remove(json_object_get(read, "coef"), 0);
    assert_int_equal(sb_embed_head_unpack(&copy, read, "a head", &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'coef' must be a list of as many numbers");
    json_decref(read);
    free(text);
    json_decref(packed);
    sb_run_head_release(&head);
}

/* Label k holds where axis k is long; gold as a 0 or 1 for each, absent rows as -1. */
static void several_labels_are_fitted_and_scored_each(void **state)
{
    (void)state;
    enum { G = K, SET_WIDTH = SB_SUM_COUNT + ROWS * (G + C) };
    double sums[SLOTS][SET_WIDTH] = {{0}};
    struct sb_run_head head;
    struct sb_evaluation evaluation;
    struct sb_err err = SB_ERR_INIT;
    struct sb_job job;
    Sb__EvalSet set = set_of(SB_HEAD_SET);
    set.problem = 1;
    for (size_t i = 0; i < SLOTS * ROWS; i++) {
        double *row = sums[i / ROWS] + SB_SUM_COUNT + i % ROWS * (G + C);
        for (size_t k = 0; k < K; k++) {
            row[k] = i < 10 ? (double)(i >> k & 1) : -1;
            row[G + k] = i < 10 ? 9 * row[k] + (double)((i * 5 + k) % 3) / 8 : 0;
        }
        sums[i / ROWS][SB_SUM_SAMPLES] += i < 10;
    }
    sb_job_init(&job);
    assert_int_equal(sb_evaluation_width(&set), SET_WIDTH);
    sb_evaluation_begin(&evaluation, &set, 0);
    for (size_t slot = 0; slot < SLOTS; slot++)
        assert_int_equal(sb_evaluation_take(&evaluation, slot, sums[slot], SET_WIDTH), 1);
    sb_run_head_init(&head);
    assert_int_equal(sb_run_head_fit(&head, &evaluation, labels, &job, 3, &err), 0);
    sb_evaluation_end(&evaluation);
    assert_int_equal(head.head.kind, SB_EMBED_HEAD_ONE_VS_REST);
    assert_int_equal(head.texts, 10);
    assert_true(head.score.targets == 10 * K && head.score.correct == 10);

    set.name = (char *)(uintptr_t) "validation";
    sb_evaluation_begin_scored(&evaluation, &set, 0, &head.head);
    sums[2][SB_SUM_COUNT] = 2; /* neither 0, 1 nor -1 */
    assert_int_equal(sb_evaluation_take(&evaluation, 2, sums[2], SET_WIDTH), -1);
    sums[2][SB_SUM_COUNT] = 1; /* text 8, which has label 2 alone */
    sums[2][SB_SUM_COUNT + 1] = -1;
    assert_int_equal(sb_evaluation_take(&evaluation, 2, sums[2], SET_WIDTH), -1);
    sums[2][SB_SUM_COUNT + 1] = 0;
    for (size_t slot = 0; slot < SLOTS; slot++)
        assert_int_equal(sb_evaluation_take(&evaluation, slot, sums[slot], SET_WIDTH), 1);
    json_t *results = sb_evaluation_results(&evaluation, labels);
    assert_true(fabs(json_real_value(json_object_get(results, "eval_accuracy")) - 0.9) < 1e-12);
    assert_true(fabs(json_real_value(json_object_get(results, "eval_hamming_loss")) - 1.0 / 30) <
                1e-12);
    json_decref(results);
    sb_evaluation_end(&evaluation);
    sb_run_head_release(&head);
    sb_job_release(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_finds_planted_classes),
        cmocka_unit_test(vectors_become_counts_as_they_come),
        cmocka_unit_test(several_labels_are_fitted_and_scored_each),
        cmocka_unit_test(labels_of_strangers_are_refused),
        cmocka_unit_test(vectors_that_are_not_finite_are_named),
        cmocka_unit_test(a_head_travels_as_text_to_the_last_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
