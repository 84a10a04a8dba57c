#include "server.h"

#include "arena.h"
#include "coordinator.h"
#include "saver.h"
#include "shard.h"
#include "wants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_NS (UINT64_C(1000000000) / 2)

/*
 * The keeper of a shard, as the coordinator sees it:
 *
 *              START              last first weights          sums complete          COMMIT
 *     GREETING -----> (LOADING) ---------------------> OPEN -----------------> REPORTED ----> OPEN
 * ... restored: at once                  ^                                     |
 *                                                        '-------- SAVE, WANT in between ------'
 *     any -- FINISH, REFUSE --> OVER
 */
enum state {
    GREETING, /* HELLO is out */
    LOADING,  /* the shard is there, and waits for its first weights */
    OPEN,     /* takes sums of shard->step */
    REPORTED, /* has them all, and waits for COMMIT */
    OVER,
};

struct sb_server {
    struct sb_server_options options;
    uint64_t job_hash;
    bool is_coordinator;
    struct sb_coordinator coordinator; /* of server 0 */
    enum state state;
    struct sb_shard *shard; /* NULL while GREETING */
    struct sb_wants wants;
    double *norms; /* [shard->trainable_count] of the report that is out */
    bool finite;
    uint32_t bad_part;
    struct sb_saver saver;
    uint64_t rested_step; /* at which rows were brought up to date early */
    struct sb_err load_err;
    uint64_t sent_ns, heard_ns, status_ns; /* heard: the coordinator */
    uint64_t refused_count;                /* messages */
    bool refused;                          /* that is how it ended */
    int code;
    char text[1024];
};

uint64_t sb_server_job_hash(const char *canonical)
{
    return sb_msg_job(canonical);
}

/* ---- the ledger ---- */

static void note(struct sb_server *server, struct sb_entry entry)
{
    if (!server->options.on_entry)
        return;
    entry.term = server->shard->term;
    entry.step = entry.kind == SB_ENTRY_SAVE ? server->saver.step : server->shard->step;
    server->options.on_entry(server->options.entry_context, &entry);
}

static void note_served(struct sb_server *server, uint32_t part, uint64_t peer)
{
    note(server, (struct sb_entry){.kind = SB_ENTRY_SERVE, .part = part, .peer = peer});
}

static void note_push(struct sb_server *server, uint64_t peer, const Sb__Head *head,
                      Sb__Answer answer)
{
    static const char *const words[] = {[SB__ANSWER__ANSWER_NEW] = "applied",
                                        [SB__ANSWER__ANSWER_DUPLICATE] = "duplicate",
                                        [SB__ANSWER__ANSWER_STALE] = "stale",
                                        [SB__ANSWER__ANSWER_FUTURE] = "future",
                                        [SB__ANSWER__ANSWER_BAD] = "bad"};
    note(server, (struct sb_entry){.kind = head->push->initial ? SB_ENTRY_SEED : SB_ENTRY_PUSH,
                                   .part = head->part,
                                   .node = head->node,
                                   .peer = peer,
                                   .of_term = head->term,
                                   .of_step = head->step,
                                   .what = words[answer]});
}

/* A new term begins here, with these parts. */
static void note_begin(struct sb_server *server)
{
    struct sb_bytes lists[2] = {SB_BYTES_INIT, SB_BYTES_INIT}; /* frozen, trained */
    const struct sb_shard *shard = server->shard;
    if (!server->options.on_entry)
        return;
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_bytes *list = &lists[shard->mine[i].part->trainable];
        sb_bytes_printf(list, "%s%" PRIu32, list->count ? "," : "", shard->mine[i].id);
    }
    note(server, (struct sb_entry){.kind = SB_ENTRY_BEGIN,
                                   .count = shard->slots,
                                   .frozen = lists[0].data,
                                   .trained = lists[1].data});
    sb_bytes_release(&lists[0]);
    sb_bytes_release(&lists[1]);
}

/* ---- sending ---- */

