/* xxHash's XXH3: names of contents, checksums of frames and files.  Not against an adversary. */
#ifndef SB_HASH_H
#define SB_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sb_hash(const void *data, size_t bytes);
uint64_t sb_hash_seeded(const void *data, size_t bytes, uint64_t seed);

/* 32 hexadecimal digits and a zero byte. */
#define SB_HASH_TEXT_BYTES 33

/* A hash taken piece by piece.  Life: init, any number of adds, one end; release is always safe. */
struct sb_hasher {
    void *state;
};

void sb_hasher_init(struct sb_hasher *hasher);
void sb_hasher_add(struct sb_hasher *hasher, const void *data, size_t bytes);
uint64_t sb_hasher_value64(const struct sb_hasher *hasher);
void sb_hasher_text128(const struct sb_hasher *hasher, char text[SB_HASH_TEXT_BYTES]);
void sb_hasher_release(struct sb_hasher *hasher);

void sb_hash_text128(const void *data, size_t bytes, char text[SB_HASH_TEXT_BYTES]);

#endif
