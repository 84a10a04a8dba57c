#include "support.h"

#include "data_check.h"
#include "dataset.h"
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

/* Ids of a vocabulary of letters: "a" is 5, "b" 6, ... and "##a" 31. */
enum { PAD, UNK, CLS, SEP, MASK, A, B, C, D, E, AA = 31, VOCABULARY = 57 };

static struct sb_wordpiece *tokenizer;

static struct sb_wordpiece *open_letters(size_t padding)
{
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_wordpiece *made = NULL;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_wordpiece_options options = {.lowercase = true, .strip_accents = -1};
    sb_bytes_append_text(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (char c = 'a'; c <= 'z'; c++)
        sb_bytes_printf(&text, "%c\n", c);
    for (char c = 'a'; c <= 'z'; c++)
        sb_bytes_printf(&text, "##%c\n", c);
    for (size_t i = 0; i < padding; i++)
        sb_bytes_printf(&text, "[unused%zu]\n", i);
    if (padding)
        sb_bytes_append_text(&text, "0\n");
    const char *path = sb_test_write(sb_test_dir(), "vocab.txt", text.data);
    if (sb_wordpiece_open_vocab(&made, path, &options, &err) < 0)
        fail_msg("%s", err.text);
    sb_bytes_release(&text);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    tokenizer = open_letters(0);
    assert_int_equal(sb_wordpiece_count(tokenizer), VOCABULARY);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

/* A data set over one file of a fresh folder, which is also where its cache goes. */
struct source {
    const char *dir;
    char *path;
    struct sb_dataset_options options;
};

static struct source source_of(enum sb_dataset_kind kind, const char *name, const char *text)
{
    struct source source = {.dir = sb_test_dir()};
    source.path = (char *)(uintptr_t)sb_test_write(source.dir, name, text);
    source.options = (struct sb_dataset_options){
        .kind = kind,
        .source = {.path_count = 1, .labelled = kind == SB_DATA_LABELLED},
        .max_seq_length = 8,
        .cache_dir = sb_test_path(source.dir, "cache"),
        .threads = 2,
    };
    return source;
}

static int try_open(struct sb_dataset **dataset, struct source *source, struct sb_err *err)
{
    source->options.source.paths = &source->path;
    return sb_dataset_open(dataset, tokenizer, &source->options, err);
}

static struct sb_dataset *open_source(struct source *source)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    if (try_open(&dataset, source, &err) < 0)
        fail_msg("%s", err.text);
    return dataset;
}

#define EXPECT(dataset, sample, want_label, want_truncated, first_length, ...)                     \
    expect_sample(dataset, sample, want_label, want_truncated, first_length,                       \
                  (const int32_t[]){__VA_ARGS__},                                                  \
                  sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void expect_sample(const struct sb_dataset *dataset, uint64_t sample, int32_t want_label,
                          int want_truncated, size_t first_length, const int32_t *want,
                          size_t length)
{
    int32_t ids[64], label;
    uint8_t types[64];
    int truncated;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_dataset_length(dataset, sample), length);
    if (sb_dataset_read(dataset, sample, ids, types, &label, &truncated, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(ids, want, length * sizeof(*ids));
    for (size_t t = 0; t < length; t++)
        assert_int_equal(types[t], t >= first_length);
    assert_int_equal(label, want_label);
    assert_int_equal(truncated, want_truncated);
}

static void lines_are_samples_and_empty_ones_are_not(void **state)
{
    (void)state;
    struct source source =
        source_of(SB_DATA_LINES, "text.txt", "a b\n\n   \nba ? c\na b c d e a b c\n");
    struct sb_dataset *dataset = open_source(&source);
    assert_int_equal(sb_dataset_count(dataset), 3);
    assert_int_equal(sb_dataset_token_count(dataset), 4 + 6 + 8);
    assert_int_equal(sb_dataset_truncated_count(dataset), 1);
    assert_int_equal(sb_dataset_label_count(dataset), 0);
    EXPECT(dataset, 0, -1, 0, 4, CLS, A, B, SEP);
    EXPECT(dataset, 1, -1, 0, 6, CLS, B, AA, UNK, C, SEP);
    EXPECT(dataset, 2, -1, 1, 8, CLS, A, B, C, D, E, A, SEP);
    sb_dataset_free(&dataset);
}

static void blocks_join_the_lines_of_a_document_and_keep_the_tail(void **state)
{
    (void)state;
    struct source source =
        source_of(SB_DATA_BLOCKS, "text.txt", "\na b c d\ne a b c d\n\n\nc\nd\n\na b c d e a\n");
    struct sb_dataset *dataset = open_source(&source);
    assert_int_equal(sb_dataset_count(dataset), 4);
    EXPECT(dataset, 0, -1, 0, 8, CLS, A, B, C, D, E, A, SEP);
    EXPECT(dataset, 1, -1, 0, 5, CLS, B, C, D, SEP);
    EXPECT(dataset, 2, -1, 0, 4, CLS, C, D, SEP);
    EXPECT(dataset, 3, -1, 0, 8, CLS, A, B, C, D, E, A, SEP);
    assert_int_equal(sb_dataset_truncated_count(dataset), 0);
    sb_dataset_free(&dataset);
}

static void blocks_do_not_cross_files(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_BLOCKS, "one.txt", "a b");
    char *paths[2] = {source.path,
                      (char *)(uintptr_t)sb_test_write(source.dir, "two.txt", "c d\n")};
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.source.paths = paths;
    source.options.source.path_count = 2;
    if (sb_dataset_open(&dataset, tokenizer, &source.options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(sb_dataset_count(dataset), 2);
    EXPECT(dataset, 0, -1, 0, 4, CLS, A, B, SEP);
    EXPECT(dataset, 1, -1, 0, 4, CLS, C, D, SEP);
    sb_dataset_free(&dataset);
}

static void found_labels_are_sorted(void **state)
{
    (void)state;
    struct source source =
        source_of(SB_DATA_LABELLED, "train.tsv", "pos\ta\nneg\tb\npos\tc\nmid\td\n");
    struct sb_dataset *dataset = open_source(&source);
    assert_int_equal(sb_dataset_label_count(dataset), 3);
    assert_string_equal(sb_dataset_label(dataset, 0), "mid");
    assert_string_equal(sb_dataset_label(dataset, 1), "neg");
    assert_string_equal(sb_dataset_label(dataset, 2), "pos");
    assert_null(sb_dataset_label(dataset, 3));
    EXPECT(dataset, 0, 2, 0, 3, CLS, A, SEP);
    EXPECT(dataset, 1, 1, 0, 3, CLS, B, SEP);
    EXPECT(dataset, 2, 2, 0, 3, CLS, C, SEP);
    EXPECT(dataset, 3, 0, 0, 3, CLS, D, SEP);
    sb_dataset_free(&dataset);
}

static void found_numbers_are_sorted_as_numbers(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", "10\ta\n9\tb\n0\tc\n");
    struct sb_dataset *dataset = open_source(&source);
    assert_string_equal(sb_dataset_label(dataset, 0), "0");
    assert_string_equal(sb_dataset_label(dataset, 1), "9");
    assert_string_equal(sb_dataset_label(dataset, 2), "10");
    EXPECT(dataset, 0, 2, 0, 3, CLS, A, SEP);
    sb_dataset_free(&dataset);
}

static void given_labels_keep_their_order_and_ids_name_them(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"neg"}};
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", "neg\ta\npos\tb\n1\tc\n");
    source.options.labels = labels;
    source.options.label_count = 2;
    struct sb_dataset *dataset = open_source(&source);
    EXPECT(dataset, 0, 1, 0, 3, CLS, A, SEP);
    EXPECT(dataset, 1, 0, 0, 3, CLS, B, SEP);
    EXPECT(dataset, 2, 1, 0, 3, CLS, C, SEP);
    assert_string_equal(sb_dataset_label(dataset, 0), "pos");
    sb_dataset_free(&dataset);
}

static void unknown_label_names_file_line_and_the_known_ones(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"neg"}};
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", "neg\ta\nmeh\tb\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.labels = labels;
    source.options.label_count = 2;
    assert_int_equal(try_open(&dataset, &source, &err), -1);
    assert_null(dataset);
    sb_test_err_is(&err, SB_ERR_DATA,
                   "train.tsv:2: label 'meh' is not one of the labels: pos, neg");
}

