#include "words.h"

#include "arena.h"
#include "wordpiece_unicode.h"

#include <stdbool.h>
#include <stdlib.h>

void sb_words_release(struct sb_words *words)
{
    free(words->items);
    *words = (struct sb_words)SB_WORDS_INIT;
}

void sb_words_add(struct sb_words *words, struct sb_word word)
{
    if (words->count == words->capacity) {
        words->capacity = words->capacity ? 2 * words->capacity : 64;
        words->items = sb_realloc(words->items, words->capacity * sizeof(*words->items));
    }
    words->items[words->count++] = word;
}

void sb_words_split(struct sb_words *words, const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;
    bool open = false; /* the last word may grow */
    words->count = 0;
    for (size_t i = 0; at < end; i++) {
        const char *begin = at;
        uint8_t classes = sb_char_classes(sb_char_next(&at, end));
        /* Dropped by the normaliser: neither a word nor the end of one. */
        if (classes & SB_CHAR_CONTROL)
            continue;
        if (classes & SB_CHAR_SPACE) {
            open = false;
            continue;
        }
        bool alone = classes & (SB_CHAR_PUNCT | SB_CHAR_CHINESE);
        if (!open || alone)
            sb_words_add(words, (struct sb_word){.first = (size_t)(begin - text), .first_char = i});
        words->items[words->count - 1].end = (size_t)(at - text);
        words->items[words->count - 1].end_char = i + 1;
        open = !alone;
    }
}

size_t sb_text_chars(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}
