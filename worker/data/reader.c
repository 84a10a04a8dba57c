#include "reader.h"

#include "arena.h"
#include "columns.h"
#include "file.h"
#include "label_cell.h"
#include "lines.h"

#include <csv.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum format { TEXT, TSV, CSV, JSONL };

struct row {
    struct sb_field *fields;
    size_t count, capacity;
    struct sb_bytes
        text; /* of CSV fields, each with its zero byte; those of TSV stand in the line */
};

struct sb_reader {
    struct sb_reader_options options; /* strings are copies */
    char **paths;
    size_t path_count, path_index; /* index of the file that is open, or of the next */
    struct sb_lines lines;
    enum format format;

    struct row row;
    uint64_t row_line; /* where the row begins */
    bool columns_known;
    struct sb_columns columns;
    struct csv_parser csv;
    bool csv_open, row_ended;

    json_t *json;
    struct sb_bytes label; /* that is no cell as it stands */
    struct sb_text_part negatives[SB_NEGATIVES_MAX];

    uint64_t total_bytes, done_bytes; /* done: of the files before this one */
};

static char *copy_or_null(const char *text)
{
    return text ? sb_strdup(text) : NULL;
}

int sb_reader_open(struct sb_reader **reader, const struct sb_reader_options *options,
                   struct sb_err *err)
{
    char **paths = NULL;
    size_t count = 0;
    *reader = NULL;
    if (sb_paths_expand(&paths, &count, options->paths, options->path_count, err) < 0)
        return -1;
    struct sb_reader *r = sb_calloc(1, sizeof(*r));
    r->options = *options;
    r->options.text_column = copy_or_null(options->text_column);
    r->options.text_pair_column = copy_or_null(options->text_pair_column);
    r->options.label_column = copy_or_null(options->label_column);
    r->options.label_separator = copy_or_null(options->label_separator);
    r->options.negative_column = copy_or_null(options->negative_column);
    r->paths = paths;
    r->path_count = count;
    r->total_bytes = sb_paths_bytes(paths, count);
    *reader = r;
    return 0;
}

static void close_file(struct sb_reader *r)
{
    if (r->lines.stream)
        r->done_bytes += sb_stream_done(r->lines.stream);
    sb_lines_close(&r->lines);
    if (r->csv_open)
        csv_free(&r->csv);
    r->csv_open = false;
    r->columns_known = false;
    r->row.count = 0;
    sb_bytes_clear(&r->row.text);
}

void sb_reader_free(struct sb_reader **reader)
{
    struct sb_reader *r = *reader;
    if (!r)
        return;
    close_file(r);
    sb_lines_release(&r->lines);
    json_decref(r->json);
    free(r->row.fields);
    sb_bytes_release(&r->row.text);
    free((char *)(uintptr_t)r->options.text_column);
    free((char *)(uintptr_t)r->options.text_pair_column);
    free((char *)(uintptr_t)r->options.label_column);
    free((char *)(uintptr_t)r->options.label_separator);
    sb_bytes_release(&r->label);
    free((char *)(uintptr_t)r->options.negative_column);
    sb_paths_free(&r->paths, &r->path_count);
    free(r);
    *reader = NULL;
}

void sb_reader_progress(const struct sb_reader *r, uint64_t *done, uint64_t *total,
                        uint64_t *replaced)
{
    *done = r->done_bytes + (r->lines.stream ? sb_stream_done(r->lines.stream) : 0);
    *total = r->total_bytes;
    *replaced = r->lines.replaced;
}

/* ---- rows of tables ---- */

static void add_field(struct row *row, char *text, size_t bytes)
{
    if (row->count == row->capacity) {
        row->capacity = row->capacity ? 2 * row->capacity : 8;
        row->fields = sb_realloc(row->fields, row->capacity * sizeof(*row->fields));
    }
    row->fields[row->count++] = (struct sb_field){text, bytes};
}

/* 1: a row; 0: the end; -1.  Empty lines are no rows. */
static int next_tsv_row(struct sb_reader *r, struct sb_err *err)
{
    int rc;
    while ((rc = sb_lines_next(&r->lines, err)) == 1 && !r->lines.bytes) {
    }
    if (rc <= 0)
        return rc;
    char *at = r->lines.text, *end = at + r->lines.bytes, *tab;
    r->row.count = 0;
    r->row_line = r->lines.number;
    while ((tab = memchr(at, '\t', (size_t)(end - at)))) {
        *tab = 0;
        add_field(&r->row, at, (size_t)(tab - at));
        at = tab + 1;
    }
    add_field(&r->row, at, (size_t)(end - at));
    return 1;
}

/* libcsv trims white space around fields, which RFC 4180 does not: nothing is a space to it. */
static int never_a_space(unsigned char c)
{
    (void)c;
    return 0;
}

