/*
 * The files beside a trained model: train_results.json, eval_results.json, all_results.json,
 * trainer_state.json in Hugging Face's keys.  What says that the folder is finished is
 * run_record.h's.
 */
#ifndef SB_RESULTS_H
#define SB_RESULTS_H

#include "bytes.h"
#include "err.h"

/*
 * history: the JSON object of the coordinator's FINISH.
 * flos_per_token: 6 times the parameters without embeddings, Hugging Face's estimate of training.
 */
int sb_results_write(const char *folder, const char *history, double flos_per_token,
                     struct sb_err *err);

/*
 * Writes the head that history holds, if it holds one, and SetFit's own config_setfit.json beside it.
 * SB_ERR_PEER: it is not as a coordinator sends it.
 */
int sb_results_write_head(const char *folder, const char *history, struct sb_err *err);

#endif
