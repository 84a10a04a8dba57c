/*
 * Training steps of sentence embeddings, for the tasks embed and setfit: which texts a step has,
 * in which slots, and what its loss compares.
 *
 *     item k of the epoch -> its texts -> slots -> vectors -> loss -> gradient of the vectors ->
 * body
 *
 * An item is what a loss takes at a time: a pair, a triplet, or one text with its class.  Where the
 * items come from is the source's matter.  Losses of single items (cosine similarity, contrastive,
 * triplet) are a slot's own.  Losses that compare items with each other are of the whole step: its
 * *group*.  Then each slot first publishes its vectors; whoever has those of all slots can compute
 * the loss, and its gradient for the slots that are his, by running forward once more.  All of it
 * is a pure function of (step, settings, data, weights).
 */
#ifndef SB_EMBEDDING_H
#define SB_EMBEDDING_H

#include "arena.h"
#include "bert.h"
#include "embed_losses.h"
#include "err.h"

#include <stdbool.h>
#include <stdint.h>

enum { SB_ITEM_TEXTS = 3 };

struct sb_item {
    uint64_t texts[SB_ITEM_TEXTS]; /* numbers that the source understands */
    uint32_t text_count;           /* 1: text and class; 2: pair; 3: anchor, positive, negative */
    float gold;                    /* pairs: similarity, or 1 alike and 0 not */
    int32_t class_ids[SB_ITEM_TEXTS]; /* of each text; -1 if nobody knows */
};

/* Where items come from.  Pure: equal arguments, equal answers. */
struct sb_item_source {
    uint64_t count;   /* items of an epoch */
    bool has_classes; /* multiple_negatives_ranking: texts of one class are not each other's
                       * negatives
                       */
    int (*item)(const void *context, uint64_t epoch, uint64_t k, struct sb_item *item,
                struct sb_err *err);
    /* Tokens of a text, specials included; 0 if it cannot be read (then read says why). */
    uint32_t (*length)(const void *context, uint64_t text);
    /* ids [length] */
    int (*read)(const void *context, uint64_t text, int32_t *ids, struct sb_err *err);
    const void *context;
};

/* Names are the job file's words. */
#define SB_EMBEDDING_LOSSES(X)                                                                     \
    X(cosine_similarity)                                                                           \
    X(contrastive)                                                                                 \
    X(online_contrastive) X(cosent) X(triplet) X(batch_hard_triplet) X(multiple_negatives_ranking)
enum sb_embedding_loss {
#define SB_EMBEDDING_LOSS(name) SB_EMBEDDING_##name,
    SB_EMBEDDING_LOSSES(SB_EMBEDDING_LOSS)
#undef SB_EMBEDDING_LOSS
};
bool sb_embedding_loss_find(enum sb_embedding_loss *loss, const char *name);
/* Does it compare items with each other? */
bool sb_embedding_loss_of_group(enum sb_embedding_loss loss);

struct sb_embedding_options {
    enum sb_embedding_loss loss;
    enum sb_embed_metric metric; /* triplet, batch_hard_triplet */
    double margin;               /* contrastive, triplets; below 0: the loss's default */
    double scale;                /* cosent, ranking */
    enum sb_pooling pooling;
    uint64_t seed;
    uint32_t batch_size; /* items of a step */
    uint32_t slots;
    size_t pass_tokens; /* max_tokens_per_pass */
};

/* Life: init, any number of steps, release.  One thread. */
struct sb_embedding {
    struct sb_embedding_options options;
    struct sb_item_source source; /* its context is not owned */
    struct sb_arena step_arena;   /* items of the step at hand */
    struct sb_embed_step *step;   /* in step_arena; NULL: none */
    struct sb_arena group_arena;  /* the newest group that was compared */
    bool compared;                /* the three below are valid */
    uint64_t compared_step;
    const float *dgroup; /* [group_rows, C] in the order of the step, not of the slots */
    struct sb_embed_loss group_loss;
};

void sb_embedding_init(struct sb_embedding *embedding, const struct sb_embedding_options *options,
                       const struct sb_item_source *source);
void sb_embedding_release(struct sb_embedding *embedding);

uint64_t sb_embedding_steps_per_epoch(const struct sb_embedding *embedding);

/*
 * The texts of a slot: how many, and in all slots; valid for any step.  In the group the rows of
 * slot 0 come first, and inside a slot items in the order of the step, an item's texts together.
 * -1 if an item cannot be read.
 */
long sb_embedding_row_count(struct sb_embedding *embedding, uint64_t step, uint32_t slot,
                            struct sb_err *err);
long sb_embedding_group_rows(struct sb_embedding *embedding, uint64_t step, struct sb_err *err);

/*
 * The vectors that a slot publishes: *vectors [rows, C], in arena.  Returns rows, or -1.  arena is
 * reset.
 */
long sb_embedding_publish(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                          uint32_t slot, struct sb_arena *arena, float **vectors,
                          struct sb_err *err);

/*
 * The loss of a step's group and its gradient for all vectors; kept for sb_embedding_train of that
 * step, and forgotten at the next call.
 *
 *   in  group  [float_count] what the slots have published, one after the other; copied.  It came
 *              from other peers: SB_ERR_PEER if it is not of this step's size.
 */
int sb_embedding_compare(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                         const float *group, size_t float_count, struct sb_err *err);

/*
 * The same of a whole step of one slot, for an evaluation: without dropout, with the loss added to
 * stats.  *vectors [rows, C] in the order of the items, *gold [items], both in arena, which is
 * reset.  Returns the number of items, or -1.
 */
long sb_embedding_evaluate(struct sb_embedding *embedding, const struct sb_bert *bert,
                           uint64_t step, struct sb_arena *arena, struct sb_stats *stats,
                           float **vectors, float **gold, struct sb_err *err);

/*
 * Adds the gradient sums of a slot.  A loss that compares items needs sb_embedding_compare of this
 * step before; it is counted by the first slot that has an item.  Returns the number of items, or
 * -1.  arena is reset.
 */
long sb_embedding_train(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                        uint32_t slot, struct sb_arena *arena, struct sb_grad *grad,
                        struct sb_stats *stats, struct sb_err *err);

/* Marks in seen [V] the word-embedding rows that a slot of a step reads. */
int sb_embedding_mark_rows(struct sb_embedding *embedding, uint64_t step, uint32_t slot,
                           uint8_t *seen, struct sb_err *err);

#endif
