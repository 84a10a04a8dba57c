/*
 * Work that goes on beside a thread that must not wait for it: a disk may take half a minute.
 *
 *     start -----> run, elsewhere -----> over: the owner reads what came of it, and lets go
 *        '-- let go: unwanted -----> the end: released by whoever ran it
 *
 * One of the two writes what is in it at any time: the one who runs it until it is over, then the
 * owner.  A struct that begins with one carries what the work is about.
 */
#ifndef SB_ERRAND_H
#define SB_ERRAND_H

#include "err.h"

#include <stdatomic.h>
#include <stdbool.h>

struct sb_errand {
    void (*run)(struct sb_errand *errand);
    void (*release)(struct sb_errand *errand); /* frees it, with all that it holds */
    bool patient;                              /* others may have the cores first */
    _Atomic bool unwanted;
    _Atomic int phase; /* errand.c */
};

/* Runs it on a thread of its own.  -1 and err if there can be none: then it is still the owner's
 * alone. */
int sb_errand_start(struct sb_errand *errand, struct sb_err *err);

/* The owner's: what it did may be read. */
bool sb_errand_over(const struct sb_errand *errand);
/* It may end early; the owner still waits for its end. */
void sb_errand_cancel(struct sb_errand *errand);
/* The owner will not come back: the last of the two releases it.  Takes NULL. */
void sb_errand_let_go(struct sb_errand **errand);

/* Whoever runs it asks this now and then: nobody wants it any more. */
bool sb_errand_unwanted(const struct sb_errand *errand);
/* Runs it here: for who has a way of his own to do it elsewhere. */
void sb_errand_carry_out(struct sb_errand *errand);

#endif