static void send_frames(struct sb_server *server, struct sb_outbox *out, uint64_t peer,
                        Sb__Head *head, struct sb_frame *frame0, struct sb_frame *frame1)
{
    head->job = server->job_hash;
    head->term = server->shard ? server->shard->term : 0;
    sb_outbox_put(out, peer, sb_msg_new(head, frame0, frame1, server->options.checksum));
}

static void send_hello(struct sb_server *server, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    hello.role = SB__ROLE__ROLE_SERVER;
    hello.index = server->options.index;
    hello.life = server->options.life;
    hello.address = (char *)(uintptr_t)server->options.address;
    hello.name = (char *)(uintptr_t)server->options.name;
    hello.canonical = (char *)(uintptr_t)server->options.canonical;
    hello.fingerprint = (char *)(uintptr_t)server->options.fingerprint;
    head.step = server->shard ? server->shard->step : 0;
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    send_frames(server, out, SB_PEER_COORDINATOR, &head, NULL, NULL);
}

static void send_ready(struct sb_server *server, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    ready.loaded = server->load_err.code == SB_OK;
    ready.seeded = ready.loaded && sb_shard_seeded(server->shard);
    ready.sentence = server->load_err.text;
    ready.code = server->load_err.code;
    head.step = server->shard->step;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    send_frames(server, out, SB_PEER_COORDINATOR, &head, NULL, NULL);
}

static void send_report(struct sb_server *server, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Report report = SB__REPORT__INIT;
    report.finite = server->finite;
    report.bad_part = server->bad_part;
    head.step = server->shard->step;
    head.body_case = SB__HEAD__BODY_REPORT;
    head.report = &report;
    size_t bytes = server->shard->trainable_count * sizeof(double);
    struct sb_frame *norms = sb_frame_new(bytes);
    memcpy(norms->data, server->norms, bytes);
    send_frames(server, out, SB_PEER_COORDINATOR, &head, norms, NULL);
    sb_frame_drop(&norms);
}

static void send_ack(struct sb_server *server, uint64_t peer, const Sb__Head *push,
                     Sb__Answer answer, char *sentence, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ack ack = SB__ACK__INIT;
    ack.answer = answer;
    ack.initial = push->push->initial;
    ack.sentence = sentence;
    head.step = push->step;
    head.node = push->node;
    head.part = push->part;
    head.trace = push->trace;
    head.body_case = SB__HEAD__BODY_ACK;
    head.ack = &ack;
    /* The push's own term: in another one a push of the same name may be open. */
    head.job = server->job_hash;
    head.term = push->term;
    sb_outbox_put(out, peer, sb_msg_new(&head, NULL, NULL, server->options.checksum));
}

static struct sb_msg *make_weights(struct sb_server *server, const struct sb_want *want)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Weights weights = SB__WEIGHTS__INIT;
    weights.rows = want->rows != NULL;
    head.job = server->job_hash;
    head.term = server->shard->term;
    head.step = server->shard->step;
    head.part = want->part;
    head.trace = want->trace;
    head.body_case = SB__HEAD__BODY_WEIGHTS;
    head.weights = &weights;
    struct sb_frame *values = sb_shard_weights(server->shard, want->part, want->rows);
    sb_assert(values); /* sb_shard_rows_valid and sb_shard_seeded were asked */
    struct sb_msg *msg = sb_msg_new(&head, values, want->rows, server->options.checksum);
    sb_frame_drop(&values);
    return msg;
}

/* ---- steps ---- */

/* In part order, which is that of the next forward pass.  Workers that want the same get copies of
 * one message. */
static void answer_wants(struct sb_server *server, struct sb_outbox *out)
{
    const struct sb_shard *shard = server->shard;
    struct sb_want want;
    if (!sb_shard_seeded(shard))
        return;
    for (size_t i = 0; i < shard->mine_count; i++) {
        struct sb_msg *whole = NULL;
        while (sb_wants_take(&server->wants, shard->mine[i].id, shard->step, &want)) {
            if (!want.rows)
                sb_wants_note(&server->wants, want.part, shard->step, want.worker);
            if (want.rows || want.trace) {
                sb_outbox_put(out, want.worker, make_weights(server, &want));
            } else {
                if (!whole)
                    whole = make_weights(server, &want);
                sb_outbox_put(out, want.worker, sb_msg_copy(whole));
            }
            note_served(server, want.part, want.worker);
            sb_frame_drop(&want.rows);
        }
        sb_msg_free(&whole);
    }
}

