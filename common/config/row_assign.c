/* From an entry of a job file, a --set or the environment to a member of struct sb_job. */
#include "config_rows.h"

#include "arena.h"
#include "file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct assignment {
    struct sb_job *job;
    const struct sb_row *row;
    const struct sb_flat_entry *entry;
    const struct sb_row_place *place;
    struct sb_err *err;
};

static int trouble(const struct assignment *a, struct sb_flat_mark mark, enum sb_err_code code,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static int trouble(const struct assignment *a, struct sb_flat_mark mark, enum sb_err_code code,
                   const char *format, ...)
{
    char sentence[768];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    sb_err_set(a->err, code, "%s", sentence);
    if (a->place->has_lines)
        return sb_err_context(a->err, "%s:%u:%u", a->place->name, mark.line, mark.column);
    return sb_err_context(a->err, "%s", a->place->name);
}

/* The words of a row as a person lists them: "mlm, classify". */
static void list_words(char *out, size_t out_bytes, const char *words)
{
    size_t used = 0;
    for (const char *p = words; *p && used + 3 < out_bytes; p++) {
        if (*p == '|')
            out[used++] = ',';
        out[used++] = *p == '|' ? ' ' : *p;
    }
    out[used] = 0;
}

bool sb_word_is_one_of(const char *words, const char *word)
{
    size_t bytes = strcspn(word, "|");
    for (const char *p = words; bytes && !word[bytes]; p++) {
        if (!strncmp(p, word, bytes) && (p[bytes] == '|' || !p[bytes]))
            return true;
        p = strchr(p, '|');
        if (!p)
            break;
    }
    return false;
}

/* Is a word, like triplet, what a class is named after, like TripletLoss? */
static bool names_class(const char *word, size_t word_bytes, const char *class_name)
{
    size_t at = 0;
    for (size_t i = 0; i < word_bytes; i++) {
        if (word[i] == '_')
            continue;
        if (tolower((unsigned char)class_name[at]) != word[i])
            return false;
        at++;
    }
    return !strcmp(class_name + at, "Loss");
}

/* The names of sentence-transformers' losses become our words, which are never longer by more than
 * their "Loss". */
static void take_class_name(char *text, const char *words)
{
    for (const char *word = words; *word;) {
        size_t bytes = strcspn(word, "|");
        if (names_class(word, bytes, text)) {
            sb_assert(bytes <= strlen(text));
            memcpy(text, word, bytes);
            text[bytes] = 0;
            return;
        }
        word += bytes + (word[bytes] == '|');
    }
}

static int wrong_type(const struct assignment *a, const struct sb_flat_item *item,
                      const char *expected)
{
    return trouble(a, item->mark, SB_ERR_CONFIG, "%s is %s, not '%s'%s", a->row->name, expected,
                   item->text, item->plain ? "" : " in quotes");
}

static int assign_whole(const struct assignment *a, const struct sb_flat_item *item)
{
    const struct sb_row *row = a->row;
    const char *digits = item->text + (item->text[0] == '-' || item->text[0] == '+');
    bool negative = item->text[0] == '-';
    if (!item->plain || !*digits || digits[strspn(digits, "0123456789")])
        return wrong_type(a, item, "a whole number");
    errno = 0;
    uint64_t value = strtoull(digits, NULL, 10);
    bool fits = errno == 0 && (!negative || value == 0);
    if (!fits || value < row->whole[1] || value > row->whole[2])
        return trouble(a, item->mark, SB_ERR_CONFIG,
                       "%s is %s; it must be from %" PRIu64 " to %" PRIu64 "%s%s", row->name,
                       item->text, row->whole[1], row->whole[2], *row->unit ? " " : "", row->unit);
    if (row->type == SB_ROW_u32)
        *(uint32_t *)sb_row_value(a->job, row) = (uint32_t)value;
    else
        *(uint64_t *)sb_row_value(a->job, row) = value;
    return 0;
}

static int assign_real(const struct assignment *a, const struct sb_flat_item *item)
{
    const struct sb_row *row = a->row;
    char *end = item->text;
    /* strtod would also take hexadecimal numbers, inf and nan. */
    bool decimal = item->plain && !item->text[strspn(item->text, "+-.0123456789eE")];
    double value = decimal ? strtod(item->text, &end) : 0;
    if (end == item->text || *end)
        return wrong_type(a, item, "a number");
    if (!(value >= row->real[1] && value <= row->real[2]))
        return trouble(a, item->mark, SB_ERR_CONFIG, "%s is %s; it must be from %.15g to %.15g",
                       row->name, item->text, row->real[1], row->real[2]);
    *(double *)sb_row_value(a->job, row) = value;
    return 0;
}

static int assign_flag(const struct assignment *a, const struct sb_flat_item *item)
{
    bool yes = !strcmp(item->text, "true") || !strcmp(item->text, "True");
    bool no = !strcmp(item->text, "false") || !strcmp(item->text, "False");
    if (!item->plain || (!yes && !no))
        return wrong_type(a, item, "true or false");
    *(bool *)sb_row_value(a->job, a->row) = yes;
    return 0;
}

static bool is_null(const struct sb_flat_item *item)
{
    return item->plain && (!strcmp(item->text, "null") || !strcmp(item->text, "~"));
}

/* A text of the row, with a path made relative to where the setting stands. */
static char *own_text(const struct assignment *a, const char *text)
{
    bool is_path = a->row->type == SB_ROW_path || a->row->type == SB_ROW_paths;
    char path[SB_PATH_BYTES];
    /* @NAME is the folder of a stage, wherever that is. */
    bool is_stage = a->row->type == SB_ROW_path && *text == '@';
    if (!is_path || is_stage || !strcmp(text, "-") || !a->place->folder ||
        !strcmp(a->place->folder, "."))
        return sb_strdup(text);
    return sb_strdup(sb_path_join(path, a->place->folder, text));
}

static int check_text(const struct assignment *a, const struct sb_flat_item *item)
{
    size_t bytes = strlen(item->text);
    size_t folder_bytes = a->place->folder ? strlen(a->place->folder) : 0;
    bool is_path = a->row->type == SB_ROW_path || a->row->type == SB_ROW_paths;
    if (is_path && bytes + folder_bytes + 2 > SB_PATH_BYTES)
        return trouble(a, item->mark, SB_ERR_CONFIG, "%s is longer than %d bytes", a->row->name,
                       SB_PATH_BYTES - 1);
    return 0;
}

static int assign_text(const struct assignment *a, const struct sb_flat_item *item)
{
    char **value = sb_row_value(a->job, a->row);
    if (!strcmp(a->row->name, "loss"))
        take_class_name(item->text, a->row->words);
    if (a->row->type == SB_ROW_word && !sb_word_is_one_of(a->row->words, item->text)) {
        char words[256];
        list_words(words, sizeof(words), a->row->words);
        return trouble(a, item->mark, SB_ERR_CONFIG, "%s is one of %s; not '%s'", a->row->name,
                       words, item->text);
    }
    if (check_text(a, item) < 0)
        return -1;
    free(*value);
    *value = *item->text ? own_text(a, item->text) : NULL;
    return 0;
}

static void list_clear(struct sb_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct sb_list){0};
}

