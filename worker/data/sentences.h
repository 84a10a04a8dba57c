/*
 * Sentences with a tag for each word, from files, one after the other, in constant memory.
 *
 *   CoNLL   2 to 4 columns, the first the word, the last its tag; tabs, or runs of spaces; an empty
 *           line ends a sentence, and so does -DOCSTART-, which is no word.
 *   .jsonl  {"tokens": [...], "ner_tags": [...]} (or "tags"), tags as text or as numbers of labels;
 *           {"text": ..., "entities": [[start, end, label], ...]} (or "spans", "label", "labels";
 *           or objects with start, end, label), in code points of the text, which is cut into words
 *           (words.h).  Every word that an entity touches is of it.
 *
 * Tags come out as BIO: an I that follows nothing of its type (IOB1) becomes a B.  Other schemes
 * are refused by name.  Files and globs, compression and broken UTF-8 are as in reader.h.  Errors
 * name file and line.
 */
#ifndef SB_SENTENCES_H
#define SB_SENTENCES_H

#include "reader.h"
#include "words.h"

enum { SB_SENTENCE_WORDS_MAX = 65536 };

struct sb_sentence {
    const char *text; /* UTF-8; words that were given stand in it with one space between them */
    size_t text_bytes;
    const struct sb_word *words; /* [word_count] */
    size_t word_count;           /* 0 only from JSON: an empty list, or a text of spaces */
    char *const *tags;           /* [word_count] */
    bool numbers;                /* the tags are numbers of labels, as digits */
    const char *path;
    uint64_t line; /* where it begins */
};

struct sb_sentences;

/* Of the options: paths, lenient, and text_column and label_column as keys of JSON objects for
 * "tokens" and its tags. */
int sb_sentences_open(struct sb_sentences **sentences, const struct sb_reader_options *options,
                      struct sb_err *err);
/* 1: a sentence, valid until the next call; 0: the end; -1: trouble. */
int sb_sentences_next(struct sb_sentences *sentences, struct sb_sentence *sentence,
                      struct sb_err *err);
void sb_sentences_free(struct sb_sentences **sentences);
/* As sb_reader_progress. */
void sb_sentences_progress(const struct sb_sentences *sentences, uint64_t *done, uint64_t *total,
                           uint64_t *replaced);

/* SB_ERR_DATA if the tag is not O, B-TYPE or I-TYPE; the scheme that it is of is named. */
int sb_tag_check(const char *tag, struct sb_err *err);

#endif
