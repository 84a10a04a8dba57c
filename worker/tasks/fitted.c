#include "fitted.h"

#include "evaluate.h"
#include "file.h"

#include <math.h>
#include <stdlib.h>

bool sb_fitted_is_folder(const char *folder)
{
    char path[SB_PATH_BYTES];
    return sb_file_exists(sb_path_join(path, folder, "head.json"));
}

int sb_fitted_read(struct sb_fitted *fitted, const char *folder, struct sb_err *err)
{
    *fitted = (struct sb_fitted)SB_FITTED_INIT;
    if (sb_sentence_is_folder(folder) && sb_sentence_read(&fitted->sentence, folder, err) < 0)
        return -1;
    return sb_embed_head_read(&fitted->head, folder, err);
}

void sb_fitted_release(struct sb_fitted *fitted)
{
    sb_embed_head_release(&fitted->head);
}

int sb_fitted_join(const struct sb_fitted *fitted, struct sb_infer *infer, struct sb_err *err)
{
    const struct sb_embed_head *head = &fitted->head;
    struct sb_bert_config *config = &infer->bert.config;
    if (head->embedding_size != config->hidden_size)
        return sb_err_set(err, SB_ERR_DATA,
                          "the head takes vectors of %zu numbers, the body makes %zu",
                          head->embedding_size, config->hidden_size);
    sb_bert_config_set_labels(config, head->labels, head->label_count);
    config->problem = head->kind == SB_EMBED_HEAD_ONE_VS_REST ? SB_MULTI_LABEL : SB_SINGLE_LABEL;
    return 0;
}

void sb_fitted_vectors(float *vectors, const struct sb_fitted *fitted, const struct sb_bert *bert,
                       const struct sb_batch *batch, struct sb_arena *arena)
{
    sb_bert_vectors(bert, batch, fitted->sentence.pooling, NULL, arena, vectors);
    if (fitted->sentence.normalize)
        sb_embed_head_normalize(vectors, batch->B, bert->config.hidden_size);
}

int sb_fitted_evaluate(const struct sb_fitted *fitted, const struct sb_infer *infer,
                       const struct sb_dataset *dataset, uint64_t first, uint64_t end,
                       size_t pass_tokens, struct sb_arena *arena, struct sb_stats *stats,
                       double *counts, struct sb_err *err)
{
    size_t count = (size_t)(end - first), C = infer->bert.config.hidden_size;
    uint64_t *samples = sb_alloc((count + 1) * sizeof(*samples));
    size_t G = sb_evaluate_gold_count(&infer->bert.config);
    int32_t *gold = sb_alloc((count * G + 1) * sizeof(*gold));
    float *vectors = sb_alloc((count * C + 1) * sizeof(*vectors));
    for (size_t i = 0; i < count; i++)
        samples[i] = first + i;
    int rc = sb_evaluate_vectors(&infer->bert, dataset, infer->tokenizer, samples, count,
                                 &fitted->sentence, pass_tokens, arena, stats, gold, vectors, err);
    if (rc == 0) {
        struct sb_head_score score = {0};
        if (fitted->head.kind == SB_EMBED_HEAD_ONE_VS_REST)
            sb_embed_head_score_labels(&score, counts, &fitted->head, vectors, gold, count);
        else
            sb_embed_head_score(&score, counts, &fitted->head, vectors, gold, count);
        stats->targets += score.targets;
        stats->loss += score.loss;
        stats->correct += score.correct;
    }
    free(vectors);
    free(gold);
    free(samples);
    return rc;
}
