#include "sim.h"

#include "arena.h"
#include "client.h"
#include "nodes.h"
#include "sim_ledger.h"
#include "sim_toy.h"
#include "support.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PEERS_MAX = 32, TURN_MS = 4, NAMES = 1 << 12 };
#define MS     UINT64_C(1000000)
#define END_NS (UINT64_C(600) * 1000 * MS) /* of virtual time: no run takes so long */

struct flight {
    uint64_t due_ns, number;
    uint64_t from, to;
    struct sb_msg *msg;
};

struct sim_worker {
    struct sb_client *client;
    float *weights;
    uint64_t peer;
    bool copied;
    size_t next; /* node or slot of the work at hand */
    uint64_t sequence;
    uint32_t life, term;
    bool dead;
    uint64_t died_ns;
    uint64_t back_ns;            /* of a crash: when it is started again */
    uint64_t frozen_ns, hung_ns; /* until then */
    uint64_t join_ns;            /* a joiner: when it comes */
    bool signalled;
};

struct sim {
    const struct sim_options *options;
    struct toy toy;
    struct sb_job job;
    struct sb_bytes canonical;
    Sb__Plan plan;
    Sb__EvalSet sets[2], *set_list[2];
    struct sb_server **servers; /* NULL: dead */
    struct sim_life {
        uint32_t life;
        uint64_t back_ns;
        char name[32]; /* as host and process: of this life */
    } * lives;         /* of the servers */
    bool started;
    struct sim_worker *workers;
    uint32_t worker_count;
    struct sb_pool *pool;
    struct sim_result *result;
    uint64_t now_ns, random, number;
    struct flight *flights;
    size_t flight_count, flight_capacity;
    uint64_t *taken; /* names of pushes that were answered NEW */
    size_t taken_count, taken_capacity;
    unsigned loans;
    struct sim_ledger ledger;
};

/* ---- chance ---- */

static uint64_t draw(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random;
}

static bool chance(struct sim *sim, unsigned of_1000)
{
    return draw(sim) % 1000 < of_1000;
}

/* ---- network ---- */

static struct sb_frame *copy_frame(const struct sb_frame *frame)
{
    struct sb_frame *copy = sb_frame_new(frame->bytes);
    memcpy(copy->data, frame->data, frame->bytes);
    return copy;
}

static void copy_frames(struct sb_msg *msg)
{
    for (size_t i = 0; i < msg->frame_count; i++) {
        struct sb_frame *copy = copy_frame(msg->frames[i]);
        sb_frame_drop(&msg->frames[i]);
        msg->frames[i] = copy;
    }
}

static void put(struct sim *sim, uint64_t from, uint64_t to, struct sb_msg *msg)
{
    if (sim->flight_count == sim->flight_capacity) {
        sim->flight_capacity = sim->flight_capacity ? 2 * sim->flight_capacity : 256;
        sim->flights = sb_realloc(sim->flights, sim->flight_capacity * sizeof(*sim->flights));
    }
    uint64_t delay = sim->options->network.delay_ms_max
                         ? draw(sim) % (sim->options->network.delay_ms_max * MS)
                         : 0;
    sim->flights[sim->flight_count++] =
        (struct flight){sim->now_ns + delay, sim->number++, from, to, msg};
}

/* Bits of the head are flipped, often with a seal that fits, frames are cut or left out, and the
 * sender is anybody: a worker, a server, a stranger. */
static void forge(struct sim *sim, const struct sb_msg *msg)
{
    struct sb_msg *other = sb_msg_copy(msg);
    for (uint64_t flips = draw(sim) % 4; flips > 0; flips--)
        other->head[draw(sim) % other->head_bytes] ^= (uint8_t)(1u << draw(sim) % 8);
    if (chance(sim, 900))
        sb_msg_seal(other);
    copy_frames(other);
    if (other->frame_count && chance(sim, 300))
        other->frames[0]->bytes = draw(sim) % (other->frames[0]->bytes + 1);
    if (other->frame_count && chance(sim, 200))
        sb_frame_drop(&other->frames[--other->frame_count]);
    uint64_t from = chance(sim, 300)   ? 1 + draw(sim) % sim->options->servers
                    : chance(sim, 500) ? SB_PEER_WORKER_BIT | draw(sim) % 8
                                       : sim->workers[draw(sim) % sim->worker_count].peer;
    put(sim, from, draw(sim) % sim->options->servers, other);
}

