/* What a shard says to pushes, and whose memory it writes. */
#include "shard.h"

#include "arena.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4, TERM = 3, DENSE = 0, FROZEN = 1, SPARSE = 2, ROWS = 6, COLS = 4 };

static const struct sb_span spans[] = {
    {.rows = 3, .cols = 5, .decay = true, .trainable = true},
    {.rows = 2, .cols = 2},
    {.rows = ROWS, .cols = COLS, .decay = true, .trainable = true, .row_sparse = true},
};

struct fixture {
    struct sb_job job;
    struct sb_shard *shard;
    char sentence[256];
};

static struct sb_frame *floats(size_t count, float value)
{
    struct sb_frame *frame = sb_frame_new(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        ((float *)frame->data)[i] = value + 0.01f * (float)i;
    return frame;
}

static struct sb_frame *numbers(const uint32_t *values, size_t count)
{
    struct sb_frame *frame = sb_frame_new(count * sizeof(*values));
    memcpy(frame->data, values, frame->bytes);
    return frame;
}

/* A push as it would come in, taken if it is NEW.  Takes the frames. */
static Sb__Answer push(struct fixture *f, uint64_t step, uint32_t node, uint32_t part, bool initial,
                       struct sb_frame *frame0, struct sb_frame *frame1)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push body = SB__PUSH__INIT;
    body.initial = initial;
    body.rows = frame1 != NULL;
    body.empty = !frame0;
    head.term = TERM;
    head.step = step;
    head.node = node;
    head.part = part;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &body;
    struct sb_msg *msg = sb_msg_new(&head, frame0, frame1, true);
    sb_frame_drop(&frame0);
    sb_frame_drop(&frame1);
    Sb__Answer answer = sb_shard_judge(f->shard, &head, msg, f->sentence, sizeof(f->sentence));
    if (answer == SB__ANSWER__ANSWER_NEW)
        sb_shard_take(f->shard, &head, msg);
    sb_msg_free(&msg);
    return answer;
}

static void seed(struct fixture *f)
{
    for (uint32_t part = 0; part < 3; part++)
        assert_int_equal(
            push(f, 0, 0, part, true, floats(spans[part].rows * spans[part].cols, 1), NULL),
            SB__ANSWER__ANSWER_NEW);
}

static void fixture_init(struct fixture *f, bool seeded)
{
    struct sb_err err = SB_ERR_INIT;
    memset(f, 0, sizeof(*f));
    sb_job_init(&f->job);
    assert_int_equal(sb_job_set(&f->job, "weight_decay=0.1", &err), 0);
    f->shard = sb_shard_new(&f->job, NULL, spans, 3, 0, 1, SLOTS, TERM);
    assert_int_equal(f->shard->parts.count, 3);
    if (seeded)
        seed(f);
}

static void fixture_release(struct fixture *f)
{
    sb_shard_free(&f->shard);
    sb_job_release(&f->job);
}

#define EXPECT(f, answer, words)                                                                   \
    do {                                                                                           \
        assert_int_equal(answer, SB__ANSWER__ANSWER_BAD);                                          \
        if (!strstr((f).sentence, words))                                                          \
            fail_msg("'%s' lacks '%s'", (f).sentence, words);                                      \
    } while (0)

static void pushes_are_judged(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    static const uint32_t falling[] = {3, 2}, outside[] = {2, ROWS}, good[] = {1, 4};
    assert_int_equal(push(&f, 0, 2, DENSE, false, floats(15, 1), NULL), SB__ANSWER__ANSWER_NEW);
    assert_int_equal(push(&f, 0, 2, DENSE, false, floats(15, 2), NULL),
                     SB__ANSWER__ANSWER_DUPLICATE);
    assert_int_equal(push(&f, 0, 5, DENSE, false, floats(15, 2), NULL),
                     SB__ANSWER__ANSWER_DUPLICATE);
    assert_int_equal(push(&f, 1, 3, DENSE, false, floats(15, 1), NULL), SB__ANSWER__ANSWER_FUTURE);
    EXPECT(f, push(&f, 0, 8, DENSE, false, floats(15, 1), NULL), "outside the tree");
    EXPECT(f, push(&f, 0, 0, DENSE, false, floats(15, 1), NULL), "outside the tree");
    EXPECT(f, push(&f, 0, 3, DENSE, false, floats(14, 1), NULL), "not of the part's size");
    EXPECT(f, push(&f, 0, 3, FROZEN, false, floats(4, 1), NULL), "frozen");
    EXPECT(f, push(&f, 0, 3, 3, false, floats(4, 1), NULL), "not a part of this server");
    EXPECT(f, push(&f, 0, 3, DENSE, false, floats(10, 1), numbers(good, 2)), "dense part");
    EXPECT(f, push(&f, 0, 3, SPARSE, false, floats(2 * COLS, 1), numbers(falling, 2)),
           "do not rise");
    EXPECT(f, push(&f, 0, 3, SPARSE, false, floats(2 * COLS, 1), numbers(outside, 2)),
           "out of range");
    EXPECT(f, push(&f, 0, 3, SPARSE, false, floats(COLS, 1), numbers(good, 2)),
           "as many values as rows");
    assert_int_equal(push(&f, 0, 3, SPARSE, false, floats(2 * COLS, 1), numbers(good, 2)),
                     SB__ANSWER__ANSWER_NEW);
    assert_int_equal(push(&f, 0, 2, SPARSE, false, NULL, NULL), SB__ANSWER__ANSWER_NEW);
    assert_int_equal(push(&f, 0, 3, DENSE, false, NULL, NULL), SB__ANSWER__ANSWER_NEW);
    assert_true(sb_shard_complete(f.shard));
    double norms[2];
    uint32_t bad_part;
    assert_true(sb_shard_norms(f.shard, norms, &bad_part));
    sb_shard_commit(f.shard, true, 1, 1e-3);
    assert_int_equal(push(&f, 0, 3, DENSE, false, floats(15, 1), NULL), SB__ANSWER__ANSWER_STALE);
    f.shard->term++;
    assert_int_equal(push(&f, 1, 3, DENSE, false, floats(15, 1), NULL), SB__ANSWER__ANSWER_STALE);
    fixture_release(&f);
}

