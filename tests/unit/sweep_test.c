/* What a sweep shows: the picture, the JSON, and the score that it reads from a run. */
#include "support.h"
#include "sweep.h"

#include <stdlib.h>
#include <string.h>

static struct sb_sweep_row rows[] = {
    {"0", "nothing", 4386178, 4.1e6, {"eval_f1_macro", 0.65, {0.54, 0.75, "bootstrap"}, 80, 2.5}},
    {"1", "1", 215042, 1.7e6, {"eval_f1_macro", 0.67, {0.57, 0.77, "bootstrap"}, 80, 1.4}},
    {"body", "body", 258, 2064, {"eval_f1_macro", 0.55, {0.44, 0.66, "bootstrap"}, 80, 0.9}},
};
static const struct sb_sweep sweep = {
    "a <job> & \"more\".yaml", "classify", rows, 3, 4386178, 0, NULL};

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        count++;
    return count;
}

/* Every element is closed in its order: the only thing that well-formed needs of our subset. */
static void check_tags(const char *svg)
{
    char open[16][16];
    size_t depth = 0;
    for (const char *p = svg; (p = strchr(p, '<')); p++) {
        const char *end = strchr(p, '>');
        assert_non_null(end);
        assert_null(memchr(p + 1, '<', (size_t)(end - p - 1)));
        char name[16];
        size_t from = p[1] == '/' ? 2 : 1, length = strcspn(p + from, " />");
        assert_true(length > 0 && length < sizeof(name));
        snprintf(name, sizeof(name), "%.*s", (int)length, p + from);
        if (from == 2) {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else if (end[-1] != '/') {
            assert_true(depth < 16);
            snprintf(open[depth++], sizeof(open[0]), "%s", name);
        }
    }
    assert_int_equal(depth, 0);
}

static void the_picture_has_a_mark_and_a_bar_for_each_run(void **state)
{
    (void)state;
    struct sb_bytes svg = SB_BYTES_INIT;
    sb_sweep_svg(&svg, &sweep);
    check_tags(svg.data);
    assert_int_equal(count_of(svg.data, "class=\"mark\""), 3);
    assert_int_equal(count_of(svg.data, "class=\"bar\""), 3);
    assert_non_null(strstr(svg.data, ">body</text>"));
    assert_null(strstr(svg.data, "nan"));
    assert_null(strstr(svg.data, "href"));
    sb_bytes_release(&svg);
}

static void a_single_run_without_an_interval_can_be_drawn(void **state)
{
    (void)state;
    struct sb_sweep_row row = {"0", "nothing", 1, 1, {"eval_<loss>", 0.7, {0, 0, NULL}, 80, 1}};
    struct sb_sweep one = {"job.yaml", "mlm", &row, 1, 1, 0, NULL};
    struct sb_bytes svg = SB_BYTES_INIT;
    sb_sweep_svg(&svg, &one);
    check_tags(svg.data);
    assert_int_equal(count_of(svg.data, "class=\"bar\""), 0);
    assert_non_null(strstr(svg.data, "eval_&lt;loss&gt;"));
    sb_bytes_release(&svg);
}

static void the_json_names_what_it_holds(void **state)
{
    (void)state;
    json_t *json = sb_sweep_json(&sweep);
    const json_t *row = json_array_get(json_object_get(json, "rows"), 2);
    assert_string_equal(json_string_value(json_object_get(json, "split")), "validation");
    assert_string_equal(json_string_value(json_object_get(row, "frozen")), "body");
    assert_true(json_number_value(json_object_get(json_object_get(row, "interval"), "low")) ==
                0.44);
    assert_int_equal(json_integer_value(json_object_get(row, "examples")), 80);
    json_decref(json);
}

static void a_score_is_read_with_its_interval(void **state)
{
    (void)state;
    const char *folder = sb_test_dir();
    struct sb_err err = SB_ERR_INIT;
    struct sb_scored scored;
    sb_test_write(folder, "eval_results.json",
                  "{\"eval_loss\": 0.5, \"eval_accuracy\": 0.8, \"eval_f1_macro\": 0.8,"
                  " \"eval_samples\": 20, \"eval_confusion_matrix\": [[8, 2], [2, 8]]}");
    sb_test_write(folder, "train_results.json", "{\"train_runtime\": 3.5}");
    assert_int_equal(sb_scored_read(&scored, folder, "classify", "accuracy", 1, &err), 0);
    assert_string_equal(scored.metric, "eval_accuracy");
    assert_string_equal(scored.interval.method, "Wilson");
    assert_true(scored.samples == 20 && scored.seconds == 3.5);
    assert_int_equal(sb_scored_read(&scored, folder, "classify", NULL, 1, &err), 0);
    assert_string_equal(scored.metric, "eval_f1_macro");
    assert_string_equal(scored.interval.method, "bootstrap");
    assert_int_equal(sb_scored_read(&scored, folder, "classify", "eval_f2", 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_USAGE, "eval_accuracy");
}

static void a_broken_matrix_gives_no_interval_and_broken_results_are_refused(void **state)
{
    (void)state;
    const char *folder = sb_test_dir();
    struct sb_err err = SB_ERR_INIT;
    struct sb_scored scored;
    sb_test_write(folder, "eval_results.json",
                  "{\"eval_accuracy\": 0.8, \"eval_confusion_matrix\": [[8], [2, \"x\"]]}");
    assert_int_equal(sb_scored_read(&scored, folder, "classify", "accuracy", 1, &err), 0);
    assert_null(scored.interval.method);
    sb_test_write(folder, "eval_results.json", "[1");
    assert_int_equal(sb_scored_read(&scored, folder, "classify", "accuracy", 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "eval_results.json");
}

static void the_best_on_validation_is_chosen_and_its_test_score_alone_is_shown(void **state)
{
    (void)state;
    struct sb_sweep tested = sweep;
    const char *folder = sb_test_dir();
    struct sb_bytes table = SB_BYTES_INIT;
    tested.chosen = sb_sweep_choose(&tested);
    assert_int_equal(tested.chosen, 1);
    sb_test_write(
        folder, "test_results.json",
        "{\"test_f1_macro\": 0.61, \"test_f1_macro_ci\": [0.5, 0.7], \"test_samples\": 90}");
    tested.test_text = sb_scored_test_text(folder, "eval_f1_macro");
    sb_sweep_table(&table, &tested);
    assert_non_null(strstr(table.data, "frozen 1; test split, of this run alone: test_f1_macro "
                                       "0.6100 [0.500, 0.700] of 90"));
    free(tested.test_text);
    sb_bytes_release(&table);
    assert_null(sb_scored_test_text(folder, "eval_f9"));
    struct sb_sweep_row losses[] = {rows[0], rows[1]};
    for (size_t i = 0; i < 2; i++)
        snprintf(losses[i].scored.metric, sizeof(losses[i].scored.metric), "eval_loss");
    struct sb_sweep by_loss = {"job.yaml", "mlm", losses, 2, 1, 0, NULL};
    assert_int_equal(sb_sweep_choose(&by_loss), 0);
}

static void counts_are_said_short(void **state)
{
    (void)state;
    char text[24];
    assert_string_equal(sb_count_text(text, 812), "812");
    assert_string_equal(sb_count_text(text, 4386178), "4.4 M");
    assert_string_equal(sb_count_text(text, 215042), "215 k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_picture_has_a_mark_and_a_bar_for_each_run),
        cmocka_unit_test(a_single_run_without_an_interval_can_be_drawn),
        cmocka_unit_test(the_json_names_what_it_holds),
        cmocka_unit_test(a_score_is_read_with_its_interval),
        cmocka_unit_test(a_broken_matrix_gives_no_interval_and_broken_results_are_refused),
        cmocka_unit_test(the_best_on_validation_is_chosen_and_its_test_score_alone_is_shown),
        cmocka_unit_test(counts_are_said_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
