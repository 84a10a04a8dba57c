/*
 * The files beside a trained model: train_results.json, eval_results.json, all_results.json,
 * trainer_state.json in Hugging Face's keys, and shardbert.json, which marks the folder as finished
 * and holds the settings that made it.
 */
#ifndef SB_RESULTS_H
#define SB_RESULTS_H

#include "bytes.h"
#include "err.h"

#include <stdbool.h>

/*
 * history: the JSON object of the coordinator's FINISH; canonical: the JOB settings as text.
 * flos_per_token: 6 times the parameters without embeddings, Hugging Face's estimate of training.
 */
int sb_results_write(const char *folder, const char *history, const char *canonical,
                     double flos_per_token, struct sb_err *err);

/*
 * Is folder a finished one?  1: yes, canonical holds the settings that made it; 0: no; -1: trouble.
 */
int sb_results_finished(const char *folder, struct sb_bytes *canonical, struct sb_err *err);

#endif
