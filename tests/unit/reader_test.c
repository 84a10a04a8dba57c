/* Records from files of every format and compression, and every way in which a file can be wrong.
 */
#include "bytes.h"
#include "reader.h"
#include "support.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static struct sb_reader *open_reader(struct sb_reader_options options, const char *path)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_reader *reader = NULL;
    char *paths[] = {(char *)(uintptr_t)path};
    options.paths = paths;
    options.path_count = 1;
    if (sb_reader_open(&reader, &options, &err) < 0)
        fail_msg("%s", err.text);
    return reader;
}

/* All records as "line:label|text|pair;", blank ones as "line:-;". */
static void read_all(struct sb_bytes *out, struct sb_reader_options options, const char *path)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_record record;
    struct sb_reader *reader = open_reader(options, path);
    int rc;
    sb_bytes_clear(out);
    sb_bytes_append_text(out, "");
    while ((rc = sb_reader_next(reader, &record, &err)) == 1) {
        assert_int_equal(strlen(record.text), record.text_bytes);
        assert_string_equal(record.path, path);
        sb_bytes_printf(out, "%d:", (int)record.line);
        if (record.blank)
            sb_bytes_append_text(out, "-;");
        else
            sb_bytes_printf(out, "%s|%s|%s;", record.label ? record.label : "", record.text,
                            record.text_pair ? record.text_pair : "");
    }
    if (rc < 0)
        fail_msg("%s", err.text);
    sb_reader_free(&reader);
}

static void assert_reads(struct sb_reader_options options, const char *name, const char *content,
                         const char *expected)
{
    struct sb_bytes found = SB_BYTES_INIT;
    read_all(&found, options, sb_test_write(sb_test_dir(), name, content));
    assert_string_equal(found.data, expected);
    sb_bytes_release(&found);
}

static void assert_refuses_path(struct sb_reader_options options, const char *path,
                                enum sb_err_code code, const char *words)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_reader *reader = NULL;
    struct sb_record record;
    char *paths[] = {(char *)(uintptr_t)path};
    options.paths = paths;
    options.path_count = 1;
    int rc = sb_reader_open(&reader, &options, &err);
    while (rc >= 0 && (rc = sb_reader_next(reader, &record, &err)) == 1) {
    }
    assert_int_equal(rc, -1);
    sb_test_err_is(&err, code, words);
    sb_reader_free(&reader);
}

static void assert_refuses(struct sb_reader_options options, const char *name, const char *content,
                           const char *words)
{
    assert_refuses_path(options, sb_test_write(sb_test_dir(), name, content), SB_ERR_DATA, words);
}

static const struct sb_reader_options plain = {0};
static const struct sb_reader_options labelled = {.labelled = true};

static void text_is_one_record_a_line_and_blank_lines_say_so(void **state)
{
    (void)state;
    assert_reads(plain, "a.txt", "one\n\n \t\ntwo", "1:|one|;2:-;3:-;4:|two|;");
    assert_reads(plain, "a.txt", "", "");
    assert_reads(plain, "a.log", "a\tb\n{}\n", "1:|a\tb|;2:|{}|;");
    assert_reads(plain, "a.txt", "\xef\xbb\xbfone\r\ntwo\r\n", "1:|one|;2:|two|;");
}

static void tsv_has_no_quoting(void **state)
{
    (void)state;
    assert_reads(labelled, "a.tsv", "pos\t\"quoted\nneg\ta \"b\" c\"\n",
                 "1:pos|\"quoted|;2:neg|a \"b\" c\"|;");
    assert_reads(labelled, "a.tsv", "pos\ta\r\n\r\nneg\t\r\n", "1:pos|a|;3:neg||;");
    assert_reads(plain, "a.tsv", "only\n", "1:|only|;");
    assert_reads(plain, "a.tsv", "pos\ttext\n", "1:|text|;");
    assert_reads(labelled, "a.data", "pos\ttext\n", "1:pos|text|;"); /* by its first line */
}

