/* Small prepared data sets over a vocabulary of letters, for tests of what is made of them. */
#ifndef SB_LETTERS_H
#define SB_LETTERS_H

#include "dataset.h"

/* Ids of the vocabulary: "a" is 5, "b" 6, ... and "##a" 31. */
enum {
    LETTERS_PAD,
    LETTERS_UNK,
    LETTERS_CLS,
    LETTERS_SEP,
    LETTERS_MASK,
    LETTERS_A,
    LETTERS_AA = 31,
    LETTERS_COUNT = 57
};

/* With so many unused pieces behind the letters, and then "0". */
struct sb_wordpiece *letters_open(size_t padding);

/* A data set over one file of a fresh folder, which is also where its cache goes. */
struct letters_source {
    const char *dir;
    char *path;
    struct sb_dataset_options options; /* at most 8 tokens a sample, two threads */
};

struct letters_source letters_source(enum sb_dataset_kind kind, const char *name, const char *text);
int letters_try(struct sb_dataset **dataset, const struct sb_wordpiece *tokenizer,
                struct letters_source *source, struct sb_err *err);
/* The test fails if there is trouble. */
struct sb_dataset *letters_dataset(const struct sb_wordpiece *tokenizer,
                                   struct letters_source *source);

/* The ids of a sample, its label, whether it was cut, and the length of its first text. */
#define LETTERS_EXPECT(dataset, sample, want_label, want_truncated, first_length, ...)             \
    letters_expect(dataset, sample, want_label, want_truncated, first_length,                      \
                   (const int32_t[]){__VA_ARGS__},                                                 \
                   sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t))
void letters_expect(const struct sb_dataset *dataset, uint64_t sample, int32_t want_label,
                    int want_truncated, size_t first_length, const int32_t *want, size_t length);

/* Lines "b", "c", ... "a b", ...: each the number of its line, written with letters.  To be freed.
 */
char *letters_lines(size_t count);

#endif
