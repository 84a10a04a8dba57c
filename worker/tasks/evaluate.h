/*
 * Evaluation of a model on a data set: a step without an update.  Used by `shardbert eval` and by
 * the evaluations of training, so that both say the same number for the same model and data.
 */
#ifndef SB_EVALUATE_H
#define SB_EVALUATE_H

#include "bert.h"
#include "dataset.h"
#include "entities.h"
#include "sentence.h"

enum { SB_EVAL_SLOT_SAMPLES = 64 };

/*
 * Samples of an evaluation slot, at most SB_EVAL_SLOT_SAMPLES: of a set of `count` so many that
 * there are enough slots to draw intervals from.
 */
uint64_t sb_evaluate_slot_samples(uint64_t count);

/* The masks of every evaluation: the same text is masked the same way, for ever. */
struct sb_rng sb_evaluate_mask_key(void);

/*
 * Adds up the samples first .. end-1, in order and in passes of at most pass_tokens tokens (or of
 * one sample).
 *
 *   in      masks      the MLM head predicts what is masked; NULL: the classifier predicts labels
 *   in-out  stats      sums are added
 *           counts  [sb_evaluate_count_count] are added: the confusion [K, K], rows gold, or the
 *                   counts of label_scores.h; NULL: not wanted, or masks given
 *           arena   reset before each pass
 *
 * A sample without a label counts as a sample and not as a target.
 */
int sb_evaluate(const struct sb_bert *bert, const struct sb_dataset *dataset,
                const struct sb_wordpiece *tokenizer, const struct sb_mask_options *masks,
                uint64_t first, uint64_t end, size_t pass_tokens, struct sb_arena *arena,
                struct sb_stats *stats, double *counts, struct sb_err *err);
/* How many counts a classifier of sequences is scored by. */
size_t sb_evaluate_count_count(const struct sb_bert_config *config);

/*
 * The sentence vectors of samples, in passes as above.
 *
 *   out     gold     [count, sb_evaluate_gold_count] the class, -1: none; of several labels 0 or 1
 *                    for each
 *           vectors  [count, C]
 *   in-out  stats    samples, tokens and truncated are added
 *   in      samples  [count]
 */
int sb_evaluate_vectors(const struct sb_bert *bert, const struct sb_dataset *dataset,
                        const struct sb_wordpiece *tokenizer, const uint64_t *samples, size_t count,
                        const struct sb_sentence *sentence, size_t pass_tokens,
                        struct sb_arena *arena, struct sb_stats *stats, int32_t *gold,
                        float *vectors, struct sb_err *err);
/* Numbers that say what is right of one text. */
size_t sb_evaluate_gold_count(const struct sb_bert_config *config);

/*
 * The same for the tags of words: adds up the sentences whose first window is one of the samples
 * first .. end-1, whole sentences always.
 *
 *   in-out  stats   sums are added
 *           counts  [sb_entity_count_count(T)] are added (entities.h)
 *
 * A word has the tag with the best score at its first piece.
 */
int sb_evaluate_tags(const struct sb_bert *bert, const struct sb_dataset *dataset,
                     const struct sb_wordpiece *tokenizer, const struct sb_tags *tags,
                     uint64_t first, uint64_t end, size_t pass_tokens, struct sb_arena *arena,
                     struct sb_stats *stats, double *counts, struct sb_err *err);
/* Moves both ends to where sentences begin. */
void sb_evaluate_whole_sentences(const struct sb_dataset *dataset, uint64_t *first, uint64_t *end);

#endif
