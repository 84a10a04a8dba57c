/*
 * What predict, fill-mask and embed share: their common options, and the loop that reads lines,
 * gathers them into passes and has the answers printed, one a line, in order.
 */
#ifndef SB_ANSWER_H
#define SB_ANSWER_H

#include "infer.h"
#include "requests.h"

#include <argp.h>

struct sb_answer {
    /* Set by the options. */
    const char *model;
    const char *file; /* NULL: standard input */
    uint64_t thread_count, max_length;
    bool lenient;

    /* Set by the command. */
    unsigned heads;
    bool keep_texts; /* the printer wants the texts back */
    /*
     * Prints one line for each sequence of a pass.  arena: fresh for this pass.  text(answer, b) is
     * the text of sequence b, if kept.
     */
    int (*print)(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err);
    void *context;

    /* The pass in hand. */
    struct sb_infer infer;
    struct sb_texts texts;
    struct sb_bytes kept; /* texts of the pass, one behind the other */
    size_t *kept_ends;    /* [texts of a pass] */
};

/* Child of a command's parser; its input is the struct sb_answer. */
extern const struct argp sb_answer_argp;

/* Reads, answers and prints everything; returns the exit code. */
int sb_answer_all(struct sb_answer *answer);

/* The text of sequence b, and its size. */
const char *sb_answer_text(const struct sb_answer *answer, size_t b, size_t *bytes);

/* A number with the precision of a float; null if it is none, for JSON has no infinity. */
json_t *sb_answer_number(double value);
/* Prints object as one line and drops it. */
int sb_answer_print(json_t *object, struct sb_err *err);

#endif
