#include "bert.h"

#include "bert_pass.h"
#include "err.h"

#include <string.h>

/* Position and sample of every token. */
static struct rows all_rows(struct sb_arena *arena, const struct sb_batch *batch)
{
    uint32_t *position = sb_arena_array(arena, uint32_t, batch->N + 1);
    uint64_t *sample = sb_arena_array(arena, uint64_t, batch->N + 1);
    for (size_t b = 0; b < batch->B; b++)
        for (uint32_t row = batch->starts[b]; row < batch->starts[b + 1]; row++) {
            position[row] = row - batch->starts[b];
            sample[row] = batch->samples[b];
        }
    return (struct rows){
        .n = batch->N, .starts = batch->starts, .position = position, .sample = sample};
}

/* The rows that are marked, and in place[row] where each of them went. */
static struct rows marked_rows(struct sb_arena *arena, const struct sb_batch *batch,
                               const struct rows *all, const uint8_t *mark, uint32_t *place)
{
    uint32_t *index = sb_arena_array(arena, uint32_t, batch->N + 1);
    uint32_t *position = sb_arena_array(arena, uint32_t, batch->N + 1);
    uint64_t *sample = sb_arena_array(arena, uint64_t, batch->N + 1);
    uint32_t *starts = sb_arena_array(arena, uint32_t, batch->B + 1);
    uint32_t n = 0;
    starts[0] = 0;
    for (size_t b = 0; b < batch->B; b++) {
        for (uint32_t row = batch->starts[b]; row < batch->starts[b + 1]; row++)
            if (mark[row]) {
                index[n] = row;
                position[n] = all->position[row];
                sample[n] = all->sample[row];
                place[row] = n++;
            }
        starts[b + 1] = n;
    }
    return (struct rows){
        .n = n, .index = index, .starts = starts, .position = position, .sample = sample};
}

/* Which rows the last layer has to give: those that a head or the caller will look at. */
static void choose_rows(struct pass *pass, bool want_all, bool want_targets, bool want_cls)
{
    const struct sb_batch *batch = pass->batch;
    pass->all = all_rows(pass->arena, batch);
    uint32_t *target_at = sb_arena_array(pass->arena, uint32_t, batch->target_count + 1);
    uint32_t *cls_at = sb_arena_array(pass->arena, uint32_t, batch->B + 1);
    pass->target_at = target_at;
    pass->cls_at = cls_at;
    uint32_t *place = sb_arena_array(pass->arena, uint32_t, batch->N + 1);
    uint8_t *mark = sb_arena_array(pass->arena, uint8_t, batch->N + 1);
    memset(mark, want_all, batch->N);
    for (size_t i = 0; want_targets && i < batch->target_count; i++)
        mark[batch->target_rows[i]] = 1;
    for (size_t b = 0; want_cls && b < batch->B; b++)
        mark[batch->starts[b]] = 1;
    pass->asked = marked_rows(pass->arena, batch, &pass->all, mark, place);
    if (pass->asked.n == batch->N)
        pass->asked = pass->all;
    for (size_t i = 0; want_targets && i < batch->target_count; i++)
        target_at[i] = place[batch->target_rows[i]];
    for (size_t b = 0; want_cls && b < batch->B; b++)
        cls_at[b] = place[batch->starts[b]];
}

static size_t *probs_places(struct pass *pass, const struct rows *rows)
{
    const struct sb_batch *batch = pass->batch;
    size_t *first = sb_arena_array(pass->arena, size_t, batch->B + 1);
    first[0] = 0;
    for (size_t b = 0; b < batch->B; b++) {
        size_t T = batch->starts[b + 1] - batch->starts[b],
               t = rows->starts[b + 1] - rows->starts[b];
        first[b + 1] = first[b] + pass->H * t * probs_stride(T);
    }
    return first;
}

static void take_scratch(struct pass *pass)
{
    size_t threads = sb_pool_thread_count(pass->bert->pool), T = pass->longest;
    size_t floats = 2 * T * probs_stride(T);
    size_t words = T * T > pass->C ? T * T : pass->C;
    pass->scratch = sb_arena_array(pass->arena, float *, threads);
    pass->words = sb_arena_array(pass->arena, uint16_t *, threads);
    for (size_t i = 0; i < threads; i++) {
        pass->scratch[i] = take_floats(pass, floats);
        pass->words[i] = sb_arena_array(pass->arena, uint16_t, words);
    }
}

