#include "worker.h"

#include "clock.h"
#include "log.h"
#include "nodes.h"
#include "pair_items.h"
#include "probes.h"
#include "results.h"
#include "run_record.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PUMP_MS = 20, GRADS_MAX = 32, SAY_AFTER_S = 4, LEAVE_AFTER_S = 1 };

/* A gradient buffer: free, being filled, or lent to the client until all its parts are
 * acknowledged. */
struct grad_buffer {
    struct sb_grad grad;
    bool busy;
};

struct worker {
    const struct sb_worker_options *options;
    struct sb_task *task;
    struct sb_net *net;
    struct sb_client *client;
    struct sb_outbox out;
    struct grad_buffer *grads[GRADS_MAX];
    size_t grad_count;
    double *counts; /* metric counts of an evaluation slot */
    uint32_t connected_term;
    bool stopping;
    bool said_waiting;
    bool dismissed; /* by the coordinator, who says why itself */
    double wait_seconds;
};

void sb_plan_of_task(struct sb_plan *out, const struct sb_task *task)
{
    *out = (struct sb_plan){.plan = SB__PLAN__INIT};
    Sb__Plan *plan = &out->plan;
    plan->train_samples = task->train_count;
    plan->train_tokens = task->train_tokens;
    plan->steps_per_epoch = task->steps_per_epoch;
    plan->total_steps = task->total_steps;
    plan->slots = task->slots;
    plan->data_fingerprint = (char *)(uintptr_t)sb_dataset_fingerprint(task->train);
    plan->n_eval_sets = task->eval_count;
    plan->eval_sets = out->eval_pointers;
    for (size_t i = 0; i < task->eval_count; i++) {
        out->evals[i] = (Sb__EvalSet)SB__EVAL_SET__INIT;
        out->evals[i].name = (char *)(uintptr_t)task->evals[i].name;
        out->evals[i].slot_count = task->evals[i].slot_count;
        out->evals[i].fingerprint = (char *)(uintptr_t)sb_dataset_fingerprint(task->evals[i].data);
        if (task->embed) {
            bool scored = sb_dataset_pair_form(task->evals[i].data) == SB_PAIR_SCORED;
            out->evals[i].row_kind = scored ? SB__ROW_KIND__ROW_SCORED : SB__ROW_KIND__ROW_RANKED;
            out->evals[i].row_count = SB_EVAL_SLOT_SAMPLES;
            out->evals[i].row_width = SB_PAIR_ROW_WIDTH;
        }
        out->evals[i].label_count = task->mlm ? 0 : (uint32_t)task->bert.config.label_count;
        if (!task->mlm && !task->ner && !task->embed)
            out->evals[i].problem = (uint32_t)task->bert.config.problem;
        if (task->setfit) {
            out->evals[i].vector_size = (uint32_t)task->bert.config.hidden_size;
            out->evals[i].slot_rows = SB_EVAL_SLOT_SAMPLES;
        }
        if (task->ner) {
            out->evals[i].n_types = task->tags.type_count;
            out->evals[i].types = task->tags.type_names;
        }
        out->eval_pointers[i] = &out->evals[i];
    }
    if (sb_task_grouped(task))
        plan->vector_size = (uint32_t)task->bert.config.hidden_size;
    if (!task->mlm) {
        plan->n_labels = task->bert.config.label_count;
        plan->labels = task->bert.config.labels;
    }
}

struct sb_span *sb_spans_of_task(const struct sb_task *task, size_t *count)
{
    const struct sb_params *params = &task->bert.params;
    struct sb_span *spans = sb_calloc(params->count, sizeof(*spans));
    *count = params->count;
    for (size_t i = 0; i < params->count; i++) {
        const struct sb_tensor *tensor = &params->tensors[i];
        bool trainable = tensor->trainable || tensor->from_step; /* some day */
        spans[i] = (struct sb_span){.rows = tensor->rows,
                                    .cols = tensor->cols,
                                    .decay = tensor->decay,
                                    .trainable = trainable,
                                    .row_sparse = tensor->row_sparse && trainable,
                                    .rate = tensor->rate,
                                    .from_step = tensor->from_step,
                                    .offset = tensor->offset};
    }
    return spans;
}

