#include "entities.h"

#include "arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- tags ---- */

static uint32_t type_id(struct sb_tags *tags, const char *name)
{
    for (size_t i = 0; i < tags->type_count; i++)
        if (!strcmp(tags->type_names[i], name))
            return (uint32_t)i;
    tags->type_names[tags->type_count] = sb_strdup(name);
    return (uint32_t)tags->type_count++;
}

static bool is_outside(const char *tag)
{
    return !strcmp(tag, "O") || !strcmp(tag, ".");
}

static bool has_prefix(const char *tag)
{
    return tag[0] && strchr("BIES", tag[0]) && (tag[1] == 0 || tag[1] == '-');
}

void sb_tags_init(struct sb_tags *tags, char *const *names, size_t count)
{
    *tags = (struct sb_tags){.count = count};
    tags->prefixes = sb_calloc(count, sizeof(*tags->prefixes));
    tags->types = sb_calloc(count, sizeof(*tags->types));
    tags->type_names = sb_calloc(count, sizeof(*tags->type_names));
    for (size_t k = 0; k < count; k++) {
        const char *name = names[k];
        bool cut = has_prefix(name);
        const char *type = !cut ? name : name[1] ? name + 2 : "";
        tags->prefixes[k] = is_outside(name) ? 'O' : cut ? name[0] : 'I';
        tags->types[k] = is_outside(name) ? SB_NO_TYPE : type_id(tags, *type ? type : "_");
    }
}

void sb_tags_release(struct sb_tags *tags)
{
    for (size_t i = 0; i < tags->type_count; i++)
        free(tags->type_names[i]);
    free(tags->type_names);
    free(tags->prefixes);
    free(tags->types);
    *tags = (struct sb_tags){0};
}

int32_t sb_tags_find(const struct sb_tags *tags, char prefix, uint32_t type)
{
    for (size_t k = 0; k < tags->count; k++)
        if (tags->prefixes[k] == prefix && tags->types[k] == type)
            return (int32_t)k;
    return -1;
}

int sb_tags_may_follow(const struct sb_tags *tags, int32_t previous, int32_t tag)
{
    char prefix = tags->prefixes[tag];
    if (prefix != 'I' && prefix != 'E')
        return 1;
    if (previous < 0 || tags->types[previous] != tags->types[tag])
        return 0;
    return tags->prefixes[previous] == 'B' || tags->prefixes[previous] == 'I';
}

/* ---- entities ---- */

static bool ends_default(char before, char here, bool same_type)
{
    if (before == 'E' || before == 'S')
        return true;
    if ((before == 'B' || before == 'I') && (here == 'B' || here == 'S' || here == 'O'))
        return true;
    return before != 'O' && !same_type;
}

static bool starts_default(char before, char here, bool same_type)
{
    if (here == 'B' || here == 'S')
        return true;
    if ((before == 'E' || before == 'S' || before == 'O') && (here == 'E' || here == 'I'))
        return true;
    return here != 'O' && !same_type;
}

/* One token more than there are: behind the last one stands an O. */
static size_t find_default(struct sb_entity *entities, const int32_t *ids, size_t n,
                           const struct sb_tags *tags)
{
    size_t count = 0;
    uint32_t first = 0, type = SB_NO_TYPE;
    char before = 'O';
    for (size_t i = 0; i <= n; i++) {
        char here = i < n ? tags->prefixes[ids[i]] : 'O';
        uint32_t here_type = i < n ? tags->types[ids[i]] : SB_NO_TYPE;
        bool same = here_type == type;
        if (ends_default(before, here, same))
            entities[count++] = (struct sb_entity){type, first, (uint32_t)i};
        if (starts_default(before, here, same))
            first = (uint32_t)i;
        before = here;
        type = here_type;
    }
    return count;
}

static size_t find_strict(struct sb_entity *entities, const int32_t *ids, size_t n,
                          const struct sb_tags *tags)
{
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        if (tags->prefixes[ids[i]] != 'B') {
            i++;
            continue;
        }
        uint32_t type = tags->types[ids[i]];
        size_t end = i + 1;
        while (end < n && tags->prefixes[ids[end]] == 'I' && tags->types[ids[end]] == type)
            end++;
        entities[count++] = (struct sb_entity){type, (uint32_t)i, (uint32_t)end};
        i = end;
    }
    return count;
}

size_t sb_entities_find(struct sb_entity *entities, const int32_t *ids, size_t n,
                        const struct sb_tags *tags, enum sb_entity_mode mode)
{
    return mode == SB_ENTITIES_STRICT ? find_strict(entities, ids, n, tags)
                                      : find_default(entities, ids, n, tags);
}

/* ---- counts ---- */

static size_t count_at(size_t T, enum sb_entity_mode mode, size_t type)
{
    return SB_TOKEN_COUNTS + ((size_t)mode * T + type) * SB_ENTITY_COUNTS;
}

