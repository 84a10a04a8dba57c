/*
 * pytorch_model.bin: what torch.save makes of a dictionary of tensors, read without Python and
 * without running anything.  Both forms: the zip archive of today, and the row of pickles of before
 * 2020.
 */
#ifndef SB_TORCH_BIN_H
#define SB_TORCH_BIN_H

#include "err.h"
#include "safetensors.h"

/*
 * Opens such a file as if it were a safetensors file: afterwards sb_safetensors_find, _floats,
 * _ints and _close work on it.  Tensors that share numbers overlap here, tied copies for instance.
 * The file is untrusted: SB_ERR_DATA with the file and what is wrong with it, also for anything
 * that is not a tensor of numbers; SB_ERR_NO_INPUT if it is missing.
 */
int sb_torch_open(struct sb_safetensors *file, const char *path, struct sb_err *err);

#endif
