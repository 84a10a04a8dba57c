#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"
#include "resume.h"
#include "row_scores.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_FIRST_S = 4, WAITING_EVERY_S = 5 };
#define SPACE_OF_EVALUATION (UINT64_C(1) << 27) /* doubles */

static void say_damaged(void *context, const char *sentence)
{
    sb_coordinator_tell(
        context,
        (struct sb_event){.kind = SB_EVENT_DAMAGED, .text = sentence, .code = SB_ERR_DATA});
}

/* 0, or -1 and err: the run cannot begin.  *term: that of the checkpoint. */
static int look_for_checkpoint(struct sb_coordinator *c, uint32_t *term, struct sb_err *err)
{
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    const struct sb_resume_run run = {
        .job = c->job,
        .canonical = c->options->canonical,
        .plan = c->members.plan,
        .layout = c->parts.hash,
    };
    int found =
        sb_resume_find(c->options->disk, &run, c->resume_folder, &manifest, say_damaged, c, err);
    if (found <= 0)
        return found;
    int rc = sb_history_from_json(&c->history, manifest.history, err);
    if (rc == 0 && manifest.step > c->members.plan->total_steps)
        rc = sb_err_set(err, SB_ERR_CONFIG,
                        "'%s' has %" PRIu64 " steps, this run %" PRIu64
                        " in all; use --fresh to start over",
                        c->resume_folder, manifest.step, c->members.plan->total_steps);
    char sentence[512];
    if (rc == 0 && sb_resume_other_numerics(manifest.plan, c->options->fingerprint,
                                            c->resume_folder, sentence, sizeof(sentence)))
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_WARNING, .text = sentence});
    if (rc == 0) {
        c->resumed = true;
        c->step = c->saved_step = c->saved.step = manifest.step;
        c->saved.known = true;
        *term = manifest.term;
    }
    sb_ckpt_manifest_release(&manifest);
    return rc;
}

/* What sets with vectors must have in common for one head to be of use to all. */
static bool vectors_agree(const Sb__Plan *plan, const Sb__EvalSet *set)
{
    bool has_head = false;
    for (size_t i = 0; i < plan->n_eval_sets; i++) {
        const Sb__EvalSet *other = plan->eval_sets[i];
        if (strcmp(other->name, SB_HEAD_SET) != 0)
            continue;
        has_head = true;
        if (other->vector_size != set->vector_size || other->slot_count < 1 ||
            other->problem != set->problem)
            return false;
    }
    bool several = set->problem == 1;
    return !set->vector_size ||
           (has_head && set->slot_rows >= 1 && set->problem < 2 &&
            set->label_count >= (several ? 1 : 2) && set->label_count == plan->n_labels);
}

/* What comes from the workers' plan decides how much memory is asked for. */
static int check_plan(const struct sb_coordinator *c, struct sb_err *err)
{
    for (size_t i = 0; i < c->members.plan->n_eval_sets; i++) {
        const Sb__EvalSet *set = c->members.plan->eval_sets[i];
        uint64_t width = sb_evaluation_width(set);
        if (set->row_kind && set->row_width != SB_SCORED_ROW_WIDTH)
            return sb_err_set(err, SB_ERR_DATA,
                              "evaluation set '%s' has rows of %" PRIu32 " numbers, not %d",
                              set->name, set->row_width, SB_SCORED_ROW_WIDTH);
        if (set->slot_count > SPACE_OF_EVALUATION / width)
            return sb_err_set(err, SB_ERR_DATA, "evaluation set '%s' has too many slots: %" PRIu64,
                              set->name, set->slot_count);
        if (!vectors_agree(c->members.plan, set))
            return sb_err_set(err, SB_ERR_DATA,
                              "evaluation set '%s' brings vectors of another size, or of other "
                              "labels, than the job",
                              set->name);
    }
    return 0;
}

static int check_counts(const struct sb_coordinator *c, struct sb_err *err)
{
    if (c->job->min_workers <= c->members.worker_count)
        return 0;
    return sb_err_set(err, SB_ERR_CONFIG,
                      "min_workers is %u, but only %" PRIu32 " may take part (max_workers)",
                      c->job->min_workers, c->members.worker_count);
}

