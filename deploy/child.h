/* `shardbert train` as a child process, for the commands that run several jobs one after the other.
 */
#ifndef SB_CHILD_H
#define SB_CHILD_H

#include "err.h"

#include <stddef.h>

/* Words of a command line that grows; each is our own. */
struct sb_argv {
    char **items; /* [count] and a NULL behind them; NULL while empty */
    size_t count;
};

#define SB_ARGV_INIT                                                                               \
    {                                                                                              \
        0                                                                                          \
    }

void sb_argv_release(struct sb_argv *words);
void sb_argv_add(struct sb_argv *words, const char *word);
/* --set KEY=VALUE; value is a text, quoted as YAML needs it. */
void sb_argv_set_text(struct sb_argv *words, const char *key, const char *value);

/*
 * Runs `shardbert train WORDS...` and waits for it; a stop signal is passed on, so that the child
 * ends with a checkpoint.  Returns its exit code, which is the whole story: it has said why.  -1
 * with err if there is no such story.
 */
int sb_child_train(const struct sb_argv *words, struct sb_err *err);

#endif
