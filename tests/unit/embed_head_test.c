#include "support.h"

#include "embed_head.h"
#include "rng.h"
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Planted embeddings: class k lies around the axis k, with noise; class 1 of the labels has none.
 */
enum { N = 60, C = 8, LABELS = 4, SEEN = 3 };

static float x[N * C];
static int32_t gold[N], two[N];
static uint8_t several[N * LABELS];
static char *labels[LABELS] = {"animal", "never", "pl\303\244ne", "\"quoted\"\n"};

static int set_up(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(11, SB_RNG_SAMPLE, 0);
    for (uint64_t i = 0; i < N; i++) {
        gold[i] = (int32_t[]){0, 2, 3}[i % SEEN];
        two[i] = (int32_t)(i % 2);
        for (uint32_t c = 0; c < C; c++) {
            uint32_t words[4];
            sb_rng_draw(&rng, i, 0, c, words);
            x[i * C + c] = (float)(sb_rng_unit(words[0]) - 0.5);
        }
        x[i * C + (uint32_t)gold[i]] += 1.5f;
        x[i * C + 5] += two[i] ? 1.5f : -1.5f;
        for (int32_t l = 0; l < LABELS; l++)
            several[i * LABELS + (uint32_t)l] = gold[i] == l || (l == 2 && two[i]);
    }
    return 0;
}

static const struct sb_embed_head_options defaults = {.kind = SB_EMBED_HEAD_LOGISTIC,
                                                      .logreg = SB_LOGREG_DEFAULTS};

static struct sb_embed_head fit(struct sb_embed_head_options options, const int32_t *classes,
                                size_t label_count)
{
    struct sb_embed_head head;
    struct sb_err err = SB_ERR_INIT;
    struct sb_logreg_report report;
    if (sb_embed_head_fit(&head, &report, x, classes, N, C, labels, label_count, &options, &err) <
        0)
        fail_msg("%s", err.text);
    assert_true(report.converged);
    return head;
}

static struct sb_embed_head fit_several(void)
{
    struct sb_embed_head_options options = defaults;
    struct sb_embed_head head;
    struct sb_err err = SB_ERR_INIT;
    options.kind = SB_EMBED_HEAD_ONE_VS_REST;
    if (sb_embed_head_fit_labels(&head, NULL, x, several, N, C, labels, LABELS, &options, &err) < 0)
        fail_msg("%s", err.text);
    return head;
}

/* Probabilities that are some, with the gold label first among them. */
static void check_answers(const struct sb_embed_head *head, const int32_t *classes)
{
    double p[N * LABELS];
    size_t K = head->label_count;
    sb_embed_head_probabilities(p, head, x, N);
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (size_t l = 0; l < K; l++) {
            sum += p[i * K + l];
            assert_true(p[i * K + l] <= p[i * K + (size_t)classes[i]]);
        }
        assert_true(fabs(sum - 1) < 1e-12);
        if (K == LABELS)
            assert_true(p[i * K + 1] == 0); /* nobody has it */
    }
}

static void planted_classes_are_found(void **state)
{
    (void)state;
    struct sb_embed_head_options options = defaults;
    for (int round = 0; round < 4; round++) {
        options.kind = round < 2 ? SB_EMBED_HEAD_LOGISTIC : SB_EMBED_HEAD_CENTROID;
        options.normalize = round % 2;
        struct sb_embed_head head = fit(options, gold, LABELS);
        assert_int_equal(head.class_count, SEEN);
        assert_int_equal(head.row_count, SEEN);
        assert_true(head.classes[0] == 0 && head.classes[1] == 2 && head.classes[2] == 3);
        assert_int_equal(head.normalize, options.normalize || round >= 2);
        check_answers(&head, gold);
        sb_embed_head_release(&head);

        head = fit(options, two, 2);
        assert_int_equal(head.row_count, round < 2 ? 1 : 2);
        check_answers(&head, two);
        sb_embed_head_release(&head);
    }
}

static void each_label_has_its_own_probability(void **state)
{
    (void)state;
    struct sb_embed_head head = fit_several();
    double p[N * LABELS];
    sb_embed_head_probabilities(p, &head, x, N);
    for (size_t i = 0; i < N * LABELS; i++)
        assert_int_equal(p[i] > 0.5, several[i]);
    for (size_t i = 0; i < N; i++)
        assert_true(p[i * LABELS + 1] < 1e-12);
    sb_embed_head_release(&head);
}