static void count_norms(struct sb_coordinator *c)
{
    for (size_t i = 0; i < c->parts.count; i++)
        if (c->parts.parts[i].trainable)
            c->servers[c->parts.parts[i].owner].norm_count++;
    for (uint32_t i = 0; i < c->members.server_count; i++)
        c->servers[i].norms = sb_calloc(c->servers[i].norm_count + 1, sizeof(double));
}

/* All are here for the first time: what depends on the model and the data is made. */
static void prepare(struct sb_coordinator *c)
{
    sb_parts_init(&c->parts, c->members.spans, c->members.span_count, c->members.server_count);
    sb_sums_tree_init(&c->sums, c->members.plan->slots);
    count_norms(c);
}

void sb_coordinator_begin_loading(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_err err = SB_ERR_INIT;
    uint32_t term = 0; /* whatever a former run still sends is of another one */
    if (check_counts(c, &err) < 0 || check_plan(c, &err) < 0 ||
        sb_coordinator_check_metric(c, &err) < 0 || look_for_checkpoint(c, &term, &err) < 0 ||
        sb_coordinator_take_term(c, term, &err) < 0) {
        sb_coordinator_finish(c, (int)err.code, err.text, out);
        return;
    }
    sb_coordinator_note(c,
                        (struct sb_entry){.kind = SB_ENTRY_TERM, .count = c->members.server_count});
    sb_coordinator_read_account(c);
    sb_coordinator_move(c, SB_COORDINATOR_LOADING);
    sb_coordinator_send_start(c, out);
}

static void send_start(struct sb_coordinator *c, uint32_t server, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Start start = SB__START__INIT;
    Sb__Span *spans = sb_calloc(c->members.span_count, sizeof(*spans));
    Sb__Span **layout = sb_calloc(c->members.span_count, sizeof(*layout));
    for (size_t i = 0; i < c->members.span_count; i++) {
        const struct sb_span *span = &c->members.spans[i];
        sb__span__init(&spans[i]);
        spans[i].rows = span->rows;
        spans[i].cols = span->cols;
        spans[i].decay = span->decay;
        spans[i].trainable = span->trainable;
        spans[i].row_sparse = span->row_sparse;
        spans[i].rate = span->rate;
        spans[i].from_step = span->from_step;
        layout[i] = &spans[i];
    }
    start.server_index = server;
    start.name = c->members.servers[server].name;
    start.server_count = c->members.server_count;
    start.layout = layout;
    start.n_layout = c->members.span_count;
    start.slots = c->members.plan->slots;
    start.resume = c->resumed;
    start.checkpoint_dir = c->resume_folder;
    head.step = c->step;
    head.body_case = SB__HEAD__BODY_START;
    head.start = &start;
    sb_coordinator_send(c, out, server, &head, NULL);
    free(layout);
    free(spans);
}

void sb_coordinator_send_start(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!c->servers[i].seeded)
            send_start(c, i, out);
}

static bool all_servers(const struct sb_coordinator *c, bool seeded)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!(seeded ? c->servers[i].seeded : c->servers[i].loaded))
            return false;
    return true;
}

/* Who pushes the first weights: the first that is alive, and not slow if there is one. */
static uint32_t find_seeder(const struct sb_coordinator *c)
{
    uint32_t slow = 0;
    for (uint32_t i = c->members.workers_here; i-- > 0;)
        if (!c->members.workers[i].lost && !c->workers[i].bye)
            slow = i;
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        if (!c->members.workers[i].lost && !c->workers[i].bye && !c->workers[i].slow)
            return i;
    return slow;
}

void sb_coordinator_send_welcome(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Welcome welcome = SB__WELCOME__INIT;
    char **servers = sb_calloc(c->members.server_count, sizeof(*servers));
    for (uint32_t i = 0; i < c->members.server_count; i++)
        servers[i] = c->members.servers[i].address;
    welcome.worker_index = worker;
    welcome.worker_count = c->members.workers_here;
    welcome.servers = servers;
    welcome.n_servers = c->members.server_count;
    welcome.lease = worker == 0;
    welcome.seed = worker == c->seeder && !c->resumed && !all_servers(c, true);
    welcome.resume_step = c->step;
    head.step = c->step;
    head.body_case = SB__HEAD__BODY_WELCOME;
    head.welcome = &welcome;
    c->workers[worker].welcomed = true;
    sb_coordinator_send(c, out, c->members.workers[worker].peer, &head, NULL);
    free(servers);
}