static void on_csv_field(void *text, size_t bytes, void *reader)
{
    struct sb_reader *r = reader;
    add_field(&r->row, NULL,
              bytes); /* placed when the row is whole and its bytes stay where they are */
    sb_bytes_append(&r->row.text, text, bytes);
    sb_bytes_append(&r->row.text, "", 1);
}

static void on_csv_row(int terminator, void *reader)
{
    struct sb_reader *r = reader;
    (void)terminator;
    r->row_ended = true;
}

static int csv_feed(struct sb_reader *r, const char *text, size_t bytes, size_t *column,
                    struct sb_err *err)
{
    size_t taken = csv_parse(&r->csv, text, bytes, on_csv_field, on_csv_row, r);
    *column += taken;
    if (taken == bytes)
        return 0;
    if (csv_error(&r->csv) == CSV_EPARSE)
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:%" PRIu64 ":%zu: a quote is out of place (RFC 4180)", r->lines.path,
                          r->lines.number, *column);
    return sb_err_set(err, SB_ERR_TRY_AGAIN, "%s:%" PRIu64 ": %s", r->lines.path, r->lines.number,
                      csv_strerror(csv_error(&r->csv)));
}

static int csv_feed_line(struct sb_reader *r, struct sb_err *err)
{
    const char *line_end = r->lines.returned ? "\r\n" : "\n";
    size_t column = 1;
    if (memchr(r->lines.text, '\r', r->lines.bytes))
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": a carriage return inside the line",
                          r->lines.path, r->lines.number);
    if (csv_feed(r, r->lines.text, r->lines.bytes, &column, err) < 0 ||
        csv_feed(r, line_end, strlen(line_end), &column, err) < 0)
        return -1;
    if (csv_get_buffer_size(&r->csv) > 2 * (size_t)SB_MAX_LINE_BYTES ||
        r->row.text.count > SB_MAX_LINE_BYTES)
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": the record is longer than 16 MiB",
                          r->lines.path, r->row_line);
    return 0;
}

static int next_csv_row(struct sb_reader *r, struct sb_err *err)
{
    bool inside = false; /* a record has begun */
    int rc;
    r->row.count = 0;
    r->row_ended = false;
    sb_bytes_clear(&r->row.text);
    while (!r->row_ended) {
        if ((rc = sb_lines_next(&r->lines, err)) < 0)
            return -1;
        if (rc == 0 && inside)
            return sb_err_set(err, SB_ERR_DATA,
                              "%s:%" PRIu64 ": a quote that opens in this record is never closed",
                              r->lines.path, r->row_line);
        if (rc == 0)
            return 0;
        if (!inside && !r->lines.bytes)
            continue;
        if (!inside)
            r->row_line = r->lines.number;
        inside = true;
        if (csv_feed_line(r, err) < 0)
            return -1;
    }
    char *at = r->row.text.data;
    for (size_t i = 0; i < r->row.count; i++) {
        r->row.fields[i].text = at;
        at += r->row.fields[i].bytes + 1;
    }
    return 1;
}

static int next_row(struct sb_reader *r, struct sb_err *err)
{
    return r->format == CSV ? next_csv_row(r, err) : next_tsv_row(r, err);
}

/* Reads the header, if there is one, and settles the columns; the row that is left is a record. */
static int first_row(struct sb_reader *r, struct sb_err *err)
{
    bool header = sb_columns_need_header(&r->options);
    int rc = next_row(r, err);
    if (rc <= 0)
        return rc;
    if ((r->options.pairs ? sb_columns_resolve_pairs : sb_columns_resolve)(
            &r->columns, &r->options, r->row.fields, r->row.count, header, err) < 0)
        return sb_err_context(err, "%s:%" PRIu64, r->lines.path, r->row_line);
    r->columns_known = true;
    return header ? next_row(r, err) : 1;
}

static int next_table_record(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    int rc = r->columns_known ? next_row(r, err) : first_row(r, err);
    if (rc <= 0)
        return rc;
    const struct sb_columns *c = &r->columns;
    const struct sb_field *fields = r->row.fields;
    if (r->row.count != c->count)
        return sb_err_set(
            err, SB_ERR_DATA, "%s:%" PRIu64 ": %zu column%s, where the first line has %zu",
            r->lines.path, r->row_line, r->row.count, r->row.count == 1 ? "" : "s", c->count);
    record->text = fields[c->text].text;
    record->text_bytes = fields[c->text].bytes;
    if (c->has_pair) {
        record->text_pair = fields[c->pair].text;
        record->text_pair_bytes = fields[c->pair].bytes;
    }
    if (c->has_label) {
        record->label = fields[c->label].text;
        bool set = r->options.label_form == SB_LABEL_SET; /* an empty one is no mistake */
        if ((!set && !fields[c->label].bytes) || strlen(record->label) != fields[c->label].bytes)
            return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": the label is empty or no text",
                              r->lines.path, r->row_line);
        if (set)
            record->label = sb_label_split(&r->label, record->label, r->options.label_separator);
    }
    /* Rows have as many negatives as they have: the rest of the cells is empty. */
    record->negatives = r->negatives;
    for (size_t i = 0; i < c->negative_count; i++)
        if (fields[c->negatives[i]].bytes)
            r->negatives[record->negative_count++] =
                (struct sb_text_part){fields[c->negatives[i]].text, fields[c->negatives[i]].bytes};
    record->line = r->row_line;
    return 1;
}

