/*
 * Steps of sentence embeddings against a plain loop: one text at a time, all vectors, the loss of
 * embed_losses.h over lists that are written here, and back again text by text.
 */
#include "embedding.h"

#include "arrays.h"
#include "bert_golden.h"
#include "dataset.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { C = 24, ITEMS = 19, BATCH = 8, TEXT_MAX = 8, SEED = 3, ROWS_MAX = BATCH * SB_ITEM_TEXTS };

/* ---- texts and items ---- */

/* Every fifth text repeats the one before it. */
static uint64_t told_by(uint64_t text)
{
    return text % 5 == 4 ? text - 1 : text;
}

static uint32_t text_length(const void *context, uint64_t text)
{
    (void)context;
    return 2 + (uint32_t)(told_by(text) * 7 % (TEXT_MAX - 2));
}

static int read_text(const void *context, uint64_t text, int32_t *ids, struct sb_err *err)
{
    if (text == UINT64_MAX)
        return sb_err_set(err, SB_ERR_DATA, "no such text");
    for (uint32_t i = 0; i < text_length(context, text); i++)
        ids[i] = 1 + (int32_t)((told_by(text) * 31 + i * 17 + i * i) % 50);
    return 0;
}

/* context: the texts of an item. */
static int make_item(const void *context, uint64_t epoch, uint64_t k, struct sb_item *item,
                     struct sb_err *err)
{
    uint32_t text_count = *(const uint32_t *)context;
    (void)err;
    *item = (struct sb_item){.text_count = text_count, .gold = (float)(k % 3) * 0.5F};
    for (uint32_t t = 0; t < text_count; t++) {
        item->texts[t] = 100 * epoch + text_count * k + t;
        item->class_ids[t] = (k + t) % 4 == 3 ? -1 : (int32_t)(k / 2 % 3);
    }
    return 0;
}

/* ---- the model ---- */

struct model {
    struct sb_bert bert;
    float *weights;
    struct sb_arena arena;
    struct sb_grad grad;
};

static void open_model(struct model *m, size_t threads)
{
    struct sb_bert_config config;
    sb_bert_config_defaults(&config);
    config.vocab_size = 53;
    config.hidden_size = C;
    config.layer_count = 2;
    config.head_count = 3;
    config.intermediate_size = 40;
    config.max_positions = TEXT_MAX;
    config.hidden_dropout = 0.1;
    config.attention_dropout = 0.1;
    *m = (struct model){0};
    sb_bert_config_copy(&m->bert.config, &config);
    sb_params_init(&m->bert.params, &config, 0);
    m->bert.params.tensors[m->bert.params.word].row_sparse = false;
    m->weights = sb_alloc_pages(m->bert.params.float_count * sizeof(float));
    sb_test_fill(m->weights, m->bert.params.float_count, 5, -0.3, 0.3);
    m->bert.weights = m->weights;
    m->bert.pool = sb_pool_new(threads);
    sb_arena_init(&m->arena, 4096);
    sb_grad_init(&m->grad, &m->bert.params);
}

static void close_model(struct model *m)
{
    sb_grad_release(&m->grad, &m->bert.params);
    sb_arena_release(&m->arena);
    sb_pool_free(&m->bert.pool);
    sb_free_pages(m->weights, m->bert.params.float_count * sizeof(float));
    sb_params_release(&m->bert.params);
    sb_bert_config_release(&m->bert.config);
}

/* ---- the cases: every loss with the items that it takes ---- */

struct loss_case {
    const char *loss;
    uint32_t text_count;
    enum sb_embed_metric metric;
    double margin; /* -1: the loss's own, which is given_margin */
    double given_margin;
    bool has_classes;
};

