/*
 * How often each word occurs, in bounded memory.
 *
 * At most max_words distinct words are held.  Where one more comes, the rarest are forgotten until
 * a quarter of the room is free: what is lost are words that were rare so far.  The result depends
 * on the order of the text, and on nothing else.  About 60 bytes a word.
 */
#ifndef SB_WORD_COUNTS_H
#define SB_WORD_COUNTS_H

#include "bytes.h"

#include <stddef.h>
#include <stdint.h>

struct sb_word_count {
    uint64_t count;
    size_t text; /* where it begins in texts; zero-terminated */
    uint32_t bytes;
};

struct sb_word_counts {
    struct sb_word_count *words; /* [count] in the order of their first coming */
    size_t count, room, max_words;
    struct sb_bytes texts;
    uint32_t *table; /* open addressing: index + 1, 0: empty */
    size_t table_mask;
    uint64_t forgotten; /* distinct words, each time that one was dropped */
};

void sb_word_counts_init(struct sb_word_counts *counts, size_t max_words);
void sb_word_counts_release(struct sb_word_counts *counts);
void sb_word_counts_add(struct sb_word_counts *counts, const char *text, size_t bytes);
static inline const char *sb_word_counts_text(const struct sb_word_counts *counts, size_t index)
{
    return counts->texts.data + counts->words[index].text;
}

#endif
