/* Tagged sentences from columns and JSON lines. */
#include "support.h"

#include "arena.h"
#include "sentences.h"
#include "wordpiece.h"

#include <string.h>

static struct sb_sentences *open_one(const char *path)
{
    char *paths[] = {(char *)(uintptr_t)path};
    struct sb_reader_options options = {.paths = paths, .path_count = 1};
    struct sb_sentences *sentences;
    struct sb_err err = SB_ERR_INIT;
    if (sb_sentences_open(&sentences, &options, &err) < 0)
        fail_msg("%s", err.text);
    return sentences;
}

/* "word/TAG word/TAG | word/TAG": all sentences of a file, or "! " and the error. */
static const char *read_all(const char *name, const char *content)
{
    static char text[8192];
    struct sb_sentence sentence;
    struct sb_err err = SB_ERR_INIT;
    struct sb_sentences *sentences = open_one(sb_test_write(sb_test_dir(), name, content));
    size_t used = 0;
    int rc, count = 0;
    text[0] = 0;
    while ((rc = sb_sentences_next(sentences, &sentence, &err)) == 1) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", count++ ? " | " : "");
        for (size_t i = 0; i < sentence.word_count; i++) {
            const struct sb_word *w = &sentence.words[i];
            assert_int_equal(w->end_char - w->first_char,
                             sb_text_chars(sentence.text + w->first, w->end - w->first));
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s/%s", i ? " " : "",
                                     (int)(w->end - w->first), sentence.text + w->first,
                                     sentence.tags[i]);
        }
    }
    if (rc < 0)
        snprintf(text, sizeof(text), "! %s", err.text);
    sb_sentences_free(&sentences);
    return text;
}

static void reads_as(const char *name, const char *content, const char *expected)
{
    const char *found = read_all(name, content);
    if (strcmp(found, expected) != 0)
        fail_msg("'%s' reads as '%s', not '%s'", content, found, expected);
}

static void refuses(const char *name, const char *content, const char *place, const char *words)
{
    const char *found = read_all(name, content);
    if (found[0] != '!' || !strstr(found, place) || !strstr(found, words))
        fail_msg("'%s' gives '%s', not an error at '%s' with '%s'", content, found, place, words);
}

static void columns_are_words_and_last_their_tags(void **state)
{
    (void)state;
    reads_as("a.txt", "EU B-ORG\nrejects O\n\nPeter B-PER\nBlack I-PER\n",
             "EU/B-ORG rejects/O | Peter/B-PER Black/I-PER");
    reads_as("a.conll", "EU\tNNP\tI-NP\tB-ORG\r\n\r\n\r\nx\ty\tz\tO\r\n", "EU/B-ORG | x/O");
    reads_as("a.tsv", "a b\tO\nc\tB-X\n", "a b/O c/B-X");
    reads_as("a.txt", "a   NN  O \n  \n b NN  O", "a/O | b/O");
}

static void document_starts_are_no_words(void **state)
{
    (void)state;
    reads_as("a.txt", "-DOCSTART- -X- O O\n\na N N O\n-DOCSTART- -X- O\nb N N O\n", "a/O | b/O");
    reads_as("a.txt", "-DOCSTART-\n", "");
}

static void iob1_becomes_bio(void **state)
{
    (void)state;
    reads_as("a.txt", "a I-X\nb I-X\nc B-X\nd I-Y\ne O\nf I-Y\ng I-X\n\nh I-X\n",
             "a/B-X b/I-X c/B-X d/B-Y e/O f/B-Y g/B-X | h/B-X");
}

static void other_schemes_are_refused_by_name(void **state)
{
    (void)state;
    refuses("a.txt", "a O\nb S-X\n", "a.txt:2: ", "IOBES");
    refuses("a.txt", "a L-X\n", "a.txt:1: ", "BILOU");
    refuses("a.txt", "a M-X\n", "a.txt:1: ", "BMES");
    refuses("a.txt", "a NN\n", "a.txt:1: ", "tag 'NN' is neither O nor B-TYPE nor I-TYPE");
    refuses("a.jsonl", "\n{\"tokens\":[\"a\"],\"tags\":[\"E-X\"]}\n", "a.jsonl:2: ", "IOBES");
}

