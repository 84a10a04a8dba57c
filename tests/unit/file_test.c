/* Files that are there completely or not at all. */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void content_is(const char *path, const char *text)
{
    struct sb_bytes bytes = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    if (sb_file_read(&bytes, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(bytes.count, strlen(text));
    assert_memory_equal(bytes.data ? bytes.data : "", text, bytes.count);
    sb_bytes_release(&bytes);
}

static void atomic_write_replaces_and_leaves_nothing_else(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir(), *path = sb_test_path(dir, "a");
    assert_int_equal(sb_file_write_atomic(path, "one", 3, &err), 0);
    content_is(path, "one");
    assert_int_equal(sb_file_write_atomic(path, "second", 6, &err), 0);
    content_is(path, "second");
    assert_int_equal(sb_file_write_atomic(path, NULL, 0, &err), 0);
    content_is(path, "");
    assert_int_equal(entries_of(dir), 1);
}

static void file_is_the_old_one_until_commit(void **state)
{
    (void)state;
    struct sb_file_writer writer = SB_FILE_WRITER_INIT;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir(), *path = sb_test_write(dir, "a", "old");
    assert_int_equal(sb_file_writer_begin(&writer, path, &err), 0);
    fputs("new", writer.stream);
    fflush(writer.stream);
    content_is(path, "old");
    assert_int_equal(sb_file_writer_commit(&writer, &err), 0);
    content_is(path, "new");
    sb_file_writer_abort(&writer); /* harmless */
    content_is(path, "new");
}

static void aborted_write_leaves_the_old_file_alone(void **state)
{
    (void)state;
    struct sb_file_writer writer = SB_FILE_WRITER_INIT;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir(), *path = sb_test_write(dir, "a", "old");
    assert_int_equal(sb_file_writer_begin(&writer, path, &err), 0);
    fputs("new", writer.stream);
    sb_file_writer_abort(&writer);
    sb_file_writer_abort(&writer);
    content_is(path, "old");
    assert_int_equal(entries_of(dir), 1);
}

static void writes_that_cannot_be_say_so(void **state)
{
    (void)state;
    struct sb_file_writer writer = SB_FILE_WRITER_INIT;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    assert_int_equal(sb_file_write_atomic(sb_test_path(dir, "none/a"), "x", 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "none/a");
    /* A folder stands where the file should go: found at the last moment, and cleaned up. */
    assert_int_equal(sb_dir_make(sb_test_path(dir, "folder/child"), &err), 0);
    assert_int_equal(sb_file_writer_begin(&writer, sb_test_path(dir, "folder"), &err), 0);
    assert_int_equal(sb_file_writer_commit(&writer, &err), -1);
    sb_test_err_is(&err, SB_ERR_IO, "renaming");
    assert_int_equal(entries_of(dir), 1);
    /* A full disk. */
    if (sb_file_exists("/dev/full")) {
        FILE *full = fopen("/dev/full", "wbe");
        assert_int_equal(sb_file_writer_begin(&writer, sb_test_path(dir, "b"), &err), 0);
        FILE *real = writer.stream;
        writer.stream = full;
        fputs("x", full);
        assert_int_equal(sb_file_writer_commit(&writer, &err), -1);
        sb_test_err_is(&err, SB_ERR_IO, "No space left");
        fclose(real);
        assert_int_equal(entries_of(dir), 1);
    }
}

static void missing_files_and_folders_are_no_input(void **state)
{
    (void)state;
    struct sb_bytes bytes = SB_BYTES_INIT;
    struct sb_map map = SB_MAP_INIT;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    const char *path = sb_test_write(dir, "a", "text");
    const char *inputs[] = {sb_test_path(dir, "none"), dir, sb_test_path(path, "below-a-file")};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sb_file_read(&bytes, inputs[i], &err), -1);
        sb_test_err_is(&err, SB_ERR_NO_INPUT, inputs[i]);
        assert_int_equal(sb_file_map(&map, inputs[i], &err), -1);
        sb_test_err_is(&err, SB_ERR_NO_INPUT, inputs[i]);
    }
    assert_true(sb_file_exists(path));
    assert_false(sb_file_exists(dir));
    assert_true(sb_dir_exists(dir));
    assert_false(sb_dir_exists(path));
    sb_bytes_release(&bytes);
}

static void maps_show_the_file_even_if_it_is_empty(void **state)
{
    (void)state;
    struct sb_map map = SB_MAP_INIT;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    assert_int_equal(sb_file_map(&map, sb_test_write(dir, "a", "text"), &err), 0);
    assert_int_equal(map.bytes, 4);
    assert_memory_equal(map.data, "text", 4);
    sb_file_unmap(&map);
    sb_file_unmap(&map); /* harmless */
    assert_int_equal(sb_file_map(&map, sb_test_write(dir, "b", ""), &err), 0);
    assert_int_equal(map.bytes, 0);
    assert_non_null(map.data);
    sb_file_unmap(&map);
}

static void files_larger_than_they_say_are_read_whole(void **state)
{
    (void)state;
    struct sb_bytes bytes = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    /* Files of the kernel have a size of 0 and contents. */
    assert_int_equal(sb_file_read(&bytes, "/proc/self/status", &err), 0);
    assert_true(bytes.count > 100);
    assert_non_null(strstr(bytes.data, "Pid:"));
    sb_bytes_release(&bytes);
}

static void folders_are_made_with_parents_and_removed_with_contents(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir(), *top = sb_test_path(dir, "x");
    assert_int_equal(sb_dir_make(sb_test_path(top, "y/z/"), &err), 0);
    assert_int_equal(sb_dir_make(sb_test_path(top, "y/z"), &err), 0); /* again is fine */
    sb_test_write(sb_test_path(top, "y"), "file", "text");
    /* What a link points to is not ours to remove. */
    const char *kept = sb_test_write(dir, "kept", "text");
    assert_int_equal(symlink(dir, sb_test_path(top, "link")), 0);
    assert_int_equal(sb_dir_remove(top, &err), 0);
    assert_false(sb_dir_exists(top));
    assert_true(sb_file_exists(kept));
    assert_int_equal(sb_dir_remove(top, &err), 0); /* a missing one is fine */
    assert_int_equal(sb_dir_make(sb_test_path(kept, "below"), &err), -1);
    assert_int_equal(err.code, SB_ERR_CREATE);
    assert_int_equal(sb_dir_make(kept, &err), -1);
    sb_test_err_is(&err, SB_ERR_CREATE, "not a folder");
}

static void paths_are_joined_and_cut(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"},
        {NULL, "b", "b"},  {"a", "/b", "/b"},  {"/", "b", "/b"},
    };
    static const char *const folders[][2] = {{"a/b/c", "a/b"}, {"c", "."}, {"/c", "/"}};
    char out[SB_PATH_BYTES];
    for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++)
        assert_string_equal(sb_path_join(out, joins[i][0], joins[i][1]), joins[i][2]);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        assert_string_equal(sb_path_folder(out, folders[i][0]), folders[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(atomic_write_replaces_and_leaves_nothing_else),
        cmocka_unit_test(file_is_the_old_one_until_commit),
        cmocka_unit_test(aborted_write_leaves_the_old_file_alone),
        cmocka_unit_test(writes_that_cannot_be_say_so),
        cmocka_unit_test(missing_files_and_folders_are_no_input),
        cmocka_unit_test(maps_show_the_file_even_if_it_is_empty),
        cmocka_unit_test(files_larger_than_they_say_are_read_whole),
        cmocka_unit_test(folders_are_made_with_parents_and_removed_with_contents),
        cmocka_unit_test(paths_are_joined_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