static const struct loss_case cases[] = {
    {"cosine_similarity", 2, SB_EMBED_COSINE, -1, 0, false},
    {"contrastive", 2, SB_EMBED_COSINE, -1, 0.5, false},
    {"online_contrastive", 2, SB_EMBED_COSINE, -1, 0.5, false},
    {"cosent", 2, SB_EMBED_COSINE, -1, 0, false},
    {"triplet", 3, SB_EMBED_EUCLIDEAN, -1, 5, false},
    {"triplet", 3, SB_EMBED_COSINE, 0.4, 0.4, false},
    {"batch_hard_triplet", 1, SB_EMBED_COSINE, -1, 0.25, false},
    {"batch_hard_triplet", 1, SB_EMBED_EUCLIDEAN, 3, 3, false},
    {"multiple_negatives_ranking", 2, SB_EMBED_COSINE, -1, 0, false},
    {"multiple_negatives_ranking", 3, SB_EMBED_COSINE, -1, 0, false},
    {"multiple_negatives_ranking", 2, SB_EMBED_COSINE, -1, 0, true},
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

static void open_embedding(struct sb_embedding *embedding, const struct loss_case *c,
                           uint32_t slots, size_t pass_tokens)
{
    struct sb_embedding_options options = {.metric = c->metric,
                                           .margin = c->margin,
                                           .scale = 20,
                                           .pooling = SB_POOLING_MEAN,
                                           .seed = SEED,
                                           .batch_size = BATCH,
                                           .slots = slots,
                                           .pass_tokens = pass_tokens};
    assert_true(sb_embedding_loss_find(&options.loss, c->loss));
    struct sb_item_source source = {.count = ITEMS,
                                    .has_classes = c->has_classes,
                                    .item = make_item,
                                    .length = text_length,
                                    .read = read_text,
                                    .context = &c->text_count};
    sb_embedding_init(embedding, &options, &source);
}

static size_t item_count(uint64_t step)
{
    uint64_t first = step % 3 * BATCH;
    return ITEMS - first < BATCH ? ITEMS - first : BATCH;
}

/* ---- the plain loop ---- */

struct one_text {
    struct sb_batch batch;
    uint32_t starts[2];
    int32_t ids[TEXT_MAX];
    uint8_t types[TEXT_MAX];
    uint64_t sample;
};

/* Text t of item i of a step, by itself. */
static void write_text(struct one_text *one, const struct loss_case *c, uint64_t step, size_t i,
                       uint32_t t)
{
    struct sb_item item;
    make_item(&c->text_count, step / 3, step % 3 * BATCH + i, &item, NULL);
    *one = (struct one_text){.sample = i * SB_ITEM_TEXTS + t};
    read_text(NULL, item.texts[t], one->ids, NULL);
    one->starts[1] = text_length(NULL, item.texts[t]);
    one->batch = (struct sb_batch){.B = 1,
                                   .N = one->starts[1],
                                   .starts = one->starts,
                                   .ids = one->ids,
                                   .types = one->types,
                                   .samples = &one->sample};
}

/* x [items * texts, C] in the order of the step. */
static size_t all_vectors(float *x, struct model *m, const struct loss_case *c, uint64_t step)
{
    struct sb_rng dropout = sb_rng_key(SEED, SB_RNG_DROPOUT, step);
    size_t row = 0;
    for (size_t i = 0; i < item_count(step); i++)
        for (uint32_t t = 0; t < c->text_count; t++, row++) {
            struct one_text one;
            write_text(&one, c, step, i, t);
            sb_arena_reset(&m->arena);
            sb_bert_vectors(&m->bert, &one.batch, SB_POOLING_MEAN, &dropout, &m->arena,
                            x + row * C);
        }
    return row;
}

static struct sb_embed_loss ranking_of(const struct sb_embed_group *group, struct sb_arena *arena,
                                       const struct loss_case *c, uint64_t step, size_t count)
{
    uint32_t anchor[BATCH], positive[BATCH], negative[BATCH];
    uint64_t texts[ROWS_MAX];
    struct sb_embed_ranking ranking = {
        .anchor = anchor, .positive = positive, .negative = negative, .texts = texts};
    for (size_t i = 0; i < count; i++) {
        struct sb_item item;
        make_item(&c->text_count, step / 3, step % 3 * BATCH + i, &item, NULL);
        for (uint32_t t = 0; t < c->text_count; t++)
            texts[i * c->text_count + t] = c->has_classes && item.class_ids[t] >= 0
                                               ? (uint64_t)item.class_ids[t]
                                               : 1000 + told_by(item.texts[t]);
        if (c->text_count == 2 && item.gold <= 0.5F)
            continue;
        anchor[ranking.count] = (uint32_t)i * c->text_count;
        positive[ranking.count++] = (uint32_t)i * c->text_count + 1;
        if (c->text_count == 3)
            negative[ranking.negative_count++] = (uint32_t)i * 3 + 2;
    }
    assert_true(ranking.count > 0);
    return sb_loss_ranking(group, arena, &ranking, 20);
}

static struct sb_embed_loss plain_loss(const struct sb_embed_group *group, struct sb_arena *arena,
                                       const struct loss_case *c, uint64_t step)
{
    uint32_t rows[3][BATCH];
    float gold[BATCH];
    int32_t classes[BATCH];
    size_t count = item_count(step);
    for (size_t i = 0; i < count; i++) {
        struct sb_item item;
        make_item(&c->text_count, step / 3, step % 3 * BATCH + i, &item, NULL);
        for (uint32_t t = 0; t < 3; t++)
            rows[t][i] = (uint32_t)i * c->text_count + t;
        gold[i] = item.gold;
        classes[i] = item.class_ids[0];
    }
    struct sb_embed_pairs pairs = {rows[0], rows[1], gold, count};
    struct sb_embed_triplets triplets = {rows[0], rows[1], rows[2], count};
    if (!strcmp(c->loss, "cosine_similarity"))
        return sb_loss_cosine(group, arena, &pairs);
    if (!strcmp(c->loss, "contrastive"))
        return sb_loss_contrastive(group, arena, &pairs, c->given_margin);
    if (!strcmp(c->loss, "online_contrastive"))
        return sb_loss_online_contrastive(group, arena, &pairs, c->given_margin);
    if (!strcmp(c->loss, "cosent"))
        return sb_loss_cosent(group, arena, &pairs, 20);
    if (!strcmp(c->loss, "triplet"))
        return sb_loss_triplet(group, arena, &triplets, c->metric, c->given_margin);
    if (!strcmp(c->loss, "batch_hard_triplet"))
        return sb_loss_batch_hard(group, arena, classes, c->metric, c->given_margin);
    return ranking_of(group, arena, c, step, count);
}

static void hand_over(void *context, const float *vectors, float *dvectors)
{
    (void)vectors;
    memcpy(dvectors, context, C * sizeof(float));
}

/* The gradient is left in m->grad. */
static struct sb_embed_loss plain_step(struct model *m, const struct loss_case *c, uint64_t step)
{
    float x[ROWS_MAX * C], dx[ROWS_MAX * C] = {0};
    struct sb_rng dropout = sb_rng_key(SEED, SB_RNG_DROPOUT, step);
    struct sb_embed_group group = {.x = x, .dx = dx, .n = all_vectors(x, m, c, step), .C = C};
    sb_arena_reset(&m->arena);
    struct sb_embed_loss loss = plain_loss(&group, &m->arena, c, step);
    size_t row = 0;
    for (size_t i = 0; i < item_count(step); i++)
        for (uint32_t t = 0; t < c->text_count; t++, row++) {
            struct one_text one;
            write_text(&one, c, step, i, t);
            sb_arena_reset(&m->arena);
            sb_bert_train_vectors(&m->bert, &one.batch, SB_POOLING_MEAN, &dropout, hand_over,
                                  dx + row * C, &m->arena, &m->grad);
        }
    return loss;
}

/* ---- the same through slots ---- */

static size_t publish_all(float *group, struct sb_embedding *embedding, struct model *m,
                          uint64_t step)
{
    struct sb_err err = SB_ERR_INIT;
    size_t rows = 0;
    for (uint32_t slot = 0; slot < embedding->options.slots; slot++) {
        float *vectors;
        long count =
            sb_embedding_publish(embedding, &m->bert, step, slot, &m->arena, &vectors, &err);
        assert_true(count >= 0);
        assert_int_equal(count, sb_embedding_row_count(embedding, step, slot, &err));
        memcpy(group + rows * C, vectors, (size_t)count * C * sizeof(*group));
        rows += (size_t)count;
    }
    assert_int_equal(rows, sb_embedding_group_rows(embedding, step, &err));
    return rows;
}

static struct sb_stats slotted_step(struct model *m, const struct loss_case *c, uint64_t step,
                                    uint32_t slots, size_t pass_tokens)
{
    float group[ROWS_MAX * C];
    struct sb_embedding embedding;
    struct sb_err err = SB_ERR_INIT;
    struct sb_stats stats = {0};
    long items = 0;
    open_embedding(&embedding, c, slots, pass_tokens);
    if (sb_embedding_loss_of_group(embedding.options.loss)) {
        size_t rows = publish_all(group, &embedding, m, step);
        assert_int_equal(sb_embedding_compare(&embedding, &m->bert, step, group, rows * C, &err),
                         0);
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        long count =
            sb_embedding_train(&embedding, &m->bert, step, slot, &m->arena, &m->grad, &stats, &err);
        assert_true(count >= 0);
        items += count;
    }
    assert_int_equal(items, item_count(step));
    assert_true(stats.samples == (double)items);
    sb_embedding_release(&embedding);
    return stats;
}

/* Whatever the slots and the pieces: the plain loop's numbers, but for the order of sums. */
static void check_step(const struct loss_case *c, uint64_t step, uint32_t slots, size_t pass_tokens,
                       double *worst)
{
    struct model plain, slotted;
    open_model(&plain, 1);
    open_model(&slotted, 1);
    struct sb_embed_loss loss = plain_step(&plain, c, step);
    struct sb_stats stats = slotted_step(&slotted, c, step, slots, pass_tokens);
    size_t count = plain.bert.params.float_count;
    double norm = sb_golden_norm(plain.grad.dense, count);
    double off = sb_golden_distance(plain.grad.dense, slotted.grad.dense, count);
    if (stats.targets != loss.targets || fabs(stats.loss - loss.loss) > 1e-5 * fabs(loss.loss) ||
        !(off <= 1e-4 * norm) || !(norm > 0))
        fail_msg("%s of %u texts, step %u, %u slots, pieces of %zu: loss %.9g of %.9g, expected "
                 "%.9g of %.9g; gradient off by %.3g of %.3g",
                 c->loss, c->text_count, (unsigned)step, slots, pass_tokens, stats.loss,
                 stats.targets, loss.loss, loss.targets, off, norm);
    *worst = off / norm > *worst ? off / norm : *worst;
    close_model(&plain);
    close_model(&slotted);
}

static void every_loss_equals_a_plain_loop_over_its_texts(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < CASES; i++) {
        check_step(&cases[i], 0, 1, 1000, &worst);
        check_step(&cases[i], 4, 1, 1000, &worst);
    }
    print_message("worst relative error of a gradient: %.2g\n", worst);
}

