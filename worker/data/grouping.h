/*
 * How the texts of a corpus become samples of a masked language model: the kinds that join texts.
 *
 *     document        lines of a document joined, cut into max_length - 2 tokens: [CLS] ... [SEP]
 *     pack            sequences [CLS] text [SEP] side by side, up to max_length tokens a sample
 *     pack documents  the same, a document being one text
 *     hf              as run_mlm.py of Hugging Face's examples groups texts
 *
 * What is packed does not see its neighbours: the batch holds the sequences of a sample as
 * sequences of their own, each from position 0 on (collate.c).  A sample of full length is what
 * they share, so that steps have an even number of tokens.  A text is cut where its sample is full
 * and goes on in the next; but the last eighth of a sample is left empty rather than begun by a
 * text that does not fit.
 *
 * hf: each text (also an empty line) is [CLS] text [SEP]; 1,000 texts after one another are one
 * string of tokens, cut into samples of max_length; the rest of each 1,000 is dropped, unless it is
 * all that they have.  A sample may begin anywhere, and its texts see each other.  Source:
 * transformers, examples/pytorch/language-modeling/run_mlm.py, group_texts, without line_by_line.
 *
 * One thread.  Holds one sample, whatever the length of the texts.
 */
#ifndef SB_GROUPING_H
#define SB_GROUPING_H

#include "cache.h"
#include "dataset.h"

enum { SB_GROUPING_HF_TEXTS = 1000 };

struct sb_grouping {
    enum sb_dataset_kind kind;
    size_t max_length; /* tokens of a sample, specials included */
    struct sb_specials specials;
    struct sb_cache_writer *writer; /* not owned */
    int32_t *sample;                /* [max_length] */
    size_t length;                  /* tokens that are in it */
    bool open;                      /* a sequence has its [CLS] and not yet its [SEP] */
    size_t text_count;              /* hf: texts since the last cut */
    bool written;                   /* hf: they gave a sample */
};

/* Does this kind of data set join texts? */
bool sb_grouping_joins(enum sb_dataset_kind kind);
/* Does a text end with its record, and not with its document? */
bool sb_grouping_by_record(enum sb_dataset_kind kind);

void sb_grouping_init(struct sb_grouping *grouping, const struct sb_dataset_options *options,
                      const struct sb_wordpiece *tokenizer, struct sb_cache_writer *writer);
void sb_grouping_release(struct sb_grouping *grouping);

/* More of the text in hand: ids [count] without specials; ends: this was the last of it. */
int sb_grouping_add(struct sb_grouping *grouping, const int32_t *ids, size_t count, bool ends,
                    struct sb_err *err);
/* After the last text. */
int sb_grouping_end(struct sb_grouping *grouping, struct sb_err *err);

#endif