static void repeated_label_is_refused(void **state)
{
    (void)state;
    char *labels[] = {(char[]){"pos"}, (char[]){"pos"}};
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", "pos\ta\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.options.labels = labels;
    source.options.label_count = 2;
    assert_int_equal(try_open(&dataset, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "'pos' is there twice");
}

static void pairs_have_types_and_are_cut_longest_first(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv",
                                     "x\ta b\tc\nx\ta b c d e\td\nx\ta\ta b c d e\n"
                                     "x\ta b c d\ta b c e\n");
    source.options.source.text_column = "1";
    source.options.source.text_pair_column = "2";
    source.options.source.label_column = "0";
    struct sb_dataset *dataset = open_source(&source);
    EXPECT(dataset, 0, 0, 0, 4, CLS, A, B, SEP, C, SEP);
    EXPECT(dataset, 1, 0, 1, 6, CLS, A, B, C, D, SEP, D, SEP);
    EXPECT(dataset, 2, 0, 1, 3, CLS, A, SEP, A, B, C, D, SEP);
    EXPECT(dataset, 3, 0, 1, 4, CLS, A, B, SEP, A, B, C, SEP);
    assert_int_equal(sb_dataset_truncated_count(dataset), 3);
    sb_dataset_free(&dataset);
}

/* One token at a time from the longer text: what "longest first" means. */
static void pair_cut_equals_dropping_from_the_longer(void **state)
{
    (void)state;
    for (size_t budget = 0; budget <= 9; budget++)
        for (size_t first = 0; first <= 12; first++)
            for (size_t second = 0; second <= 12; second++) {
                size_t a = first, b = second, x = first, y = second;
                while (a + b > budget) {
                    /* Equal lengths: the text that was the longer one keeps the odd token. */
                    if (a > b || (a == b && first <= second))
                        a--;
                    else
                        b--;
                }
                sb_cut_pair(&x, &y, budget);
                if (x != a || y != b)
                    fail_msg("%zu + %zu in %zu: %zu + %zu, expected %zu + %zu", first, second,
                             budget, x, y, a, b);
            }
}

