/*
 * Extending a vocabulary by whole words of a domain.
 *
 * The words of a text are counted as the tokenizer cuts them.  Those that it splits (or does not
 * know) are ranked by the tokens that a piece of their own would save, count * (pieces - 1), ties
 * by text; the first ones become pieces: in the places [unused0], [unused1] ... first, by rising
 * id, and then behind the last piece.  Numbers are never added, nor what occurs less than min_count
 * times.
 *
 * Old pieces keep their ids.  A text is cut as before except in words that begin with a new piece
 * (WordPiece takes the longest piece from the left): the word itself, and longer words, which may
 * gain or lose a piece by it.  A new piece by which a word of the text could not be cut any more is
 * left out.
 */
#ifndef SB_VOCAB_EXTEND_H
#define SB_VOCAB_EXTEND_H

#include "err.h"
#include "reader.h"
#include "wordpiece.h"

struct sb_extend_options {
    size_t words;       /* at most so many new pieces */
    uint64_t min_count; /* of a word in the text */
    bool keep_unused;   /* append only */
    size_t max_words;   /* as in vocab.h; 0: the default */
    struct sb_reader_options source;
};

struct sb_new_piece {
    int32_t id;
    uint64_t count;   /* in the text */
    int32_t *old_ids; /* [old_count] what the word was cut into */
    size_t old_count;
};

struct sb_extension {
    struct sb_wordpiece *tokenizer; /* the extended one */
    struct sb_new_piece *pieces;    /* [count], the most useful first */
    size_t count;
    size_t in_unused;    /* pieces that took the place of an [unused..] */
    uint64_t candidates; /* distinct words that could have been added */
    uint64_t records, words, distinct_words;
    uint64_t pieces_before, pieces_after;   /* of all words */
    uint64_t unknown_before, unknown_after; /* words that are [UNK] */
    uint64_t changed_words; /* distinct words that are cut otherwise and are no new pieces */
};

/* SB_ERR_DATA: no words in the text, or none to add.  After a failure there is nothing to release.
 */
int sb_vocab_extend(struct sb_extension *extension, const struct sb_wordpiece *tokenizer,
                    const struct sb_extend_options *options, struct sb_err *err);
void sb_extension_release(struct sb_extension *extension);

#endif
