/*
 * BERT as a graph of ONNX operators: the same function as sb_bert_eval, on padded batches.
 *
 *   in   input_ids       [batch, sequence]  int64
 *        attention_mask  [batch, sequence]  int64, 1 for tokens, 0 for padding
 *        token_type_ids  [batch, sequence]  int64
 *
 * sequence is at most the positions of the model.  The outputs follow from the head:
 */
#ifndef SB_ONNX_BERT_H
#define SB_ONNX_BERT_H

#include "bert_config.h"
#include "folded_head.h"
#include "onnx_graph.h"
#include "params.h"
#include "sentence.h"

enum sb_onnx_head {
    SB_ONNX_BODY,     /* last_hidden_state [batch, sequence, C] */
    SB_ONNX_MLM,      /* logits [batch, sequence, V] */
    SB_ONNX_CLASSIFY, /* logits [batch, K] */
    SB_ONNX_TOKENS,   /* logits [batch, sequence, K] */
    SB_ONNX_EMBED,    /* token_embeddings [batch, sequence, C], sentence_embedding [batch, C] */
    SB_ONNX_FOLDED,   /* logits [batch, K] of a head on the sentence embedding */
};

/* The head's tensors that a table of parameters must have: enum sb_head, or-ed. */
unsigned sb_onnx_head_needs(enum sb_onnx_head head);

/* What comes out of a graph. */
struct sb_onnx_outputs {
    enum sb_onnx_head head;
    struct sb_sentence sentence;  /* of SB_ONNX_EMBED and SB_ONNX_FOLDED */
    struct sb_folded_head folded; /* of SB_ONNX_FOLDED */
};

/*
 * Adds the graph.  weights: laid out by params; they are streamed by sb_onnx_write, which turns the
 * matrices of the linear maps over in place, those of the folded head as well.
 */
void sb_onnx_bert(struct sb_onnx *onnx, const struct sb_bert_config *config,
                  const struct sb_params *params, float *weights,
                  const struct sb_onnx_outputs *outputs);

#endif
