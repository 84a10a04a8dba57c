/* Samples that training, validation and test share are found and called by name. */
#include "letters.h"
#include "support.h"

#include "overlap.h"

#include <string.h>

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    tokenizer = letters_open(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

static struct sb_dataset *open_lines(const char *text)
{
    struct letters_source source = letters_source(SB_DATA_LABELLED, "data.tsv", text);
    return letters_dataset(tokenizer, &source);
}

static int compare(struct sb_overlap overlaps[SB_OVERLAPS], const char *train,
                   const char *validation, const char *test)
{
    struct sb_task task = {.train = open_lines(train)};
    struct sb_err err = SB_ERR_INIT;
    if (validation)
        task.evals[task.eval_count++] =
            (struct sb_eval_set){.name = "validation", .data = open_lines(validation)};
    if (test)
        task.evals[task.eval_count++] =
            (struct sb_eval_set){.name = "test", .data = open_lines(test)};
    int count = sb_task_overlaps(overlaps, &task, &err);
    sb_dataset_free(&task.train);
    for (size_t i = 0; i < task.eval_count; i++)
        sb_dataset_free(&task.evals[i].data);
    return count;
}

static void samples_that_two_sets_share_are_counted(void **state)
{
    (void)state;
    struct sb_overlap found[SB_OVERLAPS];
    char sentence[320];
    /* Another label and capitals make no other text; "c" twice in the test set are two samples. */
    int count = compare(found, "x\ta b\ny\tb\ny\tc\n", "x\tA B\ny\ta a\n", "x\tc\ny\tc\ny\td\n");
    assert_int_equal(count, 2);
    assert_string_equal(found[0].of, "validation_file");
    assert_true(found[0].shared == 1 && found[0].count == 2 && !found[0].same);
    assert_string_equal(found[1].of, "test_file");
    assert_string_equal(found[1].with, "train_file");
    assert_true(found[1].shared == 2 && found[1].count == 3);
    sb_overlap_say(sentence, sizeof(sentence), &found[1]);
    assert_non_null(strstr(sentence, "2 of the 3 samples of test_file are also in train_file"));
}

static void choosing_on_the_test_set_is_called_by_name(void **state)
{
    (void)state;
    struct sb_overlap found[SB_OVERLAPS];
    char sentence[320];
    assert_int_equal(compare(found, "x\ta\ny\tb\n", "x\tc\ny\td\n", "y\td\nx\tc\n"), 1);
    assert_true(found[0].same);
    sb_overlap_say(sentence, sizeof(sentence), &found[0]);
    assert_non_null(strstr(sentence, "chosen on the test set"));
    assert_int_equal(compare(found, "x\ta\ny\tb\n", "x\ta\ny\tb\n", NULL), 1);
    sb_overlap_say(sentence, sizeof(sentence), &found[0]);
    assert_non_null(strstr(sentence, "learnt by heart"));
}

static void separate_sets_say_nothing(void **state)
{
    (void)state;
    struct sb_overlap found[SB_OVERLAPS];
    assert_int_equal(compare(found, "x\ta\ny\tb\n", "x\tc\ny\ta b\n", "x\td\ny\tb a\n"), 0);
    assert_int_equal(compare(found, "x\ta\ny\tb\n", NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_that_two_sets_share_are_counted),
        cmocka_unit_test(choosing_on_the_test_set_is_called_by_name),
        cmocka_unit_test(separate_sets_say_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