/* The step has begun, or a sum came: report it if it is complete.  Without trainable parts it is so
 * at once. */
static void report_if_complete(struct sb_server *server, uint64_t now_ns, struct sb_outbox *out)
{
    if (server->state != OPEN || !sb_shard_complete(server->shard))
        return;
    server->bad_part = 0;
    server->finite = sb_shard_norms(server->shard, server->norms, &server->bad_part);
    server->state = REPORTED;
    server->sent_ns = now_ns;
    send_report(server, out);
}

static void open_first_step(struct sb_server *server, uint64_t now_ns, struct sb_outbox *out)
{
    server->state = OPEN;
    answer_wants(server, out);
    report_if_complete(server, now_ns, out);
}

static enum sb_metric metric_of(Sb__Answer answer)
{
    switch (answer) {
    case SB__ANSWER__ANSWER_NEW:
        return SB_METRIC_PUSH_NEW;
    case SB__ANSWER__ANSWER_DUPLICATE:
        return SB_METRIC_PUSH_DUPLICATE;
    case SB__ANSWER__ANSWER_STALE:
        return SB_METRIC_PUSH_STALE;
    case SB__ANSWER__ANSWER_FUTURE:
        return SB_METRIC_PUSH_FUTURE;
    default:
        return SB_METRIC_PUSH_BAD;
    }
}

static void take_push(struct sb_server *server, uint64_t now_ns, uint64_t peer,
                      const Sb__Head *head, const struct sb_msg *msg, struct sb_outbox *out)
{
    char sentence[256] = "";
    if (!server->shard) /* nobody can know of us yet */
        return;
    Sb__Answer answer = sb_shard_judge(server->shard, head, msg, sentence, sizeof(sentence));
    bool is_new = answer == SB__ANSWER__ANSWER_NEW;
    sb_metrics_add(server->options.metrics, metric_of(answer), 1);
    if (is_new)
        sb_shard_take(server->shard, head, msg);
    note_push(server, peer, head, answer);
    send_ack(server, peer, head, answer, sentence, out);
    if (is_new && server->state == LOADING && sb_shard_seeded(server->shard)) {
        send_ready(server, out);
        open_first_step(server, now_ns, out);
    } else if (is_new) {
        report_if_complete(server, now_ns, out);
    }
}

enum { ASKED_IN_EARNEST = 4 };

/*
 * On a slow line a worker asks again while the answer is still on its way out: a second one would
 * only be in the way.  Whether one of ours is in a queue is known, but not whose, and his may be
 * lost: who asks for the 4th, 8th, 16th ... time gets another one all the same.
 */
static bool is_on_its_way(struct sb_server *server, const struct sb_want *want)
{
    const struct sb_shard *shard = server->shard;
    uint32_t before = sb_wants_note(&server->wants, want->part, shard->step, want->worker);
    bool in_earnest = before >= ASKED_IN_EARNEST && (before & (before - 1)) == 0;
    return before > 0 && !in_earnest && sb_shard_weights_shared(shard, want->part);
}

static void take_want(struct sb_server *server, uint64_t peer, const Sb__Head *head,
                      const struct sb_msg *msg, struct sb_outbox *out)
{
    const struct sb_shard *shard = server->shard;
    if (!shard || !sb_shard_of_term(shard, head) || head->part >= shard->parts.count ||
        shard->parts.parts[head->part].owner != shard->index)
        return;
    struct sb_want want = {
        .worker = peer,
        .part = head->part,
        .step = head->step,
        .trace = head->trace,
        .rows = head->want->rows ? msg->frames[0] : NULL,
    };
    if (want.rows && !sb_shard_rows_valid(shard, want.part, want.rows))
        return;
    sb_saver_drop_written(&server->saver);
    if (!sb_shard_seeded(shard) || want.step > shard->step) {
        sb_wants_add(&server->wants, &want);
        return;
    }
    if (!want.rows && is_on_its_way(server, &want))
        return;
    sb_outbox_put(out, peer, make_weights(server, &want));
    note_served(server, want.part, peer);
}

