/* Checkpoints on real folders: what is damaged does not exist, and what is left is as good as it
 * was. */
#include "ckpt.h"

#include "arena.h"
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTS = 5, FLOATS = 300 };

static const struct sb_disk *disk = &sb_disk_files;

/* Part 3 is frozen; parts have different sizes. */
struct model {
    float w[PARTS][FLOATS], m[PARTS][FLOATS], v[PARTS][FLOATS];
};

static size_t count_of(uint32_t part)
{
    return FLOATS - 17 * part;
}

static void fill_model(struct model *model, uint64_t step)
{
    for (size_t part = 0; part < PARTS; part++)
        for (size_t i = 0; i < FLOATS; i++) {
            model->w[part][i] = (float)(100 * part + i) + (float)step;
            model->m[part][i] = (float)i * 0.5f - (float)step;
            model->v[part][i] = (float)i * 0.25f + (float)part;
        }
}

/* The parts of one server of several: every count-th. */
static struct sb_ckpt_state state_of(struct model *model, struct sb_ckpt_part parts[PARTS],
                                     uint32_t index, uint32_t count, uint64_t step)
{
    struct sb_ckpt_state state = {.server_index = index,
                                  .server_count = count,
                                  .step = step,
                                  .applied = step - 1,
                                  .parts = parts};
    for (uint32_t part = index; part < PARTS; part += count)
        parts[state.part_count++] = (struct sb_ckpt_part){
            .part = part,
            .count = count_of(part),
            .w = model->w[part],
            .m = part == 3 ? NULL : model->m[part],
            .v = part == 3 ? NULL : model->v[part],
        };
    return state;
}

static int try_save(const char *output_dir, uint64_t step, uint32_t servers, struct sb_err *err)
{
    char folder[SB_PATH_BYTES];
    struct model *model = sb_alloc(sizeof(*model));
    struct sb_ckpt_file files[8];
    int rc = 0;
    fill_model(model, step);
    sb_ckpt_folder(folder, output_dir, step);
    for (uint32_t i = 0; i < servers && rc == 0; i++) {
        struct sb_ckpt_part parts[PARTS];
        struct sb_ckpt_state state = state_of(model, parts, i, servers, step);
        rc = disk->write(NULL, folder, &state, &files[i], err);
    }
    struct sb_ckpt_manifest manifest = {
        .step = step,
        .term = 3,
        .layout = 0xfeedbeefcafe,
        .canonical = (char *)(uintptr_t) "seed=1\n",
        .plan = json_pack("{s:i}", "slots", 4),
        .history = json_pack("{s:f}", "total", 0.1 + (double)step),
        .files = files,
        .file_count = servers,
    };
    if (rc == 0)
        rc = disk->publish(NULL, folder, &manifest, err);
    json_decref(manifest.plan);
    json_decref(manifest.history);
    free(model);
    return rc;
}

static void save(const char *output_dir, uint64_t step, uint32_t servers)
{
    struct sb_err err = SB_ERR_INIT;
    if (try_save(output_dir, step, servers, &err) < 0)
        fail_msg("%s", err.text);
}

static char damaged_text[4096];

static void on_damaged(void *context, const char *sentence)
{
    (void)context;
    strncat(damaged_text, sentence, sizeof(damaged_text) - strlen(damaged_text) - 1);
}

/* The step of the newest checkpoint, 0 if there is none. */
static uint64_t newest(const char *output_dir)
{
    char folder[SB_PATH_BYTES];
    struct sb_err err = SB_ERR_INIT;
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    damaged_text[0] = 0;
    int found = disk->newest(NULL, output_dir, folder, &manifest, on_damaged, NULL, &err);
    assert_true(found >= 0);
    uint64_t step = found ? manifest.step : 0;
    if (found) {
        assert_int_equal(manifest.term, 3);
        assert_true(manifest.layout == 0xfeedbeefcafe);
        assert_string_equal(manifest.canonical, "seed=1\n");
        assert_true(json_number_value(json_object_get(manifest.history, "total")) ==
                    0.1 + (double)step);
    }
    sb_ckpt_manifest_release(&manifest);
    return step;
}