static void slots_and_pieces_leave_only_rounding(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < CASES; i++) {
        check_step(&cases[i], 0, 4, 1000, &worst);
        check_step(&cases[i], 1, 4, 9, &worst);
        check_step(&cases[i], 3, 16, 1, &worst);
    }
    print_message("worst relative error of a gradient: %.2g\n", worst);
}

static void the_last_step_of_an_epoch_is_short(void **state)
{
    (void)state;
    struct sb_embedding embedding;
    double worst = 0;
    open_embedding(&embedding, &cases[0], 4, 100);
    assert_int_equal(sb_embedding_steps_per_epoch(&embedding), 3);
    sb_embedding_release(&embedding);
    assert_int_equal(item_count(2), 3);
    check_step(&cases[0], 2, 4, 1000, &worst);
    check_step(&cases[9], 5, 4, 1000, &worst);
}

static void threads_leave_no_trace_in_a_step(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct model one, two;
        open_model(&one, 1);
        open_model(&two, 2);
        struct sb_stats a = slotted_step(&one, &cases[i], 1, 2, 20);
        struct sb_stats b = slotted_step(&two, &cases[i], 1, 2, 20);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_memory_equal(one.grad.dense, two.grad.dense,
                            one.bert.params.float_count * sizeof(float));
        close_model(&one);
        close_model(&two);
    }
}

