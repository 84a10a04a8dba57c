/* The smallest parts: arenas, bytes, errors, hashes. */
#include "support.h"

#include "arena.h"
#include "bytes.h"
#include "hash.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- arena ---- */

static void pieces_are_aligned_and_keep_their_contents(void **state)
{
    (void)state;
    enum { PIECES = 300 };
    struct sb_arena arena;
    unsigned char *pieces[PIECES];
    sb_arena_init(&arena, 1000);
    for (size_t i = 0; i < PIECES; i++) { /* through many blocks: 0 to 300 KB each */
        pieces[i] = sb_arena_take(&arena, i * 997 % 300000);
        assert_int_equal((uintptr_t)pieces[i] % 64, 0);
        memset(pieces[i], (int)i, i * 997 % 300000);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < i * 997 % 300000; j++)
            if (pieces[i][j] != (unsigned char)i)
                fail_msg("piece %zu byte %zu was overwritten", i, j);
    sb_arena_release(&arena);
    sb_arena_release(&arena); /* harmless */
}

static void arena_asks_for_no_more_after_the_first_pass(void **state)
{
    (void)state;
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_arena_block *block = NULL;
    for (int pass = 0; pass < 4; pass++) {
        sb_arena_reset(&arena);
        assert_int_equal(arena.taken_bytes, 0);
        if (pass == 1)
            block = arena.block;
        for (int i = 0; i < 100; i++)
            memset(sb_arena_array(&arena, double, 5000), 1, 5000 * sizeof(double));
        assert_int_equal(arena.taken_bytes, 100 * 40000);
        if (pass >= 1) /* one block that holds it all, for ever the same */
            assert_ptr_equal(arena.block, block);
    }
    assert_int_equal(arena.peak_bytes, 100 * 40000);
    sb_arena_release(&arena);
}

static void pages_are_zero_and_aligned(void **state)
{
    (void)state;
    size_t bytes = (3 << 20) + 5;
    unsigned char *pages = sb_alloc_pages(bytes);
    assert_int_equal((uintptr_t)pages % 4096, 0);
    assert_int_equal(pages[0] | pages[bytes - 1], 0);
    memset(pages, 7, bytes);
    sb_free_pages(pages, bytes);
    sb_free_pages(NULL, 0); /* harmless */
}

/* ---- bytes ---- */

static void bytes_grow_and_stay_text(void **state)
{
    (void)state;
    struct sb_bytes bytes = SB_BYTES_INIT;
    sb_bytes_append(&bytes, NULL, 0);
    assert_string_equal(bytes.data, "");
    for (int i = 0; i < 1000; i++)
        sb_bytes_printf(&bytes, "%d,", i);
    assert_int_equal(bytes.count, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(bytes.data), bytes.count);
    assert_string_equal(bytes.data + bytes.count - 8, "998,999,");
    sb_bytes_clear(&bytes);
    assert_string_equal(bytes.data, "");
    sb_bytes_append(&bytes, "a\0b", 3);
    sb_bytes_append_text(&bytes, "c");
    assert_int_equal(bytes.count, 4);
    assert_memory_equal(bytes.data, "a\0bc", 5);
    char *room = sb_bytes_reserve(&bytes, 100000);
    memset(room, 'x', 100000);
    bytes.count += 100000;
    assert_memory_equal(bytes.data, "a\0bcx", 5);
    sb_bytes_release(&bytes);
    assert_null(bytes.data);
    sb_bytes_clear(&bytes); /* harmless */
    sb_bytes_release(&bytes);
}

/* ---- errors ---- */

static void errors_carry_code_sentence_and_context(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_err_set(&err, SB_ERR_DATA, "byte %d: bad", 7), -1);
    assert_int_equal(sb_err_context(&err, "loading '%s'", "x"), -1);
    assert_string_equal(err.text, "loading 'x': byte 7: bad");
    assert_int_equal(err.code, SB_ERR_DATA);
    errno = ENOSPC;
    assert_int_equal(sb_err_set_errno(&err, SB_ERR_IO, "writing '%s'", "y"), -1);
    assert_string_equal(err.text, "writing 'y': No space left on device");
    assert_int_equal(err.code, SB_ERR_IO);
    /* Nobody wants to know: fine. */
    assert_int_equal(sb_err_set(NULL, SB_ERR_IO, "x"), -1);
    assert_int_equal(sb_err_set_errno(NULL, SB_ERR_IO, "x"), -1);
    assert_int_equal(sb_err_context(NULL, "x"), -1);
}

static void long_errors_are_cut_and_stay_text(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    char name[3000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    sb_err_set(&err, SB_ERR_DATA, "'%s'", name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    sb_err_context(&err, "loading");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "loading: 'nnn", 13);
    errno = EIO;
    sb_err_set_errno(&err, SB_ERR_IO, "%s", name);
    sb_err_context(&err, "%s", name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void bug_of_ours_stops_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        sb_assert(1 + 1 == 3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- hashes ---- */

static void hash_in_pieces_is_the_hash_of_the_whole(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    unsigned char *data = sb_alloc(COUNT);
    for (size_t i = 0; i < COUNT; i++)
        data[i] = (unsigned char)(i * 31);
    char whole[SB_HASH_TEXT_BYTES], pieces[SB_HASH_TEXT_BYTES], other[SB_HASH_TEXT_BYTES];
    sb_hash_text128(data, COUNT, whole);
    struct sb_hasher hasher;
    sb_hasher_init(&hasher);
    for (size_t at = 0, step = 1; at < COUNT; at += step, step = step * 2 + 1)
        sb_hasher_add(&hasher, data + at, at + step < COUNT ? step : COUNT - at);
    sb_hasher_text128(&hasher, pieces);
    assert_string_equal(pieces, whole);
    assert_int_equal(strlen(whole), 32);
    sb_hasher_release(&hasher);
    sb_hasher_release(&hasher); /* harmless */
    data[COUNT - 1] ^= 1;
    sb_hash_text128(data, COUNT, other);
    assert_string_not_equal(other, whole);
    free(data);
}

/* XXH3 of nothing, from the definition of the algorithm's authors. */
static void hash_of_nothing_has_its_known_value(void **state)
{
    (void)state;
    assert_true(sb_hash("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(sb_hash_seeded("", 0, 0) == sb_hash("", 0));
    assert_true(sb_hash_seeded("", 0, 1) != sb_hash("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_keep_their_contents),
        cmocka_unit_test(arena_asks_for_no_more_after_the_first_pass),
        cmocka_unit_test(pages_are_zero_and_aligned),
        cmocka_unit_test(bytes_grow_and_stay_text),
        cmocka_unit_test(errors_carry_code_sentence_and_context),
        cmocka_unit_test(long_errors_are_cut_and_stay_text),
        cmocka_unit_test(bug_of_ours_stops_the_process),
        cmocka_unit_test(hash_in_pieces_is_the_hash_of_the_whole),
        cmocka_unit_test(hash_of_nothing_has_its_known_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
