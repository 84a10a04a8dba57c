/*
 * Entities in sequences of tags, and their scores, by seqeval's rules (chakki-works/seqeval; the
 * default mode is conlleval's, Tjong Kim Sang and De Meulder, 2003).
 *
 * Scores are made of counts, and counts of different sentences are added: so evaluations can be
 * summed over slots and workers, and scored once.
 *
 * A tag is O (or a full stop, which some corpora write for it), or a prefix (B I E S) alone or with
 * a type behind a hyphen: B-PER.  Without a type the type is "_".  Any other text, like a part of
 * speech, counts as the inside of an entity of that name; seqeval would take its first letter for a
 * prefix.
 *
 *   default  An entity goes on until B, S, O, another type, or after E, S.  An I or E that
 *            follows nothing of its type opens one: a stray I-PER is an entity.
 *   strict   Only B-X and the I-X right behind it are an entity (seqeval's strict mode, scheme
 *            IOB2); any other tag ends it and opens none.
 */
#ifndef SB_ENTITIES_H
#define SB_ENTITIES_H

#include <stddef.h>
#include <stdint.h>

enum sb_entity_mode { SB_ENTITIES_DEFAULT, SB_ENTITIES_STRICT, SB_ENTITY_MODES };

/* A list of tags, taken apart.  Read-only after init. */
struct sb_tags {
    size_t count;    /* K */
    char *prefixes;  /* [K] B, I, E, S or O */
    uint32_t *types; /* [K] index into type_names; SB_NO_TYPE for O */
    char **type_names;
    size_t type_count; /* T */
};

#define SB_NO_TYPE UINT32_MAX

void sb_tags_init(struct sb_tags *tags, char *const *names, size_t count);
void sb_tags_release(struct sb_tags *tags);
/* The id of the tag with this prefix and type; -1 if there is none. */
int32_t sb_tags_find(const struct sb_tags *tags, char prefix, uint32_t type);
/* May this tag stand behind previous (-1: the start of a sentence)?  Only I and E are choosy: they
 * need a B or I of their type before them. */
int sb_tags_may_follow(const struct sb_tags *tags, int32_t previous, int32_t tag);

struct sb_entity {
    uint32_t type;
    uint32_t first, end; /* tokens first .. end-1 */
};

/* The entities of one sentence, from left to right: entities [n] is filled, their number returned.
 * ids [n] are tags. */
size_t sb_entities_find(struct sb_entity *entities, const int32_t *ids, size_t n,
                        const struct sb_tags *tags, enum sb_entity_mode mode);

/*
 * Counts of an evaluation: of tokens, then for each mode and type the entities found rightly (same
 * type, first and end), predicted, and gold.  All are added up.
 */
enum {
    SB_TOKENS_ALL,       /* tokens */
    SB_TOKENS_RIGHT,     /* whose predicted tag is the gold one */
    SB_TOKENS_HIT,       /* right and not O */
    SB_TOKENS_PREDICTED, /* predicted as something else than O */
    SB_TOKENS_GOLD,      /* gold is something else than O */
    SB_TOKEN_COUNTS
};
enum { SB_ENTITIES_HIT, SB_ENTITIES_PREDICTED, SB_ENTITIES_GOLD, SB_ENTITY_COUNTS };

static inline size_t sb_entity_count_count(size_t type_count)
{
    return SB_TOKEN_COUNTS + SB_ENTITY_MODES * SB_ENTITY_COUNTS * type_count;
}

/*
 * Adds one sentence.
 *
 *   in-out  counts     [sb_entity_count_count(T)]
 *   out     scratch    [2 n]
 *   in      gold       [n] tags
 *           predicted  [n]
 */
void sb_entities_count(double *counts, struct sb_entity *scratch, const int32_t *gold,
                       const int32_t *predicted, size_t n, const struct sb_tags *tags);

/* A quotient without a denominator is 0. */
struct sb_entity_score {
    double precision, recall, f1;
    double gold; /* entities that there are */
};

/*
 * micro counts all entities alike; macro is the plain mean over the types that occur, gold or
 * predicted; weighted the mean weighted by gold counts.
 */
enum sb_entity_average { SB_ENTITY_MICRO, SB_ENTITY_MACRO, SB_ENTITY_WEIGHTED };

struct sb_entity_score sb_entity_score_type(const double *counts, size_t T,
                                            enum sb_entity_mode mode, size_t type);
struct sb_entity_score sb_entity_score_all(const double *counts, size_t T, enum sb_entity_mode mode,
                                           enum sb_entity_average average);
/* Does the type occur, gold or predicted? */
int sb_entity_type_occurs(const double *counts, size_t T, enum sb_entity_mode mode, size_t type);

/* Share of the tokens that have the right tag: seqeval's overall_accuracy. */
double sb_token_accuracy(const double *counts);
/* Micro F1 of the tokens over all tags but O. */
double sb_token_f1(const double *counts);

#endif