/* The loss has no rounding of its own by the cut: equal vectors in another order, equal bits. */
static void the_cut_into_slots_leaves_no_trace_in_the_loss_of_equal_vectors(void **state)
{
    (void)state;
    static const uint32_t cuts[] = {1, 2, 8};
    struct sb_err err = SB_ERR_INIT;
    struct model m;
    open_model(&m, 1);
    for (int i = 0; i < CASES; i++) {
        struct sb_embed_loss losses[3];
        float dx[3][ROWS_MAX * C], x[ROWS_MAX * C];
        size_t rows = all_vectors(x, &m, &cases[i], 1);
        for (int cut = 0; cut < 3; cut++) {
            struct sb_embedding embedding;
            uint32_t slot_of[BATCH], lengths[BATCH];
            float group[ROWS_MAX * C], *to = group;
            open_embedding(&embedding, &cases[i], cuts[cut], 1000);
            if (!sb_embedding_loss_of_group(embedding.options.loss)) {
                sb_embedding_release(&embedding);
                continue;
            }
            for (size_t k = 0; k < BATCH; k++) {
                lengths[k] = 0;
                for (uint32_t t = 0; t < cases[i].text_count; t++) {
                    struct one_text one;
                    write_text(&one, &cases[i], 1, k, t);
                    lengths[k] += one.starts[1];
                }
            }
            sb_arena_reset(&m.arena);
            sb_deal_slots(slot_of, lengths, BATCH, cuts[cut], &m.arena);
            for (uint32_t slot = 0; slot < cuts[cut]; slot++)
                for (size_t k = 0; k < BATCH; k++) {
                    size_t floats = cases[i].text_count * C;
                    if (slot_of[k] != slot)
                        continue;
                    memcpy(to, x + k * floats, floats * sizeof(*to));
                    to += floats;
                }
            assert_int_equal(sb_embedding_compare(&embedding, &m.bert, 1, group, rows * C, &err),
                             0);
            losses[cut] = embedding.group_loss;
            memcpy(dx[cut], embedding.dgroup, rows * C * sizeof(float));
            assert_memory_equal(&losses[cut], &losses[0], sizeof(losses[0]));
            assert_memory_equal(dx[cut], dx[0], rows * C * sizeof(float));
            sb_embedding_release(&embedding);
        }
    }
    close_model(&m);
}

