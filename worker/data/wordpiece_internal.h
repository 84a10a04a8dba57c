/* The inside of struct sb_wordpiece, for wordpiece.c (encoding) and wordpiece_files.c (reading and
 * writing). */
#ifndef SB_WORDPIECE_INTERNAL_H
#define SB_WORDPIECE_INTERNAL_H

#include "bytes.h"
#include "trie.h"
#include "wordpiece.h"

/* A string that is taken out of the raw text before anything else looks at it. */
struct sb_added_token {
    int32_t id;
    uint32_t char_count;
    bool special;
};

struct sb_wordpiece {
    struct sb_wordpiece_options options; /* strip_accents resolved to 0 or 1 */
    int strip_accents_given;             /* 1, 0 or -1, as it is written out again */
    char *prefix;                        /* of pieces that go on with a word: "##" */
    size_t max_word_chars;               /* longer words become [UNK]; 100 */

    struct sb_bytes texts; /* all pieces, each with its zero byte */
    size_t *text_at; /* [count] where they begin; SIZE_MAX while not set, at last an empty text */
    uint8_t *flags;  /* [count] sum of sb_piece_flag */
    size_t count;
    size_t room; /* of the two arrays */

    struct sb_trie pieces;
    uint32_t prefix_node; /* where the prefix leads in `pieces` */
    struct sb_trie added; /* numbers are indices of added_tokens */
    struct sb_added_token *added_tokens;
    size_t added_count;
    bool added_first[256]; /* bytes that an added token starts with */

    struct sb_specials specials;
    uint64_t fingerprint;
    struct sb_ascii_char {
        char lower;      /* after lower-casing */
        uint8_t classes; /* after clean_text: CONTROL is dropped, SPACE and PUNCT cut */
    } ascii[128];
};

enum sb_piece_flag {
    SB_PIECE_SPECIAL = 1,
    SB_PIECE_CONTINUES = 2,
};

enum { SB_MAX_WORD_CHARS = 4096 };

/* The normalised words of a text as the splitter finds them, without added tokens and over-long
 * words. */
typedef void (*sb_word_taker)(void *context, const char *word, size_t bytes);
void sb_wordpiece_words(const struct sb_wordpiece *tokenizer, const char *text, size_t bytes,
                        struct sb_encoding *scratch, sb_word_taker take_word, void *context);

/*
 * Building, in this order: new, add every piece, add tokens, finish.  Errors are SB_ERR_DATA
 * without the file's name, which the caller adds.
 */
struct sb_wordpiece *sb_wordpiece_new(const struct sb_wordpiece_options *options);
int sb_wordpiece_add_piece(struct sb_wordpiece *tokenizer, const char *text, size_t bytes,
                           size_t id, struct sb_err *err);
int sb_wordpiece_add_token(struct sb_wordpiece *tokenizer, const char *text, int32_t id,
                           bool special, struct sb_err *err);
/* unk_token: the piece for words that cannot be cut. */
int sb_wordpiece_finish(struct sb_wordpiece *tokenizer, const char *unk_token, struct sb_err *err);

#endif
