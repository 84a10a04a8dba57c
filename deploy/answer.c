#include "answer.h"

#include "commands.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX_BYTES = SB_MAX_LINE_BYTES };

static const struct argp_option OPTIONS[] = {
    {"model", 'm', "DIR", 0, "Model folder", 0},
    {"threads", 't', "N", 0, "Compute threads (default: the usable cores)", 0},
    {"max-length", 'l', "N", 0, "Most tokens of a text (default: the positions of the model)", 0},
    {"lenient", 'L', NULL, 0, "Replace broken UTF-8 instead of stopping", 0},
    {0},
};

static void parse_number(uint64_t *value, const char *option, const char *text, uint64_t min,
                         uint64_t max, struct argp_state *state)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_cmd_number(value, option, text, min, max, &err) < 0)
        argp_error(state, "%s", err.text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct sb_answer *answer = state->input;
    switch (key) {
    case 'm':
        answer->model = argument;
        return 0;
    case 't':
        parse_number(&answer->thread_count, "--threads", argument, 1, 1024, state);
        return 0;
    case 'l':
        parse_number(&answer->max_length, "--max-length", argument, 4, 65536, state);
        return 0;
    case 'L':
        answer->lenient = true;
        return 0;
    case ARGP_KEY_ARG:
        if (answer->file)
            argp_error(state, "one file at most, not '%s' as well", argument);
        answer->file = argument;
        return 0;
    case ARGP_KEY_END:
        if (!answer->model)
            argp_error(state, "--model is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp sb_answer_argp = {.options = OPTIONS, .parser = parse_option};

const char *sb_answer_text(const struct sb_answer *answer, size_t b, size_t *bytes)
{
    size_t begin = b ? answer->kept_ends[b - 1] : 0;
    *bytes = answer->kept_ends[b] - begin;
    return answer->kept.data ? answer->kept.data + begin : "";
}

json_t *sb_answer_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int sb_answer_print(json_t *object, struct sb_err *err)
{
    int rc = json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
    json_decref(object);
    if (rc < 0 || putchar('\n') == EOF)
        return sb_err_set_errno(err, SB_ERR_IO, "cannot write to standard output");
    return 0;
}

static int run_pass(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err)
{
    sb_arena_reset(arena);
    int rc = answer->texts.batch.B ? answer->print(answer, arena, err) : 0;
    sb_texts_clear(&answer->texts);
    sb_bytes_clear(&answer->kept);
    return rc;
}

static void add_request(struct sb_answer *answer, const struct sb_request *request)
{
    if (answer->keep_texts) {
        sb_bytes_append(&answer->kept, request->text, request->text_bytes);
        answer->kept_ends[answer->texts.batch.B] = answer->kept.count;
    }
    sb_texts_add(&answer->texts, request->text, request->text_bytes, request->pair,
                 request->pair_bytes);
}

static int answer_requests(struct sb_answer *answer, struct sb_requests *requests,
                           struct sb_err *err)
{
    struct sb_arena arena = SB_ARENA_INIT;
    struct sb_request request;
    int rc;
    while ((rc = sb_requests_next(requests, &request, err)) == 1) {
        add_request(answer, &request);
        if ((sb_texts_full(&answer->texts) || answer->kept.count >= KEPT_MAX_BYTES) &&
            run_pass(answer, &arena, err) < 0) {
            sb_arena_release(&arena);
            return -1;
        }
    }
    /* What came before a bad request is still answered. */
    struct sb_err later = SB_ERR_INIT;
    if (run_pass(answer, &arena, rc < 0 ? &later : err) < 0)
        rc = -1;
    sb_arena_release(&arena);
    return rc;
}

static void report(const struct sb_answer *answer, const struct sb_requests *requests)
{
    if (answer->texts.truncated_count)
        fprintf(stderr, "shardbert: %" PRIu64 " of %" PRIu64 " texts were cut to %zu tokens\n",
                answer->texts.truncated_count, answer->texts.text_count, answer->texts.max_length);
    if (requests->lines.replaced)
        fprintf(stderr, "shardbert: %" PRIu64 " broken bytes were replaced by U+FFFD\n",
                requests->lines.replaced);
}

int sb_answer_all(struct sb_answer *answer)
{
    struct sb_err err = SB_ERR_INIT;
    struct sb_requests requests = SB_REQUESTS_INIT;
    const char *file = answer->file ? answer->file : "-";
    int rc = -1;
    if (sb_lines_open(&requests.lines, file, answer->lenient, &err) < 0 ||
        sb_infer_open(&answer->infer, answer->model, answer->heads, answer->thread_count, &err) < 0)
        goto done;
    sb_texts_init(&answer->texts, &answer->infer, answer->max_length);
    answer->kept_ends = sb_calloc(answer->texts.pass_tokens / 2, sizeof(*answer->kept_ends));
    rc = answer_requests(answer, &requests, &err);
    if (rc == 0)
        rc = sb_cmd_finish_output(&err);
    report(answer, &requests);
done:
    sb_requests_release(&requests);
    sb_texts_release(&answer->texts);
    sb_infer_release(&answer->infer);
    sb_bytes_release(&answer->kept);
    free(answer->kept_ends);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