static void begin(struct pass *pass, const struct sb_rng *dropout)
{
    const struct sb_bert_config *config = &pass->bert->config;
    const struct sb_batch *batch = pass->batch;
    pass->C = config->hidden_size;
    pass->H = config->head_count;
    pass->D = config->hidden_size / config->head_count;
    pass->F = config->intermediate_size;
    pass->L = config->layer_count;
    pass->V = config->vocab_size;
    sb_assert(pass->L > 0);
    double head_rate =
        config->classifier_dropout < 0 ? config->hidden_dropout : config->classifier_dropout;
    pass->hidden_dropout = sb_dropout_of(dropout, config->hidden_dropout);
    pass->probs_dropout = sb_dropout_of(dropout, config->attention_dropout);
    pass->head_dropout = sb_dropout_of(dropout, head_rate);
    for (size_t b = 0; b < batch->B; b++) {
        size_t T = batch->starts[b + 1] - batch->starts[b];
        sb_assert(T > 0 && T <= config->max_positions);
        pass->longest = T > pass->longest ? T : pass->longest;
    }
}

static void run_body(struct pass *pass)
{
    pass->probs_first = probs_places(pass, &pass->all);
    pass->probs_first_asked = probs_places(pass, &pass->asked);
    take_scratch(pass);
    bert_embed_forward(pass);
    bert_layers_forward(pass);
}

/* A classifier without a pooler is one of tokens. */
static bool has_token_head(const struct sb_bert *bert)
{
    return bert->params.classifier_w != SIZE_MAX && bert->params.pooler_w == SIZE_MAX;
}

static bool has_target_head(const struct sb_bert *bert)
{
    return bert->params.transform_w != SIZE_MAX || has_token_head(bert);
}

static bool has_class_head(const struct sb_bert *bert)
{
    return bert->params.pooler_w != SIZE_MAX &&
           (bert->params.classifier_w != SIZE_MAX || bert->params.nsp_w != SIZE_MAX);
}

static void run_heads(struct pass *pass, bool targets, bool classes)
{
    const struct sb_params *params = &pass->bert->params;
    if (targets && has_token_head(pass->bert))
        bert_token_head(pass);
    else if (targets)
        bert_mlm_head(pass);
    if (classes && params->classifier_w != SIZE_MAX)
        bert_class_head(pass, params->classifier_w, params->classifier_b,
                        pass->bert->config.label_count);
    else if (classes)
        bert_class_head(pass, params->nsp_w, params->nsp_b, 2);
}

int sb_bert_check(const struct sb_bert *bert, const struct sb_batch *batch, struct sb_err *err)
{
    const struct sb_bert_config *config = &bert->config;
    for (size_t b = 0; b < batch->B; b++) {
        size_t length = batch->starts[b + 1] - batch->starts[b];
        unsigned long long number = sb_sequence_sample(batch->samples[b]);
        if (length == 0 || length > config->max_positions)
            return sb_err_set(err, SB_ERR_DATA,
                              "sample %llu has %zu tokens; the model takes 1 to %zu", number,
                              length, config->max_positions);
        for (size_t row = batch->starts[b]; row < batch->starts[b + 1]; row++) {
            if (batch->ids[row] < 0 || (size_t)batch->ids[row] >= config->vocab_size)
                return sb_err_set(err, SB_ERR_DATA, "sample %llu has token %d; the model knows %zu",
                                  number, (int)batch->ids[row], config->vocab_size);
            if (batch->types[row] >= config->type_count)
                return sb_err_set(
                    err, SB_ERR_DATA,
                    "sample %llu has a second text, but the model knows one token type", number);
        }
    }
    return 0;
}

