/* What is in a model folder, for a person to read. */
#ifndef SB_INSPECT_H
#define SB_INSPECT_H

#include "bytes.h"
#include "err.h"

/*
 * Appends to out: the shape of the model, one line a tensor (name, dtype, shape, values, Euclidean
 * norm) in the order of names, and sums by part.  folder may also be a safetensors or torch file
 * itself; then, and where config.json is missing, the shape of the model is left out.  A norm that
 * is nan or inf says that the tensor has such values.  Errors as sb_config_read and
 * sb_safetensors_open.
 */
int sb_inspect_model(struct sb_bytes *out, const char *folder, struct sb_err *err);

#endif
