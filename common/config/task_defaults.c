/* What a setting is for a task, where nobody says. */
#include "config.h"

#include "config_rows.h"

#include <string.h>

static const struct {
    const char *task, *key, *value;
} defaults[] = {
    {"setfit", "batch_size", "16"},          {"setfit", "num_train_epochs", "1"},
    {"setfit", "learning_rate", "2.0e-5"},   {"setfit", "warmup_ratio", "0.1"},
    {"setfit", "weight_decay", "0.01"},      {"setfit", "head_learning_rate", "0.01"},
    {"setfit", "loss", "cosine_similarity"},
    {"setfit", "distance_metric", "cosine"},
};

static void take(struct sb_job *job, const char *key, const char *value)
{
    const struct sb_row *row = sb_row_find(key);
    const struct sb_row_place place = {.name = key};
    struct sb_flat flat = SB_FLAT_INIT;
    struct sb_err err = SB_ERR_INIT;
    sb_assert(row);
    int rc = sb_flat_read_value(&flat, value, key, &err);
    if (rc == 0)
        rc = sb_row_assign(job, row, &flat.entries[0], &place, &err);
    sb_assert(rc == 0); /* the table above is ours */
    sb_flat_release(&flat);
}

void sb_job_settle(struct sb_job *job)
{
    if (!job->task)
        return;
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!strcmp(defaults[i].task, job->task) && !sb_job_given(job, defaults[i].key))
            take(job, defaults[i].key, defaults[i].value);
    /* A default does not stand against what somebody said. */
    bool no_warmup =
        sb_job_given(job, "warmup_steps") || !strcmp(job->lr_scheduler_type, "constant");
    if (no_warmup && !sb_job_given(job, "warmup_ratio"))
        job->warmup_ratio = 0;
    if (job->body_learning_rate >= 0 && !sb_job_given(job, "learning_rate"))
        job->learning_rate = job->body_learning_rate;
}