static void send_committed(struct sb_server *server, uint64_t step, struct sb_outbox *out)
{
    char *sentence = server->load_err.text;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Committed committed = SB__COMMITTED__INIT;
    committed.sentence = sentence; /* of a checkpoint that could not be loaded */
    head.step = step;
    head.body_case = SB__HEAD__BODY_COMMITTED;
    head.committed = &committed;
    send_frames(server, out, SB_PEER_COORDINATOR, &head, NULL, NULL);
}

/* The last step is over, and the weights of an earlier one were better. */
static void load(struct sb_server *server, const char *folder)
{
    if (!server->options.disk)
        sb_err_set(&server->load_err, SB_ERR_CONFIG, "this server has no place for checkpoints");
    else if (sb_shard_reload(server->shard, server->options.disk, folder, &server->load_err) < 0)
        sb_err_context(&server->load_err, "loading '%s'", folder);
}

static void take_commit(struct sb_server *server, uint64_t now_ns, const Sb__Head *head,
                        struct sb_outbox *out)
{
    struct sb_shard *shard = server->shard;
    if (!shard || !sb_shard_of_term(shard, head))
        return;
    if (head->step == shard->step && *head->commit->load) {
        note(server, (struct sb_entry){.kind = SB_ENTRY_COMMIT, .what = "load"});
        load(server, head->commit->load);
        send_committed(server, head->step, out);
        if (server->load_err.code == SB_OK)
            open_first_step(server, now_ns, out);
    } else if (head->step == shard->step && server->state == REPORTED) {
        note(server, (struct sb_entry){.kind = SB_ENTRY_COMMIT,
                                       .what = head->commit->apply ? "apply" : "skip",
                                       .scale = head->commit->scale,
                                       .rate = head->commit->rate});
        sb_saver_drop_written(&server->saver);
        sb_shard_commit(shard, head->commit->apply, head->commit->scale, head->commit->rate);
        server->state = OPEN;
        send_committed(server, head->step, out);
        answer_wants(server, out);
        report_if_complete(server, now_ns, out);
    } else if (head->step < shard->step) {
        send_committed(server, head->step, out);
    }
}

/* ---- start, checkpoint, end ---- */

static int restore(struct sb_server *server, const Sb__Head *head, struct sb_err *err)
{
    const struct sb_disk *disk = server->options.disk;
    struct sb_ckpt_state state;
    if (!disk)
        return sb_err_set(err, SB_ERR_CONFIG, "this server has no place for checkpoints");
    sb_shard_state_for_reading(server->shard, &state);
    int rc = disk->read(disk->context, head->start->checkpoint_dir, &state, err);
    if (rc == 0 && state.step != head->step)
        rc = sb_err_set(err, SB_ERR_DATA, "'%s' holds step %" PRIu64 ", expected %" PRIu64,
                        head->start->checkpoint_dir, state.step, head->step);
    if (rc == 0)
        sb_shard_restored(server->shard, &state);
    free(state.parts);
    return rc;
}

static struct sb_span *copy_layout(const Sb__Start *start)
{
    struct sb_span *spans = sb_calloc(start->n_layout + 1, sizeof(*spans));
    for (size_t i = 0; i < start->n_layout; i++)
        spans[i] = (struct sb_span){
            .rows = start->layout[i]->rows,
            .cols = start->layout[i]->cols,
            .decay = start->layout[i]->decay,
            .trainable = start->layout[i]->trainable,
            .row_sparse = start->layout[i]->row_sparse,
            .rate = start->layout[i]->rate,
            .from_step = start->layout[i]->from_step,
        };
    return spans;
}

