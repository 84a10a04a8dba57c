#include "coordinator_inside.h"

#include "arena.h"
#include "nodes.h"
#include "resume.h"
#include "schedule.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- steps, evaluations, checkpoints begin ---- */

static void begin_step(struct sb_coordinator *c, struct sb_outbox *out)
{
    const Sb__Plan *plan = c->members.plan;
    sb_sums_tree_clear(&c->sums);
    c->bad.slot = UINT32_MAX;
    c->doubted = false;
    c->doubt_rounds = 0;
    c->step_ns = c->now_ns;
    if (plan->vector_size)
        sb_gather_begin(&c->gather, plan->slots, plan->vector_size);
    sb_coordinator_move(c, plan->vector_size ? SB_COORDINATOR_GATHERING : SB_COORDINATOR_TRAINING);
    sb_coordinator_deal(c, out);
}

/* UINT32_MAX if the data has no such set, or an empty one. */
static uint32_t find_set(const struct sb_coordinator *c, const char *name)
{
    for (uint32_t i = 0; i < c->members.plan->n_eval_sets; i++)
        if (!strcmp(c->members.plan->eval_sets[i]->name, name) &&
            c->members.plan->eval_sets[i]->slot_count > 0)
            return i;
    return UINT32_MAX;
}

static void begin_evaluation(struct sb_coordinator *c, uint32_t set, struct sb_outbox *out)
{
    const Sb__EvalSet *described = c->members.plan->eval_sets[set];
    if (described->vector_size && strcmp(described->name, SB_HEAD_SET) != 0)
        sb_evaluation_begin_scored(&c->evaluation, described, set, &c->head.head);
    else
        sb_evaluation_begin(&c->evaluation, described, set);
    sb_coordinator_move(c, SB_COORDINATOR_EVALUATING);
    sb_coordinator_deal(c, out);
}

static bool evaluation_due(const struct sb_coordinator *c)
{
    uint64_t every = c->job->eval_steps ? c->job->eval_steps : c->members.plan->steps_per_epoch;
    if (c->reloaded || c->history.evaluated_step == c->step ||
        find_set(c, "validation") == UINT32_MAX)
        return false;
    if (c->step == 0)
        return c->job->eval_on_start || c->job->probe_sentences.count ||
               c->members.plan->total_steps == 0;
    return sb_coordinator_at_end(c) || (every && c->step % every == 0);
}

/* The head belongs to the weights of one step: before it scores, is saved or is written, it is
 * fitted on theirs.  A run that is stopped does not wait for it, and who resumes fits it anew. */
static bool head_missing(const struct sb_coordinator *c)
{
    return !c->stop_code && c->head.step != c->step && find_set(c, SB_HEAD_SET) != UINT32_MAX;
}

static void finish_stopped(struct sb_coordinator *c, struct sb_outbox *out)
{
    char sentence[1200];
    bool failed = c->save_failed && c->saved_step == c->step;
    const char *how = "stopped after a checkpoint; the same command resumes";
    if (failed)
        how = "stopped, and the last checkpoint could not be written";
    else if (sb_coordinator_at_end(c))
        how = "stopped at the end of the training; the same command writes the model";
    else if (c->step == 0)
        how = "stopped before the end of the first step";
    snprintf(sentence, sizeof(sentence), "%s%s%s", c->stop_sentence, *c->stop_sentence ? "; " : "",
             how);
    sb_coordinator_finish(c, failed && !*c->stop_sentence ? SB_ERR_IO : c->stop_code, sentence,
                          out);
}

/* Between two pieces of work: what is next?  The one place that decides. */
void sb_coordinator_go_on(struct sb_coordinator *c, struct sb_outbox *out)
{
    bool at_end = sb_coordinator_at_end(c), reload = at_end && sb_coordinator_reload_due(c);
    sb_coordinator_part_with_leavers(c, out);
    bool save = sb_coordinator_save_due(c);
    if (head_missing(c) && (at_end || evaluation_due(c) || save)) {
        begin_evaluation(c, find_set(c, SB_HEAD_SET), out);
    } else if (!c->stop_code && evaluation_due(c)) {
        begin_evaluation(c, find_set(c, "validation"), out);
    } else if (!c->stop_code && at_end && !reload && c->history.tested_step != c->step &&
               find_set(c, "test") != UINT32_MAX) {
        begin_evaluation(c, find_set(c, "test"), out);
    } else if (sb_coordinator_save_awaited(c)) {
        sb_coordinator_move(c, SB_COORDINATOR_SAVING);
    } else if (save) {
        sb_coordinator_begin_save(c, out);
        sb_coordinator_go_on(c, out); /* beside it */
    } else if (c->stop_code) {
        finish_stopped(c, out);
    } else if (reload) {
        sb_coordinator_begin_reload(c, out);
    } else if (at_end) {
        sb_coordinator_say_best_lost(c);
        sb_coordinator_finish(c, 0, "", out);
    } else if (sb_coordinator_count_workers(c) < c->job->min_workers) {
        sb_coordinator_leave_out_save(c);
        sb_coordinator_move(c, SB_COORDINATOR_SHORT);
        c->said_ns = 0; /* at once */
    } else {
        sb_coordinator_leave_out_save(c);
        begin_step(c, out);
    }
}