static void transmit(struct sim *sim, uint64_t from, struct sb_outbox *out)
{
    const struct sim_network *network = &sim->options->network;
    for (size_t i = 0; i < out->count; i++) {
        struct sb_msg *msg = out->items[i].msg;
        out->items[i].msg = NULL;
        if (network->wire)
            copy_frames(msg);
        if (chance(sim, network->forge))
            forge(sim, msg);
        while (chance(sim, network->repeat)) {
            struct sb_msg *again = sb_msg_copy(msg);
            if (network->wire)
                copy_frames(again);
            put(sim, from, out->items[i].peer, again);
        }
        if (chance(sim, network->drop)) {
            sb_msg_free(&msg);
            continue;
        }
        if (network->wire && msg->frame_count && chance(sim, network->damage))
            ((uint8_t *)msg->frames[0]->data)[draw(sim) % msg->frames[0]->bytes] ^= 4;
        put(sim, from, out->items[i].peer, msg);
    }
    out->count = 0;
    sb_outbox_release(out);
}

static uint64_t name_of(uint64_t server, const Sb__Head *head)
{
    return server << 60 ^ (uint64_t)head->term << 48 ^ head->step << 40 ^
           (uint64_t)head->node << 20 ^ head->part;
}

static bool is_taken(const struct sim *sim, uint64_t name)
{
    for (size_t i = 0; i < sim->taken_count; i++)
        if (sim->taken[i] == name)
            return true;
    return false;
}

/* Other numbers in a push: whoever counts them gets other weights. */
static struct sb_msg *poisoned(const struct sb_msg *msg, Sb__Head *head)
{
    struct sb_frame *frame = copy_frame(msg->frames[0]);
    float *floats = frame->data;
    for (size_t i = 0; i < frame->bytes / sizeof(*floats); i++)
        floats[i] += 1000;
    struct sb_msg *other = sb_msg_new(head, frame, msg->frame_count > 1 ? msg->frames[1] : NULL,
                                      head->n_checksums > 0);
    sb_frame_drop(&frame);
    return other;
}

static struct sb_msg *poison(struct sim *sim, uint64_t server, struct sb_msg *msg)
{
    Sb__Head *head = sb_msg_open(msg, NULL);
    if (!head)
        return msg;
    if (head->body_case == SB__HEAD__BODY_PUSH && !head->push->initial && msg->frame_count) {
        bool again = is_taken(sim, name_of(server, head));
        bool first = !again && sim->options->network.poison_first && head->step == 1;
        if ((again && sim->options->network.poison_repeats) || first) {
            uint64_t *checksums = head->checksums; /* not the packer's to keep */
            struct sb_msg *other = poisoned(msg, head);
            free(checksums);
            sb_msg_free(&msg);
            msg = other;
        }
    }
    sb_msg_close(&head);
    return msg;
}

/* Remembers which pushes were taken, and counts those that were not. */
static void listen(struct sim *sim, uint64_t server, const struct sb_outbox *out)
{
    if (sim->options->network.forge) /* then nothing can be said about answers */
        return;
    for (size_t i = 0; i < out->count; i++) {
        Sb__Head *head = sb_msg_open(out->items[i].msg, NULL);
        assert_non_null(head);
        if (head->body_case == SB__HEAD__BODY_ACK && !head->ack->initial) {
            assert_int_not_equal(head->ack->answer, SB__ANSWER__ANSWER_BAD);
            if (head->ack->answer != SB__ANSWER__ANSWER_NEW) {
                sim->result->duplicates++;
            } else {
                assert_false(is_taken(sim, name_of(server, head)));
                if (sim->taken_count == sim->taken_capacity) {
                    sim->taken_capacity = sim->taken_capacity ? 2 * sim->taken_capacity : 256;
                    sim->taken = sb_realloc(sim->taken, sim->taken_capacity * sizeof(*sim->taken));
                }
                sim->taken[sim->taken_count++] = name_of(server, head);
            }
        }
        sb_msg_close(&head);
    }
}

