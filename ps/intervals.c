#include "intervals.h"

#include "arena.h"
#include "interval.h"
#include "sums.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS_MAX = 512,
    /* The scores of a draw cost K^2: beyond this, an evaluation would be a matter of seconds. */
    CLASSES_MAX = 200,
};

uint64_t sb_block_slots(uint64_t slot_count)
{
    uint64_t slots = 1;
    while (slot_count / slots > BLOCKS_MAX)
        slots *= 2;
    return slots;
}

/* ---- the numbers of an object, in the order of the results ---- */

static size_t count_reals(const json_t *results)
{
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)results, key, value)
    {
        count += json_is_object(value) ? count_reals(value) : json_is_real(value);
    }
    return count;
}

/* NAN for what the other object lacks: an infinite perplexity, a mean of nothing. */
static double *take_reals(double *values, const json_t *results, const json_t *drawn)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)results, key, value)
    {
        const json_t *other = json_object_get(drawn, key);
        if (json_is_object(value))
            values = take_reals(values, value, other);
        else if (json_is_real(value))
            *values++ = json_is_real(other) ? json_real_value(other) : NAN;
    }
    return values;
}

/* ---- draws ---- */

struct bootstrap {
    const struct sb_intervals *intervals;
    struct sb_confusion_draws confusion;
    bool blocks_usable, confusion_usable;
    size_t cell_count;
    double *sums; /* [width + K*K] */
};

/* What cannot be drawn is no number, and so is every score that is made of it. */
static void draw_sums(struct bootstrap *b, uint32_t number)
{
    const struct sb_blocks *blocks = b->intervals->blocks;
    double *cells = b->sums + blocks->width;
    for (size_t i = 0; i < blocks->width + b->cell_count; i++)
        b->sums[i] = NAN;
    if (b->blocks_usable)
        sb_block_draw(b->sums, blocks->sums, blocks->count, blocks->width, SB_BOOTSTRAP_SEED,
                      number);
    if (b->confusion_usable)
        sb_confusion_draw(cells, &b->confusion, number);
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && !strcmp(text + bytes - end_bytes, end);
}

/* Of examples that are right or wrong, Wilson's interval is better, above all near 0 and 1. */
static bool is_share(const struct bootstrap *b, const char *key)
{
    return b->cell_count && (ends_with(key, "accuracy") || ends_with(key, "_micro"));
}

static struct sb_interval interval_of(const struct bootstrap *b, const char *key, double *values)
{
    const struct sb_intervals *in = b->intervals;
    struct sb_interval interval = {0};
    /* A score of a classification that is no function of the loss comes from examples. */
    bool of_examples = b->cell_count && !ends_with(key, "loss");
    if (is_share(b, key))
        return sb_interval_of_score(in->confusion, in->class_count, "accuracy", SB_BOOTSTRAP_SEED);
    if (of_examples && !b->confusion_usable)
        return interval;
    for (size_t draw = 0; draw < SB_BOOTSTRAP_DRAWS; draw++)
        if (!isfinite(values[draw]))
            return interval;
    sb_percentile_interval(&interval.low, &interval.high, values, SB_BOOTSTRAP_DRAWS,
                           of_examples ? 0.025 : sb_bootstrap_tail(in->blocks->count));
    interval.method = "bootstrap";
    return interval;
}

/* columns [*column + ..., SB_BOOTSTRAP_DRAWS] */
static json_t *beside(const struct bootstrap *b, const json_t *results, double *columns,
                      size_t *column)
{
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)results, key, value)
    {
        if (json_is_object(value)) {
            json_object_set_new(out, key, beside(b, value, columns, column));
            continue;
        }
        json_object_set(out, key, value);
        if (!json_is_real(value))
            continue;
        struct sb_interval interval =
            interval_of(b, key, columns + (*column)++ * SB_BOOTSTRAP_DRAWS);
        char name[320];
        snprintf(name, sizeof(name), "%.300s_ci", key);
        if (interval.method)
            json_object_set_new(out, name, json_pack("[ff]", interval.low, interval.high));
    }
    return out;
}

static double most_samples(const struct sb_blocks *blocks)
{
    double most = 0;
    for (size_t i = 0; i < blocks->count; i++)
        most = fmax(most, blocks->sums[i * blocks->width + SB_SUM_SAMPLES]);
    return most;
}

static void say_how(char *words, size_t bytes, const struct bootstrap *b)
{
    const struct sb_intervals *in = b->intervals;
    char blocks[128];
    if (b->blocks_usable)
        snprintf(blocks, sizeof(blocks), "bootstrap of %zu blocks of %.0f samples, %d draws",
                 in->blocks->count, most_samples(in->blocks), SB_BOOTSTRAP_DRAWS);
    else
        snprintf(blocks, sizeof(blocks), "none (%zu blocks of %.0f samples are fewer than %d)",
                 in->blocks->count, most_samples(in->blocks), SB_BOOTSTRAP_BLOCKS_MIN);
    if (!b->cell_count)
        snprintf(words, bytes, "95 %% intervals: %s", blocks);
    else if (in->class_count > CLASSES_MAX)
        snprintf(words, bytes,
                 "95 %% intervals: accuracy and micro averages Wilson; the others none: more than "
                 "%d classes",
                 CLASSES_MAX);
    else
        snprintf(words, bytes,
                 "95 %% intervals: accuracy and micro averages Wilson; loss %s; the others %s",
                 blocks, b->confusion_usable ? "bootstrap of the samples" : "none: no samples");
}

json_t *sb_intervals_beside(const json_t *results, const struct sb_intervals *in, char *words,
                            size_t words_bytes)
{
    bool few_classes = in->class_count <= CLASSES_MAX;
    struct bootstrap b = {.intervals = in,
                          .blocks_usable =
                              few_classes && in->blocks->count >= SB_BOOTSTRAP_BLOCKS_MIN};
    size_t score_count = count_reals(results), column = 0;
    if (in->confusion) {
        b.cell_count = in->class_count * in->class_count;
        b.confusion_usable =
            few_classes && sb_confusion_draws_init(&b.confusion, in->confusion, in->class_count,
                                                   SB_BOOTSTRAP_SEED);
    }
    double *columns = sb_alloc((score_count + 1) * SB_BOOTSTRAP_DRAWS * sizeof(*columns));
    double *row = sb_alloc((score_count + 1) * sizeof(*row));
    b.sums = sb_alloc((in->blocks->width + b.cell_count) * sizeof(*b.sums));
    bool any = b.blocks_usable || b.confusion_usable;
    for (size_t i = 0; !any && i < score_count * SB_BOOTSTRAP_DRAWS; i++)
        columns[i] = NAN;
    for (uint32_t draw = 0; any && draw < SB_BOOTSTRAP_DRAWS; draw++) {
        draw_sums(&b, draw);
        json_t *drawn = in->describe(b.sums, in->context);
        take_reals(row, results, drawn);
        for (size_t i = 0; i < score_count; i++)
            columns[i * SB_BOOTSTRAP_DRAWS + draw] = row[i];
        json_decref(drawn);
    }
    json_t *out = beside(&b, results, columns, &column);
    say_how(words, words_bytes, &b);
    sb_confusion_draws_release(&b.confusion);
    free(columns);
    free(row);
    free(b.sums);
    return out;
}
