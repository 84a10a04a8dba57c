#include "tagger.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sentence {
    size_t first_word, word_count;
    size_t first_piece;
};

/* Pieces of a window, counted over all that is gathered. */
struct range {
    size_t first, end, own_first, own_end;
};

/* Rows of an array that grows to the longest need. */
#define RESERVE(array, capacity, count)                                                            \
    ((array) = reserve((array), &(capacity), (count), sizeof(*(array))))

struct sb_tagger {
    const struct sb_infer *infer;
    struct sb_tagger_options options;
    struct sb_tags tags;
    size_t K, room, pass_tokens;
    struct sb_arena arena;
    struct sb_pieces pieces;
    struct sb_windows windows;
    uint64_t cut_count;

    struct sentence *sentences;
    size_t sentence_count, sentence_capacity;
    struct range *ranges;
    size_t range_count, range_capacity;
    struct sb_word *words;
    uint32_t *of_word; /* [word_count] pieces of each */
    size_t word_count, word_capacity, of_word_capacity;
    int32_t *ids;
    uint32_t (*offsets)[2];
    size_t piece_count, piece_capacity, offset_capacity;
    double *probabilities; /* [piece_count, K] */
    size_t probability_capacity;

    /* The answer in hand.  Units are words, or pieces. */
    double *unit_probabilities; /* [units, K] */
    size_t unit_capacity;
    int32_t *word_tags, *piece_tags;
    double *word_scores, *piece_scores;
    size_t word_tag_capacity, word_score_capacity, piece_tag_capacity, piece_score_capacity;
    struct sb_entity *found;
    struct sb_tagged_entity *entities;
    size_t found_capacity, entity_capacity;
    uint32_t *word_of_piece;
    size_t word_of_piece_capacity;
    double *best; /* [2, K] of Viterbi's search */
    uint32_t *from;
    size_t from_capacity;
};

static void *reserve(void *array, size_t *capacity, size_t count, size_t bytes)
{
    if (count <= *capacity)
        return array;
    *capacity = count + count / 2;
    return sb_realloc(array, *capacity * bytes);
}

bool sb_aggregation_find(enum sb_aggregation *aggregation, const char *name)
{
    static const char *const names[] = {
#define NAME(name) #name,
        SB_AGGREGATIONS(NAME)};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], name)) {
            *aggregation = (enum sb_aggregation)i;
            return true;
        }
    return false;
}

struct sb_tagger *sb_tagger_new(const struct sb_infer *infer,
                                const struct sb_tagger_options *options)
{
    const struct sb_bert_config *config = &infer->bert.config;
    struct sb_tagger *t = sb_calloc(1, sizeof(*t));
    size_t length = options->max_length && options->max_length < config->max_positions
                        ? options->max_length
                        : config->max_positions;
    t->infer = infer;
    t->options = *options;
    t->K = config->label_count;
    t->room = length - 2;
    t->pass_tokens = length > SB_INFER_PASS_TOKENS ? length : SB_INFER_PASS_TOKENS;
    t->best = sb_calloc(2 * t->K, sizeof(*t->best));
    sb_tags_init(&t->tags, config->labels, t->K);
    return t;
}

void sb_tagger_free(struct sb_tagger **tagger)
{
    struct sb_tagger *t = *tagger;
    if (!t)
        return;
    sb_tags_release(&t->tags);
    sb_arena_release(&t->arena);
    sb_pieces_release(&t->pieces);
    sb_windows_release(&t->windows);
    free(t->sentences);
    free(t->ranges);
    free(t->words);
    free(t->of_word);
    free(t->ids);
    free(t->offsets);
    free(t->probabilities);
    free(t->unit_probabilities);
    free(t->word_tags);
    free(t->word_scores);
    free(t->piece_tags);
    free(t->piece_scores);
    free(t->found);
    free(t->entities);
    free(t->word_of_piece);
    free(t->best);
    free(t->from);
    free(t);
    *tagger = NULL;
}

bool sb_tagger_full(const struct sb_tagger *t)
{
    return t->piece_count + t->room > t->pass_tokens;
}

void sb_tagger_clear(struct sb_tagger *t)
{
    t->sentence_count = t->range_count = t->word_count = t->piece_count = 0;
}

uint64_t sb_tagger_cut_count(const struct sb_tagger *t)
{
    return t->cut_count;
}

/* ---- gathering ---- */

