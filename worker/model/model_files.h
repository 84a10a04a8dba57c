/*
 * Model folders in Hugging Face's format: config.json and model.safetensors, or, to read only, an
 * old pytorch_model.bin.
 *
 * Reading takes F32, F16, BF16 and F64, with or without the `bert.` (and `module.`) prefix,
 * gamma/beta for LayerNorm, and ignores position_ids, the tied decoder copies and heads that are
 * not asked for. Everything in the file is untrusted until checked; trouble is SB_ERR_DATA with the
 * file and the tensor, line or byte, SB_ERR_NO_INPUT if a file is missing.  A checkpoint that is
 * not BERT (roberta, distilbert, ...) is refused by name.
 */
#ifndef SB_MODEL_FILES_H
#define SB_MODEL_FILES_H

#include "bert_config.h"
#include "err.h"
#include "params.h"
#include "safetensors.h"

/*
 * Fills config from folder/config.json, or from the file itself if folder is one; after a failure
 * there is nothing to release.  label_count and labels come from id2label or label2id (which must
 * agree), else from num_labels; a classification architecture that names neither has LABEL_0 and
 * LABEL_1, any other 0 labels.
 */
int sb_config_read(struct sb_bert_config *config, const char *folder, struct sb_err *err);
/* The first name of "architectures" in folder/config.json; "" if there is none. */
enum { SB_ARCHITECTURE_BYTES = 96 };
int sb_config_architecture(char name[SB_ARCHITECTURE_BYTES], const char *folder,
                           struct sb_err *err);
/*
 * architecture: "BertForMaskedLM", "BertForSequenceClassification",
 * "BertForTokenClassification", "BertForPreTraining" or
 * "BertModel".  Labels that repeat or are not UTF-8 are SB_ERR_DATA.
 */
int sb_config_write(const struct sb_bert_config *config, const char *folder,
                    const char *architecture, struct sb_err *err);

/*
 * What reading did, tensor by tensor, for the report "loaded / new / ignored".  The tied decoder
 * copies and position_ids are neither loaded nor ignored: nothing is lost with them.
 */
struct sb_load_report {
    size_t loaded, created, ignored;
    char **created_names; /* [created] in the table, not in the file: filled from the seed */
    char **ignored_names; /* [ignored] in the file, not in the table */
};
void sb_load_report_release(struct sb_load_report *report);

/*
 * Opens folder/model.safetensors, or folder/pytorch_model.bin where only that is there (see
 * torch_bin.h).  To be closed; closing after a failure is harmless.
 */
int sb_model_open(struct sb_safetensors *file, const char *folder, struct sb_err *err);

/*
 * Fills weights [params->float_count] from the file that sb_model_open finds.
 *
 * A tensor of the embeddings or layers that is missing is an error.  A head (the pooler counts as
 * one) that is missing completely is created from the seed; one that is there in part is an error.
 * So is any shape that does not fit: a classifier with another number of labels is refused with
 * both numbers, never replaced.  To start a new one, read with a table that has no classifier, or
 * keep the file's label count.  Values that are not finite, and a decoder that differs from the
 * word embeddings (if the MLM head is asked for), are errors as well.
 *
 * report may be NULL; after a failure there is nothing to release, and weights are half filled.
 */
int sb_model_read(float *weights, const struct sb_params *params,
                  const struct sb_bert_config *config, const char *folder, uint64_t seed,
                  struct sb_load_report *report, struct sb_err *err);
/* Writes folder/model.safetensors, atomically; equal weights give equal bytes. */
int sb_model_write(const float *weights, const struct sb_params *params, const char *folder,
                   struct sb_err *err);

#endif
