#include "onnx_bert.h"

#include <float.h>
#include <math.h>

struct build {
    struct sb_onnx *onnx;
    const struct sb_bert_config *config;
    const struct sb_params *params;
    float *weights;
    const char *ids, *mask, *types;
    const char *word;           /* the word embeddings [V, C] */
    const char *attention_bias; /* [batch, 1, 1, sequence]: 0 for tokens, lowest for padding */
};

unsigned sb_onnx_head_needs(enum sb_onnx_head head)
{
    switch (head) {
    case SB_ONNX_MLM:
        return SB_HEAD_MLM;
    case SB_ONNX_CLASSIFY:
        return SB_HEAD_CLASSIFY;
    case SB_ONNX_TOKENS:
        return SB_HEAD_TOKENS;
    default:
        return SB_HEAD_NONE;
    }
}

/* ---- weights ---- */

static const char *matrix(const struct build *b, size_t index)
{
    const struct sb_tensor *tensor = &b->params->tensors[index];
    return sb_onnx_matrix(b->onnx, tensor->name, b->weights + tensor->offset, tensor->rows,
                          tensor->cols);
}

static const char *vector(const struct build *b, size_t index)
{
    const struct sb_tensor *tensor = &b->params->tensors[index];
    return sb_onnx_vector(b->onnx, tensor->name, b->weights + tensor->offset, tensor->cols);
}

/* MatMul wants [in, out], checkpoints hold [out, in]. */
static const char *transposed(const struct build *b, size_t index)
{
    const struct sb_tensor *tensor = &b->params->tensors[index];
    return sb_onnx_transposed(b->onnx, tensor->name, b->weights + tensor->offset, tensor->rows,
                              tensor->cols);
}

/* ---- pieces ---- */

/* x W^T + bias.  The names are the scope's own: one linear map a scope. */
static const char *linear(const struct build *b, const char *x, size_t weight, size_t bias)
{
    const char *product =
        sb_onnx_node(b->onnx, "MatMul", "product", x, transposed(b, weight), NULL);
    return sb_onnx_node(b->onnx, "Add", "biased", product, vector(b, bias), NULL);
}

/* See sb_layernorm_forward.  This shape of it is what runtimes know and replace by one kernel. */
static const char *layer_norm(const struct build *b, const char *x, size_t gamma, size_t beta)
{
    const int64_t last[] = {-1};
    struct sb_onnx *onnx = b->onnx;
    const char *mean = sb_onnx_node(onnx, "ReduceMean", "mean", x, NULL);
    sb_onnx_attribute_list(onnx, "axes", last, 1);
    const char *centred = sb_onnx_node(onnx, "Sub", "centred", x, mean, NULL);
    const char *squares =
        sb_onnx_node(onnx, "Pow", "squares", centred, sb_onnx_float(onnx, 2), NULL);
    const char *variance = sb_onnx_node(onnx, "ReduceMean", "variance", squares, NULL);
    sb_onnx_attribute_list(onnx, "axes", last, 1);
    const char *eps = sb_onnx_float(onnx, (float)b->config->layer_norm_eps);
    const char *moved = sb_onnx_node(onnx, "Add", "variance_eps", variance, eps, NULL);
    const char *deviation = sb_onnx_node(onnx, "Sqrt", "deviation", moved, NULL);
    const char *normal = sb_onnx_node(onnx, "Div", "normal", centred, deviation, NULL);
    const char *scaled = sb_onnx_node(onnx, "Mul", "scaled", normal, vector(b, gamma), NULL);
    return sb_onnx_node(onnx, "Add", "shifted", scaled, vector(b, beta), NULL);
}

