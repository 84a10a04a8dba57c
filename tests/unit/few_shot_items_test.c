/* What a step of task setfit is made of: pairs, triplets and twos, by arithmetic. */
#include "letters.h"
#include "support.h"

#include "few_shot_items.h"

#include <stdlib.h>
#include <string.h>

static struct sb_wordpiece *tokenizer;

static int set_up(void **state)
{
    (void)state;
    tokenizer = letters_open(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_wordpiece_free(&tokenizer);
    return 0;
}

/* Text i is texts[i], a letter, of class classes[i], a digit. */
static struct sb_dataset *open_texts(const char *texts, const char *classes)
{
    struct sb_bytes text = SB_BYTES_INIT;
    for (size_t i = 0; texts[i]; i++)
        sb_bytes_printf(&text, "{\"text\": \"%c\", \"label\": \"%c\"}\n", texts[i], classes[i]);
    struct letters_source source = letters_source(SB_DATA_LABELLED, "data.jsonl", text.data);
    sb_bytes_release(&text);
    return letters_dataset(tokenizer, &source);
}

/* Text i is texts[i], and has a label for each digit of sets[i]. */
static struct sb_dataset *open_sets(const char *texts, const char *const *sets)
{
    struct sb_bytes text = SB_BYTES_INIT;
    for (size_t i = 0; texts[i]; i++) {
        sb_bytes_printf(&text, "{\"text\": \"%c\", \"label\": [", texts[i]);
        for (const char *digit = sets[i]; *digit; digit++)
            sb_bytes_printf(&text, "%s\"%c\"", digit == sets[i] ? "" : ", ", *digit);
        sb_bytes_append_text(&text, "]}\n");
    }
    struct letters_source source = letters_source(SB_DATA_LABELLED, "data.jsonl", text.data);
    sb_bytes_release(&text);
    source.options.source.label_form = SB_LABEL_SET;
    return letters_dataset(tokenizer, &source);
}

static struct sb_few_shot_items *open_items(const struct sb_dataset *data,
                                            enum sb_embedding_loss loss,
                                            enum sb_pair_strategy strategy)
{
    struct sb_few_shot_items *items = NULL;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_few_shot_items_options options = {
        .loss = loss,
        .pairs = {.strategy = strategy, .iterations = 20, .seed = 7},
        .shuffle = true,
    };
    if (sb_few_shot_items_open(&items, data, &options, &err) < 0)
        fail_msg("%s", err.text);
    return items;
}

static struct sb_item take(const struct sb_item_source *source, uint64_t epoch, uint64_t k)
{
    struct sb_item item;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(source->item(source->context, epoch, k, &item, &err), 0);
    return item;
}

static char letter(const struct sb_item_source *source, uint64_t text)
{
    int32_t ids[8];
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(source->length(source->context, text), 3);
    assert_int_equal(source->read(source->context, text, ids, &err), 0);
    return (char)('a' + ids[1] - 5);
}

/* 8, 4 and 8 texts: the numbers that SetFit's guide names. */
static void pairs_are_as_many_as_setfit_counts(void **state)
{
    (void)state;
    struct sb_dataset *data = open_texts("abcdefghijklmnopqrst", "00000000111122222222");
    const struct {
        enum sb_pair_strategy strategy;
        uint64_t count;
    } rows[] = {{SB_PAIRS_OVERSAMPLING, 256},
                {SB_PAIRS_UNDERSAMPLING, 124},
                {SB_PAIRS_UNIQUE, 190},
                {SB_PAIRS_ITERATIONS, 800}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sb_few_shot_items *items =
            open_items(data, SB_EMBEDDING_cosine_similarity, rows[i].strategy);
        assert_int_equal(items->pairs.same.count, 62);
        assert_int_equal(items->pairs.other.count, 128);
        assert_int_equal(items->count, rows[i].count);
        sb_few_shot_items_free(&items);
    }
    sb_dataset_free(&data);
}

/* An epoch has each of the unique pairs once, in another order than the one before. */
static void an_epoch_has_each_pair_once(void **state)
{
    (void)state;
    const char *classes = "0011222";
    struct sb_dataset *data = open_texts("abcdefg", classes);
    struct sb_few_shot_items *items =
        open_items(data, SB_EMBEDDING_cosine_similarity, SB_PAIRS_UNIQUE);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    size_t moved = 0;
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        bool seen[7][7] = {{false}};
        for (uint64_t k = 0; k < source.count; k++) {
            struct sb_item item = take(&source, epoch, k), first = take(&source, 0, k);
            int a = letter(&source, item.texts[0]) - 'a', b = letter(&source, item.texts[1]) - 'a';
            assert_int_equal(item.text_count, 2);
            assert_false(seen[a][b] || seen[b][a] || a == b);
            seen[a][b] = true;
            assert_true(item.gold == (classes[a] == classes[b]));
            moved += item.texts[0] != first.texts[0] || item.texts[1] != first.texts[1];
        }
        assert_int_equal(source.count, 21);
    }
    assert_true(moved > 21);
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

/* Of the letters of "abcadef", classes "0001112"; 'a' has two. */
static int own_class(char letter_of)
{
    return letter_of == 'f' ? 2 : letter_of >= 'd';
}

/* The text "a" is of class 0 and of class 1. */
static void equal_texts_are_not_each_others_negatives(void **state)
{
    (void)state;
    const char *texts = "abcadef", *classes = "0001112";
    struct sb_dataset *data = open_texts(texts, classes);
    const enum sb_embedding_loss losses[] = {SB_EMBEDDING_cosine_similarity, SB_EMBEDDING_triplet,
                                             SB_EMBEDDING_batch_hard_triplet,
                                             SB_EMBEDDING_multiple_negatives_ranking};
    for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
        struct sb_few_shot_items *items = open_items(data, losses[i], SB_PAIRS_OVERSAMPLING);
        const struct sb_item_source source = sb_few_shot_items_source(items);
        assert_int_equal(items->disputed_count, 2);
        for (uint64_t k = 0; k < source.count; k++) {
            struct sb_item item = take(&source, 0, k);
            char text[3] = {0};
            for (uint32_t t = 0; t < item.text_count; t++)
                text[t] = letter(&source, item.texts[t]);
            if (item.text_count == 2 && text[0] == text[1])
                assert_true(item.gold == 1);
            if (item.text_count == 3)
                assert_true(text[2] != text[0] && text[2] != text[1]);
            /* What is known of the other text of a pair stays known. */
            for (uint32_t t = 0; t < item.text_count && item.text_count < 3; t++)
                assert_int_equal(item.class_ids[t], text[t] == 'a' ? -1 : own_class(text[t]));
        }
        sb_few_shot_items_free(&items);
    }
    sb_dataset_free(&data);
}

