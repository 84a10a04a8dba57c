/*
 * The file behind a data set: written once, front to back, in constant memory; read at any place.
 *
 *     header      SB_CACHE_HEADER_BYTES  magic, version, key, counts, places of the parts, checksum
 *     tokens      u16 or u32 each        specials included, sample after sample; in data of words
 *                                        the tokens of a sample are followed by as many codes
 *     index       struct sb_cache_entry  one a sample
 *     labels      text                   class names in id order, each with its zero byte
 *
 * Little-endian.  Reads are preads: no page of the file is ever counted as ours, and a file that
 * was cut or damaged behind our back is an error and not a signal.
 */
#ifndef SB_CACHE_H
#define SB_CACHE_H

#include "err.h"
#include "file.h"
#include "hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SB_CACHE_HEADER_BYTES = 4096, SB_CACHE_LENGTH_MAX = UINT16_MAX };

enum {
    SB_CACHE_TRUNCATED = 1,
    SB_CACHE_CONTINUES = 2, /* a further window of the sentence that the sample before is of */
    SB_CACHE_SCORE = 4,     /* the label is a number: the bits of a float */
    SB_CACHE_BEGINS = 8,    /* the first text of a pair or triplet; the others follow */
};

/* The code of a token in data of words: 0, or the label of its word, and whether it begins it. */
enum { SB_CODE_FIRST = 2, SB_CODE_REST = 1 };
#define SB_CODE(label, first) (2 * (label) + ((first) ? SB_CODE_FIRST : SB_CODE_REST))

struct sb_cache_entry {
    uint64_t begin;        /* first token, counted in tokens from the first sample */
    int32_t label;         /* -1: none */
    uint32_t check;        /* of this entry and its tokens */
    uint16_t length;       /* tokens */
    uint16_t first_length; /* tokens of type 0: [CLS] text [SEP] */
    uint16_t flags;
    uint16_t zero;
};

struct sb_cache_counts {
    uint64_t samples;
    uint64_t tokens;
    uint64_t truncated;
    uint64_t replaced; /* broken characters of the sources */
};

struct sb_cache {
    int fd; /* -1 when closed */
    char path[SB_PATH_BYTES];
    struct sb_cache_counts counts;
    uint64_t tokens_at, index_at; /* bytes */
    uint32_t token_bytes;
    uint32_t width; /* values of a token: 1, or 2 with codes */
    uint32_t vocabulary;
    uint32_t max_length; /* no sample is longer */
    char **labels;
    size_t label_count;
};

#define SB_CACHE_INIT                                                                              \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/*
 * Opens the file if it is there, whole, and made for this key; else SB_ERR_NO_INPUT (missing) or
 * SB_ERR_DATA (anything else that is wrong with it: it can be written anew).
 */
int sb_cache_open(struct sb_cache *cache, const char *path, const char *key, uint32_t vocabulary,
                  struct sb_err *err);
void sb_cache_close(struct sb_cache *cache);

/* Any number of threads may read. */
int sb_cache_entry_read(const struct sb_cache *cache, uint64_t sample, struct sb_cache_entry *entry,
                        struct sb_err *err);
/* ids [width, entry->length]; the check is compared. */
int sb_cache_tokens_read(const struct sb_cache *cache, uint64_t sample,
                         const struct sb_cache_entry *entry, int32_t *ids, struct sb_err *err);

/* Life: begin, any number of adds, then commit or abort.  Abort is always safe. */
struct sb_cache_writer {
    struct sb_file_writer file;
    FILE *index; /* has no name, and so is gone whatever happens to us */
    struct sb_cache_counts counts;
    uint32_t token_bytes;
    uint32_t width;
    uint32_t vocabulary;
    uint32_t max_length;
    void *packed; /* tokens of one sample in the width of the file */
    char *file_buffer, *index_buffer;
};

#define SB_CACHE_WRITER_INIT                                                                       \
    {                                                                                              \
        .index = NULL                                                                              \
    }

int sb_cache_writer_begin(struct sb_cache_writer *writer, const char *path, uint32_t vocabulary,
                          uint32_t max_length, uint32_t width, struct sb_err *err);
/*
 * entry: label, length, first_length and flags are the caller's; the rest is filled in here.
 * ids [width, entry.length].
 */
int sb_cache_writer_add(struct sb_cache_writer *writer, struct sb_cache_entry entry,
                        const int32_t *ids, struct sb_err *err);
/*
 * Gives the file its name.  Labels were added by provisional id: label_map [label_count] holds the
 * final id of each, labels the names in final order.
 */
int sb_cache_writer_commit(struct sb_cache_writer *writer, const char *path, const char *key,
                           char *const *labels, const uint32_t *label_map, size_t label_count,
                           struct sb_err *err);
void sb_cache_writer_abort(struct sb_cache_writer *writer);

#endif
