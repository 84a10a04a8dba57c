/* Files of torch.save: read as they are, refused by name, and damaged in every way. */
#include "support.h"

#include "arena.h"
#include "bytes.h"
#include "model_files.h"
#include "torch_bin.h"
#include "torch_pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char golden[] = "tests/golden/torch";
static const char *const forms[] = {"zip", "row"};

static struct sb_safetensors open_types(const char *form)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors file;
    char name[64];
    snprintf(name, sizeof(name), "types-%s.bin", form);
    if (sb_torch_open(&file, sb_test_path(golden, name), &err) < 0)
        fail_msg("%s", err.text);
    return file;
}

/* ---- what is read ---- */

static void tensors_of_all_types_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sb_dtype dtype;
    } reals[] = {
        {"float32", SB_F32}, {"float16", SB_F16}, {"bfloat16", SB_BF16}, {"float64", SB_F64}};
    static const struct {
        const char *name;
        enum sb_dtype dtype;
    } wholes[] = {
        {"int64", SB_I64}, {"int32", SB_I32}, {"int16", SB_I16}, {"int8", SB_I8}, {"uint8", SB_U8}};
    struct sb_err err = SB_ERR_INIT;
    for (size_t f = 0; f < 2; f++) {
        struct sb_safetensors file = open_types(forms[f]);
        assert_int_equal(file.count, 14);
        for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
            float values[6];
            const struct sb_st_tensor *tensor = sb_safetensors_find(&file, reals[i].name);
            assert_int_equal(tensor->dtype, reals[i].dtype);
            assert_int_equal(tensor->dim_count, 2);
            assert_int_equal(tensor->dims[0], 2);
            assert_int_equal(tensor->dims[1], 3);
            assert_int_equal(sb_safetensors_floats(values, &file, tensor, &err), 0);
            for (int j = 0; j < 6; j++)
                assert_true(values[j] == 0.5f * (float)j);
        }
        for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
            int64_t values[6];
            const struct sb_st_tensor *tensor = sb_safetensors_find(&file, wholes[i].name);
            assert_int_equal(tensor->dtype, wholes[i].dtype);
            assert_int_equal(sb_safetensors_ints(values, &file, tensor, &err), 0);
            for (int j = 0; j < 6; j++)
                assert_int_equal(values[j], j);
        }
        sb_safetensors_close(&file);
    }
}

static void views_parameters_scalars_and_empty_tensors_are_read(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    for (size_t f = 0; f < 2; f++) {
        struct sb_safetensors file = open_types(forms[f]);
        float values[6];
        const struct sb_st_tensor *tensor = sb_safetensors_find(&file, "second_row");
        assert_int_equal(tensor->element_count, 3);
        assert_int_equal(sb_safetensors_floats(values, &file, tensor, &err), 0);
        assert_true(values[0] == 1.5f && values[2] == 2.5f);
        tensor = sb_safetensors_find(&file, "parameter");
        assert_int_equal(sb_safetensors_floats(values, &file, tensor, &err), 0);
        assert_true(values[0] == 1.0f && values[5] == 3.5f);
        tensor = sb_safetensors_find(&file, "scalar");
        assert_int_equal(tensor->dim_count, 0);
        assert_int_equal(sb_safetensors_floats(values, &file, tensor, &err), 0);
        assert_true(values[0] == 7.5f);
        tensor = sb_safetensors_find(&file, "empty");
        assert_int_equal(tensor->element_count, 0);
        assert_int_equal(tensor->dims[1], 3);
        sb_safetensors_close(&file);
    }
}