static void begin_seeding(struct sb_coordinator *c, struct sb_outbox *out)
{
    c->seeder = find_seeder(c); /* whoever has its place, also after a loss */
    sb_coordinator_move(c, SB_COORDINATOR_SEEDING);
    for (uint32_t i = 0; i < c->members.workers_here; i++)
        sb_coordinator_send_welcome(c, i, out);
}

static void begin_training(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        c->servers[i].committed = c->step;
    if (!c->train_ns) {
        c->train_ns = c->now_ns;
        c->train_first_step = c->step;
        c->train_first_samples = c->history.total.of[SB_SUM_SAMPLES];
    }
    sb_coordinator_count_rejoined(c);
    sb_coordinator_tell(
        c, (struct sb_event){.kind = SB_EVENT_STARTED, .text = c->resumed ? "resumed" : ""});
    sb_coordinator_go_on(c, out);
}

void sb_coordinator_take_ready(struct sb_coordinator *c, uint64_t peer, const Sb__Ready *ready,
                               struct sb_outbox *out)
{
    if ((c->state != SB_COORDINATOR_LOADING && c->state != SB_COORDINATOR_SEEDING) ||
        peer >= c->members.server_count)
        return;
    struct sb_coordinator_server *server = &c->servers[peer];
    if (*ready->sentence) {
        char sentence[1024];
        snprintf(sentence, sizeof(sentence), "server %" PRIu64 ": %s", peer, ready->sentence);
        sb_coordinator_finish(c, ready->code ? (int)ready->code : SB_ERR_IO, sentence, out);
        return;
    }
    if ((ready->loaded && !server->loaded) || (ready->seeded && !server->seeded))
        c->progress_ns = c->now_ns;
    server->loaded |= ready->loaded;
    server->seeded |= ready->loaded && ready->seeded;
    if (c->state == SB_COORDINATOR_LOADING && all_servers(c, false))
        begin_seeding(c, out);
    if (c->state == SB_COORDINATOR_SEEDING && all_servers(c, true))
        begin_training(c, out);
}

/* All are here for the first time. */
static void begin(struct sb_coordinator *c, struct sb_outbox *out)
{
    prepare(c);
    sb_coordinator_begin_loading(c, out);
}

/* The others may still come. */
static void begin_with_fewer(struct sb_coordinator *c, struct sb_outbox *out)
{
    char text[256];
    snprintf(text, sizeof(text),
             "the run begins with %" PRIu32 " of %" PRIu32 " workers after %u s (join_timeout_s)",
             c->members.workers_here, c->members.worker_wanted, c->job->join_timeout_s);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_NOTE, .text = text});
    begin(c, out);
}

static void take_over(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out)
{
    sb_coordinator_worker_anew(c, worker);
    if (c->state == SB_COORDINATOR_LOADING) /* it is welcome with all the others */
        return;
    sb_coordinator_send_welcome(c, worker, out);
    sb_coordinator_inherit(c, worker, false, out);
}

/* READY, but not yet all: who waits for the others should not think that nobody is there. */
static void send_sign_of_life(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    sb_coordinator_send(c, out, peer, &head, NULL);
}

static void server_lives(struct sb_coordinator *c, uint32_t server)
{
    c->servers[server].heard_ns = c->now_ns;
    c->members.servers[server].lost = false;
}

/* The run ends: only who is needed for that is still taken in.  True if this was all. */
static bool hello_at_the_end(struct sb_coordinator *c, uint64_t peer, const Sb__Hello *hello,
                             struct sb_outbox *out)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    bool model_to_come = c->finish_code == 0 && !c->workers_finished && hello->life > 0;
    bool is_server = hello->role == SB__ROLE__ROLE_SERVER;
    if (worker != UINT32_MAX && c->workers[worker].welcomed)
        sb_coordinator_send_welcome(c, worker, out); /* it missed it, and fetches the model by it */
    else if (model_to_come)
        return false;
    else if (is_server && peer < c->members.server_count && c->members.servers[peer].here &&
             !strcmp(c->members.servers[peer].name, hello->name))
        return true; /* it hears of the end in its turn */
    else
        sb_coordinator_refuse(c, peer, hello->name,
                              c->finish_code || is_server ? c->finish_code : SB_ERR_PEER,
                              c->finish_code ? c->finish_sentence : "the run is over", out);
    return true;
}

