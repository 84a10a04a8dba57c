#include "grouping.h"

#include <stdlib.h>
#include <string.h>

enum { SEQUENCE_MIN = 3 /* [CLS], a token, [SEP] */, REST_SHARE = 8 };

bool sb_grouping_joins(enum sb_dataset_kind kind)
{
    return kind == SB_DATA_BLOCKS || kind == SB_DATA_PACK || kind == SB_DATA_PACK_DOCUMENTS ||
           kind == SB_DATA_HF;
}

bool sb_grouping_by_record(enum sb_dataset_kind kind)
{
    return kind == SB_DATA_PACK || kind == SB_DATA_HF;
}

void sb_grouping_init(struct sb_grouping *grouping, const struct sb_dataset_options *options,
                      const struct sb_wordpiece *tokenizer, struct sb_cache_writer *writer)
{
    *grouping = (struct sb_grouping){
        .kind = options->kind,
        .max_length = options->max_seq_length,
        .specials = sb_wordpiece_specials(tokenizer),
        .writer = writer,
        .sample = sb_alloc(options->max_seq_length * sizeof(*grouping->sample)),
    };
}

void sb_grouping_release(struct sb_grouping *grouping)
{
    free(grouping->sample);
    grouping->sample = NULL;
}

static int write_sample(struct sb_grouping *g, struct sb_err *err)
{
    struct sb_cache_entry entry = {
        .label = -1, .length = (uint16_t)g->length, .first_length = (uint16_t)g->length};
    g->length = 0;
    g->written = true;
    return sb_cache_writer_add(g->writer, entry, g->sample, err);
}

/* ---- sequences of their own: document, pack ---- */

/* Is what is left of the sample too little to begin a text of count tokens in it? */
static bool rest_is_left(const struct sb_grouping *g, size_t count)
{
    size_t rest = g->max_length - g->length;
    return rest < SEQUENCE_MIN || (count + 2 > rest && rest < g->max_length / REST_SHARE);
}

static int open_sequence(struct sb_grouping *g, size_t count, struct sb_err *err)
{
    if (g->length && rest_is_left(g, count) && write_sample(g, err) < 0)
        return -1;
    g->sample[g->length++] = g->specials.cls;
    g->open = true;
    return 0;
}

static int close_sequence(struct sb_grouping *g, struct sb_err *err)
{
    g->sample[g->length++] = g->specials.sep;
    g->open = false;
    return g->kind == SB_DATA_BLOCKS || g->length == g->max_length ? write_sample(g, err) : 0;
}

static int add_sequence(struct sb_grouping *g, const int32_t *ids, size_t count, bool ends,
                        struct sb_err *err)
{
    while (count) {
        if (!g->open && open_sequence(g, count, err) < 0)
            return -1;
        size_t room = g->max_length - 1 - g->length, taken = count < room ? count : room;
        memcpy(g->sample + g->length, ids, taken * sizeof(*ids));
        g->length += taken;
        ids += taken;
        count -= taken;
        if (taken == room && close_sequence(g, err) < 0)
            return -1;
    }
    return ends && g->open ? close_sequence(g, err) : 0;
}

/* ---- one string of tokens: hf ---- */

static int add_tokens(struct sb_grouping *g, const int32_t *ids, size_t count, struct sb_err *err)
{
    while (count) {
        size_t room = g->max_length - g->length, taken = count < room ? count : room;
        memcpy(g->sample + g->length, ids, taken * sizeof(*ids));
        g->length += taken;
        ids += taken;
        count -= taken;
        if (g->length == g->max_length && write_sample(g, err) < 0)
            return -1;
    }
    return 0;
}

static int end_texts(struct sb_grouping *g, struct sb_err *err)
{
    if (g->length && !g->written && write_sample(g, err) < 0)
        return -1;
    g->length = 0;
    g->text_count = 0;
    g->written = false;
    return 0;
}

static int add_text(struct sb_grouping *g, const int32_t *ids, size_t count, struct sb_err *err)
{
    if (add_tokens(g, &g->specials.cls, 1, err) < 0 || add_tokens(g, ids, count, err) < 0 ||
        add_tokens(g, &g->specials.sep, 1, err) < 0)
        return -1;
    return ++g->text_count == SB_GROUPING_HF_TEXTS ? end_texts(g, err) : 0;
}

/* ---- both ---- */

int sb_grouping_add(struct sb_grouping *grouping, const int32_t *ids, size_t count, bool ends,
                    struct sb_err *err)
{
    return grouping->kind == SB_DATA_HF ? add_text(grouping, ids, count, err)
                                        : add_sequence(grouping, ids, count, ends, err);
}

int sb_grouping_end(struct sb_grouping *grouping, struct sb_err *err)
{
    if (grouping->kind == SB_DATA_HF)
        return end_texts(grouping, err);
    if (grouping->open && close_sequence(grouping, err) < 0)
        return -1;
    return grouping->length ? write_sample(grouping, err) : 0;
}
