/*
 * A task joins what a job names: tokenizer, data sets, the shape of the model and its weights.
 *
 * It answers two questions that are pure functions of (settings, data, weights): what are the
 * gradient sums of slot s of step t, and what are the sums of slot s of an evaluation.  It knows
 * nothing of servers.  Life: open, then load weights or receive them, then any number of slots.
 * One thread.
 */
#ifndef SB_TASK_H
#define SB_TASK_H

#include "bert.h"
#include "config.h"
#include "dataset.h"
#include "embedding.h"
#include "entities.h"
#include "evaluate.h"
#include "few_shot.h"
#include "model_files.h"
#include "pool.h"
#include "sentence.h"
#include "wordpiece.h"

enum { SB_EVAL_SETS = 3 };

struct sb_eval_set {
    const char *name; /* "validation", "test"; setfit: "head" */
    struct sb_dataset *data;
    const uint64_t *samples; /* [sample_count] not owned; NULL: all of data, in their order */
    uint64_t sample_count;
    uint64_t slot_count, slot_samples; /* at most SB_EVAL_SLOT_SAMPLES each */
    struct sb_pair_items *items;       /* embed: what its slots are made of; else NULL */
    struct sb_embedding *embedding;
};

struct sb_task {
    const struct sb_job *job; /* not owned */
    bool mlm, ner, setfit;    /* else classify */
    struct sb_tags tags;      /* ner */
    /* embed: texts become vectors, and pairs of them are compared */
    bool embed;
    struct sb_pair_items *pairs; /* NULL for other tasks */
    struct sb_wordpiece *tokenizer;
    struct sb_bert bert;
    float *weights; /* [params.float_count]; what bert.weights points at */
    struct sb_dataset *train;
    struct sb_few_shot_items *few_items; /* setfit; else NULL */
    struct sb_sentence sentence;         /* how texts become vectors */
    struct sb_embedding *embedding;      /* owned: tasks that train sentence vectors; else NULL */
    struct sb_few_shot few; /* samples_per_label: what is trained on, of train; else no samples */
    uint64_t train_count, train_tokens; /* of what is trained on */
    double *class_weights;              /* [K], or NULL */
    char *notice;                       /* what a person should know before the start, or NULL */
    bool fresh_head; /* the classifier of the starting model is for something else */
    struct sb_eval_set evals[SB_EVAL_SETS];
    size_t eval_count;
    uint64_t steps_per_epoch, total_steps;
    uint32_t slots;
    size_t max_seq_length;
    struct sb_mask_options masks, eval_masks; /* masks.probability: at the first step */
    char *cache_dir;
    struct sb_load_report report; /* after sb_task_load_weights */
    struct sb_arena step_arena, pass_arena;
};

/* As the job says, or one per about 1,024 tokens of an average step whose samples are so many
 * texts: a power of two from 1 to 16. */
uint32_t sb_task_choose_slots(const struct sb_task *task, uint32_t texts);

/* As in dataset.h: called while data are prepared; may be NULL. */
typedef void sb_task_progress_fn(void *context, uint64_t done_bytes, uint64_t total_bytes,
                                 uint64_t samples);

int sb_task_open(struct sb_task **task, const struct sb_job *job, struct sb_pool *pool,
                 sb_task_progress_fn *progress, void *context, struct sb_err *err);
void sb_task_free(struct sb_task **task);

/* Fills weights from model_name_or_path, or with fresh ones from the seed. */
int sb_task_load_weights(struct sb_task *task, struct sb_err *err);

/* Adds the sums of one slot of a training step.  Returns the number of samples, or -1. */
long sb_task_train_slot(struct sb_task *task, uint64_t step, uint32_t slot, struct sb_grad *grad,
                        struct sb_stats *stats, struct sb_err *err);

/*
 * The samples of one slot of a training step, by their number in the training data: valid until the
 * next call on the task.  0 where slots are made of something else (embed, setfit).
 */
size_t sb_task_train_samples(struct sb_task *task, uint64_t step, uint32_t slot,
                             const uint64_t **samples);

/*
 * A loss that compares the items of different slots.  Every slot publishes its vectors first; the
 * vectors of all slots, one after the other, are the step's group, and sb_task_set_group must have
 * seen it before the first sb_task_train_slot of the step.
 */
bool sb_task_grouped(const struct sb_task *task);
/* *vectors [rows, hidden_size], valid until the next call on the task.  Returns rows, or -1. */
long sb_task_publish_slot(struct sb_task *task, uint64_t step, uint32_t slot, float **vectors,
                          struct sb_err *err);
/* group [float_count] comes from other peers, and is copied.  SB_ERR_PEER: of a wrong size. */
int sb_task_set_group(struct sb_task *task, uint64_t step, const float *group, size_t float_count,
                      struct sb_err *err);

/*
 * mlm: what is masked at a step, counted from 0: mlm_probability at the first, mlm_probability_end
 * (where it is given) at the last, and a straight line in between.
 */
struct sb_mask_options sb_task_masks(const struct sb_task *task, uint64_t step);

/*
 * How many metric counts an evaluation slot adds: K*K, or for ner those of entities.h, or 0; for
 * setfit the numbers of its rows (setfit.h).  For embed it has rows too, SB_EVAL_SLOT_SAMPLES of
 * them (pair_items.h); those that it has no item for stay as they are.
 */
size_t sb_task_count_count(const struct sb_task *task);
/*
 * Adds the sums of one evaluation slot; counts[gold*K + predicted], or those of entities.h.  A
 * sentence belongs to the slot that its first window is in.
 */
int sb_task_eval_slot(struct sb_task *task, size_t eval_set, uint64_t slot, struct sb_stats *stats,
                      double *counts, struct sb_err *err);

/*
 * The rows of the word embeddings that slots of a step, or of an evaluation, read: rising, without
 * repeats, valid until the next call on the task.  Returns their number, or -1.
 */
long sb_task_train_rows(struct sb_task *task, uint64_t step, const uint32_t *slots,
                        size_t slot_count, uint32_t **rows, struct sb_err *err);
long sb_task_eval_rows(struct sb_task *task, size_t eval_set, uint64_t first_slot,
                       uint64_t end_slot, uint32_t **rows, struct sb_err *err);

/* Writes the model folder: model.safetensors, config.json and the tokenizer's files. */
int sb_task_export(const struct sb_task *task, const char *folder, struct sb_err *err);

#endif
