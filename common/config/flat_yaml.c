#include "flat_yaml.h"

#include "arena.h"
#include "bytes.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct fy_event *event; /* the event at hand; NULL at the end or after an error */
    const char *name;
    bool has_lines;    /* name is a file, so that line and column mean something */
    bool takes_maps;   /* an item of a list may be a mapping */
    bool at_is_hidden; /* see hide_at */
    struct sb_err *err;
};

/*
 * YAML keeps @ for later and refuses it in front of a plain value.  So it is read as a character of
 * the private use area, and is put back in every text: no line and no column moves.  A text that
 * has that character itself is read as it is.
 */
static const char AT_STAND_IN[] = "\xee\x80\x80"; /* U+E000 */
enum { AT_BYTES = sizeof(AT_STAND_IN) - 1 };

static bool hide_at(struct sb_bytes *out, const char *text, size_t bytes)
{
    if (!memchr(text, '@', bytes) || memmem(text, bytes, AT_STAND_IN, AT_BYTES))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        bool is_at = text[i] == '@';
        sb_bytes_append(out, is_at ? AT_STAND_IN : text + i, is_at ? AT_BYTES : 1);
    }
    return true;
}

static void show_at(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        bool is_at = !strncmp(from, AT_STAND_IN, AT_BYTES);
        *to++ = is_at ? '@' : *from;
        from += is_at ? AT_BYTES : 1;
    }
    *to = 0;
}

static void entry_release(struct sb_flat_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        free(entry->items[i].text);
        if (entry->items[i].map)
            sb_flat_release(entry->items[i].map);
        free(entry->items[i].map);
    }
    free(entry->items);
    free(entry->key);
}

void sb_flat_release(struct sb_flat *flat)
{
    for (size_t i = 0; i < flat->count; i++)
        entry_release(&flat->entries[i]);
    free(flat->entries);
    *flat = (struct sb_flat)SB_FLAT_INIT;
}

