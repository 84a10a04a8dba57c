#include "probe.h"

#include "fill.h"

#include <stdlib.h>
#include <string.h>

/* ---- one sentence ---- */

static size_t count_masks(const struct sb_encoding *encoding, int32_t mask)
{
    size_t count = 0;
    for (size_t i = 0; i < encoding->count; i++)
        count += encoding->ids[i] == mask;
    return count;
}

int sb_probe_check(const struct sb_task *task, struct sb_err *err)
{
    const struct sb_list *sentences = &task->job->probe_sentences;
    struct sb_specials specials = sb_wordpiece_specials(task->tokenizer);
    struct sb_encoding encoding = {0};
    int rc = 0;
    if (sentences->count > SB_PROBE_SENTENCES_MAX)
        rc = sb_err_set(err, SB_ERR_CONFIG, "probe_sentences has %zu sentences; at most %d",
                        sentences->count, SB_PROBE_SENTENCES_MAX);
    for (size_t i = 0; rc == 0 && i < sentences->count; i++) {
        const char *text = sentences->items[i];
        if (sb_utf8_check(text, strlen(text)) >= 0) {
            rc =
                sb_err_set(err, SB_ERR_CONFIG, "probe_sentences: sentence %zu is not UTF-8", i + 1);
            break;
        }
        sb_wordpiece_encode(task->tokenizer, text, strlen(text), &encoding);
        if (!count_masks(&encoding, specials.mask))
            rc = sb_err_set(err, SB_ERR_CONFIG, "probe_sentences: there is no %s in '%.80s'",
                            sb_wordpiece_text(task->tokenizer, specials.mask), text);
        else if (encoding.count + 2 > task->bert.config.max_positions)
            rc = sb_err_set(err, SB_ERR_CONFIG,
                            "probe_sentences: '%.80s' has %zu tokens; the model takes %zu", text,
                            encoding.count + 2, task->bert.config.max_positions);
    }
    sb_encoding_release(&encoding);
    return rc < 0 ? sb_job_place(task->job, "probe_sentences", err) : 0;
}

/* [CLS] sentence [SEP] through the model: the proposals for each [MASK]. */
static json_t *ask(struct sb_task *task, const char *text, struct sb_encoding *encoding)
{
    struct sb_specials specials = sb_wordpiece_specials(task->tokenizer);
    struct sb_arena *arena = &task->pass_arena;
    sb_arena_reset(arena);
    sb_wordpiece_encode(task->tokenizer, text, strlen(text), encoding);

    size_t N = encoding->count + 2, V = task->bert.config.vocab_size, count = 0;
    int32_t *ids = sb_arena_array(arena, int32_t, N);
    uint8_t *types = memset(sb_arena_take(arena, N), 0, N);
    uint32_t *rows = sb_arena_array(arena, uint32_t, N);
    ids[0] = specials.cls;
    memcpy(ids + 1, encoding->ids, encoding->count * sizeof(*ids));
    ids[N - 1] = specials.sep;
    for (size_t row = 0; row < N; row++)
        if (ids[row] == specials.mask)
            rows[count++] = (uint32_t)row;

    const uint32_t starts[] = {0, (uint32_t)N};
    const uint64_t sample = 0;
    struct sb_batch batch = {.B = 1,
                             .N = N,
                             .starts = starts,
                             .ids = ids,
                             .types = types,
                             .samples = &sample,
                             .target_count = count,
                             .target_rows = rows,
                             .target_ids = sb_arena_array(arena, int32_t, count)};
    memset((int32_t *)(uintptr_t)batch.target_ids, 0, count * sizeof(*batch.target_ids));
    struct sb_outputs outputs = {.target_logits = sb_arena_array(arena, float, count *V)};
    struct sb_stats stats = {0};
    sb_bert_eval(&task->bert, &batch, arena, &outputs, &stats);

    uint32_t best[SB_PROBE_WORDS];
    json_t *masks = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(masks, sb_fill_describe(outputs.target_logits + i * V, V,
                                                      task->tokenizer, best, SB_PROBE_WORDS));
    return masks;
}

/* ---- all of them ---- */

void sb_probe_ask(json_t *sentences, struct sb_task *task, const char *when)
{
    struct sb_encoding encoding = {0};
    for (size_t i = 0; i < json_array_size(sentences); i++) {
        json_t *sentence = json_array_get(sentences, i);
        json_object_set_new(sentence, when,
                            ask(task, task->job->probe_sentences.items[i], &encoding));
    }
    sb_encoding_release(&encoding);
}

json_t *sb_probe_sentences(const struct sb_task *task)
{
    json_t *sentences = json_array();
    for (size_t i = 0; i < task->job->probe_sentences.count; i++) {
        json_t *sentence = json_object();
        json_object_set_new(sentence, "text", json_string(task->job->probe_sentences.items[i]));
        json_array_append_new(sentences, sentence);
    }
    return sentences;
}