static void count_tokens(double *counts, const int32_t *gold, const int32_t *predicted, size_t n,
                         const struct sb_tags *tags)
{
    for (size_t i = 0; i < n; i++) {
        bool right = gold[i] == predicted[i];
        bool named = tags->prefixes[gold[i]] != 'O';
        counts[SB_TOKENS_ALL]++;
        counts[SB_TOKENS_RIGHT] += right;
        counts[SB_TOKENS_HIT] += right && named;
        counts[SB_TOKENS_PREDICTED] += tags->prefixes[predicted[i]] != 'O';
        counts[SB_TOKENS_GOLD] += named;
    }
}

void sb_entities_count(double *counts, struct sb_entity *scratch, const int32_t *gold,
                       const int32_t *predicted, size_t n, const struct sb_tags *tags)
{
    size_t T = tags->type_count;
    struct sb_entity *golds = scratch, *guesses = scratch + n;
    count_tokens(counts, gold, predicted, n, tags);
    for (enum sb_entity_mode mode = 0; mode < SB_ENTITY_MODES; mode++) {
        size_t gold_count = sb_entities_find(golds, gold, n, tags, mode);
        size_t guess_count = sb_entities_find(guesses, predicted, n, tags, mode);
        for (size_t g = 0; g < gold_count; g++)
            counts[count_at(T, mode, golds[g].type) + SB_ENTITIES_GOLD]++;
        for (size_t p = 0, g = 0; p < guess_count; p++) {
            const struct sb_entity *guess = &guesses[p];
            counts[count_at(T, mode, guess->type) + SB_ENTITIES_PREDICTED]++;
            /* Both go from left to right, and no two entities of a side begin together. */
            while (g < gold_count && golds[g].first < guess->first)
                g++;
            if (g < gold_count && golds[g].first == guess->first && golds[g].end == guess->end &&
                golds[g].type == guess->type)
                counts[count_at(T, mode, guess->type) + SB_ENTITIES_HIT]++;
        }
    }
}

/* ---- scores ---- */

static double over(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0.0;
}

static struct sb_entity_score score(double hits, double predicted, double gold)
{
    return (struct sb_entity_score){.precision = over(hits, predicted),
                                    .recall = over(hits, gold),
                                    .f1 = over(2 * hits, predicted + gold),
                                    .gold = gold};
}

struct sb_entity_score sb_entity_score_type(const double *counts, size_t T,
                                            enum sb_entity_mode mode, size_t type)
{
    const double *c = counts + count_at(T, mode, type);
    return score(c[SB_ENTITIES_HIT], c[SB_ENTITIES_PREDICTED], c[SB_ENTITIES_GOLD]);
}

int sb_entity_type_occurs(const double *counts, size_t T, enum sb_entity_mode mode, size_t type)
{
    const double *c = counts + count_at(T, mode, type);
    return c[SB_ENTITIES_PREDICTED] + c[SB_ENTITIES_GOLD] > 0;
}

static struct sb_entity_score micro(const double *counts, size_t T, enum sb_entity_mode mode)
{
    double sums[SB_ENTITY_COUNTS] = {0};
    for (size_t type = 0; type < T; type++)
        for (size_t i = 0; i < SB_ENTITY_COUNTS; i++)
            sums[i] += counts[count_at(T, mode, type) + i];
    return score(sums[SB_ENTITIES_HIT], sums[SB_ENTITIES_PREDICTED], sums[SB_ENTITIES_GOLD]);
}

struct sb_entity_score sb_entity_score_all(const double *counts, size_t T, enum sb_entity_mode mode,
                                           enum sb_entity_average average)
{
    if (average == SB_ENTITY_MICRO)
        return micro(counts, T, mode);
    struct sb_entity_score sum = {0};
    double weights = 0;
    for (size_t type = 0; type < T; type++) {
        struct sb_entity_score one = sb_entity_score_type(counts, T, mode, type);
        double weight = average == SB_ENTITY_WEIGHTED
                            ? one.gold
                            : (double)sb_entity_type_occurs(counts, T, mode, type);
        weights += weight;
        sum.precision += weight * one.precision;
        sum.recall += weight * one.recall;
        sum.f1 += weight * one.f1;
        sum.gold += one.gold;
    }
    sum.precision = over(sum.precision, weights);
    sum.recall = over(sum.recall, weights);
    sum.f1 = over(sum.f1, weights);
    return sum;
}

double sb_token_accuracy(const double *counts)
{
    return over(counts[SB_TOKENS_RIGHT], counts[SB_TOKENS_ALL]);
}

double sb_token_f1(const double *counts)
{
    return over(2 * counts[SB_TOKENS_HIT], counts[SB_TOKENS_PREDICTED] + counts[SB_TOKENS_GOLD]);
}
