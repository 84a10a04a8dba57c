/* Windows over long sentences: every word once, in the window where it has most context. */
#include "support.h"

#include "windows.h"

#include <stdlib.h>

enum { WORDS_MAX = 60 };

static size_t sum(const uint32_t *pieces, size_t first, size_t end)
{
    size_t total = 0;
    for (size_t i = first; i < end; i++)
        total += pieces[i];
    return total;
}

/* By the definition, from scratch. */
static size_t context(const struct sb_window *w, const uint32_t *pieces, size_t count, size_t word)
{
    size_t before = w->first == 0 ? SIZE_MAX : sum(pieces, w->first, word);
    size_t behind = w->end == count ? SIZE_MAX : sum(pieces, word + 1, w->end);
    return before < behind ? before : behind;
}

static void check(const struct sb_windows *windows, const uint32_t *pieces, size_t count,
                  size_t room, size_t stride)
{
    size_t next = 0;
    for (size_t i = 0; i < windows->count; i++) {
        const struct sb_window *w = &windows->items[i];
        assert_true(w->first < w->end && sum(pieces, w->first, w->end) <= room);
        /* As long as it can be. */
        assert_true(w->end == count || sum(pieces, w->first, w->end + 1) > room);
        assert_int_equal(w->own_first, next);
        assert_true(w->own_first == w->own_end ||
                    (w->own_first >= w->first && w->own_end <= w->end));
        next = w->own_end;
        if (i == 0) {
            assert_int_equal(w->first, 0);
            continue;
        }
        const struct sb_window *before = w - 1;
        assert_true(w->first > before->first && w->first <= before->end && w->end > before->end);
        assert_true(sum(pieces, w->first, before->end) <= stride);
        for (size_t word = w->own_first; word < w->own_end; word++)
            for (size_t j = 0; j < windows->count; j++) {
                const struct sb_window *other = &windows->items[j];
                if (other->first <= word && word < other->end)
                    assert_true(context(w, pieces, count, word) >=
                                context(other, pieces, count, word));
            }
    }
    assert_int_equal(next, count);
}

static void every_word_is_decided_once_where_it_has_most_context(void **state)
{
    (void)state;
    struct sb_windows windows = {0};
    srand(3);
    for (int turn = 0; turn < 3000; turn++) {
        uint32_t pieces[WORDS_MAX];
        size_t count = 1 + (size_t)rand() % WORDS_MAX, room = 2 + (size_t)rand() % 20;
        size_t stride = (size_t)rand() % (room / 2 + 1), most = 1 + (size_t)rand() % room;
        for (size_t i = 0; i < count; i++)
            pieces[i] = 1 + (uint32_t)rand() % (uint32_t)most;
        sb_windows_cut(&windows, pieces, count, room, stride);
        check(&windows, pieces, count, room, stride);
    }
    sb_windows_release(&windows);
}

static void a_short_sentence_is_one_window(void **state)
{
    (void)state;
    struct sb_windows windows = {0};
    sb_windows_cut(&windows, (const uint32_t[]){1, 2, 3}, 3, 6, 2);
    assert_int_equal(windows.count, 1);
    assert_int_equal(windows.items[0].own_end, 3);
    sb_windows_cut(&windows, NULL, 0, 6, 2);
    assert_int_equal(windows.count, 0);
    sb_windows_release(&windows);
}

static void windows_share_the_stride(void **state)
{
    (void)state;
    uint32_t ones[20];
    struct sb_windows windows = {0};
    for (size_t i = 0; i < 20; i++)
        ones[i] = 1;
    sb_windows_cut(&windows, ones, 20, 10, 4);
    assert_int_equal(windows.count, 3);
    assert_int_equal(windows.items[1].first, 6);
    assert_int_equal(windows.items[2].first, 12);
    /* Of the shared words 6 7 8 9 the left two have more behind them in the first window. */
    assert_int_equal(windows.items[0].own_end, 8);
    assert_int_equal(windows.items[1].own_end, 14);
    /* More than half a window is not shared. */
    sb_windows_cut(&windows, ones, 20, 10, 100);
    assert_int_equal(windows.items[1].first, 5);
    sb_windows_release(&windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_decided_once_where_it_has_most_context),
        cmocka_unit_test(a_short_sentence_is_one_window),
        cmocka_unit_test(windows_share_the_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
