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

/* A state that is kept, and a copy of it. */
struct snapshot {
    struct sb_ckpt_state state;
    struct sb_frame **held;
    float *copies[3 * 3];
};

static float *kind_of(const struct sb_ckpt_part *part, size_t kind)
{
    return kind == 0 ? part->w : kind == 1 ? part->m : part->v;
}

static struct snapshot snapshot_of(struct fixture *f)
{
    struct snapshot kept = {.held = NULL};
    sb_shard_snapshot(f->shard, &kept.state, &kept.held);
    assert_int_equal(kept.state.part_count, 3);
    for (size_t i = 0; i < 9; i++) {
        const struct sb_ckpt_part *part = &kept.state.parts[i / 3];
        size_t bytes = part->count * sizeof(float);
        if (kind_of(part, i % 3))
            kept.copies[i] = memcpy(sb_alloc(bytes), kind_of(part, i % 3), bytes);
    }
    return kept;
}

static bool snapshot_is_as_it_was(const struct snapshot *kept)
{
    for (size_t i = 0; i < 9; i++) {
        const struct sb_ckpt_part *part = &kept->state.parts[i / 3];
        if (kept->copies[i] &&
            memcmp(kept->copies[i], kind_of(part, i % 3), part->count * sizeof(float)))
            return false;
    }
    return true;
}

static void drop_held(struct snapshot *kept, uint32_t part)
{
    for (size_t kind = 0; kind < 3; kind++)
        sb_frame_drop(&kept->held[3 * part + kind]);
}

static void snapshot_release(struct snapshot *kept)
{
    for (uint32_t part = 0; part < 3; part++)
        drop_held(kept, part);
    for (size_t i = 0; i < 9; i++)
        free(kept->copies[i]);
    free(kept->held);
    free(kept->state.parts);
}

/* Also moments, and rows that are looked at and moved. */
static void a_state_that_is_kept_stays_as_it_was(void **state)
{
    (void)state;
    struct fixture f;
    static const uint32_t rows[] = {0, 3};
    fixture_init(&f, true);
    step(&f, rows, 2);
    struct snapshot first = snapshot_of(&f);
    for (int i = 0; i < 3; i++) {
        struct sb_frame *look = numbers(rows, 2), *seen = sb_shard_weights(f.shard, SPARSE, look);
        sb_frame_drop(&look);
        sb_frame_drop(&seen);
        step(&f, rows, i);
    }
    struct snapshot second = snapshot_of(&f);
    step(&f, rows, 2);
    assert_true(snapshot_is_as_it_was(&first));
    assert_true(snapshot_is_as_it_was(&second));
    assert_memory_not_equal(first.copies[0], second.copies[0], sizeof(float));
    snapshot_release(&first);
    /* Nobody reads what is written already: the moments change in place again. */
    void *place = f.shard->mine[f.shard->place[DENSE]].m->data;
    step(&f, rows, 2);
    assert_ptr_equal(f.shard->mine[f.shard->place[DENSE]].m->data, place);
    assert_true(snapshot_is_as_it_was(&second));
    snapshot_release(&second);
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
                struct snapshot kept = snapshot_of(&f);
                assert_int_equal(kept.state.applied, 21);
                assert_int_equal(f.shard->groups[0].log.count, 0); /* nobody is behind */
                snapshot_release(&kept);
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

/* A head that says something else than its frames: the message's own checks come before, and yet.
 */
static Sb__Answer judge(struct fixture *f, uint32_t part, const Sb__Push *says,
                        struct sb_frame *frame0, struct sb_frame *frame1)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Push body = *says;
    head.term = TERM;
    head.node = 1;
    head.part = part;
    head.body_case = SB__HEAD__BODY_PUSH;
    head.push = &body;
    struct sb_msg *msg = sb_msg_new(&head, frame0, frame1, true);
    sb_frame_drop(&frame0);
    sb_frame_drop(&frame1);
    Sb__Answer answer = sb_shard_judge(f->shard, &head, msg, f->sentence, sizeof(f->sentence));
    sb_msg_free(&msg);
    return answer;
}