static struct sim_worker *find_worker(struct sim *sim, uint64_t peer)
{
    for (uint32_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].peer == peer)
            return &sim->workers[i];
    return NULL;
}

static void deliver(struct sim *sim, struct flight *flight)
{
    struct sb_outbox out = {0};
    struct sim_worker *worker = find_worker(sim, flight->to);
    if (worker && !worker->dead && sim->now_ns < worker->frozen_ns) {
        put(sim, flight->from, flight->to, flight->msg);
        sim->flights[sim->flight_count - 1].due_ns = worker->frozen_ns;
        return;
    }
    if (worker && worker->dead) {
        /* nobody is there */
    } else if (worker) {
        sb_client_handle(worker->client, sim->now_ns, flight->from, &flight->msg, &out);
    } else if (flight->to >= sim->options->servers) {
        assert_true(sim->options->network.forge || sim->options->revive ||
                    sim->options->crashes); /* a stranger, or one who is gone */
    } else if (!sim->servers[flight->to]) {
        /* it is dead */
    } else {
        if (sim->options->network.poison_first || sim->options->network.poison_repeats)
            flight->msg = poison(sim, flight->to, flight->msg);
        sb_server_handle(sim->servers[flight->to], sim->now_ns, flight->from, &flight->msg, &out);
        listen(sim, flight->to, &out);
    }
    sb_msg_free(&flight->msg);
    transmit(sim, flight->to, &out);
}

/* The earliest that is due; SIZE_MAX if there is none. */
static size_t next_due(const struct sim *sim)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < sim->flight_count; i++) {
        const struct flight *a = &sim->flights[i],
                            *b = best == SIZE_MAX ? NULL : &sim->flights[best];
        if (a->due_ns <= sim->now_ns &&
            (!b || a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->number < b->number)))
            best = i;
    }
    return best;
}

static void deliver_due(struct sim *sim)
{
    for (size_t i; (i = next_due(sim)) != SIZE_MAX;) {
        struct flight flight = sim->flights[i];
        sim->flights[i] = sim->flights[--sim->flight_count];
        deliver(sim, &flight);
    }
}

/* ---- workers ---- */

struct loan {
    struct sim *sim;
    float *dense, *values;
    uint32_t *rows;
};

static void give_back(void *hint)
{
    struct loan *loan = hint;
    /* Whoever still reads it would read this. */
    if (loan->dense)
        memset(loan->dense, 0xff, loan->sim->toy.float_count * sizeof(float));
    loan->sim->loans--;
    free(loan->dense);
    free(loan->values);
    free(loan->rows);
    free(loan);
}

static size_t list_rows(const struct toy *toy, const uint8_t *touched, uint32_t *rows)
{
    size_t count = 0;
    for (size_t row = 0; row < toy->rows; row++)
        if (touched[row])
            rows[count++] = (uint32_t)row;
    return count;
}

/* What it says that it took. */
static double seconds_of(const struct sim *sim, const struct sim_worker *w, uint32_t node)
{
    uint32_t slower = sim->options->uneven ? 1 + (uint32_t)(w - sim->workers) : 1;
    return 0.01 * slower * sb_node_slot_count(node, sim->options->slots);
}

