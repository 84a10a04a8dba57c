/*
 * The files about a run that lie beside the model, in Hugging Face's names: trainer_state.json with
 * the history of reports, and train_, eval_, test_ and all_results.json with the figures at the
 * end.
 *
 *     struct sb_history *history = sb_history_new();
 *     sb_history_add(history, epoch, step, SB_FIELDS(sb_real("loss", loss),
 * sb_real("learning_rate", rate))); sb_history_write(history, "checkpoint-500/trainer_state.json",
 * &state, err); sb_history_write_results("out", "train", SB_FIELDS(sb_real("train_loss", loss)),
 * err);
 *
 * Owner: one thread.  Every file is there completely or not at all.
 */
#ifndef SB_HISTORY_H
#define SB_HISTORY_H

#include "err.h"
#include "fields.h"

#include <stddef.h>
#include <stdint.h>

struct sb_history;

struct sb_trainer_state {
    double epoch;
    uint64_t global_step, max_steps;
    double num_train_epochs;
    uint64_t eval_steps, logging_steps, save_steps;
    double total_flos;
    uint32_t train_batch_size;
    double best_metric;                /* NAN: none */
    const char *best_model_checkpoint; /* NULL: none */
};

struct sb_history *sb_history_new(void);
void sb_history_free(struct sb_history **history);

/* Adds one report: the fields, and then epoch and step. */
void sb_history_add(struct sb_history *history, double epoch, uint64_t step,
                    const struct sb_field *fields, size_t count);
size_t sb_history_count(const struct sb_history *history);

int sb_history_write(const struct sb_history *history, const char *path,
                     const struct sb_trainer_state *state, struct sb_err *err);
/*
 * Takes the reports up to and including last_step from an earlier trainer_state.json, in place of
 * what the history holds; the ones behind it belong to steps that are computed again.
 */
int sb_history_read(struct sb_history *history, const char *path, uint64_t last_step,
                    struct sb_err *err);

/* Writes folder/<split>_results.json and puts the same members into folder/all_results.json. */
int sb_history_write_results(const char *folder, const char *split, const struct sb_field *fields,
                             size_t count, struct sb_err *err);

#endif
