/* Tags of words: answers and evaluation, against plain definitions on a model of random weights. */
#include "support.h"

#include "arrays.h"
#include "evaluate.h"
#include "tagger.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { K = 5, WORDS_MAX = 400, BRUTE_WORDS = 6 };

static char *const LABELS[K] = {"O", "B-X", "I-X", "B-Y", "I-Y"};
static const char *const VOCABULARY[] = {"the",  "rain",    "players", "playing", "eating",
                                         "wins", "sun",     "snow",    "and",     "today",
                                         "eats", "unheard", "team",    "over"};
enum { VOCABULARY_COUNT = sizeof(VOCABULARY) / sizeof(VOCABULARY[0]) };

static struct sb_infer infer;

/* A random offset of all words alike would leave one tag to all of them. */
static void centre(size_t tensor, float value)
{
    const struct sb_tensor *t = &infer.bert.params.tensors[tensor];
    for (size_t i = 0; i < sb_tensor_count(t); i++)
        infer.weights[t->offset + i] = value;
}

static int set_up(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bert_config *config = &infer.bert.config;
    if (sb_wordpiece_open_folder(&infer.tokenizer, "tests/golden/commands/model", &err) < 0)
        return -1;
    sb_bert_config_defaults(config);
    config->vocab_size = sb_wordpiece_count(infer.tokenizer);
    config->hidden_size = 16;
    config->layer_count = 2;
    config->head_count = 2;
    config->intermediate_size = 32;
    config->max_positions = 24;
    sb_bert_config_set_labels(config, LABELS, K);
    sb_params_init(&infer.bert.params, config, SB_HEAD_TOKENS);
    infer.weights = sb_alloc_pages(infer.bert.params.float_count * sizeof(float));
    sb_test_fill(infer.weights, infer.bert.params.float_count, 13, -0.5, 0.5);
    centre(infer.bert.params.layers[1].out_ln_b, 0);
    centre(infer.bert.params.layers[1].out_ln_w, 1);
    centre(infer.bert.params.classifier_b, 0);
    infer.bert.weights = infer.weights;
    infer.pool = infer.bert.pool = sb_pool_new(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_infer_release(&infer);
    return 0;
}

/* A sentence of random words. */
struct sentence {
    struct sb_bytes text;
    struct sb_words words;
};

static void make_sentence(struct sentence *s, size_t count)
{
    *s = (struct sentence){.text = SB_BYTES_INIT, .words = SB_WORDS_INIT};
    for (size_t i = 0; i < count; i++)
        sb_bytes_printf(&s->text, "%s%s", i ? " " : "", VOCABULARY[rand() % VOCABULARY_COUNT]);
    sb_words_split(&s->words, s->text.data ? s->text.data : "", s->text.count);
    assert_int_equal(s->words.count, count);
}

static void drop_sentence(struct sentence *s)
{
    sb_bytes_release(&s->text);
    sb_words_release(&s->words);
}

static void add(struct sb_tagger *tagger, const struct sentence *s)
{
    sb_tagger_add(tagger, s->text.data ? s->text.data : "", s->words.items, s->words.count);
}

static void run(struct sb_tagger *tagger)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_tagger_run(tagger, &err) < 0)
        fail_msg("%s", err.text);
}

static struct sb_tagger *new_tagger(enum sb_aggregation aggregation, bool constrained)
{
    return sb_tagger_new(&infer, &(struct sb_tagger_options){.stride = 6,
                                                             .aggregation = aggregation,
                                                             .constrained = constrained});
}

static void every_word_has_a_tag_however_long_the_sentence(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 0, 300, 22, 23, 5, 60, 1, 399};
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_first, false);
    srand(1);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct sentence s;
        make_sentence(&s, counts[i]);
        add(tagger, &s);
        drop_sentence(&s);
    }
    run(tagger);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct sb_tagged tagged;
        sb_tagger_answer(tagger, i, &tagged);
        assert_int_equal(tagged.word_count, counts[i]);
        for (size_t w = 0; w < counts[i]; w++) {
            assert_true(tagged.tags[w] >= 0 && tagged.tags[w] < K);
            assert_true(tagged.scores[w] >= 1.0 / K && tagged.scores[w] <= 1);
        }
    }
    assert_int_equal(sb_tagger_cut_count(tagger), 0);
    sb_tagger_free(&tagger);
}