/* x (1 + erf(x / sqrt 2)) / 2 */
static const char *gelu_erf(struct sb_onnx *onnx, const char *x)
{
    const char *root = sb_onnx_float(onnx, (float)sqrt(2.0));
    const char *ratio = sb_onnx_node(onnx, "Div", "ratio", x, root, NULL);
    const char *erf = sb_onnx_node(onnx, "Erf", "erf", ratio, NULL);
    const char *sum = sb_onnx_node(onnx, "Add", "sum", erf, sb_onnx_float(onnx, 1), NULL);
    const char *product = sb_onnx_node(onnx, "Mul", "twice", x, sum, NULL);
    return sb_onnx_node(onnx, "Mul", "gelu", product, sb_onnx_float(onnx, 0.5f), NULL);
}

/* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
static const char *gelu_tanh(struct sb_onnx *onnx, const char *x)
{
    const char *cube = sb_onnx_node(onnx, "Pow", "cube", x, sb_onnx_float(onnx, 3), NULL);
    const char *part =
        sb_onnx_node(onnx, "Mul", "part", cube, sb_onnx_float(onnx, 0.044715f), NULL);
    const char *inner = sb_onnx_node(onnx, "Add", "inner", x, part, NULL);
    const char *factor = sb_onnx_float(onnx, (float)sqrt(2.0 / M_PI));
    const char *scaled = sb_onnx_node(onnx, "Mul", "inner_scaled", inner, factor, NULL);
    const char *tanh = sb_onnx_node(onnx, "Tanh", "tanh", scaled, NULL);
    const char *sum = sb_onnx_node(onnx, "Add", "sum", tanh, sb_onnx_float(onnx, 1), NULL);
    const char *product = sb_onnx_node(onnx, "Mul", "twice", x, sum, NULL);
    return sb_onnx_node(onnx, "Mul", "gelu", product, sb_onnx_float(onnx, 0.5f), NULL);
}

static const char *gelu(const struct build *b, const char *x)
{
    return b->config->activation == SB_GELU_ERF ? gelu_erf(b->onnx, x) : gelu_tanh(b->onnx, x);
}

/* ---- the body ---- */

/* LN(word[id] + type[t] + position[i]) -> [batch, sequence, C] */
static const char *embeddings(const struct build *b)
{
    struct sb_onnx *onnx = b->onnx;
    const struct sb_params *params = b->params;
    const int64_t zero[] = {0}, one[] = {1};
    sb_onnx_scope(onnx, "embeddings");
    const char *word = sb_onnx_node(onnx, "Gather", "word", b->word, b->ids, NULL);
    const char *type =
        sb_onnx_node(onnx, "Gather", "type", matrix(b, params->type), b->types, NULL);
    const char *shape = sb_onnx_node(onnx, "Shape", "shape", b->ids, NULL);
    const char *length =
        sb_onnx_node(onnx, "Gather", "length", shape, sb_onnx_ints(onnx, one, 1), NULL);
    const char *first = sb_onnx_ints(onnx, zero, 1);
    const char *position = sb_onnx_node(onnx, "Slice", "position", matrix(b, params->position),
                                        first, length, first, NULL);
    const char *both = sb_onnx_node(onnx, "Add", "word_type", word, type, NULL);
    const char *all = sb_onnx_node(onnx, "Add", "word_type_position", both, position, NULL);
    sb_onnx_scope(onnx, "embeddings/norm");
    return layer_norm(b, all, params->embed_ln_w, params->embed_ln_b);
}

/* (1 - mask) * lowest: finite, so that a text without tokens gives no NaN. */
static const char *attention_bias(const struct build *b)
{
    struct sb_onnx *onnx = b->onnx;
    const int64_t axes[] = {1, 2};
    sb_onnx_scope(onnx, "mask");
    const char *wide =
        sb_onnx_node(onnx, "Unsqueeze", "wide", b->mask, sb_onnx_ints(onnx, axes, 2), NULL);
    const char *real = sb_onnx_node(onnx, "Cast", "float", wide, NULL);
    sb_onnx_attribute(onnx, "to", 1); /* float */
    const char *padding = sb_onnx_node(onnx, "Sub", "padding", sb_onnx_float(onnx, 1), real, NULL);
    return sb_onnx_node(onnx, "Mul", "bias", padding, sb_onnx_float(onnx, -FLT_MAX), NULL);
}