static void frames_that_are_not_what_the_head_says_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    static const uint32_t good[] = {1, 4};
    Sb__Push empty = SB__PUSH__INIT, sparse = SB__PUSH__INIT, initial = SB__PUSH__INIT,
             plain = SB__PUSH__INIT;
    empty.empty = sparse.rows = initial.initial = true;
    fixture_init(&f, true);
    EXPECT(f, judge(&f, DENSE, &empty, floats(15, 1), NULL), "empty sum has a frame");
    EXPECT(f, judge(&f, DENSE, &plain, NULL, NULL), "not of the part's size");
    EXPECT(f, judge(&f, SPARSE, &sparse, floats(2 * COLS, 1), NULL), "two frames");
    EXPECT(f, judge(&f, SPARSE, &sparse, floats(2 * COLS, 1), sb_frame_new(6)), "two frames");
    assert_int_equal(judge(&f, SPARSE, &sparse, floats(2 * COLS, 1), numbers(good, 2)),
                     SB__ANSWER__ANSWER_NEW);
    struct sb_frame *odd = sb_frame_new(6), *rows = numbers(good, 2);
    assert_false(sb_shard_rows_valid(f.shard, SPARSE, odd));
    assert_false(sb_shard_rows_valid(f.shard, 3, rows));
    assert_true(sb_shard_rows_valid(f.shard, SPARSE, rows));
    assert_null(sb_shard_weights(f.shard, 3, NULL));
    sb_frame_drop(&odd);
    sb_frame_drop(&rows);
    fixture_release(&f);

    fixture_init(&f, false);
    EXPECT(f, judge(&f, DENSE, &initial, NULL, NULL), "first weights are not of the part's size");
    assert_false(sb_shard_complete(f.shard));
    fixture_release(&f);
}

/* The gradients of rows, as a list and as a whole, with rows of weights taken in between. */
static void rows_and_the_whole_are_one_update(void **state)
{
    (void)state;
    static const uint32_t all[] = {0, 1, 2, 3, 4, 5};
    struct sb_frame *ends[2];
    double norms[2];
    uint32_t bad_part;
    for (int whole = 0; whole < 2; whole++) {
        struct fixture f;
        fixture_init(&f, true);
        for (size_t i = 0; i < 3; i++) {
            push(&f, i, 1, DENSE, false, NULL, NULL); /* nobody had a sample that reaches it */
            push(&f, i, 1, SPARSE, false, floats((size_t)ROWS * COLS, 1),
                 whole ? NULL : numbers(all, ROWS));
            assert_true(sb_shard_norms(f.shard, norms, &bad_part));
            assert_true(norms[0] == 0 && norms[1] > 0);
            sb_shard_commit(f.shard, true, 1, 1e-2);
        }
        ends[whole] = sb_shard_weights(f.shard, SPARSE, NULL);
        struct sb_frame *rows = numbers(all, 2), *some = sb_shard_weights(f.shard, FROZEN, rows);
        assert_int_equal(some->bytes, 4 * sizeof(float));
        assert_true(*(float *)some->data == 1);
        sb_frame_drop(&rows);
        sb_frame_drop(&some);
        fixture_release(&f);
    }
    assert_memory_equal(ends[0]->data, ends[1]->data, ends[0]->bytes);
    sb_frame_drop(&ends[0]);
    sb_frame_drop(&ends[1]);
}