static int trouble(struct reader *reader, struct sb_flat_mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int trouble(struct reader *reader, struct sb_flat_mark mark, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    sb_err_set(reader->err, SB_ERR_CONFIG, "%s", sentence);
    if (reader->has_lines)
        return sb_err_context(reader->err, "%s:%u:%u", reader->name, mark.line, mark.column);
    return sb_err_context(reader->err, "%s", reader->name);
}

static struct sb_flat_mark mark_of(struct fy_event *event, struct sb_flat_mark otherwise)
{
    const struct fy_mark *mark = event ? fy_event_start_mark(event) : NULL;
    if (!mark || mark->line < 0)
        return otherwise;
    return (struct sb_flat_mark){(uint32_t)mark->line + 1, (uint32_t)mark->column + 1};
}

/* libfyaml's own complaint; its lines and columns already count from 1. */
static int syntax_trouble(struct reader *reader)
{
    void *walk = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(reader->diag, &walk);
    if (!first || !first->msg)
        return trouble(reader, (struct sb_flat_mark){1, 1}, "not YAML");
    struct sb_flat_mark mark = {first->line > 0 ? (uint32_t)first->line : 1,
                                first->column > 0 ? (uint32_t)first->column : 1};
    return trouble(reader, mark, "not YAML: %.*s", (int)strcspn(first->msg, "\n"), first->msg);
}

static int next(struct reader *reader)
{
    if (reader->event)
        fy_parser_event_free(reader->parser, reader->event);
    reader->event = fy_parser_parse(reader->parser);
    if (!reader->event && fy_diag_got_error(reader->diag))
        return syntax_trouble(reader);
    if (!reader->event)
        return trouble(reader, (struct sb_flat_mark){1, 1}, "ends too early");
    return 0;
}

/* libfyaml marks the first letter; a person looks for the quote or sign in front of it. */
static struct sb_flat_mark before(struct sb_flat_mark mark)
{
    mark.column -= mark.column > 1;
    return mark;
}

/* The scalar at hand as a text of our own. */
static int take_scalar(struct reader *reader, struct sb_flat_item *item)
{
    struct fy_event *event = reader->event;
    if (event->scalar.tag)
        return trouble(reader, item->mark, "tags (like !!str) have no meaning here");
    if (event->scalar.anchor)
        return trouble(reader, item->mark, "anchors (&name) have no meaning here");
    struct fy_token *token = event->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    item->plain = style == FYSS_PLAIN;
    if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
        item->mark = before(item->mark);
    size_t bytes = 0;
    const char *text = token ? fy_token_get_text(token, &bytes) : "";
    if (!text || memchr(text, 0, bytes))
        return trouble(reader, item->mark, "a zero byte cannot be part of a value");
    item->text = sb_alloc(bytes + 1);
    memcpy(item->text, text, bytes);
    item->text[bytes] = 0;
    if (reader->at_is_hidden)
        show_at(item->text);
    return 0;
}

static int take_map(struct reader *reader, struct sb_flat *flat);

static int add_item(struct reader *reader, struct sb_flat_entry *entry)
{
    struct sb_flat_mark mark = mark_of(reader->event, entry->mark);
    struct sb_flat_item item = {.mark = mark};
    if (reader->event->type == FYET_ALIAS)
        return trouble(
            reader, before(mark),
            "aliases (*name) have no meaning here; a text that begins with * needs quotes");
    bool is_map = reader->event->type == FYET_MAPPING_START && entry->is_list && reader->takes_maps;
    if (reader->event->type == FYET_MAPPING_START && !is_map && entry->key &&
        !strcmp(entry->key, "stages"))
        return trouble(reader, mark, "a pipeline has stages: `shardbert run` takes it");
    if (reader->event->type != FYET_SCALAR && !is_map)
        return trouble(reader, mark, "nested values have no meaning here");
    if (is_map)
        item.map = sb_calloc(1, sizeof(*item.map));
    else if (take_scalar(reader, &item) < 0)
        return -1;
    entry->items = sb_realloc(entry->items, (entry->count + 1) * sizeof(*entry->items));
    entry->items[entry->count++] = item;
    return is_map ? take_map(reader, item.map) : 0;
}

/* The value that starts with the event at hand; leaves its last event at hand. */
static int take_value(struct reader *reader, struct sb_flat_entry *entry)
{
    entry->mark = mark_of(reader->event, entry->key_mark);
    if (reader->event->type != FYET_SEQUENCE_START)
        return add_item(reader, entry);
    entry->is_list = true;
    for (;;) {
        if (next(reader) < 0)
            return -1;
        if (reader->event->type == FYET_SEQUENCE_END)
            return 0;
        if (add_item(reader, entry) < 0)
            return -1;
    }
}

static struct sb_flat_entry *add_entry(struct sb_flat *flat)
{
    flat->entries = sb_realloc(flat->entries, (flat->count + 1) * sizeof(*flat->entries));
    flat->entries[flat->count] = (struct sb_flat_entry){.key_mark = {1, 1}};
    return &flat->entries[flat->count++];
}

static int take_pair(struct reader *reader, struct sb_flat *flat)
{
    struct sb_flat_item key = {.mark = mark_of(reader->event, (struct sb_flat_mark){1, 1})};
    if (reader->event->type != FYET_SCALAR)
        return trouble(reader, key.mark, "a key is a plain name");
    if (take_scalar(reader, &key) < 0)
        return -1;
    for (size_t i = 0; i < flat->count; i++) {
        const struct sb_flat_entry *other = &flat->entries[i];
        if (!strcmp(other->key, key.text)) {
            trouble(reader, key.mark, "'%s' is set again; first in line %u", key.text,
                    other->key_mark.line);
            free(key.text);
            return -1;
        }
    }
    struct sb_flat_entry *entry = add_entry(flat);
    entry->key = key.text;
    entry->key_mark = key.mark;
    if (next(reader) < 0)
        return -1;
    return take_value(reader, entry);
}

/* The pairs of the mapping whose start is at hand; leaves its end at hand. */
static int take_pairs(struct reader *reader, struct sb_flat *flat)
{
    for (;;) {
        if (next(reader) < 0)
            return -1;
        if (reader->event->type == FYET_MAPPING_END)
            return 0;
        if (take_pair(reader, flat) < 0)
            return -1;
    }
}

/* A mapping in a list: in it nothing is nested any more. */
static int take_map(struct reader *reader, struct sb_flat *flat)
{
    reader->takes_maps = false;
    int rc = take_pairs(reader, flat);
    reader->takes_maps = true;
    return rc;
}

/* Moves on to the first event of the document; 0 if there is none, for an empty text. */
static int enter(struct reader *reader)
{
    if (next(reader) < 0 || next(reader) < 0)
        return -1;
    if (reader->event->type != FYET_DOCUMENT_START)
        return 0;
    return next(reader) < 0 ? -1 : 1;
}

static int leave(struct reader *reader)
{
    if (next(reader) < 0 || next(reader) < 0)
        return -1;
    if (reader->event->type != FYET_STREAM_END)
        return trouble(reader, mark_of(reader->event, (struct sb_flat_mark){1, 1}),
                       "there is a second document");
    return 0;
}

static int read_file(struct reader *reader, struct sb_flat *flat)
{
    int entered = enter(reader);
    if (entered < 0)
        return -1;
    struct sb_flat_mark mark = mark_of(reader->event, (struct sb_flat_mark){1, 1});
    if (entered == 0 || (reader->event->type == FYET_SCALAR && !reader->event->scalar.value))
        return trouble(reader, (struct sb_flat_mark){1, 1}, "holds no settings");
    if (reader->event->type != FYET_MAPPING_START)
        return trouble(reader, mark, "not a list of 'key: value' lines");
    return take_pairs(reader, flat) < 0 ? -1 : leave(reader);
}

static int read_value(struct reader *reader, struct sb_flat *flat)
{
    struct sb_flat_entry *entry = add_entry(flat);
    int entered = enter(reader);
    if (entered < 0)
        return -1;
    if (entered == 0)
        return trouble(reader, entry->key_mark, "has no value");
    return take_value(reader, entry) < 0 ? -1 : leave(reader);
}

static int with_parser(struct reader *reader, struct sb_flat *flat, const char *text, size_t bytes,
                       int (*read)(struct reader *, struct sb_flat *))
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.colorize = false;
    reader->diag = fy_diag_create(&diag_cfg);
    sb_assert(reader->diag);
    fy_diag_set_collect_errors(reader->diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
                               .diag = reader->diag};
    reader->parser = fy_parser_create(&cfg);
    sb_assert(reader->parser);
    int rc = -1;
    struct sb_bytes hidden = SB_BYTES_INIT;
    reader->at_is_hidden = hide_at(&hidden, text, bytes);
    if (reader->at_is_hidden) {
        text = hidden.data;
        bytes = hidden.count;
    }
    if (fy_parser_set_string(reader->parser, text, bytes) == 0)
        rc = read(reader, flat);
    else
        syntax_trouble(reader);
    if (reader->event)
        fy_parser_event_free(reader->parser, reader->event);
    fy_parser_destroy(reader->parser);
    fy_diag_destroy(reader->diag);
    sb_bytes_release(&hidden);
    return rc;
}

