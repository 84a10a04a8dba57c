#include "support.h"

#include "grow.h"
#include "model_files.h"
#include "vocab_extend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sb_wordpiece *open_pieces(const char *pieces)
{
    struct sb_wordpiece *tokenizer = NULL;
    struct sb_err err = SB_ERR_INIT;
    char text[1024];
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    snprintf(text, sizeof(text), "[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused1]\n%s",
             pieces);
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text);
    if (sb_wordpiece_open_vocab(&tokenizer, path, &options, &err) < 0)
        fail_msg("%s", err.text);
    return tokenizer;
}

static const char some_pieces[] = "a\nb\nc\n##a\n##b\n##c\nthe\n##cab\n1\n##1\n";

static int extend(struct sb_extension *extension, const struct sb_wordpiece *tokenizer,
                  const char *text, struct sb_extend_options options, struct sb_err *err)
{
    char *paths[] = {(char *)(uintptr_t)sb_test_write(sb_test_dir(), "text.txt", text)};
    options.source.paths = paths;
    options.source.path_count = 1;
    return sb_vocab_extend(extension, tokenizer, &options, err);
}

static struct sb_extension extended(const struct sb_wordpiece *tokenizer, const char *text,
                                    struct sb_extend_options options)
{
    struct sb_extension extension;
    struct sb_err err = SB_ERR_INIT;
    if (extend(&extension, tokenizer, text, options, &err) < 0)
        fail_msg("%s", err.text);
    return extension;
}

static void expect_piece(const struct sb_extension *e, size_t index, const char *text, int32_t id,
                         uint64_t count)
{
    assert_true(index < e->count);
    assert_string_equal(sb_wordpiece_text(e->tokenizer, e->pieces[index].id), text);
    assert_int_equal(e->pieces[index].id, id);
    assert_int_equal(e->pieces[index].count, count);
}

static void costly_words_take_unused_places_and_then_new_ones(void **state)
{
    (void)state;
    struct sb_wordpiece *old = open_pieces(some_pieces);
    /* Saved: abc 2 * 2, aabb 1 * 3, ba 2 * 1; "the" is a piece, 111 a number, "xyz" unknown. */
    struct sb_extension e = extended(old, "Abc abc the aabb ba ba the the 111 111\n111 xyz",
                                     (struct sb_extend_options){.words = 4, .min_count = 1});
    assert_int_equal(e.count, 4);
    assert_int_equal(e.in_unused, 2);
    expect_piece(&e, 0, "abc", 1, 2);
    expect_piece(&e, 1, "aabb", 6, 1);
    expect_piece(&e, 2, "ba", 17, 2);
    expect_piece(&e, 3, "xyz", 18, 1);
    assert_int_equal(sb_wordpiece_count(e.tokenizer), 19);
    assert_int_equal(e.pieces[0].old_count, 3);
    assert_int_equal(e.pieces[0].old_ids[0], sb_wordpiece_id(old, "a"));
    assert_int_equal(e.pieces[0].old_ids[2], sb_wordpiece_id(old, "##c"));
    assert_int_equal(e.words, 12);
    assert_int_equal(e.unknown_before, 1);
    assert_int_equal(e.unknown_after, 0);
    assert_int_equal(e.pieces_before - e.pieces_after, 4 + 3 + 2);
    sb_extension_release(&e);

    e = extended(old, "abc ba ba",
                 (struct sb_extend_options){.words = 4, .min_count = 1, .keep_unused = true});
    expect_piece(&e, 0, "abc", 17, 1);
    expect_piece(&e, 1, "ba", 18, 2);
    sb_extension_release(&e);
    sb_wordpiece_free(&old);
}