static void push_node(struct sim *sim, struct sim_worker *w, uint64_t step, uint32_t node,
                      struct sb_outbox *out)
{
    const struct toy *toy = &sim->toy;
    struct loan *loan = sb_calloc(1, sizeof(*loan));
    struct sb_stats stats;
    uint8_t *touched = sb_alloc(toy->rows);
    *loan = (struct loan){
        .sim = sim,
        .dense = sb_alloc(toy->float_count * sizeof(float)),
        .values = sb_alloc((toy->rows * toy->cols + 1) * sizeof(float)),
        .rows = sb_alloc((toy->rows + 1) * sizeof(uint32_t)),
    };
    sim->loans++;
    struct toy_group group;
    group.floats = sb_client_group(w->client, &group.count);
    uint32_t leaf = node;
    while (leaf < sim->options->slots)
        leaf *= 2;
    uint32_t bad_slot = toy_nonfinite(toy, step) ? leaf - sim->options->slots : UINT32_MAX;
    bool here = toy_node(toy, step, node, w->weights, group, loan->dense, touched, &stats);
    size_t row_count = toy->options->dense ? 0 : list_rows(toy, touched, loan->rows);
    for (size_t i = 0; i < row_count; i++)
        memcpy(loan->values + i * toy->cols, loan->dense + toy->at + loan->rows[i] * toy->cols,
               toy->cols * sizeof(float));
    /* Of the row-sparse tensor only the values may be read. */
    for (size_t i = 0; i < toy->rows * toy->cols && !toy->options->dense; i++)
        loan->dense[toy->at + i] = 1e30f;
    sb_client_push_node(w->client, sim->now_ns, node, here ? loan->dense : NULL, loan->rows,
                        loan->values, here ? row_count : 0, &stats, bad_slot,
                        seconds_of(sim, w, node), give_back, loan, out);
    free(touched);
}

static void say_rows(struct sim *sim, struct sim_worker *w, const struct sb_work *work,
                     struct sb_outbox *out)
{
    uint8_t *touched = sb_calloc(sim->toy.rows, 1);
    uint32_t *rows = sb_alloc(sim->toy.rows * sizeof(*rows));
    for (size_t i = 0; i < work->node_count && !work->eval && !work->embed; i++)
        toy_rows(&sim->toy, work->step, work->nodes[i], touched);
    for (uint64_t slot = work->first_slot; slot < work->end_slot && work->embed; slot++)
        toy_rows(&sim->toy, work->step, sim->options->slots + (uint32_t)slot, touched);
    for (uint64_t slot = work->first_slot; slot < work->end_slot && work->eval; slot++)
        toy_evaluation_rows(&sim->toy, slot, touched);
    size_t count = list_rows(&sim->toy, touched, rows);
    sb_client_want_rows(w->client, sim->now_ns, rows, count, out);
    free(rows);
    free(touched);
}

/* One node or slot at a time, so that the answers to the first meet the sending of the next. */
static void work_a_little(struct sim *sim, struct sim_worker *w, struct sb_outbox *out)
{
    const struct sb_work *work = sb_client_work(w->client);
    if (work->sequence != w->sequence || sb_client_term(w->client) != w->term) {
        w->sequence = work->sequence;
        w->term = sb_client_term(w->client);
        w->next = 0;
    }
    if (sim->options->silent_at && work->step + 1 >= sim->options->silent_at &&
        w == &sim->workers[0])
        return;
    if (work->embed) {
        float vectors[TOY_ROWS_MAX * TOY_VECTOR];
        uint64_t slot = work->first_slot + w->next++;
        size_t count = toy_vectors(&sim->toy, work->step, (uint32_t)slot, w->weights, vectors);
        sb_client_push_vectors(w->client, sim->now_ns, slot, vectors, count, 0.01, out);
        return;
    }
    if (!work->eval) {
        push_node(sim, w, work->step, work->nodes[w->next++], out);
        return;
    }
    struct sb_stats stats;
    double counts[TOY_LABELS * TOY_LABELS];
    uint64_t slot = work->first_slot + w->next++;
    toy_evaluate(&sim->toy, slot, w->weights, &stats, counts);
    sb_client_push_eval(w->client, sim->now_ns, slot, &stats, counts, TOY_LABELS * TOY_LABELS, 0.01,
                        out);
}

static void finish_worker(struct sim *sim, struct sim_worker *w, struct sb_outbox *out)
{
    const Sb__Welcome *welcome = sb_client_welcome(w->client);
    const char *history = sb_client_history(w->client);
    if (welcome && welcome->lease && !w->copied) {
        if (!sb_client_fetch_all(w->client, sim->now_ns, out))
            return;
        w->copied = true;
        memcpy(sim->result->weights, w->weights, sim->toy.float_count * sizeof(float));
        if (history && !sim->result->history)
            sim->result->history = sb_strdup(history);
    }
    sb_client_bye(w->client, sim->now_ns, out);
}