static void broken_columns_are_refused_by_line(void **state)
{
    (void)state;
    refuses("a.txt", "a O\nb\n", "a.txt:2: ", "1 column;");
    refuses("a.txt", "a b c d O\n", "a.txt:1: ", "5 columns");
    refuses("a.txt", "a N O\nb O\n", "a.txt:2: ", "2 columns, where the file began with 3");
}

static void json_words_have_tags_of_text_or_number(void **state)
{
    (void)state;
    reads_as("a.jsonl",
             "{\"tokens\":[\"New\",\"York\"],\"ner_tags\":[\"I-LOC\",\"I-LOC\"]}\n"
             "{\"tokens\":[\"New\",\"York\"],\"tags\":[3,4]}\n{\"tokens\":[],\"tags\":[]}\n",
             "New/B-LOC York/I-LOC | New/3 York/4 | ");
    refuses("a.jsonl", "{\"tokens\":[\"a\"],\"tags\":[]}", "a.jsonl:1: ", "1 tokens and 0 tags");
    refuses("a.jsonl", "{\"tokens\":[\"a\"]}", "a.jsonl:1: ", "'ner_tags' is missing");
    refuses("a.jsonl", "{\"tokens\":[\"a\",\"b\"],\"tags\":[1,\"O\"]}",
            "a.jsonl:1: ", "tag 1 is not a number");
    refuses("a.jsonl", "{\"tokens\":[\"a\"],\"tags\":[-1]}", "a.jsonl:1: ", "below 0");
    refuses("a.jsonl", "{\"tokens\":[4],\"tags\":[1]}", "a.jsonl:1: ", "token 0 is not a text");
    refuses("a.jsonl", "{\"words\":[]}", "a.jsonl:1: ", "neither a list 'tokens' nor a 'text'");
    refuses("a.jsonl", "{\"tokens\"", "a.jsonl:1: column", "");
}

static void character_spans_become_tags_of_words(void **state)
{
    (void)state;
    reads_as("a.jsonl",
             "{\"text\":\"Zo\\u00eb met J. Smith.\",\"entities\":[[8,16,\"PER\"],[0,3,\"PER\"]]}",
             "Zo\xc3\xab/B-PER met/O J/B-PER ./I-PER Smith/I-PER ./O");
    reads_as("a.jsonl",
             "{\"text\":\"in Paris\",\"spans\":[{\"start\":3,\"end\":8,\"label\":\"LOC\"}]}\n"
             "{\"text\":\"in Paris\",\"label\":[{\"start_offset\":3,\"end_offset\":5,"
             "\"label\":\"LOC\"}]}\n{\"text\":\" \",\"labels\":[]}",
             "in/O Paris/B-LOC | in/O Paris/B-LOC | ");
    refuses("a.jsonl", "{\"text\":\"a b\",\"spans\":[[0,3,\"X\"],[2,3,\"Y\"]]}",
            "a.jsonl:1: ", "characters 0 and 2 overlap");
    refuses("a.jsonl", "{\"text\":\"a b\",\"spans\":[[0,4,\"X\"]]}",
            "a.jsonl:1: ", "from 0 to 4, in a text of 3 characters");
    refuses("a.jsonl", "{\"text\":\"a b\",\"spans\":[[1,2,\"X\"]]}", "a.jsonl:1: ", "has no word");
    refuses("a.jsonl", "{\"text\":\"ab\",\"spans\":[[0,1,\"X\"],[1,2,\"X\"]]}",
            "a.jsonl:1: ", "has no word that is its alone");
    refuses("a.jsonl", "{\"text\":\"a b\",\"spans\":[[0,1]]}",
            "a.jsonl:1: ", "entity 0 is neither");
}

