/* JSON lines as tagged sentences: words and tags, or a text and the places of its entities. */
#include "sentences_inside.h"

#include "arena.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object {
    struct sb_sentences *s;
    json_t *root;
    struct sb_err *err;
};

/* The first of the keys that is there. */
static const json_t *find(const struct object *object, const char *const *keys, const char **key)
{
    for (size_t i = 0; keys[i]; i++) {
        const json_t *value = json_object_get(object->root, keys[i]);
        *key = keys[i];
        if (value && !json_is_null(value))
            return value;
    }
    *key = keys[0];
    return NULL;
}

static bool is_plain(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

/* ---- words and tags ---- */

static int add_number_tag(const struct object *object, const char *word, size_t bytes,
                          json_int_t tag)
{
    char digits[32];
    if (tag < 0)
        return sentence_trouble(object->s, object->err, "tag %" JSON_INTEGER_FORMAT " is below 0",
                                tag);
    snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, tag);
    sentence_add(object->s, word, bytes, digits);
    return 0;
}

static int add_token(const struct object *object, const json_t *token, const json_t *tag, size_t at)
{
    struct sb_sentences *s = object->s;
    if (!json_is_string(token))
        return sentence_trouble(s, object->err, "token %zu is not a text", at);
    const char *word = json_string_value(token);
    size_t bytes = json_string_length(token);
    if (json_is_integer(tag) != s->numbers)
        return sentence_trouble(s, object->err, "tag %zu is not a %s, as those before it", at,
                                s->numbers ? "number" : "text");
    if (s->numbers)
        return add_number_tag(object, word, bytes, json_integer_value(tag));
    if (!is_plain(tag))
        return sentence_trouble(s, object->err, "tag %zu is not a text", at);
    struct sb_err fault = SB_ERR_INIT;
    if (sb_tag_check(json_string_value(tag), &fault) < 0)
        return sentence_trouble(s, object->err, "%s", fault.text);
    sentence_add(s, word, bytes, json_string_value(tag));
    return 0;
}

static int from_tokens(const struct object *object, const json_t *tokens)
{
    struct sb_sentences *s = object->s;
    const char *const given[] = {s->tags_key, NULL};
    static const char *const usual[] = {"ner_tags", "tags", NULL};
    const char *key;
    const json_t *tags = find(object, s->tags_key ? given : usual, &key);
    if (!json_is_array(tags))
        return sentence_trouble(s, object->err, "'%s' is %s", key,
                                tags ? "not a list" : "missing beside the tokens");
    size_t count = json_array_size(tokens);
    if (count != json_array_size(tags))
        return sentence_trouble(s, object->err, "%zu tokens and %zu tags", count,
                                json_array_size(tags));
    if (count > SB_SENTENCE_WORDS_MAX)
        return sentence_trouble(s, object->err, "a sentence of more than %d words",
                                SB_SENTENCE_WORDS_MAX);
    s->numbers = json_is_integer(json_array_get(tags, 0));
    for (size_t i = 0; i < count; i++)
        if (add_token(object, json_array_get(tokens, i), json_array_get(tags, i), i) < 0)
            return -1;
    return 0;
}

/* ---- a text and its entities ---- */

struct span {
    size_t first, end; /* code points */
    const char *label;
};

static const json_t *either(const json_t *object, const char *key, const char *other)
{
    const json_t *value = json_object_get(object, key);
    return value ? value : json_object_get(object, other);
}