static void csv_follows_rfc_4180(void **state)
{
    (void)state;
    assert_reads(labelled, "a.csv", "pos,plain\nneg,\"a, \"\"b\"\"\nc\"\npos, space \n",
                 "1:pos|plain|;2:neg|a, \"b\"\nc|;4:pos| space |;");
    assert_reads(labelled, "a.csv", "pos,\"a\r\nb\"\r\n\r\nneg,c", "1:pos|a\r\nb|;4:neg|c|;");
    assert_refuses(labelled, "a.csv", "pos,a\npos,a\"b\n", "a.csv:2:6: a quote");
    assert_refuses(labelled, "a.csv", "pos,\"a\" b\n", "a.csv:1:8: a quote");
    assert_refuses(labelled, "a.csv", "pos,a\npos,\"b\n\nc\n", "a.csv:2: a quote that opens");
    assert_refuses(labelled, "a.csv", "pos,a\rneg,b\r", "carriage return");
}

static void columns_are_named_or_numbered(void **state)
{
    (void)state;
    const char *table = "id\ttext\tother\tlabel\n1\ta\tb\tpos\n";
    struct sb_reader_options o = {
        .labelled = true, .text_column = "other", .label_column = "label"};
    assert_reads(o, "a.tsv", table, "2:pos|b|;");
    o.text_pair_column = "text";
    assert_reads(o, "a.tsv", table, "2:pos|b|a;");
    o = (struct sb_reader_options){.labelled = true, .header = true};
    assert_reads(o, "a.tsv", table, "2:pos|a|;");
    assert_reads(o, "b.tsv", "x\ty\npos\ta\n", "2:pos|a|;");
    assert_reads(o, "c.tsv", "sentence1\tsentence2\tlabel\na\tb\tpos\n", "2:pos|a|b;");
    o = (struct sb_reader_options){.labelled = true, .text_column = "0", .label_column = "2"};
    assert_reads(o, "d.csv", "a,b,c\n", "1:c|a|;");
    o = (struct sb_reader_options){.labelled = true, .text_column = "0"};
    assert_reads(o, "d.csv", "a,b\n", "1:b|a|;");
    o = (struct sb_reader_options){.labelled = true, .label_column = "1"};
    assert_reads(o, "d.csv", "a,b\n", "1:b|a|;");
    o = (struct sb_reader_options){.text_column = "1"};
    assert_reads(o, "d.csv", "a,b\n", "1:|b|;");
    o = (struct sb_reader_options){.header = true};
    assert_reads(o, "d.csv", "text,b,c\n", "");
}

static void a_column_that_is_not_there_is_named_with_those_that_are(void **state)
{
    (void)state;
    struct sb_reader_options o = {.labelled = true, .text_column = "body", .label_column = "label"};
    assert_refuses(o, "a.tsv", "label\ttext\n",
                   "a.tsv:1: there is no column 'body': the columns are 'label', 'text'");
    o.text_column = "2";
    o.label_column = "0";
    assert_refuses(o, "a.tsv", "pos\ttext\n", "no column '2': there are 2");
    o.text_column = "1";
    o.text_pair_column = "7";
    assert_refuses(o, "a.tsv", "pos\ttext\n", "no column '7'");
    o.text_pair_column = NULL;
    o.label_column = "9";
    assert_refuses(o, "a.csv", "pos,text\n", "no column '9'");
    assert_refuses(labelled, "a.tsv", "a\tb\tc\n", "label_column");
    assert_refuses(plain, "a.tsv", "a\tb\tc\n", "text_column");
    assert_refuses(labelled, "a.tsv", "text\n", "label_column");
    assert_refuses(labelled, "a.tsv", "pos\ta\nneg\tb\tc\n",
                   "a.tsv:2: 3 columns, where the first line has 2");
    assert_refuses(labelled, "a.tsv", "pos\ta\nneg\n", "a.tsv:2: 1 column,");
    assert_refuses(labelled, "a.tsv", "\ta\n", "label is empty");
    assert_refuses(labelled, "a.txt", "no columns here\n", "a.txt:1: plain text");
}

