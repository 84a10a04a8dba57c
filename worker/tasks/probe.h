/* The sentences of probe_sentences, and what a masked language model puts into them. */
#ifndef SB_PROBE_H
#define SB_PROBE_H

#include "task.h"

#include <jansson.h>

enum { SB_PROBE_WORDS = 5, SB_PROBE_SENTENCES_MAX = 256 };

/* Each sentence has a [MASK] and fits.  SB_ERR_CONFIG with the sentence and its place. */
int sb_probe_check(const struct sb_task *task, struct sb_err *err);

/* [{"text"}...], a new list. */
json_t *sb_probe_sentences(const struct sb_task *task);
/*
 * Asks the model with the weights that it has now: member `when` of each sentence becomes a list,
 * with the SB_PROBE_WORDS likeliest pieces (fill.h) for each [MASK].
 */
void sb_probe_ask(json_t *sentences, struct sb_task *task, const char *when);

#endif
