#include "embedding.h"

#include "dataset.h"
#include "hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * One step: its items in their order, and where their texts are.  A group travels slot after slot;
 * losses see its rows in the order of the step, so that the cut into slots leaves no trace in them.
 */
struct sb_embed_step {
    uint64_t step;
    size_t count;
    struct sb_item *items;
    uint32_t *lengths;    /* tokens of an item, all its texts */
    uint32_t *slot_of;    /* [count] */
    uint32_t *first_row;  /* [count + 1] of the item's first text, in the order of the step */
    uint32_t *slot_start; /* [slots + 1] rows, as they travel */
    uint32_t first_slot;  /* that has an item */
};

/* Some of a slot's items, as one batch. */
struct piece {
    struct sb_batch batch;
    const uint32_t *items; /* [item_count] of the step */
    uint32_t *first_row;   /* [item_count] in the batch */
    size_t item_count;
};

bool sb_embedding_loss_find(enum sb_embedding_loss *loss, const char *name)
{
    static const char *const names[] = {
#define SB_EMBEDDING_LOSS(word) #word,
        SB_EMBEDDING_LOSSES(SB_EMBEDDING_LOSS)
#undef SB_EMBEDDING_LOSS
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(names[i], name)) {
            *loss = (enum sb_embedding_loss)i;
            return true;
        }
    return false;
}

bool sb_embedding_loss_of_group(enum sb_embedding_loss loss)
{
    return loss != SB_EMBEDDING_cosine_similarity && loss != SB_EMBEDDING_contrastive &&
           loss != SB_EMBEDDING_triplet;
}

void sb_embedding_init(struct sb_embedding *embedding, const struct sb_embedding_options *options,
                       const struct sb_item_source *source)
{
    *embedding = (struct sb_embedding){.options = *options, .source = *source};
}

void sb_embedding_release(struct sb_embedding *embedding)
{
    sb_arena_release(&embedding->step_arena);
    sb_arena_release(&embedding->group_arena);
    *embedding = (struct sb_embedding){0};
}

uint64_t sb_embedding_steps_per_epoch(const struct sb_embedding *embedding)
{
    uint64_t batch = embedding->options.batch_size;
    return (embedding->source.count + batch - 1) / batch;
}

/* ---- the items of a step ---- */

static uint32_t item_length(const struct sb_item_source *source, const struct sb_item *item)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < item->text_count; i++)
        length += source->length(source->context, item->texts[i]);
    return length;
}

static void place_rows(struct sb_embed_step *s, uint32_t slots)
{
    uint32_t row = 0;
    for (size_t i = 0; i < s->count; i++) {
        s->first_row[i] = row;
        row += s->items[i].text_count;
    }
    s->first_row[s->count] = row;
    row = 0;
    s->first_slot = slots;
    for (uint32_t slot = 0; slot < slots; slot++) {
        s->slot_start[slot] = row;
        for (size_t i = 0; i < s->count; i++)
            row += s->slot_of[i] == slot ? s->items[i].text_count : 0;
        if (row && s->first_slot == slots)
            s->first_slot = slot;
    }
    s->slot_start[slots] = row;
}

/* Makes it the step at hand. */
static struct sb_embed_step *take_step(struct sb_embedding *embedding, uint64_t step,
                                       struct sb_err *err)
{
    const struct sb_embedding_options *options = &embedding->options;
    const struct sb_item_source *source = &embedding->source;
    struct sb_arena *arena = &embedding->step_arena;
    if (embedding->step && embedding->step->step == step)
        return embedding->step;
    embedding->step = NULL;
    sb_arena_reset(arena);
    struct sb_embed_step *s = sb_arena_array(arena, struct sb_embed_step, 1);
    uint64_t per_epoch = sb_embedding_steps_per_epoch(embedding), epoch = step / per_epoch;
    uint64_t first = step % per_epoch * options->batch_size, left = source->count - first;
    *s = (struct sb_embed_step){.step = step,
                                .count = left < options->batch_size ? left : options->batch_size};
    s->items = sb_arena_array(arena, struct sb_item, s->count);
    s->lengths = sb_arena_array(arena, uint32_t, s->count);
    s->slot_of = sb_arena_array(arena, uint32_t, s->count);
    s->first_row = sb_arena_array(arena, uint32_t, s->count + 1);
    s->slot_start = sb_arena_array(arena, uint32_t, options->slots + 1);
    for (size_t i = 0; i < s->count; i++) {
        if (source->item(source->context, epoch, first + i, &s->items[i], err) < 0)
            return NULL;
        s->lengths[i] = item_length(source, &s->items[i]);
    }
    sb_deal_slots(s->slot_of, s->lengths, s->count, options->slots, arena);
    place_rows(s, options->slots);
    embedding->step = s;
    return s;
}

