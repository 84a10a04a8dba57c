/*
 * The commands of the program `shardbert`: each one file cmd_<name>.c, one row of the table in
 * main.c, and one function that parses its own options and returns the exit code (sysexits, see
 * err.h).  Results go to standard output, everything else to standard error.
 */
#ifndef SB_COMMANDS_H
#define SB_COMMANDS_H

#include "err.h"

#include <stdint.h>

int sb_cmd_train(int argc, char **argv);
int sb_cmd_run(int argc, char **argv);
int sb_cmd_plan(int argc, char **argv);
int sb_cmd_status(int argc, char **argv);
int sb_cmd_sweep(int argc, char **argv);
int sb_cmd_eval(int argc, char **argv);
int sb_cmd_predict(int argc, char **argv);
int sb_cmd_fill_mask(int argc, char **argv);
int sb_cmd_embed(int argc, char **argv);
int sb_cmd_tokenize(int argc, char **argv);
int sb_cmd_vocab(int argc, char **argv);
int sb_cmd_sample(int argc, char **argv);
int sb_cmd_inspect(int argc, char **argv);
int sb_cmd_export(int argc, char **argv);

/* Says `shardbert: <sentence>` on standard error and returns the exit code of the error. */
int sb_cmd_fail(const struct sb_err *err);
/* Standard output is flushed and whole, or SB_ERR_IO: a full disk must not look like success. */
int sb_cmd_finish_output(struct sb_err *err);
/* A whole number from min to max; anything else is SB_ERR_USAGE, naming the option. */
int sb_cmd_number(uint64_t *value, const char *option, const char *text, uint64_t min, uint64_t max,
                  struct sb_err *err);

#endif