void sb_coordinator_take_hello(struct sb_coordinator *c, uint64_t peer, const Sb__Hello *hello,
                               struct sb_outbox *out)
{
    struct sb_err err = SB_ERR_INIT;
    char gone[SB_MEMBERS_NAME_BYTES] = "";
    if (c->state == SB_COORDINATOR_FINISHING && hello_at_the_end(c, peer, hello, out))
        return;
    switch (sb_members_join(&c->members, peer, hello, gone, &err)) {
    case SB_MEMBERS_REFUSED:
        sb_coordinator_tell(
            c,
            (struct sb_event){.kind = SB_EVENT_REFUSED, .text = err.text, .code = (int)err.code});
        sb_coordinator_refuse(c, peer, hello->name, (int)err.code, err.text, out);
        return;
    case SB_MEMBERS_KNOWN: {
        uint32_t worker = sb_members_find_worker(&c->members, peer);
        if (worker != UINT32_MAX)
            sb_coordinator_worker_lives(c, worker);
        else
            server_lives(c, hello->index);
        if (worker != UINT32_MAX && c->workers[worker].welcomed)
            sb_coordinator_send_welcome(c, worker, out);
        else if (c->state == SB_COORDINATOR_JOINING ||
                 (worker != UINT32_MAX && c->state == SB_COORDINATOR_LOADING))
            send_sign_of_life(c, peer, out);
        return;
    }
    case SB_MEMBERS_PAST:
        return;
    case SB_MEMBERS_AGAIN:
        if (hello->role == SB__ROLE__ROLE_SERVER) {
            server_lives(c, hello->index);
            sb_coordinator_server_again(c, hello->index, out);
        } else {
            sb_coordinator_worker_again(c, sb_members_find_worker(&c->members, peer), out);
        }
        return;
    case SB_MEMBERS_NEW:
        if (hello->role == SB__ROLE__ROLE_SERVER)
            server_lives(c, hello->index);
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_JOINED, .text = hello->name});
        if (c->state == SB_COORDINATOR_JOINING && sb_members_all_here(&c->members)) {
            begin(c, out);
        } else if (c->state != SB_COORDINATOR_JOINING) /* in the place of a lost one; work comes
                                                        with the next step */
            take_over(c, sb_members_find_worker(&c->members, peer), out);
        return;
    }
}

/*
 * Names who is missing every few seconds, and gives up after join_timeout_s.  Data may take hours
 * to prepare: while one worker is seen to do so the others, who wait for its cache, are waited for.
 */
void sb_coordinator_watch_joining(struct sb_coordinator *c, struct sb_outbox *out)
{
    bool over = sb_coordinator_seconds(c, c->prepared_ns) > c->job->join_timeout_s;
    bool enough = c->job->min_workers && sb_members_servers_here(&c->members) &&
                  c->members.workers_here >= c->job->min_workers;
    if (over && enough) {
        begin_with_fewer(c, out);
        return;
    }
    uint32_t every_s = c->said_ns == c->born_ns ? WAITING_FIRST_S : WAITING_EVERY_S;
    if (!over && sb_coordinator_seconds(c, c->said_ns) < every_s)
        return;
    struct sb_bytes text = SB_BYTES_INIT;
    c->said_ns = c->now_ns;
    sb_members_say_missing(&c->members, &text);
    if (over) {
        char sentence[512];
        snprintf(sentence, sizeof(sentence),
                 "not all peers came within %u s (join_timeout_s); missing: %s",
                 c->job->join_timeout_s, text.data);
        sb_coordinator_finish(c, SB_ERR_PEER, sentence, out);
    } else {
        sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_WAITING,
                                                 .text = text.data,
                                                 .seconds = sb_coordinator_seconds(c, c->born_ns)});
    }
    sb_bytes_release(&text);
}
