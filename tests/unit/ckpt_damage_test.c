/*
 * What a folder may hold that only looks like a checkpoint, and a disk that says no: each ends in
 * one sentence, and nothing of it is taken.
 */
#include "arena.h"
#include "ckpt.h"
#include "hash.h"
#include "safetensors.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLOATS = 6 };

static const struct sb_disk *disk = &sb_disk_files;

struct numbers {
    float w[FLOATS], m[FLOATS], v[FLOATS];
};

static struct sb_ckpt_state state_of(struct numbers *numbers, struct sb_ckpt_part *part)
{
    *part = (struct sb_ckpt_part){
        .part = 0, .count = FLOATS, .w = numbers->w, .m = numbers->m, .v = numbers->v};
    return (struct sb_ckpt_state){
        .server_count = 1, .step = 5, .applied = 4, .parts = part, .part_count = 1};
}

static const char *folder_of(const char *dir, uint64_t step)
{
    char folder[SB_PATH_BYTES];
    sb_ckpt_folder(folder, dir, step);
    return sb_test_path(folder, "");
}

static const char *in(const char *dir, const char *name)
{
    return sb_test_path(folder_of(dir, 5), name);
}

/* A head that a run on embeddings would save. */
static struct sb_embed_head a_head(void)
{
    static double coef[2] = {1, 2}, intercept[1] = {3};
    static char *labels[2] = {"no", "yes"};
    static uint32_t classes[2] = {0, 1};
    return (struct sb_embed_head){.kind = SB_EMBED_HEAD_LOGISTIC,
                                  .embedding_size = 2,
                                  .row_count = 1,
                                  .coef = coef,
                                  .intercept = intercept,
                                  .labels = labels,
                                  .label_count = 2,
                                  .classes = classes,
                                  .class_count = 2};
}

/* Checkpoint 5 in a fresh folder, with a head where asked for. */
static const char *saved(bool with_head)
{
    const char *dir = sb_test_dir();
    struct numbers numbers = {.w = {1, 2, 3, 4, 5, 6}};
    struct sb_ckpt_part part;
    struct sb_ckpt_state state = state_of(&numbers, &part);
    struct sb_ckpt_file files[1 + SB_CKPT_HEAD_FILES];
    struct sb_embed_head head = a_head();
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(disk->write(NULL, folder_of(dir, 5), &state, &files[0], &err), 0);
    if (with_head)
        assert_int_equal(disk->write_head(NULL, folder_of(dir, 5), &head, &files[1], &err), 0);
    struct sb_ckpt_manifest manifest = {.step = 5,
                                        .term = 1,
                                        .layout = 7,
                                        .canonical = (char *)(uintptr_t) "seed=1\n",
                                        .plan = json_object(),
                                        .history = json_object(),
                                        .files = files,
                                        .file_count = with_head ? 1 + SB_CKPT_HEAD_FILES : 1};
    assert_int_equal(disk->publish(NULL, folder_of(dir, 5), &manifest, &err), 0);
    json_decref(manifest.plan);
    json_decref(manifest.history);
    return dir;
}

static char said[4096];

static void on_damaged(void *context, const char *sentence)
{
    (void)context;
    snprintf(said, sizeof(said), "%s", sentence);
}

/* The step of the newest checkpoint, 0 if there is none; what was passed over is in said. */
static uint64_t newest(const char *dir)
{
    char folder[SB_PATH_BYTES];
    struct sb_err err = SB_ERR_INIT;
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    said[0] = 0;
    int found = disk->newest(NULL, dir, folder, &manifest, on_damaged, NULL, &err);
    assert_true(found >= 0);
    uint64_t step = found ? manifest.step : 0;
    sb_ckpt_manifest_release(&manifest);
    return step;
}

static void write_text(const char *path, const char *text)
{
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_file_write_atomic(path, text, strlen(text), &err), 0);
}

static void passed_over(const char *dir, const char *words)
{
    assert_int_equal(newest(dir), 0);
    if (!strstr(said, words))
        fail_msg("'%s' lacks '%s'", said, words);
}

