/*
 * The targets of masked-language-model training.
 *
 * Every draw is keyed by (key, sample, position), so the masks of a sequence depend on nothing
 * else: not on its neighbours in the batch, not on the worker, not on what was drawn before.
 */
#include "dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What each 32-bit word of a position's first draw decides. */
enum { WORD_ORDER, WORD_FATE, WORD_ID };

enum { ID_DRAWS = 64 }; /* with a third of the vocabulary ordinary, all miss once in 10^11 */

/* A word that is masked as one: pieces first .. first + count - 1. */
struct unit {
    uint32_t order;
    uint32_t first;
    uint32_t count;
};

static int compare_units(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Neither a special token nor one of the places that BERT's vocabularies leave unused. */
static bool is_ordinary(const struct sb_wordpiece *tokenizer, int32_t id)
{
    static const char unused[] = "[unused";
    const char *text = sb_wordpiece_text(tokenizer, id);
    return text && !sb_wordpiece_is_special(tokenizer, id) &&
           strncmp(text, unused, sizeof(unused) - 1) != 0;
}

/* A uniform ordinary token; kept if the vocabulary is nearly all special. */
static int32_t random_id(const struct sb_wordpiece *tokenizer, const struct sb_rng *key,
                         uint64_t sample, uint32_t position, uint32_t word, int32_t kept)
{
    uint32_t vocabulary = (uint32_t)sb_wordpiece_count(tokenizer);
    for (uint32_t draw = 1; draw <= ID_DRAWS; draw++) {
        int32_t id = (int32_t)sb_rng_below(word, vocabulary);
        if (is_ordinary(tokenizer, id))
            return id;
        uint32_t words[4];
        sb_rng_draw(key, sample, position, draw, words);
        word = words[WORD_ID];
    }
    return kept;
}

/* 80 % [MASK], 10 % a random token, 10 % as it was; each piece by itself, as BERT's own code does.
 */
static int32_t disguise(const struct sb_wordpiece *tokenizer, const struct sb_rng *key,
                        uint64_t sample, uint32_t position, int32_t id)
{
    uint32_t words[4];
    sb_rng_draw(key, sample, position, 0, words);
    double fate = sb_rng_unit(words[WORD_FATE]);
    if (fate < 0.8)
        return sb_wordpiece_specials(tokenizer).mask;
    if (fate < 0.9)
        return random_id(tokenizer, key, sample, position, words[WORD_ID], id);
    return id;
}

/* Cuts the sequence into units, each with its place in the keyed order.  Returns their number. */
static size_t find_units(struct unit *units, size_t *candidates, const int32_t *ids, size_t length,
                         const struct sb_wordpiece *tokenizer, bool whole_word,
                         const struct sb_rng *key, uint64_t sample)
{
    size_t count = 0;
    bool open = false; /* the token before is a candidate, and a continuation would join it */
    *candidates = 0;
    for (size_t t = 0; t < length; t++) {
        if (sb_wordpiece_is_special(tokenizer, ids[t])) {
            open = false;
            continue;
        }
        (*candidates)++;
        if (open && whole_word && sb_wordpiece_continues(tokenizer, ids[t])) {
            units[count - 1].count++;
            continue;
        }
        uint32_t words[4];
        sb_rng_draw(key, sample, (uint32_t)t, 0, words);
        units[count++] =
            (struct unit){.order = words[WORD_ORDER], .first = (uint32_t)t, .count = 1};
        open = true;
    }
    return count;
}

size_t sb_mask_sequence(int32_t *ids, size_t length, uint32_t *positions, int32_t *originals,
                        const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                        const struct sb_rng *key, uint64_t sample, struct sb_arena *arena)
{
    struct unit *units = sb_arena_array(arena, struct unit, length);
    uint8_t *chosen = memset(sb_arena_take(arena, length), 0, length);
    size_t candidates;
    size_t unit_count =
        find_units(units, &candidates, ids, length, tokenizer, masks->whole_word, key, sample);
    if (unit_count == 0)
        return 0;
    qsort(units, unit_count, sizeof(*units), compare_units);

    size_t wanted = (size_t)llround(masks->probability * (double)candidates);
    if (wanted == 0)
        wanted = 1;
    size_t taken = 0;
    for (size_t u = 0; u < unit_count && taken < wanted; u++) {
        if (taken > 0 && taken + units[u].count > wanted)
            continue;
        memset(chosen + units[u].first, 1, units[u].count);
        taken += units[u].count;
    }

    size_t count = 0;
    for (size_t t = 0; t < length; t++) {
        if (!chosen[t])
            continue;
        positions[count] = (uint32_t)t;
        originals[count] = ids[t];
        ids[t] = disguise(tokenizer, key, sample, (uint32_t)t, ids[t]);
        count++;
    }
    return count;
}
