/* Prepared data on the disk: found again, named by its content, whole or not there. */
#include "letters.h"
#include "support.h"

#include "prepare.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { A = LETTERS_A, B, C, D, E };

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    tokenizer = letters_open(0);
    assert_int_equal(sb_wordpiece_count(tokenizer), LETTERS_COUNT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

static const char *cache_file(const struct letters_source *source)
{
    glob_t found;
    assert_int_equal(glob(sb_test_path(source->options.cache_dir, "*.tokens*"), 0, NULL, &found),
                     0);
    assert_int_equal(found.gl_pathc, 1);
    const char *path = sb_test_path("", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static uint64_t inode(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static void cache_is_found_again_and_its_name_does_not_depend_on_the_path(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a b\nc\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    char fingerprint[64];
    snprintf(fingerprint, sizeof(fingerprint), "%s", sb_dataset_fingerprint(dataset));
    assert_int_equal(strlen(fingerprint), 32);
    sb_dataset_free(&dataset);
    uint64_t first = inode(cache_file(&source));

    source.path = (char *)(uintptr_t)sb_test_write(source.dir, "copy.txt", "a b\nc\n");
    dataset = letters_dataset(tokenizer, &source);
    assert_string_equal(sb_dataset_fingerprint(dataset), fingerprint);
    LETTERS_EXPECT(dataset, 1, -1, 0, 3, LETTERS_CLS, C, LETTERS_SEP);
    sb_dataset_free(&dataset);
    assert_int_equal(inode(cache_file(&source)), first);
}

static void changed_content_or_setting_has_another_name(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a b\nc\n");
    char names[4][64];
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            sb_test_write(source.dir, "text.txt", "a b\nd\n"); /* same size, same second */
        if (i == 2)
            source.options.max_seq_length = 9;
        if (i == 3)
            source.options.kind = SB_DATA_BLOCKS;
        struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
        snprintf(names[i], sizeof(names[i]), "%s", sb_dataset_fingerprint(dataset));
        sb_dataset_free(&dataset);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
}

static void write_at(const char *path, off_t at, const char *bytes)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), strlen(bytes));
    close(fd);
}

static void damaged_cache_is_made_again(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a b\nc\n");
    for (int damage = 0; damage < 5; damage++) {
        struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
        assert_int_equal(sb_dataset_count(dataset), 2);
        LETTERS_EXPECT(dataset, 0, -1, 0, 4, LETTERS_CLS, A, B, LETTERS_SEP);
        sb_dataset_free(&dataset);
        const char *path = cache_file(&source);
        if (damage == 0)
            write_at(path, 3, "?"); /* magic */
        else if (damage == 1)
            write_at(path, 70, "?"); /* counts */
        else if (damage == 2)
            assert_int_equal(truncate(path, 4100), 0);
        else if (damage == 3)
            assert_int_equal(truncate(path, 0), 0);
        else
            write_at(path, 30, "0"); /* key */
    }
}

static void damaged_sample_is_an_error_and_not_data(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a b\nc d\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    int32_t ids[8];
    struct sb_err err = SB_ERR_INIT;
    write_at(cache_file(&source), SB_CACHE_HEADER_BYTES + 2, "\7"); /* a token of sample 0 */
    assert_int_equal(sb_dataset_read(dataset, 0, ids, NULL, NULL, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "sample 0 is damaged");
    LETTERS_EXPECT(dataset, 1, -1, 0, 4, LETTERS_CLS, C, D, LETTERS_SEP);
    write_at(cache_file(&source), SB_CACHE_HEADER_BYTES + 16 + 24 + 16, "\xff"); /* its length */
    assert_int_equal(sb_dataset_read(dataset, 1, ids, NULL, NULL, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "sample 1 is damaged");
    assert_int_equal(sb_dataset_length(dataset, 1), 0);
    sb_dataset_free(&dataset);
}

static void order_is_that_of_the_file_for_any_number_of_threads(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    char *text = letters_lines(COUNT);
    for (size_t threads = 0; threads <= 4; threads += 2) {
        struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", text);
        source.options.threads = threads;
        struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
        assert_int_equal(sb_dataset_count(dataset), COUNT);
        for (size_t i = 0; i < COUNT; i += 7) {
            int32_t ids[8];
            size_t t = 1;
            assert_int_equal(sb_dataset_read(dataset, i, ids, NULL, NULL, NULL, NULL), 0);
            for (size_t n = i + 1; n; n /= 26)
                assert_int_equal(ids[t++], A + n % 26);
            assert_int_equal(ids[t], LETTERS_SEP);
        }
        sb_dataset_free(&dataset);
    }
    free(text);
}

/* Several processes open at once: one prepares, all read the same. */
static void second_process_waits_and_finds_it(void **state)
{
    (void)state;
    char *text = letters_lines(20000);
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", text);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct sb_dataset *dataset = NULL;
            int rc = letters_try(&dataset, tokenizer, &source, NULL);
            _exit(rc == 0 && sb_dataset_count(dataset) == 20000 ? 0 : 1);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    cache_file(&source); /* one, and no temporary beside it */
    free(text);
}

static void leftovers_of_a_killed_preparation_are_removed(void **state)
{
    (void)state;
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    sb_dataset_free(&dataset);
    const char *path = cache_file(&source);
    char stale[SB_PATH_BYTES];
    snprintf(stale, sizeof(stale), "%s.tmp-1", path);
    sb_test_write("", stale, "half");
    assert_int_equal(unlink(path), 0);
    dataset = letters_dataset(tokenizer, &source);
    sb_dataset_free(&dataset);
    assert_string_equal(cache_file(&source), path);
}

/* A disk with room for two pages, as far as a child process is concerned. */
static void full_disk_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    char *text = letters_lines(20000);
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", text);
    glob_t found;
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
        struct sb_dataset *dataset = NULL;
        struct sb_err err = SB_ERR_INIT;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = letters_try(&dataset, tokenizer, &source, &err);
        _exit(rc == -1 && err.code == SB_ERR_IO && !dataset ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(glob(sb_test_path(source.options.cache_dir, "*.tokens*"), 0, NULL, &found),
                     GLOB_NOMATCH);
    free(text);
}

/* Lines beyond 64 KiB are encoded piece by piece. */
static void long_lines_encode_as_a_whole(void **state)
{
    (void)state;
    enum { WORDS = 90000 };
    char *text = malloc(2 * WORDS + 2);
    for (size_t i = 0; i < WORDS; i++) {
        text[2 * i] = (char)('a' + i * i % 26);
        text[2 * i + 1] = i % 3 ? ' ' : (char)('a' + i % 7);
    }
    text[2 * WORDS] = '\n';
    text[2 * WORDS + 1] = 0;
    struct letters_source source = letters_source(SB_DATA_BLOCKS, "text.txt", text);
    source.options.max_seq_length = 62;
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    struct sb_encoding whole = {0};
    sb_wordpiece_encode(tokenizer, text, strlen(text), &whole);
    assert_int_equal(sb_dataset_count(dataset), (whole.count + 59) / 60);
    for (size_t i = 0; i < sb_dataset_count(dataset); i++) {
        int32_t ids[62];
        size_t left = whole.count - 60 * i;
        assert_int_equal(sb_dataset_read(dataset, i, ids, NULL, NULL, NULL, NULL), 0);
        assert_memory_equal(ids + 1, whole.ids + 60 * i, (left < 60 ? left : 60) * sizeof(*ids));
    }
    sb_encoding_release(&whole);
    sb_dataset_free(&dataset);
    free(text);
}

static void large_vocabularies_have_wide_tokens(void **state)
{
    (void)state;
    struct sb_wordpiece *narrow = tokenizer;
    tokenizer = letters_open(70000);
    struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "a 0 b\n");
    struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
    LETTERS_EXPECT(dataset, 0, -1, 0, 5, LETTERS_CLS, A, LETTERS_COUNT + 70000, B, LETTERS_SEP);
    sb_dataset_free(&dataset);
    sb_wordpiece_free(&tokenizer);
    tokenizer = narrow;
}

/* A pipe is read once and named after what it said. */
static void pipes_are_prepared_too(void **state)
{
    (void)state;
    char names[2][64];
    for (int i = 0; i < 2; i++) {
        struct letters_source source = letters_source(SB_DATA_LINES, "text.txt", "");
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], "a b\nc\n", 6), 6);
        close(ends[1]);
        int kept = dup(STDIN_FILENO);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        source.path = (char[]){"-"};
        struct sb_dataset *dataset = letters_dataset(tokenizer, &source);
        dup2(kept, STDIN_FILENO);
        close(kept);
        clearerr(stdin);
        assert_int_equal(sb_dataset_count(dataset), 2);
        LETTERS_EXPECT(dataset, 0, -1, 0, 4, LETTERS_CLS, A, B, LETTERS_SEP);
        snprintf(names[i], sizeof(names[i]), "%s", sb_dataset_fingerprint(dataset));
        sb_dataset_free(&dataset);
        cache_file(&source);
    }
    assert_string_equal(names[0], names[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_is_found_again_and_its_name_does_not_depend_on_the_path),
        cmocka_unit_test(changed_content_or_setting_has_another_name),
        cmocka_unit_test(damaged_cache_is_made_again),
        cmocka_unit_test(damaged_sample_is_an_error_and_not_data),
        cmocka_unit_test(order_is_that_of_the_file_for_any_number_of_threads),
        cmocka_unit_test(second_process_waits_and_finds_it),
        cmocka_unit_test(leftovers_of_a_killed_preparation_are_removed),
        cmocka_unit_test(full_disk_is_an_error_and_leaves_nothing),
        cmocka_unit_test(long_lines_encode_as_a_whole),
        cmocka_unit_test(large_vocabularies_have_wide_tokens),
        cmocka_unit_test(pipes_are_prepared_too),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
