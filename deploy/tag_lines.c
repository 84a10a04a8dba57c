#include "tag_lines.h"

#include "commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A line that waits for its answer. */
struct line {
    size_t text_at, text_bytes, first_word, word_count;
    bool tokens; /* were given */
};

struct tagging {
    struct sb_infer infer;
    struct sb_requests requests;
    struct sb_tagger *tagger;
    struct sb_bytes text; /* of all lines that wait */
    struct sb_words words, one;
    struct line *lines;
    size_t line_count, line_capacity;
};

/* ---- in ---- */

/* Words that were given: the text is what they are with one space between them. */
static int take_tokens(struct tagging *t, const json_t *tokens, struct sb_err *err)
{
    size_t at = t->text.count, chars = 0;
    t->one.count = 0;
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        if (!json_is_string(token))
            return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": token %zu is not a text",
                              t->requests.lines.path, t->requests.lines.number, i);
        size_t bytes = json_string_length(token);
        if (i) {
            sb_bytes_append(&t->text, " ", 1);
            chars++;
        }
        struct sb_word word = {.first = t->text.count - at, .first_char = chars};
        sb_bytes_append(&t->text, json_string_value(token), bytes);
        chars += sb_text_chars(json_string_value(token), bytes);
        word.end = t->text.count - at;
        word.end_char = chars;
        sb_words_add(&t->one, word);
    }
    return 0;
}

static int add_line(struct tagging *t, const struct sb_request *request, struct sb_err *err)
{
    struct line line = {
        .text_at = t->text.count, .first_word = t->words.count, .tokens = request->tokens != NULL};
    if (request->tokens) {
        if (take_tokens(t, request->tokens, err) < 0)
            return -1;
    } else {
        sb_bytes_append(&t->text, request->text, request->text_bytes);
        sb_words_split(&t->one, request->text, request->text_bytes);
    }
    line.text_bytes = t->text.count - line.text_at;
    line.word_count = t->one.count;
    for (size_t i = 0; i < t->one.count; i++)
        sb_words_add(&t->words, t->one.items[i]);
    if (t->line_count == t->line_capacity) {
        t->line_capacity = t->line_capacity ? 2 * t->line_capacity : 64;
        t->lines = sb_realloc(t->lines, t->line_capacity * sizeof(*t->lines));
    }
    t->lines[t->line_count++] = line;
    sb_tagger_add(t->tagger, t->text.data ? t->text.data + line.text_at : "", t->one.items,
                  t->one.count);
    return 0;
}

/* ---- out ---- */

static json_t *slice(const struct tagging *t, const struct line *line, size_t first, size_t end)
{
    const char *text = t->text.data ? t->text.data + line->text_at : "";
    return json_stringn(text + first, end - first);
}

/* The bytes of code points first to end of the line. */
static json_t *slice_chars(const struct tagging *t, const struct line *line, size_t first,
                           size_t end)
{
    const char *text = t->text.data ? t->text.data + line->text_at : "";
    size_t at = 0, chars = 0, begin = line->text_bytes;
    for (; at < line->text_bytes; at++) {
        if (((unsigned char)text[at] & 0xc0) == 0x80)
            continue;
        if (chars == first)
            begin = at;
        if (chars++ == end)
            break;
    }
    return json_stringn(text + begin, at > begin ? at - begin : 0);
}

static json_t *describe_entity(const struct tagging *t, const struct line *line,
                               const struct sb_tagged_entity *entity)
{
    json_t *out = json_object();
    bool tokens = line->tokens;
    json_object_set_new(out, "type", json_string(entity->type));
    json_object_set_new(out, "start", json_integer(tokens ? entity->first : entity->first_char));
    json_object_set_new(out, "end", json_integer(tokens ? entity->end : entity->end_char));
    json_object_set_new(out, "score", sb_answer_number(entity->score));
    const struct sb_word *words = t->words.items + line->first_word;
    json_object_set_new(out, "text",
                        tokens
                            ? slice(t, line, words[entity->first].first, words[entity->end - 1].end)
                            : slice_chars(t, line, entity->first_char, entity->end_char));
    return out;
}

static json_t *describe(const struct tagging *t, const struct line *line,
                        const struct sb_tagged *tagged)
{
    const struct sb_word *words = t->words.items + line->first_word;
    json_t *out = json_object(), *tokens = json_array(), *tags = json_array(),
           *entities = json_array();
    for (size_t i = 0; i < tagged->word_count; i++) {
        json_array_append_new(tokens, slice(t, line, words[i].first, words[i].end));
        json_array_append_new(tags, json_string(t->infer.bert.config.labels[tagged->tags[i]]));
    }
    for (size_t i = 0; i < tagged->entity_count; i++)
        json_array_append_new(entities, describe_entity(t, line, &tagged->entities[i]));
    json_object_set_new(out, "tokens", tokens);
    json_object_set_new(out, "tags", tags);
    json_object_set_new(out, "entities", entities);
    return out;
}

static int answer_lines(struct tagging *t, struct sb_err *err)
{
    int rc = sb_tagger_run(t->tagger, err);
    for (size_t i = 0; rc == 0 && i < t->line_count; i++) {
        struct sb_tagged tagged;
        sb_tagger_answer(t->tagger, i, &tagged);
        rc = sb_answer_print(describe(t, &t->lines[i], &tagged), err);
    }
    sb_tagger_clear(t->tagger);
    sb_bytes_clear(&t->text);
    t->words.count = 0;
    t->line_count = 0;
    return rc;
}

/* ---- all of it ---- */

static int tag_all(struct tagging *t, struct sb_err *err)
{
    struct sb_request request;
    int rc;
    while ((rc = sb_requests_next(&t->requests, &request, err)) == 1) {
        rc = add_line(t, &request, err);
        if (rc < 0)
            break;
        if ((sb_tagger_full(t->tagger) || t->text.count >= SB_MAX_LINE_BYTES) &&
            answer_lines(t, err) < 0)
            return -1;
    }
    /* What came before a bad request is still answered. */
    struct sb_err later = SB_ERR_INIT;
    return answer_lines(t, rc < 0 ? &later : err) < 0 ? -1 : rc;
}

static void report(const struct tagging *t)
{
    uint64_t cut = sb_tagger_cut_count(t->tagger);
    if (cut)
        fprintf(stderr, "shardbert: %" PRIu64 " words were cut to fit a window\n", cut);
    if (t->requests.lines.replaced)
        fprintf(stderr, "shardbert: %" PRIu64 " broken bytes were replaced by U+FFFD\n",
                t->requests.lines.replaced);
}

int sb_tag_lines(const struct sb_answer *answer, const struct sb_tagger_options *options)
{
    struct sb_err err = SB_ERR_INIT;
    struct tagging t = {.requests = SB_REQUESTS_INIT};
    int rc = -1;
    t.requests.takes_tokens = true;
    if (sb_lines_open(&t.requests.lines, answer->file ? answer->file : "-", answer->lenient, &err) <
            0 ||
        sb_infer_open(&t.infer, answer->model, SB_HEAD_TOKENS, answer->thread_count, &err) < 0)
        goto done;
    t.tagger = sb_tagger_new(&t.infer, options);
    rc = tag_all(&t, &err);
    if (rc == 0)
        rc = sb_cmd_finish_output(&err);
    report(&t);
done:
    sb_tagger_free(&t.tagger);
    sb_requests_release(&t.requests);
    sb_infer_release(&t.infer);
    sb_bytes_release(&t.text);
    sb_words_release(&t.words);
    sb_words_release(&t.one);
    free(t.lines);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
