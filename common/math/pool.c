#include "pool.h"

#include "arena.h"
#include "beat.h"
#include "clock.h"
#include "err.h"

#include <cblas.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Longer than the pause between two products of one pass, shorter than a slice of the scheduler. */
enum { SPIN_NS = 40000, PAUSES_PER_LOOK = 32 };

/*
 * ticket holds the number of the run in its upper half and the tiles that nobody has claimed yet in
 * its lower half.  A tile is claimed by counting down.  A thread that wakes up late finds nothing
 * to claim and touches nothing else, so a run never waits for a thread that has not begun: on a
 * machine that others use too, that is the difference between a hiccup and a stall.
 */
struct sb_pool {
    size_t thread_count; /* the caller included */
    pthread_t *threads;  /* [thread_count - 1] */
    sb_tile_fn *tile;    /* these three belong to the run whose tiles are claimed */
    void *context;
    size_t tile_count;
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic size_t done; /* finished tiles of this run */
    _Alignas(64) atomic_int idle;     /* workers asleep, or about to be */
    atomic_int caller_waits;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t work, finished;
};

struct start {
    struct sb_pool *pool;
    size_t thread;
};

void sb_pool_set_float_mode(void)
{
#ifdef __SSE2__
    enum { FTZ = 0x8000, DAZ = 0x0040 };
    _mm_setcsr(_mm_getcsr() | FTZ | DAZ);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    control |= UINT64_C(1) << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
#endif
}

/*
 * The OpenMP build of OpenBLAS asks OpenMP how many threads the calling thread may use, so each
 * thread has to say "one" for itself.
 */
static void enter_compute_thread(void)
{
    static pthread_mutex_t blas_mutex = PTHREAD_MUTEX_INITIALIZER;
    static _Thread_local bool entered;
    if (entered)
        return;
    entered = true;
    sb_pool_set_float_mode();
    pthread_mutex_lock(&blas_mutex);
    openblas_set_num_threads(1);
    pthread_mutex_unlock(&blas_mutex);
}

static void pause_briefly(void)
{
#ifdef __SSE2__
    for (int i = 0; i < PAUSES_PER_LOOK; i++)
        _mm_pause();
#else
    sched_yield();
#endif
}

static size_t unclaimed(uint64_t ticket)
{
    return (size_t)(ticket & UINT32_MAX);
}

static bool has_work(struct sb_pool *pool)
{
    return unclaimed(atomic_load(&pool->ticket)) > 0 || atomic_load(&pool->stop);
}

/* Works until nothing is left to claim. */
static void work(struct sb_pool *pool, size_t thread)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    while (unclaimed(ticket) > 0) {
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1))
            continue;
        size_t tile_count = pool->tile_count;
        pool->tile(pool->context, tile_count - unclaimed(ticket), thread);
        sb_beat();
        if (atomic_fetch_add(&pool->done, 1) + 1 == tile_count &&
            atomic_load(&pool->caller_waits)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->mutex);
        }
        ticket = atomic_load(&pool->ticket);
    }
}

static void wait_for_work(struct sb_pool *pool)
{
    uint64_t end_ns = sb_clock_ns() + SPIN_NS;
    while (!has_work(pool) && sb_clock_ns() < end_ns)
        pause_briefly();
    if (has_work(pool))
        return;
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->idle, 1);
    while (!has_work(pool))
        pthread_cond_wait(&pool->work, &pool->mutex);
    atomic_fetch_sub(&pool->idle, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    enter_compute_thread();
    sb_beat_join();
    while (!atomic_load(&start.pool->stop)) {
        wait_for_work(start.pool);
        work(start.pool, start.thread);
    }
    sb_beat_leave();
    return NULL;
}

struct sb_pool *sb_pool_new(size_t thread_count)
{
    struct sb_pool *pool = aligned_alloc(64, sizeof(*pool));
    sb_assert(pool != NULL);
    memset(pool, 0, sizeof(*pool));
    pool->thread_count = thread_count > 0 ? thread_count : sb_pool_usable_cores();
    pool->threads = sb_calloc(pool->thread_count, sizeof(*pool->threads));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    enter_compute_thread();
    for (size_t i = 1; i < pool->thread_count; i++) {
        struct start *start = sb_alloc(sizeof(*start));
        *start = (struct start){.pool = pool, .thread = i};
        if (pthread_create(&pool->threads[i - 1], NULL, worker_main, start) != 0) {
            /* Fewer threads give the same bits, only later. */
            free(start);
            pool->thread_count = i;
        }
    }
    return pool;
}

