#include "support.h"

#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum {
    WORDS = 400,
    MEGABYTE = 1 << 20,
    /* What may differ between runs of one size: the arenas of malloc, how full the ring gets. */
    SLACK_KB = 3072,
};

static const char *write_vocabulary(const char *dir)
{
    struct sb_bytes text = SB_BYTES_INIT;
    sb_bytes_append_text(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (int i = 0; i < WORDS; i++)
        sb_bytes_printf(&text, "word%c%c\n", 'a' + i / 26, 'a' + i % 26);
    const char *path = sb_test_write(dir, "vocab.txt", text.data);
    sb_bytes_release(&text);
    return path;
}

/* Lines of 1 to 40 words; every tenth line is blank. */
static const char *write_corpus(const char *dir, const char *name, size_t bytes)
{
    const char *path = sb_test_path(dir, name);
    FILE *file = fopen(path, "wbe");
    struct sb_rng rng = sb_rng_key(1, SB_RNG_SAMPLE, 0);
    size_t written = 0;
    assert_non_null(file);
    for (uint64_t line = 0; written < bytes; line++) {
        uint32_t words[4], count;
        sb_rng_draw(&rng, line, 0, 0, words);
        count = line % 10 ? 1 + sb_rng_below(words[3], 40) : 0;
        for (uint32_t w = 0; w < count; w++) {
            if (w % 4 == 0)
                sb_rng_draw(&rng, line, 1, w, words);
            uint32_t i = sb_rng_below(words[w % 4], WORDS);
            written += (size_t)fprintf(file, "word%c%c ", 'a' + i / 26, 'a' + i % 26);
        }
        fputc('\n', file);
        written++;
    }
    assert_int_equal(fclose(file), 0);
    return path;
}

static long status_kb(const char *name)
{
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

/* Prepares a corpus and reads an epoch of it in batches, as a training run does. */
static int prepare_and_read(const char *dir, const char *vocabulary, const char *corpus,
                            enum sb_dataset_kind kind)
{
    enum { BATCH = 64 };
    const struct sb_wordpiece_options tokenizing = {.lowercase = true, .strip_accents = -1};
    const struct sb_mask_options masks = {.probability = 0.15};
    struct sb_rng key = sb_rng_key(1, SB_RNG_MASK, 0);
    char *path = (char *)(uintptr_t)corpus;
    struct sb_dataset_options options = {
        .kind = kind,
        .source = {.paths = &path, .path_count = 1},
        .max_seq_length = 32,
        .cache_dir = sb_test_path(dir, "cache"),
        .threads = 2,
    };
    struct sb_wordpiece *tokenizer;
    struct sb_dataset *dataset;
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_stats stats = {0};
    struct sb_err err = SB_ERR_INIT;
    if (sb_wordpiece_open_vocab(&tokenizer, vocabulary, &tokenizing, &err) < 0 ||
        sb_dataset_open(&dataset, tokenizer, &options, &err) < 0) {
        print_error("%s\n", err.text);
        return 1;
    }
    uint64_t samples[BATCH], count = sb_dataset_count(dataset);
    for (uint64_t first = 0; first < count; first += BATCH) {
        struct sb_batch batch;
        size_t size = count - first < BATCH ? (size_t)(count - first) : BATCH;
        for (size_t i = 0; i < size; i++)
            samples[i] = sb_dataset_order(dataset, 1, 0, true, first + i);
        if (sb_collate(&batch, dataset, tokenizer, samples, size, &masks, &key, &arena, &stats,
                       &err) < 0) {
            print_error("%s\n", err.text);
            return 1;
        }
        sb_arena_reset(&arena);
    }
    int rc = stats.tokens != (double)sb_dataset_token_count(dataset);
    sb_arena_release(&arena);
    sb_dataset_free(&dataset);
    sb_wordpiece_free(&tokenizer);
    return rc;
}

/* The peak of a child that does it, in KB. */
static long peak_kb(const char *dir, const char *vocabulary, const char *corpus,
                    enum sb_dataset_kind kind)
{
    int ends[2], status = -1;
    long peak = 0;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int rc = prepare_and_read(dir, vocabulary, corpus, kind);
        peak = status_kb("VmHWM:");
        _exit(rc || write(ends[1], &peak, sizeof(peak)) != sizeof(peak));
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &peak, sizeof(peak)), sizeof(peak));
    close(ends[0]);
    return peak;
}

static void memory_does_not_grow(enum sb_dataset_kind kind, size_t small_bytes, size_t large_bytes)
{
    const char *dir = sb_test_dir();
    const char *vocabulary = write_vocabulary(dir);
    const char *small = write_corpus(dir, "small.txt", small_bytes);
    const char *large = write_corpus(dir, "large.txt", large_bytes);
    long small_kb = peak_kb(dir, vocabulary, small, kind);
    long large_kb = peak_kb(dir, vocabulary, large, kind);
    print_message("peak %ld KB for %zu MB of text, %ld KB for %zu MB\n", small_kb,
                  small_bytes / MEGABYTE, large_kb, large_bytes / MEGABYTE);
    if (SANITIZED)
        return; /* a sanitizer keeps freed memory for a while */
    if (large_kb > small_kb + SLACK_KB)
        fail_msg("the peak grew by %ld KB", large_kb - small_kb);
}

static void peak_memory_of_lines_does_not_grow_with_the_corpus(void **state)
{
    (void)state;
    memory_does_not_grow(SB_DATA_LINES, 4 * MEGABYTE, 40 * MEGABYTE);
}

static void peak_memory_of_blocks_does_not_grow_with_the_corpus(void **state)
{
    (void)state;
    memory_does_not_grow(SB_DATA_BLOCKS, 4 * MEGABYTE, 24 * MEGABYTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peak_memory_of_lines_does_not_grow_with_the_corpus),
        cmocka_unit_test(peak_memory_of_blocks_does_not_grow_with_the_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
