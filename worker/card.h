/*
 * The model card: README.md of a model folder, with the front matter of Hugging Face's cards.  It
 * says what is known (task, lineage, data, settings, scores) and leaves to the owner what is not:
 * language, licence and intended use are not invented.
 */
#ifndef SB_CARD_H
#define SB_CARD_H

#include "task.h"

#include <jansson.h>

struct sb_card {
    const char *name;     /* of the model: the last part of its folder */
    const json_t *record; /* of run_record.h, finished */
    char *const *labels;  /* [label_count]; may be none */
    size_t label_count;
    uint64_t parameters;
};

void sb_card_print(struct sb_bytes *out, const struct sb_card *card);

/* Writes output_dir/README.md, unless there is one that is not ours: a person's words stay. */
int sb_card_write(const struct sb_task *task, const json_t *record, struct sb_err *err);

/*
 * The settings of a canonical text that differ from their defaults: calls take for each, with a key
 * and a value that end in a zero byte.
 */
void sb_settings_chosen(const char *canonical,
                        void (*take)(void *context, const char *key, const char *value),
                        void *context);

#endif