/* Bytes of the UTF-8 character at p (RFC 3629: shortest form, no surrogates), or 0 if it is none.
 */
static size_t character_bytes(const unsigned char *p, size_t bytes)
{
    if (p[0] < 0x80)
        return 1;
    size_t need = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
                  : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 0;
    if (!need || need > bytes)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                 (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return wrong ? 0 : need;
}

/* libfyaml ends a value silently where the bytes are broken, so they are checked before. */
static int check_bytes(struct reader *reader, const char *text, size_t bytes)
{
    struct sb_flat_mark mark = {1, 1};
    for (size_t i = 0; i < bytes;) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t character = character_bytes(p, bytes - i);
        if (!character || !*p)
            return trouble(reader, mark, "not UTF-8 text: byte %02x", *p);
        mark.column = *p == '\n' ? 1 : mark.column + 1;
        mark.line += *p == '\n';
        i += character;
    }
    return 0;
}

static int read_text(struct sb_flat *flat, const char *text, size_t bytes, struct reader *reader)
{
    /* libfyaml takes a length of 0 for "up to the zero byte", which an empty text may not have. */
    if (bytes == 0)
        return trouble(reader, (struct sb_flat_mark){1, 1}, "holds no settings");
    if (check_bytes(reader, text, bytes) < 0)
        return -1;
    return with_parser(reader, flat, text, bytes, read_file);
}

int sb_flat_read(struct sb_flat *flat, const char *text, size_t bytes, const char *name,
                 struct sb_err *err)
{
    struct reader reader = {.name = name, .has_lines = true, .err = err};
    return read_text(flat, text, bytes, &reader);
}

int sb_flat_read_stages(struct sb_flat *flat, const char *text, size_t bytes, const char *name,
                        struct sb_err *err)
{
    struct reader reader = {.name = name, .has_lines = true, .takes_maps = true, .err = err};
    return read_text(flat, text, bytes, &reader);
}

int sb_flat_read_value(struct sb_flat *flat, const char *text, const char *name, struct sb_err *err)
{
    struct reader reader = {.name = name, .err = err};
    if (!*text)
        return trouble(&reader, (struct sb_flat_mark){1, 1}, "has no value");
    if (check_bytes(&reader, text, strlen(text)) < 0)
        return -1;
    return with_parser(&reader, flat, text, strlen(text), read_value);
}