/* The manifest of a good checkpoint with one value changed, and a checksum that fits. */
static void forge(const char *where, const char *key, json_t *value, const char *words)
{
    const char *dir = saved(false), *path = in(dir, "MANIFEST.json");
    json_t *object = json_load_file(path, 0, NULL);
    json_t *holder =
        strcmp(where, "file") ? object : json_array_get(json_object_get(object, "files"), 0);
    char hash[SB_HASH_TEXT_BYTES];
    assert_non_null(holder);
    if (value)
        json_object_set_new(holder, key, value);
    else
        json_object_del(holder, key);
    if (strcmp(key, "xxh3_128") || holder != object) {
        json_object_del(object, "xxh3_128");
        char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        sb_hash_text128(text, strlen(text), hash);
        free(text);
        json_object_set_new(object, "xxh3_128", json_string(hash));
    }
    assert_int_equal(json_dump_file(object, path, JSON_INDENT(1)), 0);
    json_decref(object);
    passed_over(dir, words);
}

static void a_manifest_that_lacks_or_bends_a_field_is_passed_over(void **state)
{
    (void)state;
    static const char fields[] = "of another version, or fields are missing";
    static const char *const objects[] = {"plan", "history", "files"};
    forge("", "version", json_integer(2), fields);
    forge("", "job", NULL, fields);
    forge("", "layout", json_integer(3), fields);
    forge("", "step", json_integer(0), fields);
    forge("", "step", json_integer(-4), fields);
    forge("", "step", json_integer(6), "holds step 6");
    for (size_t i = 0; i < 3; i++) {
        forge("", objects[i], NULL, fields);
        forge("", objects[i], json_string("none"), fields);
    }
    forge("", "xxh3_128", NULL, "the checksum is wrong");
    forge("", "xxh3_128", json_integer(0), "the checksum is wrong");
    forge("", "xxh3_128", json_string("00"), "the checksum is wrong");

    static const char file[] = "without a proper name or hash";
    char *text = sb_alloc(100);
    memset(text, 'a', 99);
    text[99] = 0;
    forge("file", "name", NULL, file);
    forge("file", "name", json_string(""), file);
    forge("file", "name", json_string("../state-1-of-1.safetensors"), file);
    forge("file", "name", json_string(text), file);
    forge("file", "name", json_string("state-2-of-2.safetensors"), "cannot open");
    forge("file", "xxh3_128", NULL, file);
    forge("file", "xxh3_128", json_string(text), file);
    forge("file", "xxh3_128", json_string("00"), "checksum is");
    forge("file", "bytes", json_integer(3), "bytes, expected 3");
    free(text);
}

static void what_is_no_object_is_no_manifest(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "5", "{", "{\"a\":1,\"a\":2}", "{}x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *dir = saved(false);
        write_text(in(dir, "MANIFEST.json"), texts[i]);
        passed_over(dir, "MANIFEST.json' is not JSON");
    }
}

/* Files that are there and yet cannot be read, whoever asks: a circle of links, a folder. */
static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = saved(false), *path = in(dir, "state-1-of-1.safetensors");
    unlink(path);
    assert_int_equal(symlink(path, path), 0);
    passed_over(dir, "state-1-of-1.safetensors");
    unlink(path);
    assert_int_equal(mkdir(path, 0777), 0);
    passed_over(dir, "state-1-of-1.safetensors");

    struct numbers numbers = {0};
    struct sb_ckpt_part part;
    struct sb_ckpt_state target = state_of(&numbers, &part);
    unlink(in(dir, "MANIFEST.json"));
    assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "MANIFEST.json");
    passed_over(dir, "has no manifest: it was not finished");
}

/* A state file made elsewhere, read into a part of FLOATS floats. */
struct elsewhere {
    const char *step, *applied, *name;
    enum sb_dtype dtype;
    const char *words;
};

static void state_files_from_elsewhere_are_refused(void **state)
{
    (void)state;
    static const struct elsewhere all[] = {
        {NULL, "4", "part.0.w", SB_F32, "'step' is missing"},
        {"", "4", "part.0.w", SB_F32, "'step' is missing"},
        {"5x", "4", "part.0.w", SB_F32, "'step' is missing"},
        {"5", NULL, "part.0.w", SB_F32, "'applied' is missing"},
        {"5", "4", "embeddings", SB_F32, "tensor 'embeddings' is unknown"},
        {"5", "4", "part.0.wide", SB_F32, "tensor 'part.0.wide' is unknown"},
        {"5", "4", "part.0.w", SB_F64, "tensor 'part.0.w' has 6 numbers"},
        {"5", "4", "part.0.w", SB_F32, "lacks tensor 'part.0.m'"},
        {"5", "4", "part.0.x", SB_F32, "lacks tensor 'part.0.w'"},
        {"5", "4", "part.9.w", SB_F32, "lacks tensor 'part.0.w'"},
    };
    static const double zeros[FLOATS];
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const char *dir = saved(false);
        struct sb_st_writer writer = SB_ST_WRITER_INIT;
        struct sb_err err = SB_ERR_INIT;
        const size_t count = FLOATS;
        assert_int_equal(sb_st_writer_begin(&writer, in(dir, "state-1-of-1.safetensors"), &err), 0);
        if (all[i].step)
            sb_st_writer_meta(&writer, "step", all[i].step);
        if (all[i].applied)
            sb_st_writer_meta(&writer, "applied", all[i].applied);
        sb_st_writer_describe(&writer, all[i].name, all[i].dtype, &count, 1);
        assert_int_equal(
            sb_st_writer_data(&writer, zeros, FLOATS * sb_dtype_bytes(all[i].dtype), &err), 0);
        assert_int_equal(sb_st_writer_commit(&writer, &err), 0);
        struct numbers numbers;
        struct sb_ckpt_part part;
        struct sb_ckpt_state target = state_of(&numbers, &part);
        assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, all[i].words);
    }
}