static int read_span(const struct object *object, struct span *span, const json_t *value, size_t at,
                     size_t chars)
{
    const json_t *first, *end, *label;
    if (json_is_array(value) && json_array_size(value) == 3) {
        first = json_array_get(value, 0);
        end = json_array_get(value, 1);
        label = json_array_get(value, 2);
    } else {
        first = either(value, "start", "start_offset");
        end = either(value, "end", "end_offset");
        label = either(value, "label", "type");
    }
    if (!json_is_integer(first) || !json_is_integer(end) || !is_plain(label) ||
        !json_string_length(label))
        return sentence_trouble(object->s, object->err,
                                "entity %zu is neither [start, end, label] nor an object of them",
                                at);
    json_int_t begins = json_integer_value(first), ends = json_integer_value(end);
    if (begins < 0 || ends <= begins || ends > (json_int_t)chars)
        return sentence_trouble(object->s, object->err,
                                "entity %zu goes from %" JSON_INTEGER_FORMAT
                                " to %" JSON_INTEGER_FORMAT ", in a text of %zu characters",
                                at, begins, ends, chars);
    *span = (struct span){(size_t)begins, (size_t)ends, json_string_value(label)};
    return 0;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Words and spans both go from left to right. */
static int tag_words(const struct object *object, const struct span *spans, size_t count)
{
    struct sb_sentences *s = object->s;
    size_t word = 0;
    for (size_t i = 0; i < count; i++) {
        const struct span *span = &spans[i];
        if (i && span->first < spans[i - 1].end)
            return sentence_trouble(s, object->err,
                                    "the entities at characters %zu and %zu overlap",
                                    spans[i - 1].first, span->first);
        for (; word < s->words.count && s->words.items[word].end_char <= span->first; word++)
            sentence_add_tag(s, "O", 1);
        size_t first_word = word;
        for (; word < s->words.count && s->words.items[word].first_char < span->end; word++) {
            sb_bytes_printf(&s->tag_text, "%c-%s", word == first_word ? 'B' : 'I', span->label);
            sentence_add_tag(s, "", 0);
        }
        if (word == first_word)
            return sentence_trouble(s, object->err,
                                    "the entity at character %zu has no word that is its alone",
                                    span->first);
    }
    for (; word < s->words.count; word++)
        sentence_add_tag(s, "O", 1);
    return 0;
}

static int from_spans(const struct object *object, const json_t *text)
{
    struct sb_sentences *s = object->s;
    static const char *const usual[] = {"entities", "spans", "label", "labels", NULL};
    const char *const given[] = {s->tags_key, NULL};
    const char *key;
    const json_t *list = find(object, s->tags_key ? given : usual, &key);
    if (!json_is_array(list))
        return sentence_trouble(s, object->err, "'%s' is %s", key,
                                list ? "not a list" : "missing beside the text");
    sb_bytes_append(&s->text, json_string_value(text), json_string_length(text));
    sb_words_split(&s->words, s->text.data ? s->text.data : "", s->text.count);
    if (s->words.count > SB_SENTENCE_WORDS_MAX)
        return sentence_trouble(s, object->err, "a text of more than %d words",
                                SB_SENTENCE_WORDS_MAX);
    size_t count = json_array_size(list), chars = sb_text_chars(s->text.data, s->text.count);
    struct span *spans = sb_calloc(count, sizeof(*spans));
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = read_span(object, &spans[i], json_array_get(list, i), i, chars);
    if (rc == 0) {
        qsort(spans, count, sizeof(*spans), compare_spans);
        rc = tag_words(object, spans, count);
    }
    free(spans);
    return rc;
}

int sentence_from_json(struct sb_sentences *s, struct sb_err *err)
{
    json_error_t where;
    struct object object = {.s = s, .err = err};
    object.root =
        json_loadb(s->lines.text, s->lines.bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &where);
    if (!object.root)
        return sentence_trouble(s, err, "column %d: %s", where.column, where.text);
    const char *key = s->tokens_key ? s->tokens_key : "tokens";
    const json_t *tokens = json_object_get(object.root, key);
    const json_t *text = json_object_get(object.root, "text");
    int rc;
    if (json_is_array(tokens))
        rc = from_tokens(&object, tokens);
    else if (json_is_string(text) && !tokens)
        rc = from_spans(&object, text);
    else
        rc = sentence_trouble(s, err, "there is neither a list '%s' nor a 'text'", key);
    json_decref(object.root);
    return rc;
}