static void first_weights_are_taken_once_and_must_be_finite(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, false);
    assert_int_equal(push(&f, 0, 2, DENSE, false, floats(15, 1), NULL), SB__ANSWER__ANSWER_FUTURE);
    EXPECT(f, push(&f, 0, 0, DENSE, true, floats(15, NAN), NULL), "not finite");
    EXPECT(f, push(&f, 0, 0, DENSE, true, floats(16, 1), NULL), "not of the part's size");
    assert_null(sb_shard_weights(f.shard, DENSE, NULL));
    seed(&f);
    assert_true(sb_shard_seeded(f.shard));
    assert_int_equal(push(&f, 0, 0, DENSE, true, floats(15, 7), NULL),
                     SB__ANSWER__ANSWER_DUPLICATE);
    struct sb_frame *weights = sb_shard_weights(f.shard, DENSE, NULL);
    assert_true(*(float *)weights->data == 1);
    sb_frame_drop(&weights);
    fixture_release(&f);
}

static void step(struct fixture *f, const uint32_t *rows, size_t row_count)
{
    double norms[2];
    uint32_t bad_part;
    push(f, f->shard->step, 1, DENSE, false, floats(15, 1), NULL);
    push(f, f->shard->step, 1, SPARSE, false, row_count ? floats(row_count * COLS, 1) : NULL,
         row_count ? numbers(rows, row_count) : NULL);
    assert_true(sb_shard_norms(f->shard, norms, &bad_part));
    sb_shard_commit(f->shard, true, 0.5, 1e-2);
}

static void weights_that_are_read_are_never_written(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    static const uint32_t rows[] = {0, 3};
    for (uint32_t part = 0; part < 3; part += 2) {
        struct sb_frame *old = sb_shard_weights(f.shard, part, NULL),
                        *copy = sb_frame_new(old->bytes);
        memcpy(copy->data, old->data, old->bytes);
        step(&f, rows, 2);
        assert_memory_equal(old->data, copy->data, old->bytes);
        struct sb_frame *fresh = sb_shard_weights(f.shard, part, NULL);
        assert_ptr_not_equal(fresh, old);
        assert_memory_not_equal(fresh->data, copy->data, old->bytes);
        sb_frame_drop(&old);
        sb_frame_drop(&copy);
        void *place = fresh->data;
        sb_frame_drop(&fresh);
        step(&f, rows, 2); /* nobody reads: in place */
        fresh = sb_shard_weights(f.shard, part, NULL);
        assert_ptr_equal(fresh->data, place);
        sb_frame_drop(&fresh);
    }
    fixture_release(&f);
}

/* Rows that are looked at after every step, at the end only, or never until the checkpoint. */
static void it_does_not_matter_when_a_row_is_looked_at(void **state)
{
    (void)state;
    static const uint32_t touched[][2] = {{0, 3}, {1, 3}, {0, 1}, {3, 4}};
    struct sb_frame *ends[2];
    for (uint32_t often = 0; often < 2; often++) {
        struct fixture f;
        fixture_init(&f, true);
        for (size_t i = 0; i < 40; i++) {
            step(&f, touched[i % 4], i % 3 ? 2 : 0);
            const uint32_t look[] = {(uint32_t)i % 3, 5};
            struct sb_frame *rows = numbers(look, 2),
                            *seen = often ? sb_shard_weights(f.shard, SPARSE, rows) : NULL;
            sb_frame_drop(&rows);
            sb_frame_drop(&seen);
            if (often && i == 20) {
                struct sb_ckpt_state described;
                sb_shard_state(f.shard, &described);
                assert_int_equal(described.applied, 21);
                assert_int_equal(f.shard->groups[0].log.count, 0); /* nobody is behind */
                free(described.parts);
            }
        }
        ends[often] = sb_shard_weights(f.shard, SPARSE, NULL);
        fixture_release(&f);
    }
    assert_memory_equal(ends[0]->data, ends[1]->data, ends[0]->bytes);
    sb_frame_drop(&ends[0]);
    sb_frame_drop(&ends[1]);
}

static void the_first_part_that_is_not_finite_is_named(void **state)
{
    (void)state;
    struct fixture f;
    double norms[2];
    uint32_t bad_part = 99;
    static const uint32_t rows[] = {2};
    fixture_init(&f, true);
    push(&f, 0, 1, DENSE, false, floats(15, 1), NULL);
    push(&f, 0, 1, SPARSE, false, floats(COLS, INFINITY), numbers(rows, 1));
    assert_false(sb_shard_norms(f.shard, norms, &bad_part));
    assert_int_equal(bad_part, SPARSE);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_are_judged),
        cmocka_unit_test(first_weights_are_taken_once_and_must_be_finite),
        cmocka_unit_test(weights_that_are_read_are_never_written),
        cmocka_unit_test(it_does_not_matter_when_a_row_is_looked_at),
        cmocka_unit_test(the_first_part_that_is_not_finite_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