static int flush(struct worker *w, struct sb_err *err)
{
    return sb_net_send_all(w->net, &w->out, err);
}

/*
 * As soon as a welcome names the servers: the client's first wants go to them.  In a later term
 * some may have moved.
 */
static int connect_of_term(struct worker *w, struct sb_err *err)
{
    const Sb__Welcome *welcome = sb_client_welcome(w->client);
    if (!welcome || w->connected_term == sb_client_term(w->client))
        return 0;
    if (w->connected_term)
        sb_log_event("rejoined", sb_u64("term", sb_client_term(w->client)),
                     sb_u64("step", welcome->resume_step));
    w->connected_term = sb_client_term(w->client);
    sb_metrics_ready(w->options->metrics, true);
    return w->options->connect ? w->options->connect(w->net, welcome, err) : 0;
}

/* Takes in what has arrived, waiting at most timeout_ms for a first message, and sends what is due.
 */
static int pump(struct worker *w, int timeout_ms, struct sb_err *err)
{
    uint64_t peer;
    struct sb_msg *msg = NULL;
    int got;
    sb_metrics_heartbeat(w->options->metrics);
    while ((got = sb_net_recv(w->net, timeout_ms, &peer, &msg, err)) > 0) {
        sb_client_handle(w->client, sb_clock_ns(), peer, &msg, &w->out);
        if (connect_of_term(w, err) < 0 || flush(w, err) < 0)
            return -1;
        timeout_ms = 0;
    }
    if (got < 0)
        return -1;
    if (*w->options->stop_code && !w->stopping) {
        w->stopping = true;
        sb_client_stop(w->client, sb_clock_ns(), *w->options->stop_code, NULL, &w->out);
    }
    sb_client_tick(w->client, sb_clock_ns(), &w->out);
    return flush(w, err);
}

/* hint: the buffer, or NULL for an empty node, which had none. */
static void give_back(void *hint)
{
    struct grad_buffer *buffer = hint;
    if (buffer)
        buffer->busy = false;
}

static int check_silence(struct worker *w, struct sb_err *err)
{
    const struct sb_job *job = w->options->job;
    const char *address = job->address ? job->address : ""; /* under MPI nobody needs to know it */
    bool joining = sb_client_state(w->client) == SB_CLIENT_JOINING;
    double silent = (double)(sb_clock_ns() - sb_client_last_heard(w->client)) * 1e-9;
    double limit = joining ? job->join_timeout_s + 5.0 : job->step_timeout_s + 5.0;
    if (joining && silent > SAY_AFTER_S && !w->said_waiting) {
        w->said_waiting = true;
        sb_log_waiting(address, silent, limit);
    }
    /* Who would tell us to end may be gone already, or not have come yet. */
    if (joining && w->stopping && silent > LEAVE_AFTER_S)
        return sb_err_set(err, (enum sb_err_code) * w->options->stop_code,
                          "stopped before it had joined");
    if (silent <= limit)
        return 0;
    return sb_err_set(err, SB_ERR_PEER, "nothing heard from the coordinator%s%s for %.0f s (%s)",
                      *address ? " at " : "", address, silent,
                      joining ? "join_timeout_s" : "step_timeout_s");
}

/* Whether the run or its term ended while we were computing: then nobody wants what we have. */
static bool run_ended(const struct worker *w)
{
    return sb_client_state(w->client) != SB_CLIENT_WORK || sb_client_work_void(w->client);
}

/*
 * A cleared buffer; waits for acknowledgements when too many are lent.  NULL and no err if the run
 * ended meanwhile: a server that is gone acknowledges nothing.
 */
static struct grad_buffer *take_grad(struct worker *w, struct sb_err *err)
{
    const struct sb_params *params = &w->task->bert.params;
    size_t allowed = sb_node_depth(w->task->slots) + 3;
    for (;;) {
        for (size_t i = 0; i < w->grad_count; i++) {
            if (w->grads[i]->busy)
                continue;
            w->grads[i]->busy = true;
            sb_grad_clear(&w->grads[i]->grad, params, w->task->bert.pool);
            return w->grads[i];
        }
        if (w->grad_count < allowed && w->grad_count < GRADS_MAX) {
            struct grad_buffer *fresh = sb_calloc(1, sizeof(*fresh));
            sb_grad_init(&fresh->grad, params);
            w->grads[w->grad_count++] = fresh;
        } else if (pump(w, PUMP_MS, err) < 0 || check_silence(w, err) < 0 || run_ended(w)) {
            return NULL;
        }
    }
}

