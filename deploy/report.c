#include "report.h"

#include "clock.h"
#include "few_shot_items.h"
#include "log.h"
#include "overlap.h"
#include "scored.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void sb_report_begin(struct sb_report *report, const struct sb_job *job, const char *role,
                     uint32_t index)
{
    *report = (struct sb_report){.job = job, .role = role};
    sb_log_open(&(struct sb_log_options){.format = job->log_format, .role = role, .index = index});
}

int sb_report_serve(struct sb_report *report, uint32_t index, bool asked_port, struct sb_err *err)
{
    const char *address = report->job->metrics_address;
    const char *colon = address ? strrchr(address, ':') : NULL;
    char any_port[SB_METRICS_ADDRESS_BYTES], bound[SB_METRICS_ADDRESS_BYTES];
    if (colon && !asked_port) {
        snprintf(any_port, sizeof(any_port), "%.*s:0", (int)(colon - address), address);
        address = any_port;
    }
    sb_log_open(&(struct sb_log_options){
        .format = report->job->log_format, .role = report->role, .index = index});
    report->metrics = sb_metrics_new(report->role, index);
    if (sb_metrics_serve(report->metrics, address, bound, err) < 0)
        return -1;
    if (bound[0])
        sb_log_event("serving", sb_text("metrics", bound));
    snprintf(report->address, sizeof(report->address), "%s", bound);
    return 0;
}

/* Before the coordinator speaks, and while the data is prepared. */
static void say_state(struct sb_report *report, const char *state, uint64_t done, uint64_t total)
{
    json_t *status = json_pack("{s:s}", "state", state);
    if (total) {
        json_object_set_new(status, "prepared_bytes", json_integer((json_int_t)done));
        json_object_set_new(status, "total_bytes", json_integer((json_int_t)total));
    }
    sb_report_status(report, status);
    json_decref(status);
}

void sb_report_announce(struct sb_report *report, bool watched)
{
    struct sb_err why = SB_ERR_INIT;
    if (sb_beacon_light(&report->beacon, report->job->output_dir, report->address, watched, &why) <
        0)
        sb_log_warning("`shardbert status` will not find this run: %s", why.text);
    say_state(report, "starting", 0, 0);
}

void sb_report_end(struct sb_report *report)
{
    if (report->job)
        sb_beacon_out(&report->beacon, report->job->output_dir);
    sb_metrics_free(&report->metrics);
}

static void end_phase(struct sb_report *report)
{
    if (report->phase_open)
        sb_progress_end(&report->progress);
    report->phase_open = false;
}

static void begin_phase(struct sb_report *report, const char *phase, uint64_t done, uint64_t total,
                        unsigned report_seconds)
{
    end_phase(report);
    sb_progress_begin(&report->progress, phase, done, total, report_seconds);
    report->phase_open = true;
}

void sb_report_prepare(void *context, uint64_t done_bytes, uint64_t total_bytes, uint64_t samples)
{
    struct sb_report *report = context;
    (void)samples;
    sb_metrics_heartbeat(report->metrics);
    if (!report->phase_open || report->progress.total != total_bytes)
        begin_phase(report, "prepare", 0, total_bytes, 10);
    if (report->beacon.run[0])
        say_state(report, "preparing", done_bytes, total_bytes);
    double seconds = (double)(sb_clock_ns() - report->progress.began_ns) * 1e-9;
    sb_progress_show(&report->progress, done_bytes, NAN,
                     seconds > 0 ? (double)done_bytes / seconds : NAN, "bytes");
}

/* "loaded 40, new 2 (classifier.weight ...), ignored 7": what a person must know of a starting
 * model. */
static void report_loaded(const struct sb_load_report *loaded)
{
    struct sb_bytes names = SB_BYTES_INIT;
    for (size_t i = 0; i < loaded->created; i++)
        sb_bytes_printf(&names, "%s%s", i ? " " : "", loaded->created_names[i]);
    sb_log_event("loaded", sb_u64("tensors", loaded->loaded), sb_u64("ignored", loaded->ignored),
                 sb_u64("new", loaded->created), sb_text("new_names", names.data));
    sb_bytes_release(&names);
}

void sb_report_loaded(void *context, const struct sb_task *task)
{
    (void)context;
    report_loaded(&task->report);
}

