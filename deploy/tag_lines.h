/* predict on a folder that tags words. */
#ifndef SB_TAG_LINES_H
#define SB_TAG_LINES_H

#include "answer.h"
#include "tagger.h"

/*
 * Reads, answers and prints everything; returns the exit code.  Of answer: what the options set.
 * A line is a text, {"text": ...} or {"tokens": [...]}; each line in gives one line out, in order:
 *
 *     {"tokens": [...], "tags": [...], "entities": [{"type", "start", "end", "score", "text"}]}
 *
 * start and end are code points of the text, or tokens where tokens were given.
 */
int sb_tag_lines(const struct sb_answer *answer, const struct sb_tagger_options *options);

#endif