static void note(const struct worker *w, struct sb_entry entry)
{
    if (!w->options->on_entry)
        return;
    entry.term = sb_client_term(w->client);
    w->options->on_entry(w->options->entry_context, &entry);
}

static void note_plan(const struct worker *w)
{
    note(w, (struct sb_entry){.kind = SB_ENTRY_PLAN,
                              .count = w->task->train_count,
                              .of_step = w->task->steps_per_epoch,
                              .node = w->task->slots});
}

static void note_slot(const struct worker *w, uint64_t step, uint32_t slot)
{
    const uint64_t *samples = NULL;
    if (!w->options->on_entry)
        return;
    size_t count = sb_task_train_samples(w->task, step, slot, &samples);
    note(
        w,
        (struct sb_entry){
            .kind = SB_ENTRY_SLOT, .step = step, .node = slot, .samples = samples, .count = count});
}

/*
 * The sums of one node: a leaf is a slot, an inner node left + right; an empty side counts as it
 * is. *sum is NULL when no slot under the node has a sample.  1: given up, for the run is over.
 */
static int compute_node(struct worker *w, uint64_t step, uint32_t node, struct grad_buffer **sum,
                        struct sb_stats *stats, struct sb_err *err)
{
    struct sb_task *task = w->task;
    *sum = NULL;
    if (node >= task->slots) {
        /* A slot may take long: what came meanwhile is answered before the next one. */
        if (pump(w, 0, err) < 0)
            return -1;
        struct grad_buffer *leaf = run_ended(w) ? NULL : take_grad(w, err);
        if (!leaf)
            return run_ended(w) ? 1 : -1;
        long samples = sb_task_train_slot(task, step, node - task->slots, &leaf->grad, stats, err);
        if (samples >= 0)
            note_slot(w, step, node - task->slots);
        if (samples > 0)
            *sum = leaf;
        else
            leaf->busy = false;
        sb_client_slot_done(w->client, sb_clock_ns(), &w->out);
        return samples < 0 ? -1 : 0;
    }
    struct grad_buffer *left, *right;
    struct sb_stats right_stats = {0};
    int rc = compute_node(w, step, 2 * node, &left, stats, err);
    if (rc != 0)
        return rc;
    rc = compute_node(w, step, 2 * node + 1, &right, &right_stats, err);
    if (rc != 0) {
        give_back(left);
        return rc;
    }
    sb_stats_add(stats, &right_stats);
    if (left && right) {
        sb_grad_add(&left->grad, &right->grad, &task->bert.params, task->bert.pool);
        right->busy = false;
    }
    *sum = left ? left : right;
    return 0;
}

static void say_bad_slot(struct worker *w, uint64_t step, uint32_t slot)
{
    const uint64_t *samples;
    struct sb_bytes text = SB_BYTES_INIT;
    size_t count = sb_task_train_samples(w->task, step, slot, &samples);
    for (size_t i = 0; i < count; i++)
        sb_bytes_printf(&text, "%s%" PRIu64,
                        i ? ", " : "; its samples, counted from 0: ", samples[i]);
    sb_log_warning("step %" PRIu64 ": loss or gradient of slot %" PRIu32 " is not finite%s",
                   step + 1, slot, text.data ? text.data : "");
    sb_bytes_release(&text);
}

/*
 * The first slot under the node whose numbers are not finite, UINT32_MAX if there is none.  The sum
 * is looked at, not every slot: one of them is a pure function, and is computed again when it comes
 * to that.  1: given up, for the run is over.
 */
