/*
 * What is in the sources, as a name: a hash of their bytes, whatever their paths and times are.
 *
 * Reading a large corpus only to name it is slow, so the name is kept in the cache folder under a
 * stamp of paths, inodes, sizes and times.  The stamp never names content by itself: at worst it is
 * not found.
 */
#ifndef SB_CONTENT_H
#define SB_CONTENT_H

#include "bytes.h"
#include "err.h"
#include "hash.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Appends path, inode, size and times of each source.  once: one of them can be read only once
 * (standard input, a pipe), and has no stamp.
 */
int sb_content_stamp(struct sb_bytes *stamp, bool *once, char *const *paths, size_t path_count,
                     struct sb_err *err);

int sb_content_hash(char text[SB_HASH_TEXT_BYTES], const struct sb_bytes *stamp, char *const *paths,
                    size_t path_count, const char *cache_dir, struct sb_err *err);

#endif
