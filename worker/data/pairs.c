#include "pairs.h"

#include "arena.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Rounds of SB_RNG_SAMPLE: each list has an order of its own. */
enum { ROUND_SAME = 0x70616972, ROUND_OTHER, GROUPS_MAX = 4096 };

/* ---- numbering ---- */

/* Pairs first < second of n things, or first <= second.  n < 2^32, so it fits. */
static uint64_t triangle(uint64_t n, bool diagonal)
{
    if (diagonal)
        n++;
    return n % 2 ? n * ((n - 1) / 2) : n / 2 * (n - 1);
}

/*
 * The largest m with triangle(m) <= k: pairs (., m) begin there.  The square root is off by one at
 * most where a double cannot hold k; the integers put it right.
 */
static uint64_t triangle_row(uint64_t k, bool diagonal)
{
    uint64_t m = (uint64_t)sqrt(2.0 * (double)k);
    while (triangle(m, diagonal) > k)
        m--;
    while (triangle(m + 1, diagonal) <= k)
        m++;
    return m;
}

void sb_pair_kind_at(const struct sb_pair_kind *kind, uint64_t k, uint64_t *first, uint64_t *second)
{
    sb_assert(k < kind->count);
    size_t low = 0, high = kind->block_count - 1; /* the first block that ends after k */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kind->ends[middle] <= k)
            low = middle + 1;
        else
            high = middle;
    }
    const struct sb_pair_block *block = &kind->blocks[low];
    k -= low ? kind->ends[low - 1] : 0;
    if (block->shape == SB_PAIR_RECTANGLE) {
        *first = block->first_begin + k % block->first_count;
        *second = block->second_begin + k / block->first_count;
    } else {
        bool diagonal = block->shape == SB_PAIR_TRIANGLE_DIAGONAL;
        uint64_t row = triangle_row(k, diagonal);
        *first = block->second_begin + k - triangle(row, diagonal);
        *second = block->second_begin + row;
    }
}

struct sb_pair sb_pairs_at(const struct sb_pairs *pairs, uint64_t k)
{
    sb_assert(k < pairs->count);
    uint64_t same = pairs->same.taken, other = pairs->other.taken;
    uint64_t in_turns = same < other ? same : other;
    struct sb_pair pair;
    if (k < 2 * in_turns) {
        pair.same = k % 2 == 0;
        k /= 2;
    } else {
        pair.same = same > other;
        k -= in_turns;
    }
    const struct sb_pair_kind *kind = pair.same ? &pairs->same : &pairs->other;
    k = sb_rng_permute(&kind->order, kind->count, k % kind->count);
    sb_pair_kind_at(kind, k, &pair.first, &pair.second);
    return pair;
}

/* ---- building ---- */

static uint64_t pairs_of(const struct sb_pair_block *block)
{
    return block->shape == SB_PAIR_RECTANGLE
               ? block->first_count * block->second_count
               : triangle(block->second_count, block->shape == SB_PAIR_TRIANGLE_DIAGONAL);
}

/* Grows the arrays by doubling: their room is the next power of two. */
static void add_block(struct sb_pair_kind *kind, struct sb_pair_block block)
{
    uint64_t added = pairs_of(&block);
    if (added == 0)
        return;
    size_t count = kind->block_count;
    if ((count & (count - 1)) == 0) {
        size_t room = count ? 2 * count : 1;
        kind->blocks = sb_realloc(kind->blocks, room * sizeof(*kind->blocks));
        kind->ends = sb_realloc(kind->ends, room * sizeof(*kind->ends));
    }
    kind->count += added;
    kind->blocks[count] = block;
    kind->ends[count] = kind->count;
    kind->block_count++;
}

static int count_texts(struct sb_pairs *pairs, const uint64_t *sizes, size_t count,
                       struct sb_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] > UINT32_MAX - pairs->text_count)
            return sb_err_set(err, SB_ERR_CONFIG, "pairs: more than %" PRIu32 " texts", UINT32_MAX);
        pairs->text_count += sizes[i];
    }
    if (pairs->text_count < 2)
        return sb_err_set(err, SB_ERR_DATA, "pairs: %" PRIu64 " text%s: a pair needs two",
                          pairs->text_count, pairs->text_count == 1 ? "" : "s");
    return 0;
}