static int load(const char *output_dir, uint64_t step, uint32_t servers, struct sb_err *err)
{
    char folder[SB_PATH_BYTES];
    struct model *expected = sb_alloc(sizeof(*expected)), *model = sb_calloc(1, sizeof(*model));
    int rc = 0;
    fill_model(expected, step);
    sb_ckpt_folder(folder, output_dir, step);
    for (uint32_t i = 0; i < servers && rc == 0; i++) {
        struct sb_ckpt_part parts[PARTS];
        struct sb_ckpt_state state = state_of(model, parts, i, servers, 1);
        rc = disk->read(NULL, folder, &state, err);
        for (size_t p = 0; p < state.part_count && rc == 0; p++) {
            uint32_t part = parts[p].part;
            assert_int_equal(state.step, step);
            assert_int_equal(state.applied, step - 1);
            assert_memory_equal(model->w[part], expected->w[part], count_of(part) * sizeof(float));
            if (part == 3)
                continue;
            assert_memory_equal(model->m[part], expected->m[part], count_of(part) * sizeof(float));
            assert_memory_equal(model->v[part], expected->v[part], count_of(part) * sizeof(float));
        }
    }
    free(expected);
    free(model);
    return rc;
}

static const char *file_in(const char *output_dir, uint64_t step, const char *name)
{
    char folder[SB_PATH_BYTES];
    sb_ckpt_folder(folder, output_dir, step);
    return sb_test_path(folder, name);
}

static void what_was_saved_is_read_by_any_number_of_servers(void **state)
{
    (void)state;
    for (uint32_t writers = 1; writers <= 3; writers++) {
        const char *dir = sb_test_dir();
        save(dir, 12, writers);
        assert_int_equal(newest(dir), 12);
        for (uint32_t readers = 1; readers <= 4; readers++) {
            struct sb_err err = SB_ERR_INIT;
            if (load(dir, 12, readers, &err) < 0)
                fail_msg("%s", err.text);
        }
    }
}

static void the_newest_that_verifies_is_taken(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    assert_int_equal(newest(sb_test_path(dir, "missing")), 0);
    assert_int_equal(newest(dir), 0);
    save(dir, 9, 1);
    save(dir, 100, 2);
    save(dir, 20, 2);
    assert_int_equal(newest(dir), 100);
    assert_string_equal(damaged_text, "");
    unlink(file_in(dir, 100, "MANIFEST.json"));
    assert_int_equal(newest(dir), 20);
    assert_non_null(strstr(damaged_text, "checkpoint-100"));
    unlink(file_in(dir, 20, "state-2-of-2.safetensors"));
    assert_int_equal(newest(dir), 9);
    assert_non_null(strstr(damaged_text, "state-2-of-2.safetensors"));
}

static size_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void a_truncated_file_is_never_taken(void **state)
{
    (void)state;
    static const char *names[] = {"MANIFEST.json", "state-1-of-2.safetensors",
                                  "state-2-of-2.safetensors"};
    for (size_t n = 0; n < 3; n++) {
        const char *dir = sb_test_dir();
        save(dir, 5, 2);
        const char *path = file_in(dir, 5, names[n]);
        for (size_t bytes = size_of(path); bytes > 0;) {
            bytes = bytes > 200 ? bytes - 97 : bytes - 1;
            assert_int_equal(truncate(path, (off_t)bytes), 0);
            assert_int_equal(newest(dir), 0);
        }
    }
}

static void flip(const char *path, long at, int bit)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 1 << bit, file);
    fclose(file);
}

static void a_flipped_bit_is_never_taken(void **state)
{
    (void)state;
    static const char *names[] = {"MANIFEST.json", "state-1-of-2.safetensors"};
    const char *dir = sb_test_dir();
    save(dir, 5, 2);
    for (size_t n = 0; n < 2; n++) {
        const char *path = file_in(dir, 5, names[n]);
        struct sb_bytes text = SB_BYTES_INIT;
        struct sb_err err = SB_ERR_INIT;
        assert_int_equal(sb_file_read(&text, path, &err), 0);
        long size = (long)size_of(path);
        for (long at = 0; at < size; at += n ? 131 : 1) {
            int bit = (int)(at % 8);
            if (n == 0 && strchr(" \n", text.data[at]))
                continue; /* between the words of the manifest: another space says the same */
            flip(path, at, bit);
            if (newest(dir) != 0)
                fail_msg("%s: bit %d of byte %ld", names[n], bit, at);
            flip(path, at, bit);
        }
        sb_bytes_release(&text);
    }
    assert_int_equal(newest(dir), 5);
}