static int find_bad_slot(struct worker *w, uint64_t step, uint32_t node,
                         const struct grad_buffer *sum, const struct sb_stats *stats,
                         uint32_t *bad_slot, struct sb_err *err)
{
    const struct sb_bert *bert = &w->task->bert;
    uint32_t first = node, end = node + 1;
    *bad_slot = UINT32_MAX;
    if (!sum || (isfinite(stats->loss) && sb_grad_finite(&sum->grad, &bert->params, bert->pool)))
        return 0;
    for (; first < w->task->slots; first *= 2, end *= 2)
        ;
    for (uint32_t leaf = first; leaf < end && *bad_slot == UINT32_MAX; leaf++) {
        struct grad_buffer *again;
        struct sb_stats leaf_stats = {0};
        int rc = compute_node(w, step, leaf, &again, &leaf_stats, err);
        if (rc != 0)
            return rc;
        if (again && (!isfinite(leaf_stats.loss) ||
                      !sb_grad_finite(&again->grad, &bert->params, bert->pool)))
            *bad_slot = leaf - w->task->slots;
        if (again)
            again->busy = false;
    }
    if (*bad_slot != UINT32_MAX)
        say_bad_slot(w, step, *bad_slot);
    return 0;
}

static int train(struct worker *w, const struct sb_work *work, struct sb_err *err)
{
    /* The client may put newer work in its place while we pump: keep what we were given. */
    struct sb_work mine = *work;
    size_t float_count;
    const float *group = sb_client_group(w->client, &float_count);
    if (sb_task_grouped(w->task) &&
        sb_task_set_group(w->task, mine.step, group, float_count, err) < 0)
        return -1;
    sb_params_thaw(&w->task->bert.params, mine.step);
    for (size_t i = 0; i < mine.node_count; i++) {
        struct grad_buffer *sum;
        struct sb_stats stats = {0};
        uint32_t bad_slot;
        double begin = sb_clock_seconds();
        int rc = compute_node(w, mine.step, mine.nodes[i], &sum, &stats, err);
        if (rc == 0)
            rc = find_bad_slot(w, mine.step, mine.nodes[i], sum, &stats, &bad_slot, err);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        struct sb_grad *grad = sum ? &sum->grad : NULL;
        sb_client_push_node(w->client, sb_clock_ns(), mine.nodes[i], grad ? grad->dense : NULL,
                            grad ? grad->rows : NULL, grad ? grad->values : NULL,
                            grad ? grad->row_count : 0, &stats, bad_slot,
                            sb_clock_seconds() - begin, give_back, sum, &w->out);
        sb_metrics_add(w->options->metrics, SB_METRIC_TOKENS, stats.tokens);
        sb_metrics_add(w->options->metrics, SB_METRIC_SAMPLES, stats.samples);
        if (flush(w, err) < 0 || pump(w, 0, err) < 0)
            return -1;
    }
    return 0;
}

static int evaluate(struct worker *w, const struct sb_work *work, struct sb_err *err)
{
    struct sb_work mine = *work;
    size_t count_count = sb_task_count_count(w->task);
    for (uint64_t slot = mine.first_slot; slot < mine.end_slot && !run_ended(w); slot++) {
        struct sb_stats stats = {0};
        double begin = sb_clock_seconds();
        memset(w->counts, 0, count_count * sizeof(double));
        if (sb_task_eval_slot(w->task, mine.eval_set, slot, &stats, w->counts, err) < 0)
            return -1;
        sb_client_push_eval(w->client, sb_clock_ns(), slot, &stats, w->counts, count_count,
                            sb_clock_seconds() - begin, &w->out);
        if (flush(w, err) < 0 || pump(w, 0, err) < 0)
            return -1;
    }
    return 0;
}

static int publish(struct worker *w, const struct sb_work *work, struct sb_err *err)
{
    struct sb_work mine = *work;
    size_t C = w->task->bert.config.hidden_size;
    for (uint64_t slot = mine.first_slot; slot < mine.end_slot && !run_ended(w); slot++) {
        float *vectors;
        double begin = sb_clock_seconds();
        long rows = sb_task_publish_slot(w->task, mine.step, (uint32_t)slot, &vectors, err);
        if (rows < 0)
            return -1;
        sb_client_push_vectors(w->client, sb_clock_ns(), slot, vectors, (size_t)rows * C,
                               sb_clock_seconds() - begin, &w->out);
        if (flush(w, err) < 0 || pump(w, 0, err) < 0)
            return -1;
    }
    return 0;
}

