#include "params.h"

#include "arena.h"
#include "hash.h"
#include "rng.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The tensors of a BERT, once.  A matrix [rows, cols] decays and starts normal; a vector [cols]
 * does neither.  The order of the rows is the order in the flat space.
 *
 *        kind    field           rows            cols            start     name
 */
#define EMBEDDING_TENSORS(X)                                                                       \
    X(MATRIX, word, vocab_size, hidden_size, NORMAL, "word_embeddings.weight")                     \
    X(MATRIX, position, max_positions, hidden_size, NORMAL, "position_embeddings.weight")          \
    X(MATRIX, type, type_count, hidden_size, NORMAL, "token_type_embeddings.weight")               \
    X(VECTOR, embed_ln_w, , hidden_size, ONE, "LayerNorm.weight")                                  \
    X(VECTOR, embed_ln_b, , hidden_size, ZERO, "LayerNorm.bias")

#define LAYER_TENSORS(X)                                                                           \
    X(MATRIX, query_w, hidden_size, hidden_size, NORMAL, "attention.self.query.weight")            \
    X(MATRIX, key_w, hidden_size, hidden_size, NORMAL, "attention.self.key.weight")                \
    X(MATRIX, value_w, hidden_size, hidden_size, NORMAL, "attention.self.value.weight")            \
    X(MATRIX, attn_out_w, hidden_size, hidden_size, NORMAL, "attention.output.dense.weight")       \
    X(MATRIX, inter_w, intermediate_size, hidden_size, NORMAL, "intermediate.dense.weight")        \
    X(MATRIX, out_w, hidden_size, intermediate_size, NORMAL, "output.dense.weight")                \
    X(VECTOR, query_b, , hidden_size, ZERO, "attention.self.query.bias")                           \
    X(VECTOR, key_b, , hidden_size, ZERO, "attention.self.key.bias")                               \
    X(VECTOR, value_b, , hidden_size, ZERO, "attention.self.value.bias")                           \
    X(VECTOR, attn_out_b, , hidden_size, ZERO, "attention.output.dense.bias")                      \
    X(VECTOR, attn_ln_w, , hidden_size, ONE, "attention.output.LayerNorm.weight")                  \
    X(VECTOR, attn_ln_b, , hidden_size, ZERO, "attention.output.LayerNorm.bias")                   \
    X(VECTOR, inter_b, , intermediate_size, ZERO, "intermediate.dense.bias")                       \
    X(VECTOR, out_b, , hidden_size, ZERO, "output.dense.bias")                                     \
    X(VECTOR, out_ln_w, , hidden_size, ONE, "output.LayerNorm.weight")                             \
    X(VECTOR, out_ln_b, , hidden_size, ZERO, "output.LayerNorm.bias")

#define POOLER_TENSORS(X)                                                                          \
    X(MATRIX, pooler_w, hidden_size, hidden_size, NORMAL, "bert.pooler.dense.weight")              \
    X(VECTOR, pooler_b, , hidden_size, ZERO, "bert.pooler.dense.bias")

#define MLM_TENSORS(X)                                                                             \
    X(MATRIX, transform_w, hidden_size, hidden_size, NORMAL,                                       \
      "cls.predictions.transform.dense.weight")                                                    \
    X(VECTOR, transform_b, , hidden_size, ZERO, "cls.predictions.transform.dense.bias")            \
    X(VECTOR, transform_ln_w, , hidden_size, ONE, "cls.predictions.transform.LayerNorm.weight")    \
    X(VECTOR, transform_ln_b, , hidden_size, ZERO, "cls.predictions.transform.LayerNorm.bias")     \
    X(VECTOR, decoder_b, , vocab_size, ZERO, "cls.predictions.bias")

#define CLASSIFY_TENSORS(X)                                                                        \
    X(MATRIX, classifier_w, label_count, hidden_size, NORMAL, "classifier.weight")                 \
    X(VECTOR, classifier_b, , label_count, ZERO, "classifier.bias")

enum { NSP_LABELS = 2 };

static struct sb_tensor *add(struct sb_params *params, size_t *index, size_t rows, size_t cols,
                             bool is_vector, enum sb_init_kind init)
{
    *index = params->count;
    params->tensors = sb_realloc(params->tensors, (params->count + 1) * sizeof(*params->tensors));
    struct sb_tensor *tensor = &params->tensors[params->count++];
    *tensor = (struct sb_tensor){
        .rows = rows,
        .cols = cols,
        .offset = params->float_count,
        .is_vector = is_vector,
        .decay = !is_vector, /* biases and LayerNorm are all the vectors that there are */
        .trainable = true,
        .rate = 1.0,
        .init = init,
    };
    params->float_count += rows * cols;
    return tensor;
}

