/*
 * Model folders in Hugging Face's format: config.json and model.safetensors.
 *
 * Reading takes F32, F16 and BF16, with or without the `bert.` (and `module.`) prefix, gamma/beta for LayerNorm, and
 * ignores position_ids, the tied decoder copies and heads that are not asked for.  Everything in the file is
 * untrusted until checked; trouble is SB_ERR_DATA with file and offset or tensor name, SB_ERR_NO_INPUT if a file is missing.
 * A checkpoint that is not BERT (roberta, distilbert, ...) is refused by name.
 */
#ifndef SB_MODEL_FILES_H
#define SB_MODEL_FILES_H

#include "bert_config.h"
#include "err.h"
#include "params.h"
#include "safetensors.h"

int sb_config_read(struct sb_bert_config *config, const char *folder, struct sb_err *err);
/* architecture: "BertForMaskedLM", "BertForSequenceClassification", "BertForPreTraining" or "BertModel". */
int sb_config_write(const struct sb_bert_config *config, const char *folder, const char *architecture,
                    struct sb_err *err);

/* What reading did, tensor by tensor, for the report "loaded / new / ignored". */
struct sb_load_report {
    size_t loaded, created, ignored;
    char **created_names;  /* in the table, not in the file: filled from the seed */
    char **ignored_names;  /* in the file, not in the table */
};
void sb_load_report_release(struct sb_load_report *report);

/*
 * Fills weights [params->float_count] from folder/model.safetensors.  A tensor of the body that is
 * missing is an error; one of a head is created from the seed.  Shapes that do not fit are SB_ERR_DATA.
 */
int sb_model_read(float *weights, const struct sb_params *params, const struct sb_bert_config *config,
                  const char *folder, uint64_t seed, struct sb_load_report *report, struct sb_err *err);
/* Writes folder/model.safetensors, atomically; equal weights give equal bytes. */
int sb_model_write(const float *weights, const struct sb_params *params, const char *folder, struct sb_err *err);

#endif