static void jsonl_gives_text_pairs_and_labels(void **state)
{
    (void)state;
    assert_reads(
        labelled, "a.jsonl",
        "{\"text\": \"caf\\u00e9\", \"label\": 3}\n\n{\"label\": \"pos\", \"text\": \"\"}\n",
        "1:3|caf\xc3\xa9|;3:pos||;");
    assert_reads(labelled, "a.json", "{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":-1}",
                 "1:-1|a|b;");
    assert_reads(plain, "a.jsonl", "{\"text\":\"a\",\"label\":[1]}", "1:|a|;");
    struct sb_reader_options o = {
        .labelled = true, .text_column = "q", .text_pair_column = "r", .label_column = "y"};
    assert_reads(o, "a.jsonl", "{\"q\":\"a\",\"r\":\"b\",\"y\":\"z\"}", "1:z|a|b;");
    assert_reads(labelled, "a.data", "{\"text\":\"a\",\"label\":1}", "1:1|a|;");
    assert_refuses(labelled, "a.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\": 1.}\n",
                   "a.jsonl:2:");
    assert_refuses(labelled, "a.jsonl", "[1]\n", "a.jsonl:1: the line is not a JSON object");
    assert_refuses(labelled, "a.jsonl", "{\"label\":1,\"body\":2}\n",
                   "'text' is missing (the keys are: 'label', 'body')");
    assert_refuses(labelled, "a.jsonl", "{\"text\":1}\n", "'text' is not a string");
    assert_refuses(labelled, "a.jsonl", "{\"text\":\"a\"}\n", "'label' is missing");
    assert_refuses(labelled, "a.jsonl", "{\"text\":\"a\",\"label\":1.5}\n", "'label' is neither");
    assert_refuses(labelled, "a.jsonl", "{\"text\":\"a\",\"label\":\"\"}\n", "'label' is empty");
    assert_refuses(labelled, "a.jsonl", "{\"sentence1\":\"a\",\"label\":1}\n",
                   "'sentence2' is missing");
    assert_refuses(labelled, "a.jsonl", "{\"text\":\"a\",\"text\":\"b\"}\n", "duplicate");
}

static void zero_characters_stay_in_the_text(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_record record;
    struct sb_reader *r =
        open_reader(plain, sb_test_write(sb_test_dir(), "a.jsonl", "{\"text\":\"a\\u0000b\"}"));
    assert_int_equal(sb_reader_next(r, &record, &err), 1);
    assert_int_equal(record.text_bytes, 3);
    assert_memory_equal(record.text, "a\0b", 3);
    sb_reader_free(&r);
}

static void broken_utf8_is_named_by_line_and_column_or_replaced(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_record record;
    const char *path = sb_test_write(sb_test_dir(), "a.txt", "fine\n\xc3\xa9t\xe9 \xff!\n");
    assert_refuses_path(plain, path, SB_ERR_DATA, "a.txt:2:3: byte 0xe9 is not UTF-8");
    struct sb_reader_options lenient = {.lenient = true};
    struct sb_reader *r = open_reader(lenient, path);
    uint64_t done = 0, total = 0, replaced = 0;
    assert_int_equal(sb_reader_next(r, &record, &err), 1);
    assert_int_equal(sb_reader_next(r, &record, &err), 1);
    assert_string_equal(record.text, "\xc3\xa9t\xef\xbf\xbd \xef\xbf\xbd!");
    assert_int_equal(sb_reader_next(r, &record, &err), 0);
    assert_int_equal(sb_reader_next(r, &record, &err), 0);
    sb_reader_progress(r, &done, &total, &replaced);
    assert_true(done == 13 && total == 13 && replaced == 2);
    sb_reader_free(&r);
}

static void a_line_above_16_mib_is_refused(void **state)
{
    (void)state;
    size_t limit = 16 << 20;
    char *line = malloc(limit + 2);
    assert_non_null(line);
    memset(line, 'x', limit + 1);
    line[limit + 1] = 0;
    assert_refuses(plain, "a.txt", line, "a.txt:1: the line is longer than 16 MiB");
    line[limit] = 0;
    struct sb_err err = SB_ERR_INIT;
    struct sb_record record;
    struct sb_reader *r = open_reader(plain, sb_test_write(sb_test_dir(), "b.txt", line));
    assert_int_equal(sb_reader_next(r, &record, &err), 1);
    assert_int_equal(record.text_bytes, limit);
    sb_reader_free(&r);
    free(line);
}

static void missing_files_and_folders_are_no_input(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    assert_refuses_path(plain, "no/such.txt", SB_ERR_NO_INPUT, "no/such.txt");
    assert_refuses_path(plain, dir, SB_ERR_NO_INPUT, "is a folder");
    assert_refuses_path(plain, sb_test_path(dir, "*.txt"), SB_ERR_NO_INPUT, "*.txt");
}

