/*
 * Tags for the words of sentences of any length, and the entities that they make.
 *
 *     words -> pieces -> windows -> scores of each piece, from the window that decides its word
 *           -> a tag for each word -> entities
 *
 * Sentences are gathered, run together and asked for their answers.  Owner: one thread.
 */
#ifndef SB_TAGGER_H
#define SB_TAGGER_H

#include "entities.h"
#include "infer.h"
#include "pieces.h"
#include "windows.h"

/*
 * How pieces speak for a word, and what makes an entity (names and meanings are Hugging Face's,
 * where there is one):
 *
 *   none     the first piece speaks; every word with a tag but O stands alone, its type is the tag
 *   simple   the first piece speaks for the word; entities are runs of pieces, and may begin or end
 *            inside a word
 *   first    the first piece speaks; entities are runs of words
 *   average  the mean of the pieces' probabilities speaks
 *   max      the piece that is surest of its tag speaks
 *
 * Runs are those of the default mode of entities.h; the score of a run is the mean of its parts'.
 */
#define SB_AGGREGATIONS(X) X(none) X(simple) X(first) X(average) X(max)
enum sb_aggregation {
#define SB_AGGREGATION(name) SB_AGGREGATE_##name,
    SB_AGGREGATIONS(SB_AGGREGATION)
#undef SB_AGGREGATION
};
/* False if there is none of this name. */
bool sb_aggregation_find(enum sb_aggregation *aggregation, const char *name);

struct sb_tagger_options {
    size_t max_length; /* of a window, specials included; 0: the positions of the model */
    size_t stride;
    enum sb_aggregation aggregation;
    bool constrained; /* the best sequence in which no I follows what it cannot, by Viterbi's
                         search, instead of the best tag of each word */
};

struct sb_tagged_entity {
    const char *type;
    double score;
    uint32_t first, end;           /* words */
    uint32_t first_char, end_char; /* code points of the text */
};

/* The answer for one sentence; valid until the next one is asked for. */
struct sb_tagged {
    size_t word_count;
    const int32_t *tags;  /* [word_count] ids of the model's labels */
    const double *scores; /* [word_count] probability of the tag */
    const struct sb_tagged_entity *entities;
    size_t entity_count;
};

struct sb_tagger;

/* infer: opened with SB_HEAD_TOKENS; not owned. */
struct sb_tagger *sb_tagger_new(const struct sb_infer *infer,
                                const struct sb_tagger_options *options);
void sb_tagger_free(struct sb_tagger **tagger);
/* Enough is gathered for a pass. */
bool sb_tagger_full(const struct sb_tagger *tagger);
/* words [count] of a text that is valid UTF-8; nothing of it is needed afterwards. */
void sb_tagger_add(struct sb_tagger *tagger, const char *text, const struct sb_word *words,
                   size_t count);
/* Scores all that was gathered.  SB_ERR_DATA: the tokenizer and the model do not fit together. */
int sb_tagger_run(struct sb_tagger *tagger, struct sb_err *err);
/* The answer for the sentence that was added as number index since the last clear. */
void sb_tagger_answer(struct sb_tagger *tagger, size_t index, struct sb_tagged *tagged);
void sb_tagger_clear(struct sb_tagger *tagger);
/* Words that had more pieces than a window holds, since the start. */
uint64_t sb_tagger_cut_count(const struct sb_tagger *tagger);

#endif
