/*
 * Pairs and triplets of a data set as items of embedding steps (embedding.h), and what an
 * evaluation says of each.
 *
 *     data set of pairs -> items -> vectors -> a row of two numbers for each item
 */
#ifndef SB_PAIR_ITEMS_H
#define SB_PAIR_ITEMS_H

#include "dataset.h"
#include "embedding.h"

/* The context of a source; it must outlive it. */
struct sb_pair_items {
    const struct sb_dataset *data; /* SB_DATA_PAIRS */
    uint64_t seed;
    bool shuffle;
};

struct sb_item_source sb_pair_items_source(const struct sb_pair_items *items);

/* What a data set is trained by where nothing is said. */
enum sb_embedding_loss sb_pair_loss_default(enum sb_pair_form form);
/* NULL: the loss can be computed of such items; else what it needs, to follow upon "needs". */
const char *sb_pair_loss_needs(enum sb_embedding_loss loss, enum sb_pair_form form);
const char *sb_pair_form_name(enum sb_pair_form form);
const char *sb_embedding_loss_name(enum sb_embedding_loss loss);

/* How an item of an evaluation slot is described. */
enum { SB_PAIR_ROW_WIDTH = 2 };

/*
 * An evaluation slot is a step of an embedding with one slot and no dropout.
 *
 *   in-out  stats  sums are added
 *   out     rows   [items, 2]
 *                  scored pairs  cosine of the two, and their score
 *                  triplets      cosine of anchor and positive, and of anchor and negative
 *                  plain pairs   cosine of the two, and of the anchor with the nearest of the
 *                                slot's other positives that are other texts (-1: none)
 *
 * arena is reset.  Returns the number of items, or -1.
 */
long sb_pair_items_evaluate(struct sb_embedding *embedding, const struct sb_bert *bert,
                            enum sb_pair_form form, uint64_t slot, struct sb_arena *arena,
                            struct sb_stats *stats, double *rows, struct sb_err *err);

#endif