long sb_embedding_row_count(struct sb_embedding *embedding, uint64_t step, uint32_t slot,
                            struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    return s ? (long)(s->slot_start[slot + 1] - s->slot_start[slot]) : -1;
}

long sb_embedding_group_rows(struct sb_embedding *embedding, uint64_t step, struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    return s ? (long)s->slot_start[embedding->options.slots] : -1;
}

/* ---- the pieces of a slot ---- */

/* The next items of the slot from *at on: at most pass_tokens tokens, at least one item. */
static size_t next_items(uint32_t *items, const struct sb_embed_step *s, uint32_t slot, size_t *at,
                         size_t pass_tokens)
{
    size_t count = 0, tokens = 0;
    for (; *at < s->count; ++*at) {
        if (s->slot_of[*at] != slot)
            continue;
        if (count && tokens + s->lengths[*at] > pass_tokens)
            break;
        tokens += s->lengths[*at];
        items[count++] = (uint32_t)*at;
    }
    return count;
}

/* Every text is a sequence of its own; dropout is keyed by its place in the step, not in a slot. */
static int read_piece(struct piece *piece, const struct sb_embedding *embedding,
                      const struct sb_embed_step *s, struct sb_arena *arena, struct sb_stats *stats,
                      struct sb_err *err)
{
    const struct sb_item_source *source = &embedding->source;
    size_t B = 0, N = 0;
    for (size_t i = 0; i < piece->item_count; i++) {
        B += s->items[piece->items[i]].text_count;
        N += s->lengths[piece->items[i]];
    }
    uint32_t *starts = sb_arena_array(arena, uint32_t, B + 1);
    int32_t *ids = sb_arena_array(arena, int32_t, N + 1);
    uint64_t *samples = sb_arena_array(arena, uint64_t, B + 1);
    uint8_t *types = memset(sb_arena_array(arena, uint8_t, N + 1), 0, N);
    starts[0] = 0;
    piece->first_row = sb_arena_array(arena, uint32_t, piece->item_count);
    B = 0;
    for (size_t i = 0; i < piece->item_count; i++) {
        const struct sb_item *item = &s->items[piece->items[i]];
        piece->first_row[i] = (uint32_t)B;
        for (uint32_t t = 0; t < item->text_count; t++, B++) {
            if (source->read(source->context, item->texts[t], ids + starts[B], err) < 0)
                return -1;
            starts[B + 1] = starts[B] + source->length(source->context, item->texts[t]);
            samples[B] = (uint64_t)piece->items[i] * SB_ITEM_TEXTS + t;
        }
    }
    if (stats) {
        stats->samples += (double)piece->item_count;
        stats->tokens += (double)N;
    }
    piece->batch = (struct sb_batch){
        .B = B, .N = N, .starts = starts, .ids = ids, .types = types, .samples = samples};
    return 0;
}

/* 1: a piece; 0: the slot has no more; -1: trouble.  The arena is reset. */
static int next_piece(struct piece *piece, struct sb_embedding *embedding,
                      const struct sb_bert *bert, const struct sb_embed_step *s, uint32_t slot,
                      size_t *at, struct sb_arena *arena, struct sb_stats *stats,
                      struct sb_err *err)
{
    sb_arena_reset(arena);
    uint32_t *items = sb_arena_array(arena, uint32_t, s->count);
    piece->items = items;
    piece->item_count = next_items(items, s, slot, at, embedding->options.pass_tokens);
    if (!piece->item_count)
        return 0;
    if (read_piece(piece, embedding, s, arena, stats, err) < 0 ||
        sb_bert_check(bert, &piece->batch, err) < 0)
        return sb_err_context(err, "reading slot %" PRIu32 " of step %" PRIu64, slot, s->step);
    return 1;
}

static const struct sb_rng *dropout_of(struct sb_rng *key, const struct sb_embedding *embedding,
                                       const struct sb_bert *bert, uint64_t step)
{
    *key = sb_rng_key(embedding->options.seed, SB_RNG_DROPOUT, step);
    return bert->config.hidden_dropout > 0 || bert->config.attention_dropout > 0 ? key : NULL;
}

