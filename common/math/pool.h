/*
 * The compute threads of a process.  Work is a number of independent tiles, handed out one by one
 * from an atomic counter; the caller works too.  What a tile computes depends on its index and the
 * shape only, never on the thread or the thread count: this is half of the promise that the number
 * of threads leaves no trace in the bits.
 *
 * Every thread of the pool, and any that calls sb_pool_new or sb_pool_run, has flush-to-zero and
 * denormals-are-zero set and OpenBLAS told to use one thread.  One caller at a time; tiles must not
 * start tiles.
 */
#ifndef SB_POOL_H
#define SB_POOL_H

#include <stddef.h>

struct sb_pool;

/* One tile: index in 0..tile_count-1; thread in 0..thread_count-1 for scratch of one's own. */
typedef void sb_tile_fn(void *context, size_t tile, size_t thread);

/* thread_count 0: the usable cores (affinity and cgroup quota). */
struct sb_pool *sb_pool_new(size_t thread_count);
void sb_pool_free(struct sb_pool **pool);
size_t sb_pool_thread_count(const struct sb_pool *pool);
/* Returns when all tiles are done.  pool NULL: all tiles on the calling thread. */
void sb_pool_run(struct sb_pool *pool, size_t tile_count, sb_tile_fn *tile, void *context);

/* Cores that this process may use: affinity mask cut by the cgroup's CPU quota, at least 1. */
size_t sb_pool_usable_cores(void);
/* Sets FTZ and DAZ on this thread (nothing where there is no such mode). */
void sb_pool_set_float_mode(void);

#endif
