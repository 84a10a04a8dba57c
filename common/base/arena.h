/*
 * Memory with one end of life: taken piece by piece, given back all at once.
 *
 * A chain of blocks that grows to the need of the first passes; sb_arena_reset then joins them into
 * one, so that after the first steps no more memory is asked for.  Owner: one thread.
 * Pieces are aligned to 64 bytes and not cleared.
 */
#ifndef SB_ARENA_H
#define SB_ARENA_H

#include <stddef.h>

struct sb_arena_block;

struct sb_arena {
    struct sb_arena_block *block; /* the newest block, which links to the older ones */
    size_t taken_bytes;           /* since the last reset */
    size_t peak_bytes;            /* largest taken_bytes ever */
};

#define SB_ARENA_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

void sb_arena_init(struct sb_arena *arena, size_t first_bytes);
void sb_arena_release(struct sb_arena *arena);
void sb_arena_reset(struct sb_arena *arena);
void *sb_arena_take(struct sb_arena *arena, size_t bytes);

#define sb_arena_array(arena, type, count) ((type *)sb_arena_take((arena), sizeof(type) * (count)))

/* malloc, calloc and realloc that stop the process with a sentence when memory is out.  JSON is made
 * of such memory too. */
void *sb_alloc(size_t bytes);
void *sb_calloc(size_t count, size_t bytes);
void *sb_realloc(void *old, size_t bytes);
char *sb_strdup(const char *text);

/* Page-aligned memory with huge pages asked for; zeroed.  Freed by sb_free_pages. */
void *sb_alloc_pages(size_t bytes);
void sb_free_pages(void *memory, size_t bytes);

#endif
