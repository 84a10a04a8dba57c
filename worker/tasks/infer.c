#include "infer.h"

#include "config.h"
#include "file.h"
#include "model_files.h"
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

static const char *head_use(unsigned heads)
{
    if (heads & (SB_HEAD_CLASSIFY | SB_HEAD_TOKENS))
        return "classifier";
    return heads & SB_HEAD_MLM ? "masked-language-model head" : "pooler";
}

static int load(struct sb_infer *infer, const char *folder, unsigned heads, struct sb_err *err)
{
    struct sb_bert *bert = &infer->bert;
    struct sb_load_report report = {0};
    if ((heads & (SB_HEAD_CLASSIFY | SB_HEAD_TOKENS)) && !bert->config.label_count)
        return sb_err_set(err, SB_ERR_DATA,
                          "model '%s' has no classifier: its config names no labels", folder);
    sb_params_init(&bert->params, &bert->config, heads);
    infer->weights = sb_alloc_pages(bert->params.float_count * sizeof(float));
    bert->weights = infer->weights;
    if (sb_model_read(infer->weights, &bert->params, &bert->config, folder, 0, &report, err) < 0)
        return -1;
    /* A head made up from a seed is right for training and never for an answer. */
    int rc = 0;
    if (report.created && (heads & SB_HEAD_CLASSIFY) && bert->config.label_count &&
        strcmp(report.created_names[0], "bert.pooler.dense.weight") == 0)
        rc = sb_err_set(err, SB_ERR_DATA,
                        "model '%s' has no classifier of texts, which needs a pooler; does it tag "
                        "words (--task ner)?",
                        folder);
    else if (report.created)
        rc = sb_err_set(err, SB_ERR_DATA, "model '%s' has no %s: tensor '%s' is missing", folder,
                        head_use(heads), report.created_names[0]);
    sb_load_report_release(&report);
    return rc;
}

int sb_infer_open(struct sb_infer *infer, const char *folder, unsigned heads, size_t thread_count,
                  struct sb_err *err)
{
    memset(infer, 0, sizeof(*infer));
    if (!sb_dir_exists(folder))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no model folder '%s'" SB_NO_HUB_HINT,
                          folder);
    if (sb_config_read(&infer->bert.config, folder, err) < 0)
        return -1;
    if (infer->bert.config.max_positions < 4)
        return sb_err_set(err, SB_ERR_DATA, "model '%s' has room for %zu tokens only", folder,
                          infer->bert.config.max_positions);
    if (load(infer, folder, heads, err) < 0 ||
        sb_wordpiece_open_folder(&infer->tokenizer, folder, err) < 0)
        return -1;
    size_t pieces = sb_wordpiece_count(infer->tokenizer);
    if (pieces > infer->bert.config.vocab_size)
        return sb_err_set(err, SB_ERR_DATA,
                          "model '%s' embeds %zu pieces, and its vocabulary has %zu", folder,
                          infer->bert.config.vocab_size, pieces);
    infer->pool = sb_pool_new(thread_count);
    infer->bert.pool = infer->pool;
    return 0;
}

void sb_infer_release(struct sb_infer *infer)
{
    sb_pool_free(&infer->pool);
    sb_wordpiece_free(&infer->tokenizer);
    if (infer->weights) {
        sb_free_pages(infer->weights, infer->bert.params.float_count * sizeof(float));
        sb_params_release(&infer->bert.params);
    }
    sb_bert_config_release(&infer->bert.config);
    memset(infer, 0, sizeof(*infer));
}

void sb_texts_init(struct sb_texts *texts, const struct sb_infer *infer, size_t max_length)
{
    size_t positions = infer->bert.config.max_positions;
    memset(texts, 0, sizeof(*texts));
    texts->infer = infer;
    texts->max_length = max_length && max_length < positions ? max_length : positions;
    texts->pass_tokens =
        texts->max_length > SB_INFER_PASS_TOKENS ? texts->max_length : SB_INFER_PASS_TOKENS;

    /* A text has two tokens at least: [CLS] and [SEP]. */
    size_t sequences = texts->pass_tokens / 2;
    texts->starts = sb_calloc(sequences + 1, sizeof(*texts->starts));
    texts->samples = sb_calloc(sequences, sizeof(*texts->samples));
    texts->ids = sb_calloc(texts->pass_tokens, sizeof(*texts->ids));
    texts->types = sb_calloc(texts->pass_tokens, sizeof(*texts->types));
    texts->target_rows = sb_calloc(texts->pass_tokens, sizeof(*texts->target_rows));
    texts->target_ids = sb_calloc(texts->pass_tokens, sizeof(*texts->target_ids));
    texts->batch = (struct sb_batch){
        .starts = texts->starts,
        .ids = texts->ids,
        .types = texts->types,
        .samples = texts->samples,
        .target_rows = texts->target_rows,
        .target_ids = texts->target_ids,
    };
}

void sb_texts_release(struct sb_texts *texts)
{
    free(texts->starts);
    free(texts->samples);
    free(texts->ids);
    free(texts->types);
    free(texts->target_rows);
    free(texts->target_ids);
    sb_encoding_release(&texts->first);
    sb_encoding_release(&texts->second);
    memset(texts, 0, sizeof(*texts));
}

void sb_texts_clear(struct sb_texts *texts)
{
    texts->batch.B = 0;
    texts->batch.N = 0;
    texts->batch.target_count = 0;
}

bool sb_texts_full(const struct sb_texts *texts)
{
    return texts->batch.N + texts->max_length > texts->pass_tokens;
}

static void put(struct sb_texts *texts, int32_t id, uint8_t type)
{
    struct sb_batch *batch = &texts->batch;
    if (id == sb_wordpiece_specials(texts->infer->tokenizer).mask) {
        texts->target_rows[batch->target_count] = (uint32_t)batch->N;
        texts->target_ids[batch->target_count++] = id;
    }
    texts->ids[batch->N] = id;
    texts->types[batch->N++] = texts->infer->bert.config.type_count > 1 ? type : 0;
}

void sb_texts_add(struct sb_texts *texts, const char *text, size_t text_bytes, const char *pair,
                  size_t pair_bytes)
{
    struct sb_batch *batch = &texts->batch;
    struct sb_specials specials = sb_wordpiece_specials(texts->infer->tokenizer);
    sb_assert(!sb_texts_full(texts));

    sb_wordpiece_encode(texts->infer->tokenizer, text, text_bytes, &texts->first);
    texts->second.count = 0;
    if (pair)
        sb_wordpiece_encode(texts->infer->tokenizer, pair, pair_bytes, &texts->second);
    size_t first = texts->first.count, second = texts->second.count;
    size_t room = texts->max_length - (pair ? 3 : 2);
    sb_cut_pair(&first, &second, room);
    if (first + second < texts->first.count + texts->second.count)
        texts->truncated_count++;

    put(texts, specials.cls, 0);
    for (size_t i = 0; i < first; i++)
        put(texts, texts->first.ids[i], 0);
    put(texts, specials.sep, 0);
    for (size_t i = 0; i < second; i++)
        put(texts, texts->second.ids[i], 1);
    if (pair)
        put(texts, specials.sep, 1);

    texts->samples[batch->B++] = texts->text_count++;
    texts->starts[batch->B] = (uint32_t)batch->N;
}