static void empty_data_is_an_error(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LINES, "text.txt", "\n \n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(try_open(&dataset, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "nothing in the data");
}

static void missing_file_is_an_error(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a\n");
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    source.path = (char *)(uintptr_t)sb_test_path(source.dir, "absent.txt");
    assert_int_equal(try_open(&dataset, &source, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "absent.txt");
}

static const char *cache_file(const struct source *source)
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
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a b\nc\n");
    struct sb_dataset *dataset = open_source(&source);
    char fingerprint[64];
    snprintf(fingerprint, sizeof(fingerprint), "%s", sb_dataset_fingerprint(dataset));
    assert_int_equal(strlen(fingerprint), 32);
    sb_dataset_free(&dataset);
    uint64_t first = inode(cache_file(&source));

    source.path = (char *)(uintptr_t)sb_test_write(source.dir, "copy.txt", "a b\nc\n");
    dataset = open_source(&source);
    assert_string_equal(sb_dataset_fingerprint(dataset), fingerprint);
    EXPECT(dataset, 1, -1, 0, 3, CLS, C, SEP);
    sb_dataset_free(&dataset);
    assert_int_equal(inode(cache_file(&source)), first);
}

static void changed_content_or_setting_has_another_name(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a b\nc\n");
    char names[4][64];
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            sb_test_write(source.dir, "text.txt", "a b\nd\n"); /* same size, same second */
        if (i == 2)
            source.options.max_seq_length = 9;
        if (i == 3)
            source.options.kind = SB_DATA_BLOCKS;
        struct sb_dataset *dataset = open_source(&source);
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
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a b\nc\n");
    for (int damage = 0; damage < 5; damage++) {
        struct sb_dataset *dataset = open_source(&source);
        assert_int_equal(sb_dataset_count(dataset), 2);
        EXPECT(dataset, 0, -1, 0, 4, CLS, A, B, SEP);
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
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a b\nc d\n");
    struct sb_dataset *dataset = open_source(&source);
    int32_t ids[8];
    struct sb_err err = SB_ERR_INIT;
    write_at(cache_file(&source), SB_CACHE_HEADER_BYTES + 2, "\7"); /* a token of sample 0 */
    assert_int_equal(sb_dataset_read(dataset, 0, ids, NULL, NULL, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "sample 0 is damaged");
    EXPECT(dataset, 1, -1, 0, 4, CLS, C, D, SEP);
    write_at(cache_file(&source), SB_CACHE_HEADER_BYTES + 16 + 24 + 16, "\xff"); /* its length */
    assert_int_equal(sb_dataset_read(dataset, 1, ids, NULL, NULL, NULL, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "sample 1 is damaged");
    assert_int_equal(sb_dataset_length(dataset, 1), 0);
    sb_dataset_free(&dataset);
}

/* Lines "a", "b", "aa", ...: line i is the number i, written with letters. */
static char *many_lines(size_t count)
{
    struct sb_bytes text = SB_BYTES_INIT;
    for (size_t i = 0; i < count; i++) {
        for (size_t n = i + 1; n; n /= 26)
            sb_bytes_printf(&text, "%c ", (int)('a' + n % 26));
        sb_bytes_append_text(&text, "\n");
    }
    return text.data;
}

static void order_is_that_of_the_file_for_any_number_of_threads(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    char *text = many_lines(COUNT);
    for (size_t threads = 0; threads <= 4; threads += 2) {
        struct source source = source_of(SB_DATA_LINES, "text.txt", text);
        source.options.threads = threads;
        struct sb_dataset *dataset = open_source(&source);
        assert_int_equal(sb_dataset_count(dataset), COUNT);
        for (size_t i = 0; i < COUNT; i += 7) {
            int32_t ids[8];
            size_t t = 1;
            assert_int_equal(sb_dataset_read(dataset, i, ids, NULL, NULL, NULL, NULL), 0);
            for (size_t n = i + 1; n; n /= 26)
                assert_int_equal(ids[t++], A + n % 26);
            assert_int_equal(ids[t], SEP);
        }
        sb_dataset_free(&dataset);
    }
    free(text);
}

/* Several processes open at once: one prepares, all read the same. */
static void second_process_waits_and_finds_it(void **state)
{
    (void)state;
    char *text = many_lines(20000);
    struct source source = source_of(SB_DATA_LINES, "text.txt", text);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct sb_dataset *dataset = NULL;
            int rc = try_open(&dataset, &source, NULL);
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
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a\n");
    struct sb_dataset *dataset = open_source(&source);
    sb_dataset_free(&dataset);
    const char *path = cache_file(&source);
    char stale[SB_PATH_BYTES];
    snprintf(stale, sizeof(stale), "%s.tmp-1", path);
    sb_test_write("", stale, "half");
    assert_int_equal(unlink(path), 0);
    dataset = open_source(&source);
    sb_dataset_free(&dataset);
    assert_string_equal(cache_file(&source), path);
}

/* A disk with room for two pages, as far as a child process is concerned. */
static void full_disk_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    char *text = many_lines(20000);
    struct source source = source_of(SB_DATA_LINES, "text.txt", text);
    glob_t found;
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
        struct sb_dataset *dataset = NULL;
        struct sb_err err = SB_ERR_INIT;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = try_open(&dataset, &source, &err);
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
    struct source source = source_of(SB_DATA_BLOCKS, "text.txt", text);
    source.options.max_seq_length = 62;
    struct sb_dataset *dataset = open_source(&source);
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
    tokenizer = open_letters(70000);
    struct source source = source_of(SB_DATA_LINES, "text.txt", "a 0 b\n");
    struct sb_dataset *dataset = open_source(&source);
    EXPECT(dataset, 0, -1, 0, 5, CLS, A, VOCABULARY + 70000, B, SEP);
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
        struct source source = source_of(SB_DATA_LINES, "text.txt", "");
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], "a b\nc\n", 6), 6);
        close(ends[1]);
        int kept = dup(STDIN_FILENO);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        source.path = (char[]){"-"};
        struct sb_dataset *dataset = open_source(&source);
        dup2(kept, STDIN_FILENO);
        close(kept);
        clearerr(stdin);
        assert_int_equal(sb_dataset_count(dataset), 2);
        EXPECT(dataset, 0, -1, 0, 4, CLS, A, B, SEP);
        snprintf(names[i], sizeof(names[i]), "%s", sb_dataset_fingerprint(dataset));
        sb_dataset_free(&dataset);
        cache_file(&source);
    }
    assert_string_equal(names[0], names[1]);
}

