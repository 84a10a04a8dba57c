#include "sim_toy.h"

#include "adamw.h"
#include "arena.h"
#include "nodes.h"
#include "schedule.h"
#include "support.h"
#include "vec.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_OF_A_SLOT = 3, EMPTY_STEP = 3, STEPS_OF_AN_EPOCH = 4 };

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x632be59bd9b4e019);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static float noise(uint64_t key)
{
    return (float)((double)(key >> 11) * 0x1p-52 - 1.0);
}

static void add_span(struct toy *toy, uint64_t rows, uint64_t cols, bool decay, bool trainable)
{
    toy->spans[toy->span_count++] = (struct sb_span){.rows = rows,
                                                     .cols = cols,
                                                     .decay = decay,
                                                     .trainable = trainable,
                                                     .offset = toy->float_count};
    toy->float_count += rows * cols;
}

/* Frozen tensors stand between the others, so that small ones do not share a part and every server
 * gets some. */
void toy_init(struct toy *toy, const struct sim_options *options)
{
    *toy = (struct toy){.options = options};
    toy->rows = options->big ? 160 : 40;
    toy->cols = options->big ? 4096 : 6;
    add_span(toy, 3, 5, false, false);
    toy->sparse = (uint32_t)toy->span_count;
    toy->at = toy->float_count;
    add_span(toy, toy->rows, toy->cols, true, true);
    toy->spans[toy->sparse].row_sparse = !options->dense;
    add_span(toy, 1, 4, false, false);
    add_span(toy, 9, 7, true, true);
    add_span(toy, 1, 7, false, true);
    add_span(toy, 2, 2, false, false);
    add_span(toy, 5, 5, true, true);
    add_span(toy, 1, 1, false, false);
    add_span(toy, 1, 33, false, true);
}

void toy_first_weights(const struct toy *toy, float *weights)
{
    for (size_t i = 0; i < toy->float_count; i++)
        weights[i] = noise(mix(17, i));
}

static bool slot_is_empty(uint64_t step, uint32_t slot)
{
    return step == EMPTY_STEP || mix(step + 100, slot) % 5 == 0;
}

static void mark_rows(const struct toy *toy, uint64_t key, uint8_t *touched)
{
    for (uint64_t i = 0; i < ROWS_OF_A_SLOT; i++)
        touched[mix(key, i) % toy->rows] = 1;
}

void toy_rows(const struct toy *toy, uint64_t step, uint32_t node, uint8_t *touched)
{
    uint32_t slots = toy->options->slots, first = sb_node_first_slot(node, slots);
    for (uint32_t slot = first; slot < first + sb_node_slot_count(node, slots); slot++)
        if (!slot_is_empty(step, slot))
            mark_rows(toy, mix(step, slot), touched);
}

bool toy_nonfinite(const struct toy *toy, uint64_t step)
{
    const struct sim_options *o = toy->options;
    uint64_t count = o->nonfinite_steps ? o->nonfinite_steps : 1;
    return o->nonfinite_at && step + 1 >= o->nonfinite_at && step + 1 < o->nonfinite_at + count;
}

/* As many rows as the slot has samples; of the row-sparse tensor only the slot's rows are read. */
size_t toy_vectors(const struct toy *toy, uint64_t step, uint32_t slot, const float *weights,
                   float vectors[TOY_ROWS_MAX * TOY_VECTOR])
{
    if (slot_is_empty(step, slot))
        return 0;
    uint64_t key = mix(step, slot);
    size_t count = (1 + key % 3) * TOY_VECTOR;
    const float *dense = weights + toy->spans[3].offset;
    for (size_t i = 0; i < count; i++) {
        uint64_t row = mix(key, i % ROWS_OF_A_SLOT) % toy->rows;
        vectors[i] = noise(mix(key, 1000 + i)) + dense[i] + weights[toy->at + row * toy->cols];
    }
    if (toy_nonfinite(toy, step))
        vectors[0] = NAN;
    return count;
}

/* Every sample counts, and where it stands. */
static float compare(struct toy_group group)
{
    float sum = 0;
    for (size_t i = 0; i < group.count; i++)
        sum += group.floats[i] * (0.5f + 0.01f * (float)i);
    return sum;
}

