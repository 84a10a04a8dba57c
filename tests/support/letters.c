#include "letters.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

struct sb_wordpiece *letters_open(size_t padding)
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

struct letters_source letters_source(enum sb_dataset_kind kind, const char *name, const char *text)
{
    struct letters_source source = {.dir = sb_test_dir()};
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

int letters_try(struct sb_dataset **dataset, const struct sb_wordpiece *tokenizer,
                struct letters_source *source, struct sb_err *err)
{
    source->options.source.paths = &source->path;
    return sb_dataset_open(dataset, tokenizer, &source->options, err);
}

struct sb_dataset *letters_dataset(const struct sb_wordpiece *tokenizer,
                                   struct letters_source *source)
{
    struct sb_dataset *dataset = NULL;
    struct sb_err err = SB_ERR_INIT;
    if (letters_try(&dataset, tokenizer, source, &err) < 0)
        fail_msg("%s", err.text);
    return dataset;
}

void letters_expect(const struct sb_dataset *dataset, uint64_t sample, int32_t want_label,
                    int want_truncated, size_t first_length, const int32_t *want, size_t length)
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

char *letters_lines(size_t count)
{
    struct sb_bytes text = SB_BYTES_INIT;
    for (size_t i = 0; i < count; i++) {
        for (size_t n = i + 1; n; n /= 26)
            sb_bytes_printf(&text, "%c ", (int)('a' + n % 26));
        sb_bytes_append_text(&text, "\n");
    }
    return text.data;
}