/* ---- JSON lines ---- */

static int json_trouble(const struct sb_reader *r, const char *key, const char *what,
                        struct sb_err *err)
{
    struct sb_bytes keys = SB_BYTES_INIT;
    const char *name;
    json_t *value;
    json_object_foreach(r->json, name, value)
        sb_bytes_printf(&keys, "%s'%.60s'", keys.count ? ", " : "", name);
    sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": '%s' %s (the keys are: %s)", r->lines.path,
               r->lines.number, key, what, keys.count ? keys.data : "none");
    sb_bytes_release(&keys);
    return -1;
}

static int json_text(const struct sb_reader *r, const char *key, const char **text, size_t *bytes,
                     struct sb_err *err)
{
    const json_t *value = json_object_get(r->json, key);
    if (!json_is_string(value))
        return json_trouble(r, key, value ? "is not a string" : "is missing", err);
    *text = json_string_value(value);
    *bytes = json_string_length(value);
    return 0;
}

static int json_label(struct sb_reader *r, const char **label, struct sb_err *err)
{
    const char *key = r->options.label_column ? r->options.label_column : "label";
    const json_t *value = json_object_get(r->json, key);
    if (!value)
        return json_trouble(r, key, "is missing", err);
    const char *fault = sb_label_from_json(&r->label, value, r->options.label_form);
    if (fault)
        return json_trouble(r, key, fault, err);
    *label = r->label.data;
    return 0;
}

static int json_score(struct sb_reader *r, struct sb_record *record, const char *key,
                      struct sb_err *err)
{
    const json_t *value = json_object_get(r->json, key);
    if (!json_is_number(value))
        return json_trouble(r, key, value ? "is not a number" : "is missing", err);
    const char *fault = sb_label_from_json(&r->label, value, SB_LABEL_SCORE);
    record->label = r->label.data;
    return fault ? json_trouble(r, key, fault, err) : 0;
}

/* A text or a list of them. */
static int json_negatives(struct sb_reader *r, struct sb_record *record, const char *key,
                          struct sb_err *err)
{
    const json_t *value = json_object_get(r->json, key);
    bool list = json_is_array(value);
    size_t count = list ? json_array_size(value) : 1;
    if (!value)
        return json_trouble(r, key, "is missing", err);
    if (count < 1 || count > SB_NEGATIVES_MAX)
        return json_trouble(r, key, "must be a text, or a list of 1 to 64", err);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = list ? json_array_get(value, i) : value;
        if (!json_is_string(text))
            return json_trouble(r, key, "is neither a string nor a list of strings", err);
        r->negatives[i] = (struct sb_text_part){json_string_value(text), json_string_length(text)};
    }
    record->negatives = r->negatives;
    record->negative_count = count;
    return 0;
}

/* The two texts: by their settings, or by the first pair of names of which both are there. */
static int json_pair(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    const struct sb_reader_options *options = &r->options;
    const char *anchor = options->text_column, *positive = options->text_pair_column;
    const struct sb_pair_names *names = sb_pair_names;
    while (names->anchor && ((!anchor && !json_object_get(r->json, names->anchor)) ||
                             (!positive && !json_object_get(r->json, names->positive))))
        names++;
    if (!names->anchor)
        names = sb_pair_names; /* which is then said to be missing */
    if (json_text(r, anchor ? anchor : names->anchor, &record->text, &record->text_bytes, err) <
            0 ||
        json_text(r, positive ? positive : names->positive, &record->text_pair,
                  &record->text_pair_bytes, err) < 0)
        return -1;
    if (options->label_column)
        return json_score(r, record, options->label_column, err);
    if (options->negative_column)
        return json_negatives(r, record, options->negative_column, err);
    const char *const *score = sb_score_names;
    while (*score && !json_object_get(r->json, *score))
        score++;
    bool negative = json_object_get(r->json, "negative") != NULL;
    if (*score && negative)
        return json_trouble(r, *score, "and 'negative' exclude each other", err);
    if (*score)
        return json_score(r, record, *score, err);
    return negative ? json_negatives(r, record, "negative", err) : 0;
}

