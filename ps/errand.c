#include "errand.h"

#include "beat.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

enum phase {
    UNDER_WAY, /* or not begun */
    IS_OVER,
    LET_GO, /* by the owner, while it was under way */
};

enum { PATIENT_NICE = 10 };

bool sb_errand_over(const struct sb_errand *errand)
{
    return atomic_load(&errand->phase) == IS_OVER;
}

void sb_errand_cancel(struct sb_errand *errand)
{
    atomic_store(&errand->unwanted, true);
}

bool sb_errand_unwanted(const struct sb_errand *errand)
{
    return atomic_load(&errand->unwanted);
}

void sb_errand_let_go(struct sb_errand **errand_place)
{
    struct sb_errand *errand = *errand_place;
    if (!errand)
        return;
    *errand_place = NULL;
    sb_errand_cancel(errand);
    if (atomic_exchange(&errand->phase, LET_GO) == IS_OVER)
        errand->release(errand);
}

void sb_errand_carry_out(struct sb_errand *errand)
{
    errand->run(errand);
    if (atomic_exchange(&errand->phase, IS_OVER) == LET_GO)
        errand->release(errand);
}

static void *body(void *context)
{
    struct sb_errand *errand = context;
    sb_beat_stand_aside(); /* a disk that does not answer must not hide that its owner hangs */
    if (errand->patient)   /* of this thread alone; where it may not be done it is no loss */
        setpriority(PRIO_PROCESS, 0, PATIENT_NICE);
    sb_errand_carry_out(errand);
    return NULL;
}

int sb_errand_start(struct sb_errand *errand, struct sb_err *err)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, old;
    atomic_store(&errand->phase, UNDER_WAY);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for those who wait for them */
    int trouble = pthread_create(&thread, &attributes, body, errand);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (trouble)
        return sb_err_set(err, SB_ERR_TRY_AGAIN, "cannot start the thread that writes: %s",
                          strerror(trouble));
    return 0;
}
