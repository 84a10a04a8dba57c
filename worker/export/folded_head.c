#include "folded_head.h"

#include "arena.h"

#include <float.h>
#include <stdlib.h>

static void set_row(struct sb_folded_head *folded, size_t label, const struct sb_embed_head *head,
                    size_t row)
{
    size_t C = head->embedding_size;
    for (size_t c = 0; c < C; c++)
        folded->weight[label * C + c] = (float)head->coef[row * C + c];
    folded->bias[label] = (float)head->intercept[row];
}

void sb_folded_head_init(struct sb_folded_head *folded, const struct sb_embed_head *head)
{
    *folded = (struct sb_folded_head){
        .label_count = head->label_count,
        .embedding_size = head->embedding_size,
        .normalize = head->normalize || head->kind == SB_EMBED_HEAD_CENTROID,
    };
    folded->weight = sb_calloc(head->label_count * head->embedding_size, sizeof(float));
    folded->bias = sb_calloc(head->label_count, sizeof(float));
    for (size_t l = 0; l < head->label_count; l++)
        folded->bias[l] = -FLT_MAX;
    if (head->row_count < head->class_count) {
        /* 1 / (1 + e^-z) is the second part of softmax (0, z). */
        folded->bias[head->classes[0]] = 0;
        set_row(folded, head->classes[1], head, 0);
        return;
    }
    for (size_t k = 0; k < head->class_count; k++)
        set_row(folded, head->classes[k], head, k);
}

void sb_folded_head_release(struct sb_folded_head *folded)
{
    free(folded->weight);
    free(folded->bias);
    *folded = (struct sb_folded_head){0};
}
