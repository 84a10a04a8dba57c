/* shardbert fill-mask: the likeliest pieces at each [MASK]. */
#include "answer.h"
#include "commands.h"
#include "fill.h"

enum { TOP_K_MAX = 1000 };

struct fill_mask {
    struct sb_answer answer;
    uint64_t top_k;
    uint32_t best[TOP_K_MAX]; /* ids, best first */
};

/*
 * Runs the sequences first .. end-1 of the pass, whose [MASK]s are the targets target ..
 * target_end-1 of the whole pass, and prints their lines.
 */
static int print_some(struct fill_mask *fill, size_t first, size_t end, size_t target,
                      size_t target_end, struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_batch *all = &fill->answer.texts.batch;
    const struct sb_bert *bert = &fill->answer.infer.bert;
    size_t V = bert->config.vocab_size, row = all->starts[first];
    size_t count = target_end - target;
    uint32_t *starts = sb_arena_array(arena, uint32_t, end - first + 1);
    uint32_t *rows = sb_arena_array(arena, uint32_t, count);
    float *logits = sb_arena_array(arena, float, count *V);
    for (size_t b = first; b <= end; b++)
        starts[b - first] = all->starts[b] - (uint32_t)row;
    for (size_t i = 0; i < count; i++)
        rows[i] = all->target_rows[target + i] - (uint32_t)row;
    struct sb_batch batch = {
        .B = end - first,
        .N = all->starts[end] - row,
        .starts = starts,
        .ids = all->ids + row,
        .types = all->types + row,
        .samples = all->samples + first,
        .target_count = count,
        .target_rows = rows,
        .target_ids = all->target_ids + target,
    };
    struct sb_outputs outputs = {.target_logits = logits};
    struct sb_stats stats = {0};
    if (count)
        sb_bert_eval(bert, &batch, arena, &outputs, &stats);

    size_t next = 0;
    for (size_t b = 0; b < batch.B; b++) {
        json_t *masks = json_array();
        for (; next < count && rows[next] < starts[b + 1]; next++)
            json_array_append_new(masks, sb_fill_describe(logits + next * V, V,
                                                          fill->answer.infer.tokenizer, fill->best,
                                                          fill->top_k));
        size_t bytes;
        const char *text = sb_answer_text(&fill->answer, first + b, &bytes);
        json_t *line = json_object();
        json_object_set_new(line, "text", json_stringn(text, bytes));
        json_object_set_new(line, "masks", masks);
        if (sb_answer_print(line, err) < 0)
            return -1;
    }
    return 0;
}

/* Cuts a pass where the logits, [targets, V] floats, would grow beyond 64 MiB. */
static int print_masks(struct sb_answer *answer, struct sb_arena *arena, struct sb_err *err)
{
    const struct sb_batch *batch = &answer->texts.batch;
    size_t most = ((size_t)64 << 20) / (answer->infer.bert.config.vocab_size * sizeof(float));
    for (size_t first = 0, target = 0; first < batch->B;) {
        size_t end = first, target_end = target;
        while (end < batch->B) {
            size_t next = target_end;
            while (next < batch->target_count && batch->target_rows[next] < batch->starts[end + 1])
                next++;
            if (end > first && next - target > most)
                break;
            target_end = next;
            end++;
        }
        sb_arena_reset(arena);
        if (print_some(answer->context, first, end, target, target_end, arena, err) < 0)
            return -1;
        first = end;
        target = target_end;
    }
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct fill_mask *fill = state->input;
    struct sb_err err = SB_ERR_INIT;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &fill->answer;
        return 0;
    case 'k':
        if (sb_cmd_number(&fill->top_k, "--top-k", argument, 1, TOP_K_MAX, &err) < 0)
            argp_error(state, "%s", err.text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int sb_cmd_fill_mask(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"top-k", 'k', "N", 0, "Proposals for each [MASK] (default: 5)", 0},
        {0},
    };
    static const struct argp_child children[] = {{&sb_answer_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "--model DIR [FILE|-]",
        .doc =
            "Propose pieces for each [MASK] in the lines of FILE or standard input.\v"
            "A line is a text, or a JSON object {\"text\": ...} if it starts with '{'. Each line "
            "in gives one line out, in order:\n"
            "{\"text\": ..., \"masks\": [[{\"token\", \"id\", \"score\"}, ...], ...]}",
        .children = children,
    };
    static struct fill_mask fill = {
        .answer = {.heads = SB_HEAD_MLM,
                   .keep_texts = true,
                   .print = print_masks,
                   .context = &fill},
        .top_k = 5,
    };
    argp_parse(&argp, argc, argv, 0, NULL, &fill);
    return sb_answer_all(&fill.answer);
}