/* How many pairs of each kind the strategy takes. */
static int apply_strategy(struct sb_pairs *pairs, const struct sb_pair_options *options,
                          struct sb_err *err)
{
    uint64_t same = pairs->same.count, other = pairs->other.count;
    uint64_t each = 0;
    switch (options->strategy) {
    case SB_PAIRS_OVERSAMPLING:
        each = same > other ? same : other;
        break;
    case SB_PAIRS_UNDERSAMPLING:
        if (same == 0 || other == 0)
            return sb_err_set(err, SB_ERR_DATA,
                              "pairs: undersampling takes as many pairs of each kind as there are "
                              "of the rarer, and no two texts are of %s",
                              same == 0 ? "one class" : "different classes");
        each = same < other ? same : other;
        break;
    case SB_PAIRS_UNIQUE:
        break;
    case SB_PAIRS_ITERATIONS:
        if (options->iterations == 0)
            return sb_err_set(err, SB_ERR_CONFIG, "pairs: num_iterations is 0, not 1 or more");
        each = options->iterations * pairs->text_count; /* 32 bits each */
        break;
    }
    bool unique = options->strategy == SB_PAIRS_UNIQUE;
    pairs->same.taken = same == 0 ? 0 : unique ? same : each;
    pairs->other.taken = other == 0 ? 0 : unique ? other : each;
    if (pairs->same.taken > INT64_MAX / 2 || pairs->other.taken > INT64_MAX / 2)
        return sb_err_set(err, SB_ERR_CONFIG, "pairs: more than can be numbered");
    pairs->count = pairs->same.taken + pairs->other.taken;
    pairs->same.order = sb_rng_key(options->seed, SB_RNG_SAMPLE, ROUND_SAME);
    pairs->other.order = sb_rng_key(options->seed, SB_RNG_SAMPLE, ROUND_OTHER);
    if (pairs->count == 0)
        return sb_err_set(err, SB_ERR_DATA, "pairs: there is none");
    return 0;
}

static enum sb_pair_shape inside_a_class(const struct sb_pair_options *options)
{
    return options->self_pairs ? SB_PAIR_TRIANGLE_DIAGONAL : SB_PAIR_TRIANGLE;
}

static int finish(struct sb_pairs *pairs, const struct sb_pair_options *options, struct sb_err *err)
{
    if (apply_strategy(pairs, options, err) == 0)
        return 0;
    sb_pairs_release(pairs);
    return -1;
}

int sb_pairs_init(struct sb_pairs *pairs, const uint64_t *class_sizes, size_t class_count,
                  const struct sb_pair_options *options, struct sb_err *err)
{
    *pairs = (struct sb_pairs)SB_PAIRS_INIT;
    if (count_texts(pairs, class_sizes, class_count, err) < 0)
        return -1;
    enum sb_pair_shape inside = inside_a_class(options);
    uint64_t begin = 0;
    for (size_t c = 0; c < class_count; c++) {
        struct sb_pair_block block = {
            .first_count = begin, .second_begin = begin, .second_count = class_sizes[c]};
        add_block(&pairs->other, block);
        block.shape = inside;
        add_block(&pairs->same, block);
        begin += class_sizes[c];
    }
    return finish(pairs, options, err);
}

static bool sets_meet(const uint64_t *a, const uint64_t *b, size_t words)
{
    for (size_t i = 0; i < words; i++)
        if (a[i] & b[i])
            return true;
    return false;
}

/*
 * Group b with each one before it, and with itself.  Neighbours that answer alike become one block,
 * so that disjoint labels cost no more than classes do.
 */
int sb_pairs_init_shared(struct sb_pairs *pairs, const uint64_t *group_sizes,
                         const uint64_t *label_sets, size_t group_count, size_t words,
                         const struct sb_pair_options *options, struct sb_err *err)
{
    *pairs = (struct sb_pairs)SB_PAIRS_INIT;
    if (group_count > GROUPS_MAX)
        return sb_err_set(err, SB_ERR_CONFIG,
                          "pairs: %zu different sets of labels are more than %d", group_count,
                          GROUPS_MAX);
    if (count_texts(pairs, group_sizes, group_count, err) < 0)
        return -1;
    enum sb_pair_shape inside = inside_a_class(options);
    uint64_t begin = 0;
    for (size_t b = 0; b < group_count; b++) {
        const uint64_t *set = label_sets + b * words;
        struct sb_pair_block run = {.second_begin = begin, .second_count = group_sizes[b]};
        bool run_meets = false;
        for (size_t a = 0; a < b; a++) {
            bool meets = sets_meet(label_sets + a * words, set, words);
            if (meets != run_meets) {
                add_block(run_meets ? &pairs->same : &pairs->other, run);
                run.first_begin += run.first_count;
                run.first_count = 0;
                run_meets = meets;
            }
            run.first_count += group_sizes[a];
        }
        add_block(run_meets ? &pairs->same : &pairs->other, run);
        /* Texts without a label share nothing, not even with themselves. */
        bool labelled = sets_meet(set, set, words);
        run.shape = labelled ? inside : SB_PAIR_TRIANGLE;
        add_block(labelled ? &pairs->same : &pairs->other, run);
        begin += group_sizes[b];
    }
    return finish(pairs, options, err);
}

static void release_kind(struct sb_pair_kind *kind)
{
    free(kind->blocks);
    free(kind->ends);
}

void sb_pairs_release(struct sb_pairs *pairs)
{
    release_kind(&pairs->same);
    release_kind(&pairs->other);
    *pairs = (struct sb_pairs)SB_PAIRS_INIT;
}