static int parse_json(struct sb_reader *r, struct sb_err *err)
{
    json_error_t where;
    json_decref(r->json);
    r->json =
        json_loadb(r->lines.text, r->lines.bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &where);
    if (!r->json)
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ":%d: %s", r->lines.path, r->lines.number,
                          where.column, where.text);
    if (!json_is_object(r->json))
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": the line is not a JSON object",
                          r->lines.path, r->lines.number);
    return 0;
}

static int next_json_record(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    const char *key = r->options.text_column, *pair_key = r->options.text_pair_column;
    int rc;
    while ((rc = sb_lines_next(&r->lines, err)) == 1 &&
           strspn(r->lines.text, " \t") == r->lines.bytes) {
    }
    if (rc <= 0)
        return rc;
    if (parse_json(r, err) < 0)
        return -1;
    if (r->options.pairs) {
        record->line = r->lines.number;
        return json_pair(r, record, err) < 0 ? -1 : 1;
    }
    if (!key && !json_object_get(r->json, "text") && json_object_get(r->json, "sentence1")) {
        key = "sentence1";
        if (!pair_key)
            pair_key = "sentence2";
    }
    if (json_text(r, key ? key : "text", &record->text, &record->text_bytes, err) < 0)
        return -1;
    if (pair_key && json_text(r, pair_key, &record->text_pair, &record->text_pair_bytes, err) < 0)
        return -1;
    if (r->options.labelled && json_label(r, &record->label, err) < 0)
        return -1;
    record->line = r->lines.number;
    return 1;
}

/* ---- text ---- */

static int next_text_record(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    int rc = sb_lines_next(&r->lines, err);
    if (rc <= 0)
        return rc;
    record->text = r->lines.text;
    record->text_bytes = r->lines.bytes;
    record->blank = strspn(record->text, " \t") == record->text_bytes;
    record->line = r->lines.number;
    return 1;
}

/* ---- files ---- */

static bool ends_with(const char *path, size_t bytes, const char *ending)
{
    size_t ending_bytes = strlen(ending);
    return bytes >= ending_bytes && !strncasecmp(path + bytes - ending_bytes, ending, ending_bytes);
}

/* By the first line, where the name says nothing. */
static enum format format_of_line(const struct sb_reader *r)
{
    const struct sb_reader_options *o = &r->options;
    if (!o->labelled && !o->pairs && !o->text_column && !o->text_pair_column)
        return TEXT;
    if (memchr(r->lines.text, '\t', r->lines.bytes))
        return TSV;
    return r->lines.text[0] == '{' ? JSONL : TEXT;
}

static int find_format(struct sb_reader *r, const char *path, struct sb_err *err)
{
    static const struct {
        const char *ending;
        enum format format;
    } endings[] = {
        {".txt", TEXT}, {".tsv", TSV}, {".csv", CSV}, {".jsonl", JSONL}, {".json", JSONL}};
    size_t stem = sb_stream_stem(path);
    const struct sb_reader_options *o = &r->options;
    bool table = o->labelled || o->pairs || o->text_column || o->text_pair_column;
    r->format = TEXT;
    bool known = false;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]) && !known; i++) {
        known = ends_with(path, stem, endings[i].ending);
        if (known)
            r->format = endings[i].format;
    }
    if (r->format != TEXT || !table)
        return 0;
    int rc = sb_lines_next(&r->lines, err);
    if (rc <= 0)
        return rc;
    sb_lines_hold(&r->lines);
    r->format = format_of_line(r);
    if (r->format == TEXT)
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:1: plain text has no columns: neither a tab nor JSON", r->lines.path);
    return 0;
}

static int open_file(struct sb_reader *r, struct sb_err *err)
{
    const char *path = r->paths[r->path_index];
    if (sb_lines_open(&r->lines, path, r->options.lenient, err) < 0)
        return -1;
    if (find_format(r, path, err) < 0)
        return -1;
    if (r->format == CSV) {
        if (csv_init(&r->csv, CSV_STRICT | CSV_STRICT_FINI) != 0)
            return sb_err_set(err, SB_ERR_TRY_AGAIN, "%s: no memory to read it", path);
        csv_set_space_func(&r->csv, never_a_space);
        r->csv_open = true;
    }
    return 0;
}

static int next_in_file(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    switch (r->format) {
    case TSV:
    case CSV:
        return next_table_record(r, record, err);
    case JSONL:
        return next_json_record(r, record, err);
    case TEXT:
        break;
    }
    return next_text_record(r, record, err);
}

int sb_reader_next(struct sb_reader *r, struct sb_record *record, struct sb_err *err)
{
    for (; r->path_index < r->path_count; r->path_index++) {
        *record = (struct sb_record){.path = r->paths[r->path_index]};
        if (!r->lines.stream && open_file(r, err) < 0)
            return -1;
        int rc = next_in_file(r, record, err);
        if (rc != 0)
            return rc;
        close_file(r);
    }
    return 0;
}
