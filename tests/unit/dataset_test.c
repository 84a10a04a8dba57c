/* What is read out of a file: samples, labels and pairs, and batches of them. */
#include "letters.h"
#include "support.h"

#include "data_check.h"
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

enum { A = LETTERS_A, B, C, D, E };

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    tokenizer = letters_open(0);
    assert_int_equal(sb_wordpiece_count(tokenizer), LETTERS_COUNT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

static void lines_are_samples_and_empty_ones_are_not(void **state)
{
    (void)state;
    struct letters_source source =
        letters_source(SB_DATA_LINES, "text.txt", "a b\n\n   \nba ? c\na b c d e a b c\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    assert_int_equal(sb_dataset_count(dataset), 3);
    assert_int_equal(sb_dataset_token_count(dataset), 4 + 6 + 8);
    assert_int_equal(sb_dataset_truncated_count(dataset), 1);
    assert_int_equal(sb_dataset_label_count(dataset), 0);
    LETTERS_EXPECT(dataset, 0, -1, 0, 4, LETTERS_CLS, A, B, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, -1, 0, 6, LETTERS_CLS, B, LETTERS_AA, LETTERS_UNK, C, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 2, -1, 1, 8, LETTERS_CLS, A, B, C, D, E, A, LETTERS_SEP);
    sb_dataset_free(&dataset);
}

static void blocks_join_the_lines_of_a_document_and_keep_the_tail(void **state)
{
    (void)state;
    struct letters_source source = letters_source(
        SB_DATA_BLOCKS, "text.txt", "\na b c d\ne a b c d\n\n\nc\nd\n\na b c d e a\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    assert_int_equal(sb_dataset_count(dataset), 4);
    LETTERS_EXPECT(dataset, 0, -1, 0, 8, LETTERS_CLS, A, B, C, D, E, A, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, -1, 0, 5, LETTERS_CLS, B, C, D, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 2, -1, 0, 4, LETTERS_CLS, C, D, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 3, -1, 0, 8, LETTERS_CLS, A, B, C, D, E, A, LETTERS_SEP);
    assert_int_equal(sb_dataset_truncated_count(dataset), 0);
    sb_dataset_free(&dataset);
}

static void blocks_do_not_cross_files(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_BLOCKS, "one.txt", "a b");
    char *paths[2] = {source.path,
                      (char *)(uintptr_t)sb_test_write(source.dir, "two.txt", "c d\n")};
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.source.paths = paths;
    source.options.source.path_count = 2;
    if (sb_dataset_open(&dataset, tokenizer, &source.options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(sb_dataset_count(dataset), 2);
    LETTERS_EXPECT(dataset, 0, -1, 0, 4, LETTERS_CLS, A, B, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, -1, 0, 4, LETTERS_CLS, C, D, LETTERS_SEP);
    sb_dataset_free(&dataset);
}

static void found_labels_are_sorted(void **state)
{
    (void)state;
    struct letters_source source =
        letters_source(SB_DATA_LABELLED, "train.tsv", "pos\ta\nneg\tb\npos\tc\nmid\td\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    assert_int_equal(sb_dataset_label_count(dataset), 3);
    assert_string_equal(sb_dataset_label(dataset, 0), "mid");
    assert_string_equal(sb_dataset_label(dataset, 1), "neg");
    assert_string_equal(sb_dataset_label(dataset, 2), "pos");
    assert_null(sb_dataset_label(dataset, 3));
    LETTERS_EXPECT(dataset, 0, 2, 0, 3, LETTERS_CLS, A, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, 1, 0, 3, LETTERS_CLS, B, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 2, 2, 0, 3, LETTERS_CLS, C, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 3, 0, 0, 3, LETTERS_CLS, D, LETTERS_SEP);
    sb_dataset_free(&dataset);
}

static void found_numbers_are_sorted_as_numbers(void **state)
{
    (void)state;
    struct letters_source source =
        letters_source(SB_DATA_LABELLED, "train.tsv", "10\ta\n9\tb\n0\tc\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    assert_string_equal(sb_dataset_label(dataset, 0), "0");
    assert_string_equal(sb_dataset_label(dataset, 1), "9");
    assert_string_equal(sb_dataset_label(dataset, 2), "10");
    LETTERS_EXPECT(dataset, 0, 2, 0, 3, LETTERS_CLS, A, LETTERS_SEP);
    sb_dataset_free(&dataset);
}

static void given_labels_keep_their_order_and_ids_name_them(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"neg"}};
    struct letters_source source =
        letters_source(SB_DATA_LABELLED, "train.tsv", "neg\ta\npos\tb\n1\tc\n");
    source.options.labels = labels;
    source.options.label_count = 2;
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    LETTERS_EXPECT(dataset, 0, 1, 0, 3, LETTERS_CLS, A, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, 0, 0, 3, LETTERS_CLS, B, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 2, 1, 0, 3, LETTERS_CLS, C, LETTERS_SEP);
    assert_string_equal(sb_dataset_label(dataset, 0), "pos");
    sb_dataset_free(&dataset);
}

static void unknown_label_names_file_line_and_the_known_ones(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"neg"}};
    struct letters_source source =
        letters_source(SB_DATA_LABELLED, "train.tsv", "neg\ta\nmeh\tb\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.labels = labels;
    source.options.label_count = 2;
    assert_int_equal(letters_try(&dataset, tokenizer, &source, &err), -1);
    assert_null(dataset);
    sb_test_err_is(&err, SB_ERR_DATA,
                   "train.tsv:2: label 'meh' is not one of the labels: pos, neg");
}

static void repeated_label_is_refused(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"pos"}};
    struct letters_source source = letters_source(SB_DATA_LABELLED, "train.tsv", "pos\ta\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.labels = labels;
    source.options.label_count = 2;
    assert_int_equal(letters_try(&dataset, tokenizer, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "'pos' is there twice");
}

static void pairs_have_types_and_are_cut_longest_first(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LABELLED, "train.tsv",
                                                  "x\ta b\tc\nx\ta b c d e\td\nx\ta\ta b c d e\n"
                                                  "x\ta b c d\ta b c e\n");
    source.options.source.text_column = "1";
    source.options.source.text_pair_column = "2";
    source.options.source.label_column = "0";
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    LETTERS_EXPECT(dataset, 0, 0, 0, 4, LETTERS_CLS, A, B, LETTERS_SEP, C, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 1, 0, 1, 6, LETTERS_CLS, A, B, C, D, LETTERS_SEP, D, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 2, 0, 1, 3, LETTERS_CLS, A, LETTERS_SEP, A, B, C, D, LETTERS_SEP);
    LETTERS_EXPECT(dataset, 3, 0, 1, 4, LETTERS_CLS, A, B, LETTERS_SEP, A, B, C, LETTERS_SEP);
    assert_int_equal(sb_dataset_truncated_count(dataset), 3);
    sb_dataset_free(&dataset);
}

/* One token at a time from the longer text: what "longest first" means. */
static void pair_cut_equals_dropping_from_the_longer(void **state)
{
    (void)state;
    for (size_t budget = 0; budget <= 9; budget++)
        for (size_t first = 0; first <= 12; first++)
            for (size_t second = 0; second <= 12; second++) {
                size_t a = first, b = second, x = first, y = second;
                while (a + b > budget) {
                    /* Equal lengths: the text that was the longer one keeps the odd token. */
                    if (a > b || (a == b && first <= second))
                        a--;
                    else
                        b--;
                }
                sb_cut_pair(&x, &y, budget);
                if (x != a || y != b)
                    fail_msg("%zu + %zu in %zu: %zu + %zu, expected %zu + %zu", first, second,
                             budget, x, y, a, b);
            }
}

static void empty_data_is_an_error(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "\n \n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(letters_try(&dataset, tokenizer, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "nothing in the data");
}

static void missing_file_is_an_error(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.path = (char *)(uintptr_t)sb_test_path(source.dir, "absent.txt");
    assert_int_equal(letters_try(&dataset, tokenizer, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "absent.txt");
}

static void collate_lays_samples_side_by_side(void **state)
{
    (void)state;
    struct letters_source source =
        letters_source(SB_DATA_LABELLED, "train.tsv", "x\ta b\ny\tc\nx\td e a\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    struct sb_stats stats = {0};
    struct sb_err err = SB_ERR_INIT;
    const uint64_t samples[2] = {2, 1};
    const int32_t ids[8] = {LETTERS_CLS, D, E, A, LETTERS_SEP, LETTERS_CLS, C, LETTERS_SEP};
    assert_int_equal(
        sb_collate(&batch, dataset, tokenizer, samples, 2, NULL, NULL, &arena, &stats, &err), 0);
    assert_int_equal(batch.B, 2);
    assert_int_equal(batch.N, 8);
    assert_int_equal(batch.starts[0], 0);
    assert_int_equal(batch.starts[1], 5);
    assert_int_equal(batch.starts[2], 8);
    assert_memory_equal(batch.ids, ids, sizeof(ids));
    assert_int_equal(batch.samples[0], 2);
    assert_int_equal(batch.labels[0], 0);
    assert_int_equal(batch.labels[1], 1);
    assert_int_equal(batch.target_count, 0);
    assert_true(stats.samples == 2 && stats.tokens == 8 && stats.truncated == 0);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void masks_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    char *text = letters_lines(2000);
    struct letters_source source = letters_source(SB_DATA_BLOCKS, "text.txt", text);
    source.options.max_seq_length = 40;
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    struct sb_arena arena = SB_ARENA_INIT;
    const struct sb_mask_options masks = {.probability = 0.15};
    struct sb_rng key = sb_rng_key(1, SB_RNG_EVAL_MASK, 0);
    const uint64_t together[4] = {7, 3, 11, 0};
    struct sb_batch all, one;
    assert_int_equal(
        sb_collate(&all, dataset, tokenizer, together, 4, &masks, &key, &arena, NULL, NULL), 0);
    assert_null(all.labels);
    size_t target = 0;
    for (size_t b = 0; b < 4; b++) {
        assert_int_equal(
            sb_collate(&one, dataset, tokenizer, &together[b], 1, &masks, &key, &arena, NULL, NULL),
            0);
        assert_memory_equal(one.ids, all.ids + all.starts[b], one.N * sizeof(*one.ids));
        assert_int_equal(one.target_count, 6); /* round(0.15 * 38) */
        for (size_t i = 0; i < one.target_count; i++, target++) {
            assert_int_equal(all.target_rows[target], all.starts[b] + one.target_rows[i]);
            assert_int_equal(all.target_ids[target], one.target_ids[i]);
        }
    }
    assert_int_equal(all.target_count, target);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
    free(text);
}

static void check_counts_labels_and_lengths(void **state)
{
    (void)state;
    struct sb_bytes text = SB_BYTES_INIT, out = SB_BYTES_INIT;
    for (int i = 1; i <= 100; i++) { /* 60 samples of 3 tokens, 35 of 4, 4 of 5, one cut to 8 */
        const char *words = i <= 60 ? "a" : i <= 95 ? "a b" : i < 100 ? "a b c" : "a b c d e a b";
        sb_bytes_printf(&text, "%s\t%s\n", i % 4 ? "pos" : "neg", words);
    }
    struct letters_source source = letters_source(SB_DATA_LABELLED, "train.tsv", text.data);
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    struct sb_data_summary summary;
    assert_int_equal(sb_data_summarise(&summary, dataset, NULL), 0);
    assert_int_equal(summary.samples, 100);
    assert_int_equal(summary.tokens, 60 * 3 + 35 * 4 + 4 * 5 + 8);
    assert_int_equal(summary.truncated, 1);
    assert_int_equal(summary.length_p50, 3);
    assert_int_equal(summary.length_p95, 4);
    assert_int_equal(summary.length_max, 8);
    assert_int_equal(summary.per_label[0], 25);
    assert_int_equal(summary.per_label[1], 75);
    assert_int_equal(summary.unlabelled, 0);
    sb_data_summary_release(&summary);
    sb_dataset_free(&dataset);

    assert_int_equal(sb_data_check(&out, tokenizer, &source.options, NULL), 0);
    assert_non_null(strstr(out.data, "p50 3, p95 4, max 8"));
    assert_non_null(strstr(out.data, "neg"));
    sb_bytes_release(&out);
    sb_bytes_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_samples_and_empty_ones_are_not),
        cmocka_unit_test(blocks_join_the_lines_of_a_document_and_keep_the_tail),
        cmocka_unit_test(blocks_do_not_cross_files),
        cmocka_unit_test(found_labels_are_sorted),
        cmocka_unit_test(found_numbers_are_sorted_as_numbers),
        cmocka_unit_test(given_labels_keep_their_order_and_ids_name_them),
        cmocka_unit_test(unknown_label_names_file_line_and_the_known_ones),
        cmocka_unit_test(repeated_label_is_refused),
        cmocka_unit_test(pairs_have_types_and_are_cut_longest_first),
        cmocka_unit_test(pair_cut_equals_dropping_from_the_longer),
        cmocka_unit_test(empty_data_is_an_error),
        cmocka_unit_test(missing_file_is_an_error),
        cmocka_unit_test(collate_lays_samples_side_by_side),
        cmocka_unit_test(masks_do_not_depend_on_the_batch),
        cmocka_unit_test(check_counts_labels_and_lengths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