static void a_state_that_is_no_safetensors_file_is_refused(void **state)
{
    (void)state;
    const char *dir = saved(false);
    struct sb_err err = SB_ERR_INIT;
    struct numbers numbers;
    struct sb_ckpt_part part;
    struct sb_ckpt_state target = state_of(&numbers, &part);
    write_text(in(dir, "state-1-of-1.safetensors"), "no tensors here");
    assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "state-1-of-1.safetensors");
}

static void moments_are_not_read_where_the_part_is_frozen_now(void **state)
{
    (void)state;
    const char *dir = saved(false);
    struct sb_err err = SB_ERR_INIT;
    struct numbers numbers = {0};
    struct sb_ckpt_part part;
    struct sb_ckpt_state target = state_of(&numbers, &part);
    part.m = part.v = NULL;
    assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), 0);
    assert_true(numbers.w[5] == 6);
}

static void two_files_of_different_steps_are_not_one_state(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    struct numbers numbers = {0};
    struct sb_ckpt_part part;
    struct sb_ckpt_state target = state_of(&numbers, &part);
    struct sb_ckpt_file files[2];
    struct sb_err err = SB_ERR_INIT;
    target.server_count = 2;
    assert_int_equal(disk->write(NULL, folder_of(dir, 5), &target, &files[0], &err), 0);
    target.server_index = 1;
    target.step = 6;
    part.part = 1;
    assert_int_equal(disk->write(NULL, folder_of(dir, 5), &target, &files[1], &err), 0);
    struct sb_ckpt_manifest manifest = {.step = 5,
                                        .canonical = (char *)(uintptr_t) "",
                                        .plan = json_object(),
                                        .history = json_object(),
                                        .files = files,
                                        .file_count = 2};
    assert_int_equal(disk->publish(NULL, folder_of(dir, 5), &manifest, &err), 0);
    json_decref(manifest.plan);
    json_decref(manifest.history);
    assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'step' is missing or differs from the other files");
}

