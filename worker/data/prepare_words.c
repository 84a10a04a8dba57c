/*
 * Tagged sentences become samples: the windows of each sentence, one after the other.
 *
 * One thread reads, tokenises and writes: labelled words are written by hand, and few.
 */
#include "prepare.h"

#include "dataset_parts.h"
#include "pieces.h"
#include "sentences.h"
#include "windows.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PROGRESS_SENTENCES = 1024 };

struct preparation {
    struct sb_sentences *sentences;
    struct sb_cache_writer *writer;
    const struct sb_wordpiece *tokenizer;
    const struct sb_dataset_options *options;
    struct sb_labels *labels;
    struct sb_hasher *records;
    struct sb_pieces pieces;
    struct sb_windows windows;
    int32_t *tags; /* [tag_capacity] label of each word */
    size_t tag_capacity;
    size_t room;     /* pieces of a window */
    int32_t *sample; /* [2, max_seq_length] */
};

static int find_tags(struct preparation *p, const struct sb_sentence *sentence, struct sb_err *err)
{
    bool given = sb_labels_are_given(p->options);
    if (p->tag_capacity < sentence->word_count) {
        p->tag_capacity = 2 * sentence->word_count;
        p->tags = sb_realloc(p->tags, p->tag_capacity * sizeof(*p->tags));
    }
    if (sentence->numbers && !given)
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:%" PRIu64 ": the tags are numbers; labels must name them",
                          sentence->path, sentence->line);
    for (size_t i = 0; i < sentence->word_count; i++)
        if (sb_label_resolve(&p->tags[i], p->labels, given, sentence->tags[i], sentence->path,
                             sentence->line, err) < 0)
            return -1;
    if (p->labels->count > SB_WORD_LABELS_MAX)
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:%" PRIu64 ": more than %d different tags; is it the last column?",
                          sentence->path, sentence->line, SB_WORD_LABELS_MAX);
    return 0;
}

/* [CLS] pieces [SEP], and behind them the codes: only words that the window decides have one. */
static int write_window(struct preparation *p, const struct sb_window *window, size_t first_piece,
                        bool truncated, struct sb_err *err)
{
    struct sb_specials specials = sb_wordpiece_specials(p->tokenizer);
    size_t length = 2;
    for (size_t w = window->first; w < window->end; w++)
        length += p->pieces.of_word[w];
    int32_t *ids = p->sample, *codes = p->sample + length;
    memset(p->sample, 0, 2 * length * sizeof(*p->sample));
    ids[0] = specials.cls;
    ids[length - 1] = specials.sep;
    memcpy(ids + 1, p->pieces.ids + first_piece, (length - 2) * sizeof(*ids));
    for (size_t w = window->first, at = 1; w < window->end; w++) {
        bool own = w >= window->own_first && w < window->own_end;
        for (size_t i = 0; i < p->pieces.of_word[w]; i++, at++)
            codes[at] = own ? SB_CODE(p->tags[w], i == 0) : 0;
    }
    struct sb_cache_entry entry = {
        .label = -1,
        .length = (uint16_t)length,
        .first_length = (uint16_t)length,
        .flags = (uint16_t)((window->first ? SB_CACHE_CONTINUES : 0) |
                            (truncated ? SB_CACHE_TRUNCATED : 0)),
    };
    return sb_cache_writer_add(p->writer, entry, p->sample, err);
}

static int write_sentence(struct preparation *p, const struct sb_sentence *sentence,
                          struct sb_err *err)
{
    struct sb_pieces *pieces = &p->pieces;
    if (!sentence->word_count)
        return 0;
    if (find_tags(p, sentence, err) < 0)
        return -1;
    sb_pieces_encode(pieces, p->tokenizer, sentence->text, sentence->words, sentence->word_count,
                     p->room);
    sb_windows_cut(&p->windows, pieces->of_word, sentence->word_count, p->room, p->options->stride);
    size_t word = 0, piece = 0;
    for (size_t i = 0; i < p->windows.count; i++) {
        const struct sb_window *window = &p->windows.items[i];
        while (word < window->first)
            piece += pieces->of_word[word++];
        if (write_window(p, window, piece, pieces->cut_count > 0 && i == 0, err) < 0)
            return -1;
    }
    return 0;
}

static void hash_sentence(struct sb_hasher *hasher, const struct sb_sentence *sentence)
{
    uint64_t sizes[] = {sentence->text_bytes, sentence->word_count};
    sb_hasher_add(hasher, sizes, sizeof(sizes));
    sb_hasher_add(hasher, sentence->text, sentence->text_bytes);
    for (size_t i = 0; i < sentence->word_count; i++) {
        uint64_t end = sentence->words[i].end;
        sb_hasher_add(hasher, &end, sizeof(end));
        sb_hasher_add(hasher, sentence->tags[i], strlen(sentence->tags[i]) + 1);
    }
}

static int write_all(struct preparation *p, struct sb_err *err)
{
    const struct sb_dataset_options *options = p->options;
    struct sb_sentence sentence;
    uint64_t done, total, count = 0;
    int rc;
    while ((rc = sb_sentences_next(p->sentences, &sentence, err)) == 1) {
        if (p->records)
            hash_sentence(p->records, &sentence);
        if (write_sentence(p, &sentence, err) < 0)
            return -1;
        sb_sentences_progress(p->sentences, &done, &total, &p->writer->counts.replaced);
        if (options->progress && ++count % PROGRESS_SENTENCES == 0)
            options->progress(options->progress_context, done, total, p->writer->counts.samples);
    }
    return rc;
}

int sb_prepare_words(struct sb_cache_writer *writer, const struct sb_wordpiece *tokenizer,
                     const struct sb_dataset_options *options, struct sb_labels *labels,
                     struct sb_hasher *records, struct sb_err *err)
{
    struct preparation p = {
        .writer = writer,
        .tokenizer = tokenizer,
        .options = options,
        .labels = labels,
        .records = records,
        .room = options->max_seq_length - 2,
    };
    if (sb_sentences_open(&p.sentences, &options->source, err) < 0)
        return -1;
    p.sample = sb_alloc(2 * options->max_seq_length * sizeof(*p.sample));
    int rc = write_all(&p, err);
    sb_sentences_free(&p.sentences);
    sb_pieces_release(&p.pieces);
    sb_windows_release(&p.windows);
    free(p.tags);
    free(p.sample);
    return rc;
}