/* slots has room for all; returns how many there are. */
static size_t slots_of_work(uint32_t *slots, const struct sb_work *work, uint32_t slot_count)
{
    size_t count = 0;
    for (uint64_t slot = work->first_slot; work->embed && slot < work->end_slot; slot++)
        slots[count++] = (uint32_t)slot;
    for (size_t i = 0; i < work->node_count && !work->embed; i++)
        for (uint32_t s = 0; s < sb_node_slot_count(work->nodes[i], slot_count); s++)
            slots[count++] = sb_node_first_slot(work->nodes[i], slot_count) + s;
    return count;
}

static int want_rows(struct worker *w, const struct sb_work *work, struct sb_err *err)
{
    struct sb_task *task = w->task;
    uint32_t *rows = NULL;
    long count;
    if (work->eval) {
        count =
            sb_task_eval_rows(task, work->eval_set, work->first_slot, work->end_slot, &rows, err);
    } else {
        uint32_t *slots = sb_alloc(task->slots * sizeof(*slots));
        size_t slot_count = slots_of_work(slots, work, task->slots);
        count = sb_task_train_rows(task, work->step, slots, slot_count, &rows, err);
        free(slots);
    }
    if (count < 0)
        return -1;
    sb_client_want_rows(w->client, sb_clock_ns(), rows, (size_t)count, &w->out);
    return flush(w, err);
}

static double flos_per_token(const struct sb_params *params)
{
    size_t count = 0;
    for (size_t i = 0; i < params->count; i++)
        if (i != params->word && i != params->position && i != params->type)
            count += sb_tensor_count(&params->tensors[i]);
    return 6.0 * (double)count;
}

static int finish(struct worker *w, struct sb_err *err)
{
    const Sb__Welcome *welcome = sb_client_welcome(w->client);
    const char *sentence;
    if (sb_client_code(w->client, &sentence) == 0 && welcome && welcome->lease) {
        while (!sb_client_fetch_all(w->client, sb_clock_ns(), &w->out)) {
            if (flush(w, err) < 0 || pump(w, PUMP_MS, err) < 0 || check_silence(w, err) < 0)
                return -1;
            if (sb_client_state(w->client) != SB_CLIENT_FINISH)
                return 0; /* dismissed; or a server was lost, and the last steps are done again */
        }
        if (sb_task_export(w->task, w->options->job->output_dir, err) < 0 ||
            sb_results_write_head(w->options->job->output_dir, sb_client_history(w->client), err) <
                0 ||
            sb_results_write(w->options->job->output_dir, sb_client_history(w->client),
                             flos_per_token(&w->task->bert.params), err) < 0 ||
            sb_probes_after(w->task, sb_client_history(w->client), err) < 0 ||
            sb_run_record_finish(w->task, w->options->canonical, err) < 0)
            return -1;
    }
    if (sb_client_code(w->client, &sentence) == 0 && w->stopping && !(welcome && welcome->lease))
        sb_log_event("left", sb_text("how", "after a signal; the others go on"));
    if (sb_client_code(w->client, &sentence) != 0 && w->options->connect)
        sb_log_event("dismissed", sb_u64("code", (uint64_t)sb_client_code(w->client, NULL)),
                     sb_text("why", sentence));
    w->dismissed = true;
    sb_client_bye(w->client, sb_clock_ns(), &w->out);
    return flush(w, err);
}

/* One turn of the loop: what the client's state asks for. */
static int turn(struct worker *w, struct sb_err *err)
{
    const struct sb_work *work;
    if (sb_client_work_void(w->client)) {
        sb_client_leave_work(w->client, sb_clock_ns(), &w->out);
        return flush(w, err);
    }
    if (sb_client_needs_rows(w->client, &work) && want_rows(w, work, err) < 0)
        return -1;
    switch (sb_client_state(w->client)) {
    case SB_CLIENT_SEED:
        if (sb_task_load_weights(w->task, err) < 0 || sb_probes_before(w->task, err) < 0)
            return -1;
        if (w->options->loaded)
            w->options->loaded(w->options->loaded_context, w->task);
        sb_client_seed(w->client, sb_clock_ns(), &w->out);
        return flush(w, err);
    case SB_CLIENT_WORK:
        work = sb_client_work(w->client);
        return work->eval    ? evaluate(w, work, err)
               : work->embed ? publish(w, work, err)
                             : train(w, work, err);
    case SB_CLIENT_FINISH:
        return finish(w, err);
    default: {
        double begin = sb_clock_seconds();
        if (pump(w, PUMP_MS, err) < 0)
            return -1;
        double waited = sb_clock_seconds() - begin;
        w->wait_seconds += waited;
        sb_metrics_add(w->options->metrics, SB_METRIC_WAIT, waited);
        return check_silence(w, err);
    }
    }
}

