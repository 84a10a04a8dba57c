#include "resume.h"

#include "arena.h"
#include "best.h"
#include "members.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *sb_plan_to_json(const Sb__Plan *plan, const struct sb_job *job, const char *fingerprint)
{
    json_t *object = json_object(), *sets = json_array(), *labels = json_array();
    json_object_set_new(object, "train_samples", json_integer((json_int_t)plan->train_samples));
    json_object_set_new(object, "train_tokens", json_integer((json_int_t)plan->train_tokens));
    json_object_set_new(object, "steps_per_epoch", json_integer((json_int_t)plan->steps_per_epoch));
    json_object_set_new(object, "total_steps", json_integer((json_int_t)plan->total_steps));
    json_object_set_new(object, "slots", json_integer(plan->slots));
    json_object_set_new(object, "data_fingerprint", json_string(plan->data_fingerprint));
    for (size_t i = 0; i < plan->n_eval_sets; i++) {
        const Sb__EvalSet *set = plan->eval_sets[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_string(set->name));
        json_object_set_new(entry, "slot_count", json_integer((json_int_t)set->slot_count));
        json_object_set_new(entry, "label_count", json_integer(set->label_count));
        json_object_set_new(entry, "fingerprint", json_string(set->fingerprint));
        json_array_append_new(sets, entry);
    }
    json_object_set_new(object, "eval_sets", sets);
    for (size_t i = 0; i < plan->n_labels; i++)
        json_array_append_new(labels, json_string(plan->labels[i]));
    json_object_set_new(object, "labels", labels);
    json_object_set_new(object, "numerics", json_string(fingerprint));
    if (sb_best_wanted(job))
        json_object_set_new(object, "eval_steps", json_integer((json_int_t)job->eval_steps));
    return object;
}

static uint64_t whole(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static char *text(const json_t *value)
{
    return json_is_string(value) ? (char *)(uintptr_t)json_string_value(value)
                                 : (char *)(uintptr_t) "";
}

/*
 * The first difference between a plan and one of a manifest.  Evaluation sets are not compared
 * here: most runs may be resumed with others, see best_differs.
 */
static bool plan_differs(const Sb__Plan *plan, const json_t *object, const char *name,
                         char *sentence, size_t size)
{
    Sb__Plan here = *plan, there = SB__PLAN__INIT;
    const json_t *labels = json_object_get(object, "labels");
    there.train_samples = whole(object, "train_samples");
    there.train_tokens = whole(object, "train_tokens");
    there.steps_per_epoch = whole(object, "steps_per_epoch");
    there.total_steps = whole(object, "total_steps");
    there.slots = (uint32_t)whole(object, "slots");
    there.vector_size = plan->vector_size; /* follows from the settings, which are compared */
    there.data_fingerprint = text(json_object_get(object, "data_fingerprint"));
    there.n_labels = json_array_size(labels);
    there.labels = sb_calloc(there.n_labels ? there.n_labels : 1, sizeof(char *));
    for (size_t i = 0; i < there.n_labels; i++)
        there.labels[i] = text(json_array_get(labels, i));
    here.n_eval_sets = 0;
    bool differs = sb_plan_difference(&here, "this run", &there, name, sentence, size);
    free(there.labels);
    return differs;
}

/*
 * Where evaluations choose the model or end the run, their steps and the validation set decide the
 * weights like any JOB setting, although both are free otherwise.  Checkpoints written before this
 * was kept say nothing of it, and are believed.
 */
static bool best_differs(const struct sb_resume_run *run, const json_t *there, const char *name,
                         char *sentence, size_t size)
{
    const json_t *steps = json_object_get(there, "eval_steps"), *entry;
    const char *ours = "", *theirs = "";
    size_t i;
    if (!sb_best_wanted(run->job) || !json_is_integer(steps))
        return false;
    if ((uint64_t)json_integer_value(steps) != run->job->eval_steps) {
        snprintf(sentence, size,
                 "eval_steps is %" PRIu64 " in this run, %" PRIu64 " in %s, and the evaluations "
                 "decide which model is the best",
                 run->job->eval_steps, (uint64_t)json_integer_value(steps), name);
        return true;
    }
    for (i = 0; i < run->plan->n_eval_sets; i++)
        if (!strcmp(run->plan->eval_sets[i]->name, "validation"))
            ours = run->plan->eval_sets[i]->fingerprint;
    json_array_foreach(json_object_get(there, "eval_sets"), i, entry)
    {
        if (!strcmp(text(json_object_get(entry, "name")), "validation"))
            theirs = text(json_object_get(entry, "fingerprint"));
    }
    if (!strcmp(ours, theirs))
        return false;
    snprintf(sentence, size,
             "validation_file has another content than in %s, and the evaluations decide which "
             "model is the best",
             name);
    return true;
}

static int check_belongs(const struct sb_resume_run *run, const char *folder,
                         const struct sb_ckpt_manifest *manifest, struct sb_err *err)
{
    char sentence[512];
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    if (sb_job_difference(run->canonical, manifest->canonical, sentence, sizeof(sentence)))
        return sb_err_set(err, SB_ERR_CONFIG,
                          "%s is of other settings ('there'): %s; use --fresh to start over", name,
                          sentence);
    if (plan_differs(run->plan, manifest->plan, name, sentence, sizeof(sentence)))
        return sb_err_set(err, SB_ERR_CONFIG, "%s is of other data: %s; use --fresh to start over",
                          name, sentence);
    if (best_differs(run, manifest->plan, name, sentence, sizeof(sentence)))
        return sb_err_set(err, SB_ERR_CONFIG,
                          "%s is of other evaluations: %s; use --fresh to "
                          "start over",
                          name, sentence);
    if (run->layout != manifest->layout)
        return sb_err_set(err, SB_ERR_CONFIG,
                          "%s is of a model of another shape; use --fresh to start over", name);
    return 0;
}

int sb_resume_find(const struct sb_disk *disk, const struct sb_resume_run *run, char *folder,
                   struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                   void *damaged_context, struct sb_err *err)
{
    const char *output_dir = run->job->output_dir;
    if (!disk || !output_dir || !*output_dir)
        return 0;
    int found =
        disk->newest(disk->context, output_dir, folder, manifest, damaged, damaged_context, err);
    if (found <= 0)
        return found;
    if (check_belongs(run, folder, manifest, err) == 0)
        return 1;
    sb_ckpt_manifest_release(manifest);
    return -1;
}

bool sb_resume_other_numerics(const json_t *plan, const char *fingerprint, const char *folder,
                              char *sentence, size_t size)
{
    const char *theirs = text(json_object_get(plan, "numerics"));
    const char *slash = strrchr(folder, '/');
    if (!*theirs || !strcmp(theirs, fingerprint))
        return false;
    snprintf(sentence, size,
             "%s was computed with another arithmetic (%.80s; here %.80s), as of another kind of "
             "CPU: the weights will not be the bits of a run on one kind",
             slash ? slash + 1 : folder, theirs, fingerprint);
    return true;
}
