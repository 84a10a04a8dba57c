/* Work beside a thread that does not wait for it: who ends it, who releases it, and what others
 * see of it. */
#include "errand.h"

#include "beat.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct work {
    struct sb_errand errand; /* first */
    pthread_mutex_t *gate;   /* held by the owner as long as the work is to stand still */
    _Atomic bool begun;
    int *released;
};

static void work_on(struct sb_errand *errand)
{
    struct work *work = (struct work *)errand;
    sb_beat_pause(); /* as all do that write files */
    atomic_store(&work->begun, true);
    pthread_mutex_lock(work->gate);
    pthread_mutex_unlock(work->gate);
    sb_beat_resume();
}

static void release(struct sb_errand *errand)
{
    struct work *work = (struct work *)errand;
    __atomic_add_fetch(work->released, 1, __ATOMIC_SEQ_CST);
    free(work);
}

static struct work *start(pthread_mutex_t *gate, int *released)
{
    struct sb_err err = SB_ERR_INIT;
    struct work *work = calloc(1, sizeof(*work));
    assert_non_null(work);
    work->errand = (struct sb_errand){.run = work_on, .release = release, .patient = true};
    work->gate = gate;
    work->released = released;
    pthread_mutex_lock(gate);
    assert_int_equal(sb_errand_start(&work->errand, &err), 0);
    return work;
}

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void what_is_over_is_released_by_its_owner(void **state)
{
    (void)state;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int released = 0;
    struct work *work = start(&gate, &released);
    struct sb_errand *errand = &work->errand;
    assert_false(sb_errand_over(errand));
    pthread_mutex_unlock(&gate);
    while (!sb_errand_over(errand))
        wait_a_little();
    assert_int_equal(released, 0);
    sb_errand_let_go(&errand);
    assert_null(errand);
    assert_int_equal(released, 1);
    sb_errand_let_go(&errand);
}

static void what_is_let_go_ends_by_itself(void **state)
{
    (void)state;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int released = 0;
    struct work *work = start(&gate, &released);
    struct sb_errand *errand = &work->errand;
    sb_errand_cancel(errand);
    assert_true(sb_errand_unwanted(errand));
    sb_errand_let_go(&errand);
    assert_int_equal(__atomic_load_n(&released, __ATOMIC_SEQ_CST), 0);
    pthread_mutex_unlock(&gate);
    while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
        wait_a_little();
}

/* Else a thread that hangs would not be found as long as a disk does not answer. */
static void a_disk_that_does_not_answer_hides_nobody(void **state)
{
    (void)state;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int released = 0;
    uint64_t beats = sb_beat_count();
    struct work *work = start(&gate, &released);
    struct sb_errand *errand = &work->errand;
    while (!atomic_load(&work->begun))
        wait_a_little();
    assert_false(sb_beat_paused());
    pthread_mutex_unlock(&gate);
    while (!sb_errand_over(errand))
        wait_a_little();
    assert_int_equal(sb_beat_count(), beats);
    sb_errand_let_go(&errand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_over_is_released_by_its_owner),
        cmocka_unit_test(what_is_let_go_ends_by_itself),
        cmocka_unit_test(a_disk_that_does_not_answer_hides_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
