/*
 * Named values: what log lines are made of.
 *
 *     sb_log_event("train", sb_u64("step", step), sb_real("loss", loss), sb_text("path", path));
 *
 * Keys carry the unit at their end (seconds, bytes) and are the same words as in the metrics.  A
 * field borrows its key and its text.
 */
#ifndef SB_FIELDS_H
#define SB_FIELDS_H

#include "bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct sb_field {
    const char *key;
    enum { SB_FIELD_U64, SB_FIELD_REAL, SB_FIELD_TEXT, SB_FIELD_FLAG } type;
    uint64_t whole;
    double real;
    const char *text;
};

static inline struct sb_field sb_u64(const char *key, uint64_t value)
{
    return (struct sb_field){.key = key, .type = SB_FIELD_U64, .whole = value};
}

static inline struct sb_field sb_real(const char *key, double value)
{
    return (struct sb_field){.key = key, .type = SB_FIELD_REAL, .real = value};
}

/* NULL is written as an empty text. */
static inline struct sb_field sb_text(const char *key, const char *value)
{
    return (struct sb_field){.key = key, .type = SB_FIELD_TEXT, .text = value ? value : ""};
}

static inline struct sb_field sb_flag(const char *key, bool value)
{
    return (struct sb_field){.key = key, .type = SB_FIELD_FLAG, .whole = value};
}

/* A list of fields as two arguments: the array and its length. */
#define SB_FIELDS(...)                                                                             \
    (const struct sb_field[]){__VA_ARGS__},                                                        \
        sizeof((const struct sb_field[]){__VA_ARGS__}) / sizeof(struct sb_field)

/* "key=value key=value": numbers with six digits, texts quoted where they hold more than a word. */
void sb_fields_print(struct sb_bytes *out, const struct sb_field *fields, size_t count);
/* Sets the members of a JSON object; what is not finite becomes null, broken UTF-8 question marks.
 */
void sb_fields_json(json_t *object, const struct sb_field *fields, size_t count);

#endif