static void a_part_that_is_missing_is_named(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    char folder[SB_PATH_BYTES];
    struct sb_err err = SB_ERR_INIT;
    float floats[8];
    save(dir, 5, 1);
    sb_ckpt_folder(folder, dir, 5);
    struct sb_ckpt_part part = {.part = 77, .count = 8, .w = floats, .m = floats, .v = floats};
    struct sb_ckpt_state other = {.parts = &part, .part_count = 1};
    assert_int_equal(disk->read(NULL, folder, &other, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "lacks tensor 'part.77.w'");
    part = (struct sb_ckpt_part){.part = 0, .count = 8, .w = floats, .m = floats, .v = floats};
    assert_int_equal(disk->read(NULL, folder, &other, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "tensor 'part.0.w' has 300 numbers, expected 8");
}

static void a_full_disk_costs_the_new_checkpoint_only(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    struct sb_err err = SB_ERR_INIT;
    struct rlimit old, tiny;
    char folder[SB_PATH_BYTES];
    save(dir, 5, 2);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t bytes = 0; bytes < 9000; bytes += 900) {
        tiny = (struct rlimit){.rlim_cur = bytes, .rlim_max = old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &tiny);
        int rc = try_save(dir, 6, 1, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(rc, -1);
        assert_true(err.code == SB_ERR_IO || err.code == SB_ERR_CREATE);
        assert_int_equal(newest(dir), 5);
        sb_ckpt_folder(folder, dir, 6);
        assert_int_equal(disk->discard(NULL, folder, &err), 0);
        assert_false(sb_dir_exists(folder));
    }
    assert_int_equal(newest(dir), 5);
    assert_string_equal(damaged_text, "");
}

static void only_the_newest_are_kept(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    struct sb_err err = SB_ERR_INIT;
    for (uint64_t step = 8; step <= 12; step++)
        save(dir, step, 1);
    char folder[SB_PATH_BYTES];
    sb_ckpt_folder(folder, dir, 3);
    assert_int_equal(sb_dir_make(folder, &err), 0); /* somebody else's: it has no manifest */
    assert_int_equal(disk->prune(NULL, dir, 12, 2, 9, &err), 0);
    for (uint64_t step = 8; step <= 12; step++) {
        sb_ckpt_folder(folder, dir, step);
        assert_int_equal(sb_dir_exists(folder), step >= 11 || step == 9);
    }
    sb_ckpt_folder(folder, dir, 3);
    assert_true(sb_dir_exists(folder));
    assert_int_equal(newest(dir), 12);
}

/* The run went back to step 8, for 12 is damaged: what it saves now must not go in favour of that.
 */
static void a_damaged_one_of_a_later_step_keeps_nobodys_place(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    char folder[SB_PATH_BYTES];
    struct sb_err err = SB_ERR_INIT;
    save(dir, 8, 1);
    save(dir, 12, 1);
    assert_int_equal(truncate(file_in(dir, 12, "state-1-of-1.safetensors"), 100), 0);
    assert_int_equal(newest(dir), 8);
    save(dir, 9, 1);
    assert_int_equal(disk->prune(NULL, dir, 9, 1, SB_CKPT_NONE, &err), 0);
    assert_int_equal(newest(dir), 9);
    sb_ckpt_folder(folder, dir, 8);
    assert_false(sb_dir_exists(folder));
    save(dir, 12, 1); /* written anew */
    assert_int_equal(disk->prune(NULL, dir, 12, 1, SB_CKPT_NONE, &err), 0);
    assert_int_equal(newest(dir), 12);
    sb_ckpt_folder(folder, dir, 9);
    assert_false(sb_dir_exists(folder));
}

static void the_same_state_gives_the_same_bytes(void **state)
{
    (void)state;
    const char *dirs[2] = {sb_test_dir(), sb_test_dir()};
    static const char *names[] = {"MANIFEST.json", "state-1-of-2.safetensors",
                                  "state-2-of-2.safetensors"};
    for (int i = 0; i < 2; i++)
        save(dirs[i], 5, 2);
    for (size_t n = 0; n < 3; n++) {
        struct sb_bytes text[2] = {SB_BYTES_INIT, SB_BYTES_INIT};
        struct sb_err err = SB_ERR_INIT;
        for (int i = 0; i < 2; i++)
            assert_int_equal(sb_file_read(&text[i], file_in(dirs[i], 5, names[n]), &err), 0);
        assert_int_equal(text[0].count, text[1].count);
        assert_memory_equal(text[0].data, text[1].data, text[0].count);
        sb_bytes_release(&text[0]);
        sb_bytes_release(&text[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_saved_is_read_by_any_number_of_servers),
        cmocka_unit_test(the_newest_that_verifies_is_taken),
        cmocka_unit_test(a_truncated_file_is_never_taken),
        cmocka_unit_test(a_flipped_bit_is_never_taken),
        cmocka_unit_test(a_part_that_is_missing_is_named),
        cmocka_unit_test(a_full_disk_costs_the_new_checkpoint_only),
        cmocka_unit_test(only_the_newest_are_kept),
        cmocka_unit_test(a_damaged_one_of_a_later_step_keeps_nobodys_place),
        cmocka_unit_test(the_same_state_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