/* Trouble while comparing costs the comparison and not the run: who reads the data next says why.
 */
static void warn_of_overlaps(const struct sb_task *task)
{
    struct sb_overlap overlaps[SB_OVERLAPS];
    char sentence[320];
    int count = sb_task_overlaps(overlaps, task, NULL);
    for (int i = 0; i < count; i++) {
        sb_overlap_say(sentence, sizeof(sentence), &overlaps[i]);
        sb_log_warning("%s", sentence);
    }
}

/* What a few texts come to, and what decides it: most of it is the task's own default. */
static void report_few_shot(const struct sb_task *task)
{
    const struct sb_job *job = task->job;
    const struct sb_few_shot_items *items = task->few_items;
    sb_log_event(
        "few_shot", sb_u64("texts", items->chosen.count),
        sb_u64("same_pairs", items->pairs.same.count),
        sb_u64("other_pairs", items->pairs.other.count),
        sb_u64("same_taken", items->pairs.same.taken),
        sb_u64("other_taken", items->pairs.other.taken), sb_u64("items", items->count),
        sb_text("loss", job->loss),
        sb_text("sampling", job->num_iterations ? "num_iterations" : job->sampling_strategy),
        sb_u64("batch_size", job->batch_size), sb_real("num_train_epochs", job->num_train_epochs),
        sb_real("learning_rate", job->learning_rate), sb_real("warmup_ratio", job->warmup_ratio),
        sb_real("weight_decay", job->weight_decay), sb_text("head", job->head));
    if (items->disputed_count)
        sb_log_warning("%llu texts are there with more than one label: they are taken as alike in "
                       "pairs, and the head sees all their labels",
                       (unsigned long long)items->disputed_count);
}

/* The part of the model that a tensor belongs to: embeddings, encoder.layer.3, pooler, classifier.
 */
static void part_of(char part[96], const char *name)
{
    if (strncmp(name, "bert.", 5) == 0)
        name += 5;
    size_t length = strcspn(name, ".");
    if (strncmp(name, "encoder.layer.", 14) == 0)
        length = 14 + strcspn(name + 14, ".");
    snprintf(part, 96, "%.*s", (int)length, name);
}

/* The table of what is trained: a line for each part, where not all is trained alike from the
 * start.  from_step is that of its last tensor, rate the largest. */
static void report_trained(const struct sb_params *params)
{
    bool alike = true;
    for (size_t i = 0; i < params->count; i++)
        alike = alike && params->tensors[i].trainable && params->tensors[i].from_step == 0 &&
                params->tensors[i].rate == params->tensors[0].rate;
    for (size_t i = 0; !alike && i < params->count;) {
        char part[96], other[96];
        uint64_t all = 0, trained = 0, from_step = 0;
        double rate = 0;
        part_of(part, params->tensors[i].name);
        for (; i < params->count; i++) {
            const struct sb_tensor *tensor = &params->tensors[i];
            part_of(other, tensor->name);
            if (strcmp(part, other) != 0)
                break;
            all += sb_tensor_count(tensor);
            if (!tensor->trainable)
                continue;
            trained += sb_tensor_count(tensor);
            rate = fmax(rate, tensor->rate);
            from_step = tensor->from_step > from_step ? tensor->from_step : from_step;
        }
        sb_log_event("trained", sb_text("part", part), sb_u64("parameters", all),
                     sb_u64("trainable", trained), sb_real("rate", rate),
                     sb_u64("from_step", from_step));
    }
}

/* The commonest mistake with a table: the line of its columns' names is taken for a sample, and
 * nothing but one class too many tells of it. */
static void warn_of_header(const struct sb_task *task)
{
    static const char *const names[] = {"label", "labels", "class", "category", "target"};
    const struct sb_bert_config *config = &task->bert.config;
    if (task->job->header || !config->labels ||
        (strcmp(task->job->task, "classify") != 0 && strcmp(task->job->task, "setfit") != 0))
        return;
    for (size_t i = 0; i < config->label_count; i++)
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            if (strcasecmp(config->labels[i], names[n]) == 0)
                sb_log_warning("one of the %zu classes is '%s': if the first line of the data "
                               "names its columns, set header: true",
                               config->label_count, config->labels[i]);
}

