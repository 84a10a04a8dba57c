/*
 * Tokens a second of training passes (forward, loss, backward; no optimizer) on one process.
 *
 *     bench_model [shape [task [threads [seconds]]]]
 *
 * shape tiny, mini, small, base or all; task mlm, classify or both; threads 0: the usable cores.
 * Lengths are log-normal with median 0.45 S, cut to [8, S] (S = 128), 15 % of the words masked: the
 * batches that the goals of the project were set on.  Dropout 0.1.
 */
#include "bert.h"
#include "clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    const char *name;
    size_t L, C, H, F, B;
};

static const struct shape shapes[] = {
    {"tiny", 2, 128, 2, 512, 32},
    {"mini", 4, 256, 4, 1024, 32},
    {"small", 4, 512, 8, 2048, 8},
    {"base", 12, 768, 12, 3072, 8},
};

enum { VOCAB = 30522, LONGEST = 128 };

static double normal(struct sb_rng *rng, uint64_t i)
{
    uint32_t words[4];
    sb_rng_draw(rng, i, 0, 0, words);
    return sqrt(-2.0 * log(sb_rng_unit(words[0]))) * cos(6.283185307179586 * sb_rng_unit(words[1]));
}

static struct sb_batch make_batch(size_t B, bool mlm)
{
    struct sb_rng rng = sb_rng_key(7, SB_RNG_SAMPLE, 0);
    uint32_t *starts = sb_calloc(B + 1, sizeof(*starts));
    uint64_t *samples = sb_calloc(B, sizeof(*samples));
    int32_t *labels = sb_calloc(B, sizeof(*labels));
    for (size_t b = 0; b < B; b++) {
        double length = 0.45 * LONGEST * exp(0.6 * normal(&rng, b));
        length = length < 8 ? 8 : length > LONGEST ? LONGEST : length;
        starts[b + 1] = starts[b] + (uint32_t)length;
        samples[b] = b;
        labels[b] = (int32_t)(b % 2);
    }
    size_t N = starts[B], targets = 0;
    int32_t *ids = sb_calloc(N, sizeof(*ids)), *gold = sb_calloc(N, sizeof(*gold));
    uint32_t *rows = sb_calloc(N, sizeof(*rows));
    for (size_t row = 0; row < N; row++) {
        uint32_t words[4];
        sb_rng_draw(&rng, row, 1, 0, words);
        ids[row] = (int32_t)sb_rng_below(words[0], VOCAB);
        if (mlm && sb_rng_unit(words[1]) < 0.15) {
            rows[targets] = (uint32_t)row;
            gold[targets++] = (int32_t)sb_rng_below(words[2], VOCAB);
        }
    }
    return (struct sb_batch){.B = B,
                             .N = N,
                             .starts = starts,
                             .ids = ids,
                             .types = sb_calloc(N, 1),
                             .samples = samples,
                             .target_count = targets,
                             .target_rows = rows,
                             .target_ids = gold,
                             .labels = mlm ? NULL : labels};
}

static void free_batch(struct sb_batch *batch)
{
    free((void *)batch->starts);
    free((void *)batch->ids);
    free((void *)batch->types);
    free((void *)batch->samples);
    free((void *)batch->target_rows);
    free((void *)batch->target_ids);
    free((void *)batch->labels);
}

static void measure(const struct shape *shape, bool mlm, size_t threads, double seconds)
{
    struct sb_bert bert = {.pool = sb_pool_new(threads)};
    struct sb_bert_config *config = &bert.config;
    sb_bert_config_defaults(config);
    config->vocab_size = VOCAB;
    config->layer_count = shape->L;
    config->hidden_size = shape->C;
    config->head_count = shape->H;
    config->intermediate_size = shape->F;
    config->label_count = 2;
    sb_params_init(&bert.params, config, mlm ? SB_HEAD_MLM : SB_HEAD_CLASSIFY);
    float *weights = sb_alloc_pages(bert.params.float_count * sizeof(float));
    sb_params_fill(weights, &bert.params, config, 1, 0, bert.params.count);
    bert.weights = weights;
    struct sb_batch batch = make_batch(shape->B, mlm);
    struct sb_arena arena = SB_ARENA_INIT;
    sb_arena_init(&arena, 1 << 20);
    struct sb_grad grad;
    sb_grad_init(&grad, &bert.params);

    double best = INFINITY, start = sb_clock_seconds();
    size_t passes = 0;
    struct sb_stats stats = {0};
    for (double now = start; passes < 3 || now - start < seconds; passes++) {
        struct sb_rng dropout = sb_rng_key(1, SB_RNG_DROPOUT, passes);
        sb_arena_reset(&arena);
        sb_grad_clear(&grad, &bert.params, bert.pool);
        sb_bert_train(&bert, &batch, &dropout, &arena, &grad, &stats);
        double end = sb_clock_seconds();
        best = passes > 0 && end - now < best ? end - now : best;
        now = end;
    }
    double mean = (sb_clock_seconds() - start) / (double)passes;
    printf("shape=%s task=%s threads=%zu sequences=%zu tokens=%zu targets=%zu passes=%zu "
           "mean_ms=%.1f best_ms=%.1f mean_tokens_per_second=%.0f best_tokens_per_second=%.0f "
           "arena_mib=%.0f loss=%.4f\n",
           shape->name, mlm ? "mlm" : "classify", sb_pool_thread_count(bert.pool), batch.B, batch.N,
           batch.target_count, passes, mean * 1e3, best * 1e3, (double)batch.N / mean,
           (double)batch.N / best, (double)arena.peak_bytes / 1048576.0,
           stats.loss / stats.targets);
    fflush(stdout);
    sb_grad_release(&grad, &bert.params);
    sb_arena_release(&arena);
    free_batch(&batch);
    sb_free_pages(weights, bert.params.float_count * sizeof(float));
    sb_params_release(&bert.params);
    sb_pool_free(&bert.pool);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "all", *task = argc > 2 ? argv[2] : "both";
    size_t threads = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 0;
    double seconds = argc > 4 ? strtod(argv[4], NULL) : 2.0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(name, "all") != 0 && strcmp(name, shapes[i].name) != 0)
            continue;
        if (strcmp(task, "classify") != 0)
            measure(&shapes[i], true, threads, seconds);
        if (strcmp(task, "mlm") != 0)
            measure(&shapes[i], false, threads, seconds);
    }
    return 0;
}