void sb_bert_train(const struct sb_bert *bert, const struct sb_batch *batch,
                   const struct sb_rng *dropout, struct sb_arena *arena, struct sb_grad *grad,
                   struct sb_stats *stats)
{
    struct pass pass = {.bert = bert, .batch = batch, .arena = arena, .grad = grad, .stats = stats};
    bool targets = batch->target_count > 0 && has_target_head(bert);
    bool classes = (batch->labels != NULL || batch->values != NULL) && has_class_head(bert);
    if (batch->N == 0 || (!targets && !classes))
        return;
    begin(&pass, dropout);
    choose_rows(&pass, false, targets, classes);
    run_body(&pass);
    int lowest = sb_params_lowest_trainable(&bert->params, &bert->config);
    if (lowest < (int)pass.L) {
        pass.dlast = take_floats(&pass, pass.asked.n * pass.C);
        memset(pass.dlast, 0, pass.asked.n * pass.C * sizeof(float));
    }
    run_heads(&pass, targets, classes);
    if (pass.dlast != NULL)
        bert_layers_backward(&pass);
}

void sb_bert_eval(const struct sb_bert *bert, const struct sb_batch *batch, struct sb_arena *arena,
                  struct sb_outputs *outputs, struct sb_stats *stats)
{
    struct sb_outputs none = {0};
    struct sb_stats unread = {0};
    struct pass pass = {.bert = bert,
                        .batch = batch,
                        .arena = arena,
                        .outputs = outputs != NULL ? outputs : &none,
                        .stats = stats != NULL ? stats : &unread};
    bool targets = batch->target_count > 0 && has_target_head(bert);
    bool classes =
        (batch->labels != NULL || batch->values != NULL || pass.outputs->class_logits != NULL) &&
        has_class_head(bert);
    if (batch->N == 0)
        return;
    begin(&pass, NULL);
    choose_rows(&pass, pass.outputs->hidden != NULL, targets, classes);
    run_body(&pass);
    if (pass.outputs->hidden != NULL)
        memcpy(pass.outputs->hidden, pass.layers[pass.L - 1].y, batch->N * pass.C * sizeof(float));
    run_heads(&pass, targets, classes);
}

/* The rows that pooling looks at, and the body on them. */
static void run_body_for_vectors(struct pass *pass, enum sb_pooling pooling,
                                 const struct sb_rng *dropout)
{
    begin(pass, dropout);
    choose_rows(pass, pooling != SB_POOLING_CLS, false, pooling == SB_POOLING_CLS);
    run_body(pass);
}

void sb_bert_vectors(const struct sb_bert *bert, const struct sb_batch *batch,
                     enum sb_pooling pooling, const struct sb_rng *dropout, struct sb_arena *arena,
                     float *vectors)
{
    struct sb_outputs none = {0};
    struct sb_stats unread = {0};
    struct pass pass = {
        .bert = bert, .batch = batch, .arena = arena, .outputs = &none, .stats = &unread};
    if (batch->N == 0)
        return;
    run_body_for_vectors(&pass, pooling, dropout);
    sb_pooling_forward(vectors, NULL, pass.layers[pass.L - 1].y, pass.asked.starts, batch->B,
                       pass.C, pooling);
}

void sb_bert_train_vectors(const struct sb_bert *bert, const struct sb_batch *batch,
                           enum sb_pooling pooling, const struct sb_rng *dropout,
                           sb_vectors_loss_fn *loss, void *context, struct sb_arena *arena,
                           struct sb_grad *grad)
{
    struct sb_stats unread = {0};
    struct pass pass = {
        .bert = bert, .batch = batch, .arena = arena, .grad = grad, .stats = &unread};
    if (batch->N == 0)
        return;
    run_body_for_vectors(&pass, pooling, dropout);
    size_t count = batch->B * pass.C;
    float *vectors = take_floats(&pass, count), *dvectors = take_floats(&pass, count);
    uint32_t *winner = sb_arena_array(arena, uint32_t, count);
    sb_pooling_forward(vectors, winner, pass.layers[pass.L - 1].y, pass.asked.starts, batch->B,
                       pass.C, pooling);
    memset(dvectors, 0, count * sizeof(*dvectors));
    loss(context, vectors, dvectors);
    if (sb_params_lowest_trainable(&bert->params, &bert->config) >= (int)pass.L)
        return;
    pass.dlast = take_floats(&pass, pass.asked.n * pass.C);
    memset(pass.dlast, 0, pass.asked.n * pass.C * sizeof(float));
    sb_pooling_backward(pass.dlast, dvectors, winner, pass.asked.starts, batch->B, pass.C, pooling);
    bert_layers_backward(&pass);
}
