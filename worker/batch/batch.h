/*
 * A ragged batch: the only words that data/ and model/ share.  Plain arrays, no padding, owned by
 * the arena that they were taken from.
 *
 *   B sequences, N tokens in all; the tokens of sequence b are starts[b] .. starts[b+1]-1.
 *   A token's position is its index inside its sequence.
 */
#ifndef SB_BATCH_H
#define SB_BATCH_H

#include <stddef.h>
#include <stdint.h>

struct sb_batch {
    size_t B;
    size_t N;
    const uint32_t *starts;  /* [B+1] */
    const int32_t *ids;      /* [N] */
    const uint8_t *types;    /* [N] token type: 0, or 1 for the second text of a pair */
    const uint64_t *samples; /* [B] index of the sample in its data set: the key of masks and
                                dropout; see sb_sequence_number */

    /*
     * mlm: the masked positions in rising order, and the id that stood there.  ner: the labelled
     * pieces and their tags.  Else target_count 0.
     */
    size_t target_count;
    const uint32_t *target_rows;  /* [target_count] row in 0..N-1 */
    const int32_t *target_ids;    /* [target_count]; ner: -1 where nobody knows */
    const uint8_t *target_firsts; /* ner: [target_count] 1 at the first piece of a word, which
                                     decides its tag; else NULL */
    const uint8_t *continues;     /* ner: [B] 1 if a sequence goes on with the sentence of the one
                                     before     (its targets follow upon those); else NULL */

    /* classify: class of each sequence, or NULL.  -1: no label. */
    const int32_t *labels; /* [B] */
    /* classify with several classes a sequence: 0 or 1 for each of them; with a score: one number.
     * Then labels is NULL. */
    const float *values; /* [B, K] */
};

/* What stands in samples for sequence 0, 1, 2 ... of a sample that holds several.  Sample numbers
 * are below 2^48. */
static inline uint64_t sb_sequence_number(uint64_t sample, uint64_t sequence)
{
    return sample | sequence << 48;
}
/* The sample that a sequence is of. */
static inline uint64_t sb_sequence_sample(uint64_t number)
{
    return number & ((UINT64_C(1) << 48) - 1);
}

/*
 * What a pass, slot, node or evaluation adds up.  All sums, never means, in double; two of them are
 * added field by field, always in slot order.
 */
struct sb_stats {
    double samples; /* sequences seen; of the windows of one sentence only the first */
    double tokens;  /* tokens seen */
    double
        targets; /* what the loss is divided by: masked or labelled tokens, or labelled sequences */
    double loss; /* sum of the losses of the targets, nats */
    double correct;   /* targets whose best score is the gold one */
    double truncated; /* sequences that were cut to max_seq_length */
};

static inline void sb_stats_add(struct sb_stats *sum, const struct sb_stats *more)
{
    sum->samples += more->samples;
    sum->tokens += more->tokens;
    sum->targets += more->targets;
    sum->loss += more->loss;
    sum->correct += more->correct;
    sum->truncated += more->truncated;
}

#endif
