#include "columns.h"

#include "bytes.h"

#include <stdlib.h>
#include <string.h>

const struct sb_pair_names sb_pair_names[] = {
    {"anchor", "positive"}, {"sentence1", "sentence2"},
    {"query", "positive"},  {"text", "text_pair"},
    {NULL, NULL},
};
const char *const sb_score_names[] = {"score", "label", NULL};

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

static bool is_name(const char *column)
{
    return column && !is_number(column);
}

bool sb_columns_need_header(const struct sb_reader_options *options)
{
    return options->header || is_name(options->text_column) || is_name(options->text_pair_column) ||
           is_name(options->label_column) || is_name(options->negative_column);
}

static bool find_name(size_t *at, const char *name, const struct sb_field *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(name) == row[i].bytes && !memcmp(row[i].text, name, row[i].bytes)) {
            *at = i;
            return true;
        }
    return false;
}

static int no_column(const char *wanted, const struct sb_field *row, size_t count, bool header,
                     struct sb_err *err)
{
    struct sb_bytes names = SB_BYTES_INIT;
    if (header)
        for (size_t i = 0; i < count; i++)
            sb_bytes_printf(&names, "%s'%.60s'", i ? ", " : "the columns are ", row[i].text);
    else
        sb_bytes_printf(&names, "there %s %zu, counted from 0", count == 1 ? "is" : "are", count);
    sb_err_set(err, SB_ERR_DATA, "there is no column '%s': %s", wanted, names.data);
    sb_bytes_release(&names);
    return -1;
}

static int find(size_t *at, const char *wanted, const struct sb_field *row, size_t count,
                bool header, struct sb_err *err)
{
    if (header && find_name(at, wanted, row, count))
        return 0;
    if (is_number(wanted) && (size_t)atol(wanted) < count) {
        *at = (size_t)atol(wanted);
        return 0;
    }
    return no_column(wanted, row, count, header, err);
}

static int not_clear(const char *key, size_t count, struct sb_err *err)
{
    return sb_err_set(err, SB_ERR_DATA, "which of the %zu columns is meant? Set %s", count, key);
}

/* The text, where no setting names it; the label is known if it can be. */
static int guess_text(struct sb_columns *c, const struct sb_field *row, bool header,
                      struct sb_err *err)
{
    if (header && find_name(&c->text, "text", row, c->count))
        return 0;
    if (header && find_name(&c->text, "sentence1", row, c->count)) {
        c->has_pair = c->has_pair || find_name(&c->pair, "sentence2", row, c->count);
        return 0;
    }
    if (c->count == 1 && !c->has_label)
        c->text = 0;
    else if (c->count == 2)
        c->text = c->has_label && c->label == 1 ? 0 : 1;
    else
        return not_clear("text_column", c->count, err);
    return 0;
}

static int guess_label(struct sb_columns *c, const struct sb_field *row, bool header,
                       bool text_given, struct sb_err *err)
{
    c->has_label = true;
    if (header && find_name(&c->label, "label", row, c->count))
        return 0;
    if (c->count != 2 || c->has_pair)
        return not_clear("label_column", c->count, err);
    c->label = text_given && c->text == 0 ? 1 : 0;
    return 0;
}

int sb_columns_resolve(struct sb_columns *c, const struct sb_reader_options *options,
                       const struct sb_field *row, size_t count, bool header, struct sb_err *err)
{
    bool text_given = options->text_column != NULL;
    *c = (struct sb_columns){.count = count};
    if (text_given && find(&c->text, options->text_column, row, count, header, err) < 0)
        return -1;
    if (options->text_pair_column) {
        c->has_pair = true;
        if (find(&c->pair, options->text_pair_column, row, count, header, err) < 0)
            return -1;
    }
    if (options->labelled && options->label_column) {
        c->has_label = true;
        if (find(&c->label, options->label_column, row, count, header, err) < 0)
            return -1;
    }
    if (options->labelled && !options->label_column &&
        guess_label(c, row, header, text_given, err) < 0)
        return -1;
    return text_given ? 0 : guess_text(c, row, header, err);
}

/* ---- pairs ---- */

/* The two texts: by their settings, by a pair of names, or the first two columns. */
static int find_pair(struct sb_columns *c, const struct sb_reader_options *options,
                     const struct sb_field *row, bool header, struct sb_err *err)
{
    const char *anchor = options->text_column, *positive = options->text_pair_column;
    const struct sb_pair_names *names = sb_pair_names;
    c->has_pair = true;
    c->text = 0;
    c->pair = 1;
    for (; header && names->anchor; names++) {
        if ((anchor || find_name(&c->text, names->anchor, row, c->count)) &&
            (positive || find_name(&c->pair, names->positive, row, c->count)))
            break;
    }
    if (header && !names->anchor)
        return not_clear(anchor ? "text_pair_column" : "text_column", c->count, err);
    if ((anchor && find(&c->text, anchor, row, c->count, header, err) < 0) ||
        (positive && find(&c->pair, positive, row, c->count, header, err) < 0))
        return -1;
    if (c->text == c->pair)
        return sb_err_set(err, SB_ERR_DATA, "column %zu cannot be both texts of a pair", c->text);
    return 0;
}

/* negative, or negative_1, negative_2 ... */
static bool names_negative(const struct sb_field *field)
{
    static const char word[] = "negative";
    const size_t bytes = sizeof(word) - 1;
    if (strncmp(field->text, word, bytes) != 0)
        return false;
    return !field->text[bytes] || (field->text[bytes] == '_' && is_number(field->text + bytes + 1));
}

static void guess_rest(struct sb_columns *c, const struct sb_reader_options *options,
                       const struct sb_field *row, bool header)
{
    for (size_t i = 0; header && !options->label_column && i < c->count; i++)
        if (names_negative(&row[i]) && c->negative_count < SB_NEGATIVES_MAX)
            c->negatives[c->negative_count++] = i;
    for (const char *const *name = sb_score_names; header && !c->has_label && *name; name++)
        c->has_label = find_name(&c->label, *name, row, c->count);
    if (header || c->count != 3 || options->text_column || options->text_pair_column)
        return;
    char *end;
    strtod(row[2].text, &end);
    c->has_label = row[2].bytes && !*end;
    c->label = 2;
    if (!c->has_label)
        c->negatives[c->negative_count++] = 2;
}

int sb_columns_resolve_pairs(struct sb_columns *c, const struct sb_reader_options *options,
                             const struct sb_field *row, size_t count, bool header,
                             struct sb_err *err)
{
    *c = (struct sb_columns){.count = count};
    if (count < 2)
        return sb_err_set(err, SB_ERR_DATA, "a pair has two columns or more; there is only one");
    if (!header && count > 3 && !options->text_column)
        return not_clear("text_column", count, err);
    if (find_pair(c, options, row, header, err) < 0)
        return -1;
    if (options->label_column) {
        c->has_label = true;
        return find(&c->label, options->label_column, row, count, header, err);
    }
    if (options->negative_column) {
        c->negative_count = 1;
        return find(&c->negatives[0], options->negative_column, row, count, header, err);
    }
    guess_rest(c, options, row, header);
    if (c->has_label && c->negative_count)
        return sb_err_set(err, SB_ERR_DATA,
                          "there are scores ('%.60s') and negatives ('%.60s'); set label_column or "
                          "negative_column",
                          row[c->label].text, row[c->negatives[0]].text);
    return 0;
}
