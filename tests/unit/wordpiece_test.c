/* The tokenizer against the ids and offsets of Hugging Face's own, and on text that nobody should
 * send. */
#include "bytes.h"
#include "reader.h"
#include "rng.h"
#include "support.h"
#include "wordpiece.h"
#include "wordpiece_unicode.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct sb_wordpiece_options uncased = {true, -1, true, true};
static const struct sb_wordpiece_options cased = {false, -1, true, true};

static struct sb_wordpiece *open_shared(const char *vocab,
                                        const struct sb_wordpiece_options *options)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    const char *path = sb_test_shared(vocab);
    if (sb_wordpiece_open_vocab(&t, path, options, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static struct sb_wordpiece *open_uncased(void)
{
    return open_shared("data/tokenizer/bert-base-uncased-vocab.txt", &uncased);
}

static const char small_vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nab\n##c\n##cd\na\nb\n!\nx\n##y\nabc\n";

static struct sb_wordpiece *open_small(const struct sb_wordpiece_options *options)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    const char *path = sb_test_write(sb_test_dir(), "small.txt", small_vocab);
    if (sb_wordpiece_open_vocab(&t, path, options, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

/* "id:first-end id:first-end ..." */
static void assert_encodes(const struct sb_wordpiece *t, const char *text, size_t bytes,
                           const char *expected)
{
    struct sb_encoding e = {0};
    struct sb_bytes found = SB_BYTES_INIT;
    sb_wordpiece_encode(t, text, bytes, &e);
    sb_bytes_append_text(&found, "");
    for (size_t i = 0; i < e.count; i++)
        sb_bytes_printf(&found, "%s%d:%u-%u", i ? " " : "", e.ids[i], e.offsets[i][0],
                        e.offsets[i][1]);
    assert_string_equal(found.data, expected);
    sb_bytes_release(&found);
    sb_encoding_release(&e);
}

static void assert_ids(const struct sb_encoding *e, const json_t *ids, const char *line)
{
    bool same = json_array_size(ids) == e->count;
    for (size_t i = 0; same && i < e->count; i++)
        same = json_integer_value(json_array_get(ids, i)) == e->ids[i];
    if (!same)
        fail_msg("ids differ: %.300s", line);
}

static void assert_offsets(const struct sb_encoding *e, const json_t *offsets, const char *line)
{
    for (size_t i = 0; i < e->count; i++) {
        const json_t *pair = json_array_get(offsets, i);
        if (json_integer_value(json_array_get(pair, 0)) != e->offsets[i][0] ||
            json_integer_value(json_array_get(pair, 1)) != e->offsets[i][1])
            fail_msg("offsets of token %zu differ: %.300s", i, line);
    }
}

static void ids_and_offsets_equal_the_golden_file(void **state)
{
    (void)state;
    struct sb_wordpiece *small = open_uncased();
    struct sb_wordpiece *large = open_shared("data/tokenizer/bert-base-cased-vocab.txt", &cased);
    struct sb_encoding e = {0};
    struct sb_bytes file = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(
        sb_file_read(&file, sb_test_shared("data/tokenizer/golden_tokens.jsonl"), &err), 0);
    size_t lines = 0;
    char *rest = file.data, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line)
            continue;
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        const json_t *text = json_object_get(row, "text");
        sb_wordpiece_encode(large, json_string_value(text), json_string_length(text), &e);
        assert_ids(&e, json_object_get(row, "cased"), line);
        sb_wordpiece_encode(small, json_string_value(text), json_string_length(text), &e);
        assert_ids(&e, json_object_get(row, "uncased"), line);
        assert_offsets(&e, json_object_get(row, "uncased_offsets"), line);
        json_decref(row);
        lines++;
    }
    assert_int_equal(lines, 761);
    sb_bytes_release(&file);
    sb_encoding_release(&e);
    sb_wordpiece_free(&small);
    sb_wordpiece_free(&large);
}

static void longest_piece_wins_and_a_rest_is_unknown(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    assert_encodes(t, "abcd", 4, "1:0-4"); /* abc first; ab ##cd would fit, but is not tried */
    assert_encodes(t, "abab", 4, "1:0-4");
    assert_encodes(t, "xy", 2, "11:0-1 12:1-2");
    assert_encodes(t, "ABxy!", 5, "1:0-4 10:4-5"); /* no ##x */
    assert_encodes(t, "", 0, "");
    assert_encodes(t, " \t\n", 3, "");
    sb_wordpiece_free(&t);
}

static void special_tokens_are_found_inside_words_and_in_their_case_only(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    assert_encodes(t, "ab[SEP]c[sep]", 8, "5:0-2 3:2-7 1:7-8");
    assert_encodes(t, "[[MASK]]!", 9, "1:0-1 4:1-7 1:7-8 10:8-9");
    sb_wordpiece_free(&t);
}

static void zero_bytes_and_control_characters_vanish_but_count_in_offsets(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    assert_encodes(t, "a\0b\x01\x7f c", 7, "5:0-3 1:6-7");
    assert_encodes(t,
                   "\xef\xbf\xbd"
                   "a\xc2\xad"
                   "b",
                   7, "5:1-4"); /* U+FFFD, soft hyphen */
    sb_wordpiece_free(&t);
}

static void accents_go_with_lower_case_unless_told(void **state)
{
    (void)state;
    struct sb_wordpiece_options keep = {true, 0, true, true}, only_strip = {false, 1, true, true};
    struct sb_wordpiece *t = open_small(&uncased);
    assert_encodes(t,
                   "\xc3\x81"
                   "B",
                   3, "5:0-2");
    sb_wordpiece_free(&t);
    t = open_small(&keep);
    assert_encodes(t,
                   "\xc3\x81"
                   "B",
                   3, "1:0-2");
    assert_encodes(t, "AB", 2, "5:0-2");
    sb_wordpiece_free(&t);
    t = open_small(&only_strip);
    assert_encodes(t,
                   "\xc3\xa1"
                   "b",
                   3, "5:0-2");
    assert_encodes(t, "AB", 2, "1:0-2");
    sb_wordpiece_free(&t);
}

static void a_word_above_100_characters_is_unknown(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    char word[128];
    memset(word, 'y', sizeof(word));
    word[0] = 'x';
    struct sb_encoding e = {0};
    sb_wordpiece_encode(t, word, 100, &e);
    assert_int_equal(e.count, 100);
    sb_wordpiece_encode(t, word, 101, &e);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.ids[0], 1);
    assert_int_equal(e.offsets[0][1], 101);
    sb_encoding_release(&e);
    sb_wordpiece_free(&t);
}

static void a_megabyte_word_and_a_megabyte_of_marks_take_no_time(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_encoding e = {0};
    for (int i = 0; i < 1 << 20; i++)
        sb_bytes_append(&text, "x", 1);
    sb_wordpiece_encode(t, text.data, text.count, &e);
    assert_int_equal(e.count, 1);
    sb_bytes_clear(&text);
    for (int i = 0; i < 1 << 18; i++) /* two classes in turn, and one that is not dropped */
        sb_bytes_append_text(&text, i % 2 ? "\xcc\x81" : "\xcc\xa3");
    sb_bytes_append_text(&text, "\xe3\x80\xae");
    sb_wordpiece_encode(t, text.data, text.count, &e);
    assert_int_equal(e.count, 1);
    sb_bytes_release(&text);
    sb_encoding_release(&e);
    sb_wordpiece_free(&t);
}

/* Characters by kind, so that marks, spaces and specials meet more often than by chance. */
static int32_t random_char(const uint32_t draw[4])
{
    static const int32_t ranges[][2] = {
        {0, 0x7f},        {0x80, 0x24f},      {0x300, 0x36f},     {0x370, 0x1fff},
        {0x2000, 0x206f}, {0x3000, 0x30ff},   {0x4e00, 0x9fff},   {0xac00, 0xd7a3},
        {0xe000, 0xffff}, {0x10000, 0x1ffff}, {0x20000, 0x2ffff}, {0x10ff00, 0x10ffff}};
    const int32_t *range = ranges[sb_rng_below(draw[0], sizeof(ranges) / sizeof(ranges[0]))];
    return range[0] + (int32_t)sb_rng_below(draw[1], (uint32_t)(range[1] - range[0] + 1));
}

static uint32_t random_text(struct sb_bytes *text, const struct sb_rng *rng, uint64_t sample)
{
    uint32_t draw[4], chars = 0;
    sb_rng_draw(rng, sample, 0, 0, draw);
    uint32_t length = sb_rng_below(draw[0], 60);
    sb_bytes_clear(text);
    sb_bytes_append_text(text, "");
    for (uint32_t i = 0; i < length; i++) {
        char utf8[4];
        sb_rng_draw(rng, sample, 1, i, draw);
        if (draw[2] % 40 == 0) {
            sb_bytes_append_text(text, "[MASK]");
            chars += 6;
        } else {
            sb_bytes_append(text, utf8, (size_t)sb_char_put(utf8, random_char(draw)));
            chars++;
        }
    }
    return chars;
}

static void any_text_tokenizes_with_rising_offsets(void **state)
{
    (void)state;
    struct sb_wordpiece *tokenizers[] = {open_uncased(), open_small(&cased)};
    struct sb_rng rng = sb_rng_key(7, SB_RNG_SAMPLE, 0);
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_encoding e = {0};
    for (uint64_t sample = 0; sample < 6000; sample++) {
        const struct sb_wordpiece *t = tokenizers[sample % 2];
        uint32_t chars = random_text(&text, &rng, sample);
        assert_int_equal(sb_utf8_check(text.data, text.count), -1);
        sb_wordpiece_encode(t, text.data, text.count, &e);
        uint32_t before = 0;
        for (size_t i = 0; i < e.count; i++) {
            if (e.offsets[i][0] < before || e.offsets[i][1] <= e.offsets[i][0] ||
                e.offsets[i][1] > chars)
                fail_msg("sample %d: token %zu has %u-%u", (int)sample, i, e.offsets[i][0],
                         e.offsets[i][1]);
            before = e.offsets[i][0];
            assert_non_null(sb_wordpiece_text(t, e.ids[i]));
        }
    }
    sb_bytes_release(&text);
    sb_encoding_release(&e);
    sb_wordpiece_free(&tokenizers[0]);
    sb_wordpiece_free(&tokenizers[1]);
}

static void pieces_are_known_by_id_and_by_text(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_small(&uncased);
    struct sb_specials s = sb_wordpiece_specials(t);
    assert_int_equal(sb_wordpiece_count(t), 14);
    assert_string_equal(sb_wordpiece_text(t, 7), "##cd");
    assert_null(sb_wordpiece_text(t, 14));
    assert_null(sb_wordpiece_text(t, -1));
    assert_int_equal(sb_wordpiece_id(t, "##cd"), 7);
    assert_int_equal(sb_wordpiece_id(t, "cd"), -1);
    assert_int_equal(sb_wordpiece_id(t, ""), -1);
    assert_true(sb_wordpiece_continues(t, 7) && !sb_wordpiece_continues(t, 5));
    assert_true(sb_wordpiece_is_special(t, 4) && !sb_wordpiece_is_special(t, 5));
    assert_true(s.pad == 0 && s.unk == 1 && s.cls == 2 && s.sep == 3 && s.mask == 4);
    sb_wordpiece_free(&t);
}

static void a_written_folder_reads_back_as_the_same_tokenizer(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece_options options[] = {{true, -1, true, true}, {false, 1, false, false}};
    const char *parent = sb_test_dir();
    for (int i = 0; i < 2; i++) {
        struct sb_wordpiece *t = open_small(&options[i]), *again = NULL;
        const char *folder = sb_test_path(parent, i ? "b" : "a");
        assert_int_equal(sb_wordpiece_write(t, folder, 512, &err), 0);
        assert_int_equal(sb_wordpiece_open_folder(&again, folder, &err), 0);
        assert_true(sb_wordpiece_fingerprint(t) == sb_wordpiece_fingerprint(again));
        sb_wordpiece_free(&again);
        sb_wordpiece_free(&t);
    }
    assert_true(sb_file_exists(sb_test_path(parent, "a/special_tokens_map.json")));
}

static void the_shared_tokenizer_json_is_the_uncased_vocabulary(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = open_uncased(), *again = NULL;
    const char *folder = sb_test_shared("data/tokenizer");
    assert_int_equal(sb_wordpiece_open_folder(&again, folder, &err), 0);
    assert_true(sb_wordpiece_fingerprint(t) == sb_wordpiece_fingerprint(again));
    sb_wordpiece_free(&again);
    sb_wordpiece_free(&t);
}

static const char *fresh_folder(const char *name, const char *vocab, const char *config)
{
    struct sb_err err = SB_ERR_INIT;
    const char *folder = sb_test_path(sb_test_dir(), name);
    assert_int_equal(sb_dir_make(folder, &err), 0);
    if (vocab)
        sb_test_write(folder, "vocab.txt", vocab);
    if (config)
        sb_test_write(folder, "tokenizer_config.json", config);
    return folder;
}

static void case_follows_the_config_and_then_the_pieces(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *cased_vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nAB\nab\n";
    struct {
        const char *vocab, *config, *expected;
    } cases[] = {
        {small_vocab, NULL, "5:0-2"},                         /* no capitals: lower */
        {cased_vocab, NULL, "5:0-2"},                         /* capitals: cased */
        {cased_vocab, "{\"do_lower_case\": true}", "6:0-2"},  /* told */
        {small_vocab, "{\"do_lower_case\": false}", "1:0-2"}, /* told */
    };
    for (size_t i = 0; i < 4; i++) {
        char name[16];
        struct sb_wordpiece *t = NULL;
        snprintf(name, sizeof(name), "case%zu", i);
        const char *folder = fresh_folder(name, cases[i].vocab, cases[i].config);
        assert_int_equal(sb_wordpiece_open_folder(&t, folder, &err), 0);
        assert_encodes(t, "AB", 2, cases[i].expected);
        sb_wordpiece_free(&t);
        assert_int_equal(sb_wordpiece_open_file(&t, sb_test_path(folder, "vocab.txt"), &err), 0);
        assert_encodes(t, "AB", 2, cases[i].expected);
        sb_wordpiece_free(&t);
    }
}

static void expect_bad(const char *name, const char *json, enum sb_err_code code, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    const char *folder = fresh_folder(name, NULL, NULL);
    if (json)
        sb_test_write(folder, "tokenizer.json", json);
    assert_int_equal(sb_wordpiece_open_folder(&t, folder, &err), -1);
    assert_null(t);
    sb_test_err_is(&err, code, words);
}

#define HEAD                                                                                       \
    "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"                   \
    "\"BertPreTokenizer\"},"
#define VOCAB "\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4}"

static void broken_files_are_named(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    assert_int_equal(sb_wordpiece_open_folder(&t, "no/such/folder", &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "no/such/folder");
    assert_int_equal(sb_wordpiece_open_vocab(&t, "no/such/vocab.txt", &uncased, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "no/such/vocab.txt");
    const char *path = sb_test_write(sb_test_dir(), "bad.txt", "[PAD]\n\xff\n");
    assert_int_equal(sb_wordpiece_open_vocab(&t, path, &uncased, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "line 2");
    path = sb_test_write(sb_test_dir(), "short.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    assert_int_equal(sb_wordpiece_open_vocab(&t, path, &uncased, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "[MASK]");
    expect_bad("j0", NULL, SB_ERR_NO_INPUT, "neither tokenizer.json nor vocab.txt");
    expect_bad("j1", "{", SB_ERR_DATA, "tokenizer.json:1:");
    expect_bad("j2", "[]", SB_ERR_DATA, "not a JSON object");
    expect_bad("j3", "{\"normalizer\":{\"type\":\"NFC\"}}", SB_ERR_DATA, "NFC");
    expect_bad("j4", HEAD "\"model\":{\"type\":\"BPE\"}}", SB_ERR_DATA, "BPE");
    expect_bad("j5", HEAD "\"model\":{}}", SB_ERR_DATA, "vocab");
    expect_bad("j6", HEAD "\"model\":{\"vocab\":{\"a\":-1}}}", SB_ERR_DATA, "'a'");
    expect_bad("j7", HEAD "\"model\":{\"vocab\":{\"a\":1,\"b\":1}}}", SB_ERR_DATA, "id 1");
    expect_bad("j8", HEAD "\"model\":{\"vocab\":{\"a\":99999999}}}", SB_ERR_DATA, "too large");
    expect_bad("j9", HEAD "\"model\":{\"max_input_chars_per_word\":0," VOCAB "}}", SB_ERR_DATA,
               "max_input_chars_per_word");
    expect_bad(
        "j10",
        HEAD
        "\"added_tokens\":[{\"id\":7,\"content\":\"<x>\",\"normalized\":true}],\"model\":{" VOCAB
        "}}",
        SB_ERR_DATA, "<x>");
    expect_bad("j11",
               HEAD "\"added_tokens\":[{\"id\":7,\"content\":\"[SEP]\"}],\"model\":{" VOCAB "}}",
               SB_ERR_DATA, "[SEP]");
    expect_bad("j12", HEAD "\"added_tokens\":[{\"id\":7}],\"model\":{" VOCAB "}}", SB_ERR_DATA,
               "added token");
}

static void added_tokens_beyond_the_vocabulary_are_found(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    const char *folder = fresh_folder("added", NULL, NULL);
    sb_test_write(folder, "tokenizer.json",
                  HEAD
                  "\"added_tokens\":[{\"id\":6,\"content\":\"<x>\"},{\"id\":7,\"content\":\"<xy>\","
                  "\"special\":true}],\"model\":{" VOCAB "}}");
    assert_int_equal(sb_wordpiece_open_folder(&t, folder, &err), 0);
    assert_encodes(t, "<x><xy>", 7, "6:0-3 7:3-7");
    assert_int_equal(sb_wordpiece_count(t), 8);
    assert_string_equal(sb_wordpiece_text(t, 5), ""); /* a hole between the ids */
    assert_true(sb_wordpiece_is_special(t, 7) && !sb_wordpiece_is_special(t, 6));
    sb_wordpiece_free(&t);
}

static void utf8_faults_are_found_at_their_byte(void **state)
{
    (void)state;
    assert_int_equal(sb_utf8_check("", 0), -1);
    assert_int_equal(sb_utf8_check("plain ASCII, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80", 26),
                     -1);
    assert_int_equal(sb_utf8_check("123456789\xff", 10), 9);
    assert_int_equal(sb_utf8_check("a\x80", 2), 1);
    assert_int_equal(sb_utf8_check("\xc0\x80", 2), 0);         /* overlong */
    assert_int_equal(sb_utf8_check("\xe0\x80\x80", 3), 0);     /* overlong */
    assert_int_equal(sb_utf8_check("\xed\xa0\x80", 3), 0);     /* surrogate */
    assert_int_equal(sb_utf8_check("\xf4\x90\x80\x80", 4), 0); /* beyond U+10FFFF */
    assert_int_equal(sb_utf8_check("ab\xe2\x82", 4), 2);       /* cut */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_offsets_equal_the_golden_file),
        cmocka_unit_test(longest_piece_wins_and_a_rest_is_unknown),
        cmocka_unit_test(special_tokens_are_found_inside_words_and_in_their_case_only),
        cmocka_unit_test(zero_bytes_and_control_characters_vanish_but_count_in_offsets),
        cmocka_unit_test(accents_go_with_lower_case_unless_told),
        cmocka_unit_test(a_word_above_100_characters_is_unknown),
        cmocka_unit_test(a_megabyte_word_and_a_megabyte_of_marks_take_no_time),
        cmocka_unit_test(any_text_tokenizes_with_rising_offsets),
        cmocka_unit_test(pieces_are_known_by_id_and_by_text),
        cmocka_unit_test(a_written_folder_reads_back_as_the_same_tokenizer),
        cmocka_unit_test(the_shared_tokenizer_json_is_the_uncased_vocabulary),
        cmocka_unit_test(case_follows_the_config_and_then_the_pieces),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(added_tokens_beyond_the_vocabulary_are_found),
        cmocka_unit_test(utf8_faults_are_found_at_their_byte),
    };
    return cmocka_run_group_tests_name("wordpiece", tests, NULL, NULL);
}
