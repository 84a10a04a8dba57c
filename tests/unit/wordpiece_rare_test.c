/*
 * The tokenizer on characters that text hardly has.  The expected values are Hugging Face's, by
 * tests/golden/wordpiece_unicode.js.
 */
#include "bytes.h"
#include "hash.h"
#include "support.h"
#include "wordpiece.h"
#include "wordpiece_unicode.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* XXH3 of what the script prints for all code points. */
#define POINTS_HASH 0xf9e065e2ac0d1ab6u

static void append_points(struct sb_bytes *out, const int32_t *points, int count)
{
    for (int i = 0; i < count; i++)
        sb_bytes_printf(out, i ? " %" PRIx32 : "%" PRIx32, (uint32_t)points[i]);
    sb_bytes_append(out, "\t", 1);
}

static void append_line(struct sb_bytes *out, int32_t c)
{
    uint8_t classes = sb_char_classes(c);
    int32_t cleaned = classes & SB_CHAR_SPACE ? ' ' : c, apart[3] = {' ', c, ' '};
    int32_t parts[SB_MAX_DECOMPOSED], letters[SB_MAX_DECOMPOSED], lower[2];
    int part_count = sb_char_decompose(c, parts), letter_count = 0;
    for (int i = 0; i < part_count; i++)
        if (!(sb_char_classes(parts[i]) & SB_CHAR_MARK))
            letters[letter_count++] = parts[i];
    append_points(out, &c, 1);
    append_points(out, &cleaned, classes & SB_CHAR_CONTROL ? 0 : 1);
    if (classes & SB_CHAR_CHINESE)
        append_points(out, apart, 3);
    else
        append_points(out, &c, 1);
    append_points(out, parts, part_count);
    append_points(out, letters, letter_count);
    append_points(out, lower, sb_char_lower(c, lower));
    sb_bytes_append_text(out, classes & SB_CHAR_PUNCT   ? "P\n"
                              : classes & SB_CHAR_SPACE ? "W\n"
                                                        : "-\n");
}

static void every_code_point_is_answered_as_the_original_does(void **state)
{
    (void)state;
    struct sb_bytes text = SB_BYTES_INIT;
    for (int32_t c = 0; c < 0x110000; c++)
        if (c < 0xd800 || c >= 0xe000)
            append_line(&text, c);
    assert_true(sb_hash(text.data, text.count) == POINTS_HASH);
    sb_bytes_release(&text);
}

/* The script's vocabulary: the specials, then each character of these ranges, alone and inside a
 * word. */
static struct sb_wordpiece *open_all_characters(void)
{
    static const int32_t ranges[][2] = {
        {0x21, 0x24ff}, {0x3000, 0x30ff}, {0xfb00, 0xffff}, {0x10000, 0x11fff}, {0x1d160, 0x1d180}};
    static const struct sb_wordpiece_options options = {true, -1, true, true};
    struct sb_err err = SB_ERR_INIT;
    struct sb_wordpiece *t = NULL;
    struct sb_bytes vocab = SB_BYTES_INIT;
    sb_bytes_append_text(&vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        for (int32_t c = ranges[i][0]; c <= ranges[i][1]; c++) {
            char utf8[5] = {0};
            sb_char_put(utf8, c);
            sb_bytes_printf(&vocab, "%s\n##%s\n", utf8, utf8);
        }
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", vocab.data);
    if (sb_wordpiece_open_vocab(&t, path, &options, &err) < 0)
        fail_msg("%s", err.text);
    sb_bytes_release(&vocab);
    return t;
}

static void assert_same(const struct sb_encoding *e, const json_t *row, const char *line)
{
    const json_t *ids = json_object_get(row, "ids"), *offsets = json_object_get(row, "offsets");
    if (json_array_size(ids) != e->count)
        fail_msg("%zu tokens: %s", e->count, line);
    for (size_t i = 0; i < e->count; i++) {
        const json_t *offset = json_array_get(offsets, i);
        if (json_integer_value(json_array_get(ids, i)) != e->ids[i] ||
            json_integer_value(json_array_get(offset, 0)) != e->offsets[i][0] ||
            json_integer_value(json_array_get(offset, 1)) != e->offsets[i][1])
            fail_msg("token %zu is %d at %u-%u: %s", i, e->ids[i], e->offsets[i][0],
                     e->offsets[i][1], line);
    }
}

static void marks_and_letters_of_all_scripts_mix_as_in_the_original(void **state)
{
    (void)state;
    struct sb_wordpiece *t = open_all_characters();
    struct sb_bytes file = SB_BYTES_INIT;
    struct sb_encoding e = {0};
    struct sb_err err = SB_ERR_INIT;
    size_t lines = 0;
    if (sb_file_read(&file, "tests/golden/wordpiece_rare.jsonl", &err) < 0)
        fail_msg("%s", err.text);
    for (char *rest = file.data, *line; (line = strsep(&rest, "\n"));) {
        json_t *row = *line ? json_loads(line, JSON_ALLOW_NUL, NULL) : NULL;
        if (!row)
            continue;
        const json_t *text = json_object_get(row, "text");
        sb_wordpiece_encode(t, json_string_value(text), json_string_length(text), &e);
        assert_same(&e, row, line);
        json_decref(row);
        lines++;
    }
    assert_int_equal(lines, 200);
    sb_bytes_release(&file);
    sb_encoding_release(&e);
    sb_wordpiece_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_answered_as_the_original_does),
        cmocka_unit_test(marks_and_letters_of_all_scripts_mix_as_in_the_original),
    };
    return cmocka_run_group_tests_name("wordpiece_rare", tests, NULL, NULL);
}
