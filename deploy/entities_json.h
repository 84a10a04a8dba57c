/* Scores of entities as eval prints them. */
#ifndef SB_ENTITIES_JSON_H
#define SB_ENTITIES_JSON_H

#include "entities.h"

#include <jansson.h>

/*
 * {"token_accuracy", "token_f1", "entities": {"default": MODE, "strict": MODE}}, MODE being
 * {"micro", "macro", "weighted", "types": {TYPE: ...}}, each with precision, recall, f1 and, as
 * support, the number of gold entities.
 */
void sb_entities_describe(json_t *out, const double *counts, const struct sb_tags *tags);
/* The same for people: one line each, of the object that describe filled. */
void sb_entities_print(const json_t *scores);

#endif