#define ADD_MATRIX(index, rows, cols, init)                                                        \
    add(params, index, config->rows, config->cols, false, SB_INIT_##init)
#define ADD_VECTOR(index, rows, cols, init)                                                        \
    add(params, index, 1, config->cols, true, SB_INIT_##init)

#define NAME(tensor, ...) snprintf((tensor)->name, sizeof((tensor)->name), __VA_ARGS__)
#define ADD_EMBEDDING(kind, field, rows, cols, init, text)                                         \
    NAME(ADD_##kind(&params->field, rows, cols, init), "bert.embeddings.%s", text);
#define ADD_LAYER(kind, field, rows, cols, init, text)                                             \
    NAME(ADD_##kind(&layer->field, rows, cols, init), "bert.encoder.layer.%zu.%s", l, text);
#define ADD_NAMED(kind, field, rows, cols, init, text)                                             \
    NAME(ADD_##kind(&params->field, rows, cols, init), "%s", text);
#define SET_ABSENT(kind, field, rows, cols, init, text) params->field = SIZE_MAX;

void sb_params_init(struct sb_params *params, const struct sb_bert_config *config, unsigned heads)
{
    *params = (struct sb_params){.nsp_w = SIZE_MAX, .nsp_b = SIZE_MAX};
    sb_assert(!(heads & SB_HEAD_TOKENS) || heads == SB_HEAD_TOKENS);
    POOLER_TENSORS(SET_ABSENT)
    MLM_TENSORS(SET_ABSENT)
    CLASSIFY_TENSORS(SET_ABSENT)

    EMBEDDING_TENSORS(ADD_EMBEDDING)
    /* The tied decoder's softmax gives every row of the vocabulary a gradient. */
    params->tensors[params->word].row_sparse = !(heads & SB_HEAD_MLM);
    params->layers = sb_calloc(config->layer_count, sizeof(*params->layers));
    for (size_t l = 0; l < config->layer_count; l++) {
        struct sb_layer_index *layer = &params->layers[l];
        LAYER_TENSORS(ADD_LAYER)
    }
    if (heads & (SB_HEAD_CLASSIFY | SB_HEAD_NSP | SB_HEAD_POOLER)) {
        POOLER_TENSORS(ADD_NAMED)
    }
    if (heads & SB_HEAD_MLM) {
        MLM_TENSORS(ADD_NAMED)
    }
    if (heads & (SB_HEAD_CLASSIFY | SB_HEAD_TOKENS)) {
        sb_assert(config->label_count > 0);
        CLASSIFY_TENSORS(ADD_NAMED)
    }
    if (heads & SB_HEAD_NSP) {
        NAME(add(params, &params->nsp_w, NSP_LABELS, config->hidden_size, false, SB_INIT_NORMAL),
             "cls.seq_relationship.weight");
        NAME(add(params, &params->nsp_b, 1, NSP_LABELS, true, SB_INIT_ZERO),
             "cls.seq_relationship.bias");
    }
}

void sb_params_release(struct sb_params *params)
{
    free(params->tensors);
    free(params->layers);
    *params = (struct sb_params){0};
}

size_t sb_params_find(const struct sb_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (!strcmp(params->tensors[i].name, name))
            return i;
    return SIZE_MAX;
}

/* ---- freezing ---- */

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* The layer that a tensor belongs to: -1 embeddings, L pooler and heads. */
static long layer_of(const struct sb_params *params, const struct sb_bert_config *config,
                     size_t index)
{
    if (index <= params->embed_ln_b)
        return -1;
    for (size_t l = 0; l < config->layer_count; l++)
        if (index <= params->layers[l].out_ln_b)
            return (long)l;
    return (long)config->layer_count;
}

struct freeze_rule {
    const char *text;
    long end_layer; /* of "layers:K": K; -1 for the other kinds */
};

static bool rule_matches(const struct freeze_rule *rule, const struct sb_params *params,
                         const struct sb_bert_config *config, size_t index)
{
    const char *name = params->tensors[index].name;
    if (rule->end_layer >= 0)
        return layer_of(params, config, index) < rule->end_layer;
    if (!strcmp(rule->text, "body"))
        return starts_with(name, "bert.");
    if (fnmatch(rule->text, name, 0) == 0)
        return true;
    return starts_with(name, "bert.") && fnmatch(rule->text, name + strlen("bert."), 0) == 0;
}

static int parse_rule(struct freeze_rule *rule, const char *text,
                      const struct sb_bert_config *config, struct sb_err *err)
{
    *rule = (struct freeze_rule){.text = text, .end_layer = -1};
    if (!starts_with(text, "layers:"))
        return 0;
    const char *number = text + strlen("layers:");
    char *end;
    errno = 0;
    unsigned long layers = strtoul(number, &end, 10);
    if (number[0] < '0' || number[0] > '9' || *end || errno || layers > config->layer_count)
        return sb_err_set(err, SB_ERR_CONFIG,
                          "freeze rule '%s': layers:K needs a K from 0 to %zu, the model's layers",
                          text, config->layer_count);
    rule->end_layer = (long)layers;
    return 0;
}

static int freeze_one(struct sb_params *params, const struct sb_bert_config *config,
                      const char *text, struct sb_err *err)
{
    struct freeze_rule rule;
    if (parse_rule(&rule, text, config, err) < 0)
        return -1;
    size_t matched = 0;
    for (size_t i = 0; i < params->count; i++) {
        if (rule_matches(&rule, params, config, i)) {
            params->tensors[i].trainable = false;
            matched++;
        }
    }
    if (!matched)
        return sb_err_set(
            err, SB_ERR_CONFIG,
            "freeze rule '%s' matches no tensor of the model; rules are body, layers:K and "
            "patterns of the names that `shardbert plan` lists, as in freeze: "
            "[embeddings.*, layers:1]",
            text);
    return 0;
}

int sb_params_freeze(struct sb_params *params, const struct sb_bert_config *config,
                     const char *rules, struct sb_err *err)
{
    char *copy = sb_strdup(rules);
    char *rest = copy, *rule;
    int rc = 0;
    while (rc == 0 && (rule = strsep(&rest, ","))) {
        rule += strspn(rule, " \t");
        rule[strcspn(rule, " \t")] = 0;
        if (*rule)
            rc = freeze_one(params, config, rule, err);
    }
    free(copy);
    return rc;
}

/* ---- rates, and what is frozen at first ---- */

void sb_params_set_rates(struct sb_params *params, const struct sb_bert_config *config, double head,
                         double decay)
{
    long L = (long)config->layer_count;
    for (size_t i = 0; i < params->count; i++) {
        long layer = layer_of(params, config, i);
        bool classifier = i == params->classifier_w || i == params->classifier_b;
        params->tensors[i].rate = classifier ? head
                                  : layer == L || decay == 1.0
                                      ? 1.0
                                      : pow(decay, (double)(L - 1 - layer));
    }
}

void sb_params_freeze_until(struct sb_params *params, const struct sb_bert_config *config,
                            const uint64_t *first_steps)
{
    long L = (long)config->layer_count;
    for (size_t i = 0; i < params->count; i++) {
        long layer = layer_of(params, config, i);
        if (layer < L && params->tensors[i].trainable)
            params->tensors[i].from_step = first_steps[L - 1 - layer];
    }
}

void sb_params_thaw(struct sb_params *params, uint64_t step)
{
    for (size_t i = 0; i < params->count; i++)
        if (params->tensors[i].from_step)
            params->tensors[i].trainable = step >= params->tensors[i].from_step;
}

int sb_params_lowest_trainable(const struct sb_params *params, const struct sb_bert_config *config)
{
    for (size_t i = 0; i < params->count; i++) /* the table goes upward */
        if (params->tensors[i].trainable)
            return (int)layer_of(params, config, i);
    return (int)config->layer_count;
}

/* ---- fresh weights ---- */

/*
 * Four draws of N(0, 1) from four uniform words (Box and Muller, 1958).  The words have 32 bits, so
 * no value lies beyond 6.8 standard deviations.
 */
static void four_normals(double out[4], const uint32_t words[4])
{
    for (int pair = 0; pair < 4; pair += 2) {
        double radius = sqrt(-2.0 * log(sb_rng_unit(words[pair])));
        double angle = 2.0 * M_PI * sb_rng_unit(words[pair + 1]);
        out[pair] = radius * cos(angle);
        out[pair + 1] = radius * sin(angle);
    }
}

static void fill_normal(float *out, const struct sb_tensor *tensor, double deviation, uint64_t seed)
{
    /* By name and element: the table may be reordered, or a head added, without a trace. */
    struct sb_rng rng = sb_rng_key(seed, SB_RNG_INIT, sb_hash(tensor->name, strlen(tensor->name)));
    size_t count = sb_tensor_count(tensor);
    for (size_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        double normals[4];
        sb_rng_draw(&rng, i / 4, 0, 0, words);
        four_normals(normals, words);
        for (size_t j = 0; j < 4 && i + j < count; j++)
            out[i + j] = (float)(deviation * normals[j]);
    }
}

void sb_params_fill(float *weights, const struct sb_params *params,
                    const struct sb_bert_config *config, uint64_t seed, size_t first_tensor,
                    size_t end_tensor)
{
    sb_assert(end_tensor <= params->count);
    for (size_t i = first_tensor; i < end_tensor; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        float *out = weights + tensor->offset;
        if (tensor->init == SB_INIT_NORMAL)
            fill_normal(out, tensor, config->initializer_range, seed);
        else
            for (size_t j = 0; j < sb_tensor_count(tensor); j++)
                out[j] = tensor->init == SB_INIT_ONE ? 1.0f : 0.0f;
        if (i == params->word && config->pad_id >= 0 && (size_t)config->pad_id < tensor->rows)
            memset(out + (size_t)config->pad_id * tensor->cols, 0, tensor->cols * sizeof(*out));
    }
}

void sb_params_drop_prefix(struct sb_params *params)
{
    static const char prefix[] = "bert.";
    for (size_t i = 0; i < params->count; i++) {
        char *name = params->tensors[i].name;
        if (!strncmp(name, prefix, strlen(prefix)))
            memmove(name, name + strlen(prefix), strlen(name + strlen(prefix)) + 1);
    }
}
