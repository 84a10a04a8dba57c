/*
 * `shardbert plan JOB.yaml`: what the job will take before it is started: what is trained, steps,
 * bytes per step, memory of each role.  It prepares the data (the cache is the job's own) and reads
 * no weights.
 */
#include "commands.h"

#include "nodes.h"
#include "parts.h"
#include "role.h"
#include "traffic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double mebibytes(double bytes)
{
    return bytes / 1048576.0;
}

/* "after 400": frozen in the first 400 steps. */
static const char *when_trained(char text[32], const struct sb_tensor *tensor, uint64_t steps)
{
    if (!tensor->trainable)
        return "no";
    if (!tensor->from_step)
        return tensor->row_sparse ? "by rows" : "yes";
    if (tensor->from_step >= steps)
        return "never";
    snprintf(text, 32, "after %" PRIu64, tensor->from_step);
    return text;
}

/* Of what is trained later: the traffic of the first steps is less by that. */
static double frozen_at_first(const struct sb_params *params)
{
    double count = 0;
    for (size_t i = 0; i < params->count; i++)
        if (params->tensors[i].trainable && params->tensors[i].from_step)
            count += (double)sb_tensor_count(&params->tensors[i]);
    return count;
}

static void print_tensors(const struct sb_params *params, uint64_t steps)
{
    printf("%-64s %16s %10s\n", "tensor", "shape", "trained");
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        char shape[48], when[32];
        if (tensor->is_vector)
            snprintf(shape, sizeof(shape), "%zu", tensor->cols);
        else
            snprintf(shape, sizeof(shape), "%zu x %zu", tensor->rows, tensor->cols);
        printf("%-64s %16s %10s\n", tensor->name, shape, when_trained(when, tensor, steps));
    }
}

static void print_steps(const struct sb_task *task)
{
    double n = (double)task->train_count, tokens = (double)task->train_tokens;
    printf("\nsamples %.0f, tokens %.0f (%.1f a sample), cut to %zu tokens: %" PRIu64 "\n", n,
           tokens, tokens / n, task->max_seq_length, sb_dataset_truncated_count(task->train));
    printf("steps %" PRIu64 " (%" PRIu64
           " an epoch), %u samples and about %.0f tokens a step, %u slots\n",
           task->total_steps, task->steps_per_epoch, task->job->batch_size,
           tokens / n * task->job->batch_size, task->slots);
}

static void print_traffic(const struct sb_task *task, const struct sb_traffic *traffic)
{
    printf("\nbytes a step, all workers: push %.2f MiB (%zu nodes), weights %.2f MiB; once: %.2f "
           "MiB for each worker\n",
           mebibytes(traffic->push_bytes), traffic->pushed_nodes, mebibytes(traffic->weight_bytes),
           mebibytes(4.0 * (double)task->bert.params.float_count));
}

static void print_memory(const struct sb_task *task, const struct sb_parts *parts)
{
    const struct sb_bert_config *c = &task->bert.config;
    const struct sb_params *params = &task->bert.params;
    double flat = 4 * (double)params->float_count, buffers = sb_node_depth(task->slots) + 1;
    double pass = task->job->max_tokens_per_pass;
    double per_token = (double)c->layer_count *
                           (12.0 * (double)c->hidden_size + 2.0 * (double)c->intermediate_size) +
                       6.0 * (double)c->hidden_size;
    double attention =
        (double)c->layer_count * (double)c->head_count * (double)task->max_seq_length;
    double activations = 4 * pass * (per_token + attention);
    printf("\nworker: weights %.1f MiB, gradients up to %.0f x %.1f MiB, activations of a pass at "
           "most about %.1f MiB\n",
           mebibytes(flat), buffers, mebibytes(flat), mebibytes(activations));
    for (uint32_t s = 0; s < parts->server_count; s++) {
        double trained = 0, frozen = 0;
        for (size_t p = 0; p < parts->count; p++)
            if (parts->parts[p].owner == s)
                *(parts->parts[p].trainable ? &trained : &frozen) += (double)parts->parts[p].count;
        printf("server %u: weights and moments %.1f MiB, sums of a step up to %.1f MiB\n", s,
               mebibytes(12 * trained + 4 * frozen), mebibytes(8 * trained));
    }
}

static int plan(struct sb_role *role, struct sb_err *err)
{
    struct sb_task *task = NULL;
    struct sb_parts parts = {0};
    struct sb_traffic traffic;
    size_t span_count;
    const struct sb_job *job = &role->args.job;
    if (sb_task_open(&task, job, role->pool, sb_report_prepare, &role->report, err) < 0)
        return -1;
    struct sb_span *spans = sb_spans_of_task(task, &span_count);
    sb_parts_init(&parts, spans, span_count, job->servers ? job->servers : 1);
    int rc = sb_traffic_plan(&traffic, task, err);
    if (rc == 0) {
        print_tensors(&task->bert.params, task->total_steps);
        printf("\nparameters %zu in %zu parts; trained in every step %.0f, by rows %.0f of them in "
               "a step, frozen %.0f\n",
               task->bert.params.float_count, parts.count, traffic.trained, traffic.rows,
               traffic.frozen);
        if (frozen_at_first(&task->bert.params) > 0)
            printf("frozen at first %.0f, counted below as trained\n",
                   frozen_at_first(&task->bert.params));
        print_steps(task);
        print_traffic(task, &traffic);
        print_memory(task, &parts);
        rc = sb_cmd_finish_output(err);
    }
    sb_parts_release(&parts);
    free(spans);
    sb_task_free(&task);
    return rc;
}

int sb_cmd_plan(int argc, char **argv)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_role role;
    if (sb_role_begin(&role, "plan", argc, argv, &err) < 0)
        return sb_role_exit((int)err.code, &err);
    int rc = sb_dir_make(role.args.job.output_dir, &err) < 0 ? -1 : plan(&role, &err);
    sb_role_end(&role);
    return sb_role_exit(rc < 0 ? (int)err.code : 0, &err);
}