void sb_report_task(struct sb_report *report, const struct sb_task *task)
{
    const struct sb_params *params = &task->bert.params;
    uint64_t trainable = 0;
    end_phase(report);
    for (size_t i = 0; i < params->count; i++)
        if (params->tensors[i].trainable)
            trainable += sb_tensor_count(&params->tensors[i]);
    sb_log_event("data", sb_u64("samples", task->train_count), sb_u64("tokens", task->train_tokens),
                 sb_u64("truncated", sb_dataset_truncated_count(task->train)),
                 sb_text("fingerprint", sb_dataset_fingerprint(task->train)));
    for (size_t i = 0; i < task->eval_count; i++)
        sb_log_event("data", sb_text("set", task->evals[i].name),
                     sb_u64("samples", task->evals[i].samples
                                           ? task->evals[i].sample_count
                                           : sb_dataset_count(task->evals[i].data)),
                     sb_u64("truncated", sb_dataset_truncated_count(task->evals[i].data)));
    sb_log_event("plan", sb_text("task", task->job->task), sb_u64("steps", task->total_steps),
                 sb_u64("steps_per_epoch", task->steps_per_epoch), sb_u64("slots", task->slots),
                 sb_u64("max_seq_length", task->max_seq_length),
                 sb_u64("parameters", params->float_count), sb_u64("trainable", trainable),
                 sb_u64("threads", sb_pool_thread_count(task->bert.pool)));
    report_trained(params);
    if (task->few_items)
        report_few_shot(task);
    warn_of_header(task);
    warn_of_overlaps(task);
    if (task->notice)
        sb_log_warning("%s", task->notice);
    if (task->job->workers > task->slots)
        sb_log_warning("%u workers, but a step has only %u slots: %u of them will be idle (slots)",
                       task->job->workers, task->slots, task->job->workers - task->slots);
}

static void report_step(struct sb_report *report, const struct sb_event *event)
{
    struct sb_metrics *m = report->metrics;
    report->tokens += event->tokens;
    report->seconds += event->seconds;
    report->loss += event->loss * event->targets;
    report->targets += event->targets;
    sb_metrics_set(m, SB_METRIC_STEP, (double)event->step);
    sb_metrics_set(m, SB_METRIC_EPOCH, event->epoch);
    sb_metrics_set(m, SB_METRIC_LOSS, event->loss);
    sb_metrics_set(m, SB_METRIC_LEARNING_RATE, event->rate);
    sb_metrics_set(m, SB_METRIC_GRAD_NORM, event->grad_norm);
    sb_metrics_observe(m, SB_METRIC_STEP_DURATION, event->seconds);
    sb_metrics_add(m, SB_METRIC_STEPS, 1);
    bool due = event->step % report->job->logging_steps == 0 ||
               event->step == report->first_step + 1 || event->step == event->total_steps;
    double rate = report->seconds > 0 ? report->tokens / report->seconds : NAN;
    if (report->phase_open)
        sb_progress_show(&report->progress, event->step, event->loss, rate, "tokens");
    if (!due)
        return;
    sb_log_report("step", sb_u64("step", event->step), sb_u64("total_steps", event->total_steps),
                  sb_real("epoch", event->epoch),
                  sb_real("loss", report->targets > 0 ? report->loss / report->targets : 0),
                  sb_real("grad_norm", event->grad_norm), sb_real("learning_rate", event->rate),
                  sb_real("tokens_per_second", rate), sb_real("step_seconds", event->seconds));
    report->tokens = report->seconds = report->loss = report->targets = 0;
}

/* What the task is judged by, for a person: "eval_f1_macro 0.7927 [0.768, 0.815] of 1066". */
static void tell_score(char *out, size_t bytes, const json_t *results, const char *task)
{
    char key[SB_METRIC_NAME_BYTES], count_key[32], text[SB_SCORE_TEXT_BYTES];
    const char *prefix = json_object_get(results, "test_samples") ? "test" : "eval";
    const char *names[] = {sb_metric_of_task(task), "eval_accuracy", "eval_loss"};
    bool ranked = !strcmp(task, "embed"); /* triplets have no scores to be held against */
    snprintf(count_key, sizeof(count_key), "%s_samples", prefix);
    out[0] = 0;
    for (size_t i = 0; i < 3 && !out[0]; i += i == 0 && !ranked ? 2 : 1) {
        snprintf(key, sizeof(key), "%s%s", prefix, names[i] + strlen("eval"));
        if (json_is_number(json_object_get(results, key)))
            snprintf(out, bytes, "%s %s", key, sb_score_text(text, results, key, count_key));
    }
}