/* ---- a step ---- */

static void send_commit(struct sb_coordinator *c, uint64_t server, struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Commit commit = SB__COMMIT__INIT;
    commit.apply = c->commit.apply;
    commit.scale = c->commit.scale;
    commit.rate = c->commit.rate;
    commit.load = c->commit.load;
    head.step = c->step - 1;
    head.body_case = SB__HEAD__BODY_COMMIT;
    head.commit = &commit;
    sb_coordinator_send(c, out, server, &head, NULL);
}

void sb_coordinator_send_commit(struct sb_coordinator *c, struct sb_outbox *out)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (c->servers[i].committed < c->step)
            send_commit(c, i, out);
}

/* Squared norm of the gradient sum: parts in part order, whoever owns them. */
static double add_norms(const struct sb_coordinator *c)
{
    size_t *next = sb_calloc(c->members.server_count, sizeof(*next));
    double sum = 0;
    for (size_t i = 0; i < c->parts.count; i++) {
        const struct sb_part *part = &c->parts.parts[i];
        if (part->trainable)
            sum += c->servers[part->owner].norms[next[part->owner]++];
    }
    free(next);
    return sum;
}

static void commit_step(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_sums sums = *sb_sums_tree_root(&c->sums);
    if (!sb_coordinator_accept_step(c, &sums, out))
        return;
    double targets = sums.of[SB_SUM_TARGETS], most = c->job->max_grad_norm;
    double norm = targets > 0 ? sqrt(add_norms(c)) / targets : 0;
    double clip = most > 0 ? fmin(1.0, most / (norm + 1e-6)) : 1.0;
    double began_ns = (double)c->step_ns;
    c->commit.apply = targets > 0;
    c->commit.scale = targets > 0 ? clip / targets : 0;
    c->commit.rate = sb_schedule_rate(c->job, c->step, c->members.plan->total_steps);
    c->step++;
    sb_coordinator_note(c, (struct sb_entry){.kind = SB_ENTRY_DECIDE,
                                             .what = c->commit.apply ? "apply" : "skip",
                                             .scale = c->commit.scale,
                                             .rate = c->commit.rate});
    sb_coordinator_count_step_seconds(c);
    sb_coordinator_end_measuring(c, &sums);
    for (uint32_t i = 0; i < c->members.server_count; i++)
        c->servers[i].reported = false;
    c->progress_ns = c->now_ns;
    sb_coordinator_send_commit(c, out);
    sb_coordinator_count_redone(c);
    sb_history_add_step(&c->history, &sums);
    if (c->step % c->job->logging_steps == 0 || c->step == c->members.plan->total_steps)
        sb_history_report(&c->history, c->step, sb_coordinator_epoch(c), norm, c->commit.rate);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_STEP,
                                             .loss = sb_sums_mean_loss(&sums),
                                             .grad_norm = norm,
                                             .rate = c->commit.rate,
                                             .tokens = sums.of[SB_SUM_TOKENS],
                                             .samples = sums.of[SB_SUM_SAMPLES],
                                             .targets = targets,
                                             .seconds = ((double)c->now_ns - began_ns) * 1e-9});
    sb_coordinator_go_on(c, out);
}

void sb_coordinator_commit_if_complete(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (c->state != SB_COORDINATOR_TRAINING || !sb_sums_tree_root(&c->sums))
        return;
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (!c->servers[i].reported)
            return;
    /* An update may not overtake the checkpoint of the state that it changes. */
    if (!sb_coordinator_save_kept(c)) {
        if (!c->save.held_ns)
            c->save.held_ns = c->now_ns;
        return;
    }
    if (c->save.held_ns) {
        c->save.stall_s += sb_coordinator_seconds(c, c->save.held_ns);
        c->save.held_ns = 0;
    }
    commit_step(c, out);
}