/* (3, 4) of one class, (0, 2) and (0, 7) of the other: their directions, times 20. */
static void centroids_are_mean_directions(void **state)
{
    (void)state;
    const int32_t classes[3] = {0, 1, 1};
    const float rows[6] = {3, 4, 0, 2, 0, 7};
    struct sb_embed_head head;
    struct sb_embed_head_options options = {.kind = SB_EMBED_HEAD_CENTROID};
    assert_int_equal(sb_embed_head_fit(&head, NULL, rows, classes, 3, 2, labels, 2, &options, NULL),
                     0);
    const double expected[4] = {20 * 0.6, 20 * 0.8, 0, 20};
    double p[2];
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(head.coef[i] - expected[i]) < 1e-6);
    sb_embed_head_probabilities(p, &head, (const float[2]){0, 0.1f}, 1);
    assert_true(fabs(p[1] - 1 / (1 + exp(16.0 - 20.0))) < 1e-6);
    sb_embed_head_probabilities(p, &head, (const float[2]){0, 0}, 1);
    assert_true(p[0] == 0.5 && p[1] == 0.5); /* no direction, no opinion */
    sb_embed_head_release(&head);
}

static void class_weights_follow_their_labels(void **state)
{
    (void)state;
    struct sb_embed_head_options options = defaults;
    const double by_label[LABELS] = {1, 99, 5, 2}, compact[SEEN] = {1, 5, 2};
    int32_t classes[N];
    double coef[SEEN * C], intercept[SEEN];
    for (size_t i = 0; i < N; i++)
        classes[i] = (int32_t)(i % SEEN);
    options.logreg.class_weights = by_label;
    struct sb_embed_head head = fit(options, gold, LABELS);
    options.logreg.class_weights = compact;
    assert_int_equal(
        sb_logreg_fit(coef, intercept, NULL, x, classes, N, C, SEEN, &options.logreg, NULL), 0);
    assert_memory_equal(head.coef, coef, sizeof(coef));
    assert_memory_equal(head.intercept, intercept, sizeof(intercept));
    sb_embed_head_release(&head);
}

static void one_class_is_not_enough(void **state)
{
    (void)state;
    const int32_t same[N] = {0};
    struct sb_embed_head head;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_embed_head_fit(&head, NULL, x, same, N, C, labels, LABELS, &defaults, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "1 class: it needs two");
    struct sb_embed_head_options centroid = {.kind = SB_EMBED_HEAD_CENTROID};
    assert_int_equal(sb_embed_head_fit(&head, NULL, x, same, 0, C, labels, LABELS, &centroid, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "there is no sample");
    sb_embed_head_release(&head);
}

/* ---- files ---- */

static void a_head_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct sb_embed_head_options centroid = {.kind = SB_EMBED_HEAD_CENTROID}, scaled = defaults;
    scaled.normalize = true;
    struct sb_embed_head heads[] = {fit(defaults, gold, LABELS), fit(scaled, two, 2),
                                    fit(centroid, gold, LABELS), fit_several()};
    for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
        const char *dir = sb_test_dir(), *again = sb_test_dir();
        struct sb_embed_head read;
        struct sb_err err = SB_ERR_INIT;
        struct sb_bytes a = SB_BYTES_INIT, b = SB_BYTES_INIT;
        double p[N * LABELS], q[N * LABELS];
        if (sb_embed_head_write(&heads[h], dir, &err) < 0 ||
            sb_embed_head_read(&read, dir, &err) < 0 || sb_embed_head_write(&read, again, &err) < 0)
            fail_msg("%s", err.text);
        for (size_t l = 0; l < read.label_count; l++)
            assert_string_equal(read.labels[l], labels[l]);
        sb_embed_head_probabilities(p, &heads[h], x, N);
        sb_embed_head_probabilities(q, &read, x, N);
        assert_memory_equal(p, q, N * read.label_count * sizeof(*p));
        static const char *const names[] = {"head.json", "head.safetensors"};
        for (size_t f = 0; f < 2; f++) {
            assert_int_equal(sb_file_read(&a, sb_test_path(dir, names[f]), &err), 0);
            assert_int_equal(sb_file_read(&b, sb_test_path(again, names[f]), &err), 0);
            assert_int_equal(a.count, b.count);
            assert_memory_equal(a.data, b.data, a.count);
        }
        sb_bytes_release(&a);
        sb_bytes_release(&b);
        sb_embed_head_release(&read);
        sb_embed_head_release(&heads[h]);
    }
}

#define GOOD_LABELS "\"labels\": [\"a\", \"b\", \"c\"], "
#define GOOD_REST                                                                                  \
    "\"classes\": [\"a\", \"b\", \"c\"], \"embedding_size\": 8, \"normalize_embeddings\": false}"