static void a_model_reads_like_its_safetensors(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bert_config config;
    struct sb_params params;
    const char *source = "tests/golden/commands/model";
    assert_int_equal(sb_config_read(&config, source, &err), 0);
    sb_params_init(&params, &config, SB_HEAD_MLM | SB_HEAD_CLASSIFY);
    float *wanted = sb_calloc(params.float_count, sizeof(*wanted));
    float *got = sb_calloc(params.float_count, sizeof(*got));
    assert_int_equal(sb_model_read(wanted, &params, &config, source, 1, NULL, &err), 0);
    for (size_t f = 0; f < 2; f++) {
        struct sb_load_report report;
        char name[64];
        snprintf(name, sizeof(name), "model-%s", forms[f]);
        memset(got, 0, params.float_count * sizeof(*got));
        if (sb_model_read(got, &params, &config, sb_test_path(golden, name), 1, &report, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(report.loaded, params.count);
        assert_int_equal(report.ignored, 0);
        assert_memory_equal(got, wanted, params.float_count * sizeof(*got));
        sb_load_report_release(&report);
    }
    free(wanted);
    free(got);
    sb_params_release(&params);
    sb_bert_config_release(&config);
}

/* ---- what is refused ---- */

static void what_is_no_table_of_tensors_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
    } cases[] = {
        {"evil.bin", "asks for Python's 'posix.system'"},
        {"module.bin", "asks for Python's 'torch.nn.modules.linear.Linear'"},
        {"turned.bin", "a view with gaps or turned over"},
        {"nested.bin", "'state_dict' is not a tensor"},
        {"list.bin", "something else than a dictionary"},
        {"../commands/model/model.safetensors", "is not a file that torch.save makes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_safetensors file;
        assert_int_equal(sb_torch_open(&file, sb_test_path(golden, cases[i].name), &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        sb_safetensors_close(&file);
    }
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors file;
    assert_int_equal(sb_torch_open(&file, sb_test_path(golden, "none.bin"), &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "none.bin");
}

#define STORAGE(elements)                                                                          \
    "((U\x07storagectorch\nFloatStorage\nU\x01"                                                    \
    "0U\x03"                                                                                       \
    "cpuK" elements "tQ"
#define TENSOR(shape) "ctorch._utils\n_rebuild_tensor_v2\n" STORAGE("\x06") shape "tR."

/* A pickle is a program: each of these is one that torch.save does not write. */
static void pickles_of_other_programs_are_refused(void **state)
{
    (void)state;
#define CASE(text, words)                                                                          \
    {                                                                                              \
        text, sizeof(text) - 1, words                                                              \
    }
    static const struct {
        const char *text;
        size_t bytes;
        const char *words;
    } cases[] = {
        CASE("", "byte 0 of the pickle: it ends in the middle"),
        CASE("\x80\x02", "ends in the middle"),
        CASE("\x80\x04N.", "another protocol"),
        CASE(".", "a value is missing"),
        CASE("(.", "a value is missing"),
        CASE("i", "instruction 0x69"),
        CASE("\x81", "instruction 0x81"),
        CASE("\x93", "instruction 0x93"),
        CASE("cos\nsystem\n", "'os.system'"),
        CASE("cbuiltins\neval\n", "'builtins.eval'"),
        CASE("ctorch\nFloatStorage", "ends in the middle"),
        CASE("ctorch\nFloatStorage\n)R.", "a call of a storage"),
        CASE("ccollections\nOrderedDict\nNR.", "a call of something that is no name"),
        CASE(")ccollections\nOrderedDict\nR.", "a call of something that is no name"),
        CASE("ccollections\nOrderedDict\n]\x85R.", "an OrderedDict with arguments"),
        CASE("ctorch._utils\n_rebuild_parameter\n)R.", "a parameter without a tensor"),
        CASE("ctorch._utils\n_rebuild_tensor_v2\n)R.", "a tensor without a storage"),
        CASE("NQ.", "that is no storage"),
        CASE(")Q.", "that is no storage"),
        CASE("X\xff\xff\xff\xffno", "ends in the middle"),
        CASE("\x8a\x09"
             "123456789.",
             "more than 64 bits"),
        CASE("h\x05.", "a memo that was not kept"),
        CASE("q\x00", "a value is missing"),
        CASE("Nr\xff\xff\xff\x7f.", "a memo beyond its size"),
        CASE("t.", "a mark is missing"),
        CASE("\x87.", "a value is missing"),
        CASE("(N\x86.", "a value is missing"),
        CASE("Na.", "without a list or dictionary"),
        CASE("}(Nu.", "a key without a value"),
        CASE("](NNu.", "without a list or dictionary"),
        CASE("(NNu.", "without a list or dictionary"),
        CASE("}N(s.", "a value is missing"),
        CASE("N}b.", "no dictionary"),
        CASE(TENSOR("K\x00NN"), "a tensor without a shape"),
        CASE(TENSOR("K\x00K\x06\x85)"), "a tensor without a shape"),
        CASE(TENSOR("K\x00K\x07\x85K\x01\x85"), "larger than its storage"),
        CASE(TENSOR("K\x01K\x06\x85K\x01\x85"), "larger than its storage"),
        CASE(TENSOR("K\x00K\x03\x85K\x02\x85"), "with gaps"),
        CASE(TENSOR("K\x00J\xff\xff\xff\xff\x85K\x01\x85"), "a tensor without a shape"),
        CASE(TENSOR("K\x00(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t"
                    "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t"),
             "more than 8 axes"),
        CASE(TENSOR("K\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40\x8a\x02\x00\x02\x86"
                    "\x8a\x02\x00\x02K\x01\x86"),
             "larger than memory"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_arena arena;
        size_t used;
        /* A block of its own size: reading beyond it is seen by the sanitizers. */
        uint8_t *data = malloc(cases[i].bytes ? cases[i].bytes : 1);
        memcpy(data, cases[i].text, cases[i].bytes);
        sb_arena_init(&arena, 1024);
        assert_null(sb_pickle_run(&arena, "x", data, cases[i].bytes, &used, &err));
        sb_test_err_is(&err, SB_ERR_DATA, cases[i].words);
        sb_arena_release(&arena);
        free(data);
    }
}

static void a_pickle_without_end_stops_at_the_limit(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_arena arena;
    size_t used, bytes = SB_PICKLE_MAX_BYTES + 100;
    uint8_t *data = malloc(bytes);
    memset(data, '(', bytes);
    sb_arena_init(&arena, 1024);
    assert_null(sb_pickle_run(&arena, "x", data, bytes, &used, &err));
    sb_test_err_is(&err, SB_ERR_DATA, "ends in the middle");
    assert_int_equal(used, SB_PICKLE_MAX_BYTES);
    sb_arena_release(&arena);
    free(data);
}

/* ---- damage ---- */

/* Opens bytes as a file (in memory) and reads all that opens; either is fine, a crash is not. */
static bool open_bytes(int memory, const void *data, size_t bytes)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_safetensors file;
    char path[64];
    assert_int_equal(ftruncate(memory, (off_t)bytes), 0);
    assert_int_equal(pwrite(memory, data, bytes, 0), bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    if (sb_torch_open(&file, path, &err) < 0) {
        assert_true(err.code == SB_ERR_DATA);
        return false;
    }
    for (size_t i = 0; i < file.count; i++) {
        size_t count = file.tensors[i].element_count;
        float *reals = sb_calloc(count + 1, sizeof(*reals));
        int64_t *wholes = sb_calloc(count + 1, sizeof(*wholes));
        sb_safetensors_floats(reals, &file, &file.tensors[i], &err);
        sb_safetensors_ints(wholes, &file, &file.tensors[i], &err);
        free(reals);
        free(wholes);
    }
    sb_safetensors_close(&file);
    return true;
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state)
{
    (void)state;
    int memory = memfd_create("cut", 0);
    for (size_t f = 0; f < 2; f++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_bytes bytes = SB_BYTES_INIT;
        char name[64];
        snprintf(name, sizeof(name), "types-%s.bin", forms[f]);
        assert_int_equal(sb_file_read(&bytes, sb_test_path(golden, name), &err), 0);
        for (size_t cut = 0; cut < bytes.count; cut++)
            assert_false(open_bytes(memory, bytes.data, cut));
        assert_true(open_bytes(memory, bytes.data, bytes.count));
        sb_bytes_release(&bytes);
    }
    close(memory);
}

/* xorshift64: the damage is the same at every run. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void a_damaged_file_is_read_or_refused(void **state)
{
    (void)state;
    int memory = memfd_create("damaged", 0);
    uint64_t seed = 20200815;
    for (size_t f = 0; f < 2; f++) {
        struct sb_err err = SB_ERR_INIT;
        struct sb_bytes bytes = SB_BYTES_INIT;
        char name[64];
        snprintf(name, sizeof(name), "types-%s.bin", forms[f]);
        assert_int_equal(sb_file_read(&bytes, sb_test_path(golden, name), &err), 0);
        uint8_t *copy = sb_alloc(bytes.count);
        size_t read = 0, rounds = 3000;
        for (size_t round = 0; round < rounds; round++) {
            memcpy(copy, bytes.data, bytes.count);
            for (uint64_t hits = 1 + draw(&seed) % 4; hits > 0; hits--) {
                uint64_t word = draw(&seed);
                uint8_t *at = &copy[(word >> 16) % bytes.count];
                static const uint8_t edges[] = {0, 0xff, '.', '(', 'R', 'Q', 'u', 0x80};
                *at = word & 1 ? edges[word >> 1 & 7] : *at ^ (uint8_t)(1u << (word >> 1 & 7));
            }
            read += open_bytes(memory, copy, bytes.count);
        }
        assert_in_range(read, 1, rounds - 1);
        free(copy);
        sb_bytes_release(&bytes);
    }
    close(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_all_types_are_read),
        cmocka_unit_test(views_parameters_scalars_and_empty_tensors_are_read),
        cmocka_unit_test(a_model_reads_like_its_safetensors),
        cmocka_unit_test(what_is_no_table_of_tensors_is_refused_by_name),
        cmocka_unit_test(pickles_of_other_programs_are_refused),
        cmocka_unit_test(a_pickle_without_end_stops_at_the_limit),
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_damaged_file_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
