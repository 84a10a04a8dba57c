#include "bert_config.h"

#include "arena.h"

#include <stdlib.h>

void sb_bert_config_defaults(struct sb_bert_config *config)
{
    *config = (struct sb_bert_config){
        .vocab_size = 30522,
        .hidden_size = 768,
        .layer_count = 12,
        .head_count = 12,
        .intermediate_size = 3072,
        .max_positions = 512,
        .type_count = 2,
        .activation = SB_GELU_ERF,
        .hidden_dropout = 0.1,
        .attention_dropout = 0.1,
        .classifier_dropout = -1.0,
        .initializer_range = 0.02,
        .layer_norm_eps = 1e-12,
        .pad_id = 0,
    };
}

static void drop_labels(struct sb_bert_config *config)
{
    if (config->labels)
        for (size_t i = 0; i < config->label_count; i++)
            free(config->labels[i]);
    free(config->labels);
    config->labels = NULL;
}

void sb_bert_config_release(struct sb_bert_config *config)
{
    drop_labels(config);
    config->label_count = 0;
}

static char **copy_labels(char *const *labels, size_t count)
{
    char **copy = sb_calloc(count, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = sb_strdup(labels[i]);
    return copy;
}

void sb_bert_config_copy(struct sb_bert_config *to, const struct sb_bert_config *from)
{
    *to = *from;
    if (from->labels)
        to->labels = copy_labels(from->labels, from->label_count);
}

void sb_bert_config_set_labels(struct sb_bert_config *config, char *const *labels, size_t count)
{
    char **copy = copy_labels(labels, count); /* first: labels may be the config's own */
    drop_labels(config);
    config->labels = copy;
    config->label_count = count;
}
