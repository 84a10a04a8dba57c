#include "pool.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TILES = 97 };

struct count {
    atomic_int seen[TILES];
    size_t threads;
    atomic_int bad_thread;
};

static void count_tile(void *context, size_t tile, size_t thread)
{
    struct count *count = context;
    atomic_fetch_add(&count->seen[tile], 1);
    if (thread >= count->threads)
        atomic_store(&count->bad_thread, 1);
}

static void every_tile_runs_once_in_every_run(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 4; threads++) {
        struct sb_pool *pool = sb_pool_new(threads);
        static struct count count;
        count = (struct count){.threads = sb_pool_thread_count(pool)};
        int runs = 500;
        for (int run = 0; run < runs; run++) {
            if (run % 100 == 99)
                usleep(1000); /* long enough for the workers to fall asleep */
            sb_pool_run(pool, (size_t)(run % TILES) + 1, count_tile, &count);
            for (int tile = 0; tile <= run % TILES; tile++)
                assert_int_equal(atomic_exchange(&count.seen[tile], 0), 1);
        }
        assert_int_equal(atomic_load(&count.bad_thread), 0);
        sb_pool_free(&pool);
        assert_null(pool);
        sb_pool_free(&pool);
    }
}

static void no_pool_means_the_calling_thread(void **state)
{
    (void)state;
    static struct count count;
    count = (struct count){.threads = 1};
    sb_pool_run(NULL, 5, count_tile, &count);
    for (int tile = 0; tile < TILES; tile++)
        assert_int_equal(atomic_load(&count.seen[tile]), tile < 5 ? 1 : 0);
    sb_pool_run(NULL, 0, count_tile, &count);
}

struct tiny {
    volatile float value;
    atomic_int denormal_kept;
};

static void halve_a_denormal(void *context, size_t tile, size_t thread)
{
    (void)tile;
    (void)thread;
    struct tiny *tiny = context;
    volatile float half = tiny->value * 0.5f;
    if (half != 0.0f)
        atomic_store(&tiny->denormal_kept, 1);
}

static void every_thread_flushes_denormals(void **state)
{
    (void)state;
    struct sb_pool *pool = sb_pool_new(3);
    struct tiny tiny = {.value = 1.5e-38f};
    sb_pool_run(pool, 200, halve_a_denormal, &tiny);
#if defined(__SSE2__) || defined(__aarch64__)
    assert_int_equal(atomic_load(&tiny.denormal_kept), 0);
#endif
    sb_pool_free(&pool);
}

static void *halve_here(void *tiny)
{
    sb_pool_run(NULL, 1, halve_a_denormal, tiny);
    return NULL;
}

static void a_thread_that_made_no_pool_flushes_denormals_too(void **state)
{
    (void)state;
    struct tiny tiny = {.value = 1.5e-38f};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, halve_here, &tiny), 0);
    pthread_join(thread, NULL);
#if defined(__SSE2__) || defined(__aarch64__)
    assert_int_equal(atomic_load(&tiny.denormal_kept), 0);
#endif
}

static void usable_cores_are_at_least_one_and_at_most_what_is_there(void **state)
{
    (void)state;
    size_t cores = sb_pool_usable_cores();
    assert_true(cores >= 1);
    assert_true(cores <= (size_t)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tile_runs_once_in_every_run),
        cmocka_unit_test(no_pool_means_the_calling_thread),
        cmocka_unit_test(every_thread_flushes_denormals),
        cmocka_unit_test(a_thread_that_made_no_pool_flushes_denormals_too),
        cmocka_unit_test(usable_cores_are_at_least_one_and_at_most_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
