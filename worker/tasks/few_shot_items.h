/*
 * The items of task setfit: what a loss takes at a time, made of a few labelled texts.
 *
 *     data set -> chosen texts, class after class -> item k of an epoch, by arithmetic
 *
 *     cosine_similarity, contrastive, online_contrastive, cosent   pairs of one class or of two
 *     triplet                       a pair of one class, and a text of another class
 *     multiple_negatives_ranking    pairs of one class
 *     batch_hard_triplet            single texts, two of a class after each other
 *
 * Where a text has any number of labels, two are of one class if they share any, and a triplet's
 * negative shares none with its anchor.  The last two losses are not for such texts.
 *
 * Pairs are those of pairs.h, so no list of them is kept; there is one number for each text, a hash
 * of its tokens.  Texts of equal tokens are never each other's negatives, whatever their classes:
 * as a pair they are alike, a triplet takes another negative, and where classes are compared those
 * whose text has two classes have none.
 */
#ifndef SB_FEW_SHOT_ITEMS_H
#define SB_FEW_SHOT_ITEMS_H

#include "embedding.h"
#include "few_shot.h"
#include "pairs.h"

struct sb_few_shot_items_options {
    enum sb_embedding_loss loss;
    struct sb_pair_options pairs;
    uint64_t per_label; /* samples_per_label; 0: all */
    bool shuffle;       /* another order in each epoch */
};

/* Life: open, any number of items by any number of threads, free. */
struct sb_few_shot_items {
    struct sb_few_shot_items_options options;
    const struct sb_dataset *data; /* not owned */
    struct sb_few_shot chosen;
    uint64_t *class_begins; /* [class_count + 1] places */
    uint64_t *label_bits;   /* [class_count, words] of sets of labels; NULL: classes are labels */
    size_t words;
    uint64_t *names;   /* [chosen.count] hash of the tokens */
    uint8_t *disputed; /* [chosen.count] 1: another place has the same text and another class */
    uint64_t disputed_count;
    struct sb_pairs pairs; /* none for batch_hard_triplet */
    uint64_t twos;         /* batch_hard_triplet: of one pass over the texts */
    uint64_t count;        /* items of an epoch */
};

/*
 * SB_ERR_DATA: no labelled text, or none of the pairs that the loss needs; SB_ERR_CONFIG as
 * pairs.h.
 */
int sb_few_shot_items_open(struct sb_few_shot_items **items, const struct sb_dataset *data,
                           const struct sb_few_shot_items_options *options, struct sb_err *err);
void sb_few_shot_items_free(struct sb_few_shot_items **items);

/* A view for embedding.h, valid as long as items. */
struct sb_item_source sb_few_shot_items_source(const struct sb_few_shot_items *items);

#endif
