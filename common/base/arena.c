#include "arena.h"

#include "err.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, HUGE = 2 << 20 };

struct sb_arena_block {
    struct sb_arena_block *older;
    size_t bytes; /* of the whole mapping */
    size_t used;  /* from the start of the block, this header included */
};

static size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static _Noreturn void out_of_memory(size_t bytes)
{
    fprintf(stderr, "shardbert: out of memory (%zu bytes wanted)\n", bytes);
    exit(SB_ERR_TRY_AGAIN);
}

void *sb_alloc_pages(size_t bytes)
{
    void *memory = mmap(NULL, round_up(bytes ? bytes : 1, 4096), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        out_of_memory(bytes);
    if (bytes >= HUGE)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

void sb_free_pages(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, round_up(bytes ? bytes : 1, 4096));
}

static void push_block(struct sb_arena *arena, size_t payload_bytes)
{
    size_t bytes = round_up(payload_bytes + ALIGN, 64 << 10);
    struct sb_arena_block *block = sb_alloc_pages(bytes);
    block->older = arena->block;
    block->bytes = bytes;
    block->used = ALIGN;
    arena->block = block;
}

static void drop_blocks(struct sb_arena *arena)
{
    while (arena->block) {
        struct sb_arena_block *older = arena->block->older;
        sb_free_pages(arena->block, arena->block->bytes);
        arena->block = older;
    }
}

void sb_arena_init(struct sb_arena *arena, size_t first_bytes)
{
    *arena = (struct sb_arena)SB_ARENA_INIT;
    if (first_bytes)
        push_block(arena, first_bytes);
}

void sb_arena_release(struct sb_arena *arena)
{
    drop_blocks(arena);
    *arena = (struct sb_arena)SB_ARENA_INIT;
}

void sb_arena_reset(struct sb_arena *arena)
{
    if (arena->block && arena->block->older) {
        drop_blocks(arena);
        push_block(arena, arena->peak_bytes);
    }
    if (arena->block)
        arena->block->used = ALIGN;
    arena->taken_bytes = 0;
}

void *sb_arena_take(struct sb_arena *arena, size_t bytes)
{
    bytes = round_up(bytes, ALIGN);
    if (!arena->block || arena->block->bytes - arena->block->used < bytes) {
        size_t grow = arena->taken_bytes / 2;
        push_block(arena, bytes > grow ? bytes : grow);
    }
    void *piece = (char *)arena->block + arena->block->used;
    arena->block->used += bytes;
    arena->taken_bytes += bytes;
    if (arena->taken_bytes > arena->peak_bytes)
        arena->peak_bytes = arena->taken_bytes;
    return piece;
}

void *sb_alloc(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *sb_calloc(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!memory)
        out_of_memory(count * bytes);
    return memory;
}

void *sb_realloc(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

/* The JSON library asks here as well: else a value that it has no memory for would be missing
 * without a word, from a manifest or from what a run leaves. */
__attribute__((constructor)) static void serve_json(void)
{
    json_set_alloc_funcs(sb_alloc, free);
}

char *sb_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(sb_alloc(bytes), text, bytes);
}
