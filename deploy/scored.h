/* The scores of a finished run, from the results in its folder, with intervals. */
#ifndef SB_SCORED_H
#define SB_SCORED_H

#include "err.h"
#include "interval.h"

#include <jansson.h>

enum { SB_METRIC_NAME_BYTES = 64 };

struct sb_scored {
    char metric[SB_METRIC_NAME_BYTES]; /* with its prefix: eval_f1_macro; "" if there are none */
    double value;
    struct sb_interval interval; /* 95 %; without a method there is none */
    double samples;              /* how many examples it is of */
    double seconds;              /* that the training took */
};

/* What a task is judged by where nobody says otherwise: eval_f1_macro, eval_f1, eval_loss. */
const char *sb_metric_of_task(const char *task);
/* Is less of it better? */
int sb_metric_is_loss(const char *metric);

/*
 * Reads the score from folder/eval_results.json.  metric: with or without its eval_; NULL: the
 * task's.  A metric that is not there is SB_ERR_USAGE and lists those that are; without any
 * evaluation, and metric NULL, the score has no name.
 */
int sb_scored_read(struct sb_scored *scored, const char *folder, const char *task,
                   const char *metric, uint64_t seed, struct sb_err *err);

/*
 * "test_f1_macro 0.7910 [0.766, 0.814] of 1066" from folder/test_results.json, for a metric of the
 * validation split; NULL if there is none.  free() it.
 */
char *sb_scored_test_text(const char *folder, const char *metric);

/*
 * "0.7927 [0.768, 0.815] of 1066": results[key] with its interval results[key_ci], if there is one,
 * and how many samples it is of, results[count_key]; the value text is the same without that.
 */
enum { SB_SCORE_TEXT_BYTES = 96 };
char *sb_value_text(char out[SB_SCORE_TEXT_BYTES], const json_t *results, const char *key);
char *sb_score_text(char out[SB_SCORE_TEXT_BYTES], const json_t *results, const char *key,
                    const char *count_key);

/* "[0.6651, 0.7810]", or "-". */
char *sb_interval_text(char out[48], const struct sb_interval *interval);
/* {"low", "high", "level", "method"}, or null. */
json_t *sb_interval_json(const struct sb_interval *interval);
/* Writes indented JSON, whole or not at all. */
int sb_json_write(const char *folder, const char *name, const json_t *value, struct sb_err *err);

#endif
