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
enum { WORD_ORDER, WORD_FATE, WORD_ID, WORD_SPAN };

enum { ID_DRAWS = 64 }; /* with a third of the vocabulary ordinary, all miss once in 10^11 */

/* A word that is masked as one: pieces first .. first + count - 1. */
struct unit {
    uint32_t order;
    uint32_t first;
    uint32_t count;
    uint32_t index; /* among the words of the sequence */
    uint32_t span;  /* words of the span that begins here */
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

/*
 * 80 % [MASK], 10 % a random token, 10 % as it was.  Each piece by itself, as BERT's own code does;
 * the pieces of a span by its first one, as SpanBERT's.
 */
static int32_t disguise(const struct sb_wordpiece *tokenizer, const struct sb_rng *key,
                        uint64_t sample, uint32_t position, uint32_t fate_position, int32_t id)
{
    uint32_t words[4];
    sb_rng_draw(key, sample, fate_position, 0, words);
    double fate = sb_rng_unit(words[WORD_FATE]);
    if (position != fate_position)
        sb_rng_draw(key, sample, position, 0, words);
    if (fate < 0.8)
        return sb_wordpiece_specials(tokenizer).mask;
    if (fate < 0.9)
        return random_id(tokenizer, key, sample, position, words[WORD_ID], id);
    return id;
}

/*
 * Words of a span: P(n) = p (1-p)^(n-1) / (1 - (1-p)^10) for n = 1 .. 10, by inversion: the first n
 * with 1 - (1-p)^n above u (1 - (1-p)^10).
 */
static uint32_t span_words(uint32_t word)
{
    double all = 1, tail = 1;
    for (int i = 0; i < SB_SPAN_WORDS_MAX; i++)
        all *= 1 - SB_SPAN_P;
    double target = sb_rng_unit(word) * (1 - all);
    for (uint32_t n = 1; n < SB_SPAN_WORDS_MAX; n++) {
        tail *= 1 - SB_SPAN_P;
        if (1 - tail > target)
            return n;
    }
    return SB_SPAN_WORDS_MAX;
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
        units[count] = (struct unit){.order = words[WORD_ORDER],
                                     .first = (uint32_t)t,
                                     .count = 1,
                                     .index = (uint32_t)count,
                                     .span = span_words(words[WORD_SPAN])};
        count++;
        open = true;
    }
    return count;
}

/* Whole units in the drawn order, none that overshoots. */
static void choose_units(uint32_t *chosen, const struct unit *drawn, size_t count, size_t wanted)
{
    size_t taken = 0;
    for (size_t u = 0; u < count && taken < wanted; u++) {
        if (taken > 0 && taken + drawn[u].count > wanted)
            continue;
        for (uint32_t i = 0; i < drawn[u].count; i++)
            chosen[drawn[u].first + i] = drawn[u].first + i + 1;
        taken += drawn[u].count;
    }
}

/* Takes the words of one span, as far as they are free, together and wanted. */
static size_t take_span(uint32_t *chosen, const struct unit *units, size_t first, size_t end,
                        size_t room, bool must)
{
    uint32_t begin = units[first].first, next = begin;
    size_t taken = 0;
    for (size_t u = first; u < end; u++) {
        bool fits = taken + units[u].count <= room || (must && !taken);
        if (units[u].first != next || chosen[next] || !fits)
            break;
        for (uint32_t i = 0; i < units[u].count; i++)
            chosen[next + i] = begin + 1;
        next += units[u].count;
        taken += units[u].count;
    }
    return taken;
}

/*
 * Every word is the start of a span once, in the drawn order; units stand as in the text.  What is
 * still wanted after that is taken word by word, which happens only at high probabilities.
 */
static void choose_spans(uint32_t *chosen, const struct unit *drawn, const struct unit *units,
                         size_t count, size_t wanted)
{
    static const uint32_t most_words[] = {SB_SPAN_WORDS_MAX, 1};
    size_t taken = 0;
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t d = 0; d < count && taken < wanted; d++) {
            size_t first = drawn[d].index, span = units[first].span;
            if (span > most_words[pass])
                span = most_words[pass];
            size_t end = count - first < span ? count : first + span;
            taken += take_span(chosen, units, first, end, wanted - taken, taken == 0);
        }
    }
}

size_t sb_mask_sequence(int32_t *ids, size_t length, uint32_t *positions, int32_t *originals,
                        const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                        const struct sb_rng *key, uint64_t sample, struct sb_arena *arena)
{
    struct unit *units = sb_arena_array(arena, struct unit, length);
    /* 1 + the position that decides the fate; 0: no target. */
    uint32_t *chosen = sb_arena_array(arena, uint32_t, length);
    memset(chosen, 0, length * sizeof(*chosen));
    size_t candidates;
    size_t unit_count = find_units(units, &candidates, ids, length, tokenizer,
                                   masks->whole_word || masks->spans, key, sample);
    if (unit_count == 0)
        return 0;
    struct unit *drawn = sb_arena_array(arena, struct unit, unit_count);
    memcpy(drawn, units, unit_count * sizeof(*drawn));
    qsort(drawn, unit_count, sizeof(*drawn), compare_units);

    size_t wanted = (size_t)llround(masks->probability * (double)candidates);
    if (wanted == 0)
        wanted = 1;
    if (masks->spans)
        choose_spans(chosen, drawn, units, unit_count, wanted);
    else
        choose_units(chosen, drawn, unit_count, wanted);

    size_t count = 0;
    for (size_t t = 0; t < length; t++) {
        if (!chosen[t])
            continue;
        positions[count] = (uint32_t)t;
        originals[count] = ids[t];
        ids[t] = disguise(tokenizer, key, sample, (uint32_t)t, chosen[t] - 1, ids[t]);
        count++;
    }
    return count;
}
