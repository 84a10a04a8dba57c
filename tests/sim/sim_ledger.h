/*
 * The audit of tests/support/ledger.py while a simulated run goes on: every slot of every step is
 * applied exactly once on every server, nothing outside its term and step, and all servers end each
 * step as the coordinator decided.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "ledger.h"

#include <stdbool.h>

enum { SIM_LEDGER_SERVERS = 8, SIM_LEDGER_PARTS = 64 };

struct sim_ledger {
    struct sim_ledger_server {
        struct sim_ledger *ledger;
        uint32_t index, term; /* term 0: none began */
        uint64_t step, slots;
        bool trained[SIM_LEDGER_PARTS];
        uint64_t applied[SIM_LEDGER_PARTS]; /* a bit for each slot that the part's sum has */
    } servers[SIM_LEDGER_SERVERS];
    struct sim_ledger_decision {
        uint32_t term;
        uint64_t step;
        char what[8];
        double scale, rate;
        uint32_t ended; /* a bit for each server */
    } * decisions;
    size_t decision_count;
    uint32_t term, server_count;   /* of the newest term */
    uint64_t first_step, step;     /* the surviving line: its beginning, and its end as of now */
    uint64_t furthest;             /* that any line has come */
    bool went_on;                  /* a term began with a checkpoint of a line that was given up */
    uint64_t applied, not_applied; /* pushes */
    char violation[256];           /* the first one, or nothing */
};

void sim_ledger_init(struct sim_ledger *ledger);
void sim_ledger_release(struct sim_ledger *ledger);
/* An sb_ledger_fn; context is one of ledger->servers, which outlives the server's lives. */
void sim_ledger_take(void *context, const struct sb_entry *entry);
/* After a run that ended well: every server has ended every step of the surviving line. */
void sim_ledger_finish(struct sim_ledger *ledger);

#endif