static void add_ranges(struct sb_tagger *t)
{
    const uint32_t *of_word = t->pieces.of_word;
    size_t word = 0, piece = t->piece_count;
    RESERVE(t->ranges, t->range_capacity, t->range_count + t->windows.count);
    for (size_t i = 0; i < t->windows.count; i++) {
        const struct sb_window *window = &t->windows.items[i];
        while (word < window->first)
            piece += of_word[word++];
        struct range range = {.first = piece, .end = piece};
        for (size_t w = window->first; w < window->end; w++) {
            if (w == window->own_first)
                range.own_first = range.end;
            range.end += of_word[w];
            if (w + 1 == window->own_end)
                range.own_end = range.end;
        }
        if (window->own_first < window->own_end)
            t->ranges[t->range_count++] = range;
    }
}

void sb_tagger_add(struct sb_tagger *t, const char *text, const struct sb_word *words, size_t count)
{
    sb_pieces_encode(&t->pieces, t->infer->tokenizer, text, words, count, t->room);
    sb_windows_cut(&t->windows, t->pieces.of_word, count, t->room, t->options.stride);
    add_ranges(t);
    t->cut_count += t->pieces.cut_count;

    RESERVE(t->sentences, t->sentence_capacity, t->sentence_count + 1);
    t->sentences[t->sentence_count++] = (struct sentence){
        .first_word = t->word_count, .word_count = count, .first_piece = t->piece_count};
    size_t word_end = t->word_count + count, piece_end = t->piece_count + t->pieces.count;
    RESERVE(t->words, t->word_capacity, word_end + 1);
    RESERVE(t->of_word, t->of_word_capacity, word_end + 1);
    RESERVE(t->ids, t->piece_capacity, piece_end + 1);
    RESERVE(t->offsets, t->offset_capacity, piece_end + 1);
    if (count) {
        memcpy(t->words + t->word_count, words, count * sizeof(*words));
        memcpy(t->of_word + t->word_count, t->pieces.of_word, count * sizeof(*t->of_word));
        memcpy(t->ids + t->piece_count, t->pieces.ids, t->pieces.count * sizeof(*t->ids));
        memcpy(t->offsets + t->piece_count, t->pieces.offsets,
               t->pieces.count * sizeof(*t->offsets));
    }
    t->word_count = word_end;
    t->piece_count = piece_end;
}

/* ---- scoring ---- */

static void softmax(double *to, const float *logits, size_t K)
{
    double max = logits[0], sum = 0;
    for (size_t k = 1; k < K; k++)
        max = logits[k] > max ? logits[k] : max;
    for (size_t k = 0; k < K; k++)
        sum += to[k] = exp(logits[k] - max);
    for (size_t k = 0; k < K; k++)
        to[k] /= sum;
}

static size_t range_tokens(const struct range *range)
{
    return range->end - range->first + 2;
}

/* [CLS] pieces [SEP] of each range; targets are the pieces that the ranges decide. */
static void fill_batch(struct sb_batch *batch, struct sb_tagger *t, const struct range *ranges,
                       size_t count, size_t tokens)
{
    struct sb_specials specials = sb_wordpiece_specials(t->infer->tokenizer);
    uint32_t *starts = sb_arena_array(&t->arena, uint32_t, count + 1);
    int32_t *ids = sb_arena_array(&t->arena, int32_t, tokens);
    uint8_t *types = sb_arena_array(&t->arena, uint8_t, tokens);
    uint64_t *samples = sb_arena_array(&t->arena, uint64_t, count);
    uint32_t *rows = sb_arena_array(&t->arena, uint32_t, tokens);
    int32_t *unknown = sb_arena_array(&t->arena, int32_t, tokens);
    size_t N = 0, targets = 0;
    memset(types, 0, tokens * sizeof(*types));
    for (size_t b = 0; b < count; b++) {
        starts[b] = (uint32_t)N;
        samples[b] = b;
        ids[N++] = specials.cls;
        for (size_t i = ranges[b].first; i < ranges[b].end; i++, N++) {
            ids[N] = t->ids[i];
            if (i < ranges[b].own_first || i >= ranges[b].own_end)
                continue;
            rows[targets] = (uint32_t)N;
            unknown[targets++] = -1;
        }
        ids[N++] = specials.sep;
    }
    starts[count] = (uint32_t)N;
    *batch = (struct sb_batch){.B = count,
                               .N = N,
                               .starts = starts,
                               .ids = ids,
                               .types = types,
                               .samples = samples,
                               .target_count = targets,
                               .target_rows = rows,
                               .target_ids = unknown};
}