/* [batch, sequence, C] -> [batch, H, sequence, D], or [batch, H, D, sequence] for the keys */
static const char *split_heads(const struct build *b, const char *x, bool keys)
{
    const int64_t head_count = (int64_t)b->config->head_count;
    const int64_t shape[] = {0, 0, head_count, (int64_t)b->config->hidden_size / head_count};
    const int64_t rows[] = {0, 2, 1, 3}, cols[] = {0, 2, 3, 1};
    const char *cut =
        sb_onnx_node(b->onnx, "Reshape", "cut", x, sb_onnx_ints(b->onnx, shape, 4), NULL);
    const char *heads = sb_onnx_node(b->onnx, "Transpose", "heads", cut, NULL);
    sb_onnx_attribute_list(b->onnx, "perm", keys ? cols : rows, 4);
    return heads;
}

static const char *attention(const struct build *b, const char *x, size_t l)
{
    const struct sb_layer_index *layer = &b->params->layers[l];
    struct sb_onnx *onnx = b->onnx;
    const int64_t perm[] = {0, 2, 1, 3};
    const int64_t joined[] = {0, 0, (int64_t)b->config->hidden_size};
    const float root = (float)sqrt((double)b->config->hidden_size / (double)b->config->head_count);
    sb_onnx_scope(onnx, "layer.%zu/query", l);
    const char *query = split_heads(b, linear(b, x, layer->query_w, layer->query_b), false);
    sb_onnx_scope(onnx, "layer.%zu/key", l);
    const char *key = split_heads(b, linear(b, x, layer->key_w, layer->key_b), true);
    sb_onnx_scope(onnx, "layer.%zu/value", l);
    const char *value = split_heads(b, linear(b, x, layer->value_w, layer->value_b), false);

    sb_onnx_scope(onnx, "layer.%zu/attention", l);
    const char *product = sb_onnx_node(onnx, "MatMul", "product", query, key, NULL);
    const char *scores =
        sb_onnx_node(onnx, "Div", "scores", product, sb_onnx_float(onnx, root), NULL);
    const char *masked = sb_onnx_node(onnx, "Add", "masked", scores, b->attention_bias, NULL);
    const char *shares = sb_onnx_node(onnx, "Softmax", "shares", masked, NULL);
    sb_onnx_attribute(onnx, "axis", -1);
    const char *context = sb_onnx_node(onnx, "MatMul", "context", shares, value, NULL);
    const char *turned = sb_onnx_node(onnx, "Transpose", "turned", context, NULL);
    sb_onnx_attribute_list(onnx, "perm", perm, 4);
    const char *rows =
        sb_onnx_node(onnx, "Reshape", "rows", turned, sb_onnx_ints(onnx, joined, 3), NULL);

    sb_onnx_scope(onnx, "layer.%zu/attention/output", l);
    const char *out = linear(b, rows, layer->attn_out_w, layer->attn_out_b);
    const char *sum = sb_onnx_node(onnx, "Add", "residual", out, x, NULL);
    return layer_norm(b, sum, layer->attn_ln_w, layer->attn_ln_b);
}

static const char *feed_forward(const struct build *b, const char *x, size_t l)
{
    const struct sb_layer_index *layer = &b->params->layers[l];
    sb_onnx_scope(b->onnx, "layer.%zu/intermediate", l);
    const char *inner = gelu(b, linear(b, x, layer->inter_w, layer->inter_b));
    sb_onnx_scope(b->onnx, "layer.%zu/output", l);
    const char *out = linear(b, inner, layer->out_w, layer->out_b);
    const char *sum = sb_onnx_node(b->onnx, "Add", "residual", out, x, NULL);
    return layer_norm(b, sum, layer->out_ln_w, layer->out_ln_b);
}

/* ---- heads ---- */

/* The rows of [CLS]: [batch, sequence, C] -> [batch, C] */
static const char *first_rows(const struct build *b, const char *hidden)
{
    const char *rows =
        sb_onnx_node(b->onnx, "Gather", "first", hidden, sb_onnx_int(b->onnx, 0), NULL);
    sb_onnx_attribute(b->onnx, "axis", 1);
    return rows;
}

