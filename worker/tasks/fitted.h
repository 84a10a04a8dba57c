/*
 * A folder with a head that was fitted on the vectors of its body (task setfit): sentence vectors
 * as its files say, and classes from them.
 */
#ifndef SB_FITTED_H
#define SB_FITTED_H

#include "dataset.h"
#include "embed_head.h"
#include "infer.h"
#include "sentence.h"

struct sb_fitted {
    struct sb_embed_head head;
    struct sb_sentence sentence;
};

#define SB_FITTED_INIT                                                                             \
    {                                                                                              \
        .head = SB_EMBED_HEAD_INIT                                                                 \
    }

/* Has the folder a head.json? */
bool sb_fitted_is_folder(const char *folder);
/*
 * Reads the head and how vectors are made; head.h's errors.  Release is harmless after a failure.
 */
int sb_fitted_read(struct sb_fitted *fitted, const char *folder, struct sb_err *err);
void sb_fitted_release(struct sb_fitted *fitted);

/* The body, opened without a head, takes the head's labels.  SB_ERR_DATA: they do not fit. */
int sb_fitted_join(const struct sb_fitted *fitted, struct sb_infer *infer, struct sb_err *err);

/* vectors [B, C] as the head takes them. */
void sb_fitted_vectors(float *vectors, const struct sb_fitted *fitted, const struct sb_bert *bert,
                       const struct sb_batch *batch, struct sb_arena *arena);

/* As sb_evaluate does for a classifier: samples first .. end-1, sums and counts are added. */
int sb_fitted_evaluate(const struct sb_fitted *fitted, const struct sb_infer *infer,
                       const struct sb_dataset *dataset, uint64_t first, uint64_t end,
                       size_t pass_tokens, struct sb_arena *arena, struct sb_stats *stats,
                       double *counts, struct sb_err *err);

#endif