void sb_coordinator_take_report(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                const struct sb_msg *msg, struct sb_outbox *out)
{
    if (peer >= c->members.server_count || !c->servers[peer].loaded)
        return;
    struct sb_coordinator_server *server = &c->servers[peer];
    if (head->step < c->step) {
        if (head->step + 1 == c->step)
            send_commit(c, peer, out);
        return;
    }
    /* A server without a trained part reports as soon as it can, also before the step is dealt. */
    if (head->step != c->step || server->reported ||
        msg->frames[0]->bytes != server->norm_count * sizeof(double))
        return;
    memcpy(server->norms, msg->frames[0]->data, msg->frames[0]->bytes);
    server->reported = true;
    server->finite = head->report->finite;
    server->bad_part = head->report->bad_part;
    server->committed = c->step; /* it would not report before */
    c->progress_ns = c->now_ns;
    sb_coordinator_commit_if_complete(c, out);
}

void sb_coordinator_take_committed(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                   struct sb_outbox *out)
{
    if (peer >= c->members.server_count || head->step >= c->step)
        return;
    if (head->step + 1 > c->servers[peer].committed)
        c->servers[peer].committed = head->step + 1;
    if (c->state == SB_COORDINATOR_RELOADING && *head->committed->sentence) {
        char sentence[1024];
        snprintf(sentence, sizeof(sentence), "server %" PRIu64 ": %s", peer,
                 head->committed->sentence);
        sb_coordinator_finish(c, SB_ERR_IO, sentence, out);
    } else if (c->state == SB_COORDINATOR_RELOADING) {
        sb_coordinator_go_on_reloading(c, out);
    }
}

/* The names of the rows and columns of a confusion matrix. */
static void name_classes(json_t *results, const Sb__Plan *plan)
{
    static const char *const keys[][2] = {{"eval_confusion_matrix", "eval_labels"},
                                          {"test_confusion_matrix", "test_labels"}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!plan->n_labels ||
            json_array_size(json_object_get(results, keys[i][0])) != plan->n_labels)
            continue;
        json_t *labels = json_array();
        for (size_t k = 0; k < plan->n_labels; k++)
            json_array_append_new(labels, json_string(plan->labels[k]));
        json_object_set_new(results, keys[i][1], labels);
    }
}

static void end_evaluation(struct sb_coordinator *c, struct sb_outbox *out)
{
    json_t *results = sb_evaluation_results(&c->evaluation, c->members.plan->labels);
    name_classes(results, c->members.plan);
    char *text = json_dumps(results, JSON_COMPACT);
    char *name = sb_strdup(c->evaluation.set->name);
    bool is_test = !strcmp(name, "test");
    sb_evaluation_end(&c->evaluation);
    *(is_test ? &c->history.tested_step : &c->history.evaluated_step) = c->step;
    sb_history_evaluated(&c->history, sb_coordinator_trained(c), sb_coordinator_epoch(c), results);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_EVAL,
                                             .text = name,
                                             .json = text,
                                             .seconds = sb_coordinator_seconds(c, c->began_ns)});
    if (!is_test)
        sb_coordinator_judge(c, results);
    free(name);
    free(text);
    json_decref(results);
    sb_coordinator_go_on(c, out);
}

/* As scikit-learn does: the head is of use, but another number of iterations would make another. */
static void warn_of_head(struct sb_coordinator *c)
{
    const struct sb_logreg_report *report = &c->head.report;
    char sentence[256];
    if (report->converged || report->iterations < c->job->head_max_iter)
        return;
    snprintf(sentence, sizeof(sentence),
             "the head did not converge in %" PRIu32 " iterations; raise head_max_iter",
             report->iterations);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_WARNING, .text = sentence});
}

static void end_head(struct sb_coordinator *c, struct sb_outbox *out)
{
    struct sb_err err = SB_ERR_INIT;
    int rc =
        sb_run_head_fit(&c->head, &c->evaluation, c->members.plan->labels, c->job, c->step, &err);
    sb_evaluation_end(&c->evaluation);
    if (rc < 0) {
        sb_coordinator_finish(c, (int)err.code, err.text, out);
        return;
    }
    json_t *fit = sb_run_head_describe(&c->head);
    char *text = json_dumps(fit, JSON_COMPACT);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_HEAD,
                                             .json = text,
                                             .seconds = sb_coordinator_seconds(c, c->began_ns)});
    free(text);
    json_decref(fit);
    warn_of_head(c);
    sb_coordinator_go_on(c, out);
}

static void ack_done(struct sb_coordinator *c, uint64_t peer, const Sb__Head *done,
                     struct sb_outbox *out)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__DoneAck ack = SB__DONE_ACK__INIT;
    ack.kind = done->done->kind;
    ack.sequence = done->done->sequence;
    ack.slot = done->done->slot;
    head.step = done->step;
    head.node = done->node;
    head.body_case = SB__HEAD__BODY_DONE_ACK;
    head.done_ack = &ack;
    sb_coordinator_send(c, out, peer, &head, NULL);
}

