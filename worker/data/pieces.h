/*
 * The pieces of words, each word by itself: so a word has the same pieces wherever it stands, and
 * every word has at least one.
 */
#ifndef SB_PIECES_H
#define SB_PIECES_H

#include "wordpiece.h"
#include "words.h"

/* Reused from sentence to sentence; grows to the longest. */
struct sb_pieces {
    int32_t *ids;           /* [count] word after word */
    uint32_t (*offsets)[2]; /* [count] code points of the text: first, end */
    uint32_t *of_word;      /* [words] how many each has */
    size_t count;
    size_t cut_count; /* words that lost pieces */
    size_t capacity, word_capacity;
    struct sb_encoding encoding;
};

#define SB_PIECES_INIT                                                                             \
    {                                                                                              \
        0                                                                                          \
    }

void sb_pieces_release(struct sb_pieces *pieces);

/*
 * Replaces what is there.  A word of which nothing is left (a control character) is [UNK]; of one
 * with more than room pieces the first are kept.
 */
void sb_pieces_encode(struct sb_pieces *pieces, const struct sb_wordpiece *tokenizer,
                      const char *text, const struct sb_word *words, size_t word_count,
                      size_t room);

#endif
