#include "parts.h"
#include "support.h"

#include <string.h>

enum { SPANS_MAX = 256, SHAPES = 6 };

struct model {
    struct sb_span spans[SPANS_MAX];
    size_t count;
};

static void add(struct model *model, uint64_t rows, uint64_t cols, bool decay, bool trainable)
{
    model->spans[model->count++] =
        (struct sb_span){.rows = rows, .cols = cols, .decay = decay, .trainable = trainable};
}

/* Vocabulary, hidden, inner, layers, and how many of them are frozen with the embeddings. */
static const struct {
    uint64_t V, C, F;
    int layers, frozen;
} shapes[SHAPES] = {
    {28996, 768, 3072, 12, 0}, {28996, 768, 3072, 12, 8}, {30522, 128, 512, 2, 0},
    {30522, 128, 512, 2, 2},   {100, 32, 64, 2, 0},       {7, 8, 8, 1, 0},
};

/* The tensors of a BERT with a classifier of 3 labels. */
static struct model bert(size_t shape)
{
    uint64_t C = shapes[shape].C, F = shapes[shape].F;
    struct model model = {0};
    bool body = shapes[shape].frozen == 0;
    add(&model, shapes[shape].V, C, true, body);
    model.spans[0].row_sparse = body;
    add(&model, 512, C, true, body);
    add(&model, 2, C, true, body);
    add(&model, 1, C, false, body);
    add(&model, 1, C, false, body);
    for (int layer = 0; layer < shapes[shape].layers; layer++) {
        bool train = layer >= shapes[shape].frozen;
        for (int i = 0; i < 4; i++)
            add(&model, C, C, true, train);
        add(&model, F, C, true, train);
        add(&model, C, F, true, train);
        for (int i = 0; i < 9; i++)
            add(&model, 1, i == 4 ? F : C, false, train);
    }
    add(&model, C, C, true, true);
    add(&model, 1, C, false, true);
    add(&model, 3, C, true, true);
    add(&model, 1, 3, false, true);
    return model;
}

static void parts_tile_the_flat_space(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct model model = bert(shape);
        struct sb_parts parts;
        sb_parts_init(&parts, model.spans, model.count, 3);
        uint64_t at = 0, floats = 0;
        for (size_t p = 0; p < parts.count; p++) {
            const struct sb_part *part = &parts.parts[p];
            assert_int_equal(part->offset, at);
            assert_true(part->count > 0);
            assert_int_equal((uint64_t)part->rows * part->cols, part->count);
            at += part->count;
        }
        for (size_t s = 0; s < model.count; s++) {
            assert_int_equal(parts.spans[s].offset, floats);
            floats += model.spans[s].rows * model.spans[s].cols;
        }
        assert_int_equal(at, floats);
        assert_int_equal(parts.float_count, floats);
        sb_parts_release(&parts);
    }
}

static void parts_hold_whole_rows_of_one_kind_in_at_most_a_mebibyte(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct model model = bert(shape);
        struct sb_parts parts;
        sb_parts_init(&parts, model.spans, model.count, 3);
        for (size_t p = 0; p < parts.count; p++) {
            const struct sb_part *part = &parts.parts[p];
            assert_true(part->count * sizeof(float) <= 1 << 20);
            assert_true(part->end_span > part->first_span);
            const struct sb_span *first = &parts.spans[part->first_span];
            const struct sb_span *last = &parts.spans[part->end_span - 1];
            assert_true(part->offset >= first->offset);
            assert_true(part->offset + part->count <= last->offset + last->rows * last->cols);
            for (uint32_t s = part->first_span; s < part->end_span; s++) {
                assert_int_equal(parts.spans[s].trainable, part->trainable);
                assert_int_equal(parts.spans[s].row_sparse, part->row_sparse);
            }
            if (part->end_span - part->first_span == 1) {
                assert_int_equal(part->cols, first->cols);
                assert_int_equal((part->offset - first->offset) % first->cols, 0);
                if (first->rows * first->cols * sizeof(float) >= 512 << 10)
                    assert_true(part->count * sizeof(float) >= 256 << 10);
            } else {
                assert_int_equal(part->rows, 1);
                assert_false(part->row_sparse);
            }
        }
        sb_parts_release(&parts);
    }
}

