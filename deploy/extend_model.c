#include "extend_model.h"

#include "arena.h"
#include "config.h"
#include "file.h"
#include "grow.h"
#include "model_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN_WORDS = 10 };

struct model {
    struct sb_bert_config config;
    struct sb_params params;
    float *weights;
    bool described; /* config and params are there to be released */
};

static void release(struct model *model)
{
    if (!model->described)
        return;
    free(model->weights);
    sb_params_release(&model->params);
    sb_bert_config_release(&model->config);
}

static bool has_tensor(const struct sb_safetensors *file, const char *part)
{
    for (size_t i = 0; i < file->count; i++)
        if (strstr(file->tensors[i].name, part))
            return true;
    return false;
}

/* The heads (enum sb_head, or-ed) that the folder's weights have. */
static int find_heads(unsigned *heads, const char *folder, struct sb_err *err)
{
    struct sb_safetensors file = {0};
    if (sb_model_open(&file, folder, err) < 0)
        return -1;
    bool pooler = has_tensor(&file, "pooler.dense.");
    *heads = has_tensor(&file, "cls.predictions.transform.") ? SB_HEAD_MLM : 0;
    if (has_tensor(&file, "cls.seq_relationship."))
        *heads |= SB_HEAD_NSP;
    else if (pooler)
        *heads |= SB_HEAD_POOLER;
    if (has_tensor(&file, "classifier."))
        *heads = pooler ? *heads | SB_HEAD_CLASSIFY : SB_HEAD_TOKENS;
    sb_safetensors_close(&file);
    return 0;
}

static int read_model(struct model *model, unsigned heads, const char *folder, struct sb_err *err)
{
    struct sb_load_report report = {0};
    if (sb_config_read(&model->config, folder, err) < 0)
        return -1;
    sb_params_init(&model->params, &model->config, heads);
    model->described = true;
    model->weights = sb_alloc(model->params.float_count * sizeof(float));
    if (sb_model_read(model->weights, &model->params, &model->config, folder, 0, &report, err) < 0)
        return -1;
    for (size_t i = 0; i < report.ignored; i++)
        fprintf(stderr, "shardbert: tensor '%s' is not carried over\n", report.ignored_names[i]);
    sb_load_report_release(&report);
    return 0;
}

static void grow(struct model *grown, unsigned heads, const struct model *old,
                 const struct sb_extension *extension)
{
    struct sb_grown_row *rows = sb_calloc(extension->count, sizeof(*rows));
    size_t pieces = sb_wordpiece_count(extension->tokenizer);
    for (size_t i = 0; i < extension->count; i++)
        rows[i] = (struct sb_grown_row){.row = (size_t)extension->pieces[i].id,
                                        .from = extension->pieces[i].old_ids,
                                        .count = extension->pieces[i].old_count};
    sb_bert_config_copy(&grown->config, &old->config);
    if (pieces > grown->config.vocab_size)
        grown->config.vocab_size = pieces;
    sb_params_init(&grown->params, &grown->config, heads);
    grown->described = true;
    grown->weights = sb_alloc(grown->params.float_count * sizeof(float));
    sb_model_grow(grown->weights, &grown->params, old->weights, &old->params, rows,
                  extension->count);
    free(rows);
}

static int write_words(const struct sb_extension *extension, const struct sb_wordpiece *old,
                       const char *folder, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes lines = SB_BYTES_INIT;
    for (size_t i = 0; i < extension->count; i++) {
        const struct sb_new_piece *piece = &extension->pieces[i];
        sb_bytes_printf(&lines, "%s\t%d\t%" PRIu64 "\t",
                        sb_wordpiece_text(extension->tokenizer, piece->id), piece->id,
                        piece->count);
        for (size_t j = 0; j < piece->old_count; j++)
            sb_bytes_printf(&lines, "%s%s", j ? " " : "",
                            sb_wordpiece_text(old, piece->old_ids[j]));
        sb_bytes_append_text(&lines, "\n");
    }
    int rc = sb_file_write_atomic(sb_path_join(path, folder, "added_words.tsv"), lines.data,
                                  lines.count, err);
    sb_bytes_release(&lines);
    return rc;
}

