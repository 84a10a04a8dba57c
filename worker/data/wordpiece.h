/*
 * BERT's tokenizer: normalise, split into words and punctuation, cut words into the longest known
 * pieces. Ids and offsets equal those of Hugging Face's tokenizers (BertNormalizer,
 * BertPreTokenizer, WordPiece).
 *
 * A tokenizer is read-only after opening: any number of threads may encode with it, each with its
 * own struct sb_encoding.  Every valid UTF-8 string tokenizes.
 */
#ifndef SB_WORDPIECE_H
#define SB_WORDPIECE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb_wordpiece_options {
    bool lowercase;
    int strip_accents; /* 1, 0, or -1: as lowercase */
    bool split_chinese_chars;
    bool clean_text;
};

struct sb_wordpiece;

/*
 * From a vocabulary file, one piece a line.  [PAD] [UNK] [CLS] [SEP] [MASK] must be among them;
 * they are found in a text as they stand, also glued to other characters.  SB_ERR_DATA names file
 * and line.
 */
int sb_wordpiece_open_vocab(struct sb_wordpiece **tokenizer, const char *path,
                            const struct sb_wordpiece_options *options, struct sb_err *err);
/*
 * From a model folder: tokenizer.json, or vocab.txt with tokenizer_config.json (do_lower_case,
 * strip_accents, tokenize_chinese_chars).  Where do_lower_case is not said, capitals are kept if a
 * piece has an ASCII capital (bracketed pieces do not count), and else lowered.  Truncation and
 * padding blocks are ignored.  Refused, as they would tokenize differently: other normalisers, and
 * added tokens that are normalized, single_word, lstrip or rstrip.
 */
int sb_wordpiece_open_folder(struct sb_wordpiece **tokenizer, const char *folder,
                             struct sb_err *err);
/* From a tokenizer.json, or a vocab.txt that is read as in a folder. */
int sb_wordpiece_open_file(struct sb_wordpiece **tokenizer, const char *path, struct sb_err *err);
void sb_wordpiece_free(struct sb_wordpiece **tokenizer);
/* Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json. */
int sb_wordpiece_write(const struct sb_wordpiece *tokenizer, const char *folder, size_t max_length,
                       struct sb_err *err);

size_t sb_wordpiece_count(const struct sb_wordpiece *tokenizer);
const char *sb_wordpiece_text(const struct sb_wordpiece *tokenizer,
                              int32_t id); /* NULL if out of range */
int32_t sb_wordpiece_id(const struct sb_wordpiece *tokenizer,
                        const char *piece); /* -1 if unknown */
bool sb_wordpiece_is_special(const struct sb_wordpiece *tokenizer, int32_t id);
/* A piece that goes on with the word before it ("##..."). */
bool sb_wordpiece_continues(const struct sb_wordpiece *tokenizer, int32_t id);

struct sb_specials {
    int32_t pad, unk, cls, sep, mask;
};
struct sb_specials sb_wordpiece_specials(const struct sb_wordpiece *tokenizer);
/* Hash of vocabulary and options: part of the names of caches. */
uint64_t sb_wordpiece_fingerprint(const struct sb_wordpiece *tokenizer);

/* Reused from text to text; grows to the longest. */
struct sb_encoding {
    int32_t *ids;
    uint32_t (*offsets)[2]; /* code points of the text: first, end */
    size_t count;
    size_t capacity;
    void *scratch;
};
void sb_encoding_release(struct sb_encoding *encoding);

/* Without [CLS] and [SEP].  text must be valid UTF-8 (sb_utf8_check). */
void sb_wordpiece_encode(const struct sb_wordpiece *tokenizer, const char *text, size_t bytes,
                         struct sb_encoding *out);

#endif
