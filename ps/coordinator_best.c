#include "coordinator_inside.h"

#include "arena.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool sb_coordinator_at_end(const struct sb_coordinator *c)
{
    return c->step >= c->members.plan->total_steps || c->history.best.stop;
}

static void say(struct sb_coordinator *c, const char *sentence)
{
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_NOTE, .text = sentence});
}

void sb_coordinator_judge(struct sb_coordinator *c, const json_t *results)
{
    char name[128], sentence[320];
    struct sb_best *best = &c->history.best;
    /* Before the first step there is nothing that a checkpoint could keep. */
    if (!sb_best_wanted(c->job) || c->step == 0)
        return;
    bool stopped = best->stop;
    sb_best_metric_name(name, c->job);
    if (sb_best_judge(best, c->job, results, c->step)) {
        /* A run that was stopped before this evaluation has left the checkpoint of the step. */
        best->saved = c->saved_step == c->step && !c->save_failed;
        snprintf(sentence, sizeof(sentence), "the best %s so far: %.6g", name, best->metric);
        say(c, sentence);
    }
    if (best->stop && !stopped) {
        snprintf(sentence, sizeof(sentence),
                 "stopping early: %" PRIu32 " evaluations without an improvement of %s upon %.6g "
                 "of step %" PRIu64,
                 best->waited, name, best->metric, best->step);
        say(c, sentence);
    }
}

/* ---- before the start ---- */

enum { DRY_ROWS = 3 }; /* the fewest that have a correlation */

/* The names of the scores of a set, from an evaluation of it that saw one target, or a few rows. */
static json_t *names_of_scores(const struct sb_coordinator *c, const Sb__EvalSet *set)
{
    struct sb_evaluation dry;
    Sb__EvalSet one = *set;
    one.slot_count = 1;
    one.vector_size = 0; /* the head makes classes of vectors */
    if (one.row_kind && one.row_count < DRY_ROWS)
        one.row_count = DRY_ROWS;
    sb_evaluation_begin(&dry, &one, 0);
    dry.sums[SB_SUM_TARGETS] = 1;
    dry.sums[SB_SUM_SAMPLES] = one.row_kind ? DRY_ROWS : 1;
    for (size_t i = 0; one.row_kind && i < (size_t)DRY_ROWS * one.row_width; i++)
        dry.sums[SB_SUM_COUNT + i] = (double)i;
    json_t *results = sb_evaluation_results(&dry, c->members.plan->labels);
    sb_evaluation_end(&dry);
    return results;
}

int sb_coordinator_check_metric(const struct sb_coordinator *c, struct sb_err *err)
{
    char name[128];
    const Sb__EvalSet *set = NULL;
    for (size_t i = 0; i < c->members.plan->n_eval_sets; i++)
        if (!strcmp(c->members.plan->eval_sets[i]->name, "validation"))
            set = c->members.plan->eval_sets[i];
    if (!sb_best_wanted(c->job) || !set || !set->slot_count) /* what is empty may be of any width */
        return 0;
    sb_best_metric_name(name, c->job);
    json_t *results = names_of_scores(c, set);
    struct sb_bytes names = SB_BYTES_INIT;
    const char *key;
    json_t *value;
    /* How many there were is no score. */
    json_object_del(results, "eval_samples");
    json_object_del(results, "eval_targets");
    bool found = json_is_number(json_object_get(results, name));
    json_object_foreach(results, key, value)
    {
        if (json_is_number(value))
            sb_bytes_printf(&names, "%s%s", names.count ? ", " : "", key);
    }
    int rc = found ? 0
                   : sb_err_set(err, SB_ERR_CONFIG,
                                "metric_for_best_model is '%s'; the evaluations have %s", name,
                                names.data ? names.data : "none");
    sb_bytes_release(&names);
    json_decref(results);
    return rc;
}

/* ---- at the end ---- */

bool sb_coordinator_reload_due(const struct sb_coordinator *c)
{
    const struct sb_best *best = &c->history.best;
    return c->job->load_best_model_at_end && !c->reloaded && best->known && best->saved &&
           best->step != c->step && c->options->disk;
}

void sb_coordinator_say_best_lost(struct sb_coordinator *c)
{
    char sentence[256];
    const struct sb_best *best = &c->history.best;
    if (!c->job->load_best_model_at_end || c->reloaded || !best->known || best->step == c->step)
        return;
    snprintf(sentence, sizeof(sentence),
             "the best model, of step %" PRIu64
             ", cannot be taken: its checkpoint was not written; "
             "this is the model of the last step, %" PRIu64,
             best->step, c->step);
    sb_coordinator_tell(c, (struct sb_event){.kind = SB_EVENT_WARNING, .text = sentence});
}

/* The weights come back as those of one step more: whoever wants weights asks by the step. */
void sb_coordinator_begin_reload(struct sb_coordinator *c, struct sb_outbox *out)
{
    char sentence[128];
    snprintf(sentence, sizeof(sentence), "the model of step %" PRIu64 ", the best, is taken",
             c->history.best.step);
    say(c, sentence);
    sb_coordinator_move(c, SB_COORDINATOR_RELOADING);
    sb_coordinator_go_on_reloading(c, out);
}

static bool all_committed(const struct sb_coordinator *c)
{
    for (uint32_t i = 0; i < c->members.server_count; i++)
        if (c->servers[i].committed < c->step)
            return false;
    return true;
}

/* First the last step is everywhere, then the weights that take its place are. */
void sb_coordinator_go_on_reloading(struct sb_coordinator *c, struct sb_outbox *out)
{
    if (!all_committed(c))
        return;
    c->progress_ns = c->now_ns;
    if (c->reloaded) {
        sb_coordinator_go_on(c, out);
        return;
    }
    c->reloaded = true;
    c->commit.apply = false;
    sb_ckpt_folder(c->commit.load, c->job->output_dir, c->history.best.step);
    c->step++;
    sb_coordinator_note(c, (struct sb_entry){.kind = SB_ENTRY_DECIDE, .what = "load"});
    sb_coordinator_send_commit(c, out);
}
