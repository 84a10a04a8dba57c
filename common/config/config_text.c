/* Settings as text: the canonical form that is compared, the reference page, the list of --help. */
#include "config.h"

#include "arena.h"
#include "config_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A JSON text, except that bytes which are not UTF-8 go through as they are. */
static void print_text(struct sb_bytes *out, const char *text)
{
    sb_bytes_append_text(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_bytes_printf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            sb_bytes_printf(out, "\\u%04x", *p);
        else
            sb_bytes_append(out, p, 1);
    }
    sb_bytes_append_text(out, "\"");
}

void sb_real_print(struct sb_bytes *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    sb_bytes_append_text(out, text);
}

static void print_list(struct sb_bytes *out, const struct sb_list *list)
{
    if (!list->count)
        return;
    for (size_t i = 0; i < list->count; i++) {
        sb_bytes_append_text(out, i ? "," : "[");
        print_text(out, list->items[i]);
    }
    sb_bytes_append_text(out, "]");
}

void sb_row_print(struct sb_bytes *out, const struct sb_job *job, const struct sb_row *row)
{
    const void *value = sb_row_value(job, row);
    const char *text;
    switch (row->type) {
    case SB_ROW_u32:
        sb_bytes_printf(out, "%" PRIu32, *(const uint32_t *)value);
        break;
    case SB_ROW_u64:
        sb_bytes_printf(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case SB_ROW_flag:
        sb_bytes_append_text(out, *(const bool *)value ? "true" : "false");
        break;
    case SB_ROW_real:
        sb_real_print(out, *(const double *)value);
        break;
    case SB_ROW_word:
        text = *(char *const *)value;
        sb_bytes_append_text(out, text ? text : "");
        break;
    case SB_ROW_text:
    case SB_ROW_path:
        text = *(char *const *)value;
        if (text)
            print_text(out, text);
        break;
    case SB_ROW_list:
    case SB_ROW_names:
    case SB_ROW_paths:
        print_list(out, value);
        break;
    }
}

void sb_job_canonical(const struct sb_job *job, struct sb_bytes *out)
{
    sb_bytes_clear(out);
    for (size_t i = 0; i < sb_row_count; i++) {
        const struct sb_row *row = &sb_rows[i];
        if (!row->name || row->scope != SB_SCOPE_JOB)
            continue;
        sb_bytes_printf(out, "%s=", row->name);
        sb_row_print(out, job, row);
        sb_bytes_append_text(out, "\n");
    }
}

/* The value of a key in a canonical text: where it starts and how long it is; NULL if it has none.
 */
static const char *value_in(const char *text, const char *key, size_t key_bytes, size_t *bytes)
{
    for (const char *line = text; *line;) {
        size_t line_bytes = strcspn(line, "\n");
        if (line_bytes > key_bytes && !strncmp(line, key, key_bytes) && line[key_bytes] == '=') {
            *bytes = line_bytes - key_bytes - 1;
            return line + key_bytes + 1;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    *bytes = 0;
    return NULL;
}

/* A value for a sentence: cut, without control characters, "not set" if it is empty. */
static void say_value(char *out, size_t out_bytes, const char *value, size_t bytes)
{
    if (!value || !bytes) {
        snprintf(out, out_bytes, "%s", value ? "not set" : "unknown");
        return;
    }
    size_t room = out_bytes - 4;
    size_t used = bytes < room ? bytes : room;
    for (size_t i = 0; i < used; i++)
        out[i] = (unsigned char)value[i] < 0x20 ? '?' : value[i];
    snprintf(out + used, out_bytes - used, "%s", bytes > used ? "..." : "");
}

/* Says the first key of text whose value is another one in other. */
static bool differs(const char *text, const char *other, bool text_is_ours, char *sentence,
                    size_t sentence_bytes)
{
    for (const char *line = text; *line;) {
        size_t line_bytes = strcspn(line, "\n");
        const char *equals = memchr(line, '=', line_bytes);
        size_t key_bytes = equals ? (size_t)(equals - line) : line_bytes;
        size_t bytes = equals ? line_bytes - key_bytes - 1 : 0;
        size_t other_bytes;
        const char *value = value_in(other, line, key_bytes, &other_bytes);
        if (!value || !equals || bytes != other_bytes || strncmp(equals + 1, value, bytes)) {
            char key[64], here[128], there[128];
            say_value(key, sizeof(key), line, key_bytes);
            say_value(text_is_ours ? here : there, sizeof(here), equals ? equals + 1 : NULL, bytes);
            say_value(text_is_ours ? there : here, sizeof(there), value, other_bytes);
            snprintf(sentence, sentence_bytes, "%s is %s here, %s there", key, here, there);
            return true;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    return false;
}

bool sb_job_difference(const char *ours, const char *theirs, char *sentence, size_t sentence_bytes)
{
    if (!strcmp(ours, theirs))
        return false;
    if (differs(ours, theirs, true, sentence, sentence_bytes) ||
        differs(theirs, ours, false, sentence, sentence_bytes))
        return true;
    snprintf(sentence, sentence_bytes, "the settings come in another order");
    return true;
}

static const char *type_text(const struct sb_row *row, char *out, size_t out_bytes)
{
    struct sb_bytes text = SB_BYTES_INIT;
    switch (row->type) {
    case SB_ROW_u32:
    case SB_ROW_u64:
        sb_bytes_printf(&text, "%" PRIu64 " to %" PRIu64, row->whole[1], row->whole[2]);
        break;
    case SB_ROW_real:
        sb_real_print(&text, row->real[1]);
        sb_bytes_append_text(&text, " to ");
        sb_real_print(&text, row->real[2]);
        break;
    case SB_ROW_flag:
        sb_bytes_append_text(&text, "true or false");
        break;
    case SB_ROW_text:
        sb_bytes_append_text(&text, "text");
        break;
    case SB_ROW_path:
        sb_bytes_append_text(&text, "path");
        break;
    case SB_ROW_word:
        for (const char *p = row->words; *p; p++) {
            if (*p == '|')
                sb_bytes_append_text(&text, ", ");
            else
                sb_bytes_append(&text, p, 1);
        }
        break;
    case SB_ROW_list:
        sb_bytes_append_text(&text, "text or list");
        break;
    case SB_ROW_names:
        sb_bytes_append_text(&text, "list or path");
        break;
    case SB_ROW_paths:
        sb_bytes_append_text(&text, "path, glob or list");
        break;
    }
    if (*row->unit && row->type != SB_ROW_word)
        sb_bytes_printf(&text, " %s", row->unit);
    snprintf(out, out_bytes, "%s", text.data);
    sb_bytes_release(&text);
    return out;
}

/* Fills a job with defaults only, so that defaults are printed by the code that prints values. */
static void print_default(struct sb_bytes *out, const struct sb_row *row)
{
    struct sb_job job;
    sb_job_init(&job);
    sb_row_print(out, &job, row);
    sb_job_release(&job);
}

void sb_job_reference(struct sb_bytes *out)
{
    sb_bytes_clear(out);
    sb_bytes_append_text(
        out,
        "# Settings\n\n"
        "A job file is a flat YAML mapping of these keys. Later sources win: the default, the job\n"
        "file, the environment (`SHARDBERT_` and the key in capitals; process settings only),\n"
        "`--set key=value`. Paths in a job file are relative to its folder.\n\n"
        "*job* settings decide the weights: every process of a run and every resumed run must\n"
        "have the same. *process* settings may differ.\n");
    for (size_t i = 0; i < sb_row_count; i++) {
        const struct sb_row *row = &sb_rows[i];
        char type[256];
        if (row->section) {
            sb_bytes_printf(out, "\n## %s\n\n", row->section);
            sb_bytes_append_text(out, "| key | value | default | scope | meaning |\n"
                                      "|---|---|---|---|---|\n");
            continue;
        }
        sb_bytes_printf(out, "| `%s` | %s | ", row->name, type_text(row, type, sizeof(type)));
        print_default(out, row);
        sb_bytes_printf(out, " | %s | %s |\n", row->scope == SB_SCOPE_JOB ? "job" : "process",
                        row->help);
    }
}

void sb_job_help(struct sb_bytes *out)
{
    sb_bytes_clear(out);
    for (size_t i = 0; i < sb_row_count; i++) {
        const struct sb_row *row = &sb_rows[i];
        struct sb_bytes value = SB_BYTES_INIT;
        if (row->section) {
            sb_bytes_printf(out, "%s%s:\n", i ? "\n" : "", row->section);
            continue;
        }
        print_default(&value, row);
        sb_bytes_printf(out, "  %-29s %s%s%s%s\n", row->name, row->help, value.count ? " [" : "",
                        value.count ? value.data : "", value.count ? "]" : "");
        sb_bytes_release(&value);
    }
}