static void list_add(struct sb_list *list, char *text)
{
    list->items = sb_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = text;
}

/* One name a line; a CR before the LF and the LF at the end of the file are not part of a name. */
static int read_names(const struct assignment *a, const struct sb_flat_item *item,
                      struct sb_list *list)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_err inner = SB_ERR_INIT;
    sb_path_join(path, a->place->folder && strcmp(a->place->folder, ".") ? a->place->folder : NULL,
                 item->text);
    int rc = sb_file_read(&text, path, &inner);
    if (rc < 0)
        trouble(a, item->mark, inner.code, "%s: %s", a->row->name, inner.text);
    size_t line = 1;
    for (char *p = text.data; rc == 0 && text.count && p < text.data + text.count; line++) {
        char *end = memchr(p, '\n', (size_t)(text.data + text.count - p));
        char *after = end ? end + 1 : text.data + text.count;
        size_t bytes = (size_t)((end ? end : after) - p);
        bytes -= bytes && p[bytes - 1] == '\r';
        p[bytes] = 0;
        if (!bytes || strlen(p) != bytes)
            rc = trouble(a, item->mark, SB_ERR_CONFIG, "%s: '%s' line %zu %s", a->row->name, path,
                         line, bytes ? "holds a zero byte" : "is empty");
        else
            list_add(list, sb_strdup(p));
        p = after;
    }
    if (rc == 0 && list->count == 0)
        rc = trouble(a, item->mark, SB_ERR_CONFIG, "%s: '%s' is empty", a->row->name, path);
    sb_bytes_release(&text);
    return rc;
}

