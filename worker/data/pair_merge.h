/*
 * Byte-pair merging: words as sequences of symbols, and again and again the most frequent pair of
 * neighbours becomes one symbol (Sennrich et al., "Neural Machine Translation of Rare Words with
 * Subword Units", 2016, with the counts kept up to date instead of taken anew).
 */
#ifndef SB_PAIR_MERGE_H
#define SB_PAIR_MERGE_H

#include <stddef.h>
#include <stdint.h>

struct sb_pair_merge;

/* Orders two symbols by their texts, as strcmp does; breaks ties between pairs of one count. */
typedef int (*sb_symbol_order)(const void *context, int32_t a, int32_t b);

struct sb_pair_merge *sb_pair_merge_new(sb_symbol_order order, const void *context);
void sb_pair_merge_free(struct sb_pair_merge **merge);
/* A word of `length` symbols that occurs `count` times.  All words come before the first best. */
void sb_pair_merge_add(struct sb_pair_merge *merge, const int32_t *symbols, size_t length,
                       uint64_t count);
/* The pair to join next and how often it occurs; 0: no pair is left. */
uint64_t sb_pair_merge_best(struct sb_pair_merge *merge, int32_t *left, int32_t *right);
/* Makes this pair one symbol wherever it stands. */
void sb_pair_merge_join(struct sb_pair_merge *merge, int32_t left, int32_t right, int32_t joined);

#endif