static void a_sentence_is_tagged_alike_in_any_company(void **state)
{
    (void)state;
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_average, false);
    struct sentence s, other;
    struct sb_tagged tagged;
    int32_t tags[40];
    double scores[40];
    srand(2);
    make_sentence(&s, 40);
    make_sentence(&other, 9);
    add(tagger, &s);
    run(tagger);
    sb_tagger_answer(tagger, 0, &tagged);
    memcpy(tags, tagged.tags, sizeof(tags));
    memcpy(scores, tagged.scores, sizeof(scores));
    sb_tagger_clear(tagger);
    add(tagger, &other);
    add(tagger, &s);
    add(tagger, &other);
    run(tagger);
    sb_tagger_answer(tagger, 1, &tagged);
    assert_memory_equal(tagged.tags, tags, sizeof(tags));
    for (size_t i = 0; i < 40; i++)
        assert_true(fabs(tagged.scores[i] - scores[i]) < 1e-5);
    drop_sentence(&s);
    drop_sentence(&other);
    sb_tagger_free(&tagger);
}

/* ---- the definitions, on a sentence that fits into one window ---- */

struct plain {
    double piece[24][K]; /* probabilities */
    uint32_t of_word[BRUTE_WORDS];
    size_t pieces;
};

static void score_plainly(struct plain *plain, const struct sentence *s)
{
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_pieces pieces = SB_PIECES_INIT;
    struct sb_specials specials = sb_wordpiece_specials(infer.tokenizer);
    int32_t ids[24], unknown[24];
    uint32_t starts[2] = {0}, rows[24];
    uint8_t types[24] = {0};
    uint64_t sample = 0;
    float logits[24 * K];
    sb_pieces_encode(&pieces, infer.tokenizer, s->text.data, s->words.items, s->words.count, 22);
    size_t n = plain->pieces = pieces.count;
    assert_true(n <= 22);
    ids[0] = specials.cls;
    ids[n + 1] = specials.sep;
    for (size_t i = 0; i < n; i++) {
        ids[i + 1] = pieces.ids[i];
        rows[i] = (uint32_t)i + 1;
        unknown[i] = -1;
    }
    memcpy(plain->of_word, pieces.of_word, s->words.count * sizeof(*plain->of_word));
    starts[1] = (uint32_t)n + 2;
    struct sb_batch batch = {.B = 1,
                             .N = n + 2,
                             .starts = starts,
                             .ids = ids,
                             .types = types,
                             .samples = &sample,
                             .target_count = n,
                             .target_rows = rows,
                             .target_ids = unknown};
    sb_bert_eval(&infer.bert, &batch, &arena, &(struct sb_outputs){.target_logits = logits}, NULL);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t k = 0; k < K; k++)
            sum += exp((double)logits[i * K + k]);
        for (size_t k = 0; k < K; k++)
            plain->piece[i][k] = exp((double)logits[i * K + k]) / sum;
    }
    sb_pieces_release(&pieces);
    sb_arena_release(&arena);
}

static size_t most(const double *row)
{
    size_t best = 0;
    for (size_t k = 1; k < K; k++)
        if (row[k] > row[best])
            best = k;
    return best;
}

static void word_probabilities(double *to, const struct plain *plain, size_t word,
                               enum sb_aggregation aggregation)
{
    size_t first = 0, count = plain->of_word[word], chosen;
    for (size_t w = 0; w < word; w++)
        first += plain->of_word[w];
    chosen = first;
    for (size_t k = 0; k < K; k++) {
        to[k] = 0;
        for (size_t i = first; i < first + count; i++)
            to[k] += plain->piece[i][k] / (double)count;
    }
    if (aggregation == SB_AGGREGATE_average)
        return;
    for (size_t i = first; aggregation == SB_AGGREGATE_max && i < first + count; i++)
        if (plain->piece[i][most(plain->piece[i])] >
            plain->piece[chosen][most(plain->piece[chosen])])
            chosen = i;
    memcpy(to, plain->piece[chosen], sizeof(plain->piece[chosen]));
}

static bool allowed(const char *before, const char *here)
{
    return here[0] != 'I' || (before[0] != 'O' && !strcmp(before + 1, here + 1));
}

/* The best of all K^n sequences that are allowed. */
static double best_sequence(int32_t *best, double p[][K], size_t n)
{
    double best_log = -INFINITY;
    size_t total = 1;
    for (size_t i = 0; i < n; i++)
        total *= K;
    for (size_t code = 0; code < total; code++) {
        int32_t tags[BRUTE_WORDS];
        double sum = 0;
        bool fine = true;
        size_t rest = code;
        for (size_t i = 0; i < n; i++, rest /= K) {
            tags[i] = (int32_t)(rest % K);
            sum += log(p[i][tags[i]]);
            fine = fine && allowed(i ? LABELS[tags[i - 1]] : "O", LABELS[tags[i]]);
        }
        if (fine && sum > best_log) {
            best_log = sum;
            memcpy(best, tags, n * sizeof(*tags));
        }
    }
    return best_log;
}