static int assign_list(const struct assignment *a)
{
    struct sb_list list = {0};
    int rc = 0;
    if (a->row->type == SB_ROW_names && !a->entry->is_list) {
        rc = read_names(a, &a->entry->items[0], &list);
    } else {
        for (size_t i = 0; rc == 0 && i < a->entry->count; i++) {
            const struct sb_flat_item *item = &a->entry->items[i];
            if (!*item->text)
                rc = trouble(a, item->mark, SB_ERR_CONFIG, "%s has an empty item", a->row->name);
            else if ((rc = check_text(a, item)) == 0)
                list_add(&list, own_text(a, item->text));
        }
    }
    if (rc < 0) {
        list_clear(&list);
        return -1;
    }
    struct sb_list *value = sb_row_value(a->job, a->row);
    list_clear(value);
    *value = list;
    return 0;
}

static bool takes_list(enum sb_row_type type)
{
    return type == SB_ROW_list || type == SB_ROW_names || type == SB_ROW_paths;
}

/* null takes a setting back that a job file may have to mention: it is not set. */
static int assign_null(const struct assignment *a)
{
    if (takes_list(a->row->type))
        list_clear(sb_row_value(a->job, a->row));
    else if (a->row->type == SB_ROW_text || a->row->type == SB_ROW_path) {
        char **value = sb_row_value(a->job, a->row);
        free(*value);
        *value = NULL;
    } else
        return trouble(a, a->entry->mark, SB_ERR_CONFIG, "%s has no value", a->row->name);
    return 0;
}

static int assign_one(const struct assignment *a, const struct sb_flat_item *item)
{
    switch (a->row->type) {
    case SB_ROW_u32:
    case SB_ROW_u64:
        return assign_whole(a, item);
    case SB_ROW_real:
        return assign_real(a, item);
    case SB_ROW_flag:
        return assign_flag(a, item);
    case SB_ROW_text:
    case SB_ROW_path:
    case SB_ROW_word:
        return assign_text(a, item);
    case SB_ROW_list:
    case SB_ROW_names:
    case SB_ROW_paths:
        break;
    }
    return assign_list(a);
}

int sb_row_assign(struct sb_job *job, const struct sb_row *row, const struct sb_flat_entry *entry,
                  const struct sb_row_place *place, struct sb_err *err)
{
    struct assignment a = {job, row, entry, place, err};
    if (entry->is_list)
        return takes_list(row->type) ? assign_list(&a)
                                     : trouble(&a, entry->mark, SB_ERR_CONFIG,
                                               "%s takes one value, not a list", row->name);
    const struct sb_flat_item *item = &entry->items[0];
    if (item->plain && !*item->text)
        return trouble(&a, item->mark, SB_ERR_CONFIG, "%s has no value", row->name);
    if (is_null(item))
        return assign_null(&a);
    return assign_one(&a, item);
}