static unsigned uneven_chance(const struct sim *sim, const struct sim_worker *w)
{
    return 200 / (1 + (unsigned)(w - sim->workers));
}

static void drive_worker(struct sim *sim, struct sim_worker *w)
{
    struct sb_outbox out = {0};
    const struct sb_work *work;
    sb_client_tick(w->client, sim->now_ns, &out);
    if (sb_client_needs_rows(w->client, &work))
        say_rows(sim, w, work, &out);
    if (sb_client_work_void(w->client) && chance(sim, 500))
        sb_client_leave_work(w->client, sim->now_ns, &out);
    switch (sb_client_state(w->client)) {
    case SB_CLIENT_SEED:
        toy_first_weights(&sim->toy, w->weights);
        sb_client_seed(w->client, sim->now_ns, &out);
        break;
    case SB_CLIENT_WORK:
        if (sim->now_ns >= w->hung_ns &&
            (!sim->options->uneven || chance(sim, uneven_chance(sim, w))))
            work_a_little(sim, w, &out);
        break;
    case SB_CLIENT_FINISH:
        finish_worker(sim, w, &out);
        break;
    default:
        break;
    }
    transmit(sim, w->peer, &out);
}

/* ---- life ---- */

/* A step that is done again is the same step. */
static void count_step(struct sim_result *result, const struct sb_event *event)
{
    struct sim_step step = {event->loss, event->grad_norm, event->rate, event->targets};
    uint64_t index = event->step - 1 - result->first_step;
    assert_true(event->step > result->first_step && index <= result->step_count);
    if (index < result->step_count) {
        assert_memory_equal(&result->steps[index], &step, sizeof(step));
        result->redone++;
        return;
    }
    result->steps = sb_realloc(result->steps, (result->step_count + 1) * sizeof(*result->steps));
    result->steps[result->step_count++] = step;
}

static void on_event(void *context, const struct sb_event *event)
{
    struct sim *sim = context;
    struct sim_result *result = sim->result;
    switch (event->kind) {
    case SB_EVENT_STARTED:
        if (!sim->started)
            result->first_step = event->step;
        sim->started = true;
        break;
    case SB_EVENT_STEP:
        count_step(result, event);
        if (sim->options->stop_at && event->step >= sim->options->stop_at)
            sb_server_stop(sim->servers[0], SB_ERR_TERMINATE);
        break;
    case SB_EVENT_EVAL:
        result->evaluations++;
        break;
    case SB_EVENT_SAVED:
        result->saves++;
        result->newest_saved = event->step;
        result->steps_beside += result->first_step + result->step_count > event->step;
        break;
    case SB_EVENT_SAVE_FAILED:
        result->save_failures++;
        break;
    case SB_EVENT_SAVE_LEFT_OUT:
        result->saves_left_out++;
        break;
    case SB_EVENT_WARNING:
        result->warnings++;
        break;
    case SB_EVENT_LOST:
        result->lost++;
        break;
    case SB_EVENT_SLOW:
        result->slow++;
        break;
    case SB_EVENT_WAITING:
        result->waitings++;
        break;
    case SB_EVENT_REFUSED:
        snprintf(result->refused, sizeof(result->refused), "%s", event->text);
        break;
    default:
        break;
    }
}

static void make_plan(struct sim *sim)
{
    static const char *names[2] = {"validation", "test"};
    sb__plan__init(&sim->plan);
    sim->plan.train_samples = 100;
    sim->plan.steps_per_epoch = 4;
    sim->plan.total_steps = sim->options->steps;
    sim->plan.slots = sim->options->slots;
    sim->plan.vector_size = sim->options->grouped ? TOY_VECTOR : 0;
    sim->plan.data_fingerprint = (char *)(uintptr_t) "toy";
    for (int i = 0; i < 2; i++) {
        sb__eval_set__init(&sim->sets[i]);
        sim->sets[i].name = (char *)(uintptr_t)names[i];
        sim->sets[i].slot_count = TOY_EVAL_SLOTS;
        sim->sets[i].label_count = TOY_LABELS;
        sim->set_list[i] = &sim->sets[i];
    }
    sim->plan.eval_sets = sim->set_list;
    sim->plan.n_eval_sets = 2;
}