/* Two tensors of one rate, the second of which begins a step later: each counts its own updates. */
static void what_begins_later_has_constants_of_its_own(void **state)
{
    (void)state;
    const struct sb_span two[] = {
        {.rows = 2, .cols = 2, .trainable = true},
        {.rows = 2, .cols = 2, .trainable = true, .from_step = 1},
        {.rows = ROWS, .cols = COLS, .trainable = true, .row_sparse = true, .from_step = 1},
    };
    struct fixture f;
    double norms[3];
    uint32_t bad_part;
    fixture_init(&f, false);
    sb_shard_free(&f.shard);
    f.shard = sb_shard_new(&f.job, NULL, two, 3, 0, 1, SLOTS, TERM);
    assert_int_equal(f.shard->group_count, 2);
    for (uint32_t part = 0; part < 3; part++)
        push(&f, 0, 0, part, true, floats(two[part].rows * two[part].cols, 1), NULL);
    for (size_t step = 0; step < 2; step++) {
        struct sb_frame *old[3], *fresh[3];
        for (uint32_t part = 0; part < 3; part++)
            old[part] = sb_shard_weights(f.shard, part, NULL);
        for (uint32_t part = 0; part < 3; part++)
            push(&f, step, 1, part, false, floats(two[part].rows * two[part].cols, 1), NULL);
        assert_true(sb_shard_norms(f.shard, norms, &bad_part));
        sb_shard_commit(f.shard, true, 1, 1e-2);
        for (uint32_t part = 0; part < 3; part++) {
            fresh[part] = sb_shard_weights(f.shard, part, NULL);
            assert_int_equal(memcmp(old[part]->data, fresh[part]->data, old[part]->bytes) != 0,
                             part == 0 || step == 1);
            sb_frame_drop(&old[part]);
            sb_frame_drop(&fresh[part]);
        }
    }
    fixture_release(&f);
}

static int refuse_to_read(void *context, const char *folder, struct sb_ckpt_state *state,
                          struct sb_err *err)
{
    (void)context;
    (void)state;
    return sb_err_set(err, SB_ERR_DATA, "'%s' is gone", folder);
}

static void a_server_may_own_nothing_and_a_folder_may_be_gone(void **state)
{
    (void)state;
    struct fixture f;
    struct sb_err err = SB_ERR_INIT;
    const struct sb_disk disk = {.read = refuse_to_read};
    double norms[1];
    uint32_t bad_part;
    fixture_init(&f, true);
    assert_int_equal(sb_shard_reload(f.shard, &disk, "checkpoint-5", &err), -1);
    sb_test_err_is(&err, SB_ERR_DATA, "'checkpoint-5' is gone");
    fixture_release(&f);

    fixture_init(&f, false);
    sb_shard_free(&f.shard);
    sb_shard_free(&f.shard);
    f.shard =
        sb_shard_new(&f.job, NULL, spans, 3, 3, 4, SLOTS, TERM); /* three parts, four servers */
    assert_int_equal(f.shard->mine_count, 0);
    assert_true(sb_shard_seeded(f.shard) && sb_shard_complete(f.shard));
    assert_true(sb_shard_norms(f.shard, norms, &bad_part));
    sb_shard_commit(f.shard, true, 1, 1e-2);
    assert_int_equal(f.shard->step, 1);
    struct sb_ckpt_state nothing;
    sb_shard_state_for_reading(f.shard, &nothing);
    assert_int_equal(nothing.part_count, 0);
    free(nothing.parts);
    sb_shard_free(&f.shard);
    f.shard = sb_shard_new(&f.job, NULL, NULL, 0, 0, 1, SLOTS, TERM); /* a model of nothing */
    assert_true(sb_shard_complete(f.shard));
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_are_judged),
        cmocka_unit_test(first_weights_are_taken_once_and_must_be_finite),
        cmocka_unit_test(weights_that_are_read_are_never_written),
        cmocka_unit_test(a_state_that_is_kept_stays_as_it_was),
        cmocka_unit_test(it_does_not_matter_when_a_row_is_looked_at),
        cmocka_unit_test(the_first_part_that_is_not_finite_is_named),
        cmocka_unit_test(frames_that_are_not_what_the_head_says_are_refused),
        cmocka_unit_test(rows_and_the_whole_are_one_update),
        cmocka_unit_test(what_begins_later_has_constants_of_its_own),
        cmocka_unit_test(a_server_may_own_nothing_and_a_folder_may_be_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
