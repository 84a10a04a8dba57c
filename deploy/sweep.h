/* The rows of `shardbert sweep freeze`, and the ways they are shown. */
#ifndef SB_SWEEP_H
#define SB_SWEEP_H

#include "bytes.h"
#include "scored.h"

#include <jansson.h>
#include <stdint.h>

struct sb_sweep_row {
    char frozen[16]; /* "0", "1" ... the first layers, with the embeddings; "body" */
    char label[24];  /* below the picture: "nothing", "1" ..., "body" */
    uint64_t trained;
    double bytes_per_step; /* gradients and weights, all workers, as planned */
    struct sb_scored scored;
};

struct sb_sweep {
    const char *job; /* its file */
    const char *task;
    struct sb_sweep_row *rows;
    size_t count;
    uint64_t parameters;
    size_t chosen;   /* the row with the best score on validation */
    char *test_text; /* the test score of that row, and of no other; NULL: there is none */
};

/* What the intervals are, as a sentence: "bars: 95 % bootstrap interval, 2000 draws". */
const char *sb_sweep_interval_words(const struct sb_sweep *sweep);

/* The row that the validation split chooses: of equal ones the first, which trains most. */
size_t sb_sweep_choose(const struct sb_sweep *sweep);

json_t *sb_sweep_json(const struct sb_sweep *sweep);
void sb_sweep_table(struct sb_bytes *out, const struct sb_sweep *sweep);
/* A picture that needs nothing else: score and interval over what is frozen.  At least one row. */
void sb_sweep_svg(struct sb_bytes *out, const struct sb_sweep *sweep);

/* "812", "4.4 k", "1.2 M": a count for a person. */
char *sb_count_text(char out[24], double count);

#endif