/* The vectors of a slot, its rows one after the other. */
static long run_forward(struct sb_embedding *embedding, const struct sb_bert *bert,
                        const struct sb_embed_step *s, uint32_t slot, const struct sb_rng *dropout,
                        struct sb_arena *arena, float **vectors, struct sb_stats *stats,
                        struct sb_err *err)
{
    size_t C = bert->config.hidden_size, rows = s->slot_start[slot + 1] - s->slot_start[slot];
    size_t at = 0, done = 0;
    struct piece piece;
    int rc;
    float *all = sb_alloc((rows * C + 1) * sizeof(*all));
    while ((rc = next_piece(&piece, embedding, bert, s, slot, &at, arena, stats, err)) > 0) {
        sb_bert_vectors(bert, &piece.batch, embedding->options.pooling, dropout, arena,
                        all + done * C);
        done += piece.batch.B;
    }
    sb_arena_reset(arena);
    *vectors = sb_arena_array(arena, float, rows *C + 1);
    memcpy(*vectors, all, rows * C * sizeof(*all));
    free(all);
    return rc < 0 ? -1 : (long)rows;
}

long sb_embedding_publish(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                          uint32_t slot, struct sb_arena *arena, float **vectors,
                          struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    if (!s)
        return -1;
    struct sb_rng key;
    const struct sb_rng *dropout = dropout_of(&key, embedding, bert, step);
    return run_forward(embedding, bert, s, slot, dropout, arena, vectors, NULL, err);
}

/* ---- losses ---- */

/* items: some of the step; NULL: all, in their order. */
static const struct sb_item *item_of(const struct sb_embed_step *s, const uint32_t *items, size_t i)
{
    return &s->items[items ? items[i] : i];
}

/* first_row [count]: where the texts of each item are in what is compared. */
static struct sb_embed_pairs pairs_of(const struct sb_embed_step *s, const uint32_t *items,
                                      size_t count, const uint32_t *first_row,
                                      struct sb_arena *arena)
{
    uint32_t *second = sb_arena_array(arena, uint32_t, count + 1);
    float *gold = sb_arena_array(arena, float, count + 1);
    for (size_t i = 0; i < count; i++) {
        second[i] = first_row[i] + 1;
        gold[i] = item_of(s, items, i)->gold;
    }
    return (struct sb_embed_pairs){
        .first = first_row, .second = second, .gold = gold, .count = count};
}

static struct sb_embed_triplets triplets_of(size_t count, const uint32_t *first_row,
                                            struct sb_arena *arena)
{
    uint32_t *positive = sb_arena_array(arena, uint32_t, count + 1);
    uint32_t *negative = sb_arena_array(arena, uint32_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        positive[i] = first_row[i] + 1;
        negative[i] = first_row[i] + 2;
    }
    return (struct sb_embed_triplets){
        .anchor = first_row, .positive = positive, .negative = negative, .count = count};
}

static double margin_of(const struct sb_embedding_options *options)
{
    bool triplet =
        options->loss == SB_EMBEDDING_triplet || options->loss == SB_EMBEDDING_batch_hard_triplet;
    if (options->margin >= 0)
        return options->margin;
    return !triplet ? 0.5 : options->metric == SB_EMBED_COSINE ? 0.25 : 5.0;
}

/* A loss of items by themselves. */
static struct sb_embed_loss items_loss(const struct sb_embedding *embedding,
                                       const struct sb_embed_step *s, const struct piece *piece,
                                       const struct sb_embed_group *group, struct sb_arena *arena)
{
    const struct sb_embedding_options *options = &embedding->options;
    if (options->loss == SB_EMBEDDING_triplet) {
        struct sb_embed_triplets triplets = triplets_of(piece->item_count, piece->first_row, arena);
        return sb_loss_triplet(group, arena, &triplets, options->metric, margin_of(options));
    }
    struct sb_embed_pairs pairs =
        pairs_of(s, piece->items, piece->item_count, piece->first_row, arena);
    if (options->loss == SB_EMBEDDING_contrastive)
        return sb_loss_contrastive(group, arena, &pairs, margin_of(options));
    return sb_loss_cosine(group, arena, &pairs);
}

/* Equal texts have equal names, and so have texts of one class where classes are known. */
static int name_texts(uint64_t *names, const struct sb_embedding *embedding,
                      const struct sb_embed_step *s, struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_item_source *source = &embedding->source;
    for (size_t i = 0; i < s->count; i++)
        for (uint32_t t = 0; t < s->items[i].text_count; t++) {
            uint64_t text = s->items[i].texts[t];
            uint32_t length = source->length(source->context, text);
            if (source->has_classes && s->items[i].class_ids[t] >= 0) {
                names[s->first_row[i] + t] = (uint64_t)s->items[i].class_ids[t];
                continue;
            }
            int32_t *ids = sb_arena_array(arena, int32_t, length + 1);
            if (source->read(source->context, text, ids, err) < 0)
                return -1;
            names[s->first_row[i] + t] = sb_hash(ids, length * sizeof(*ids));
        }
    return 0;
}