static void make_client(struct sim *sim, struct sim_worker *w)
{
    uint64_t index = (uint64_t)(w - sim->workers);
    w->peer = SB_PEER_WORKER_BIT | (draw(sim) >> 8 << 4) | index;
    struct sb_client_options options = {
        .self = w->peer,
        .index = (uint32_t)index,
        .life = w->life,
        .canonical = sim->canonical.data,
        .fingerprint = "f",
        .name = "worker",
        .plan = &sim->plan,
        .spans = sim->toy.spans,
        .span_count = sim->toy.span_count,
        .weights = w->weights,
        .retry_ms = 100,
        .checksum = sim->options->checksum,
    };
    w->client = sb_client_new(&options, sim->now_ns);
    w->sequence = w->next = 0;
}

/* What it had sent is still under way; frames that point into its memory are not: a dead process
 * sends no more. */
static void kill_and_revive(struct sim *sim)
{
    const struct sim_options *o = sim->options;
    struct sim_worker *w = &sim->workers[o->killed];
    if (o->kill_at && !w->died_ns && sim->result->step_count >= o->kill_at && chance(sim, 200)) {
        w->dead = true;
        w->died_ns = sim->now_ns;
    }
    if (w->dead && o->revive && sim->now_ns > w->died_ns + 3000 * MS) {
        sb_client_free(&w->client);
        memset(w->weights, 0, sim->toy.float_count * sizeof(float));
        w->dead = false;
        make_client(sim, w);
    }
}

static void make_server(struct sim *sim, uint32_t index)
{
    const struct sim_options *o = sim->options;
    struct sim_life *life = &sim->lives[index];
    snprintf(life->name, sizeof(life->name), "server, life %" PRIu32, life->life);
    struct sb_server_options options = {
        .index = index,
        .life = life->life,
        .server_count = o->servers,
        .worker_count = o->workers,
        .job = &sim->job,
        .canonical = sim->canonical.data,
        .fingerprint = "f",
        .address = "sim",
        .name = life->name,
        .pool = sim->pool,
        .disk = o->disk,
        .checksum = o->checksum,
        .on_event = on_event,
        .event_context = sim,
        .on_entry = sim_ledger_take,
        .entry_context = &sim->ledger.servers[index],
    };
    sim->servers[index] = sb_server_new(&options, sim->now_ns);
}

/* ---- crashes ---- */

static bool a_worker_has_left(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->worker_count; i++)
        if (!sim->workers[i].dead && sb_client_state(sim->workers[i].client) == SB_CLIENT_OVER)
            return true;
    return false;
}

/* Kills a process that is there; what it has sent is still under way. */
static void crash(struct sim *sim)
{
    const struct sim_options *o = sim->options;
    uint64_t victim = draw(sim) % (o->servers + o->workers);
    uint64_t back_ns = sim->now_ns + (50 + draw(sim) % 1500) * MS;
    if (victim < o->servers) {
        struct sb_server **server = &sim->servers[victim];
        /* A coordinator is not started again when workers have left: see launch.c. */
        if (!*server || sb_server_over(*server, NULL) >= 0 ||
            sb_server_over(sim->servers[0] ? sim->servers[0] : *server, NULL) >= 0 ||
            (victim == 0 && a_worker_has_left(sim)))
            return;
        if (o->disk)
            sim_disk_before_a_death(o->disk);
        sb_server_free(server);
        if (o->disk)
            sim_disk_after_a_death(o->disk);
        sim->lives[victim].back_ns = back_ns;
        sim->result->restarted_servers++;
    } else {
        struct sim_worker *w = &sim->workers[victim - o->servers];
        if (w->dead || sb_client_state(w->client) == SB_CLIENT_OVER)
            return;
        w->dead = true;
        w->back_ns = back_ns;
        sb_client_free(&w->client);
        memset(w->weights, 0, sim->toy.float_count * sizeof(float));
    }
    sim->result->crashed++;
}

