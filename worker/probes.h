/*
 * probe_sentences: what a masked language model puts into a few sentences before and after its
 * training, and its perplexity then and now.
 *
 *     before  by the worker that loads the starting weights  -> output_dir/probes.json
 *     after   by the worker that writes the model folder     -> the same file, both columns
 *
 * "Before" is always the starting model, also for a run that was resumed: it is read from
 * probes.json, and where that is missing (another disk) or speaks of other sentences, the starting
 * model is loaded once more.
 *
 *     {"perplexity": {"before": 41.2, "after": 18.9},
 *      "sentences": [{"text": ..., "before": [[{"token", "id", "score"}, ...], ...], "after":
 * ...}]}
 *
 * with a list of proposals for each [MASK].  perplexity: of the validation_file; null where there
 * is none.
 */
#ifndef SB_PROBES_H
#define SB_PROBES_H

#include "task.h"

/* With the starting weights in the task.  Nothing to do without probe_sentences. */
int sb_probes_before(struct sb_task *task, struct sb_err *err);

/*
 * With the trained weights in the task, and the coordinator's history (JSON).  Last of all that
 * looks at them: the starting weights may be in their place afterwards.
 */
int sb_probes_after(struct sb_task *task, const char *history, struct sb_err *err);

#endif