static int ranking_loss(struct sb_embed_loss *loss, const struct sb_embedding *embedding,
                        const struct sb_embed_step *s, const struct sb_embed_group *group,
                        struct sb_arena *arena, struct sb_err *err)
{
    uint32_t *anchor = sb_arena_array(arena, uint32_t, s->count);
    uint32_t *positive = sb_arena_array(arena, uint32_t, s->count);
    uint32_t *negative = sb_arena_array(arena, uint32_t, s->count);
    uint64_t *texts = sb_arena_array(arena, uint64_t, group->n + 1);
    struct sb_embed_ranking ranking = {
        .anchor = anchor, .positive = positive, .negative = negative, .texts = texts};
    for (size_t i = 0; i < s->count; i++) {
        /* A pair that is known not to be alike ranks nothing. */
        if (s->items[i].text_count < 2 || (s->items[i].text_count == 2 && s->items[i].gold <= 0.5F))
            continue;
        anchor[ranking.count] = s->first_row[i];
        positive[ranking.count++] = s->first_row[i] + 1;
        if (s->items[i].text_count == 3)
            negative[ranking.negative_count++] = s->first_row[i] + 2;
    }
    if (name_texts(texts, embedding, s, arena, err) < 0)
        return -1;
    *loss = sb_loss_ranking(group, arena, &ranking, embedding->options.scale);
    return 0;
}

static int group_loss(struct sb_embed_loss *loss, const struct sb_embedding *embedding,
                      const struct sb_embed_step *s, const struct sb_embed_group *group,
                      struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_embedding_options *options = &embedding->options;
    if (options->loss == SB_EMBEDDING_multiple_negatives_ranking)
        return ranking_loss(loss, embedding, s, group, arena, err);
    if (options->loss == SB_EMBEDDING_batch_hard_triplet) {
        int32_t *classes = sb_arena_array(arena, int32_t, group->n + 1);
        for (size_t i = 0; i < s->count; i++)
            for (uint32_t t = 0; t < s->items[i].text_count; t++)
                classes[s->first_row[i] + t] = s->items[i].class_ids[t];
        *loss = sb_loss_batch_hard(group, arena, classes, options->metric, margin_of(options));
        return 0;
    }
    struct sb_embed_pairs pairs = pairs_of(s, NULL, s->count, s->first_row, arena);
    *loss = options->loss == SB_EMBEDDING_cosent
                ? sb_loss_cosent(group, arena, &pairs, options->scale)
                : sb_loss_online_contrastive(group, arena, &pairs, margin_of(options));
    return 0;
}

/* From the order in which the group travels to that of the step. */
static float *order_rows(const struct sb_embed_step *s, const float *group, uint32_t slots,
                         size_t C, struct sb_arena *arena)
{
    float *x = sb_arena_array(arena, float, s->first_row[s->count] * C + 1);
    for (uint32_t slot = 0; slot < slots; slot++)
        for (size_t i = 0; i < s->count; i++) {
            size_t count = s->items[i].text_count * C;
            if (s->slot_of[i] != slot)
                continue;
            memcpy(x + s->first_row[i] * C, group, count * sizeof(*x));
            group += count;
        }
    return x;
}

int sb_embedding_compare(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                         const float *group, size_t float_count, struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    struct sb_arena *arena = &embedding->group_arena;
    if (!s)
        return -1;
    size_t C = bert->config.hidden_size, rows = s->first_row[s->count];
    if (float_count != rows * C)
        return sb_err_set(err, SB_ERR_PEER,
                          "the vectors of step %" PRIu64 " are %zu numbers, expected %zu of %zu",
                          step, float_count, rows, C);
    embedding->compared = false;
    sb_arena_reset(arena);
    float *dx = sb_arena_array(arena, float, rows *C + 1);
    struct sb_embed_group in_order = {.x = order_rows(s, group, embedding->options.slots, C, arena),
                                      .dx = memset(dx, 0, rows * C * sizeof(*dx)),
                                      .n = rows,
                                      .C = C};
    if (group_loss(&embedding->group_loss, embedding, s, &in_order, arena, err) < 0)
        return -1;
    embedding->dgroup = dx;
    embedding->compared_step = step;
    embedding->compared = true;
    return 0;
}

/* ---- evaluation ---- */

