/*
 * The words of a text, where they stand in it.
 *
 * A text is cut where BERT's pre-tokenizer cuts it: at white space, and around every punctuation
 * mark and Chinese character.  So the pieces of the words, one word after the other, are those of
 * the text.
 */
#ifndef SB_WORDS_H
#define SB_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct sb_word {
    size_t first, end;           /* bytes of the text */
    size_t first_char, end_char; /* code points of it */
};

/* Reused from text to text; grows to the longest. */
struct sb_words {
    struct sb_word *items;
    size_t count, capacity;
};

#define SB_WORDS_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

void sb_words_release(struct sb_words *words);
void sb_words_add(struct sb_words *words, struct sb_word word);
/* Replaces what is there by the words of a text: valid UTF-8. */
void sb_words_split(struct sb_words *words, const char *text, size_t bytes);
/* Code points of valid UTF-8. */
size_t sb_text_chars(const char *text, size_t bytes);

#endif
