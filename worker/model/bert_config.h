/* The shape of a BERT, as in Hugging Face's config.json. */
#ifndef SB_BERT_CONFIG_H
#define SB_BERT_CONFIG_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Heads, to be or-ed. */
enum sb_head {
    SB_HEAD_NONE = 0,
    SB_HEAD_MLM = 1,
    SB_HEAD_CLASSIFY = 2, /* pooler and classifier */
    SB_HEAD_NSP = 4,      /* pooler and next-sentence classifier: BertForPreTraining, for parity */
    SB_HEAD_POOLER = 8,   /* pooler alone */
    SB_HEAD_TOKENS = 16,  /* classifier of every token, without a pooler; not beside another head */
};

/* What the classifier of a sequence says: Hugging Face's words, by which files know it. */
#define SB_PROBLEMS(X)                                                                             \
    X(SB_SINGLE_LABEL, "single_label_classification") /* one class: softmax */                     \
    X(SB_MULTI_LABEL, "multi_label_classification")   /* any classes: a sigmoid each */            \
    X(SB_REGRESSION, "regression")                    /* a number */
enum sb_problem {
#define SB_PROBLEM(id, name) id,
    SB_PROBLEMS(SB_PROBLEM)
#undef SB_PROBLEM
};

enum sb_activation { SB_GELU_ERF, SB_GELU_TANH };

struct sb_bert_config {
    size_t vocab_size;        /* V */
    size_t hidden_size;       /* C */
    size_t layer_count;       /* L */
    size_t head_count;        /* H; D = C/H */
    size_t intermediate_size; /* F */
    size_t max_positions;     /* P */
    size_t type_count;
    size_t label_count; /* K; 0 without a classifier */
    enum sb_activation activation;
    double hidden_dropout, attention_dropout, classifier_dropout; /* classifier < 0: as hidden */
    double initializer_range;
    double layer_norm_eps;
    int32_t pad_id;
    char **labels; /* [label_count] names, or NULL */
    enum sb_problem problem;
};

/* False if there is none of this name. */
bool sb_problem_find(enum sb_problem *problem, const char *name);
const char *sb_problem_name(enum sb_problem problem);

void sb_bert_config_defaults(struct sb_bert_config *config);
void sb_bert_config_release(struct sb_bert_config *config);
void sb_bert_config_copy(struct sb_bert_config *to, const struct sb_bert_config *from);
/* Names the labels: copies. */
void sb_bert_config_set_labels(struct sb_bert_config *config, char *const *labels, size_t count);

#endif
