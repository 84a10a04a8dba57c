#include "evaluate.h"
#include "infer.h"
#include "support.h"

#include <math.h>
#include <string.h>

static const char MODEL[] = "tests/golden/commands/model"; /* 24 positions, 3 labels, all heads */

static void open_model(struct sb_infer *infer, unsigned heads)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_infer_open(infer, MODEL, heads, 1, &err) < 0)
        fail_msg("%s", err.text);
}

static void add(struct sb_texts *texts, const char *text, const char *pair)
{
    sb_texts_add(texts, text, strlen(text), pair, pair ? strlen(pair) : 0);
}

static void texts_lie_side_by_side_with_their_specials(void **state)
{
    (void)state;
    struct sb_infer infer;
    struct sb_texts texts;
    open_model(&infer, SB_HEAD_MLM);
    sb_texts_init(&texts, &infer, 0);
    add(&texts, "", NULL);
    add(&texts, "the [MASK]", "rain");
    const int32_t the = sb_wordpiece_id(infer.tokenizer, "the");
    const int32_t rain = sb_wordpiece_id(infer.tokenizer, "rain");
    const int32_t ids[] = {2, 3, 2, the, 4, 3, rain, 3};
    const uint8_t types[] = {0, 0, 0, 0, 0, 0, 1, 1};
    assert_int_equal(texts.batch.B, 2);
    assert_int_equal(texts.batch.N, 8);
    assert_memory_equal(texts.batch.ids, ids, sizeof(ids));
    assert_memory_equal(texts.batch.types, types, sizeof(types));
    assert_int_equal(texts.batch.starts[1], 2);
    assert_int_equal(texts.batch.starts[2], 8);
    assert_int_equal(texts.batch.target_count, 1);
    assert_int_equal(texts.batch.target_rows[0], 4);
    assert_int_equal(texts.truncated_count, 0);
    sb_texts_release(&texts);
    sb_infer_release(&infer);
}

static void long_texts_are_cut_longest_first_and_counted(void **state)
{
    (void)state;
    struct sb_infer infer;
    struct sb_texts texts;
    open_model(&infer, SB_HEAD_NONE);
    sb_texts_init(&texts, &infer, 10);
    add(&texts, "rain rain rain rain rain rain rain rain rain", NULL);
    assert_int_equal(texts.batch.N, 10);
    add(&texts, "sun sun", "rain rain rain rain rain rain rain rain rain");
    assert_int_equal(texts.batch.N, 20);
    assert_int_equal(texts.batch.ids[13], 3); /* [CLS] sun sun [SEP]: the short text is whole */
    assert_int_equal(texts.truncated_count, 2);
    assert_int_equal(texts.text_count, 2);
    sb_texts_release(&texts);
    sb_infer_release(&infer);
}

static void full_texts_fit_until_full(void **state)
{
    (void)state;
    struct sb_infer infer;
    struct sb_texts texts;
    open_model(&infer, SB_HEAD_NONE);
    sb_texts_init(&texts, &infer, 0);
    char text[200] = "";
    for (size_t i = 0; i < 40; i++)
        strcat(text, "sun ");
    while (!sb_texts_full(&texts))
        add(&texts, text, NULL);
    assert_true(texts.batch.N <= texts.pass_tokens);
    sb_texts_clear(&texts);
    size_t count = 0;
    for (; !sb_texts_full(&texts); count++)
        add(&texts, "", NULL);
    assert_int_equal(texts.batch.N, 2 * count);
    sb_texts_release(&texts);
    sb_infer_release(&infer);
}

static void what_cannot_answer_is_refused(void **state)
{
    (void)state;
    struct sb_infer infer;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_infer_open(&infer, "tests/golden/none", SB_HEAD_NONE, 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "tests/golden/none");
    sb_infer_release(&infer);

    assert_int_equal(sb_infer_open(&infer, MODEL, SB_HEAD_NSP, 1, &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "seq_relationship");
    sb_infer_release(&infer);
}

static void evaluate(struct sb_stats *stats, double *confusion, size_t pass_tokens, size_t step,
                     bool mlm)
{
    struct sb_infer infer;
    struct sb_dataset *data;
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_err err = SB_ERR_INIT;
    char *paths[] = {"tests/golden/commands/labelled.jsonl"};
    struct sb_mask_options masks = {.probability = 0.3};
    open_model(&infer, mlm ? SB_HEAD_MLM : SB_HEAD_CLASSIFY);
    struct sb_dataset_options options = {
        .kind = SB_DATA_LABELLED,
        .source = {.paths = paths, .path_count = 1, .labelled = true},
        .max_seq_length = 24,
        .labels = infer.bert.config.labels,
        .label_count = infer.bert.config.label_count,
        .cache_dir = sb_test_dir(),
        .threads = 1,
    };
    if (sb_dataset_open(&data, infer.tokenizer, &options, &err) < 0)
        fail_msg("%s", err.text);
    uint64_t count = sb_dataset_count(data);
    for (uint64_t first = 0; first < count; first += step) {
        uint64_t end = first + step < count ? first + step : count;
        if (sb_evaluate(&infer.bert, data, infer.tokenizer, mlm ? &masks : NULL, first, end,
                        pass_tokens, &arena, stats, confusion, &err) < 0)
            fail_msg("%s", err.text);
    }
    sb_arena_release(&arena);
    sb_dataset_free(&data);
    sb_infer_release(&infer);
}

static void passes_and_ranges_leave_no_trace_in_an_evaluation(void **state)
{
    (void)state;
    for (int mlm = 0; mlm < 2; mlm++) {
        struct sb_stats whole = {0}, pieces = {0};
        double whole_confusion[9] = {0}, pieces_confusion[9] = {0};
        evaluate(&whole, whole_confusion, 4096, 100, mlm);
        evaluate(&pieces, pieces_confusion, 1, 3, mlm);
        assert_true(whole.samples == 4 && whole.targets > 0 && whole.truncated == 1);
        assert_true(whole.samples == pieces.samples && whole.tokens == pieces.tokens);
        assert_true(whole.targets == pieces.targets && whole.correct == pieces.correct);
        assert_true(fabs(whole.loss - pieces.loss) < 1e-4);
        assert_memory_equal(whole_confusion, pieces_confusion, sizeof(whole_confusion));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_lie_side_by_side_with_their_specials),
        cmocka_unit_test(long_texts_are_cut_longest_first_and_counted),
        cmocka_unit_test(full_texts_fit_until_full),
        cmocka_unit_test(what_cannot_answer_is_refused),
        cmocka_unit_test(passes_and_ranges_leave_no_trace_in_an_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