static void crash_and_restart(struct sim *sim)
{
    const struct sim_options *o = sim->options;
    if (sim->result->crashed < o->crashes && chance(sim, 12))
        crash(sim);
    for (uint32_t i = 0; i < o->servers; i++)
        if (!sim->servers[i] && sim->now_ns >= sim->lives[i].back_ns) {
            sim->lives[i].life++;
            make_server(sim, i);
        }
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        struct sim_worker *w = &sim->workers[i];
        if (!w->dead || !w->back_ns || sim->now_ns < w->back_ns)
            continue;
        w->dead = w->copied = false;
        w->back_ns = 0;
        w->life++;
        make_client(sim, w);
    }
}

/* A worker stands still, or computes nothing, for a while; now and then to the end of the run. */
static void stall(struct sim *sim)
{
    const struct sim_options *o = sim->options;
    struct sim_worker *w = &sim->workers[draw(sim) % sim->worker_count];
    bool hangs = sim->result->stalled >= o->freezes;
    if (w->dead || sb_client_state(w->client) < SB_CLIENT_WAITING || sim->now_ns < w->frozen_ns ||
        sim->now_ns < w->hung_ns)
        return;
    *(hangs ? &w->hung_ns : &w->frozen_ns) = sim->now_ns + (100 + draw(sim) % 4000) * MS;
    sim->result->stalled++;
}

static void join(struct sim *sim)
{
    for (uint32_t i = sim->options->workers; i < sim->worker_count; i++) {
        struct sim_worker *w = &sim->workers[i];
        if (!w->join_ns || sim->now_ns < w->join_ns)
            continue;
        w->join_ns = 0;
        w->dead = false;
        make_client(sim, w);
    }
}

/* A worker gets a signal; never the first one, so that somebody stays. */
static void leave(struct sim *sim)
{
    struct sim_worker *w = &sim->workers[draw(sim) % sim->worker_count];
    struct sb_outbox out = {0};
    if (w == sim->workers || w->dead || w->signalled ||
        sb_client_state(w->client) < SB_CLIENT_WAITING ||
        sb_client_state(w->client) >= SB_CLIENT_FINISH || sim->result->step_count < 1)
        return;
    w->signalled = true;
    sim->result->left++;
    sb_client_stop(w->client, sim->now_ns, SB_ERR_TERMINATE, NULL, &out);
    transmit(sim, w->peer, &out);
}

static void make_peers(struct sim *sim)
{
    const struct sim_options *o = sim->options;
    for (uint32_t i = 0; i < o->servers; i++)
        make_server(sim, i);
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        struct sim_worker *w = &sim->workers[i];
        w->weights = sb_calloc(sim->toy.float_count, sizeof(float));
        w->dead = i >= o->workers;
        w->join_ns = w->dead ? sim->now_ns + draw(sim) % (1500 * MS) : 0;
        if (!w->dead)
            make_client(sim, w);
    }
}

static bool all_workers_left(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].dead || sb_client_state(sim->workers[i].client) != SB_CLIENT_OVER)
            return false;
    return true;
}

static bool all_over(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options->servers; i++)
        if (!sim->servers[i] || sb_server_over(sim->servers[i], NULL) < 0)
            return false;
    for (uint32_t i = 0; i < sim->worker_count; i++)
        if (sim->workers[i].back_ns ||
            (!sim->workers[i].dead && sb_client_state(sim->workers[i].client) != SB_CLIENT_OVER))
            return false;
    return true;
}

static void release(struct sim *sim)
{
    for (size_t i = 0; i < sim->flight_count; i++)
        sb_msg_free(&sim->flights[i].msg);
    for (uint32_t i = 0; i < sim->options->servers; i++)
        sb_server_free(&sim->servers[i]);
    for (uint32_t i = 0; i < sim->worker_count; i++) {
        sb_client_free(&sim->workers[i].client);
        free(sim->workers[i].weights);
    }
    assert_int_equal(sim->loans, 0); /* every buffer that was lent came back */
    if (sim->options->disk)
        sim_disk_end(sim->options->disk);
    sb_pool_free(&sim->pool);
    sb_job_release(&sim->job);
    sb_bytes_release(&sim->canonical);
    free(sim->flights);
    free(sim->taken);
    free(sim->servers);
    free(sim->lives);
    free(sim->workers);
}