static const char *architecture_of(unsigned heads)
{
    return heads & SB_HEAD_TOKENS     ? "BertForTokenClassification"
           : heads & SB_HEAD_CLASSIFY ? "BertForSequenceClassification"
           : heads & SB_HEAD_NSP      ? "BertForPreTraining"
           : heads & SB_HEAD_MLM      ? "BertForMaskedLM"
                                      : "BertModel";
}

static int write_model(const struct model *grown, unsigned heads,
                       const struct sb_extension *extension, const struct sb_wordpiece *old,
                       const char *folder, struct sb_err *err)
{
    return sb_config_write(&grown->config, folder, architecture_of(heads), err) < 0 ||
                   sb_wordpiece_write(extension->tokenizer, folder, grown->config.max_positions,
                                      err) < 0 ||
                   write_words(extension, old, folder, err) < 0 ||
                   sb_model_write(grown->weights, &grown->params, folder, err) < 0
               ? sb_err_context(err, "writing the model folder '%s'", folder)
               : 0;
}

static void report(const struct sb_extension *e, const struct model *grown, size_t asked)
{
    double words = (double)e->words;
    fprintf(stderr,
            "added=%zu in_unused=%zu appended=%zu vocab_size=%zu records=%" PRIu64 " words=%" PRIu64
            " distinct_words=%" PRIu64 "\n",
            e->count, e->in_unused, e->count - e->in_unused, grown->config.vocab_size, e->records,
            e->words, e->distinct_words);
    fprintf(stderr,
            "pieces_per_word_before=%.4f pieces_per_word_after=%.4f unknown_before=%" PRIu64
            " unknown_after=%" PRIu64 " other_words_cut_otherwise=%" PRIu64 "\n",
            (double)e->pieces_before / words, (double)e->pieces_after / words, e->unknown_before,
            e->unknown_after, e->changed_words);
    fprintf(stderr, "most useful:");
    for (size_t i = 0; i < e->count && i < SHOWN_WORDS; i++)
        fprintf(stderr, " %s", sb_wordpiece_text(e->tokenizer, e->pieces[i].id));
    fprintf(stderr, "%s\n", e->count > SHOWN_WORDS ? " ..." : "");
    if (e->count < asked)
        fprintf(stderr, "shardbert: the text has only %zu words to add, of %zu asked for\n",
                e->count, asked);
}

static int check_output(const char *model, const char *output, struct sb_err *err)
{
    struct stat from, to;
    if (!sb_dir_exists(model))
        return sb_err_set(err, SB_ERR_NO_INPUT, "there is no model folder '%s'" SB_NO_HUB_HINT,
                          model);
    if (stat(model, &from) == 0 && stat(output, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        return sb_err_set(err, SB_ERR_CREATE,
                          "'%s' is the model's own folder: name another for the output", output);
    return 0;
}

int sb_extend_model(const char *model, const char *output, const struct sb_extend_options *options,
                    struct sb_err *err)
{
    struct sb_wordpiece *tokenizer = NULL;
    struct sb_extension extension = {0};
    struct model old = {0}, grown = {0};
    unsigned heads = 0;
    int rc = -1;
    if (check_output(model, output, err) < 0 ||
        sb_wordpiece_open_folder(&tokenizer, model, err) < 0 ||
        find_heads(&heads, model, err) < 0 || read_model(&old, heads, model, err) < 0)
        goto done;
    if (sb_wordpiece_count(tokenizer) > old.config.vocab_size) {
        sb_err_set(err, SB_ERR_DATA, "model '%s' embeds %zu pieces, and its vocabulary has %zu",
                   model, old.config.vocab_size, sb_wordpiece_count(tokenizer));
        goto done;
    }
    if (sb_vocab_extend(&extension, tokenizer, options, err) < 0 || sb_dir_make(output, err) < 0)
        goto done;
    grow(&grown, heads, &old, &extension);
    rc = write_model(&grown, heads, &extension, tokenizer, output, err);
    if (rc == 0)
        report(&extension, &grown, options->words);
done:
    release(&grown);
    release(&old);
    sb_extension_release(&extension);
    sb_wordpiece_free(&tokenizer);
    return rc;
}
