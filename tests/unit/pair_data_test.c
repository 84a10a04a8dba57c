/* Pairs, scored pairs and triplets: from every format to the texts of an item, and what is refused.
 */
#include "dataset.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* Ids of a vocabulary of letters: "a" is 5, "b" 6 ... */
enum { CLS = 2, SEP = 3, A = 5 };

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    sb_bytes_append_text(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (char c = 'a'; c <= 'z'; c++)
        sb_bytes_printf(&text, "%c\n", c);
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text.data);
    if (sb_wordpiece_open_vocab(&tokenizer, path, &options, &err) < 0)
        fail_msg("%s", err.text);
    sb_bytes_release(&text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

static int try_open(struct sb_dataset **dataset, struct sb_dataset_options options,
                    const char *name, const char *content, struct sb_err *err)
{
    const char *folder = sb_test_dir();
    char *paths[] = {(char *)(uintptr_t)sb_test_write(folder, name, content)};
    options.kind = SB_DATA_PAIRS;
    options.source.paths = paths;
    options.source.path_count = 1;
    options.source.pairs = true;
    options.max_seq_length = 8;
    options.score_min = options.score_min != 0 ? options.score_min : -1;
    options.score_max = options.score_max > 0 ? options.score_max : 1;
    options.cache_dir = folder;
    options.threads = 2;
    return sb_dataset_open(dataset, tokenizer, &options, err);
}

/* "ab|c=0.5;" for each item: the letters of its texts, and the score if there is one. */
static void assert_reads(struct sb_dataset_options options, const char *name, const char *content,
                         const char *expected)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes found = SB_BYTES_INIT;
    if (try_open(&dataset, options, name, content, &err) < 0)
        fail_msg("%s", err.text);
    uint32_t texts = sb_dataset_item_texts(dataset);
    sb_bytes_append_text(&found, "");
    for (uint64_t i = 0; i < sb_dataset_item_count(dataset); i++) {
        for (uint32_t t = 0; t < texts; t++) {
            int32_t ids[8];
            uint32_t length = sb_dataset_length(dataset, i * texts + t);
            assert_int_equal(sb_dataset_read(dataset, i * texts + t, ids, NULL, NULL, NULL, &err),
                             0);
            assert_true(ids[0] == CLS && ids[length - 1] == SEP);
            for (uint32_t k = 1; k + 1 < length; k++)
                sb_bytes_printf(&found, "%c", 'a' + ids[k] - A);
            sb_bytes_append_text(&found, t + 1 < texts ? "|" : "");
        }
        float score;
        if (sb_dataset_pair_form(dataset) == SB_PAIR_SCORED) {
            assert_int_equal(sb_dataset_pair_score(dataset, i, &score, &err), 0);
            sb_bytes_printf(&found, "=%g", (double)score);
        }
        sb_bytes_append_text(&found, ";");
    }
    assert_string_equal(found.data, expected);
    sb_bytes_release(&found);
    sb_dataset_free(&dataset);
}

static void assert_refuses(struct sb_dataset_options options, const char *name, const char *content,
                           const char *words)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(try_open(&dataset, options, name, content, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, words);
}

static const struct sb_dataset_options usual = {.score_max = 1};
static const struct sb_dataset_options with_header = {.source = {.header = true}};

static void columns_without_names_go_by_their_place(void **state)
{
    (void)state;
    assert_reads(usual, "a.tsv", "a b\tc\nd\te\n", "ab|c;d|e;");
    assert_reads(usual, "a.tsv", "a b\tc\t0.5\nd\te\t-1\n", "ab|c=0.5;d|e=-1;");
    assert_reads(usual, "a.csv", "a,b,c\nd,\"e\",f\n", "a|b|c;d|e|f;");
    assert_reads((struct sb_dataset_options){.score_max = 5}, "a.tsv", "a\tb\t5\nc\td\t2.5\n",
                 "a|b=1;c|d=0.5;");
    assert_reads(
        (struct sb_dataset_options){
            .source = {.text_column = "1", .text_pair_column = "3", .label_column = "0"}},
        "a.tsv", "1\ta\tz\tb\n0\tc\tz\td\n", "a|b=1;c|d=0;");
}

static void columns_with_names_are_found(void **state)
{
    (void)state;
    assert_reads(with_header, "a.csv", "score,sentence2,sentence1\n1,b,a\n", "a|b=1;");
    assert_reads(with_header, "a.csv", "anchor,positive,negative_1,negative_2\na,b,c,d\ne,f,g,\n",
                 "a|b|c;a|b|d;e|f|g;");
    assert_reads(
        (struct sb_dataset_options){
            .source = {.text_column = "q", .text_pair_column = "p", .negative_column = "n"}},
        "a.tsv", "p\tq\tn\nb\ta\tc\n", "a|b|c;");
}

static void json_lines_say_what_they_are(void **state)
{
    (void)state;
    assert_reads(usual, "a.jsonl", "{\"anchor\": \"a\", \"positive\": \"b\"}\n", "a|b;");
    assert_reads(usual, "a.jsonl",
                 "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 0.25}\n", "a|b=0.25;");
    assert_reads(usual, "a.jsonl",
                 "{\"query\": \"a\", \"positive\": \"b\", \"negative\": [\"c\", \"d\"]}\n"
                 "{\"query\": \"e\", \"positive\": \"f\", \"negative\": \"g\"}\n",
                 "a|b|c;a|b|d;e|f|g;");
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refuses(usual, "a.tsv", "a\tb\t1\nc\td\t7\n",
                   "a.tsv:2: the score 7 is not from -1 to 1; set score_max");
    assert_refuses((struct sb_dataset_options){.score_min = 1e-9}, "a.tsv", "a\tb\t-0.5\n",
                   "a.tsv:1: the score -0.5 is not from ");
    assert_refuses(usual, "a.tsv", "a\tb\t1\nc\td\tx\n", "a.tsv:2: label 'x' is not a number");
    assert_refuses((struct sb_dataset_options){.source = {.label_column = "2"}}, "a.tsv",
                   "sentence1\tsentence2\tscore\na\tb\t1\n", "set header: true");
    assert_refuses(usual, "a.jsonl",
                   "{\"anchor\": \"a\", \"positive\": \"b\"}\n"
                   "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\"}\n",
                   "a.jsonl:2: a pair with a negative, where the first record is a pair without");
    assert_refuses(usual, "a.jsonl",
                   "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\", \"score\": 1}\n",
                   "'score' and 'negative' exclude each other");
    assert_refuses(usual, "a.jsonl", "{\"anchor\": \"a\"}\n", "'positive' is missing");
    assert_refuses(usual, "a.jsonl", "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": []}\n",
                   "a.jsonl:1: 'negative' must be a text, or a list");
    assert_refuses(usual, "a.tsv", "a\n", "a.tsv:1: a pair has two columns or more");
    assert_refuses(usual, "a.tsv", "a\tb\tc\td\n", "Set text_column");
}

static void long_texts_are_cut_each_for_itself(void **state)
{
    (void)state;
    assert_reads(usual, "a.tsv", "a b c d e f g h\tx\n", "abcdef|x;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_without_names_go_by_their_place),
        cmocka_unit_test(columns_with_names_are_found),
        cmocka_unit_test(json_lines_say_what_they_are),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(long_texts_are_cut_each_for_itself),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