/* A run that the ledger contradicts is not a good one, whatever it says itself. */
static void audit(struct sim *sim)
{
    struct sim_result *result = sim->result;
    if (result->code == 0)
        sim_ledger_finish(&sim->ledger);
    if (sim->ledger.violation[0]) {
        result->code = SB_ERR_BUG;
        snprintf(result->sentence, sizeof(result->sentence), "ledger: %s", sim->ledger.violation);
    }
    result->applied = sim->ledger.applied;
    sim_ledger_release(&sim->ledger);
}

void sim_run(const struct sim_options *options, struct sim_result *result)
{
    struct sim sim = {.options = options, .result = result, .now_ns = 1000 * MS};
    *result = (struct sim_result){.code = -1};
    sim.random = options->seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252u;
    toy_init(&sim.toy, options);
    toy_job(&sim.job, options);
    sb_job_canonical(&sim.job, &sim.canonical);
    make_plan(&sim);
    sim.pool = options->pool ? sb_pool_new(2) : NULL;
    sim.servers = sb_calloc(options->servers, sizeof(*sim.servers));
    sim.lives = sb_calloc(options->servers, sizeof(*sim.lives));
    sim.worker_count = options->workers + options->joiners;
    sim.workers = sb_calloc(sim.worker_count, sizeof(*sim.workers));
    result->float_count = sim.toy.float_count;
    result->weights = sb_calloc(sim.toy.float_count, sizeof(float));
    sim_ledger_init(&sim.ledger);
    make_peers(&sim);
    const char *text = "";
    bool coordinator_over = false;
    for (uint64_t over_ns = END_NS; sim.now_ns < over_ns && !all_over(&sim);
         sim.now_ns += TURN_MS * MS) {
        for (uint32_t i = 0; i < options->servers; i++) {
            struct sb_outbox out = {0};
            if (!sim.servers[i])
                continue;
            sb_server_tick(sim.servers[i], sim.now_ns, &out);
            sb_server_rest(sim.servers[i]);
            transmit(&sim, i, &out);
        }
        if (options->disk)
            sim_disk_turn(options->disk, sim.now_ns);
        kill_and_revive(&sim);
        if (options->crashes)
            crash_and_restart(&sim);
        if (result->stalled < options->freezes + options->hangs && chance(&sim, 30))
            stall(&sim);
        join(&sim);
        if (result->left < options->leavers && chance(&sim, 20))
            leave(&sim);
        for (uint32_t i = 0; i < sim.worker_count; i++)
            if (!sim.workers[i].dead && sim.now_ns >= sim.workers[i].frozen_ns)
                drive_worker(&sim, &sim.workers[i]);
        deliver_due(&sim);
        if (all_workers_left(&sim) && sim.lives[0].life && result->history && !coordinator_over) {
            /* Our launcher ends a coordinator that was started again and waits in vain. */
            result->code = 0;
            break;
        }
        if (!coordinator_over && sim.servers[0] && sb_server_over(sim.servers[0], NULL) >= 0) {
            coordinator_over = true; /* the others get a little time to hear of it */
            over_ns = sim.now_ns + 2000 * MS;
        }
    }
    if (result->code < 0)
        result->code = sim.servers[0] ? sb_server_over(sim.servers[0], &text) : -1;
    snprintf(result->sentence, sizeof(result->sentence), "%s",
             sim.servers[0] ? text : "the coordinator is dead");
    audit(&sim);
    result->left_early = sim.lives[0].life && a_worker_has_left(&sim);
    result->virtual_seconds = (double)sim.now_ns * 1e-9;
    if (!sim.workers || !result->history) {
        free(result->weights);
        result->weights = NULL;
    }
    release(&sim);
}

void sim_result_release(struct sim_result *result)
{
    free(result->weights);
    free(result->steps);
    free(result->history);
}