long sb_embedding_evaluate(struct sb_embedding *embedding, const struct sb_bert *bert,
                           uint64_t step, struct sb_arena *arena, struct sb_stats *stats,
                           float **vectors, float **gold, struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    sb_assert(embedding->options.slots == 1);
    if (!s || run_forward(embedding, bert, s, 0, NULL, arena, vectors, stats, err) < 0)
        return -1;
    *gold = sb_arena_array(arena, float, s->count + 1);
    for (uint32_t i = 0; i < s->count; i++)
        (*gold)[i] = s->items[i].gold;
    struct piece all = {.first_row = s->first_row, .item_count = s->count};
    struct sb_embed_group rows = {
        .x = *vectors, .n = s->first_row[s->count], .C = bert->config.hidden_size};
    struct sb_embed_loss loss;
    if (!sb_embedding_loss_of_group(embedding->options.loss))
        loss = items_loss(embedding, s, &all, &rows, arena);
    else if (group_loss(&loss, embedding, s, &rows, arena, err) < 0)
        return -1;
    stats->loss += loss.loss;
    stats->targets += loss.targets;
    return (long)s->count;
}

/* ---- training ---- */

/* What the loss of a piece is a function of, behind the model's back. */
struct loss_context {
    const struct sb_embedding *embedding;
    const struct sb_embed_step *s;
    const struct piece *piece;
    struct sb_arena *arena;
    size_t C;
    struct sb_stats *stats;
};

/* Its share of the group's gradient. */
static void gather_gradient(const struct loss_context *c, float *dvectors)
{
    for (size_t i = 0; i < c->piece->item_count; i++) {
        uint32_t item = c->piece->items[i];
        memcpy(dvectors + c->piece->first_row[i] * c->C,
               c->embedding->dgroup + c->s->first_row[item] * c->C,
               c->s->items[item].text_count * c->C * sizeof(*dvectors));
    }
}

static void loss_of_piece(void *context, const float *vectors, float *dvectors)
{
    struct loss_context *c = context;
    if (sb_embedding_loss_of_group(c->embedding->options.loss)) {
        gather_gradient(c, dvectors);
        return;
    }
    struct sb_embed_group rows = {.x = vectors, .dx = dvectors, .n = c->piece->batch.B, .C = c->C};
    struct sb_embed_loss loss = items_loss(c->embedding, c->s, c->piece, &rows, c->arena);
    c->stats->loss += loss.loss;
    c->stats->targets += loss.targets;
}

long sb_embedding_train(struct sb_embedding *embedding, const struct sb_bert *bert, uint64_t step,
                        uint32_t slot, struct sb_arena *arena, struct sb_grad *grad,
                        struct sb_stats *stats, struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    if (!s)
        return -1;
    if (sb_embedding_loss_of_group(embedding->options.loss)) {
        sb_assert(embedding->compared);
        sb_assert(embedding->compared_step == step);
        if (slot == s->first_slot) {
            stats->loss += embedding->group_loss.loss;
            stats->targets += embedding->group_loss.targets;
        }
    }
    struct sb_rng key;
    const struct sb_rng *dropout = dropout_of(&key, embedding, bert, step);
    size_t at = 0;
    long items = 0;
    struct piece piece;
    int rc;
    while ((rc = next_piece(&piece, embedding, bert, s, slot, &at, arena, stats, err)) > 0) {
        struct loss_context context = {.embedding = embedding,
                                       .s = s,
                                       .piece = &piece,
                                       .arena = arena,
                                       .C = bert->config.hidden_size,
                                       .stats = stats};
        sb_bert_train_vectors(bert, &piece.batch, embedding->options.pooling, dropout,
                              loss_of_piece, &context, arena, grad);
        items += (long)piece.item_count;
    }
    return rc < 0 ? -1 : items;
}

int sb_embedding_mark_rows(struct sb_embedding *embedding, uint64_t step, uint32_t slot,
                           uint8_t *seen, struct sb_err *err)
{
    const struct sb_embed_step *s = take_step(embedding, step, err);
    const struct sb_item_source *source = &embedding->source;
    if (!s)
        return -1;
    for (size_t i = 0; i < s->count; i++)
        for (uint32_t t = 0; s->slot_of[i] == slot && t < s->items[i].text_count; t++) {
            uint64_t text = s->items[i].texts[t];
            uint32_t length = source->length(source->context, text);
            int32_t *ids = sb_alloc((length + 1) * sizeof(*ids));
            int rc = source->read(source->context, text, ids, err);
            for (uint32_t j = 0; rc == 0 && j < length; j++)
                seen[ids[j]] = 1;
            free(ids);
            if (rc < 0)
                return -1;
        }
    return 0;
}
