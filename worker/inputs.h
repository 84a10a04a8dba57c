/*
 * What a run starts from, by content: the model, its shape, its tokenizer and the data.  Two runs
 * of equal settings and equal inputs give the same weights, wherever the files lie.
 */
#ifndef SB_INPUTS_H
#define SB_INPUTS_H

#include "config.h"
#include "hash.h"

#include <jansson.h>

enum sb_input {
    SB_INPUT_MODEL,      /* model_name_or_path */
    SB_INPUT_CONFIG,     /* config_name */
    SB_INPUT_TOKENIZER,  /* tokenizer_name */
    SB_INPUT_TRAIN,      /* train_file */
    SB_INPUT_VALIDATION, /* validation_file */
    SB_INPUT_TEST,       /* test_file */
    SB_INPUT_COUNT
};

struct sb_inputs {
    /* 32 hexadecimal digits; "": not named, or to be read only once (standard input). */
    char hash[SB_INPUT_COUNT][SB_HASH_TEXT_BYTES];
};

/* The setting that names an input. */
const char *sb_input_key(enum sb_input input);

/*
 * The name of a model folder: its weights, config.json and the files of tokenizer and head, by
 * content.  Of a file (a config.json, a vocab.txt) its bytes.
 */
int sb_model_hash(char text[SB_HASH_TEXT_BYTES], const char *path, struct sb_err *err);

/* Reads all that the job names.  Of data that were read before only the stamp is looked at. */
int sb_inputs_read(struct sb_inputs *inputs, const struct sb_job *job, struct sb_err *err);

/* The first input that both have and that differs, or SB_INPUT_COUNT. */
enum sb_input sb_inputs_difference(const struct sb_inputs *ours, const struct sb_inputs *theirs);

/* As an object of shardbert.json, with the names of the files; and back: what is no hash is "". */
json_t *sb_inputs_to_json(const struct sb_inputs *inputs, const struct sb_job *job);
void sb_inputs_from_json(struct sb_inputs *inputs, const json_t *json);

/* The last part of a path, without a slash at its end: "bert" of "models/bert/". */
void sb_path_last(char *out, size_t out_bytes, const char *path);

/* What a model in this folder is called: the last part, or of a repeated one "reviews/seed-42". */
void sb_model_name(char *out, size_t out_bytes, const char *folder);

#endif
