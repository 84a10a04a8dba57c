#include "pair_items.h"

#include <math.h>
#include <string.h>

static int item_at(const void *context, uint64_t epoch, uint64_t k, struct sb_item *item,
                   struct sb_err *err)
{
    const struct sb_pair_items *items = context;
    uint32_t texts = sb_dataset_item_texts(items->data);
    uint64_t index =
        sb_order_sample(sb_dataset_item_count(items->data), items->seed, epoch, items->shuffle, k);
    *item = (struct sb_item){.text_count = texts, .gold = 1, .class_ids = {-1, -1, -1}};
    for (uint32_t t = 0; t < texts; t++)
        item->texts[t] = index * texts + t;
    if (sb_dataset_pair_form(items->data) == SB_PAIR_SCORED)
        return sb_dataset_pair_score(items->data, index, &item->gold, err);
    return 0;
}

static uint32_t length_of(const void *context, uint64_t text)
{
    const struct sb_pair_items *items = context;
    return sb_dataset_length(items->data, text);
}

static int read_text(const void *context, uint64_t text, int32_t *ids, struct sb_err *err)
{
    const struct sb_pair_items *items = context;
    return sb_dataset_read(items->data, text, ids, NULL, NULL, NULL, err);
}

struct sb_item_source sb_pair_items_source(const struct sb_pair_items *items)
{
    return (struct sb_item_source){.count = sb_dataset_item_count(items->data),
                                   .item = item_at,
                                   .length = length_of,
                                   .read = read_text,
                                   .context = items};
}

enum sb_embedding_loss sb_pair_loss_default(enum sb_pair_form form)
{
    return form == SB_PAIR_SCORED ? SB_EMBEDDING_cosine_similarity
                                  : SB_EMBEDDING_multiple_negatives_ranking;
}

const char *sb_pair_loss_needs(enum sb_embedding_loss loss, enum sb_pair_form form)
{
    switch (loss) {
    case SB_EMBEDDING_cosine_similarity:
    case SB_EMBEDDING_contrastive:
    case SB_EMBEDDING_online_contrastive:
    case SB_EMBEDDING_cosent:
        return form == SB_PAIR_SCORED ? NULL : "pairs with a score";
    case SB_EMBEDDING_triplet:
        return form == SB_PAIR_TRIPLET ? NULL : "pairs with a negative";
    case SB_EMBEDDING_batch_hard_triplet:
        return "texts with classes (task setfit)";
    case SB_EMBEDDING_multiple_negatives_ranking:
        break;
    }
    return NULL;
}

const char *sb_pair_form_name(enum sb_pair_form form)
{
    return form == SB_PAIR_SCORED    ? "pairs with a score"
           : form == SB_PAIR_TRIPLET ? "pairs with a negative"
                                     : "pairs without score or negative";
}

const char *sb_embedding_loss_name(enum sb_embedding_loss loss)
{
    static const char *const names[] = {
#define SB_EMBEDDING_LOSS(word) #word,
        SB_EMBEDDING_LOSSES(SB_EMBEDDING_LOSS)
#undef SB_EMBEDDING_LOSS
    };
    return names[loss];
}

/* ---- evaluation ---- */

/* As the losses have it: a vector without a direction is like nothing. */
static double cosine(const float *a, const float *b, size_t C)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t c = 0; c < C; c++) {
        aa += (double)a[c] * a[c];
        bb += (double)b[c] * b[c];
        ab += (double)a[c] * b[c];
    }
    return aa < 1e-24 || bb < 1e-24 ? 0 : ab / sqrt(aa) / sqrt(bb);
}

/* Of the positives behind other items: a text that is our positive is not another. */
static double nearest_other(const float *vectors, size_t item, size_t items, size_t C)
{
    const float *anchor = vectors + 2 * item * C, *own = anchor + C;
    double nearest = -1;
    for (size_t j = 0; j < items; j++) {
        const float *other = vectors + (2 * j + 1) * C;
        if (j == item || !memcmp(other, own, C * sizeof(*own)))
            continue;
        nearest = fmax(nearest, cosine(anchor, other, C));
    }
    return nearest;
}

long sb_pair_items_evaluate(struct sb_embedding *embedding, const struct sb_bert *bert,
                            enum sb_pair_form form, uint64_t slot, struct sb_arena *arena,
                            struct sb_stats *stats, double *rows, struct sb_err *err)
{
    size_t C = bert->config.hidden_size, texts = form == SB_PAIR_TRIPLET ? 3 : 2;
    float *vectors, *gold;
    long count = sb_embedding_evaluate(embedding, bert, slot, arena, stats, &vectors, &gold, err);
    if (count < 0)
        return -1;
    size_t items = (size_t)count;
    for (size_t i = 0; i < items; i++) {
        const float *anchor = vectors + i * texts * C;
        rows[2 * i] = cosine(anchor, anchor + C, C);
        rows[2 * i + 1] = form == SB_PAIR_SCORED    ? gold[i]
                          : form == SB_PAIR_TRIPLET ? cosine(anchor, anchor + 2 * C, C)
                                                    : nearest_other(vectors, i, items, C);
    }
    return count;
}
