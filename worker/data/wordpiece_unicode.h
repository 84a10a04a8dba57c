/*
 * What the normaliser and the pre-tokenizer ask about a character, answered as Hugging Face's
 * tokenizers do.
 *
 * Theirs come from libraries of several Unicode versions, the categories from Unicode 8.  Ours come
 * from utf8proc (Unicode 15) and a table of the code points where the answers differ, found by
 * asking both about every code point (tests/golden/wordpiece_unicode.js).
 */
#ifndef SB_WORDPIECE_UNICODE_H
#define SB_WORDPIECE_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum sb_char_class {
    SB_CHAR_CONTROL = 1, /* removed by clean_text: NUL, U+FFFD, Cc, Cf, Co but tab and line ends */
    SB_CHAR_SPACE = 2,   /* White_Space */
    SB_CHAR_PUNCT = 4,   /* ASCII punctuation and P* */
    SB_CHAR_MARK = 8,    /* Mn: removed with the accents */
    SB_CHAR_CHINESE = 16,
};

/* A sum of sb_char_class. */
uint8_t sb_char_classes(int32_t c);

/* Canonical combining class, 0 for starters. */
uint8_t sb_char_combining(int32_t c);

enum { SB_MAX_DECOMPOSED = 4 };

/* Full canonical decomposition, not yet reordered; returns how many code points. */
int sb_char_decompose(int32_t c, int32_t out[SB_MAX_DECOMPOSED]);

/* Full lower case of one character without its context: sigma is always U+03C3; returns 1, or 2 for
 * U+0130. */
int sb_char_lower(int32_t c, int32_t out[2]);

/* Decodes one code point of [at, end), at < end, and moves at behind it; a broken byte reads as
 * U+FFFD. */
int32_t sb_char_next(const char **at, const char *end);

/* Writes c as UTF-8 and returns the number of bytes, 1 to 4. */
int sb_char_put(char *out, int32_t c);

#endif
