#include "hash.h"

#include "err.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

uint64_t sb_hash(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

uint64_t sb_hash_seeded(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

static void print128(XXH128_hash_t hash, char text[SB_HASH_TEXT_BYTES])
{
    snprintf(text, SB_HASH_TEXT_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
}

void sb_hasher_init(struct sb_hasher *hasher)
{
    hasher->state = XXH3_createState();
    sb_assert(hasher->state);
    XXH3_128bits_reset(hasher->state);
}

void sb_hasher_add(struct sb_hasher *hasher, const void *data, size_t bytes)
{
    XXH3_128bits_update(hasher->state, data, bytes);
}

uint64_t sb_hasher_value64(const struct sb_hasher *hasher)
{
    return XXH3_128bits_digest(hasher->state).low64;
}

void sb_hasher_text128(const struct sb_hasher *hasher, char text[SB_HASH_TEXT_BYTES])
{
    print128(XXH3_128bits_digest(hasher->state), text);
}

void sb_hasher_release(struct sb_hasher *hasher)
{
    XXH3_freeState(hasher->state);
    hasher->state = NULL;
}

void sb_hash_text128(const void *data, size_t bytes, char text[SB_HASH_TEXT_BYTES])
{
    print128(XXH3_128bits(data, bytes), text);
}