static void globs_expand_in_byte_order_and_literal_names_first(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    sb_test_write(dir, "b.txt", "b");
    sb_test_write(dir, "B.txt", "B");
    sb_test_write(dir, "a.txt", "a");
    sb_test_write(dir, "[x].txt", "x");
    char *patterns[] = {(char *)(uintptr_t)sb_test_path(dir, "b.txt"),
                        (char *)(uintptr_t)sb_test_path(dir, "?.txt"),
                        (char *)(uintptr_t)sb_test_path(dir, "[x].txt"), (char *)(uintptr_t) "-"};
    const char *expected[] = {"b.txt", "B.txt", "a.txt", "b.txt", "[x].txt", "-"};
    char **paths = NULL;
    size_t count = 0;
    assert_int_equal(sb_paths_expand(&paths, &count, patterns, 4, &err), 0);
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(strrchr(paths[i], '/') ? strrchr(paths[i], '/') + 1 : paths[i],
                            expected[i]);
    sb_paths_free(&paths, &count);
}

static void each_file_has_its_own_header_and_lines(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    char *paths[] = {
        (char *)(uintptr_t)sb_test_write(dir, "a.tsv", "text\tlabel\na\tpos\n"),
        (char *)(uintptr_t)sb_test_write(dir, "b.csv", "label,text\nneg,b\n"),
        (char *)(uintptr_t)sb_test_write(dir, "c.jsonl", "{\"text\":\"c\",\"label\":\"pos\"}\n")};
    struct sb_reader_options o = {.paths = paths,
                                  .path_count = 3,
                                  .labelled = true,
                                  .text_column = "text",
                                  .label_column = "label"};
    struct sb_reader *r = NULL;
    struct sb_record record;
    assert_int_equal(sb_reader_open(&r, &o, &err), 0);
    const char *texts[] = {"a", "b", "c"}, *labels[] = {"pos", "neg", "pos"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sb_reader_next(r, &record, &err), 1);
        assert_string_equal(record.text, texts[i]);
        assert_string_equal(record.label, labels[i]);
        assert_int_equal(record.line, i == 2 ? 1 : 2);
    }
    assert_int_equal(sb_reader_next(r, &record, &err), 0);
    sb_reader_free(&r);
}

/* ---- compression ---- */

enum packing { GZIP, XZ, ZSTANDARD, PACKING_COUNT };
static const char *const endings[] = {".gz", ".xz", ".zst"};

static size_t pack(enum packing packing, uint8_t *out, size_t room, const char *text)
{
    size_t bytes = strlen(text), used = 0;
    if (packing == XZ) {
        assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, (const uint8_t *)text,
                                                 bytes, out, &used, room),
                         LZMA_OK);
        return used;
    }
    if (packing == ZSTANDARD) {
        ZSTD_CCtx *context = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1); /* as the zstd command does */
        used = ZSTD_compress2(context, out, room, text, bytes);
        ZSTD_freeCCtx(context);
        return used;
    }
    z_stream z = {.next_in = (Bytef *)(uintptr_t)text,
                  .avail_in = (uInt)bytes,
                  .next_out = out,
                  .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    used = z.total_out;
    deflateEnd(&z);
    return used;
}

static const char *write_bytes(const char *name, const uint8_t *data, size_t bytes)
{
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), name);
    assert_int_equal(sb_file_write_atomic(path, data, bytes, &err), 0);
    return path;
}

static void every_compression_is_read_by_its_content(void **state)
{
    (void)state;
    uint8_t packed[4096];
    struct sb_bytes found = SB_BYTES_INIT;
    for (int p = 0; p < PACKING_COUNT; p++) {
        char name[16];
        /* Two members, one behind the other, read as one file. */
        size_t bytes = pack((enum packing)p, packed, 2048, "pos\ta\n");
        bytes += pack((enum packing)p, packed + bytes, 2048, "neg\tb\n");
        snprintf(name, sizeof(name), "a.tsv%s", endings[p]);
        read_all(&found, labelled, write_bytes(name, packed, bytes));
        assert_string_equal(found.data, "1:pos|a|;2:neg|b|;");
        read_all(&found, labelled, write_bytes("a.tsv", packed, bytes));
        assert_string_equal(found.data, "1:pos|a|;2:neg|b|;");
    }
    sb_bytes_release(&found);
}

