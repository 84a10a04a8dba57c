#include "probes.h"

#include "log.h"
#include "probe.h"

#include <stdlib.h>
#include <string.h>

static const char file_name[] = "probes.json";

static int write_probes(const struct sb_task *task, json_t *sentences, json_t *perplexity,
                        struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    json_t *probes = json_object();
    if (perplexity)
        json_object_set(probes, "perplexity", perplexity);
    json_object_set(probes, "sentences", sentences);
    char *text = json_dumps(probes, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    sb_assert(text);
    sb_path_join(path, task->job->output_dir, file_name);
    int rc = sb_dir_make(task->job->output_dir, err);
    if (rc == 0)
        rc = sb_file_write_atomic(path, text, strlen(text), err);
    free(text);
    json_decref(probes);
    return rc;
}

/* The file as it was left by "before", if it speaks of these sentences; what else is in it is
 * nobody's trouble. */
static bool read_before(json_t *sentences, const struct sb_task *task)
{
    char path[SB_PATH_BYTES];
    json_t *probes = json_load_file(sb_path_join(path, task->job->output_dir, file_name), 0, NULL);
    const json_t *kept = json_object_get(probes, "sentences");
    bool found = json_array_size(kept) == json_array_size(sentences);
    for (size_t i = 0; found && i < json_array_size(sentences); i++) {
        json_t *sentence = json_array_get(sentences, i), *old = json_array_get(kept, i);
        json_t *before = json_object_get(old, "before");
        found = json_is_array(before) &&
                json_equal(json_object_get(old, "text"), json_object_get(sentence, "text"));
        if (found)
            json_object_set(sentence, "before", before);
    }
    json_decref(probes);
    return found;
}

/* "day idea thing | old": the words for each [MASK], with a bar between two of them. */
static void print_words(struct sb_bytes *out, const json_t *masks)
{
    sb_bytes_clear(out);
    for (size_t i = 0; i < json_array_size(masks); i++) {
        const json_t *proposals = json_array_get(masks, i);
        for (size_t j = 0; j < json_array_size(proposals); j++) {
            const json_t *token = json_object_get(json_array_get(proposals, j), "token");
            const char *word = json_string_value(token);
            sb_bytes_printf(out, "%s%s", j ? " " : i ? " | " : "", word ? word : "");
        }
    }
    sb_bytes_append_text(out, "");
}

static void report(const json_t *sentences)
{
    struct sb_bytes before = SB_BYTES_INIT, after = SB_BYTES_INIT;
    for (size_t i = 0; i < json_array_size(sentences); i++) {
        const json_t *sentence = json_array_get(sentences, i);
        const json_t *now = json_object_get(sentence, "after");
        const char *text = json_string_value(json_object_get(sentence, "text"));
        print_words(&before, json_object_get(sentence, "before"));
        print_words(&after, now);
        if (now)
            sb_log_event("probe", sb_text("sentence", text), sb_text("before", before.data),
                         sb_text("after", after.data));
        else
            sb_log_event("probe", sb_text("sentence", text), sb_text("before", before.data));
    }
    sb_bytes_release(&before);
    sb_bytes_release(&after);
}

int sb_probes_before(struct sb_task *task, struct sb_err *err)
{
    if (!task->job->probe_sentences.count)
        return 0;
    json_t *sentences = sb_probe_sentences(task);
    sb_probe_ask(sentences, task, "before");
    report(sentences);
    int rc = write_probes(task, sentences, NULL, err);
    json_decref(sentences);
    return rc;
}

/*
 * {"before", "after"} from the log: the evaluation of step 0, and that of the model that is
 * written: the last one, or the best where the run keeps that.
 */
static json_t *perplexities(const char *history)
{
    json_t *root = json_loads(history ? history : "{}", 0, NULL);
    const json_t *log = json_object_get(root, "log_history");
    bool best = json_is_true(json_object_get(root, "best_is_model"));
    json_int_t best_step =
        json_integer_value(json_object_get(json_object_get(root, "best"), "step"));
    json_t *found = json_pack("{s:n, s:n}", "before", "after");
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *entry = json_array_get(log, i);
        json_t *value = json_object_get(entry, "eval_perplexity");
        json_int_t step = json_integer_value(json_object_get(entry, "step"));
        if (value && step == 0)
            json_object_set(found, "before", value);
        if (value && (!best || step == best_step))
            json_object_set(found, "after", value);
    }
    json_decref(root);
    return found;
}

int sb_probes_after(struct sb_task *task, const char *history, struct sb_err *err)
{
    if (!task->job->probe_sentences.count)
        return 0;
    json_t *sentences = sb_probe_sentences(task), *perplexity = perplexities(history);
    int rc = 0;
    sb_probe_ask(sentences, task, "after");
    if (!read_before(sentences, task)) {
        rc = sb_task_load_weights(task, err);
        if (rc == 0)
            sb_probe_ask(sentences, task, "before");
    }
    if (rc == 0) {
        const json_t *before = json_object_get(perplexity, "before");
        const json_t *after = json_object_get(perplexity, "after");
        report(sentences);
        if (json_is_number(before) && json_is_number(after))
            sb_log_event("perplexity", sb_real("before", json_number_value(before)),
                         sb_real("after", json_number_value(after)));
        rc = write_probes(task, sentences, perplexity, err);
    }
    json_decref(perplexity);
    json_decref(sentences);
    return rc < 0 ? sb_err_context(err, "the sentences of probe_sentences") : 0;
}