static void the_fullest_server_exceeds_the_mean_by_2_percent_or_one_part(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++)
        for (uint32_t servers = 1; servers <= 16; servers++) {
            struct model model = bert(shape);
            struct sb_parts parts;
            sb_parts_init(&parts, model.spans, model.count, servers);
            uint64_t sums[16] = {0}, all = 0, largest = 0, most = 0;
            for (size_t p = 0; p < parts.count; p++) {
                const struct sb_part *part = &parts.parts[p];
                assert_true(part->owner < servers);
                if (!part->trainable)
                    continue;
                sums[part->owner] += part->count;
                all += part->count;
                largest = part->count > largest ? part->count : largest;
            }
            for (uint32_t server = 0; server < servers; server++)
                most = sums[server] > most ? sums[server] : most;
            double mean = (double)all / servers;
            assert_true((double)most <= 1.02 * mean || (double)most <= mean + (double)largest);
            /* BERT-base has so many parts that 2 % is kept everywhere. */
            if (shapes[shape].C == 768 && shapes[shape].frozen == 0)
                assert_true((double)most <= 1.02 * mean);
            sb_parts_release(&parts);
        }
}

static void only_the_owner_depends_on_the_number_of_servers(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < SHAPES; shape++) {
        struct model model = bert(shape);
        struct sb_parts one, five;
        sb_parts_init(&one, model.spans, model.count, 1);
        sb_parts_init(&five, model.spans, model.count, 5);
        assert_int_equal(one.count, five.count);
        assert_true(one.hash == five.hash);
        for (size_t p = 0; p < one.count; p++) {
            struct sb_part part = five.parts[p];
            part.owner = 0;
            assert_memory_equal(&part, &one.parts[p], sizeof(part));
        }
        sb_parts_release(&one);
        sb_parts_release(&five);
        assert_null(one.parts);
        sb_parts_release(&one);
    }
}

static uint64_t hash_of(const struct model *model)
{
    struct sb_parts parts;
    sb_parts_init(&parts, model->spans, model->count, 1);
    uint64_t hash = parts.hash;
    sb_parts_release(&parts);
    return hash;
}

static void the_hash_changes_with_every_word_of_a_span(void **state)
{
    (void)state;
    struct model model = bert(2), other = model;
    uint64_t hash = hash_of(&model);
    other.spans[0].offset = 99; /* not the caller's to give */
    assert_true(hash_of(&other) == hash);
    other.spans[5].rows++;
    assert_true(hash_of(&other) != hash);
    other = model;
    other.spans[5].cols++;
    assert_true(hash_of(&other) != hash);
    other = model;
    other.spans[5].decay ^= true;
    assert_true(hash_of(&other) != hash);
    other = model;
    other.spans[5].trainable ^= true;
    assert_true(hash_of(&other) != hash);
    other = model;
    other.spans[5].row_sparse ^= true;
    assert_true(hash_of(&other) != hash);
    other = model;
    other.count--;
    assert_true(hash_of(&other) != hash);
}

static void a_row_longer_than_a_part_is_a_part(void **state)
{
    (void)state;
    struct sb_span span = {.rows = 3, .cols = 300000, .trainable = true};
    struct sb_parts parts;
    sb_parts_init(&parts, &span, 1, 2);
    assert_int_equal(parts.count, 3);
    for (size_t p = 0; p < 3; p++) {
        assert_int_equal(parts.parts[p].rows, 1);
        assert_int_equal(parts.parts[p].cols, 300000);
    }
    sb_parts_release(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_tile_the_flat_space),
        cmocka_unit_test(parts_hold_whole_rows_of_one_kind_in_at_most_a_mebibyte),
        cmocka_unit_test(the_fullest_server_exceeds_the_mean_by_2_percent_or_one_part),
        cmocka_unit_test(only_the_owner_depends_on_the_number_of_servers),
        cmocka_unit_test(the_hash_changes_with_every_word_of_a_span),
        cmocka_unit_test(a_row_longer_than_a_part_is_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
