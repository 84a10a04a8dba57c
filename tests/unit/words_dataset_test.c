/* Tagged sentences as prepared data: pieces, labels, windows. */
#include "support.h"

#include "dataset.h"
#include "pieces.h"

#include <string.h>

/* Ids of a vocabulary of letters: "a" is 5, "b" 6, ... and "##a" 31. */
enum { PAD, UNK, CLS, SEP, MASK, A, B, C, D, E, AA = 31, BB, CC };
/* Tags as they are sorted. */
enum { B_X, B_Y, I_X, O };

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_wordpiece_options options = {
        .lowercase = true, .strip_accents = -1, .clean_text = true};
    sb_bytes_append_text(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (char c = 'a'; c <= 'z'; c++)
        sb_bytes_printf(&text, "%c\n", c);
    for (char c = 'a'; c <= 'z'; c++)
        sb_bytes_printf(&text, "##%c\n", c);
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text.data);
    sb_bytes_release(&text);
    return sb_wordpiece_open_vocab(&tokenizer, path, &options, &err);
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

struct source {
    const char *dir;
    char *path;
    struct sb_dataset_options options;
};

static struct source source_of(const char *name, const char *text, size_t max_length)
{
    struct source source = {.dir = sb_test_dir()};
    source.path = (char *)(uintptr_t)sb_test_write(source.dir, name, text);
    source.options = (struct sb_dataset_options){
        .kind = SB_DATA_WORDS,
        .source = {.path_count = 1, .labelled = true},
        .max_seq_length = max_length,
        .stride = 2,
        .cache_dir = sb_test_path(source.dir, "cache"),
        .threads = 1,
    };
    return source;
}

static struct sb_dataset *open_source(struct source *source)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source->options.source.paths = &source->path;
    if (sb_dataset_open(&dataset, tokenizer, &source->options, &err) < 0)
        fail_msg("%s", err.text);
    return dataset;
}

static void refuses(struct source *source, const char *words)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source->options.source.paths = &source->path;
    assert_int_equal(sb_dataset_open(&dataset, tokenizer, &source->options, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, words);
}

static const char TEXT[] = "ab B-X\nc I-X\nd O\n\n"
                           "e B-Y\n";

static void collate(struct sb_batch *batch, const struct sb_dataset *dataset,
                    struct sb_arena *arena, struct sb_stats *stats)
{
    uint64_t samples[64];
    size_t count = sb_dataset_count(dataset);
    struct sb_err err = SB_ERR_INIT;
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++)
        samples[i] = i;
    if (sb_collate(batch, dataset, tokenizer, samples, count, NULL, NULL, arena, stats, &err) < 0)
        fail_msg("%s", err.text);
}

#define SAME(got, ...)                                                                             \
    assert_memory_equal(got, ((const int32_t[]){__VA_ARGS__}), sizeof((int32_t[]){__VA_ARGS__}))

