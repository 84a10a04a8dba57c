#include "letters.h"
#include "support.h"

#include "few_shot.h"

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

/* Sample i has class "k" of the digit k = classes[i % period]; without classes no labels. */
static struct sb_dataset *open_labelled(const char *classes, size_t count)
{
    struct sb_bytes text = SB_BYTES_INIT;
    for (size_t i = 0; i < count; i++)
        sb_bytes_printf(&text, "{\"text\": \"a b\", \"label\": \"%c\"}\n",
                        classes ? classes[i % strlen(classes)] : 'x');
    struct letters_source source = letters_source(SB_DATA_LABELLED, "data.jsonl", text.data);
    sb_bytes_release(&text);
    source.options.source.labelled = classes != NULL;
    return letters_dataset(tokenizer, &source);
}

static struct sb_few_shot choose(const struct sb_dataset *dataset, uint64_t per_label,
                                 uint64_t seed)
{
    struct sb_few_shot chosen;
    struct sb_err err = SB_ERR_INIT;
    if (sb_few_shot_choose(&chosen, dataset, per_label, seed, &err) < 0)
        fail_msg("%s", err.text);
    return chosen;
}

/* Each sample once, in the row of its class, and the sizes add up. */
static void check_row(const struct sb_few_shot *chosen, const struct sb_dataset *dataset)
{
    uint8_t *seen = calloc(sb_dataset_count(dataset), 1);
    uint64_t sum = 0;
    for (size_t c = 0; c < chosen->class_count; c++)
        sum += chosen->class_sizes[c];
    assert_int_equal(sum, chosen->count);
    for (uint64_t place = 0; place < chosen->count; place++) {
        int32_t ids[8], label;
        struct sb_err err = SB_ERR_INIT;
        uint64_t sample = chosen->samples[place];
        assert_int_equal(sb_dataset_read(dataset, sample, ids, NULL, &label, NULL, &err), 0);
        assert_int_equal(label, sb_few_shot_class(chosen, place));
        assert_int_equal(seen[sample]++, 0);
    }
    free(seen);
}

static void each_label_gives_its_share(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_labelled("0012012", 700); /* 300, 200, 200 */
    struct sb_few_shot chosen = choose(dataset, 16, 42);
    check_row(&chosen, dataset);
    assert_int_equal(chosen.count, 48);
    for (size_t c = 0; c < 3; c++)
        assert_int_equal(chosen.class_sizes[c], 16);
    assert_in_range(chosen.read_count, 48, 200); /* it stops when all are full */
    sb_few_shot_release(&chosen);
    sb_dataset_free(&dataset);
}

static void the_choice_follows_the_seed(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_labelled("01", 2000);
    struct sb_few_shot one = choose(dataset, 50, 1), again = choose(dataset, 50, 1);
    struct sb_few_shot two = choose(dataset, 50, 2), fewer = choose(dataset, 8, 1);
    assert_memory_equal(one.samples, again.samples, 100 * sizeof(*one.samples));
    size_t common = 0;
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 100; j++)
            common += one.samples[i] == two.samples[j];
    assert_true(common < 16); /* 5 expected of a thousand each */
    /* Fewer are the beginning of more: a larger budget keeps what a smaller one had. */
    for (size_t c = 0; c < 2; c++)
        assert_memory_equal(fewer.samples + 8 * c, one.samples + 50 * c, 8 * sizeof(*one.samples));
    sb_few_shot_release(&one);
    sb_few_shot_release(&again);
    sb_few_shot_release(&two);
    sb_few_shot_release(&fewer);
    sb_dataset_free(&dataset);
}

/* Over many seeds each of 10 samples of a class is taken about equally often. */
static void every_sample_has_the_same_chance(void **state)
{
    (void)state;
    enum { SEEDS = 2000 };
    struct sb_dataset *dataset = open_labelled("01", 20);
    unsigned taken[20] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sb_few_shot chosen = choose(dataset, 3, seed);
        for (uint64_t i = 0; i < chosen.count; i++)
            taken[chosen.samples[i]]++;
        sb_few_shot_release(&chosen);
    }
    for (size_t i = 0; i < 20; i++)
        assert_in_range(taken[i], 600 - 100, 600 + 100); /* five sigma */
    sb_dataset_free(&dataset);
}

static void a_scarce_label_gives_what_it_has(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_labelled("0000100000", 50); /* 45 and 5 */
    struct sb_few_shot chosen = choose(dataset, 8, 7);
    check_row(&chosen, dataset);
    assert_int_equal(chosen.class_sizes[0], 8);
    assert_int_equal(chosen.class_sizes[1], 5);
    assert_int_equal(chosen.read_count, 50);
    sb_few_shot_release(&chosen);
    chosen = choose(dataset, 0, 7);
    check_row(&chosen, dataset);
    assert_int_equal(chosen.count, 50);
    assert_int_equal(chosen.class_sizes[0], 45);
    sb_few_shot_release(&chosen);
    sb_dataset_free(&dataset);
}

