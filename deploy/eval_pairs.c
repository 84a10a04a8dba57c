#include "eval_pairs.h"

#include "answer.h"
#include "intervals.h"
#include "row_scores.h"
#include "sums.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>

/* As the evaluations of training: the loss that is asked for, where the data has what it needs. */
static void choose_loss(struct sb_eval_pairs *pairs)
{
    if (!pairs->loss_given || sb_pair_loss_needs(pairs->options.loss, pairs->form))
        pairs->options.loss = sb_pair_loss_default(pairs->form);
}

int sb_eval_pairs_compute(struct sb_eval_pairs *pairs, const struct sb_infer *infer,
                          const struct sb_dataset *dataset, size_t pass_tokens, struct sb_err *err)
{
    const struct sb_pair_items items = {.data = dataset};
    const struct sb_item_source source = sb_pair_items_source(&items);
    struct sb_embedding embedding;
    struct sb_arena arena = SB_ARENA_INIT;
    int rc = 0;
    pairs->form = sb_dataset_pair_form(dataset);
    choose_loss(pairs);
    pairs->options.batch_size = SB_EVAL_SLOT_SAMPLES;
    pairs->options.slots = 1;
    pairs->options.pass_tokens = pass_tokens;
    sb_embedding_init(&embedding, &pairs->options, &source);
    pairs->slot_count = (size_t)sb_embedding_steps_per_epoch(&embedding);
    pairs->sums = sb_calloc(pairs->slot_count * SB_SUM_COUNT, sizeof(*pairs->sums));
    pairs->rows = sb_alloc((size_t)source.count * SB_PAIR_ROW_WIDTH * sizeof(*pairs->rows));
    for (size_t slot = 0; rc == 0 && slot < pairs->slot_count; slot++) {
        struct sb_stats stats = {0};
        long count =
            sb_pair_items_evaluate(&embedding, &infer->bert, pairs->form, slot, &arena, &stats,
                                   pairs->rows + pairs->count * SB_PAIR_ROW_WIDTH, err);
        rc = count < 0 ? -1 : 0;
        pairs->count += count < 0 ? 0 : (size_t)count;
        memcpy(pairs->sums + slot * SB_SUM_COUNT, &stats, sizeof(stats));
    }
    sb_embedding_release(&embedding);
    sb_arena_release(&arena);
    return rc;
}

static json_t *describe_loss(const double *sums, const void *context)
{
    (void)context;
    json_t *out = json_object();
    if (sums[SB_SUM_TARGETS] > 0)
        json_object_set_new(out, "loss",
                            sb_answer_number(sums[SB_SUM_LOSS] / sums[SB_SUM_TARGETS]));
    return out;
}

/* Slots are added up to blocks in their order; all receives the sums of all. */
static struct sb_blocks make_blocks(const struct sb_eval_pairs *pairs, double all[SB_SUM_COUNT])
{
    size_t each = (size_t)sb_block_slots(pairs->slot_count);
    struct sb_blocks blocks = {.count = (pairs->slot_count + each - 1) / each,
                               .width = SB_SUM_COUNT};
    blocks.sums = sb_calloc(blocks.count * SB_SUM_COUNT, sizeof(double));
    for (size_t slot = 0; slot < pairs->slot_count; slot++)
        for (size_t i = 0; i < SB_SUM_COUNT; i++) {
            double sum = pairs->sums[slot * SB_SUM_COUNT + i];
            blocks.sums[slot / each * SB_SUM_COUNT + i] += sum;
            all[i] += sum;
        }
    return blocks;
}

json_t *sb_eval_pairs_describe(const struct sb_eval_pairs *pairs)
{
    char words[256], method[384];
    double all[SB_SUM_COUNT] = {0};
    struct sb_blocks blocks = make_blocks(pairs, all);
    struct sb_intervals intervals = {.describe = describe_loss, .blocks = &blocks};
    json_t *out = json_object(), *plain = describe_loss(all, NULL);
    json_t *scores = sb_intervals_beside(plain, &intervals, words, sizeof(words));
    json_object_set_new(out, "samples", json_integer((json_int_t)pairs->count));
    json_object_update(out, scores);
    bool scored = pairs->form == SB_PAIR_SCORED;
    const char *how =
        sb_row_scores_add(out, "", scored ? SB__ROW_KIND__ROW_SCORED : SB__ROW_KIND__ROW_RANKED,
                          pairs->rows, pairs->count);
    snprintf(method, sizeof(method), "loss %s; %s; %s", sb_embedding_loss_name(pairs->options.loss),
             words, how);
    json_object_set_new(out, "ci_method", json_string(method));
    json_decref(plain);
    json_decref(scores);
    free(blocks.sums);
    return out;
}

void sb_eval_pairs_release(struct sb_eval_pairs *pairs)
{
    free(pairs->sums);
    free(pairs->rows);
    *pairs = (struct sb_eval_pairs){0};
}
