#include "history.h"

void sb_history_init(struct sb_history *history)
{
    *history = (struct sb_history){
        .log = json_array(), .evaluated_step = SB_HISTORY_NEVER, .tested_step = SB_HISTORY_NEVER};
}

void sb_history_release(struct sb_history *history)
{
    json_decref(history->log);
    history->log = NULL;
}

void sb_history_add_step(struct sb_history *history, const struct sb_sums *sums)
{
    sb_sums_add(&history->total, sums);
    sb_sums_add(&history->since, sums);
}

/* A number that JSON does not have (the norm of a model that blew up) is left out. */
static void set_real(json_t *object, const char *key, double value)
{
    json_t *real = json_real(value);
    if (real)
        json_object_set_new(object, key, real);
}

static void thin(json_t **log)
{
    json_t *kept = json_array();
    size_t count = json_array_size(*log);
    for (size_t i = 0; i < count; i++)
        if (i >= count / 2 || i % 2 == 0)
            json_array_append(kept, json_array_get(*log, i));
    json_decref(*log);
    *log = kept;
}

static void finish_entry(struct sb_history *history, json_t *entry, uint64_t step, double epoch)
{
    set_real(entry, "epoch", epoch);
    json_object_set_new(entry, "step", json_integer((json_int_t)step));
    json_array_append_new(history->log, entry);
    if (json_array_size(history->log) > SB_HISTORY_ENTRIES_MAX)
        thin(&history->log);
}

void sb_history_report(struct sb_history *history, uint64_t step, double epoch, double grad_norm,
                       double rate)
{
    json_t *entry = json_object();
    set_real(entry, "loss", sb_sums_mean_loss(&history->since));
    set_real(entry, "grad_norm", grad_norm);
    set_real(entry, "learning_rate", rate);
    finish_entry(history, entry, step, epoch);
    history->since = (struct sb_sums){0};
}

/* Lists, tables and sentences (of the same key) of older entries go, but for those of the best: a
 * run may have thousands of evaluations. */
static void drop_older_tables(json_t *log, json_t *results, const struct sb_best *best)
{
    const char *key;
    json_t *value;
    json_object_foreach(results, key, value)
    {
        bool goes = json_is_array(value) || json_is_string(value);
        for (size_t i = 0; goes && i < json_array_size(log); i++) {
            json_t *entry = json_array_get(log, i);
            json_int_t step = json_integer_value(json_object_get(entry, "step"));
            if (!json_object_get(entry, key) || (best->known && step == (json_int_t)best->step))
                continue;
            /* A checkpoint may be writing the entry as it is: it never changes. */
            entry = json_copy(entry);
            json_object_del(entry, key);
            json_array_set_new(log, i, entry);
        }
    }
}

void sb_history_evaluated(struct sb_history *history, uint64_t step, double epoch, json_t *results)
{
    drop_older_tables(history->log, results, &history->best);
    finish_entry(history, json_deep_copy(results), step, epoch);
}

/* ---- to and from the checkpoint ---- */

static json_t *sums_to_json(const struct sb_sums *sums)
{
    json_t *array = json_array();
    for (int i = 0; i < SB_SUM_COUNT; i++)
        json_array_append_new(array, json_real(sums->of[i]));
    return array;
}

static bool sums_from_json(struct sb_sums *sums, json_t *array)
{
    if (!json_is_array(array) || json_array_size(array) != SB_SUM_COUNT)
        return false;
    for (size_t i = 0; i < SB_SUM_COUNT; i++) {
        if (!json_is_number(json_array_get(array, i)))
            return false;
        sums->of[i] = json_number_value(json_array_get(array, i));
    }
    return true;
}

static json_t *step_to_json(uint64_t step)
{
    return step == SB_HISTORY_NEVER ? json_null() : json_integer((json_int_t)step);
}

static uint64_t step_from_json(const json_t *step)
{
    return json_is_integer(step) ? (uint64_t)json_integer_value(step) : SB_HISTORY_NEVER;
}

json_t *sb_history_to_json(const struct sb_history *history)
{
    json_t *object = json_object();
    json_object_set_new(object, "evaluated_step", step_to_json(history->evaluated_step));
    json_object_set_new(object, "tested_step", step_to_json(history->tested_step));
    json_object_set_new(object, "best", sb_best_to_json(&history->best));
    json_object_set_new(object, "total", sums_to_json(&history->total));
    json_object_set_new(object, "since", sums_to_json(&history->since));
    if (history->skipped) {
        json_object_set_new(object, "skipped", json_integer((json_int_t)history->skipped));
        json_object_set_new(object, "skipped_in_row",
                            json_integer((json_int_t)history->skipped_in_row));
    }
    /* As it is now; its entries are shared, and never change. */
    json_object_set_new(object, "log_history", json_copy(history->log));
    return object;
}

int sb_history_from_json(struct sb_history *history, json_t *object, struct sb_err *err)
{
    struct sb_sums total, since;
    json_t *log = json_object_get(object, "log_history");
    if (!json_is_array(log) || !sums_from_json(&total, json_object_get(object, "total")) ||
        !sums_from_json(&since, json_object_get(object, "since")))
        return sb_err_set(err, SB_ERR_DATA, "the history lacks its log or its sums");
    json_decref(history->log);
    history->log = json_deep_copy(log);
    history->total = total;
    history->since = since;
    history->skipped = (uint64_t)json_integer_value(json_object_get(object, "skipped"));
    history->skipped_in_row =
        (uint64_t)json_integer_value(json_object_get(object, "skipped_in_row"));
    history->evaluated_step = step_from_json(json_object_get(object, "evaluated_step"));
    sb_best_from_json(&history->best, json_object_get(object, "best"));
    history->tested_step = step_from_json(json_object_get(object, "tested_step"));
    return 0;
}