static int run_ranges(struct sb_tagger *t, const struct range *ranges, size_t count, size_t tokens,
                      struct sb_err *err)
{
    struct sb_batch batch;
    sb_arena_reset(&t->arena);
    fill_batch(&batch, t, ranges, count, tokens);
    if (sb_bert_check(&t->infer->bert, &batch, err) < 0)
        return -1;
    float *logits = sb_arena_array(&t->arena, float, batch.target_count * t->K);
    struct sb_outputs outputs = {.target_logits = logits};
    sb_bert_eval(&t->infer->bert, &batch, &t->arena, &outputs, NULL);
    for (size_t b = 0; b < count; b++)
        for (size_t i = ranges[b].own_first; i < ranges[b].own_end; i++, logits += t->K)
            softmax(t->probabilities + i * t->K, logits, t->K);
    return 0;
}

int sb_tagger_run(struct sb_tagger *t, struct sb_err *err)
{
    RESERVE(t->probabilities, t->probability_capacity, t->piece_count * t->K);
    for (size_t first = 0, end; first < t->range_count; first = end) {
        size_t tokens = range_tokens(&t->ranges[first]);
        for (end = first + 1; end < t->range_count; end++) {
            if (tokens + range_tokens(&t->ranges[end]) > t->pass_tokens)
                break;
            tokens += range_tokens(&t->ranges[end]);
        }
        if (run_ranges(t, t->ranges + first, end - first, tokens, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- tags ---- */

static size_t best_of(const double *row, size_t K)
{
    size_t best = 0;
    for (size_t k = 1; k < K; k++)
        if (row[k] > row[best])
            best = k;
    return best;
}

/* Probabilities of a word from those of its pieces. */
static void aggregate(double *to, const struct sb_tagger *t, const double *pieces, size_t count)
{
    size_t K = t->K, surest = 0;
    if (t->options.aggregation == SB_AGGREGATE_average) {
        for (size_t k = 0; k < K; k++) {
            to[k] = 0;
            for (size_t i = 0; i < count; i++)
                to[k] += pieces[i * K + k];
            to[k] /= (double)count;
        }
        return;
    }
    for (size_t i = 1; i < count && t->options.aggregation == SB_AGGREGATE_max; i++)
        if (pieces[i * K + best_of(pieces + i * K, K)] >
            pieces[surest * K + best_of(pieces + surest * K, K)])
            surest = i;
    memcpy(to, pieces + surest * K, K * sizeof(*to));
}

/* The most probable sequence of tags in which each may follow the one before (Viterbi, 1967). */
static void search(int32_t *tags, struct sb_tagger *t, const double *probabilities, size_t n)
{
    size_t K = t->K;
    double *best = t->best, *next = t->best + K;
    RESERVE(t->from, t->from_capacity, n * K);
    for (size_t k = 0; k < K; k++)
        best[k] = sb_tags_may_follow(&t->tags, -1, (int32_t)k) ? log(probabilities[k]) : -INFINITY;
    for (size_t i = 1; i < n; i++) {
        for (size_t k = 0; k < K; k++) {
            size_t from = SIZE_MAX;
            for (size_t j = 0; j < K; j++)
                if (sb_tags_may_follow(&t->tags, (int32_t)j, (int32_t)k) &&
                    (from == SIZE_MAX || best[j] > best[from]))
                    from = j;
            t->from[i * K + k] = from == SIZE_MAX ? 0 : (uint32_t)from;
            next[k] = from == SIZE_MAX ? -INFINITY : best[from] + log(probabilities[i * K + k]);
        }
        double *swap = best;
        best = next;
        next = swap;
    }
    size_t k = best_of(best, K);
    for (size_t i = n; i-- > 0; k = t->from[i * K + k]) {
        tags[i] = (int32_t)k;
        if (i == 0)
            break;
    }
}

static void decide(int32_t *tags, double *scores, struct sb_tagger *t, const double *probabilities,
                   size_t n)
{
    if (t->options.constrained && n)
        search(tags, t, probabilities, n);
    for (size_t i = 0; i < n; i++) {
        if (!t->options.constrained)
            tags[i] = (int32_t)best_of(probabilities + i * t->K, t->K);
        scores[i] = probabilities[i * t->K + (size_t)tags[i]];
    }
}

static void decide_words(struct sb_tagger *t, const struct sentence *s)
{
    size_t n = s->word_count, piece = s->first_piece;
    RESERVE(t->unit_probabilities, t->unit_capacity, n * t->K + 1);
    RESERVE(t->word_tags, t->word_tag_capacity, n + 1);
    RESERVE(t->word_scores, t->word_score_capacity, n + 1);
    for (size_t w = 0; w < n; w++) {
        size_t count = t->of_word[s->first_word + w];
        aggregate(t->unit_probabilities + w * t->K, t, t->probabilities + piece * t->K, count);
        piece += count;
    }
    decide(t->word_tags, t->word_scores, t, t->unit_probabilities, n);
}

/* ---- entities ---- */

static double mean(const double *scores, size_t first, size_t end)
{
    double sum = 0;
    for (size_t i = first; i < end; i++)
        sum += scores[i];
    return sum / (double)(end - first);
}

static size_t word_entities(struct sb_tagger *t, const struct sentence *s)
{
    const struct sb_word *words = t->words + s->first_word;
    size_t count =
        sb_entities_find(t->found, t->word_tags, s->word_count, &t->tags, SB_ENTITIES_DEFAULT);
    for (size_t i = 0; i < count; i++) {
        const struct sb_entity *e = &t->found[i];
        t->entities[i] = (struct sb_tagged_entity){
            .type = t->tags.type_names[e->type],
            .score = mean(t->word_scores, e->first, e->end),
            .first = e->first,
            .end = e->end,
            .first_char = (uint32_t)words[e->first].first_char,
            .end_char = (uint32_t)words[e->end - 1].end_char,
        };
    }
    return count;
}

static size_t lone_words(struct sb_tagger *t, const struct sentence *s)
{
    const struct sb_word *words = t->words + s->first_word;
    size_t count = 0;
    for (size_t w = 0; w < s->word_count; w++) {
        if (t->tags.prefixes[t->word_tags[w]] == 'O')
            continue;
        t->entities[count++] = (struct sb_tagged_entity){
            .type = t->infer->bert.config.labels[t->word_tags[w]],
            .score = t->word_scores[w],
            .first = (uint32_t)w,
            .end = (uint32_t)w + 1,
            .first_char = (uint32_t)words[w].first_char,
            .end_char = (uint32_t)words[w].end_char,
        };
    }
    return count;
}

static size_t piece_entities(struct sb_tagger *t, const struct sentence *s, size_t n)
{
    RESERVE(t->piece_tags, t->piece_tag_capacity, n + 1);
    RESERVE(t->piece_scores, t->piece_score_capacity, n + 1);
    RESERVE(t->word_of_piece, t->word_of_piece_capacity, n + 1);
    for (size_t w = 0, piece = 0; w < s->word_count; w++)
        for (size_t i = 0; i < t->of_word[s->first_word + w]; i++)
            t->word_of_piece[piece++] = (uint32_t)w;
    decide(t->piece_tags, t->piece_scores, t, t->probabilities + s->first_piece * t->K, n);
    size_t count = sb_entities_find(t->found, t->piece_tags, n, &t->tags, SB_ENTITIES_DEFAULT);
    for (size_t i = 0; i < count; i++) {
        const struct sb_entity *e = &t->found[i];
        t->entities[i] = (struct sb_tagged_entity){
            .type = t->tags.type_names[e->type],
            .score = mean(t->piece_scores, e->first, e->end),
            .first = t->word_of_piece[e->first],
            .end = t->word_of_piece[e->end - 1] + 1,
            .first_char = t->offsets[s->first_piece + e->first][0],
            .end_char = t->offsets[s->first_piece + e->end - 1][1],
        };
    }
    return count;
}

void sb_tagger_answer(struct sb_tagger *t, size_t index, struct sb_tagged *tagged)
{
    sb_assert(index < t->sentence_count);
    const struct sentence *s = &t->sentences[index];
    size_t pieces = 0;
    for (size_t w = 0; w < s->word_count; w++)
        pieces += t->of_word[s->first_word + w];
    RESERVE(t->found, t->found_capacity, pieces + 1);
    RESERVE(t->entities, t->entity_capacity, pieces + 1);
    decide_words(t, s);
    size_t count = t->options.aggregation == SB_AGGREGATE_none     ? lone_words(t, s)
                   : t->options.aggregation == SB_AGGREGATE_simple ? piece_entities(t, s, pieces)
                                                                   : word_entities(t, s);
    *tagged = (struct sb_tagged){
        .word_count = s->word_count,
        .tags = t->word_tags,
        .scores = t->word_scores,
        .entities = t->entities,
        .entity_count = count,
    };
}
