#include "sim_ledger.h"

#include "arena.h"
#include "nodes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void complain(struct sim_ledger *ledger, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct sim_ledger *ledger, const char *format, ...)
{
    va_list args;
    if (ledger->violation[0])
        return;
    va_start(args, format);
    vsnprintf(ledger->violation, sizeof(ledger->violation), format, args);
    va_end(args);
}

void sim_ledger_init(struct sim_ledger *ledger)
{
    *ledger = (struct sim_ledger){.first_step = UINT64_MAX};
    for (uint32_t i = 0; i < SIM_LEDGER_SERVERS; i++)
        ledger->servers[i] = (struct sim_ledger_server){.ledger = ledger, .index = i};
}

void sim_ledger_release(struct sim_ledger *ledger)
{
    free(ledger->decisions);
    ledger->decisions = NULL;
}

static struct sim_ledger_decision *find(struct sim_ledger *ledger, uint32_t term, uint64_t step)
{
    for (size_t i = ledger->decision_count; i-- > 0;)
        if (ledger->decisions[i].term == term && ledger->decisions[i].step == step)
            return &ledger->decisions[i];
    return NULL;
}

/* ---- the coordinator ---- */

static void take_term(struct sim_ledger *ledger, const struct sb_entry *entry)
{
    if (entry->term <= ledger->term)
        complain(ledger, "term %" PRIu32 " began after term %" PRIu32, entry->term, ledger->term);
    if (ledger->first_step == UINT64_MAX)
        ledger->first_step = ledger->step = entry->step;
    /* Further than the last term: its checkpoint came to its end when that one had begun. */
    ledger->went_on |= entry->step > ledger->step;
    if (ledger->step > ledger->furthest)
        ledger->furthest = ledger->step;
    if (entry->step < ledger->first_step || entry->step > ledger->furthest)
        complain(ledger, "term %" PRIu32 " begins at step %" PRIu64 ", but %" PRIu64 " were done",
                 entry->term, entry->step, ledger->furthest);
    ledger->term = entry->term;
    ledger->step = entry->step;
    ledger->server_count = (uint32_t)entry->count;
}

static void take_decision(struct sim_ledger *ledger, const struct sb_entry *entry)
{
    struct sim_ledger_decision decision = {
        .term = entry->term, .step = entry->step, .scale = entry->scale, .rate = entry->rate};
    if (entry->term != ledger->term || entry->step != ledger->step)
        complain(ledger,
                 "step %" PRIu64 " of term %" PRIu32 " was decided in term %" PRIu32
                 ", after %" PRIu64 " steps",
                 entry->step, entry->term, ledger->term, ledger->step);
    snprintf(decision.what, sizeof(decision.what), "%s", entry->what);
    ledger->decisions =
        sb_realloc(ledger->decisions, (ledger->decision_count + 1) * sizeof(*ledger->decisions));
    ledger->decisions[ledger->decision_count++] = decision;
    ledger->step = entry->step + 1;
}

/* ---- servers ---- */

static void begin(struct sim_ledger_server *server, const struct sb_entry *entry)
{
    if (entry->term <= server->term)
        complain(server->ledger, "server %" PRIu32 " began term %" PRIu32 " after term %" PRIu32,
                 server->index, entry->term, server->term);
    server->term = entry->term;
    server->step = entry->step;
    server->slots = entry->count;
    sb_assert(entry->count < 64); /* a bit each */
    memset(server->trained, 0, sizeof(server->trained));
    memset(server->applied, 0, sizeof(server->applied));
    for (const char *at = entry->trained; at && *at; at += *at == ',') {
        char *end;
        unsigned long part = strtoul(at, &end, 10);
        sb_assert(part < SIM_LEDGER_PARTS);
        server->trained[part] = true;
        at = end;
    }
}

