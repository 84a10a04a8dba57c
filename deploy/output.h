/* What an output folder holds, compared with the run that is to go there. */
#ifndef SB_OUTPUT_H
#define SB_OUTPUT_H

#include "config.h"
#include "inputs.h"

enum sb_output_state {
    SB_OUTPUT_FREE,     /* nothing that a run would meet */
    SB_OUTPUT_BEGUN,    /* this run, with a checkpoint to go on from */
    SB_OUTPUT_FINISHED, /* this run */
    SB_OUTPUT_CHANGED,  /* a run of other settings, data or starting model: err says which */
};

/*
 * inputs: what the run starts from; NULL where that is not known (a server), and then it is not
 * compared.  Returns -1 with err for a folder that cannot be read.
 */
int sb_output_look(enum sb_output_state *state, const struct sb_job *job, const char *canonical,
                   const struct sb_inputs *inputs, struct sb_err *err);

/* Results and checkpoints go; the cache of prepared data stays, it is named by its content. */
int sb_output_forget(const char *folder, struct sb_err *err);

#endif