/* What went over the net for this worker, and how long it waited: once, at the end. */
static void report_traffic(const struct worker *w)
{
    const struct sb_client_counters *c = sb_client_counters(w->client);
    sb_log_event("traffic", sb_u64("push_bytes", c->push_bytes),
                 sb_u64("want_bytes", c->want_bytes), sb_u64("seed_bytes", c->seed_bytes),
                 sb_u64("pushes", c->pushes), sb_u64("retries", c->retries),
                 sb_real("wait_seconds", w->wait_seconds));
}

static void release(struct worker *w)
{
    sb_net_free(w->options->net);
    sb_client_free(&w->client);
    sb_outbox_release(&w->out);
    for (size_t i = 0; i < w->grad_count; i++) {
        sb_grad_release(&w->grads[i]->grad, &w->task->bert.params);
        free(w->grads[i]);
    }
    free(w->counts);
}

/* The vectors of a step travel as one frame. */
int sb_worker_check(const struct sb_task *task, struct sb_err *err)
{
    const struct sb_job *job = task->job;
    uint64_t bytes =
        (uint64_t)job->batch_size * SB_ITEM_TEXTS * task->bert.config.hidden_size * sizeof(float);
    if (!sb_task_grouped(task) || bytes <= SB_FRAME_BYTES_MAX)
        return 0;
    sb_err_set(
        err, SB_ERR_CONFIG,
        "a loss that compares all of a step's vectors takes at most %llu items of this model "
        "as batch_size",
        (unsigned long long)(job->batch_size * (uint64_t)SB_FRAME_BYTES_MAX / bytes));
    return sb_job_place(job, "batch_size", err);
}

int sb_worker_run(const struct sb_worker_options *options, struct sb_err *err)
{
    struct worker w = {.options = options, .task = options->task, .net = *options->net};
    struct sb_plan plan;
    size_t span_count;
    struct sb_span *spans = sb_spans_of_task(options->task, &span_count);
    sb_plan_of_task(&plan, options->task);
    struct sb_client_options client = {.self = options->self,
                                       .canonical = options->canonical,
                                       .fingerprint = options->fingerprint,
                                       .name = options->name,
                                       .index = options->index,
                                       .life = options->life,
                                       .plan = &plan.plan,
                                       .spans = spans,
                                       .span_count = span_count,
                                       .weights = options->task->weights,
                                       .retry_ms = options->job->push_timeout_ms,
                                       .checksum = options->checksum};
    w.client = sb_client_new(&client, sb_clock_ns());
    w.counts = sb_calloc(sb_task_count_count(options->task), sizeof(double));
    note_plan(&w);

    int code = -1;
    while (code < 0 && sb_client_state(w.client) != SB_CLIENT_OVER) {
        sb_metrics_heartbeat(options->metrics);
        if (turn(&w, err) < 0) {
            /* The others should not wait for us until a limit runs out. */
            *options->unheard = sb_client_state(w.client) == SB_CLIENT_FINISH;
            sb_client_stop(w.client, sb_clock_ns(), err->code, err->text, &w.out);
            flush(&w, NULL);
            code = err->code;
        }
    }
    if (code < 0) {
        const char *sentence;
        code = sb_client_code(w.client, &sentence);
        *options->told = true;
        if (code)
            sb_err_set(err, (enum sb_err_code)code, "%s", w.dismissed ? "" : sentence);
    }
    report_traffic(&w);
    release(&w);
    free(spans);
    return code;
}
