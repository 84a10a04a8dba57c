/*
 * Losses that compare sentence embeddings, with their gradients.
 *
 * They are defined over a group: the embeddings of a block of slots, by default of a whole step, in
 * the order of its samples.  Each is a pure function of the group, computed by one thread in double
 * and in a stated order (the pairs, triplets or anchors as they are listed; the elements of a
 * vector in SB_LANES partial sums), so how the group was cut into slots leaves no trace in it.
 *
 * Every loss comes as a sum and the number of targets to divide it by, and dx is the derivative of
 * the sum.  Formulas are those of sentence-transformers (Reimers and Gurevych, "Sentence-BERT",
 * 2019), with its defaults beside the arguments; departures are named.
 *
 * cos(a, b) = a b / (|a| |b|).  A vector shorter than 1e-12 has cosine 0 with all and no gradient.
 */
#ifndef SB_EMBED_LOSSES_H
#define SB_EMBED_LOSSES_H

#include "arena.h"

#include <stddef.h>
#include <stdint.h>

/* The texts of a group are rows; a text that is in several pairs is one row. */
struct sb_embed_group {
    const float *x; /* [n, C] */
    float *dx;      /* [n, C], added to; NULL: the loss alone */
    size_t n, C;
};

struct sb_embed_loss {
    double loss;    /* sum */
    double targets; /* what the sum and dx are divided by for the mean */
};

/* Pairs of rows with what is known of them: a similarity, or 1 for alike and 0 for not. */
struct sb_embed_pairs {
    const uint32_t *first, *second; /* [count] rows */
    const float *gold;              /* [count] */
    size_t count;
};

struct sb_embed_triplets {
    const uint32_t *anchor, *positive, *negative; /* [count] rows */
    size_t count;
};

enum sb_embed_metric {
    SB_EMBED_COSINE,    /* 1 - cos */
    SB_EMBED_EUCLIDEAN, /* |a - b|; at 0 its gradient is 0 */
};

/*
 * All of the following: group and arena (scratch, given back by its owner's next reset) first, then
 * what is known of the rows, then the numbers of the loss.
 */

/* (cos - gold)^2.  Targets: pairs. */
struct sb_embed_loss sb_loss_cosine(const struct sb_embed_group *group, struct sb_arena *arena,
                                    const struct sb_embed_pairs *pairs);

/*
 * (gold d^2 + (1 - gold) max(margin - d, 0)^2) / 2,  d = 1 - cos.  Targets: pairs.  margin 0.5.
 * Source: Hadsell, Chopra and LeCun, 2006.
 */
struct sb_embed_loss sb_loss_contrastive(const struct sb_embed_group *group, struct sb_arena *arena,
                                         const struct sb_embed_pairs *pairs, double margin);

/*
 * d^2 of the hard alike pairs + max(margin - d, 0)^2 of the hard others, d = 1 - cos.  margin 0.5.
 * One target for the group.  gold above 0.5 is alike.
 *
 * Hard: an alike pair farther apart than the nearest of the others, another pair nearer than the
 * farthest of the alike.  Where the opposite kind has a single pair or none, the mean d of the
 * pair's own kind stands in for that extreme, as in the original.
 */
struct sb_embed_loss sb_loss_online_contrastive(const struct sb_embed_group *group,
                                                struct sb_arena *arena,
                                                const struct sb_embed_pairs *pairs, double margin);

/*
 * ln(1 + sum of e^(scale (cos_i - cos_j)) over pairs of pairs with gold_i < gold_j).  scale 20. One
 * target for the group.  O(count^2).  Source: Su, "CoSENT", 2022.
 */
struct sb_embed_loss sb_loss_cosent(const struct sb_embed_group *group, struct sb_arena *arena,
                                    const struct sb_embed_pairs *pairs, double scale);

/*
 * max(d(anchor, positive) - d(anchor, negative) + margin, 0).  Targets: triplets.  Euclidean with
 * margin 5, or cosine with 0.25 as SetFit.  Departure: no 1e-6 is added to differences.
 */
struct sb_embed_loss sb_loss_triplet(const struct sb_embed_group *group, struct sb_arena *arena,
                                     const struct sb_embed_triplets *triplets,
                                     enum sb_embed_metric metric, double margin);

/*
 * Each row is an anchor: the farthest row of its class against the nearest of another class (the
 * first of several), as a triplet.  Metrics and margins as above.  O(n^2 C).
 *
 *   classes  [n]  -1: takes no part
 *
 * Targets: anchors that have both; an anchor alone in its class makes no triplet (departure).
 * Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss", 2017.
 */
struct sb_embed_loss sb_loss_batch_hard(const struct sb_embed_group *group, struct sb_arena *arena,
                                        const int32_t *classes, enum sb_embed_metric metric,
                                        double margin);

/*
 * Multiple negatives ranking: cross entropy of scale cos(anchor_i, candidate_j) with target j = i.
 * scale 20.  Targets: anchors.  O(count (count + negative_count) C), memory O(count).
 *
 *   anchor, positive  [count] rows
 *   negative          [negative_count] rows of hard negatives, candidates for every anchor; or NULL
 *   texts             [n] names of the texts (a hash of the tokens); NULL: all rows differ
 *
 * Duplicated texts are not each other's negatives: candidate j is left out for anchor i if its text
 * is that of anchor i or positive i, or if anchor j has the text of anchor i.
 * Source: Henderson et al., "Efficient Natural Language Response Suggestion", 2017.
 */
struct sb_embed_ranking {
    const uint32_t *anchor, *positive;
    size_t count;
    const uint32_t *negative;
    size_t negative_count;
    const uint64_t *texts;
};

struct sb_embed_loss sb_loss_ranking(const struct sb_embed_group *group, struct sb_arena *arena,
                                     const struct sb_embed_ranking *ranking, double scale);

#endif
