/* Learning a vocabulary: what it must hold, in which order, and what it does where room is short.
 */
#include "bytes.h"
#include "pair_merge.h"
#include "support.h"
#include "vocab.h"
#include "word_counts.h"

#include <stdlib.h>
#include <string.h>

static const char text[] =
    "low low low low low lower lower newest newest newest newest newest newest\n"
    "widest widest widest!\n";

static struct sb_wordpiece *train(const char *content, size_t size, uint64_t min_count,
                                  size_t max_words, struct sb_vocab_stats *stats)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    char *paths[] = {(char *)(uintptr_t)sb_test_write(sb_test_dir(), "a.txt", content)};
    struct sb_vocab_options options = {.size = size,
                                       .min_count = min_count,
                                       .max_words = max_words,
                                       .normalise = {true, -1, true, true},
                                       .source = {.paths = paths, .path_count = 1}};
    if (sb_vocab_train(&t, &options, stats, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void assert_pieces(const struct sb_wordpiece *t, const char *expected)
{
    struct sb_bytes found = SB_BYTES_INIT;
    for (size_t i = 0; i < sb_wordpiece_count(t); i++)
        sb_bytes_printf(&found, "%s%s", i ? " " : "", sb_wordpiece_text(t, (int32_t)i));
    assert_string_equal(found.data, expected);
    sb_bytes_release(&found);
}

static void frequent_pairs_are_joined_first_and_ties_go_by_text(void **state)
{
    (void)state;
    struct sb_vocab_stats stats;
    /*
     * By hand: ##e ##s and ##s ##t have 9, then ##es ##t 9; ##o ##w and l ##o have 7, then l ##ow
     * 7; then
     * ##e ##w, ##w ##est and n ##e have 6, then ##ew ##est and n ##ew.
     */
    struct sb_wordpiece *t = train(text, 32, 2, 0, &stats);
    assert_pieces(t, "[PAD] [UNK] [CLS] [SEP] [MASK] ! d e i l n o r s t w ##d ##e ##i ##l ##n ##o "
                     "##r ##s ##t ##w "
                     "##es ##est ##ow low ##ew ##ewest");
    assert_int_equal(stats.words, 17);
    assert_int_equal(stats.distinct_words, 5);
    assert_int_equal(stats.records, 2);
    sb_wordpiece_free(&t);
}

static void learning_ends_when_pairs_are_rare(void **state)
{
    (void)state;
    struct sb_vocab_stats stats;
    struct sb_wordpiece *t = train(text, 1000, 6, 0, &stats);
    assert_pieces(t, "[PAD] [UNK] [CLS] [SEP] [MASK] ! d e i l n o r s t w ##d ##e ##i ##l ##n ##o "
                     "##r ##s ##t ##w "
                     "##es ##est ##ow low ##ew ##ewest newest");
    sb_wordpiece_free(&t);
}

static void every_word_of_the_text_can_be_cut(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_vocab_stats stats;
    struct sb_bytes file = SB_BYTES_INIT;
    struct sb_encoding e = {0};
    assert_int_equal(
        sb_file_read(&file, sb_test_shared("data/classification/rotten_tomatoes/validation.tsv"),
                     &err),
        0);
    size_t sizes[] = {300, 2000};
    for (int i = 0; i < 2; i++) {
        struct sb_wordpiece *t = train(file.data, sizes[i], 2, 0, &stats);
        assert_int_equal(sb_wordpiece_count(t), sizes[i]);
        assert_int_equal(stats.dropped_chars, 0);
        sb_wordpiece_encode(t, file.data, file.count, &e);
        for (size_t k = 0; k < e.count; k++)
            assert_int_not_equal(e.ids[k], sb_wordpiece_specials(t).unk);
        sb_wordpiece_free(&t);
    }
    sb_encoding_release(&e);
    sb_bytes_release(&file);
}

static void equal_text_gives_an_equal_vocabulary(void **state)
{
    (void)state;
    struct sb_vocab_stats stats;
    struct sb_wordpiece *a = train(text, 60, 1, 0, &stats), *b = train(text, 60, 1, 0, &stats);
    /* Words in another order, too: counts and ties decide, nothing else. */
    struct sb_wordpiece *c =
        train("widest! widest newest low widest newest newest newest newest newest\n"
              "lower low low low low lower",
              60, 1, 0, &stats);
    assert_true(sb_wordpiece_fingerprint(a) == sb_wordpiece_fingerprint(b));
    assert_true(sb_wordpiece_fingerprint(a) == sb_wordpiece_fingerprint(c));
    sb_wordpiece_free(&a);
    sb_wordpiece_free(&b);
    sb_wordpiece_free(&c);
}

static void the_rarest_characters_are_left_out_where_room_is_short(void **state)
{
    (void)state;
    struct sb_vocab_stats stats;
    struct sb_wordpiece *t = train(
        "abcdefghijklmnopqrstuvwxyz abcdefghijklm abcdefghijklm \xe6\x9d\xb1\n", 32, 2, 0, &stats);
    assert_true(sb_wordpiece_count(t) <= 32);
    assert_int_equal(stats.chars, 13);
    assert_int_equal(stats.dropped_chars, 14);
    assert_true(sb_wordpiece_id(t, "##m") >= 0 && sb_wordpiece_id(t, "n") < 0);
    sb_wordpiece_free(&t);
    /* A Chinese character is always alone: it needs no piece inside words. */
    t = train("\xe6\x9d\xb1\xe4\xba\xac", 32, 2, 0, &stats);
    assert_int_equal(sb_wordpiece_count(t), 7);
    sb_wordpiece_free(&t);
}

static void a_full_table_forgets_rare_words_only(void **state)
{
    (void)state;
    struct sb_word_counts counts;
    char word[16];
    sb_word_counts_init(&counts, 100);
    for (int i = 0; i < 5000; i++) {
        sb_word_counts_add(&counts, "often", 5);
        int n = snprintf(word, sizeof(word), "rare%d", i);
        sb_word_counts_add(&counts, word, (size_t)n);
        assert_true(counts.count <= 100);
    }
    assert_string_equal(sb_word_counts_text(&counts, 0), "often");
    assert_int_equal(counts.words[0].count, 5000);
    assert_int_equal(counts.forgotten + counts.count, 5001);
    sb_word_counts_release(&counts);
}

static int by_number(const void *context, int32_t a, int32_t b)
{
    (void)context;
    return a < b ? -1 : a > b;
}

/* The plain way: count all pairs anew each time. */
static uint64_t slow_best(const int32_t *symbols, const size_t *lengths, size_t words,
                          int32_t *left, int32_t *right)
{
    uint64_t best = 0, counts[64][64] = {{0}};
    for (size_t w = 0; w < words; w++)
        for (size_t i = 0; i + 1 < lengths[w]; i++)
            counts[symbols[w * 12 + i]][symbols[w * 12 + i + 1]] += w % 5 + 1;
    for (int32_t a = 0; a < 64; a++)
        for (int32_t b = 0; b < 64; b++)
            if (counts[a][b] > best) {
                best = counts[a][b];
                *left = a;
                *right = b;
            }
    return best;
}

static void slow_join(int32_t *symbols, size_t *lengths, size_t words, int32_t left, int32_t right,
                      int32_t joined)
{
    for (size_t w = 0; w < words; w++) {
        int32_t *s = symbols + w * 12;
        size_t length = 0;
        for (size_t i = 0; i < lengths[w]; length++) {
            bool here = i + 1 < lengths[w] && s[i] == left && s[i + 1] == right;
            s[length] = here ? joined : s[i];
            i += here ? 2 : 1;
        }
        lengths[w] = length;
    }
}

static void kept_counts_equal_counts_taken_anew(void **state)
{
    (void)state;
    enum { WORDS = 200 };
    static int32_t symbols[WORDS * 12];
    size_t lengths[WORDS];
    srand(3);
    struct sb_pair_merge *merge = sb_pair_merge_new(by_number, NULL);
    for (size_t w = 0; w < WORDS; w++) {
        lengths[w] = (size_t)(rand() % 13);
        for (size_t i = 0; i < lengths[w]; i++)
            symbols[w * 12 + i] = rand() % 4;
        sb_pair_merge_add(merge, symbols + w * 12, lengths[w], w % 5 + 1);
    }
    for (int32_t joined = 4; joined < 64; joined++) {
        int32_t left = -1, right = -1, slow_left = -1, slow_right = -1;
        uint64_t count = sb_pair_merge_best(merge, &left, &right);
        assert_true(count == slow_best(symbols, lengths, WORDS, &slow_left, &slow_right));
        assert_int_equal(left, slow_left);
        assert_int_equal(right, slow_right);
        sb_pair_merge_join(merge, left, right, joined);
        slow_join(symbols, lengths, WORDS, left, right, joined);
    }
    sb_pair_merge_free(&merge);
}

static void expect_error(const char *content, size_t size, enum sb_err_code code, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_vocab_stats stats;
    struct sb_wordpiece *t = NULL;
    char *paths[] = {content ? (char *)(uintptr_t)sb_test_write(sb_test_dir(), "a.txt", content)
                             : (char *)(uintptr_t) "no/such.txt"};
    struct sb_vocab_options options = {.size = size, .source = {.paths = paths, .path_count = 1}};
    assert_int_equal(sb_vocab_train(&t, &options, &stats, &err), -1);
    assert_null(t);
    sb_test_err_is(&err, code, words);
}

static void what_cannot_be_learnt_from_is_named(void **state)
{
    (void)state;
    expect_error(" \n\n", 100, SB_ERR_DATA, "no word");
    expect_error("a\n", 31, SB_ERR_USAGE, "31");
    expect_error("a\n", 1000001, SB_ERR_USAGE, "1000001");
    expect_error(NULL, 100, SB_ERR_NO_INPUT, "no/such.txt");
    expect_error("a\n\xff\n", 100, SB_ERR_DATA, "a.txt:2:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequent_pairs_are_joined_first_and_ties_go_by_text),
        cmocka_unit_test(learning_ends_when_pairs_are_rare),
        cmocka_unit_test(every_word_of_the_text_can_be_cut),
        cmocka_unit_test(equal_text_gives_an_equal_vocabulary),
        cmocka_unit_test(the_rarest_characters_are_left_out_where_room_is_short),
        cmocka_unit_test(a_full_table_forgets_rare_words_only),
        cmocka_unit_test(kept_counts_equal_counts_taken_anew),
        cmocka_unit_test(what_cannot_be_learnt_from_is_named),
    };
    return cmocka_run_group_tests_name("vocab", tests, NULL, NULL);
}