/* ---- groups ---- */

/* All vectors are here: the nodes of the step can be computed.  Vectors that are not finite are
 * found out with the step (coordinator_nonfinite.c), and by its worker, who knows the samples. */
static void end_gathering(struct sb_coordinator *c, struct sb_outbox *out)
{
    sb_coordinator_move(c, SB_COORDINATOR_TRAINING);
    sb_coordinator_deal(c, out);
}

/* Of another step, or before all vectors are here, nothing is said: whoever still needs it asks
 * again. */
void sb_coordinator_take_group_want(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                    struct sb_outbox *out)
{
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    if (worker == UINT32_MAX)
        return;
    sb_coordinator_worker_lives(c, worker);
    if (c->state != SB_COORDINATOR_TRAINING || head->step != c->step ||
        !sb_gather_complete(&c->gather))
        return;
    Sb__Head answer = SB__HEAD__INIT;
    Sb__Group group = SB__GROUP__INIT;
    answer.step = c->step;
    answer.body_case = SB__HEAD__BODY_GROUP;
    answer.group = &group;
    sb_coordinator_send(c, out, peer, &answer, c->gather.group);
}

/* ---- what workers have done ---- */

/* The loss may be anything (a model that blew up); the counts may not.  What stands behind them is
 * the evaluation's to judge, and what comes too late is answered unread. */
static bool counts_valid(const Sb__Done *done)
{
    if (done->kind == SB__WORK_KIND__WORK_EMBED)
        return true;
    if (done->n_sums < SB_SUM_COUNT)
        return false;
    for (size_t i = 0; i < SB_SUM_COUNT; i++)
        if (i != SB_SUM_LOSS && !(done->sums[i] >= 0 && done->sums[i] <= 1e18))
            return false;
    return true;
}

/* Of the running step or evaluation.  -1: not something that anybody here could have been asked. */
static int take_sums(struct sb_coordinator *c, const Sb__Head *head, const struct sb_msg *msg)
{
    const Sb__Done *done = head->done;
    struct sb_sums sums;
    if (done->kind == SB__WORK_KIND__WORK_EVAL && c->state == SB_COORDINATOR_EVALUATING)
        return sb_evaluation_take(&c->evaluation, done->slot, done->sums, done->n_sums);
    if (done->kind == SB__WORK_KIND__WORK_EMBED && c->state == SB_COORDINATOR_GATHERING)
        return sb_gather_take(&c->gather, done->slot, msg->frame_count ? msg->frames[0] : NULL);
    if (done->kind != SB__WORK_KIND__WORK_TRAIN || c->state != SB_COORDINATOR_TRAINING)
        return 0;
    if (done->n_sums != SB_SUM_COUNT || !sb_node_valid(head->node, c->sums.slots))
        return -1;
    memcpy(sums.of, done->sums, sizeof(sums.of));
    return sb_sums_tree_take(&c->sums, head->node, &sums);
}

void sb_coordinator_take_done(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                              const struct sb_msg *msg, struct sb_outbox *out)
{
    const Sb__Done *done = head->done;
    uint32_t worker = sb_members_find_worker(&c->members, peer);
    if (worker == UINT32_MAX || done->sequence > c->sequence || !counts_valid(done))
        return;
    bool current = done->sequence >= c->first_sequence && head->step == c->step;
    uint64_t answered = c->workers[worker].answered;
    sb_coordinator_count_answer(c, worker, head);
    int taken = current ? take_sums(c, head, msg) : 0;
    if (taken < 0)
        return;
    if (taken == 0 && c->workers[worker].answered != answered)
        c->account.twice++;
    if (taken > 0)
        c->progress_ns = c->now_ns;
    if (taken > 0 && done->kind == SB__WORK_KIND__WORK_TRAIN && done->bad_slot)
        sb_coordinator_note_bad_slot(c, worker, done->bad_slot - 1);
    sb_coordinator_note_first_done(c, worker);
    ack_done(c, peer, head, out);
    if (c->state == SB_COORDINATOR_EVALUATING && c->evaluation.missing == 0) {
        if (strcmp(c->evaluation.set->name, SB_HEAD_SET))
            end_evaluation(c, out);
        else
            end_head(c, out);
    } else if (c->state == SB_COORDINATOR_GATHERING && sb_gather_complete(&c->gather)) {
        end_gathering(c, out);
    } else {
        sb_coordinator_commit_if_complete(c, out);
    }
}
