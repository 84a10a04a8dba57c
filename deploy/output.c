#include "output.h"

#include "file.h"
#include "run_record.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

/* A checkpoint of a run is named by its step; checkpoint-best is the user's own. */
static bool is_checkpoint(const char *name)
{
    static const char prefix[] = "checkpoint-";
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return false;
    const char *digits = name + sizeof(prefix) - 1;
    return *digits && !digits[strspn(digits, "0123456789")];
}

static bool has_checkpoint(const char *folder)
{
    char path[SB_PATH_BYTES], manifest[SB_PATH_BYTES];
    bool found = false;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && !found && (entry = readdir(dir)))
        found = is_checkpoint(entry->d_name) &&
                sb_file_exists(sb_path_join(manifest, sb_path_join(path, folder, entry->d_name),
                                            "MANIFEST.json"));
    if (dir)
        closedir(dir);
    return found;
}

int sb_output_forget(const char *folder, struct sb_err *err)
{
    /* A head of an earlier task would speak for the model that comes instead. */
    static const char *const results[] = {
        "shardbert.json",     "train_results.json", "eval_results.json", "test_results.json",
        "all_results.json",   "trainer_state.json", "head.json",         "head.safetensors",
        "config_setfit.json", "modules.json",       "probes.json"};
    char path[SB_PATH_BYTES];
    for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
        unlink(sb_path_join(path, folder, results[i]));
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)))
        if (is_checkpoint(entry->d_name))
            rc = sb_dir_remove(sb_path_join(path, folder, entry->d_name), err);
    closedir(dir);
    return rc;
}

/* Does the record speak of another run?  Then err says of which. */
static bool differs(const struct sb_run_record *record, const struct sb_job *job,
                    const char *canonical, const struct sb_inputs *inputs, struct sb_err *err)
{
    const char *kind = record->state == SB_RUN_FINISHED ? "a finished" : "an unfinished";
    char sentence[512];
    if (sb_job_difference(canonical, record->settings.data, sentence, sizeof(sentence))) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "'%s' holds %s run of other settings: %s; use --fresh to start over",
                   job->output_dir, kind, sentence);
        return true;
    }
    struct sb_inputs ours = {0};
    if (inputs)
        ours = *inputs;
    /* What only looks on may be another one in a run that goes on; its results are of what it is
     * at the end. */
    if (record->state == SB_RUN_BEGUN)
        ours.hash[SB_INPUT_TEST][0] = 0;
    if (record->state == SB_RUN_BEGUN && !job->load_best_model_at_end &&
        !job->early_stopping_patience && !job->metric_for_best_model)
        ours.hash[SB_INPUT_VALIDATION][0] = 0;
    enum sb_input input = sb_inputs_difference(&ours, &record->inputs);
    if (input == SB_INPUT_COUNT)
        return false;
    sb_err_set(err, SB_ERR_CONFIG,
               "'%s' holds %s run of another %s: its content is %.8s... here, %.8s... there; use "
               "--fresh to start over",
               job->output_dir, kind, sb_input_key(input), ours.hash[input],
               record->inputs.hash[input]);
    return true;
}

int sb_output_look(enum sb_output_state *state, const struct sb_job *job, const char *canonical,
                   const struct sb_inputs *inputs, struct sb_err *err)
{
    struct sb_run_record record;
    *state = SB_OUTPUT_FREE;
    if (sb_run_record_read(&record, job->output_dir, err) < 0)
        return -1;
    bool begun = record.state == SB_RUN_BEGUN && has_checkpoint(job->output_dir);
    if (begun || record.state == SB_RUN_FINISHED)
        *state = differs(&record, job, canonical, inputs, err) ? SB_OUTPUT_CHANGED
                 : begun                                       ? SB_OUTPUT_BEGUN
                                                               : SB_OUTPUT_FINISHED;
    sb_run_record_release(&record);
    return 0;
}
