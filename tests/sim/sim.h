/*
 * A whole cluster in one thread: servers and clients as the pure cores that they are, a toy model,
 * a clock that is a number, and a network that drops, repeats, delays and reorders, all drawn from
 * one seed.
 *
 * The toy's gradient of a slot is a pure function of (weights, step, slot), so a plain loop over
 * the slots (sim_reference) says what every cluster must end with, bit for bit.
 */
#ifndef SIM_H
#define SIM_H

#include "ckpt.h"
#include "config.h"
#include "server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the network does to a message; shares of 1000. */
struct sim_network {
    unsigned drop, repeat, damage;
    unsigned delay_ms_max;
    bool wire;           /* frames are copied, as by sockets; else shared, as inside one process */
    bool poison_repeats; /* the second copy of a push that was taken carries other numbers */
    bool poison_first;   /* negative control: so does a first copy */
    unsigned forge; /* share of messages after which one with flipped bits follows, from anyone but
                       server 0 */
};

struct sim_options {
    uint64_t seed;
    uint32_t servers, workers, slots;
    uint64_t steps;
    bool dense;   /* the row-sparse tensor is declared dense */
    bool grouped; /* the loss compares vectors of all slots */
    bool big;     /* the row-sparse tensor has several parts */
    bool pool;    /* servers have threads */
    bool checksum;
    struct sim_network network;
    struct sb_disk *disk; /* NULL: no checkpoints */
    uint64_t save_steps;
    uint64_t stop_at; /* stop (143) when this many steps are committed; 0: never */
    uint64_t
        nonfinite_at; /* the gradient of one slot of this step (from 1) is not a number; 0: never */
    uint64_t nonfinite_steps; /* so many steps from there on; 0: one */
    bool skip_nonfinite;      /* they are skipped */
    uint64_t silent_at;       /* worker 0 falls silent for ever at this step (from 1); 0: never */
    uint64_t kill_at; /* worker `killed` is gone when this many steps are committed; 0: never */
    uint32_t killed;
    bool revive;      /* and comes back 3 s later as another incarnation */
    unsigned crashes; /* so many processes, drawn with their moments from the seed, die and are
                         started again; needs network.wire */
    unsigned freezes; /* so many times a worker, drawn with its moment, stands still for a while */
    unsigned hangs;   /* or answers messages and computes nothing */
    uint32_t joiners; /* workers that come while the run goes on */
    unsigned leavers; /* workers that get a signal */
    bool uneven;      /* worker i is i + 1 times slower than worker 0 */
    double weight_decay;
    bool keep_first; /* load_best_model_at_end, where the best evaluation is the first */
};

struct sim_step {
    double loss, grad_norm, rate, targets;
};

struct sim_result {
    int code;
    unsigned crashed, restarted_servers; /* processes that died; servers among them */
    uint64_t redone;     /* steps that were committed again, with the same figures */
    uint64_t first_step; /* finished before this run */
    bool left_early; /* the coordinator died when a worker had said good-bye: it waits in vain */
    char sentence[1024];
    float *weights; /* [float_count] what worker 0 fetched at the end; NULL if it did not come to
                       that */
    size_t float_count;
    struct sim_step *steps; /* of the steps that this run committed */
    size_t step_count;
    char *history;                                               /* of FINISH */
    unsigned saves, save_failures, saves_left_out, steps_beside; /* steps committed while one is
                                                                     written */
    uint64_t newest_saved;
    unsigned warnings, waitings, evaluations, lost, slow;
    unsigned left;       /* workers that got a signal */
    unsigned stalled;    /* freezes and hangs that came to pass */
    uint64_t applied;    /* pushes, each of them audited (sim_ledger.h); where one should not have
                            been, code is SB_ERR_BUG */
    uint64_t duplicates; /* pushes that were answered DUPLICATE or STALE */
    char refused[1024];
    double virtual_seconds;
};

void sim_run(const struct sim_options *options, struct sim_result *result);
void sim_result_release(struct sim_result *result);

/* What any run of these options must end with: weights, steps. */
void sim_reference(const struct sim_options *options, struct sim_result *result);

/*
 * Checkpoints in memory, written with delays: most of up to a tenth of slowest_ms (400 at first), a
 * quarter of up to all of it.  fail_writes, fail_starts: so many of the next ones fail.
 */
struct sb_disk *sim_disk_new(void);
void sim_disk_free(struct sb_disk **disk);
void sim_disk_slow(struct sb_disk *disk, uint64_t seed, uint64_t slowest_ms);
void sim_disk_fail_writes(struct sb_disk *disk, unsigned count);
/* The state of this step is never written. */
void sim_disk_fail_step(struct sb_disk *disk, uint64_t step);
void sim_disk_fail_starts(struct sb_disk *disk, unsigned count);
/* Around the end of a process: what becomes unwanted in between was its own, and ends with it. */
void sim_disk_before_a_death(struct sb_disk *disk);
void sim_disk_after_a_death(struct sb_disk *disk);
/* Does what is due; and, when all processes are gone, forgets what is left. */
void sim_disk_turn(struct sb_disk *disk, uint64_t now_ns);
void sim_disk_end(struct sb_disk *disk);

#endif