void sb_pool_free(struct sb_pool **pool_place)
{
    struct sb_pool *pool = *pool_place;
    if (pool == NULL)
        return;
    *pool_place = NULL;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 1; i < pool->thread_count; i++)
        pthread_join(pool->threads[i - 1], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool);
}

size_t sb_pool_thread_count(const struct sb_pool *pool)
{
    return pool == NULL ? 1 : pool->thread_count;
}

static void wait_until_done(struct sb_pool *pool, size_t tile_count)
{
    uint64_t end_ns = sb_clock_ns() + SPIN_NS;
    while (atomic_load(&pool->done) < tile_count && sb_clock_ns() < end_ns)
        pause_briefly();
    if (atomic_load(&pool->done) == tile_count)
        return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_waits, 1);
    while (atomic_load(&pool->done) < tile_count)
        pthread_cond_wait(&pool->finished, &pool->mutex);
    atomic_store(&pool->caller_waits, 0);
    pthread_mutex_unlock(&pool->mutex);
}

void sb_pool_run(struct sb_pool *pool, size_t tile_count, sb_tile_fn *tile, void *context)
{
    enter_compute_thread(); /* the caller need not be the thread that made the pool */
    if (pool == NULL || pool->thread_count == 1 || tile_count <= 1) {
        for (size_t i = 0; i < tile_count; i++) {
            tile(context, i, 0);
            sb_beat();
        }
        return;
    }
    sb_assert(tile_count < UINT32_MAX);
    pool->tile = tile;
    pool->context = context;
    pool->tile_count = tile_count;
    atomic_store(&pool->done, 0);
    uint64_t run = (atomic_load(&pool->ticket) >> 32) + 1;
    atomic_store(&pool->ticket, run << 32 | tile_count);
    if (atomic_load(&pool->idle) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->mutex);
    }
    work(pool, 0);
    wait_until_done(pool, tile_count);
}

/* The first two numbers of a file, or of two files; false if they are not there. */
static bool read_numbers(const char *path, long long *first, long long *second)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool read = fscanf(file, "%lld", first) == 1;
    if (read && second != NULL)
        read = fscanf(file, "%lld", second) == 1;
    fclose(file);
    return read;
}

/* Least quota, in cores, of a control group and all above it; 0 if there is none. */
static double quota_upward(const char *root, const char *group, bool version2)
{
    double least = 0;
    char folder[1024], path[2048];
    snprintf(folder, sizeof(folder), "%s", strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        long long quota = -1, period = 0;
        bool read;
        if (version2) {
            snprintf(path, sizeof(path), "%s%s/cpu.max", root, folder);
            read = read_numbers(path, &quota, &period); /* "max" is not a number: no quota */
        } else {
            snprintf(path, sizeof(path), "%s%s/cpu.cfs_quota_us", root, folder);
            read = read_numbers(path, &quota, NULL);
            snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", root, folder);
            read = read && read_numbers(path, &period, NULL);
        }
        if (read && quota > 0 && period > 0) {
            double cores = (double)quota / (double)period;
            least = least == 0 || cores < least ? cores : least;
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

static bool names_cpu(const char *controllers)
{
    char list[256];
    snprintf(list, sizeof(list), "%s", controllers);
    char *rest = list;
    for (char *word; (word = strsep(&rest, ",")) != NULL;)
        if (strcmp(word, "cpu") == 0)
            return true;
    return false;
}

/* Lines of /proc/self/cgroup: number ':' controllers (none for version 2) ':' group. */
static double quota_cores(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return 0;
    double least = 0;
    char line[1280];
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = line;
        strsep(&rest, ":");
        char *controllers = strsep(&rest, ":");
        if (rest == NULL)
            continue;
        double cores = 0;
        if (controllers[0] == '\0') {
            cores = quota_upward("/sys/fs/cgroup", rest, true);
        } else if (names_cpu(controllers)) {
            cores = quota_upward("/sys/fs/cgroup/cpu", rest, false);
        }
        if (cores > 0)
            least = least == 0 || cores < least ? cores : least;
    }
    fclose(file);
    return least;
}

size_t sb_pool_usable_cores(void)
{
    cpu_set_t set;
    size_t cores = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cores = (size_t)CPU_COUNT(&set);
    double quota = quota_cores();
    if (quota > 0 && quota < (double)cores)
        cores = (size_t)quota; /* rounded down: a throttled thread stops everyone */
    return cores > 0 ? cores : 1;
}