/* The anchor and the positive are of one class, the negative is of another, and all of them turn
 * up. */
static void negatives_of_triplets_come_from_all_other_classes(void **state)
{
    (void)state;
    const char *classes = "000011112222";
    struct sb_dataset *data = open_texts("abcdefghijkl", classes);
    struct sb_few_shot_items *items = open_items(data, SB_EMBEDDING_triplet, SB_PAIRS_ITERATIONS);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    size_t negatives[12] = {0}, anchors[12] = {0};
    assert_int_equal(source.count, 20 * 12);
    for (uint64_t k = 0; k < source.count; k++) {
        struct sb_item item = take(&source, 0, k);
        int a = letter(&source, item.texts[0]) - 'a', p = letter(&source, item.texts[1]) - 'a';
        int n = letter(&source, item.texts[2]) - 'a';
        assert_true(a != p && classes[a] == classes[p] && classes[a] != classes[n]);
        negatives[n]++;
        anchors[a]++;
    }
    for (size_t i = 0; i < 12; i++)
        assert_true(negatives[i] >= 5 && anchors[i] >= 5); /* 20 are expected */
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

/* Batches of an even size have two of each class that is in them, and a pass has all texts. */
static void single_texts_come_in_twos_of_a_class(void **state)
{
    (void)state;
    const char *classes = "0000111222222";
    struct sb_dataset *data = open_texts("abcdefghijklm", classes);
    struct sb_few_shot_items *items =
        open_items(data, SB_EMBEDDING_batch_hard_triplet, SB_PAIRS_OVERSAMPLING);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    size_t times[13] = {0};
    assert_int_equal(source.count, 4 + 4 + 6); /* one of the three twice */
    for (uint64_t k = 0; k < source.count; k += 2) {
        struct sb_item one = take(&source, 1, k), two = take(&source, 1, k + 1);
        int a = letter(&source, one.texts[0]) - 'a', b = letter(&source, two.texts[0]) - 'a';
        assert_int_equal(one.text_count, 1);
        assert_int_equal(one.class_ids[0], classes[a] - '0');
        assert_true(a != b && classes[a] == classes[b]);
        times[a]++;
        times[b]++;
    }
    for (size_t i = 0; i < 13; i++)
        assert_true(times[i] == 1 || (times[i] == 2 && classes[i] == '1'));
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

static const char *const sets_of_labels[] = {"0", "10", "1", "", "01", "2", "20", ""};

static bool share(int a, int b)
{
    return strpbrk(sets_of_labels[a], sets_of_labels[b]) != NULL;
}

/* Every two texts once; they are alike if they share a label, and two of no label are not. */
static void texts_of_several_labels_are_alike_if_they_share_one(void **state)
{
    (void)state;
    struct sb_dataset *data = open_sets("abcdefgh", sets_of_labels);
    struct sb_few_shot_items *items =
        open_items(data, SB_EMBEDDING_cosine_similarity, SB_PAIRS_UNIQUE);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    bool seen[8][8] = {{false}};
    assert_int_equal(source.count, 28);
    assert_int_equal(items->chosen.class_count, 6); /* 01 and 10 are one, "" is one */
    for (uint64_t k = 0; k < source.count; k++) {
        struct sb_item item = take(&source, 0, k);
        int a = letter(&source, item.texts[0]) - 'a', b = letter(&source, item.texts[1]) - 'a';
        assert_false(seen[a][b] || seen[b][a] || a == b);
        seen[a][b] = true;
        assert_true((item.gold == 1) == share(a, b));
    }
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

static void negatives_share_no_label_with_the_anchor(void **state)
{
    (void)state;
    struct sb_dataset *data = open_sets("abcdefgh", sets_of_labels);
    struct sb_few_shot_items *items = open_items(data, SB_EMBEDDING_triplet, SB_PAIRS_ITERATIONS);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    size_t negatives[8] = {0};
    for (uint64_t k = 0; k < 10 * source.count; k++) { /* some are the negative of one alone */
        struct sb_item item = take(&source, k / source.count, k % source.count);
        int a = letter(&source, item.texts[0]) - 'a', p = letter(&source, item.texts[1]) - 'a';
        int n = letter(&source, item.texts[2]) - 'a';
        assert_true(a != p && share(a, p) && !share(a, n));
        negatives[n]++;
    }
    for (size_t i = 0; i < 8; i++)
        assert_true(negatives[i] > 0);
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

/* All share label 0: the negative is the positive, whose distances cancel. */
static void a_triplet_without_a_negative_teaches_nothing(void **state)
{
    (void)state;
    const char *const sets[] = {"01", "02", "03", "3"};
    struct sb_dataset *data = open_sets("abcd", sets);
    struct sb_few_shot_items *items = open_items(data, SB_EMBEDDING_triplet, SB_PAIRS_UNIQUE);
    const struct sb_item_source source = sb_few_shot_items_source(items);
    assert_int_equal(source.count, 4); /* ab, ac, bc, cd */
    for (uint64_t k = 0; k < source.count; k++) {
        struct sb_item item = take(&source, 0, k);
        char anchor = letter(&source, item.texts[0]), negative = letter(&source, item.texts[2]);
        if (anchor == 'c')
            assert_true(item.texts[2] == item.texts[1]);
        else
            assert_true(anchor == 'd' ? negative == 'a' || negative == 'b' : negative == 'd');
    }
    sb_few_shot_items_free(&items);
    sb_dataset_free(&data);
}

static void a_loss_without_its_pairs_is_refused(void **state)
{
    (void)state;
    struct sb_dataset *data = open_texts("abc", "012");
    struct sb_few_shot_items *items = NULL;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_few_shot_items_options options = {.loss = SB_EMBEDDING_triplet,
                                                      .pairs = {.strategy = SB_PAIRS_OVERSAMPLING}};
    assert_int_equal(sb_few_shot_items_open(&items, data, &options, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "no two texts have the same label");
    assert_null(items);
    sb_dataset_free(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_as_many_as_setfit_counts),
        cmocka_unit_test(an_epoch_has_each_pair_once),
        cmocka_unit_test(equal_texts_are_not_each_others_negatives),
        cmocka_unit_test(negatives_of_triplets_come_from_all_other_classes),
        cmocka_unit_test(single_texts_come_in_twos_of_a_class),
        cmocka_unit_test(texts_of_several_labels_are_alike_if_they_share_one),
        cmocka_unit_test(negatives_share_no_label_with_the_anchor),
        cmocka_unit_test(a_triplet_without_a_negative_teaches_nothing),
        cmocka_unit_test(a_loss_without_its_pairs_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
