#include "pieces.h"

#include "arena.h"

#include <stdlib.h>

void sb_pieces_release(struct sb_pieces *pieces)
{
    free(pieces->ids);
    free(pieces->offsets);
    free(pieces->of_word);
    sb_encoding_release(&pieces->encoding);
    *pieces = (struct sb_pieces)SB_PIECES_INIT;
}

static void reserve(struct sb_pieces *pieces, size_t more)
{
    if (pieces->capacity - pieces->count >= more)
        return;
    pieces->capacity = (pieces->count + more) * 3 / 2;
    pieces->ids = sb_realloc(pieces->ids, pieces->capacity * sizeof(*pieces->ids));
    pieces->offsets = sb_realloc(pieces->offsets, pieces->capacity * sizeof(*pieces->offsets));
}

static void add(struct sb_pieces *pieces, int32_t id, size_t first, size_t end)
{
    pieces->ids[pieces->count] = id;
    pieces->offsets[pieces->count][0] = (uint32_t)first;
    pieces->offsets[pieces->count++][1] = (uint32_t)end;
}

void sb_pieces_encode(struct sb_pieces *pieces, const struct sb_wordpiece *tokenizer,
                      const char *text, const struct sb_word *words, size_t word_count, size_t room)
{
    struct sb_encoding *encoding = &pieces->encoding;
    pieces->count = pieces->cut_count = 0;
    if (pieces->word_capacity < word_count) {
        pieces->word_capacity = 2 * word_count;
        pieces->of_word =
            sb_realloc(pieces->of_word, pieces->word_capacity * sizeof(*pieces->of_word));
    }
    for (size_t w = 0; w < word_count; w++) {
        const struct sb_word *word = &words[w];
        sb_wordpiece_encode(tokenizer, text + word->first, word->end - word->first, encoding);
        size_t count = encoding->count < room ? encoding->count : room;
        pieces->cut_count += count < encoding->count;
        pieces->of_word[w] = count ? (uint32_t)count : 1;
        reserve(pieces, count + 1);
        if (!count)
            add(pieces, sb_wordpiece_specials(tokenizer).unk, word->first_char, word->end_char);
        for (size_t i = 0; i < count; i++)
            add(pieces, encoding->ids[i], word->first_char + encoding->offsets[i][0],
                word->first_char + encoding->offsets[i][1]);
    }
}