static void pieces_speak_for_words_as_defined(void **state)
{
    (void)state;
    srand(5);
    size_t constrained_differs = 0;
    for (int turn = 0; turn < 30; turn++) {
        struct sentence s;
        struct plain plain;
        make_sentence(&s, BRUTE_WORDS);
        score_plainly(&plain, &s);
        for (int a = SB_AGGREGATE_first; a <= SB_AGGREGATE_max; a++) {
            double p[BRUTE_WORDS][K];
            int32_t best[BRUTE_WORDS];
            struct sb_tagged tagged;
            for (size_t w = 0; w < BRUTE_WORDS; w++)
                word_probabilities(p[w], &plain, w, (enum sb_aggregation)a);
            for (int constrained = 0; constrained < 2; constrained++) {
                struct sb_tagger *tagger = new_tagger((enum sb_aggregation)a, constrained);
                add(tagger, &s);
                run(tagger);
                sb_tagger_answer(tagger, 0, &tagged);
                if (constrained)
                    best_sequence(best, p, BRUTE_WORDS);
                for (size_t w = 0; w < BRUTE_WORDS; w++) {
                    int32_t expected = constrained ? best[w] : (int32_t)most(p[w]);
                    assert_int_equal(tagged.tags[w], expected);
                    assert_true(fabs(tagged.scores[w] - p[w][expected]) < 1e-5);
                    constrained_differs += expected != (int32_t)most(p[w]);
                }
                sb_tagger_free(&tagger);
            }
        }
        drop_sentence(&s);
    }
    assert_true(constrained_differs > 0);
}

/* Every entity by hand: maximal runs of the tags, with the mean of their scores. */
static void entities_are_runs_of_tags_with_places_in_the_text(void **state)
{
    (void)state;
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_max, true);
    struct sentence s;
    struct sb_tagged tagged;
    srand(8);
    make_sentence(&s, 200);
    add(tagger, &s);
    run(tagger);
    sb_tagger_answer(tagger, 0, &tagged);
    size_t found = 0;
    for (size_t w = 0; w < 200; w++) {
        if (LABELS[tagged.tags[w]][0] != 'B')
            continue;
        size_t end = w + 1;
        double sum = tagged.scores[w];
        for (; end < 200 && LABELS[tagged.tags[end]][0] == 'I'; end++)
            sum += tagged.scores[end];
        assert_true(found < tagged.entity_count);
        const struct sb_tagged_entity *e = &tagged.entities[found++];
        assert_string_equal(e->type, LABELS[tagged.tags[w]] + 2);
        assert_true(e->first == w && e->end == end);
        assert_int_equal(e->first_char, s.words.items[w].first_char);
        assert_int_equal(e->end_char, s.words.items[end - 1].end_char);
        assert_true(fabs(e->score - sum / (double)(end - w)) < 1e-12);
    }
    assert_true(found > 3 && found == tagged.entity_count);
    drop_sentence(&s);
    sb_tagger_free(&tagger);
}

static void simple_entities_may_end_inside_a_word(void **state)
{
    (void)state;
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_simple, false);
    struct sentence s;
    struct plain plain;
    struct sb_tagged tagged;
    size_t inside = 0;
    srand(4);
    for (int turn = 0; turn < 40; turn++) {
        make_sentence(&s, BRUTE_WORDS);
        score_plainly(&plain, &s);
        add(tagger, &s);
        run(tagger);
        sb_tagger_answer(tagger, 0, &tagged);
        sb_tagger_clear(tagger);
        /* A piece of an entity for every piece with a tag, and no other. */
        size_t covered = 0, tagged_chars = 0, piece = 0;
        for (size_t i = 0; i < tagged.entity_count; i++) {
            const struct sb_tagged_entity *e = &tagged.entities[i];
            assert_true(e->first < e->end && e->first_char < e->end_char);
            inside += e->end_char != s.words.items[e->end - 1].end_char;
            for (uint32_t c = e->first_char; c < e->end_char; c++)
                covered += s.text.data[c] != ' ';
        }
        for (size_t w = 0; w < BRUTE_WORDS; w++) {
            struct sb_encoding one = {0};
            const struct sb_word *word = &s.words.items[w];
            sb_wordpiece_encode(infer.tokenizer, s.text.data + word->first, word->end - word->first,
                                &one);
            for (size_t i = 0; i < one.count; i++, piece++)
                if (most(plain.piece[piece]) != 0)
                    tagged_chars += one.offsets[i][1] - one.offsets[i][0];
            sb_encoding_release(&one);
        }
        assert_int_equal(covered, tagged_chars);
        drop_sentence(&s);
    }
    assert_true(inside > 0);
    sb_tagger_free(&tagger);
}