/* The classifier of texts on pooled [batch, C], the one of tokens on hidden [batch, sequence, C].
 */
static const char *class_logits(const struct build *b, const char *x)
{
    sb_onnx_scope(b->onnx, "classifier");
    return linear(b, x, b->params->classifier_w, b->params->classifier_b);
}

static const char *pooler(const struct build *b, const char *hidden)
{
    sb_onnx_scope(b->onnx, "pooler");
    const char *inner = linear(b, first_rows(b, hidden), b->params->pooler_w, b->params->pooler_b);
    return sb_onnx_node(b->onnx, "Tanh", "tanh", inner, NULL);
}

/* The decoder is the word embeddings, held once and turned over by the runtime. */
static const char *token_logits(const struct build *b, const char *hidden)
{
    const struct sb_params *params = b->params;
    const int64_t perm[] = {1, 0};
    sb_onnx_scope(b->onnx, "transform");
    const char *inner = gelu(b, linear(b, hidden, params->transform_w, params->transform_b));
    const char *rows = layer_norm(b, inner, params->transform_ln_w, params->transform_ln_b);
    sb_onnx_scope(b->onnx, "decoder");
    const char *decoder = sb_onnx_node(b->onnx, "Transpose", "weight", b->word, NULL);
    sb_onnx_attribute_list(b->onnx, "perm", perm, 2);
    const char *product = sb_onnx_node(b->onnx, "MatMul", "product", rows, decoder, NULL);
    return sb_onnx_node(b->onnx, "Add", "biased", product, vector(b, params->decoder_b), NULL);
}

/* Mean over the tokens of the mask; 1e-9 at least below the line, for a text without any. */
static const char *mean_rows(const struct build *b, const char *hidden, const char *mask)
{
    struct sb_onnx *onnx = b->onnx;
    const int64_t sequence[] = {1};
    const char *real = sb_onnx_node(onnx, "Cast", "mask_float", mask, NULL);
    sb_onnx_attribute(onnx, "to", 1); /* float */
    const char *kept = sb_onnx_node(onnx, "Mul", "kept", hidden, real, NULL);
    const char *axis = sb_onnx_ints(onnx, sequence, 1);
    const char *sum = sb_onnx_node(onnx, "ReduceSum", "sum", kept, axis, NULL);
    sb_onnx_attribute(onnx, "keepdims", 0);
    const char *count = sb_onnx_node(onnx, "ReduceSum", "count", real, axis, NULL);
    sb_onnx_attribute(onnx, "keepdims", 0);
    const char *least =
        sb_onnx_node(onnx, "Max", "count_least", count, sb_onnx_float(onnx, 1e-9f), NULL);
    return sb_onnx_node(onnx, "Div", "mean", sum, least, NULL);
}

static const char *largest_values(const struct build *b, const char *hidden, const char *mask)
{
    struct sb_onnx *onnx = b->onnx;
    const int64_t sequence[] = {1};
    const char *held = sb_onnx_node(onnx, "Cast", "mask_bool", mask, NULL);
    sb_onnx_attribute(onnx, "to", 9); /* bool */
    const char *kept =
        sb_onnx_node(onnx, "Where", "kept", held, hidden, sb_onnx_float(onnx, -FLT_MAX), NULL);
    const char *most = sb_onnx_node(onnx, "ReduceMax", "largest", kept, NULL);
    sb_onnx_attribute_list(onnx, "axes", sequence, 1);
    sb_onnx_attribute(onnx, "keepdims", 0);
    return most;
}