/* slot after slot, items in the order of the step, the texts of an item together */
static void published_rows_stand_slot_after_slot(void **state)
{
    (void)state;
    enum { SLOTS = 4 };
    struct sb_embedding embedding;
    struct model m;
    float group[ROWS_MAX * C], x[ROWS_MAX * C];
    uint32_t slot_of[BATCH], lengths[BATCH];
    size_t row = 0;
    open_model(&m, 2);
    open_embedding(&embedding, &cases[3], SLOTS, 10);
    publish_all(group, &embedding, &m, 0);
    all_vectors(x, &m, &cases[3], 0);
    for (size_t i = 0; i < BATCH; i++)
        lengths[i] = text_length(NULL, 2 * i) + text_length(NULL, 2 * i + 1);
    sb_arena_reset(&m.arena);
    sb_deal_slots(slot_of, lengths, BATCH, SLOTS, &m.arena);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        for (size_t i = 0; i < BATCH; i++)
            for (uint32_t t = 0; slot_of[i] == slot && t < 2; t++, row++)
                assert_true(sb_golden_distance(group + row * C, x + (2 * i + t) * C, C) < 1e-4);
    assert_int_equal(row, 2 * BATCH);
    sb_embedding_release(&embedding);
    close_model(&m);
}

static void a_group_of_another_size_is_refused(void **state)
{
    (void)state;
    struct sb_embedding embedding;
    struct model m;
    float group[ROWS_MAX * C + 1] = {0};
    struct sb_err err = SB_ERR_INIT;
    open_model(&m, 1);
    open_embedding(&embedding, &cases[3], 2, 100);
    for (int off = -1; off <= 1; off += 2) {
        size_t count = (size_t)(2 * BATCH * C + off);
        assert_int_equal(sb_embedding_compare(&embedding, &m.bert, 0, group, count, &err), -1);
        sb_test_err_is(&err, SB_ERR_PEER, "expected 16 of 24");
    }
    sb_embedding_release(&embedding);
    close_model(&m);
}