/* A new term begins somewhere else: whatever we hold is of no use there. */
static void forget(struct sb_server *server)
{
    sb_saver_forget(&server->saver);
    sb_shard_free(&server->shard);
    sb_wants_release(&server->wants);
    free(server->norms);
    server->norms = NULL;
    server->load_err = (struct sb_err)SB_ERR_INIT;
}

static void take_start(struct sb_server *server, uint64_t now_ns, const Sb__Head *head,
                       struct sb_outbox *out)
{
    const Sb__Start *start = head->start;
    if (server->shard && head->term <= server->shard->term) {
        if (head->term == server->shard->term)
            send_ready(server, out);
        return;
    }
    /* One START may be on its way to us twice, and we may have died in between: what the term had
     * given us is gone, and it cannot begin here once more.  Our HELLO brings another term. */
    if (strcmp(start->name, server->options.name) != 0)
        return;
    bool power_of_two = start->slots > 0 && (start->slots & (start->slots - 1)) == 0;
    if (start->server_index != server->options.index || start->n_layout == 0 || !power_of_two)
        return; /* not for us, or not from a coordinator of ours: its own patience ends */
    forget(server);
    struct sb_span *spans = copy_layout(start);
    server->shard =
        sb_shard_new(server->options.job, server->options.pool, spans, start->n_layout,
                     start->server_index, start->server_count, start->slots, head->term);
    free(spans);
    server->norms = sb_calloc(server->shard->trainable_count + 1, sizeof(double));
    sb_wants_init(&server->wants, server->shard->parts.count);
    server->state = LOADING;
    if (start->resume && restore(server, head, &server->load_err) < 0)
        sb_err_context(&server->load_err, "loading '%s'", start->checkpoint_dir);
    note_begin(server);
    send_ready(server, out);
    if (server->load_err.code == SB_OK && sb_shard_seeded(server->shard))
        open_first_step(server, now_ns, out);
}

static void send_saved(struct sb_server *server, struct sb_outbox *out)
{
    struct sb_saver *saver = &server->saver;
    Sb__Head head = SB__HEAD__INIT;
    Sb__Saved saved = SB__SAVED__INIT;
    if (saver->over && saver->err.code == SB_OK)
        note(server, (struct sb_entry){.kind = SB_ENTRY_SAVE});
    saved.under_way = !saver->over;
    saved.file = saver->file.name;
    saved.bytes = saver->file.bytes;
    saved.hash = saver->file.hash;
    saved.seconds = saver->over ? saver->file.seconds : saver->seconds;
    saved.sentence = saver->err.text;
    head.step = saver->step;
    head.body_case = SB__HEAD__BODY_SAVED;
    head.saved = &saved;
    send_frames(server, out, SB_PEER_COORDINATOR, &head, NULL, NULL);
}

/* That the state is kept is said at once: the next step is not committed before. */
static void take_save(struct sb_server *server, const Sb__Head *head, struct sb_outbox *out)
{
    if (!server->shard || !sb_shard_of_term(server->shard, head) || !sb_shard_seeded(server->shard))
        return;
    if (server->saver.step != head->step) {
        /* Not yet at that step: the COMMIT between us comes first.  Past it: it is not wanted any
         * more. */
        if (head->step != server->shard->step)
            return;
        sb_saver_begin(&server->saver, server->shard, head->save->folder, head->save->waited_for);
    }
    send_saved(server, out);
}

static void end(struct sb_server *server, int code, const char *text)
{
    if (server->state == OVER)
        return;
    server->state = OVER;
    server->code = code;
    snprintf(server->text, sizeof(server->text), "%s", text);
}

static void take_finish(struct sb_server *server, const Sb__Finish *finish, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Bye bye = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &bye;
    send_frames(server, out, SB_PEER_COORDINATOR, &head, NULL, NULL);
    end(server, (int)finish->code, finish->sentence);
}

