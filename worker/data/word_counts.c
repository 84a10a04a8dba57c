#include "word_counts.h"

#include "arena.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

void sb_word_counts_init(struct sb_word_counts *counts, size_t max_words)
{
    *counts = (struct sb_word_counts){.max_words = max_words, .table_mask = 1023};
    counts->table = sb_calloc(counts->table_mask + 1, sizeof(*counts->table));
}

void sb_word_counts_release(struct sb_word_counts *counts)
{
    free(counts->words);
    free(counts->table);
    sb_bytes_release(&counts->texts);
    *counts = (struct sb_word_counts){0};
}

/* The place of the word in the table, or the empty one where it belongs. */
static size_t find(const struct sb_word_counts *c, const char *text, size_t bytes)
{
    size_t place = sb_hash(text, bytes) & c->table_mask;
    for (; c->table[place]; place = (place + 1) & c->table_mask) {
        const struct sb_word_count *word = &c->words[c->table[place] - 1];
        if (word->bytes == bytes && !memcmp(c->texts.data + word->text, text, bytes))
            break;
    }
    return place;
}

static void rebuild_table(struct sb_word_counts *c)
{
    while (2 * c->count > c->table_mask)
        c->table_mask = 2 * c->table_mask + 1;
    free(c->table);
    c->table = sb_calloc(c->table_mask + 1, sizeof(*c->table));
    for (size_t i = 0; i < c->count; i++)
        c->table[find(c, sb_word_counts_text(c, i), c->words[i].bytes)] = (uint32_t)i + 1;
}

static void forget_up_to(struct sb_word_counts *c, uint64_t limit)
{
    size_t kept = 0, end = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct sb_word_count word = c->words[i];
        if (word.count <= limit)
            continue;
        memmove(c->texts.data + end, c->texts.data + word.text, word.bytes + 1);
        word.text = end;
        end += word.bytes + 1;
        c->words[kept++] = word;
    }
    c->forgotten += c->count - kept;
    c->count = kept;
    c->texts.count = end;
}

static void make_room(struct sb_word_counts *c)
{
    for (uint64_t limit = 1; c->count > c->max_words - c->max_words / 4; limit *= 2)
        forget_up_to(c, limit);
    rebuild_table(c);
}

void sb_word_counts_add(struct sb_word_counts *c, const char *text, size_t bytes)
{
    size_t place = find(c, text, bytes);
    if (c->table[place]) {
        c->words[c->table[place] - 1].count++;
        return;
    }
    if (c->count == c->max_words) {
        make_room(c);
        place = find(c, text, bytes);
    }
    if (c->count == c->room) {
        c->room = c->room ? 2 * c->room : 1024;
        c->words = sb_realloc(c->words, c->room * sizeof(*c->words));
    }
    c->words[c->count++] = (struct sb_word_count){1, c->texts.count, (uint32_t)bytes};
    sb_bytes_append(&c->texts, text, bytes);
    sb_bytes_append(&c->texts, "", 1);
    c->table[place] = (uint32_t)c->count;
    if (2 * c->count > c->table_mask)
        rebuild_table(c);
}
