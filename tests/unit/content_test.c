#include "support.h"

#include "content.h"

#include <glob.h>
#include <string.h>
#include <unistd.h>

static void hash_of(char text[SB_HASH_TEXT_BYTES], const char *path, const char *dir)
{
    char *paths[1] = {(char *)(uintptr_t)path};
    struct sb_bytes stamp = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    bool once;
    if (sb_content_stamp(&stamp, &once, paths, 1, &err) < 0 ||
        sb_content_hash(text, &stamp, paths, 1, dir, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(once);
    sb_bytes_release(&stamp);
}

static void equal_content_has_an_equal_hash_if_it_is_read_alike(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    char first[SB_HASH_TEXT_BYTES], second[SB_HASH_TEXT_BYTES];
    hash_of(first, sb_test_write(dir, "one.txt", "a\tb\n"), dir);
    hash_of(second, sb_test_write(dir, "two.part.txt", "a\tb\n"), dir);
    assert_string_equal(first, second);
    hash_of(second, sb_test_write(dir, "three.tsv", "a\tb\n"), dir);
    assert_string_not_equal(first, second);
    hash_of(second, sb_test_write(dir, "four.txt", "a\tc\n"), dir);
    assert_string_not_equal(first, second);
}

static size_t note_count(const char *dir)
{
    glob_t found;
    if (glob(sb_test_path(dir, "*.source"), 0, NULL, &found) != 0)
        return 0;
    size_t count = found.gl_pathc;
    globfree(&found);
    return count;
}

static void fresh_file_is_not_noted(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    char text[SB_HASH_TEXT_BYTES];
    hash_of(text, sb_test_write(dir, "one.txt", "a\n"), dir);
    assert_int_equal(note_count(dir), 0);
}

/* The shared data was written long ago, and so its stamp can be trusted. */
static void settled_file_is_noted_and_a_damaged_note_is_not_believed(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    const char *path = sb_test_shared("data/classification/trec/labels.txt");
    char *paths[1] = {(char *)(uintptr_t)path};
    char *other[1] = {(char *)(uintptr_t)sb_test_write(dir, "other.txt", "a\n")};
    char first[SB_HASH_TEXT_BYTES], second[SB_HASH_TEXT_BYTES], fresh[SB_HASH_TEXT_BYTES];
    struct sb_bytes stamp = SB_BYTES_INIT;
    bool once;
    glob_t found;
    assert_int_equal(sb_content_stamp(&stamp, &once, paths, 1, NULL), 0);
    assert_int_equal(sb_content_hash(first, &stamp, paths, 1, dir, NULL), 0);
    if (note_count(dir) == 0) {
        print_message("skipped: the shared data is too fresh\n");
        sb_bytes_release(&stamp);
        skip();
    }
    /* Under the same stamp another file is not even opened. */
    assert_int_equal(sb_content_hash(second, &stamp, other, 1, dir, NULL), 0);
    assert_string_equal(first, second);

    assert_int_equal(glob(sb_test_path(dir, "*.source"), 0, NULL, &found), 0);
    struct sb_bytes note = SB_BYTES_INIT;
    assert_int_equal(sb_file_read(&note, found.gl_pathv[0], NULL), 0);
    note.data[5] = note.data[5] == 'a' ? 'b' : 'a';
    sb_test_write("", found.gl_pathv[0], note.data);
    assert_int_equal(sb_content_hash(second, &stamp, other, 1, dir, NULL), 0);
    hash_of(fresh, other[0], dir);
    assert_string_equal(second, fresh);
    sb_bytes_release(&note);
    sb_bytes_release(&stamp);
    globfree(&found);
}

static void stamp_changes_with_every_write(void **state)
{
    (void)state;
    const char *dir = sb_test_dir();
    char *paths[1];
    struct sb_bytes first = SB_BYTES_INIT, second = SB_BYTES_INIT;
    bool once;
    paths[0] = (char *)(uintptr_t)sb_test_write(dir, "one.txt", "a\n");
    assert_int_equal(sb_content_stamp(&first, &once, paths, 1, NULL), 0);
    sb_test_sleep_ms(20);
    sb_test_write(dir, "one.txt", "b\n");
    assert_int_equal(sb_content_stamp(&second, &once, paths, 1, NULL), 0);
    assert_string_not_equal(first.data, second.data);
    sb_bytes_release(&first);
    sb_bytes_release(&second);
}

static void standard_input_can_be_read_once(void **state)
{
    (void)state;
    char *paths[1] = {(char[]){"-"}};
    struct sb_bytes stamp = SB_BYTES_INIT;
    bool once = false;
    assert_int_equal(sb_content_stamp(&stamp, &once, paths, 1, NULL), 0);
    assert_true(once);
    sb_bytes_release(&stamp);
}

static void missing_file_is_named(void **state)
{
    (void)state;
    char *paths[1] = {(char *)(uintptr_t)sb_test_path(sb_test_dir(), "absent.txt")};
    struct sb_bytes stamp = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    bool once;
    assert_int_equal(sb_content_stamp(&stamp, &once, paths, 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "absent.txt");
    sb_bytes_release(&stamp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_content_has_an_equal_hash_if_it_is_read_alike),
        cmocka_unit_test(fresh_file_is_not_noted),
        cmocka_unit_test(settled_file_is_noted_and_a_damaged_note_is_not_believed),
        cmocka_unit_test(stamp_changes_with_every_write),
        cmocka_unit_test(standard_input_can_be_read_once),
        cmocka_unit_test(missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