static void take_push(struct sim_ledger_server *server, const struct sb_entry *entry)
{
    struct sim_ledger *ledger = server->ledger;
    if (strcmp(entry->what, "applied") != 0) {
        ledger->not_applied++;
        return;
    }
    ledger->applied++;
    if (entry->of_term != server->term || entry->of_step != server->step)
        complain(ledger,
                 "server %" PRIu32 ": a push of term %" PRIu32 ", step %" PRIu64
                 " was applied in term %" PRIu32 ", step %" PRIu64,
                 server->index, entry->of_term, entry->of_step, server->term, server->step);
    uint32_t slots = (uint32_t)server->slots;
    if (entry->part >= SIM_LEDGER_PARTS || !server->trained[entry->part] ||
        !sb_node_valid(entry->node, slots)) {
        complain(ledger, "server %" PRIu32 " applied node %" PRIu32 " of part %" PRIu32,
                 server->index, entry->node, entry->part);
        return;
    }
    /* What is inside the node is replaced by it, so only a node that is whole already is one too
     * many. */
    uint64_t mask = (UINT64_C(1) << sb_node_slot_count(entry->node, slots)) - 1;
    mask <<= sb_node_first_slot(entry->node, slots);
    if ((server->applied[entry->part] & mask) == mask)
        complain(ledger,
                 "server %" PRIu32 ": term %" PRIu32 ", step %" PRIu64 ", part %" PRIu32
                 ", node %" PRIu32 " was applied twice",
                 server->index, server->term, server->step, entry->part, entry->node);
    server->applied[entry->part] |= mask;
}

static void end_step(struct sim_ledger_server *server, const struct sb_entry *entry)
{
    struct sim_ledger *ledger = server->ledger;
    struct sim_ledger_decision *decision = find(ledger, entry->term, entry->step);
    uint64_t all = (UINT64_C(1) << server->slots) - 1;
    if (!decision || strcmp(decision->what, entry->what) != 0 || decision->scale != entry->scale ||
        decision->rate != entry->rate)
        complain(ledger,
                 "server %" PRIu32 " ended step %" PRIu64 " of term %" PRIu32
                 " by '%s', as the coordinator did not decide",
                 server->index, entry->step, entry->term, entry->what);
    else
        decision->ended |= UINT32_C(1) << server->index;
    for (uint32_t part = 0; part < SIM_LEDGER_PARTS; part++)
        if (server->trained[part] && strcmp(entry->what, "load") != 0 &&
            server->applied[part] != all)
            complain(ledger,
                     "server %" PRIu32 " ended step %" PRIu64 " of term %" PRIu32
                     " with slots %" PRIx64 " of part %" PRIu32,
                     server->index, entry->step, entry->term, server->applied[part], part);
    memset(server->applied, 0, sizeof(server->applied));
    server->step++;
}

void sim_ledger_take(void *context, const struct sb_entry *entry)
{
    struct sim_ledger_server *server = context;
    struct sim_ledger *ledger = server->ledger;
    bool of_coordinator = entry->kind == SB_ENTRY_TERM || entry->kind == SB_ENTRY_DECIDE ||
                          entry->kind == SB_ENTRY_PUBLISH;
    /* A checkpoint is written beside the training: it may be of an earlier step. */
    bool of_step =
        entry->kind == SB_ENTRY_SAVE ? entry->step <= server->step : entry->step == server->step;
    if (!of_coordinator && entry->kind != SB_ENTRY_BEGIN &&
        (entry->term != server->term || !of_step))
        complain(ledger, "server %" PRIu32 " is at term %" PRIu32 ", step %" PRIu64 " by itself",
                 server->index, entry->term, entry->step);
    if (entry->kind == SB_ENTRY_TERM)
        take_term(ledger, entry);
    else if (entry->kind == SB_ENTRY_DECIDE)
        take_decision(ledger, entry);
    else if (entry->kind == SB_ENTRY_BEGIN)
        begin(server, entry);
    else if (entry->kind == SB_ENTRY_PUSH)
        take_push(server, entry);
    else if (entry->kind == SB_ENTRY_COMMIT)
        end_step(server, entry);
}

/* A later decision of a step takes the place of an earlier one. */
void sim_ledger_finish(struct sim_ledger *ledger)
{
    uint64_t first = ledger->first_step == UINT64_MAX ? ledger->step : ledger->first_step;
    uint32_t all = (uint32_t)((UINT64_C(1) << ledger->server_count) - 1);
    for (uint64_t step = first; step < ledger->step; step++) {
        const struct sim_ledger_decision *last = NULL;
        for (size_t i = ledger->decision_count; i-- > 0 && !last;)
            if (ledger->decisions[i].step == step &&
                (!ledger->went_on || ledger->decisions[i].ended == all))
                last = &ledger->decisions[i];
        if (!last || last->ended != all)
            complain(ledger, "step %" PRIu64 " was ended by servers %" PRIx32 " only", step,
                     last ? last->ended : 0);
    }
}