static void none_lists_every_tagged_word_by_itself(void **state)
{
    (void)state;
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_none, false);
    struct sentence s;
    struct sb_tagged tagged;
    size_t found = 0;
    srand(6);
    make_sentence(&s, 50);
    add(tagger, &s);
    run(tagger);
    sb_tagger_answer(tagger, 0, &tagged);
    for (size_t w = 0; w < 50; w++) {
        if (tagged.tags[w] == 0)
            continue;
        const struct sb_tagged_entity *e = &tagged.entities[found++];
        assert_true(e->first == w && e->end == w + 1 && e->score == tagged.scores[w]);
        assert_string_equal(e->type, LABELS[tagged.tags[w]]);
    }
    assert_true(found > 0 && found == tagged.entity_count);
    drop_sentence(&s);
    sb_tagger_free(&tagger);
}

/* ---- evaluation ---- */

/* Sentences of which some are windows, as a CoNLL file and as what the tagger says of them. */
static char *write_sentences(const char *dir, double *counts, const struct sb_tags *tags)
{
    struct sb_bytes file = SB_BYTES_INIT;
    struct sb_tagger *tagger = new_tagger(SB_AGGREGATE_first, false);
    srand(9);
    for (int i = 0; i < 60; i++) {
        struct sentence s;
        struct sb_tagged tagged;
        struct sb_entity scratch[2 * WORDS_MAX];
        int32_t gold[WORDS_MAX];
        make_sentence(&s, 1 + (size_t)rand() % (i % 5 ? 12 : 120));
        add(tagger, &s);
        run(tagger);
        sb_tagger_answer(tagger, 0, &tagged);
        sb_tagger_clear(tagger);
        for (size_t w = 0; w < s.words.count; w++) {
            const struct sb_word *word = &s.words.items[w];
            gold[w] = rand() % 2 ? tagged.tags[w] : rand() % K;
            /* The reader would make a B of it. */
            if (LABELS[gold[w]][0] == 'I' &&
                !allowed(w ? LABELS[gold[w - 1]] : "O", LABELS[gold[w]]))
                gold[w]--;
            sb_bytes_append(&file, s.text.data + word->first, word->end - word->first);
            sb_bytes_printf(&file, " %s\n", LABELS[gold[w]]);
        }
        sb_bytes_append_text(&file, "\n");
        sb_entities_count(counts, scratch, gold, tagged.tags, s.words.count, tags);
        drop_sentence(&s);
    }
    const char *path = sb_test_write(dir, "tags.txt", file.data);
    sb_bytes_release(&file);
    sb_tagger_free(&tagger);
    return (char *)(uintptr_t)path;
}

static void evaluation_counts_what_the_tagger_says_in_any_pieces(void **state)
{
    (void)state;
    struct sb_tags tags;
    struct sb_dataset *data;
    struct sb_err err = SB_ERR_INIT;
    struct sb_arena arena = SB_ARENA_INIT;
    double expected[64] = {0};
    const char *dir = sb_test_dir();
    sb_tags_init(&tags, LABELS, K);
    size_t count = sb_entity_count_count(tags.type_count);
    char *path = write_sentences(dir, expected, &tags);
    struct sb_dataset_options options = {
        .kind = SB_DATA_WORDS,
        .source = {.paths = &path, .path_count = 1, .labelled = true},
        .max_seq_length = 24,
        .stride = 6,
        .labels = LABELS,
        .label_count = K,
        .cache_dir = sb_test_path(dir, "cache"),
        .threads = 1,
    };
    if (sb_dataset_open(&data, infer.tokenizer, &options, &err) < 0)
        fail_msg("%s", err.text);
    uint64_t samples = sb_dataset_count(data);
    assert_true(samples > 80);
    static const uint64_t steps[] = {1000, 1, 7};
    for (size_t turn = 0; turn < 3; turn++) {
        double counts[64] = {0};
        struct sb_stats stats = {0};
        for (uint64_t first = 0; first < samples; first += steps[turn]) {
            uint64_t end = first + steps[turn] < samples ? first + steps[turn] : samples;
            if (sb_evaluate_tags(&infer.bert, data, infer.tokenizer, &tags, first, end,
                                 turn == 1 ? 1 : 200, &arena, &stats, counts, &err) < 0)
                fail_msg("%s", err.text);
        }
        for (size_t i = 0; i < count; i++)
            assert_true(counts[i] == expected[i]);
        assert_true(stats.samples == 60 && stats.targets == expected[SB_TOKENS_ALL]);
        assert_true(stats.correct == expected[SB_TOKENS_RIGHT]);
    }
    sb_dataset_free(&data);
    sb_arena_release(&arena);
    sb_tags_release(&tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_has_a_tag_however_long_the_sentence),
        cmocka_unit_test(a_sentence_is_tagged_alike_in_any_company),
        cmocka_unit_test(pieces_speak_for_words_as_defined),
        cmocka_unit_test(entities_are_runs_of_tags_with_places_in_the_text),
        cmocka_unit_test(simple_entities_may_end_inside_a_word),
        cmocka_unit_test(none_lists_every_tagged_word_by_itself),
        cmocka_unit_test(evaluation_counts_what_the_tagger_says_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
