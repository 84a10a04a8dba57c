#include "label_cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin(struct sb_bytes *out)
{
    sb_bytes_clear(out);
    sb_bytes_append_text(out, ""); /* there is always a text, also of nothing */
}

static void add_class(struct sb_bytes *out, const char *text, size_t bytes)
{
    char separator = SB_LABEL_SEPARATOR;
    if (out->count)
        sb_bytes_append(out, &separator, 1);
    sb_bytes_append(out, text, bytes);
}

const char *sb_label_split(struct sb_bytes *out, const char *cell, const char *separator)
{
    const char *between = separator && *separator ? separator : ",";
    begin(out);
    for (const char *at = cell; at;) {
        const char *end = strstr(at, between);
        size_t bytes = end ? (size_t)(end - at) : strlen(at);
        const char *next = end ? end + strlen(between) : NULL;
        while (bytes && (*at == ' ' || *at == '\t')) {
            at++;
            bytes--;
        }
        while (bytes && (at[bytes - 1] == ' ' || at[bytes - 1] == '\t'))
            bytes--;
        if (bytes)
            add_class(out, at, bytes);
        at = next;
    }
    return out->data;
}

/* One class: text that is not empty, or a whole number. */
static const char *add_json_class(struct sb_bytes *out, const json_t *value)
{
    if (json_is_integer(value)) {
        char digits[32];
        int bytes = snprintf(digits, sizeof(digits), "%lld", (long long)json_integer_value(value));
        add_class(out, digits, (size_t)bytes);
        return NULL;
    }
    if (!json_is_string(value))
        return "is neither a string nor an integer";
    const char *text = json_string_value(value);
    if (!*text || strlen(text) != json_string_length(value) || strchr(text, SB_LABEL_SEPARATOR))
        return "is empty or holds a zero character";
    add_class(out, text, strlen(text));
    return NULL;
}

const char *sb_label_from_json(struct sb_bytes *out, const json_t *value, enum sb_label_form form)
{
    begin(out);
    if (form == SB_LABEL_SCORE && json_is_number(value)) {
        double number = json_number_value(value); /* 1e300 shall not come back with 17 digits */
        char digits[32];
        snprintf(digits, sizeof(digits), "%.6g", number);
        sb_bytes_printf(out, strtod(digits, NULL) == number ? "%.6g" : "%.17g", number);
        return NULL;
    }
    if (form == SB_LABEL_SET && json_is_array(value)) {
        const char *fault = NULL;
        for (size_t i = 0; !fault && i < json_array_size(value); i++)
            if (add_json_class(out, json_array_get(value, i)))
                fault = "is not a list of strings or integers";
        return fault;
    }
    if (json_is_array(value))
        return "is a list, which problem_type multi_label_classification reads";
    return add_json_class(out, value);
}