/* Words one by one, and the text as a whole, cut into the same pieces at the same places. */
static void words_have_the_pieces_of_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Don't stop: it's 3.5% of na\xc3\xafve caf\xc3\xa9s!",
        "\xe6\x9d\xb1\xe4\xba\xac Tokyo\xe2\x80\x94\xc2\xa0"
        "a\xc2\xad"
        "b",
        "  tabs\tand\nlines \xe2\x80\x8b x\x01y ",
    };
    struct sb_wordpiece_options options = {
        .lowercase = true, .strip_accents = -1, .split_chinese_chars = true, .clean_text = true};
    struct sb_wordpiece *tokenizer;
    struct sb_err err = SB_ERR_INIT;
    if (sb_wordpiece_open_vocab(&tokenizer,
                                sb_test_shared("data/tokenizer/bert-base-uncased-vocab.txt"),
                                &options, &err) < 0)
        fail_msg("%s", err.text);
    struct sb_encoding whole = {0}, one = {0};
    struct sb_words words = SB_WORDS_INIT;
    for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
        size_t at = 0;
        sb_wordpiece_encode(tokenizer, texts[t], strlen(texts[t]), &whole);
        sb_words_split(&words, texts[t], strlen(texts[t]));
        for (size_t w = 0; w < words.count; w++) {
            const struct sb_word *word = &words.items[w];
            sb_wordpiece_encode(tokenizer, texts[t] + word->first, word->end - word->first, &one);
            for (size_t i = 0; i < one.count; i++, at++) {
                assert_true(at < whole.count);
                assert_int_equal(one.ids[i], whole.ids[at]);
                assert_int_equal(one.offsets[i][0] + word->first_char, whole.offsets[at][0]);
                assert_int_equal(one.offsets[i][1] + word->first_char, whole.offsets[at][1]);
            }
        }
        assert_int_equal(at, whole.count);
    }
    sb_words_release(&words);
    sb_encoding_release(&whole);
    sb_encoding_release(&one);
    sb_wordpiece_free(&tokenizer);
}

static void counts_in(const char *name, size_t sentence_count, size_t entity_count)
{
    struct sb_sentences *sentences = open_one(sb_test_shared(name));
    struct sb_sentence sentence;
    struct sb_err err = SB_ERR_INIT;
    size_t found = 0, entities = 0;
    int rc;
    while ((rc = sb_sentences_next(sentences, &sentence, &err)) == 1) {
        found++;
        for (size_t i = 0; i < sentence.word_count; i++)
            entities += sentence.tags[i][0] == 'B';
    }
    if (rc < 0)
        fail_msg("%s", err.text);
    uint64_t done, total, replaced;
    sb_sentences_progress(sentences, &done, &total, &replaced);
    assert_true(done == total && total > 0 && replaced == 0);
    sb_sentences_free(&sentences);
    assert_int_equal(found, sentence_count);
    assert_int_equal(entities, entity_count);
}

static void shared_data_have_their_published_counts(void **state)
{
    (void)state;
    counts_in("data/ner/conll2003/train.txt", 14041, 23499);
    counts_in("data/ner/conll2003/validation.txt", 3250, 5942);
    counts_in("data/ner/conll2003/test.txt", 3453, 5648);
    counts_in("data/ner/bc5cdr/train.txt", 4560, 9385);
    counts_in("data/ner/bc5cdr/validation.txt", 4581, 9593);
    counts_in("data/ner/bc5cdr/test.txt", 4797, 9809);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_words_and_last_their_tags),
        cmocka_unit_test(document_starts_are_no_words),
        cmocka_unit_test(iob1_becomes_bio),
        cmocka_unit_test(other_schemes_are_refused_by_name),
        cmocka_unit_test(broken_columns_are_refused_by_line),
        cmocka_unit_test(json_words_have_tags_of_text_or_number),
        cmocka_unit_test(character_spans_become_tags_of_words),
        cmocka_unit_test(words_have_the_pieces_of_the_text),
        cmocka_unit_test(shared_data_have_their_published_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