static void collate_lays_samples_side_by_side(void **state)
{
    (void)state;
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", "x\ta b\ny\tc\nx\td e a\n");
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_batch batch;
    struct sb_stats stats = {0};
    struct sb_err err = SB_ERR_INIT;
    const uint64_t samples[2] = {2, 1};
    const int32_t ids[8] = {CLS, D, E, A, SEP, CLS, C, SEP};
    assert_int_equal(
        sb_collate(&batch, dataset, tokenizer, samples, 2, NULL, NULL, &arena, &stats, &err), 0);
    assert_int_equal(batch.B, 2);
    assert_int_equal(batch.N, 8);
    assert_int_equal(batch.starts[0], 0);
    assert_int_equal(batch.starts[1], 5);
    assert_int_equal(batch.starts[2], 8);
    assert_memory_equal(batch.ids, ids, sizeof(ids));
    assert_int_equal(batch.samples[0], 2);
    assert_int_equal(batch.labels[0], 0);
    assert_int_equal(batch.labels[1], 1);
    assert_int_equal(batch.target_count, 0);
    assert_true(stats.samples == 2 && stats.tokens == 8 && stats.truncated == 0);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
}

static void masks_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    char *text = many_lines(2000);
    struct source source = source_of(SB_DATA_BLOCKS, "text.txt", text);
    source.options.max_seq_length = 40;
    struct sb_dataset *dataset = open_source(&source);
    struct sb_arena arena = SB_ARENA_INIT;
    const struct sb_mask_options masks = {.probability = 0.15};
    struct sb_rng key = sb_rng_key(1, SB_RNG_EVAL_MASK, 0);
    const uint64_t together[4] = {7, 3, 11, 0};
    struct sb_batch all, one;
    assert_int_equal(
        sb_collate(&all, dataset, tokenizer, together, 4, &masks, &key, &arena, NULL, NULL), 0);
    assert_null(all.labels);
    size_t target = 0;
    for (size_t b = 0; b < 4; b++) {
        assert_int_equal(
            sb_collate(&one, dataset, tokenizer, &together[b], 1, &masks, &key, &arena, NULL, NULL),
            0);
        assert_memory_equal(one.ids, all.ids + all.starts[b], one.N * sizeof(*one.ids));
        assert_int_equal(one.target_count, 6); /* round(0.15 * 38) */
        for (size_t i = 0; i < one.target_count; i++, target++) {
            assert_int_equal(all.target_rows[target], all.starts[b] + one.target_rows[i]);
            assert_int_equal(all.target_ids[target], one.target_ids[i]);
        }
    }
    assert_int_equal(all.target_count, target);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
    free(text);
}

