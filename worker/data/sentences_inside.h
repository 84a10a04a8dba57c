/* The inside of struct sb_sentences, for sentences.c (files, columns) and sentences_json.c. */
#ifndef SB_SENTENCES_INSIDE_H
#define SB_SENTENCES_INSIDE_H

#include "lines.h"
#include "sentences.h"

struct sb_sentences {
    char **paths;
    size_t path_count, path_index;
    char *tokens_key, *tags_key; /* NULL: the usual ones */
    bool lenient, json;
    struct sb_lines lines;
    size_t columns; /* of this file; 0 while unknown */
    uint64_t total_bytes, done_bytes;

    /* The sentence in hand. */
    struct sb_bytes text;
    struct sb_words words;
    struct sb_bytes tag_text; /* the tags, each with its zero byte */
    char **tags;              /* [words.count], set when the sentence is whole */
    size_t tag_capacity;
    size_t tag_count;
    bool numbers;
    uint64_t line;
};

void sentence_clear(struct sb_sentences *s);
/* Appends a word that was given, and its tag. */
void sentence_add(struct sb_sentences *s, const char *word, size_t bytes, const char *tag);
void sentence_add_tag(struct sb_sentences *s, const char *tag, size_t bytes);
int sentence_trouble(const struct sb_sentences *s, struct sb_err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* sentences_json.c: the line in hand as a sentence. */
int sentence_from_json(struct sb_sentences *s, struct sb_err *err);

#endif
