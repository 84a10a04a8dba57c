/* The safetensors reader against files that lie, and the writer against the reader. */
#include "support.h"

#include "arena.h"
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* A file of a header as text and data_bytes bytes of zero. */
static void compose(struct sb_bytes *out, const char *header, size_t data_bytes)
{
    uint64_t header_bytes = strlen(header);
    sb_bytes_clear(out);
    sb_bytes_append(out, &header_bytes, sizeof(header_bytes));
    sb_bytes_append_text(out, header);
    for (size_t i = 0; i < data_bytes; i++)
        sb_bytes_append(out, "", 1);
}

static void write_file(const char *path, const char *header, size_t data_bytes)
{
    struct sb_bytes bytes = SB_BYTES_INIT;
    compose(&bytes, header, data_bytes);
    write_bytes(path, bytes.data, bytes.count);
    sb_bytes_release(&bytes);
}

static void tensors_of_all_kinds_are_read(void **state)
{
    (void)state;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "a.safetensors");
    write_file(path,
               "{\"__metadata__\":{\"format\":\"pt\",\"who\":\"\\u00e9\"},"
               "\"b\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[4,20]},"
               "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
               "\"empty\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4]},"
               "\"u\":{\"dtype\":\"U8\",\"shape\":[1,2,3],\"data_offsets\":[20,26]}}   ",
               26);
    assert_int_equal(sb_safetensors_open(&file, path, &err), 0);
    assert_int_equal(file.count, 4);
    assert_string_equal(sb_safetensors_meta(&file, "format"), "pt");
    assert_string_equal(sb_safetensors_meta(&file, "who"), "\xc3\xa9");
    assert_null(sb_safetensors_meta(&file, "none"));
    assert_null(sb_safetensors_find(&file, "none"));

    const struct sb_st_tensor *scalar = sb_safetensors_find(&file, "scalar");
    assert_int_equal(scalar->dim_count, 0);
    assert_int_equal(scalar->element_count, 1);
    assert_int_equal(sb_safetensors_find(&file, "empty")->element_count, 0);
    const struct sb_st_tensor *u = sb_safetensors_find(&file, "u");
    assert_int_equal(u->dim_count, 3);
    assert_int_equal(u->dims[2], 3);
    assert_int_equal(u->element_count, 6);
    /* In the order of the data, not of the header. */
    assert_string_equal(file.tensors[0].name, "scalar");
    assert_string_equal(file.tensors[3].name, "u");

    float values[6];
    int64_t whole[6] = {1, 1, 1, 1, 1, 1};
    assert_int_equal(sb_safetensors_floats(values, &file, scalar, &err), 0);
    assert_int_equal(sb_safetensors_ints(whole, &file, u, &err), 0);
    assert_int_equal(whole[5], 0);
    assert_int_equal(sb_safetensors_floats(values, &file, u, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'u' is U8");
    assert_int_equal(sb_safetensors_ints(whole, &file, scalar, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'scalar' is F32");
    sb_safetensors_close(&file);
}

/* One tensor "x" of the bits given, read as floats. */
static void read_bits(float *out, size_t count, const char *dtype, const void *bits, size_t bytes)
{
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes text = SB_BYTES_INIT, whole = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "bits.safetensors");
    sb_bytes_printf(&text, "{\"x\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}",
                    dtype, count, bytes);
    compose(&whole, text.data, 0);
    sb_bytes_append(&whole, bits, bytes);
    write_bytes(path, whole.data, whole.count);
    if (sb_safetensors_open(&file, path, &err) < 0 ||
        sb_safetensors_floats(out, &file, &file.tensors[0], &err) < 0)
        fail_msg("%s", err.text);
    sb_safetensors_close(&file);
    sb_bytes_release(&text);
    sb_bytes_release(&whole);
}

static void half_precision_is_read_exactly(void **state)
{
    (void)state;
    static const uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0400,
                                    0x03ff, 0x0001, 0x8001, 0x7c00, 0xfc00, 0x7e00};
    static const float expected[] = {0.0f,       -0.0f,    1.0f,      -2.0f,    65504.0f,  0x1p-14f,
                                     0x3ffp-24f, 0x1p-24f, -0x1p-24f, INFINITY, -INFINITY, NAN};
    enum { HALVES = sizeof(half) / sizeof(half[0]) };
    float values[HALVES];
    read_bits(values, HALVES, "F16", half, sizeof(half));
    for (size_t i = 0; i < HALVES - 1; i++)
        assert_memory_equal(&values[i], &expected[i], sizeof(float));
    assert_true(isnan(values[HALVES - 1]));
}

static void bfloats_and_doubles_become_the_nearest_floats(void **state)
{
    (void)state;
    static const uint16_t bfloat[] = {0x3f80, 0xc049, 0x0001, 0x7f80, 0x8000};
    static const float expected[] = {1.0f, -3.140625f, 0x1p-133f, INFINITY, -0.0f};
    static const double wide[] = {0.1, -1e300, 0x1p-149};
    float values[5];
    read_bits(values, 5, "BF16", bfloat, sizeof(bfloat));
    assert_memory_equal(values, expected, sizeof(expected));
    read_bits(values, 3, "F64", wide, sizeof(wide));
    assert_true(values[0] == 0.1f && values[1] == -INFINITY && values[2] == 0x1p-149f);
}

static void integers_keep_their_signs(void **state)
{
    (void)state;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes bytes = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "ints.safetensors");
    compose(&bytes,
            "{\"a\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[2,4]},"
            "\"c\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[4,8]},"
            "\"d\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[8,10]},"
            "\"e\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[10,18]}}",
            0);
    for (size_t i = 0; i < 18; i++)
        sb_bytes_append(&bytes, i == 1 ? "\x05" : "\xff", 1);
    write_bytes(path, bytes.data, bytes.count);
    assert_int_equal(sb_safetensors_open(&file, path, &err), 0);
    const int64_t expected[] = {-1, -1, -1, 65535};
    for (size_t i = 0; i < 4; i++) {
        int64_t values[2];
        assert_int_equal(sb_safetensors_ints(values, &file, &file.tensors[i], &err), 0);
        assert_int_equal(values[0], expected[i]);
        if (i == 0)
            assert_int_equal(values[1], 5);
    }
    int64_t value;
    assert_int_equal(sb_safetensors_ints(&value, &file, &file.tensors[4], &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "beyond 2^63");
    sb_safetensors_close(&file);
    sb_bytes_release(&bytes);
}

static const struct {
    const char *header;
    size_t data_bytes;
    const char *words; /* in the error */
} lies[] = {
    {"", 0, "does not start"},
    {" {}", 0, "does not start"},
    {"[]", 0, "does not start"},
    {"{", 0, "header"},
    {"{} x", 0, "header"},
    {"{\"x\":1}", 0, "not described"},
    {"{\"__metadata__\":1}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "not a string"},
    {"{\"\xff\":1}", 0, "header"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "header"},
    {"{\"x\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
    {"{\"x\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
    {"{\"x\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
    {"{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "shape"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
     "shape"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "beyond all memory"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     "beyond all memory"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0,
     "header"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "cut short"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "its shape needs 8"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "end at byte 4"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5, "hole"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
     6, "overlaps"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "overlaps"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "duplicate"},
    {"{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "duplicate"},
};

static void headers_that_lie_are_refused_with_file_and_reason(void **state)
{
    (void)state;
    const char *path = sb_test_path(sb_test_dir(), "lie.safetensors");
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct sb_safetensors file;
        struct sb_err err = SB_ERR_INIT;
        write_file(path, lies[i].header, lies[i].data_bytes);
        if (sb_safetensors_open(&file, path, &err) == 0)
            fail_msg("accepted: %s", lies[i].header);
        sb_test_err_is(&err, SB_ERR_DATA, lies[i].words);
        sb_test_err_is(&err, SB_ERR_DATA, "lie.safetensors");
        sb_safetensors_close(&file); /* harmless */
    }
}

static void header_sizes_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {3, 100000001, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7};
    const char *path = sb_test_path(sb_test_dir(), "size.safetensors");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sb_safetensors file;
        struct sb_err err = SB_ERR_INIT;
        char bytes[10] = "........{}";
        memcpy(bytes, &sizes[i], sizeof(sizes[i]));
        write_bytes(path, bytes, sizeof(bytes));
        assert_int_equal(sb_safetensors_open(&file, path, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, "byte 0");
    }
}

static void header_nested_without_end_is_refused(void **state)
{
    (void)state;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes text = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "deep.safetensors");
    for (int i = 0; i < 200000; i++)
        sb_bytes_append_text(&text, "{\"x\":");
    write_file(path, text.data, 0);
    assert_int_equal(sb_safetensors_open(&file, path, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "header");
    sb_bytes_release(&text);
}

static void missing_file_is_no_input(void **state)
{
    (void)state;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_safetensors_open(&file, sb_test_path(sb_test_dir(), "none"), &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "none");
}

static const char small_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"bert.w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[24,30]},"
    "\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[30,38]}}";

/* Opens, and reads all there is; whatever was opened must lie inside the file. */
static bool opens(const char *path)
{
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    if (sb_safetensors_open(&file, path, &err) < 0) {
        assert_int_equal(err.code, SB_ERR_DATA);
        return false;
    }
    for (size_t i = 0; i < file.count; i++) {
        const struct sb_st_tensor *tensor = &file.tensors[i];
        assert_true(file.data + tensor->end <= file.map.data + file.map.bytes);
        assert_true(tensor->element_count <= file.map.bytes);
        float *values = sb_alloc(tensor->element_count * sizeof(*values));
        sb_safetensors_floats(values, &file, tensor, &err);
        free(values);
    }
    sb_safetensors_close(&file);
    return true;
}

static void no_truncation_is_accepted(void **state)
{
    (void)state;
    struct sb_bytes bytes = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "cut.safetensors");
    compose(&bytes, small_header, 38);
    for (size_t count = 0; count < bytes.count; count++) {
        write_bytes(path, bytes.data, count);
        if (opens(path))
            fail_msg("accepted the first %zu of %zu bytes", count, bytes.count);
    }
    write_bytes(path, bytes.data, bytes.count);
    assert_true(opens(path));
    sb_bytes_release(&bytes);
}

static void no_flipped_bit_of_the_header_reads_outside(void **state)
{
    (void)state;
    struct sb_bytes bytes = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "flip.safetensors");
    compose(&bytes, small_header, 38);
    for (size_t at = 0; at < bytes.count - 38; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
            write_bytes(path, bytes.data, bytes.count);
            opens(path); /* a changed letter of a name is fine, anything else is an error */
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
        }
    }
    sb_bytes_release(&bytes);
}

static void write_sample(const char *path)
{
    struct sb_st_writer writer;
    struct sb_err err = SB_ERR_INIT;
    const float w[6] = {1, 2, 3, 4, 5, 6};
    const int64_t ids[2] = {-7, 9};
    assert_int_equal(sb_st_writer_begin(&writer, path, &err), 0);
    sb_st_writer_meta(&writer, "format", "pt");
    sb_st_writer_meta(&writer, "note", "a \"quoted\"\nline");
    sb_st_writer_describe(&writer, "w", SB_F32, (size_t[]){2, 3}, 2);
    sb_st_writer_describe(&writer, "odd \\ name", SB_I64, (size_t[]){2}, 1);
    sb_st_writer_describe(&writer, "none", SB_F32, (size_t[]){0}, 1);
    assert_int_equal(sb_st_writer_data(&writer, w, 8, &err), 0); /* pieces may end anywhere */
    assert_int_equal(sb_st_writer_data(&writer, w + 2, 16, &err), 0);
    assert_int_equal(sb_st_writer_data(&writer, ids, sizeof(ids), &err), 0);
    assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
    sb_st_writer_abort(&writer); /* harmless */
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "w.safetensors");
    write_sample(path);
    if (sb_safetensors_open(&file, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(file.count, 3);
    assert_int_equal((file.data - file.map.data) % 8, 0);
    assert_string_equal(sb_safetensors_meta(&file, "note"), "a \"quoted\"\nline");
    float w[6];
    int64_t ids[2];
    assert_int_equal(sb_safetensors_floats(w, &file, sb_safetensors_find(&file, "w"), &err), 0);
    assert_true(w[0] == 1 && w[5] == 6);
    const struct sb_st_tensor *odd = sb_safetensors_find(&file, "odd \\ name");
    assert_int_equal(sb_safetensors_ints(ids, &file, odd, &err), 0);
    assert_int_equal(ids[0], -7);
    sb_safetensors_close(&file);
}

static void equal_tensors_give_equal_bytes(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes first = SB_BYTES_INIT, second = SB_BYTES_INIT;
    const char *dir = sb_test_dir();
    write_sample(sb_test_path(dir, "1"));
    write_sample(sb_test_path(dir, "2"));
    assert_int_equal(sb_file_read(&first, sb_test_path(dir, "1"), &err), 0);
    assert_int_equal(sb_file_read(&second, sb_test_path(dir, "2"), &err), 0);
    assert_int_equal(first.count, second.count);
    assert_memory_equal(first.data, second.data, first.count);
    sb_bytes_release(&first);
    sb_bytes_release(&second);
}

static void file_without_tensors_is_legal(void **state)
{
    (void)state;
    struct sb_st_writer writer;
    struct sb_safetensors file;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "nothing");
    assert_int_equal(sb_st_writer_begin(&writer, path, &err), 0);
    assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
    assert_int_equal(sb_safetensors_open(&file, path, &err), 0);
    assert_int_equal(file.count, 0);
    sb_safetensors_close(&file);
}

static void aborted_writing_leaves_no_file(void **state)
{
    (void)state;
    struct sb_st_writer writer;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "aborted");
    assert_int_equal(sb_st_writer_begin(&writer, path, &err), 0);
    sb_st_writer_describe(&writer, "w", SB_F32, (size_t[]){1}, 1);
    assert_int_equal(sb_st_writer_data(&writer, "abc", 3, &err), 0);
    char temporary[sizeof(writer.file.temporary)];
    memcpy(temporary, writer.file.temporary, sizeof(temporary));
    sb_st_writer_abort(&writer);
    assert_false(sb_file_exists(path));
    assert_false(sb_file_exists(temporary));
}

static void writing_into_a_missing_folder_is_an_error(void **state)
{
    (void)state;
    struct sb_st_writer writer;
    struct sb_err err = SB_ERR_INIT;
    const char *path = sb_test_path(sb_test_dir(), "none/a");
    assert_int_equal(sb_st_writer_begin(&writer, path, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "none/a");
    sb_st_writer_abort(&writer); /* harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_all_kinds_are_read),
        cmocka_unit_test(half_precision_is_read_exactly),
        cmocka_unit_test(bfloats_and_doubles_become_the_nearest_floats),
        cmocka_unit_test(integers_keep_their_signs),
        cmocka_unit_test(headers_that_lie_are_refused_with_file_and_reason),
        cmocka_unit_test(header_sizes_beyond_the_file_are_refused),
        cmocka_unit_test(header_nested_without_end_is_refused),
        cmocka_unit_test(missing_file_is_no_input),
        cmocka_unit_test(no_truncation_is_accepted),
        cmocka_unit_test(no_flipped_bit_of_the_header_reads_outside),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(equal_tensors_give_equal_bytes),
        cmocka_unit_test(file_without_tensors_is_legal),
        cmocka_unit_test(aborted_writing_leaves_no_file),
        cmocka_unit_test(writing_into_a_missing_folder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
