#include "traffic.h"

#include "arena.h"
#include "nodes.h"

#include <stdlib.h>

/* Rows of the word embeddings that an average step touches, from the first steps. */
static double average_rows(struct sb_task *task, struct sb_err *err)
{
    uint32_t *slots = sb_alloc(task->slots * sizeof(*slots)), *rows;
    uint64_t steps = task->steps_per_epoch < 8 ? task->steps_per_epoch : 8;
    double sum = 0;
    for (uint32_t s = 0; s < task->slots; s++)
        slots[s] = s;
    for (uint64_t step = 0; step < steps && sum >= 0; step++) {
        long count = sb_task_train_rows(task, step, slots, task->slots, &rows, err);
        sum = count < 0 ? -1 : sum + (double)count;
    }
    free(slots);
    return sum < 0 ? -1 : sum / (double)steps;
}

static void add_moves(struct sb_traffic *traffic, const struct sb_task *task)
{
    uint32_t workers = task->job->workers ? task->job->workers : 1, nodes[64];
    for (uint32_t w = 0; w < workers; w++)
        traffic->pushed_nodes += sb_nodes_deal(nodes, task->slots, w, workers);
    traffic->weight_bytes = 4 * traffic->trained * workers + 4 * traffic->rows;
    traffic->push_bytes = 4 * traffic->trained * (double)traffic->pushed_nodes + 4 * traffic->rows;
}

int sb_traffic_plan(struct sb_traffic *traffic, struct sb_task *task, struct sb_err *err)
{
    const struct sb_params *params = &task->bert.params;
    *traffic = (struct sb_traffic){0};
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        double count = (double)sb_tensor_count(tensor);
        if (!tensor->trainable) {
            traffic->frozen += count;
        } else if (tensor->row_sparse) {
            double rows = average_rows(task, err);
            if (rows < 0)
                return -1;
            traffic->rows += rows * (double)tensor->cols;
        } else {
            traffic->trained += count;
        }
    }
    add_moves(traffic, task);
    return 0;
}

uint64_t sb_trained_count(const struct sb_task *task)
{
    uint64_t trained = 0;
    for (size_t i = 0; i < task->bert.params.count; i++)
        if (task->bert.params.tensors[i].trainable)
            trained += sb_tensor_count(&task->bert.params.tensors[i]);
    return trained;
}