static void a_head_lies_beside_the_states_and_is_checked_with_them(void **state)
{
    (void)state;
    const char *dir = saved(true);
    struct sb_err err = SB_ERR_INIT;
    struct numbers numbers;
    struct sb_ckpt_part part;
    struct sb_ckpt_state target = state_of(&numbers, &part);
    assert_int_equal(newest(dir), 5);
    assert_int_equal(disk->read(NULL, folder_of(dir, 5), &target, &err), 0);
    assert_int_equal(target.applied, 4);
    write_text(in(dir, "head.json"), "{}");
    passed_over(dir, "head.json");

    struct sb_embed_head head = a_head();
    struct sb_ckpt_file files[SB_CKPT_HEAD_FILES];
    assert_int_equal(
        disk->write_head(NULL, sb_test_path(sb_test_dir(), "missing"), &head, files, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "head.safetensors");
}

static void names_that_are_not_quite_those_of_checkpoints_are_none(void **state)
{
    (void)state;
    static const char *const names[] = {"checkpoint-",   "checkpoint-5x",
                                        "checkpoint--5", "checkpoint-1234567890123456789",
                                        "checkpoints",   "best"};
    const char *dir = saved(false);
    struct sb_err err = SB_ERR_INIT;
    char folder[SB_PATH_BYTES];
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_int_equal(sb_dir_make(sb_test_path(dir, names[i]), &err), 0);
    assert_int_equal(newest(dir), 5);
    assert_string_equal(said, "");
    assert_int_equal(rename(folder_of(dir, 5), folder_of(dir, 8)), 0);
    passed_over(dir, "holds step 5");
    /* Who does not care what was passed over need not listen. */
    assert_int_equal(disk->newest(NULL, dir, folder, &manifest, NULL, NULL, &err), 0);
    sb_ckpt_manifest_release(&manifest);
}

static void an_output_folder_that_is_none_is_trouble(void **state)
{
    (void)state;
    const char *path = sb_test_path(sb_test_dir(), "out");
    char folder[SB_PATH_BYTES];
    struct sb_err err = SB_ERR_INIT;
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    struct numbers numbers = {0};
    struct sb_ckpt_part part;
    struct sb_ckpt_state some = state_of(&numbers, &part);
    struct sb_ckpt_file file;
    write_text(path, "");
    assert_int_equal(disk->newest(NULL, path, folder, &manifest, NULL, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, "cannot open");
    assert_int_equal(disk->prune(NULL, path, 12, 1, SB_CKPT_NONE, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, "cannot open");
    assert_int_equal(disk->write(NULL, path, &some, &file, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "out");
    assert_int_equal(disk->keep_term(NULL, path, 3, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, ".term");
}

/* The place of the file is taken by a folder: the last step of a write fails, and leaves nothing.
 */
static void a_state_that_cannot_take_its_name_leaves_nothing(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    struct numbers numbers = {0};
    struct sb_ckpt_part part;
    struct sb_ckpt_state some = state_of(&numbers, &part);
    struct sb_ckpt_file file;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_dir_make(in(dir, "state-1-of-1.safetensors"), &err), 0);
    assert_int_equal(disk->write(NULL, folder_of(dir, 5), &some, &file, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, "renaming");
    assert_int_equal(rmdir(in(dir, "state-1-of-1.safetensors")), 0);
    assert_int_equal(rmdir(folder_of(dir, 5)), 0); /* nothing else was in it */
}

static void a_checkpoint_that_cannot_be_removed_is_said(void **state)
{
    (void)state;
    const char *dir = saved(false), *elsewhere = saved(false);
    struct sb_err err = SB_ERR_INIT;
    char link[SB_PATH_BYTES];
    sb_ckpt_folder(link, dir, 3);
    char target[SB_PATH_BYTES];
    sb_ckpt_folder(target, elsewhere, 5);
    assert_int_equal(symlink(target, link), 0); /* a link is no folder that rmdir takes */
    assert_int_equal(disk->prune(NULL, dir, 12, 1, SB_CKPT_NONE, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, "checkpoint-3");
    assert_int_equal(newest(dir), 5);
}

static void a_term_is_kept_and_anything_else_is_no_term(void **state)
{
    (void)state;
    const char *dir = sb_test_dir(), *path = sb_test_path(dir, ".term");
    struct sb_err err = SB_ERR_INIT;
    uint32_t term = 77;
    assert_int_equal(disk->read_term(NULL, dir, &term, &err), 0);
    assert_int_equal(term, 0);
    assert_int_equal(disk->keep_term(NULL, dir, 4000000000u, &err), 0);
    assert_int_equal(disk->read_term(NULL, dir, &term, &err), 0);
    assert_true(term == 4000000000u);
    static const char *const texts[] = {
        "", "\n", "x\n", "12", "12\n\n", "4294967295\n", "12345678901234567890\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        write_text(path, texts[i]);
        assert_int_equal(disk->read_term(NULL, dir, &term, &err), -1);
        sb_test_err_is(&err, SB_ERR_DATA, "holds no number of a term");
    }
    unlink(path);
    assert_int_equal(symlink("/proc/self/mem", path), 0); /* opens well, and reads nothing */
    assert_int_equal(disk->read_term(NULL, dir, &term, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, ".term");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_that_lacks_or_bends_a_field_is_passed_over),
        cmocka_unit_test(what_is_no_object_is_no_manifest),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(state_files_from_elsewhere_are_refused),
        cmocka_unit_test(a_state_that_is_no_safetensors_file_is_refused),
        cmocka_unit_test(moments_are_not_read_where_the_part_is_frozen_now),
        cmocka_unit_test(two_files_of_different_steps_are_not_one_state),
        cmocka_unit_test(a_head_lies_beside_the_states_and_is_checked_with_them),
        cmocka_unit_test(names_that_are_not_quite_those_of_checkpoints_are_none),
        cmocka_unit_test(an_output_folder_that_is_none_is_trouble),
        cmocka_unit_test(a_state_that_cannot_take_its_name_leaves_nothing),
        cmocka_unit_test(a_checkpoint_that_cannot_be_removed_is_said),
        cmocka_unit_test(a_term_is_kept_and_anything_else_is_no_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
