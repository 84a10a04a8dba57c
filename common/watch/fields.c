#include "fields.h"

#include "arena.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_word(const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
            return false;
    }
    return *text != 0;
}

/* Quotes so that a line stays a line, whatever a path or a message holds. */
static void print_quoted(struct sb_bytes *out, const char *text)
{
    sb_bytes_append_text(out, "\"");
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            sb_bytes_printf(out, "\\%c", c);
        else if (c == '\n')
            sb_bytes_append_text(out, "\\n");
        else if (c < ' ' || c == 0x7f)
            sb_bytes_printf(out, "\\x%02x", c);
        else
            sb_bytes_append(out, p, 1);
    }
    sb_bytes_append_text(out, "\"");
}

void sb_fields_print(struct sb_bytes *out, const struct sb_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sb_field *field = &fields[i];
        sb_bytes_printf(out, "%s%s=", i ? " " : "", field->key);
        switch (field->type) {
        case SB_FIELD_U64:
            sb_bytes_printf(out, "%" PRIu64, field->whole);
            break;
        case SB_FIELD_REAL:
            sb_bytes_printf(out, "%.6g", field->real);
            break;
        case SB_FIELD_FLAG:
            sb_bytes_append_text(out, field->whole ? "true" : "false");
            break;
        case SB_FIELD_TEXT:
            if (is_word(field->text))
                sb_bytes_append_text(out, field->text);
            else
                print_quoted(out, field->text);
            break;
        }
    }
}

static json_t *json_of_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    char *ascii = sb_strdup(text);
    for (char *p = ascii; *p; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    json = json_string(ascii);
    free(ascii);
    return json;
}

void sb_fields_json(json_t *object, const struct sb_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sb_field *field = &fields[i];
        json_t *value = NULL;
        switch (field->type) {
        case SB_FIELD_U64:
            /* JSON integers end at 2^63 here; what lies above (a seed) keeps its size, not its
             * digits. */
            value = field->whole <= INT64_MAX ? json_integer((json_int_t)field->whole)
                                              : json_real((double)field->whole);
            break;
        case SB_FIELD_REAL:
            value = isfinite(field->real) ? json_real(field->real) : json_null();
            break;
        case SB_FIELD_FLAG:
            value = json_boolean(field->whole);
            break;
        case SB_FIELD_TEXT:
            value = json_of_text(field->text);
            break;
        }
        json_object_set_new(object, field->key, value);
    }
}