static void data_without_labels_is_refused(void **state)
{
    (void)state;
    struct sb_dataset *dataset = open_labelled(NULL, 4);
    struct sb_few_shot chosen;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_few_shot_choose(&chosen, dataset, 8, 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "no sample of the data has a label");
    sb_few_shot_release(&chosen);
    sb_dataset_free(&dataset);
}

static int digit_of(int32_t *label, const void *context, uint64_t sample, struct sb_err *err)
{
    (void)err;
    const char *classes = context;
    *label = classes[sample % strlen(classes)] - '0';
    return 0;
}

static void who_holds_the_labels_alone_chooses_the_same(void **state)
{
    (void)state;
    const char *classes = "0120012";
    struct sb_err err = SB_ERR_INIT;
    struct sb_dataset *dataset = open_labelled(classes, 200);
    struct sb_few_shot a = choose(dataset, 7, 5), b;
    assert_int_equal(sb_few_shot_choose_by(&b, 200, 3, digit_of, classes, 7, 5, &err), 0);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.samples, b.samples, a.count * sizeof(*a.samples));
    sb_few_shot_release(&a);
    sb_few_shot_release(&b);
    sb_dataset_free(&dataset);
}

static int set_of(int32_t *label, const void *context, uint64_t sample, struct sb_err *err)
{
    (void)err;
    *label = ((const int32_t *)context)[sample];
    return 0;
}

/* A text is taken if it is among the first N of any of its labels, in the order of the drawing. */
static void the_first_texts_of_each_label_are_taken(void **state)
{
    (void)state;
    enum { COUNT = 300, LABELS = 3 };
    char *names[] = {"",
                     "a",
                     "a\x1f"
                     "b",
                     "b",
                     "b\x1f"
                     "c",
                     "never"}; /* sets; the last has no text */
    const bool has[][LABELS] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 1, 1}};
    int32_t given[COUNT];
    struct sb_err err = SB_ERR_INIT;
    struct sb_label_sets sets;
    const struct sb_dataset_options found = {0};
    for (int i = 0; i < COUNT; i++)
        given[i] = (int32_t)((i * 7 + i / 11) % 5);
    assert_int_equal(sb_label_sets_init(&sets, names, 6, &found, &err), 0);
    struct sb_few_shot all, few;
    assert_int_equal(sb_few_shot_choose_sets_by(&all, COUNT, &sets, set_of, given, 0, 9, &err), 0);
    assert_int_equal(all.count, COUNT);
    assert_int_equal(all.class_count, 5);
    assert_int_equal(sb_few_shot_choose_sets_by(&few, COUNT, &sets, set_of, given, 8, 9, &err), 0);

    struct sb_rng order = sb_rng_key(9, SB_RNG_SAMPLE, 0x66657773); /* few_shot.c's round */
    size_t seen[LABELS] = {0}, taken = 0, sizes[LABELS] = {0};
    bool wanted[COUNT] = {false};
    for (uint64_t k = 0; k < COUNT; k++) {
        uint64_t sample = sb_rng_permute(&order, COUNT, k);
        for (size_t l = 0; l < LABELS; l++)
            if (has[given[sample]][l] && seen[l]++ < 8)
                wanted[sample] = true;
        taken += wanted[sample];
        for (size_t l = 0; l < LABELS; l++)
            sizes[l] += wanted[sample] && has[given[sample]][l];
    }
    assert_int_equal(few.count, taken);
    for (uint64_t place = 0; place < few.count; place++) {
        size_t class = sb_few_shot_class(&few, place);
        assert_true(wanted[few.samples[place]]);
        assert_int_equal(few.sets[class], given[few.samples[place]]);
    }
    for (size_t l = 0; l < LABELS; l++)
        assert_int_equal(few.label_sizes[l], sizes[l]);
    assert_int_equal(few.label_sizes[3], 0);
    sb_few_shot_release(&few);
    sb_few_shot_release(&all);
    sb_label_sets_release(&sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_label_gives_its_share),
        cmocka_unit_test(the_choice_follows_the_seed),
        cmocka_unit_test(every_sample_has_the_same_chance),
        cmocka_unit_test(a_scarce_label_gives_what_it_has),
        cmocka_unit_test(data_without_labels_is_refused),
        cmocka_unit_test(who_holds_the_labels_alone_chooses_the_same),
        cmocka_unit_test(the_first_texts_of_each_label_are_taken),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