static void compressed_files_that_are_cut_or_damaged_are_refused(void **state)
{
    (void)state;
    uint8_t packed[4096];
    for (int p = 0; p < PACKING_COUNT; p++) {
        char name[16];
        size_t bytes =
            pack((enum packing)p, packed, sizeof(packed), "some text that is to be packed\n");
        snprintf(name, sizeof(name), "a.txt%s", endings[p]);
        for (size_t cut = 0; cut < bytes; cut++)
            assert_refuses_path(plain, write_bytes(name, packed, cut), SB_ERR_DATA, name);
        packed[bytes / 2] ^= 0x55;
        assert_refuses_path(plain, write_bytes(name, packed, bytes), SB_ERR_DATA, name);
        assert_refuses_path(plain, write_bytes(name, (const uint8_t *)"plain text", 10),
                            SB_ERR_DATA, name);
    }
}

static void large_compressed_files_come_out_whole(void **state)
{
    (void)state;
    size_t lines = 60000, room = 4 << 20;
    struct sb_bytes text = SB_BYTES_INIT;
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    for (size_t i = 0; i < lines; i++)
        sb_bytes_printf(&text, "line %zu of a file that is larger than any buffer\n", i);
    for (int p = 0; p < PACKING_COUNT; p++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_record record;
        size_t bytes = pack((enum packing)p, packed, room, text.data), count = 0;
        struct sb_reader *r = open_reader(plain, write_bytes("large", packed, bytes));
        char expected[32];
        while (sb_reader_next(r, &record, &err) == 1) {
            int n = snprintf(expected, sizeof(expected), "line %zu ", count++);
            assert_memory_equal(record.text, expected, (size_t)n);
        }
        assert_int_equal(count, lines);
        sb_reader_free(&r);
    }
    free(packed);
    sb_bytes_release(&text);
}

static void standard_input_is_a_file_named_dash(void **state)
{
    (void)state;
    int ends[2], kept = dup(STDIN_FILENO);
    struct sb_bytes found = SB_BYTES_INIT;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "pos\ta\nneg\tb\n", 12), 12);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    read_all(&found, labelled, "-");
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(ends[0]);
    assert_string_equal(found.data, "1:pos|a|;2:neg|b|;");
    sb_bytes_release(&found);
}

static size_t count_shared(const char *name, size_t label_count[2])
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_record record;
    struct sb_reader *r = open_reader(labelled, sb_test_shared(name));
    size_t count = 0;
    int rc;
    while ((rc = sb_reader_next(r, &record, &err)) == 1) {
        label_count[!strcmp(record.label, "pos")]++;
        count++;
    }
    assert_int_equal(rc, 0);
    sb_reader_free(&r);
    return count;
}

static void rotten_tomatoes_is_read_whole(void **state)
{
    (void)state;
    size_t labels[2] = {0};
    assert_int_equal(count_shared("data/classification/rotten_tomatoes/train.tsv", labels), 8530);
    assert_int_equal(count_shared("data/classification/rotten_tomatoes/validation.tsv", labels),
                     1066);
    assert_int_equal(count_shared("data/classification/rotten_tomatoes/test.tsv", labels), 1066);
    assert_int_equal(labels[0], labels[1]);
    assert_int_equal(labels[0], 5331);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_one_record_a_line_and_blank_lines_say_so),
        cmocka_unit_test(tsv_has_no_quoting),
        cmocka_unit_test(csv_follows_rfc_4180),
        cmocka_unit_test(columns_are_named_or_numbered),
        cmocka_unit_test(a_column_that_is_not_there_is_named_with_those_that_are),
        cmocka_unit_test(jsonl_gives_text_pairs_and_labels),
        cmocka_unit_test(zero_characters_stay_in_the_text),
        cmocka_unit_test(broken_utf8_is_named_by_line_and_column_or_replaced),
        cmocka_unit_test(a_line_above_16_mib_is_refused),
        cmocka_unit_test(missing_files_and_folders_are_no_input),
        cmocka_unit_test(globs_expand_in_byte_order_and_literal_names_first),
        cmocka_unit_test(each_file_has_its_own_header_and_lines),
        cmocka_unit_test(every_compression_is_read_by_its_content),
        cmocka_unit_test(compressed_files_that_are_cut_or_damaged_are_refused),
        cmocka_unit_test(large_compressed_files_come_out_whole),
        cmocka_unit_test(standard_input_is_a_file_named_dash),
        cmocka_unit_test(rotten_tomatoes_is_read_whole),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