static int unreadable(const void *context, uint64_t epoch, uint64_t k, struct sb_item *item,
                      struct sb_err *err)
{
    make_item(context, epoch, k, item, err);
    item->texts[0] = UINT64_MAX;
    return 0;
}

static void a_text_that_cannot_be_read_is_an_error_everywhere(void **state)
{
    (void)state;
    struct sb_embedding embedding;
    struct model m;
    float *vectors;
    uint8_t seen[64];
    struct sb_stats stats = {0};
    struct sb_err err = SB_ERR_INIT;
    open_model(&m, 1);
    open_embedding(&embedding, &cases[0], 1, 100);
    embedding.source.item = unreadable;
    assert_int_equal(sb_embedding_train(&embedding, &m.bert, 0, 0, &m.arena, &m.grad, &stats, &err),
                     -1);
    sb_test_err_is(&err, SB_ERR_DATA, "reading slot 0 of step 0: no such text");
    assert_int_equal(sb_embedding_publish(&embedding, &m.bert, 0, 0, &m.arena, &vectors, &err), -1);
    assert_int_equal(sb_embedding_mark_rows(&embedding, 0, 0, seen, &err), -1);
    sb_embedding_release(&embedding);
    close_model(&m);
}

static void rows_are_those_of_the_texts_of_the_slot(void **state)
{
    (void)state;
    enum { SLOTS = 2 };
    struct sb_embedding embedding;
    struct model m;
    uint8_t expected[SLOTS][53] = {{0}};
    uint32_t slot_of[BATCH], lengths[BATCH];
    struct sb_err err = SB_ERR_INIT;
    open_model(&m, 1);
    open_embedding(&embedding, &cases[4], SLOTS, 100);
    for (size_t i = 0; i < BATCH; i++) {
        lengths[i] = 0;
        for (uint32_t t = 0; t < 3; t++)
            lengths[i] += text_length(NULL, 3 * i + t);
    }
    sb_deal_slots(slot_of, lengths, BATCH, SLOTS, &m.arena);
    for (size_t i = 0; i < BATCH; i++)
        for (uint32_t t = 0; t < 3; t++) {
            int32_t ids[TEXT_MAX];
            read_text(NULL, 3 * i + t, ids, NULL);
            for (uint32_t j = 0; j < text_length(NULL, 3 * i + t); j++)
                expected[slot_of[i]][ids[j]] = 1;
        }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        uint8_t seen[53] = {0};
        assert_int_equal(sb_embedding_mark_rows(&embedding, 0, slot, seen, &err), 0);
        assert_memory_equal(seen, expected[slot], sizeof(seen));
    }
    sb_embedding_release(&embedding);
    close_model(&m);
}

static void losses_have_names(void **state)
{
    (void)state;
    enum sb_embedding_loss loss;
    assert_true(sb_embedding_loss_find(&loss, "cosent"));
    assert_int_equal(loss, SB_EMBEDDING_cosent);
    assert_true(sb_embedding_loss_of_group(loss));
    assert_true(sb_embedding_loss_find(&loss, "triplet"));
    assert_false(sb_embedding_loss_of_group(loss));
    assert_false(sb_embedding_loss_find(&loss, "cosine"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_loss_equals_a_plain_loop_over_its_texts),
        cmocka_unit_test(slots_and_pieces_leave_only_rounding),
        cmocka_unit_test(the_last_step_of_an_epoch_is_short),
        cmocka_unit_test(threads_leave_no_trace_in_a_step),
        cmocka_unit_test(the_cut_into_slots_leaves_no_trace_in_the_loss_of_equal_vectors),
        cmocka_unit_test(published_rows_stand_slot_after_slot),
        cmocka_unit_test(a_group_of_another_size_is_refused),
        cmocka_unit_test(a_text_that_cannot_be_read_is_an_error_everywhere),
        cmocka_unit_test(rows_are_those_of_the_texts_of_the_slot),
        cmocka_unit_test(losses_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