static void rare_words_are_not_added_and_nothing_to_add_is_said(void **state)
{
    (void)state;
    struct sb_wordpiece *old = open_pieces(some_pieces);
    struct sb_extension e =
        extended(old, "abc abc ba", (struct sb_extend_options){.words = 9, .min_count = 2});
    assert_int_equal(e.count, 1);
    sb_extension_release(&e);
    struct sb_err err = SB_ERR_INIT;
    const struct sb_extend_options options = {.words = 9, .min_count = 2};
    assert_int_equal(extend(&e, old, "the abc", options, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "nothing to add");
    assert_int_equal(extend(&e, old, "\n", options, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "no word");
    sb_wordpiece_free(&old);
}

/* "acab" is a ##cab; with "ac" it would be ac ##ab, and there is no ##ab and no ##a: [UNK]. */
static void piece_that_would_leave_a_word_without_pieces_is_left_out(void **state)
{
    (void)state;
    struct sb_wordpiece *old = open_pieces("a\n##c\n##cab\n");
    const struct sb_extend_options options = {.words = 1, .min_count = 2};
    struct sb_extension e = extended(old, "ac ac ac acab acab", options);
    assert_int_equal(e.count, 1);
    expect_piece(&e, 0, "acab", 1, 2);
    sb_extension_release(&e);
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(extend(&e, old, "ac ac ac acab", options, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "nothing to add");
    sb_wordpiece_free(&old);
}

/* ---- on real text, with BERT's vocabulary ---- */

static bool begins_with_new(const struct sb_extension *e, const char *word, size_t bytes)
{
    for (size_t i = 0; i < e->count; i++) {
        const char *text = sb_wordpiece_text(e->tokenizer, e->pieces[i].id);
        size_t length = strlen(text);
        if (length <= bytes && !memcmp(text, word, length))
            return true;
    }
    return false;
}

/* Lower-case ASCII words between spaces: those that the splitter leaves as they are. */
static bool is_plain(const char *word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (word[i] < 'a' || word[i] > 'z')
            return false;
    return bytes > 0;
}

static void old_ids_stay_and_only_words_that_begin_with_a_new_piece_change(void **state)
{
    (void)state;
    const char *model = sb_test_shared("data/models/bert-tiny-general");
    char *paths[] = {(char *)(uintptr_t)sb_test_shared("data/corpora/biomed_valid.txt.xz")};
    char *text_path[] = {
        (char *)(uintptr_t)sb_test_shared("data/classification/chemprot/validation.tsv")};
    struct sb_wordpiece *old = NULL;
    struct sb_err err = SB_ERR_INIT;
    struct sb_extension e;
    const struct sb_extend_options options = {
        .words = 1500, .min_count = 2, .source = {.paths = paths, .path_count = 1}};
    assert_int_equal(sb_wordpiece_open_folder(&old, model, &err), 0);
    if (sb_vocab_extend(&e, old, &options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(e.count, 1500);
    assert_int_equal(e.in_unused, 994); /* as many as Google's vocabulary has */
    for (size_t id = 0; id < sb_wordpiece_count(old); id++) {
        const char *text = sb_wordpiece_text(old, (int32_t)id);
        if (strncmp(text, "[unused", 7) != 0)
            assert_string_equal(sb_wordpiece_text(e.tokenizer, (int32_t)id), text);
    }
    struct sb_encoding before = {0}, after = {0};
    for (size_t i = 0; i < e.count; i++) {
        const char *text = sb_wordpiece_text(e.tokenizer, e.pieces[i].id);
        sb_wordpiece_encode(e.tokenizer, text, strlen(text), &after);
        assert_int_equal(after.count, 1);
        assert_int_equal(after.ids[0], e.pieces[i].id);
    }
    assert_true(e.pieces_after < e.pieces_before && e.unknown_after <= e.unknown_before);

    /* Another text. */
    struct sb_reader *reader = NULL;
    struct sb_record record;
    size_t same = 0, changed = 0;
    assert_int_equal(
        sb_reader_open(&reader, &(struct sb_reader_options){.paths = text_path, .path_count = 1},
                       &err),
        0);
    for (int rows = 0; rows < 300 && sb_reader_next(reader, &record, &err) == 1; rows++) {
        for (const char *word = record.text; *word; word += strspn(word, " ")) {
            size_t bytes = strcspn(word, " ");
            sb_wordpiece_encode(old, word, bytes, &before);
            sb_wordpiece_encode(e.tokenizer, word, bytes, &after);
            if (is_plain(word, bytes) && !begins_with_new(&e, word, bytes)) {
                assert_int_equal(before.count, after.count);
                assert_memory_equal(before.ids, after.ids, before.count * sizeof(*before.ids));
                same++;
            }
            changed += before.count != after.count;
            word += bytes;
        }
    }
    assert_true(same > 1000 && changed > 100);
    sb_reader_free(&reader);
    sb_encoding_release(&before);
    sb_encoding_release(&after);
    sb_extension_release(&e);
    sb_wordpiece_free(&old);
}

/* ---- the weights ---- */

static void grown_rows_are_the_mean_of_their_pieces(void **state)
{
    (void)state;
    struct sb_bert_config config;
    struct sb_params old, grown;
    sb_bert_config_defaults(&config);
    config.vocab_size = 40;
    config.hidden_size = 16;
    config.layer_count = 1;
    config.head_count = 2;
    config.intermediate_size = 24;
    config.max_positions = 8;
    sb_params_init(&old, &config, SB_HEAD_MLM | SB_HEAD_POOLER);
    config.vocab_size = 42;
    sb_params_init(&grown, &config, SB_HEAD_MLM | SB_HEAD_POOLER);
    float *before = calloc(old.float_count, sizeof(float));
    float *after = calloc(grown.float_count, sizeof(float));
    for (size_t i = 0; i < old.float_count; i++)
        before[i] = (float)sin((double)i * 0.37);
    const int32_t three[] = {7, 9, 30}, one[] = {2}, two[] = {5, 6};
    const struct sb_grown_row rows[] = {{3, three, 3}, {40, one, 1}, {41, two, 2}};
    sb_model_grow(after, &grown, before, &old, rows, 3);

    for (size_t i = 0; i < old.count; i++) {
        const float *from = before + old.tensors[i].offset, *to = after + grown.tensors[i].offset;
        size_t C = i == old.word ? 16 : 1;
        if (i != old.word && i != old.decoder_b) {
            assert_memory_equal(from, to, sb_tensor_count(&old.tensors[i]) * sizeof(float));
            continue;
        }
        for (size_t row = 0; row < 40; row++)
            if (row != 3)
                assert_memory_equal(from + row * C, to + row * C, C * sizeof(float));
        for (size_t c = 0; c < C; c++) {
            assert_float_equal(to[3 * C + c] * 3,
                               from[7 * C + c] + from[9 * C + c] + from[30 * C + c], 1e-5);
            assert_true(to[40 * C + c] == from[2 * C + c]);
            assert_float_equal(to[41 * C + c] * 2, from[5 * C + c] + from[6 * C + c], 1e-5);
        }
    }
    free(before);
    free(after);
    sb_params_release(&old);
    sb_params_release(&grown);
    sb_bert_config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costly_words_take_unused_places_and_then_new_ones),
        cmocka_unit_test(rare_words_are_not_added_and_nothing_to_add_is_said),
        cmocka_unit_test(piece_that_would_leave_a_word_without_pieces_is_left_out),
        cmocka_unit_test(old_ids_stay_and_only_words_that_begin_with_a_new_piece_change),
        cmocka_unit_test(grown_rows_are_the_mean_of_their_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