static bool toy_slot(const struct toy *toy, uint64_t step, uint32_t slot, const float *weights,
                     struct toy_group group, float *grad, uint8_t *touched, struct sb_stats *stats)
{
    *stats = (struct sb_stats){0};
    if (slot_is_empty(step, slot))
        return false;
    uint64_t key = mix(step, slot);
    mark_rows(toy, key, touched);
    stats->samples = 1 + (double)(key % 3);
    stats->tokens = 7 * stats->samples;
    stats->targets = 2 * stats->samples;
    for (size_t s = 0; s < toy->span_count; s++) {
        const struct sb_span *span = &toy->spans[s];
        for (size_t i = 0; i < span->rows * span->cols && span->trainable; i++) {
            size_t at = span->offset + i;
            if (s == toy->sparse && !touched[i / span->cols])
                continue;
            grad[at] = (float)stats->targets *
                       (0.3f * weights[at] + noise(mix(key, at)) + 0.1f * compare(group));
            stats->loss += 1e-3 * (double)weights[at] * (double)weights[at];
        }
    }
    stats->loss += 1 + noise(key);
    if (toy_nonfinite(toy, step))
        grad[toy->spans[3].offset] = NAN;
    return true;
}

bool toy_node(const struct toy *toy, uint64_t step, uint32_t node, const float *weights,
              struct toy_group group, float *grad, uint8_t *touched, struct sb_stats *stats)
{
    uint32_t slots = toy->options->slots;
    memset(grad, 0, toy->float_count * sizeof(*grad));
    memset(touched, 0, toy->rows);
    if (node >= slots)
        return toy_slot(toy, step, node - slots, weights, group, grad, touched, stats);
    float *right = sb_alloc(toy->float_count * sizeof(*right));
    uint8_t *right_touched = sb_alloc(toy->rows);
    struct sb_stats right_stats;
    bool here = toy_node(toy, step, 2 * node, weights, group, grad, touched, stats);
    bool there =
        toy_node(toy, step, 2 * node + 1, weights, group, right, right_touched, &right_stats);
    for (size_t i = 0; i < toy->float_count && there; i++)
        grad[i] = here ? grad[i] + right[i] : right[i];
    for (size_t i = 0; i < toy->rows; i++)
        touched[i] |= right_touched[i];
    sb_stats_add(stats, &right_stats);
    free(right_touched);
    free(right);
    return here || there;
}

void toy_evaluation_rows(const struct toy *toy, uint64_t slot, uint8_t *touched)
{
    mark_rows(toy, mix(999, slot), touched);
}

void toy_evaluate(const struct toy *toy, uint64_t slot, const float *weights,
                  struct sb_stats *stats, double counts[TOY_LABELS * TOY_LABELS])
{
    uint8_t *touched = sb_calloc(toy->rows, 1);
    toy_evaluation_rows(toy, slot, touched);
    *stats = (struct sb_stats){.samples = 3, .tokens = 30, .targets = 3};
    for (size_t i = 0; i < toy->float_count; i++) {
        bool in_sparse = i >= toy->at && i < toy->at + toy->rows * toy->cols;
        if (!in_sparse || touched[(i - toy->at) / toy->cols])
            stats->loss += (double)weights[i] * (double)weights[i];
    }
    for (size_t i = 0; i < TOY_LABELS * TOY_LABELS; i++)
        counts[i] = (double)(mix(slot, i) % 4);
    stats->correct = counts[0] + counts[3];
    free(touched);
}

static void set(struct sb_job *job, const char *assignment)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_job_set(job, assignment, &err) < 0)
        fail_msg("%s: %s", assignment, err.text);
}

