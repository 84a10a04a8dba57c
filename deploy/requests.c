#include "requests.h"

#include <inttypes.h>
#include <string.h>

static int take_string(const char **text, size_t *bytes, const json_t *object, const char *key,
                       struct sb_err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return sb_err_set(err, SB_ERR_DATA, value ? "'%s' is not a text" : "there is no '%s'", key);
    *text = json_string_value(value);
    *bytes = json_string_length(value);
    return 0;
}

static int parse_object(struct sb_requests *requests, struct sb_request *request,
                        struct sb_err *err)
{
    json_error_t trouble;
    json_decref(requests->object);
    requests->object = json_loadb(requests->lines.text, requests->lines.bytes,
                                  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &trouble);
    if (!requests->object)
        return sb_err_set(err, SB_ERR_DATA, "not JSON, although it starts with '{': %s (byte %d)",
                          trouble.text, trouble.position);
    const json_t *tokens = json_object_get(requests->object, "tokens");
    if (requests->takes_tokens && tokens) {
        request->tokens = tokens;
        return json_is_array(tokens) ? 0 : sb_err_set(err, SB_ERR_DATA, "'tokens' is not a list");
    }
    if (take_string(&request->text, &request->text_bytes, requests->object, "text", err) < 0)
        return -1;
    const json_t *pair = json_object_get(requests->object, "text_pair");
    if (!pair || json_is_null(pair))
        return 0;
    return take_string(&request->pair, &request->pair_bytes, requests->object, "text_pair", err);
}

int sb_requests_next(struct sb_requests *requests, struct sb_request *request, struct sb_err *err)
{
    struct sb_lines *lines = &requests->lines;
    memset(request, 0, sizeof(*request));
    int rc = sb_lines_next(lines, err);
    if (rc <= 0)
        return rc;
    if (lines->bytes && lines->text[0] == '{') {
        if (parse_object(requests, request, err) < 0)
            return sb_err_context(err, "%s:%" PRIu64, lines->path, lines->number);
        return 1;
    }
    request->text = lines->text;
    request->text_bytes = lines->bytes;
    return 1;
}

void sb_requests_release(struct sb_requests *requests)
{
    sb_lines_release(&requests->lines);
    json_decref(requests->object);
    requests->object = NULL;
}
