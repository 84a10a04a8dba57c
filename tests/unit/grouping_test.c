#include "support.h"

#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids of a vocabulary of letters: "a" is 5, "b" 6 ... */
enum { PAD, UNK, CLS, SEP, MASK, A, B, C, D, E };

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    char text[512] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    struct sb_err err = SB_ERR_INIT;
    (void)state;
    for (char c = 'a'; c <= 'z'; c++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%c\n", c);
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text);
    return sb_wordpiece_open_vocab(&tokenizer, path, &options, &err);
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

static struct sb_dataset *open_file(const char *path, enum sb_dataset_kind kind, size_t length)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    char *paths[] = {(char *)(uintptr_t)path};
    struct sb_dataset_options options = {.kind = kind,
                                         .source = {.paths = paths, .path_count = 1},
                                         .max_seq_length = length,
                                         .cache_dir = sb_test_path(sb_test_dir(), "cache"),
                                         .threads = 2};
    if (sb_dataset_open(&dataset, tokenizer, &options, &err) < 0)
        fail_msg("%s", err.text);
    return dataset;
}

static struct sb_dataset *open_text(const char *text, enum sb_dataset_kind kind, size_t length)
{
    return open_file(sb_test_write(sb_test_dir(), "text.txt", text), kind, length);
}

/* Samples as letters: "[a b][c]" for [CLS] a b [SEP] [CLS] c [SEP]. */
static void expect_samples(const struct sb_dataset *dataset, const char *const *want, size_t count)
{
    assert_int_equal(sb_dataset_count(dataset), count);
    for (size_t i = 0; i < count; i++) {
        int32_t ids[64];
        char text[256] = "";
        struct sb_err err = SB_ERR_INIT;
        uint32_t length = sb_dataset_length(dataset, i);
        assert_int_equal(sb_dataset_read(dataset, i, ids, NULL, NULL, NULL, &err), 0);
        for (uint32_t t = 0; t < length; t++)
            text[t] = ids[t] == CLS ? '[' : ids[t] == SEP ? ']' : (char)('a' + ids[t] - A);
        assert_string_equal(text, want[i]);
    }
}
#define EXPECT(dataset, ...)                                                                       \
    expect_samples(dataset, (const char *const[]){__VA_ARGS__},                                    \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void lines_are_packed_side_by_side(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_text("a b\nc\n\nd e\nf g h\n", SB_DATA_PACK, 11);
    EXPECT(dataset, "[ab][c][de]", "[fgh]");
    sb_dataset_free(&dataset);
}

static void packed_text_goes_on_in_the_next_sample(void **state)
{
    (void)state;
    /* Of 16 tokens an eighth are 2: "d" is begun where 5 are left, and cut. */
    struct sb_dataset *dataset =
        open_text("a b c d e f g h i\nj k l m n o p q\nr\n", SB_DATA_PACK, 16);
    EXPECT(dataset, "[abcdefghi][jkl]", "[mnopq][r]");
    sb_dataset_free(&dataset);
}

static void little_rest_is_not_begun_by_a_text_that_does_not_fit(void **state)
{
    (void)state;
    /* 40 tokens: 36 are taken, 4 are left, less than an eighth; "b c" fits, "b c d" does not. */
    const char *first = "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a\n";
    char text[256];
    snprintf(text, sizeof(text), "%sb c d\n", first);
    struct sb_dataset *dataset = open_text(text, SB_DATA_PACK, 40);
    EXPECT(dataset, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]", "[bcd]");
    sb_dataset_free(&dataset);
    snprintf(text, sizeof(text), "%sb c\n", first);
    dataset = open_text(text, SB_DATA_PACK, 40);
    EXPECT(dataset, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa][bc]");
    sb_dataset_free(&dataset);
}

static void documents_are_packed_whole(void **state)
{
    (void)state;
    struct sb_dataset *dataset =
        open_text("a b\nc\n\nd\ne\n\n\nf g h i j k\n", SB_DATA_PACK_DOCUMENTS, 11);
    EXPECT(dataset, "[abc][de]", "[fghijk]");
    sb_dataset_free(&dataset);
}

/* The golden samples are those of a loop in Python, tests/golden/make_grouping_golden.py. */
static void hf_blocks_equal_the_loop_of_run_mlm(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_file("tests/golden/grouping/corpus.txt", SB_DATA_HF, 48);
    FILE *golden = fopen("tests/golden/grouping/hf.txt", "r");
    char line[1024];
    uint64_t sample = 0;
    assert_non_null(golden);
    for (; fgets(line, sizeof(line), golden); sample++) {
        int32_t ids[48], want[48];
        struct sb_err err = SB_ERR_INIT;
        uint32_t count = 0;
        for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
            want[count++] = atoi(word);
        assert_true(sample < sb_dataset_count(dataset));
        assert_int_equal(sb_dataset_length(dataset, sample), count);
        assert_int_equal(sb_dataset_read(dataset, sample, ids, NULL, NULL, NULL, &err), 0);
        assert_memory_equal(ids, want, count * sizeof(*ids));
    }
    fclose(golden);
    assert_true(sample > 100);
    assert_int_equal(sb_dataset_count(dataset), sample);
    sb_dataset_free(&dataset);
}

static void hf_keeps_the_rest_only_of_what_is_shorter_than_a_block(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_text("a\n\nb c\n", SB_DATA_HF, 32);
    EXPECT(dataset, "[a][][bc]");
    sb_dataset_free(&dataset);
    dataset = open_text("a\n\nb c\n", SB_DATA_HF, 8);
    EXPECT(dataset, "[a][][bc");
    sb_dataset_free(&dataset);
}

/* What is packed is several sequences to the model: each has its own positions and sees itself. */
static void packed_sequences_are_sequences_of_the_batch(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_text("a b\nc\nd e\nf g h\n", SB_DATA_PACK, 11);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    struct sb_stats stats = {0};
    struct sb_err err = SB_ERR_INIT;
    const struct sb_mask_options masks = {.probability = 0.15};
    struct sb_rng key = sb_rng_key(1, SB_RNG_MASK, 0);
    assert_int_equal(sb_collate(&batch, dataset, tokenizer, (const uint64_t[]){1, 0}, 2, &masks,
                                &key, &arena, &stats, &err),
                     0);
    assert_int_equal(batch.B, 4);
    assert_int_equal(batch.N, 16);
    assert_memory_equal(batch.starts, ((const uint32_t[]){0, 5, 9, 12, 16}), 5 * sizeof(uint32_t));
    for (size_t b = 0; b < batch.B; b++) {
        assert_int_equal(sb_sequence_sample(batch.samples[b]), b == 0);
        for (size_t other = 0; other < b; other++)
            assert_true(batch.samples[b] != batch.samples[other]);
    }
    assert_int_equal(batch.target_count, 4); /* one in each, at least */
    assert_int_equal(stats.samples, 2);
    assert_int_equal(stats.tokens, 16);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_packed_side_by_side),
        cmocka_unit_test(packed_text_goes_on_in_the_next_sample),
        cmocka_unit_test(little_rest_is_not_begun_by_a_text_that_does_not_fit),
        cmocka_unit_test(documents_are_packed_whole),
        cmocka_unit_test(hf_blocks_equal_the_loop_of_run_mlm),
        cmocka_unit_test(hf_keeps_the_rest_only_of_what_is_shorter_than_a_block),
        cmocka_unit_test(packed_sequences_are_sequences_of_the_batch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
