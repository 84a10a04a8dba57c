/* The scores of `shardbert eval` for people: one a line, then the confusion matrix if it fits on a
 * screen. */
#ifndef SB_EVAL_TABLE_H
#define SB_EVAL_TABLE_H

#include <jansson.h>

void sb_eval_table_print(json_t *scores);

#endif
