/*
 * From a model folder to the folders that other programs open:
 *
 *   onnx                   onnx/model.onnx with config.json and the tokenizer beside it: ONNX
 *                          Runtime, transformers.js
 *   sentence-transformers  body, pooling and a card: sentence-transformers
 *
 * The folder that is read is never the one that is written.  Each file is written atomically, what
 * is there under its name is replaced, and equal models give equal bytes.  Config and weights come
 * from a model that loads as for predict or embed: SB_ERR_NO_INPUT and SB_ERR_DATA as there.
 */
#ifndef SB_EXPORT_H
#define SB_EXPORT_H

#include "onnx_bert.h"

struct sb_export {
    const char *model, *output; /* folders */
    enum sb_onnx_head head;     /* onnx only */
    struct sb_sentence sentence;
};

/*
 * What a folder is: a sentence-transformers folder embeds as its files say; another has the head
 * that the architecture in its config.json names (BertForPreTraining: the masked language model),
 * and its sentence is the plain mean.  One with a head on embeddings beside the body (head.json)
 * classifies by it.  Sets head and sentence.
 */
int sb_export_look(struct sb_export *export, struct sb_err *err);

int sb_export_onnx(const struct sb_export *export, struct sb_err *err);
int sb_export_sentence_transformers(const struct sb_export *export, struct sb_err *err);

#endif
