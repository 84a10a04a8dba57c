/*
 * Writes the batches of a job's first steps as safetensors, so that another program can train on
 * the very same samples and masks:  dump_batches JOB.yaml STEPS OUT.safetensors Per step t: t.ids
 * [N], t.types [N], t.starts [B+1], t.target_rows and t.target_ids [targets], t.labels [B].
 */
#include "safetensors.h"
#include "task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
    char name[64];
    enum sb_dtype dtype;
    size_t count, bytes;
    const void *data;
};

static size_t pieces_of_step(struct piece pieces[6], const struct sb_batch *batch, uint64_t step)
{
    const struct {
        const char *name;
        enum sb_dtype dtype;
        size_t count, width;
        const void *data;
    } all[6] = {
        {"ids", SB_I32, batch->N, 4, batch->ids},
        {"types", SB_U8, batch->N, 1, batch->types},
        {"starts", SB_I32, batch->B + 1, 4, batch->starts},
        {"target_rows", SB_I32, batch->target_count, 4, batch->target_rows},
        {"target_ids", SB_I32, batch->target_count, 4, batch->target_ids},
        {"labels", SB_I32, batch->labels ? batch->B : 0, 4, batch->labels},
    };
    for (size_t i = 0; i < 6; i++) {
        pieces[i] = (struct piece){.dtype = all[i].dtype,
                                   .count = all[i].count,
                                   .bytes = all[i].count * all[i].width,
                                   .data = all[i].data};
        snprintf(pieces[i].name, sizeof(pieces[i].name), "%" PRIu64 ".%s", step, all[i].name);
    }
    return 6;
}

static int collate_step(struct sb_batch *batch, struct sb_task *task, uint64_t step,
                        struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    uint64_t n = sb_dataset_count(task->train), epoch = step / task->steps_per_epoch;
    uint64_t first = step % task->steps_per_epoch * job->batch_size;
    size_t count = n - first < job->batch_size ? n - first : job->batch_size;
    uint64_t *samples = sb_arena_array(arena, uint64_t, count);
    struct sb_rng masks = sb_rng_key(job->seed, SB_RNG_MASK, epoch);
    struct sb_stats stats = {0};
    for (size_t i = 0; i < count; i++)
        samples[i] = sb_dataset_order(task->train, job->seed, epoch, job->shuffle, first + i);
    return sb_collate(batch, task->train, task->tokenizer, samples, count,
                      task->mlm ? &task->masks : NULL, &masks, arena, &stats, err);
}

static int dump(struct sb_task *task, uint64_t steps, const char *path, struct sb_err *err)
{
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_st_writer writer = {0};
    struct piece *pieces = sb_calloc(steps * 6, sizeof(*pieces));
    size_t count = 0;
    int rc = sb_st_writer_begin(&writer, path, err);
    for (uint64_t step = 0; rc == 0 && step < steps; step++) {
        struct sb_batch batch;
        rc = collate_step(&batch, task, step, &arena, err);
        if (rc == 0)
            count += pieces_of_step(pieces + count, &batch, step);
    }
    for (size_t i = 0; rc == 0 && i < count; i++)
        sb_st_writer_describe(&writer, pieces[i].name, pieces[i].dtype, &pieces[i].count, 1);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = sb_st_writer_data(&writer, pieces[i].data, pieces[i].bytes, err);
    if (rc == 0)
        rc = sb_st_writer_commit(&writer, err);
    sb_st_writer_abort(&writer);
    free(pieces);
    sb_arena_release(&arena);
    return rc;
}

int main(int argc, char **argv)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_job job;
    struct sb_task *task = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: dump_batches JOB.yaml STEPS OUT.safetensors\n");
        return SB_ERR_USAGE;
    }
    sb_job_init(&job);
    struct sb_pool *pool = sb_pool_new(1);
    int rc = -1;
    if (sb_job_read(&job, argv[1], &err) == 0 && sb_job_check(&job, &err) == 0 &&
        sb_dir_make(job.output_dir, &err) == 0 &&
        sb_task_open(&task, &job, pool, NULL, NULL, &err) == 0)
        rc = dump(task, strtoull(argv[2], NULL, 10), argv[3], &err);
    if (rc < 0)
        fprintf(stderr, "dump_batches: %s\n", err.text);
    sb_task_free(&task);
    sb_pool_free(&pool);
    sb_job_release(&job);
    return rc < 0 ? (int)err.code : 0;
}
