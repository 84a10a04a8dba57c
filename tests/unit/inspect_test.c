/* What `inspect` prints. */
#include "support.h"

#include "inspect.h"
#include "model_files.h"

#include <string.h>

static void has(const struct sb_bytes *out, const char *words)
{
    if (!strstr(out->data, words))
        fail_msg("'%s' is not in:\n%s", words, out->data);
}

static void write_tensors(const char *path)
{
    struct sb_st_writer writer;
    struct sb_err err = SB_ERR_INIT;
    const float w[] = {3, 0, -4, 0, 1, 0};
    const int64_t ids[] = {5};
    assert_int_equal(sb_st_writer_begin(&writer, path, &err), 0);
    sb_st_writer_meta(&writer, "format", "p\033t");
    sb_st_writer_describe(&writer, "z.weight", SB_F32, (size_t[]){2, 2}, 2);
    sb_st_writer_describe(&writer, "classifier.bias", SB_F32, (size_t[]){2}, 1);
    sb_st_writer_describe(&writer, "embeddings.position_ids", SB_I64, NULL, 0);
    assert_int_equal(sb_st_writer_data(&writer, w, sizeof(w), &err), 0);
    assert_int_equal(sb_st_writer_data(&writer, ids, sizeof(ids), &err), 0);
    assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
}

static void folder_shows_shape_labels_and_tensors(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes out = SB_BYTES_INIT;
    struct sb_bert_config config;
    const char *dir = sb_test_dir();
    char *labels[] = {(char[]){"neg"}, (char[]){"pos"}};
    write_tensors(sb_test_path(dir, "model.safetensors"));
    sb_bert_config_defaults(&config);
    sb_bert_config_set_labels(&config, labels, 2);
    assert_int_equal(sb_config_write(&config, dir, "BertForSequenceClassification", &err), 0);
    assert_int_equal(sb_inspect_model(&out, dir, &err), 0);
    has(&out, "12 layers, hidden size 768");
    has(&out, "labels: neg, pos\n");
    has(&out, "format: p?t\n");
    has(&out, "z.weight                 F32   [2, 2]                      4            5\n");
    has(&out, "classifier.bias          F32   [2]                         2            1\n");
    has(&out, "embeddings.position_ids  I64   []                          1            -\n");
    has(&out, "3 tensors, 7 values, 32 bytes: embeddings 1, classifier 2, other 4\n");
    sb_bert_config_release(&config);
    sb_bytes_release(&out);
}

static void file_alone_is_enough(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes out = SB_BYTES_INIT;
    const char *path = sb_test_path(sb_test_dir(), "some.safetensors");
    write_tensors(path);
    assert_int_equal(sb_inspect_model(&out, path, &err), 0);
    has(&out, "3 tensors");
    sb_bytes_release(&out);
}

static void files_of_torch_are_shown_alike(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes out = SB_BYTES_INIT;
    assert_int_equal(sb_inspect_model(&out, "tests/golden/torch/types-zip.bin", &err), 0);
    has(&out, "14 tensors, 67 values");
    sb_bytes_clear(&out);
    assert_int_equal(sb_inspect_model(&out, "tests/golden/torch/model-row", &err), 0);
    has(&out, "49 tensors");
    assert_int_equal(sb_inspect_model(&out, "tests/golden/torch/evil.bin", &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "posix.system");
    sb_bytes_release(&out);
}

static void missing_and_broken_models_are_refused(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes out = SB_BYTES_INIT;
    const char *dir = sb_test_dir();
    assert_int_equal(sb_inspect_model(&out, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "model.safetensors");
    sb_test_write(dir, "model.safetensors", "not one");
    assert_int_equal(sb_inspect_model(&out, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "too few");
    sb_test_write(dir, "config.json", "{\"model_type\":\"gpt2\"}");
    assert_int_equal(sb_inspect_model(&out, dir, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "gpt2");
    sb_bytes_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_shows_shape_labels_and_tensors),
        cmocka_unit_test(file_alone_is_enough),
        cmocka_unit_test(files_of_torch_are_shown_alike),
        cmocka_unit_test(missing_and_broken_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