static const char *sentence_rows(const struct build *b, const char *hidden,
                                 const struct sb_sentence *sentence)
{
    struct sb_onnx *onnx = b->onnx;
    const int64_t last[] = {-1};
    const char *rows;
    sb_onnx_scope(onnx, "sentence");
    if (sentence->pooling == SB_POOLING_CLS) {
        rows = first_rows(b, hidden);
    } else {
        const char *mask =
            sb_onnx_node(onnx, "Unsqueeze", "mask", b->mask, sb_onnx_ints(onnx, last, 1), NULL);
        rows = sentence->pooling == SB_POOLING_MEAN ? mean_rows(b, hidden, mask)
                                                    : largest_values(b, hidden, mask);
    }
    if (!sentence->normalize)
        return rows;
    const char *length = sb_onnx_node(onnx, "ReduceL2", "length", rows, NULL);
    sb_onnx_attribute_list(onnx, "axes", last, 1);
    const char *least =
        sb_onnx_node(onnx, "Max", "length_least", length, sb_onnx_float(onnx, 1e-12f), NULL);
    return sb_onnx_node(onnx, "Div", "normalized", rows, least, NULL);
}

static const char *folded_logits(const struct build *b, const char *rows,
                                 const struct sb_folded_head *folded)
{
    struct sb_onnx *onnx = b->onnx;
    sb_onnx_scope(onnx, "classifier");
    const char *weight = sb_onnx_transposed(onnx, "classifier.weight", folded->weight,
                                            folded->label_count, folded->embedding_size);
    const char *bias = sb_onnx_vector(onnx, "classifier.bias", folded->bias, folded->label_count);
    const char *product = sb_onnx_node(onnx, "MatMul", "product", rows, weight, NULL);
    return sb_onnx_node(onnx, "Add", "biased", product, bias, NULL);
}

/* ---- all of it ---- */

static const struct sb_onnx_dim BATCH = {.name = "batch"}, SEQUENCE = {.name = "sequence"};

static void row_output(const struct build *b, const char *name, const char *value, size_t width)
{
    struct sb_onnx_dim dims[] = {BATCH, {.value = (int64_t)width}};
    sb_onnx_output(b->onnx, name, value, dims, 2);
}

static const char *token_output(const struct build *b, const char *name, const char *value,
                                size_t width)
{
    struct sb_onnx_dim dims[] = {BATCH, SEQUENCE, {.value = (int64_t)width}};
    return sb_onnx_output(b->onnx, name, value, dims, 3);
}

void sb_onnx_bert(struct sb_onnx *onnx, const struct sb_bert_config *config,
                  const struct sb_params *params, float *weights,
                  const struct sb_onnx_outputs *outputs)
{
    const size_t C = config->hidden_size, K = config->label_count;
    const struct sb_onnx_dim tokens[] = {BATCH, SEQUENCE};
    struct build b = {.onnx = onnx, .config = config, .params = params, .weights = weights};
    b.ids = sb_onnx_input(onnx, "input_ids", tokens, 2);
    b.mask = sb_onnx_input(onnx, "attention_mask", tokens, 2);
    b.types = sb_onnx_input(onnx, "token_type_ids", tokens, 2);
    b.word = matrix(&b, params->word);
    b.attention_bias = attention_bias(&b);
    const char *x = embeddings(&b);
    for (size_t l = 0; l < config->layer_count; l++)
        x = feed_forward(&b, attention(&b, x, l), l);

    switch (outputs->head) {
    case SB_ONNX_BODY:
        token_output(&b, "last_hidden_state", x, C);
        break;
    case SB_ONNX_MLM:
        token_output(&b, "logits", token_logits(&b, x), config->vocab_size);
        break;
    case SB_ONNX_CLASSIFY:
        row_output(&b, "logits", class_logits(&b, pooler(&b, x)), K);
        break;
    case SB_ONNX_TOKENS:
        token_output(&b, "logits", class_logits(&b, x), K);
        break;
    case SB_ONNX_EMBED:
        x = token_output(&b, "token_embeddings", x, C);
        row_output(&b, "sentence_embedding", sentence_rows(&b, x, &outputs->sentence), C);
        break;
    case SB_ONNX_FOLDED:
        x = folded_logits(&b, sentence_rows(&b, x, &outputs->sentence), &outputs->folded);
        row_output(&b, "logits", x, outputs->folded.label_count);
        break;
    }
}