static void what_does_not_fit_together_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"", "head.json': line 1"},
        {"[]", "is not a JSON object"},
        {"{\"kind\": \"pickle\"}", "'kind' must be"},
        {"{\"kind\": \"centroid\", \"kind\": \"centroid\"}", "duplicate"},
        {"{\"kind\": \"centroid\", \"labels\": []}", "'labels' must be a list of names"},
        {"{\"kind\": \"centroid\", \"labels\": [1]}", "'labels' must be a list of names"},
        {"{\"kind\": \"centroid\", \"labels\": [\"a\", \"a\"]}", "has 'a' twice"},
        {"{\"kind\": \"centroid\", \"labels\": [\"a\"]}", "'classes' must be a list of names"},
        {"{\"kind\": \"centroid\", \"labels\": [\"a\"], \"classes\": [\"b\"]}",
         "class 'b' is not among the labels"},
        {"{\"kind\": \"centroid\", \"labels\": [\"a\", \"b\"], \"classes\": [\"b\", \"a\"]}",
         "in the order of the labels"},
        {"{\"kind\": \"one_vs_rest\", \"labels\": [\"a\", \"b\"], \"classes\": [\"b\"]}",
         "all labels"},
        {"{\"kind\": \"logistic_regression\", \"labels\": [\"a\", \"b\"], \"classes\": [\"b\"]}",
         "two or more"},
        {"{\"kind\": \"centroid\", " GOOD_LABELS "\"classes\": [\"a\"], \"embedding_size\": 0}",
         "'embedding_size' must be"},
        {"{\"kind\": \"centroid\", " GOOD_LABELS "\"classes\": [\"a\"], \"embedding_size\": 8}",
         "'normalize_embeddings' must be"},
        {"{\"kind\": \"centroid\", \"C\": \"1\", " GOOD_LABELS GOOD_REST, "'C' must be a number"},
        {"{\"kind\": \"logistic_regression\", \"coef_hash\": \"0\", " GOOD_LABELS GOOD_REST,
         "is of another fit"},
        {"{\"kind\": \"logistic_regression\", " GOOD_LABELS
         "\"classes\": [\"a\", \"b\"], \"embedding_size\": 8, \"normalize_embeddings\": false}",
         "asks for (1 row of 8)"},
        {"{\"kind\": \"centroid\", " GOOD_LABELS
         "\"classes\": [\"a\", \"b\", \"c\"], \"embedding_size\": 9, \"normalize_embeddings\": "
         "true}",
         "asks for (3 rows of 9)"},
    };
    const char *dir = sb_test_dir();
    struct sb_embed_head head = fit(defaults, gold, LABELS), read;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_embed_head_write(&head, dir, &err), 0);
    sb_embed_head_release(&head);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sb_test_write(dir, "head.json", cases[i].json);
        err = (struct sb_err)SB_ERR_INIT;
        assert_int_equal(sb_embed_head_read(&read, dir, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        sb_embed_head_release(&read);
    }
    /* Made elsewhere, without the hash: fine. */
    sb_test_write(dir, "head.json", "{\"kind\": \"logistic_regression\", " GOOD_LABELS GOOD_REST);
    assert_int_equal(sb_embed_head_read(&read, dir, &err), 0);
    sb_embed_head_release(&read);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    struct sb_embed_head head = fit(defaults, gold, LABELS), read;
    struct sb_err err = SB_ERR_INIT;
    head.intercept[1] = NAN;
    assert_int_equal(sb_embed_head_write(&head, dir, &err), 0);
    assert_int_equal(sb_embed_head_read(&read, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'intercept' element 1 is not finite");
    unlink(sb_test_path(dir, "head.safetensors"));
    assert_int_equal(sb_embed_head_read(&read, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "head.safetensors");
    unlink(sb_test_path(dir, "head.json"));
    assert_int_equal(sb_embed_head_read(&read, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "head.json");
    head.intercept[1] = 0;
    free(head.labels[1]);
    head.labels[1] = strdup("\xff");
    assert_int_equal(sb_embed_head_write(&head, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "not valid UTF-8");
    assert_int_equal(sb_embed_head_write(&head, sb_test_path(dir, "missing"), &err), -1);
    sb_embed_head_release(&head);
}

static void other_types_of_numbers_are_refused(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    const size_t dims[2] = {3, 8};
    const float zeros[24] = {0};
    struct sb_st_writer writer = SB_ST_WRITER_INIT;
    struct sb_embed_head read;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_st_writer_begin(&writer, sb_test_path(dir, "head.safetensors"), &err), 0);
    sb_st_writer_describe(&writer, "coef", SB_F32, dims, 2);
    assert_int_equal(sb_st_writer_data(&writer, zeros, sizeof(zeros), &err), 0);
    assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
    sb_test_write(dir, "head.json", "{\"kind\": \"logistic_regression\", " GOOD_LABELS GOOD_REST);
    assert_int_equal(sb_embed_head_read(&read, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "there is no F64 tensor 'coef'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_classes_are_found),
        cmocka_unit_test(each_label_has_its_own_probability),
        cmocka_unit_test(centroids_are_mean_directions),
        cmocka_unit_test(class_weights_follow_their_labels),
        cmocka_unit_test(one_class_is_not_enough),
        cmocka_unit_test(a_head_is_read_as_it_was_written),
        cmocka_unit_test(what_does_not_fit_together_is_refused_in_words),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(other_types_of_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