/* ---- messages ---- */

static void take_from_coordinator(struct sb_server *server, uint64_t now_ns, const Sb__Head *head,
                                  struct sb_outbox *out)
{
    server->heard_ns = now_ns;
    switch (head->body_case) {
    case SB__HEAD__BODY_READY: /* of a new life of its own */
        if (head->ready->rejoin)
            send_hello(server, out);
        return;
    case SB__HEAD__BODY_START:
        take_start(server, now_ns, head, out);
        return;
    case SB__HEAD__BODY_COMMIT:
        take_commit(server, now_ns, head, out);
        return;
    case SB__HEAD__BODY_SAVE:
        take_save(server, head, out);
        return;
    case SB__HEAD__BODY_FINISH:
        take_finish(server, head->finish, out);
        return;
    case SB__HEAD__BODY_REFUSE:
        /* Two processes may have one number: it is for the one that it names. */
        if (strcmp(head->refuse->name, server->options.name) != 0)
            return;
        server->refused = true;
        end(server, (int)head->refuse->code, head->refuse->sentence);
        return;
    default:
        return;
    }
}

static void dispatch(struct sb_server *server, uint64_t now_ns, uint64_t peer,
                     const struct sb_msg *msg, struct sb_outbox *out)
{
    struct sb_err err = SB_ERR_INIT;
    Sb__Head *head = sb_msg_open(msg, &err);
    if (!head) { /* damaged, or of another protocol: whoever sent it asks again or gives up */
        server->refused_count++;
        return;
    }
    bool for_all_jobs =
        head->body_case == SB__HEAD__BODY_HELLO || head->body_case == SB__HEAD__BODY_REFUSE;
    if (head->job != server->job_hash && !for_all_jobs) {
        server->refused_count++;
        sb_msg_close(&head);
        return;
    }
    if (server->is_coordinator &&
        sb_coordinator_handle(&server->coordinator, now_ns, peer, head, msg, out)) {
        sb_msg_close(&head);
        return;
    }
    if (head->body_case == SB__HEAD__BODY_PUSH)
        take_push(server, now_ns, peer, head, msg, out);
    else if (head->body_case == SB__HEAD__BODY_WANT)
        take_want(server, peer, head, msg, out);
    else if (peer == SB_PEER_COORDINATOR)
        take_from_coordinator(server, now_ns, head, out);
    sb_msg_close(&head);
}

/* Hands over the messages to ourselves, from first on, and those that they bring about. */
static void deliver_own(struct sb_server *server, uint64_t now_ns, size_t first,
                        struct sb_outbox *out)
{
    if (!server->is_coordinator) /* only the coordinator is talked to, and it is elsewhere */
        return;
    size_t kept = first;
    for (size_t i = first; i < out->count; i++) {
        struct sb_out item = out->items[i];
        if (item.peer != server->options.index) {
            out->items[kept++] = item;
            continue;
        }
        /* What the message brings about is put at the end; the gap in the middle closes as we go.
         */
        dispatch(server, now_ns, item.peer, item.msg, out);
        sb_msg_free(&item.msg);
    }
    out->count = kept;
}

struct sb_server *sb_server_new(const struct sb_server_options *options, uint64_t now_ns)
{
    struct sb_server *server = sb_calloc(1, sizeof(*server));
    server->options = *options;
    server->job_hash = sb_server_job_hash(options->canonical);
    server->is_coordinator = options->index == SB_PEER_COORDINATOR;
    server->state = GREETING;
    server->code = -1;
    sb_saver_init(&server->saver, options->disk);
    sb_pool_set_float_mode(); /* of the thread that owns us: moments go denormal */
    if (server->is_coordinator)
        sb_coordinator_init(&server->coordinator, &server->options, now_ns);
    return server;
}

void sb_server_free(struct sb_server **server_place)
{
    struct sb_server *server = *server_place;
    if (!server)
        return;
    *server_place = NULL;
    if (server->is_coordinator)
        sb_coordinator_release(&server->coordinator);
    sb_saver_release(&server->saver);
    sb_shard_free(&server->shard);
    sb_wants_release(&server->wants);
    free(server->norms);
    free(server);
}

