/*
 * Learning a WordPiece vocabulary from text.
 *
 * Words are cut as the tokenizer will cut them and counted; then the most frequent pair of
 * neighbouring pieces is joined until the vocabulary is full.  Ties go by text: equal input gives
 * an equal vocabulary.  The order of the pieces: [PAD] [UNK] [CLS] [SEP] [MASK], the characters,
 * the characters inside words ("##x"), joined pieces as they were found.
 *
 * Every character of the text is a piece, so that every word of the text can be cut; only if they
 * do not all fit into the size are the rarest left out (dropped_chars).  Memory is bounded by
 * max_words (word_counts.h) and does not grow with the length of the text.
 */
#ifndef SB_VOCAB_H
#define SB_VOCAB_H

#include "err.h"
#include "reader.h"
#include "wordpiece.h"

#include <stddef.h>
#include <stdint.h>

/* Below this there is hardly room for specials and letters. */
enum { SB_MIN_VOCAB_SIZE = 32, SB_MAX_VOCAB_SIZE = 1000000 };

struct sb_vocab_options {
    size_t size;        /* pieces at most, specials included */
    uint64_t min_count; /* rarer pairs are not joined; BERT's tools use 2 */
    size_t max_words;   /* distinct words counted at a time; 0: 2 million, about 120 MB */
    struct sb_wordpiece_options normalise;
    struct sb_reader_options source;
};

struct sb_vocab_stats {
    uint64_t records, words; /* of the text */
    uint64_t distinct_words;
    uint64_t forgotten_words; /* that were rare when the table was full */
    size_t chars, dropped_chars;
};

/* SB_ERR_DATA: no words in the text; SB_ERR_USAGE: a size out of range; else as the reader. */
int sb_vocab_train(struct sb_wordpiece **tokenizer, const struct sb_vocab_options *options,
                   struct sb_vocab_stats *stats, struct sb_err *err);

#endif
