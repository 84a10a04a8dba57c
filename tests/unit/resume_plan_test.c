#include "resume.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run with one evaluation set, and a disk whose only checkpoint is another such run's. */
struct world {
    struct sb_job job;
    struct sb_bytes canonical;
    Sb__Plan plan;
    Sb__EvalSet set, *sets[1];
};

static void world_init(struct world *w, const char *fingerprint, const char *const *settings)
{
    struct sb_err err = SB_ERR_INIT;
    *w = (struct world){.canonical = SB_BYTES_INIT};
    sb_job_init(&w->job);
    for (size_t i = 0; settings[i]; i++)
        if (sb_job_set(&w->job, settings[i], &err) < 0)
            fail_msg("%s", err.text);
    sb_job_canonical(&w->job, &w->canonical);
    sb__plan__init(&w->plan);
    sb__eval_set__init(&w->set);
    w->set.name = (char *)(uintptr_t) "validation";
    w->set.fingerprint = (char *)(uintptr_t)fingerprint;
    w->sets[0] = &w->set;
    w->plan.eval_sets = w->sets;
    w->plan.n_eval_sets = 1;
}

static void world_release(struct world *w)
{
    sb_bytes_release(&w->canonical);
    sb_job_release(&w->job);
}

static int newest(void *context, const char *output_dir, char *folder,
                  struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                  void *damaged_context, struct sb_err *err)
{
    struct world *there = context;
    (void)damaged;
    (void)damaged_context;
    (void)err;
    sprintf(folder, "%s/checkpoint-7", output_dir);
    *manifest = (struct sb_ckpt_manifest){
        .step = 7,
        .canonical = strdup(there->canonical.data),
        .plan = sb_plan_to_json(&there->plan, &there->job, "zen"),
        .history = json_object(),
    };
    return 1;
}

/* What a run says of the checkpoint of another; "" if it resumes. */
static const char *resume(const char *ours, const char *const *here, const char *theirs,
                          const char *const *there)
{
    static struct sb_err err;
    static char folder[4096];
    struct world us, them;
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    err = (struct sb_err)SB_ERR_INIT;
    world_init(&us, ours, here);
    world_init(&them, theirs, there);
    struct sb_disk disk = {.context = &them, .newest = newest};
    struct sb_resume_run run = {.job = &us.job, .canonical = us.canonical.data, .plan = &us.plan};
    int rc = sb_resume_find(&disk, &run, folder, &manifest, NULL, NULL, &err);
    if (rc == 1)
        sb_ckpt_manifest_release(&manifest);
    world_release(&us);
    world_release(&them);
    return rc == 1 ? "" : err.text;
}

static const char *const plain[] = {"output_dir=/o", "eval_steps=5", NULL};
static const char *const plain_other[] = {"output_dir=/o", "eval_steps=6", NULL};
static const char *const best[] = {"output_dir=/o", "eval_steps=5", "load_best_model_at_end=true",
                                   NULL};
static const char *const best_other[] = {"output_dir=/o", "eval_steps=6",
                                         "load_best_model_at_end=true", NULL};

static void evaluations_that_decide_nothing_may_change_on_a_resume(void **state)
{
    (void)state;
    assert_string_equal(resume("a", plain, "b", plain_other), "");
}

static void evaluations_that_choose_the_model_may_not(void **state)
{
    (void)state;
    assert_string_equal(resume("a", best, "a", best), "");
    assert_string_equal(resume("a", best, "a", best_other),
                        "checkpoint-7 is of other evaluations: eval_steps is 5 in this run, 6 in "
                        "checkpoint-7, and the evaluations decide which model is the best; use "
                        "--fresh to start over");
    assert_string_equal(resume("a", best, "b", best),
                        "checkpoint-7 is of other evaluations: validation_file has another content "
                        "than in checkpoint-7, and the evaluations decide which model is the best; "
                        "use --fresh to start over");
}

static void another_arithmetic_is_said(void **state)
{
    (void)state;
    struct world w;
    char sentence[512];
    const char *const none[] = {NULL};
    world_init(&w, "v", none);
    json_t *plan = sb_plan_to_json(&w.plan, &w.job, "zen"), *old = json_object();
    assert_false(sb_resume_other_numerics(plan, "zen", "o/checkpoint-7", sentence, 512));
    assert_false(sb_resume_other_numerics(old, "zen", "o/checkpoint-7", sentence, 512));
    assert_true(sb_resume_other_numerics(plan, "haswell", "o/checkpoint-7", sentence, 512));
    assert_non_null(strstr(sentence, "checkpoint-7 was computed with another arithmetic (zen; "
                                     "here haswell)"));
    json_decref(plan);
    json_decref(old);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluations_that_decide_nothing_may_change_on_a_resume),
        cmocka_unit_test(evaluations_that_choose_the_model_may_not),
        cmocka_unit_test(another_arithmetic_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