static void first_pieces_have_the_tags_of_their_words(void **state)
{
    (void)state;
    struct source source = source_of("a.txt", TEXT, 16);
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    struct sb_stats stats = {0};
    assert_int_equal(sb_dataset_label_count(dataset), 4);
    assert_string_equal(sb_dataset_label(dataset, I_X), "I-X");
    collate(&batch, dataset, &arena, &stats);
    assert_int_equal(batch.N, 9);
    SAME(batch.ids, CLS, A, BB, C, D, SEP, CLS, E, SEP);
    assert_int_equal(batch.target_count, 4);
    SAME(batch.target_rows, 1, 3, 4, 7);
    SAME(batch.target_ids, B_X, I_X, O, B_Y);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(batch.target_firsts[i], 1);
    assert_null(batch.labels);
    assert_true(stats.samples == 2 && stats.tokens == 9 && stats.truncated == 0);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void all_pieces_may_have_tags(void **state)
{
    (void)state;
    struct source source = source_of("a.txt", "abc B-X\nab B-Y\nab O\nc I-X\n", 16);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    source.options.label_all_tokens = true;
    struct sb_dataset *dataset = open_source(&source);
    collate(&batch, dataset, &arena, NULL);
    SAME(batch.ids, CLS, A, BB, CC, A, BB, A, BB, C, SEP);
    /* The stray I-X is read as B-X, so there is no I-X for the further pieces; then B goes on. */
    assert_int_equal(sb_dataset_label_count(dataset), 3);
    SAME(batch.target_ids, 0, 0, 0, 1, 1, 2, 2, 0);
    assert_memory_equal(batch.target_firsts, ((const uint8_t[]){1, 0, 0, 1, 0, 1, 0, 1}), 8);
    sb_dataset_free(&dataset);
    source = source_of("a.txt", "abc B-X\nab B-Y\nc B-X\nd I-X\ne O\n", 16);
    source.options.label_all_tokens = true;
    dataset = open_source(&source);
    collate(&batch, dataset, &arena, NULL);
    SAME(batch.target_ids, B_X, I_X, I_X, B_Y, B_Y, B_X, I_X, O);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void long_sentences_are_windows_with_every_word_once(void **state)
{
    (void)state;
    struct source source =
        source_of("a.txt", "a B-X\nb O\nc B-X\nd O\ne O\na O\nb O\n\nc B-Y\nd I-X\n", 6);
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    struct sb_stats stats = {0};
    assert_int_equal(sb_dataset_count(dataset), 4);
    collate(&batch, dataset, &arena, &stats);
    SAME(batch.ids, CLS, A, B, C, D, SEP, CLS, C, D, E, A, SEP, CLS, E, A, B, SEP, CLS, C, D, SEP);
    /* The first word of two shared ones belongs to the window before. */
    SAME(batch.target_rows, 1, 2, 3, 8, 9, 14, 15, 18, 19);
    assert_memory_equal(batch.continues, ((const uint8_t[]){0, 1, 1, 0}), 4);
    assert_true(sb_dataset_continues(dataset, 2) && !sb_dataset_continues(dataset, 3));
    assert_true(stats.samples == 2 && stats.truncated == 0);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void words_of_nothing_and_words_too_long_keep_their_place(void **state)
{
    (void)state;
    struct source source = source_of(
        "a.jsonl", "{\"tokens\":[\"\\u0001\",\"abcde\",\"\"],\"tags\":[\"O\",\"B-X\",\"O\"]}\n", 6);
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    collate(&batch, dataset, &arena, NULL);
    assert_int_equal(batch.target_count, 3);
    SAME(batch.ids, CLS, UNK, SEP, CLS, A, BB, CC, CC + 1, SEP, CLS, UNK, SEP);
    assert_int_equal(sb_dataset_truncated_count(dataset), 1);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void numbers_are_tags_of_given_labels_only(void **state)
{
    (void)state;
    static char *const labels[] = {"O", "B-X", "I-X"};
    struct source source = source_of("a.jsonl", "{\"tokens\":[\"a\",\"b\"],\"tags\":[1,2]}\n", 8);
    refuses(&source, "a.jsonl:1: the tags are numbers; labels must name them");
    source.options.labels = labels;
    source.options.label_count = 3;
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    collate(&batch, dataset, &arena, NULL);
    SAME(batch.target_ids, 1, 2);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
    source = source_of("a.txt", "a O\n\nb B-Z\n", 8);
    source.options.labels = labels;
    source.options.label_count = 3;
    refuses(&source, "a.txt:3: label 'B-Z' is not one of the labels: O, B-X, I-X");
}

static void stride_names_other_data_and_label_all_tokens_does_not(void **state)
{
    (void)state;
    struct source source = source_of("a.txt", TEXT, 16);
    struct sb_dataset *a = open_source(&source);
    source.options.label_all_tokens = true;
    struct sb_dataset *b = open_source(&source);
    source.options.stride = 3;
    struct sb_dataset *c = open_source(&source);
    assert_string_equal(sb_dataset_fingerprint(a), sb_dataset_fingerprint(b));
    assert_string_not_equal(sb_dataset_fingerprint(a), sb_dataset_fingerprint(c));
    sb_dataset_free(&a);
    sb_dataset_free(&b);
    sb_dataset_free(&c);
}

static void ids_are_read_without_their_codes(void **state)
{
    (void)state;
    struct source source = source_of("a.txt", TEXT, 16);
    struct sb_dataset *dataset = open_source(&source);
    int32_t ids[8] = {0}, label;
    assert_int_equal(sb_dataset_read(dataset, 0, ids, NULL, &label, NULL, NULL), 0);
    SAME(ids, CLS, A, BB, C, D, SEP, 0, 0);
    assert_int_equal(label, -1);
    sb_dataset_free(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_pieces_have_the_tags_of_their_words),
        cmocka_unit_test(all_pieces_may_have_tags),
        cmocka_unit_test(long_sentences_are_windows_with_every_word_once),
        cmocka_unit_test(words_of_nothing_and_words_too_long_keep_their_place),
        cmocka_unit_test(numbers_are_tags_of_given_labels_only),
        cmocka_unit_test(stride_names_other_data_and_label_all_tokens_does_not),
        cmocka_unit_test(ids_are_read_without_their_codes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