static void check_counts_labels_and_lengths(void **state)
{
    (void)state;
    struct sb_bytes text = SB_BYTES_INIT, out = SB_BYTES_INIT;
    for (int i = 1; i <= 100; i++) { /* 60 samples of 3 tokens, 35 of 4, 4 of 5, one cut to 8 */
        const char *words = i <= 60 ? "a" : i <= 95 ? "a b" : i < 100 ? "a b c" : "a b c d e a b";
        sb_bytes_printf(&text, "%s\t%s\n", i % 4 ? "pos" : "neg", words);
    }
    struct source source = source_of(SB_DATA_LABELLED, "train.tsv", text.data);
    struct sb_dataset *dataset = open_source(&source);
    struct sb_data_summary summary;
    assert_int_equal(sb_data_summarise(&summary, dataset, NULL), 0);
    assert_int_equal(summary.samples, 100);
    assert_int_equal(summary.tokens, 60 * 3 + 35 * 4 + 4 * 5 + 8);
    assert_int_equal(summary.truncated, 1);
    assert_int_equal(summary.length_p50, 3);
    assert_int_equal(summary.length_p95, 4);
    assert_int_equal(summary.length_max, 8);
    assert_int_equal(summary.per_label[0], 25);
    assert_int_equal(summary.per_label[1], 75);
    assert_int_equal(summary.unlabelled, 0);
    sb_data_summary_release(&summary);
    sb_dataset_free(&dataset);

    assert_int_equal(sb_data_check(&out, tokenizer, &source.options, NULL), 0);
    assert_non_null(strstr(out.data, "p50 3, p95 4, max 8"));
    assert_non_null(strstr(out.data, "neg"));
    sb_bytes_release(&out);
    sb_bytes_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_samples_and_empty_ones_are_not),
        cmocka_unit_test(blocks_join_the_lines_of_a_document_and_keep_the_tail),
        cmocka_unit_test(blocks_do_not_cross_files),
        cmocka_unit_test(found_labels_are_sorted),
        cmocka_unit_test(found_numbers_are_sorted_as_numbers),
        cmocka_unit_test(given_labels_keep_their_order_and_ids_name_them),
        cmocka_unit_test(unknown_label_names_file_line_and_the_known_ones),
        cmocka_unit_test(repeated_label_is_refused),
        cmocka_unit_test(pairs_have_types_and_are_cut_longest_first),
        cmocka_unit_test(pair_cut_equals_dropping_from_the_longer),
        cmocka_unit_test(empty_data_is_an_error),
        cmocka_unit_test(missing_file_is_an_error),
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
        cmocka_unit_test(collate_lays_samples_side_by_side),
        cmocka_unit_test(masks_do_not_depend_on_the_batch),
        cmocka_unit_test(check_counts_labels_and_lengths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