/* The numbers of an evaluation, on a line of their own. */
static void report_eval(const struct sb_event *event, const char *task)
{
    struct sb_field fields[24];
    size_t count = 0;
    json_error_t fault;
    json_t *results = json_loads(event->json ? event->json : "{}", 0, &fault);
    const char *key;
    json_t *value;
    char score[SB_METRIC_NAME_BYTES + SB_SCORE_TEXT_BYTES];
    tell_score(score, sizeof(score), results, task);
    fields[count++] = sb_u64("step", event->step);
    if (score[0])
        fields[count++] = sb_text("score", score);
    json_object_foreach(results, key, value)
    {
        if (json_is_number(value) && count < sizeof(fields) / sizeof(*fields) &&
            strcmp(key, "step") != 0)
            fields[count++] = sb_real(key, json_number_value(value));
    }
    sb_log_fields("eval", fields, count);
    json_decref(results);
}

/* "texts=96 iterations=14 converged=1 ...": what the fit of a head came to. */
static void report_head(const struct sb_event *event)
{
    struct sb_field fields[12];
    size_t count = 0;
    json_t *fit = json_loads(event->json ? event->json : "{}", 0, NULL);
    const char *key;
    json_t *value;
    fields[count++] = sb_u64("step", event->step);
    json_object_foreach(fit, key, value)
    {
        if (count + 1 < sizeof(fields) / sizeof(*fields))
            fields[count++] = sb_real(key, json_number_value(value));
    }
    fields[count++] = sb_real("seconds", event->seconds);
    sb_log_fields("head", fields, count);
    json_decref(fit);
}

void sb_report_event(void *context, const struct sb_event *event)
{
    struct sb_report *report = context;
    if (sb_report_notice(report, event))
        return;
    switch (event->kind) {
    case SB_EVENT_JOINED:
        sb_log_event("joined", sb_text("peer", event->text));
        break;
    case SB_EVENT_STARTED:
        report->first_step = event->step;
        sb_log_event("started", sb_u64("step", event->step),
                     sb_u64("total_steps", event->total_steps), sb_text("how", event->text));
        begin_phase(report, "train", event->step, event->total_steps, 0);
        sb_metrics_ready(report->metrics, true);
        break;
    case SB_EVENT_STEP:
        report_step(report, event);
        break;
    case SB_EVENT_EVAL:
        report_eval(event, report->job->task);
        break;
    case SB_EVENT_HEAD:
        report_head(event);
        break;
    case SB_EVENT_SAVED:
        sb_metrics_set(report->metrics, SB_METRIC_CHECKPOINT_LAST_STEP, (double)event->step);
        sb_metrics_set(report->metrics, SB_METRIC_CHECKPOINT_TIME, (double)time(NULL));
        sb_metrics_observe(report->metrics, SB_METRIC_CHECKPOINT_DURATION, event->seconds);
        sb_metrics_observe(report->metrics, SB_METRIC_CHECKPOINT_STALL, event->stall);
        sb_log_event("saved", sb_u64("step", event->step), sb_text("folder", event->text),
                     sb_real("seconds", event->seconds), sb_real("stall", event->stall));
        break;
    case SB_EVENT_NOTE:
        sb_log_event("note", sb_u64("step", event->step), sb_text("text", event->text));
        break;
    case SB_EVENT_WARNING:
        sb_log_warning("%s", event->text);
        break;
    case SB_EVENT_RECOVERED:
        end_phase(report);
        sb_log_notice("recovered", SB_LOG_INFO, event->text, NULL, 0);
        break;
    case SB_EVENT_ENDING: {
        struct sb_err why = SB_ERR_INIT;
        sb_err_set(&why, (enum sb_err_code)event->code, "%s", event->text);
        end_phase(report);
        sb_log_error(&why);
        report->said = true;
        break;
    }
    case SB_EVENT_FINISHED:
        end_phase(report);
        sb_log_event("finished", sb_u64("step", event->step), sb_u64("code", (uint64_t)event->code),
                     sb_real("seconds", event->seconds), sb_text("why", event->text));
        break;
    default:
        break;
    }
}