void sb_server_handle(struct sb_server *server, uint64_t now_ns, uint64_t peer, struct sb_msg **msg,
                      struct sb_outbox *out)
{
    size_t first = out->count;
    if (server->state != OVER || server->is_coordinator)
        dispatch(server, now_ns, peer, *msg, out);
    sb_msg_free(msg);
    deliver_own(server, now_ns, first, out);
}

static void resend(struct sb_server *server, uint64_t now_ns, struct sb_outbox *out)
{
    server->sent_ns = now_ns;
    uint64_t patience_ns = (uint64_t)server->options.job->push_timeout_ms * 1000000u;
    if (server->state == GREETING)
        send_hello(server, out);
    else if (server->state == REPORTED)
        send_report(server, out);
    /* The coordinator may have died: the next one knows us by this.  The same one hears that we
     * live. */
    if (server->state != GREETING && server->state != OVER && !server->is_coordinator &&
        now_ns - server->heard_ns >= patience_ns)
        send_hello(server, out);
}

/* For those who ask how the run is: not with each step, and not when they ask. */
static void tell_status(struct sb_server *server, uint64_t now_ns)
{
    const struct sb_server_options *options = &server->options;
    if (!options->on_status || (server->status_ns && now_ns - server->status_ns < STATUS_NS))
        return;
    server->status_ns = now_ns;
    json_t *status = sb_coordinator_status(&server->coordinator);
    options->on_status(options->event_context, status);
    json_decref(status);
}

void sb_server_tick(struct sb_server *server, uint64_t now_ns, struct sb_outbox *out)
{
    size_t first = out->count;
    const struct sb_job *job = server->options.job;
    if (server->sent_ns == 0 ||
        now_ns - server->sent_ns >= (uint64_t)job->push_timeout_ms * 1000000u)
        resend(server, now_ns, out);
    if (sb_saver_ended(&server->saver))
        send_saved(server, out);
    if (server->is_coordinator)
        sb_coordinator_tick(&server->coordinator, now_ns, out);
    deliver_own(server, now_ns, first, out);
    if (server->is_coordinator)
        tell_status(server, now_ns);
}

/* Workers compute now, and wait for nothing; at the end of the step they would wait for this. */
void sb_server_rest(struct sb_server *server)
{
    struct sb_shard *shard = server->shard;
    uint64_t every = server->options.job->save_steps;
    if (!shard || !sb_shard_seeded(shard) || !every || (shard->step + 1) % every != 0 ||
        server->rested_step == shard->step)
        return;
    server->rested_step = shard->step;
    sb_saver_drop_written(&server->saver);
    sb_shard_catch_up(shard);
}

void sb_server_stop(struct sb_server *server, int code)
{
    if (server->is_coordinator)
        sb_coordinator_stop(&server->coordinator, code);
    else if (server->state == GREETING)
        end(server, code, "stopped before it had joined");
    /* The others end when the coordinator says so: a signal to all of a group reaches it as well.
     */
}

uint64_t sb_server_heard_ns(const struct sb_server *server, uint64_t now_ns)
{
    return server->is_coordinator ? now_ns : server->heard_ns;
}

bool sb_server_ready(const struct sb_server *server)
{
    return server->shard && sb_shard_seeded(server->shard);
}

bool sb_server_was_refused(const struct sb_server *server)
{
    return server->refused;
}

uint64_t sb_server_refused_count(const struct sb_server *server)
{
    return server->refused_count;
}

int sb_server_over(const struct sb_server *server, const char **text)
{
    bool over = server->is_coordinator ? server->coordinator.state == SB_COORDINATOR_OVER
                                       : server->state == OVER;
    if (text)
        *text = server->is_coordinator ? server->coordinator.finish_sentence : server->text;
    if (!over)
        return -1;
    return server->is_coordinator ? server->coordinator.finish_code : server->code;
}