void toy_job(struct sb_job *job, const struct sim_options *options)
{
    char text[128];
    sb_job_init(job);
    set(job, "learning_rate=0.01");
    set(job, "warmup_steps=2");
    set(job, "push_timeout_ms=100");
    set(job, "join_timeout_s=20");
    set(job, "step_timeout_s=30");
    bool stalls = options->freezes || options->hangs;
    set(job, stalls ? "worker_timeout_s=25" : "worker_timeout_s=2");
    snprintf(text, sizeof(text), "max_workers=%u", options->workers + options->joiners);
    set(job, text);
    set(job, stalls ? "speculate_after_s=0.2" : "speculate_after_s=2");
    set(job, "logging_steps=3");
    set(job, "max_grad_norm=1.5");
    set(job, "output_dir=/sim");
    snprintf(text, sizeof(text), "weight_decay=%g", options->weight_decay);
    set(job, text);
    snprintf(text, sizeof(text), "save_steps=%" PRIu64, options->save_steps);
    set(job, text);
    if (options->skip_nonfinite)
        set(job, "nan_policy=skip");
    if (options->keep_first) {
        set(job, "load_best_model_at_end=true");
        set(job, "metric_for_best_model=accuracy");
    }
}

/* ---- the reference: a loop ---- */

static void update_span(const struct toy *toy, const struct sb_job *job, const struct sb_span *span,
                        uint64_t step, uint64_t number, double scale, float *weights,
                        float *moments, const float *grad)
{
    size_t count = span->rows * span->cols, n = toy->float_count, at = span->offset;
    double rate = sb_schedule_rate(job, step, toy->options->steps);
    struct sb_adamw adamw = sb_adamw_at(rate, span->decay ? job->weight_decay : 0, job->adam_beta1,
                                        job->adam_beta2, job->adam_epsilon, number, scale);
    sb_adamw_apply(weights + at, moments + at, moments + n + at, weights + at, grad + at, count,
                   &adamw);
}

static double norm_of(const struct toy *toy, const float *grad)
{
    struct sb_parts parts;
    double sum = 0;
    sb_parts_init(&parts, toy->spans, toy->span_count, 1);
    for (size_t i = 0; i < parts.count; i++)
        if (parts.parts[i].trainable)
            sum += sb_norm2_rows(grad + parts.parts[i].offset, parts.parts[i].rows,
                                 parts.parts[i].cols);
    sb_parts_release(&parts);
    return sqrt(sum);
}

static struct toy_group group_of(const struct toy *toy, uint64_t step, const float *weights,
                                 float *floats)
{
    struct toy_group group = {.floats = floats};
    for (uint32_t slot = 0; toy->options->grouped && slot < toy->options->slots; slot++)
        group.count += toy_vectors(toy, step, slot, weights, floats + group.count);
    return group;
}

void sim_reference(const struct sim_options *options, struct sim_result *result)
{
    struct toy toy;
    struct sb_job job;
    toy_init(&toy, options);
    toy_job(&job, options);
    size_t n = toy.float_count;
    *result = (struct sim_result){.float_count = n, .step_count = options->steps};
    result->weights = sb_alloc(n * sizeof(float));
    result->steps = sb_calloc(options->steps, sizeof(*result->steps));
    float *grad = sb_alloc(n * sizeof(float)), *moments = sb_calloc(2 * n, sizeof(float));
    float *floats = sb_alloc(options->slots * TOY_ROWS_MAX * TOY_VECTOR * sizeof(*floats));
    uint8_t *touched = sb_alloc(toy.rows);
    uint64_t number = 0;
    toy_first_weights(&toy, result->weights);
    for (uint64_t step = 0; step < options->steps; step++) {
        struct sb_stats stats;
        struct toy_group group = group_of(&toy, step, result->weights, floats);
        toy_node(&toy, step, 1, result->weights, group, grad, touched, &stats);
        if (options->skip_nonfinite && toy_nonfinite(&toy, step))
            stats = (struct sb_stats){0};
        double targets = stats.targets, norm = targets > 0 ? norm_of(&toy, grad) / targets : 0;
        double clip = fmin(1.0, job.max_grad_norm / (norm + 1e-6));
        result->steps[step] =
            (struct sim_step){.loss = targets > 0 ? stats.loss / targets : 0,
                              .grad_norm = norm,
                              .rate = sb_schedule_rate(&job, step, options->steps),
                              .targets = targets};
        if (targets == 0)
            continue;
        number++;
        for (size_t s = 0; s < toy.span_count; s++)
            if (toy.spans[s].trainable)
                update_span(&toy, &job, &toy.spans[s], step, number, clip / targets,
                            result->weights, moments, grad);
    }
    free(floats);
    free(touched);
    free(moments);
    free(grad);
    sb_job_release(&job);
}
