/* Entities and their scores, against seqeval's rules. */
#include "support.h"

#include "entities.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *const NAMES[] = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-PER", "S-PER", "B", "I"};
enum { NAME_COUNT = sizeof(NAMES) / sizeof(NAMES[0]), LENGTH_MAX = 64 };

static size_t read_tags(int32_t *ids, const char *text)
{
    char copy[512];
    size_t n = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *save, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        int32_t id = 0;
        while (strcmp(NAMES[id], word) != 0)
            id++;
        ids[n++] = id;
    }
    return n;
}

/* "PER 0-2, LOC 3-3": seqeval's chunks, the last token included. */
static void check(const char *tags_text, enum sb_entity_mode mode, const char *expected)
{
    struct sb_tags tags;
    int32_t ids[LENGTH_MAX];
    struct sb_entity entities[LENGTH_MAX];
    char text[1024] = "";
    sb_tags_init(&tags, NAMES, NAME_COUNT);
    size_t n = read_tags(ids, tags_text);
    size_t count = sb_entities_find(entities, ids, n, &tags, mode);
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %u-%u", i ? ", " : "",
                 tags.type_names[entities[i].type], entities[i].first, entities[i].end - 1);
    if (strcmp(text, expected) != 0)
        fail_msg("[%s] mode %d: '%s', expected '%s'", tags_text, (int)mode, text, expected);
    sb_tags_release(&tags);
}

/* What seqeval 1.2.2 returns for these, worked out from its two tables by hand. */
static void malformed_sequences_are_read_like_seqeval(void **state)
{
    (void)state;
    static const struct {
        const char *tags, *standard, *strict;
    } cases[] = {
        {"", "", ""},
        {"O O", "", ""},
        {"B-PER I-PER O B-LOC", "PER 0-1, LOC 3-3", "PER 0-1, LOC 3-3"},
        {"I-PER I-PER O", "PER 0-1", ""},
        {"B-PER I-LOC", "PER 0-0, LOC 1-1", "PER 0-0"},
        {"I-PER I-LOC", "PER 0-0, LOC 1-1", ""},
        {"B-PER B-PER", "PER 0-0, PER 1-1", "PER 0-0, PER 1-1"},
        {"I-PER B-PER I-PER", "PER 0-0, PER 1-2", "PER 1-2"},
        {"B-PER O I-PER", "PER 0-0, PER 2-2", "PER 0-0"},
        {"B-PER I-PER E-PER", "PER 0-2", "PER 0-1"},
        {"S-PER S-PER I-PER", "PER 0-0, PER 1-1, PER 2-2", ""},
        {"E-PER E-PER", "PER 0-0, PER 1-1", ""},
        {"B-PER E-PER I-PER", "PER 0-1, PER 2-2", "PER 0-0"},
        {"I-PER S-PER", "PER 0-0, PER 1-1", ""},
        {"B I I-PER I O I", "_ 0-1, PER 2-2, _ 3-3, _ 5-5", "_ 0-1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(cases[i].tags, SB_ENTITIES_DEFAULT, cases[i].standard);
        check(cases[i].tags, SB_ENTITIES_STRICT, cases[i].strict);
    }
}

/* ---- the definition, by brute force: is this span of this type an entity? ---- */

struct tag_of {
    char prefix;
    const char *type;
};

/* As seqeval cuts a tag; NULL is the O that it puts around sentences. */
static struct tag_of cut_tag(const char *name)
{
    const char *hyphen = name ? strchr(name, '-') : NULL;
    return (struct tag_of){name ? name[0] : 'O', hyphen ? hyphen + 1 : "_"};
}

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c) != NULL;
}

static bool chunk_ends(struct tag_of before, struct tag_of here)
{
    return one_of(before.prefix, "ES") ||
           (one_of(before.prefix, "BI") && one_of(here.prefix, "BSO")) ||
           (before.prefix != 'O' && strcmp(before.type, here.type) != 0);
}

static bool chunk_starts(struct tag_of before, struct tag_of here)
{
    return one_of(here.prefix, "BS") ||
           (one_of(before.prefix, "ESO") && one_of(here.prefix, "EI")) ||
           (here.prefix != 'O' && strcmp(before.type, here.type) != 0);
}

static struct tag_of tag_at(const int32_t *ids, size_t n, ptrdiff_t i)
{
    return cut_tag(i >= 0 && i < (ptrdiff_t)n ? NAMES[ids[i]] : NULL);
}

static bool is_entity(const int32_t *ids, size_t n, size_t first, size_t end, const char *type,
                      bool strict)
{
    struct tag_of head = tag_at(ids, n, (ptrdiff_t)first);
    if (strcmp(head.type, type) != 0)
        return false;
    if (strict) {
        struct tag_of next = tag_at(ids, n, (ptrdiff_t)end);
        for (size_t i = first + 1; i < end; i++) {
            struct tag_of t = tag_at(ids, n, (ptrdiff_t)i);
            if (t.prefix != 'I' || strcmp(t.type, type) != 0)
                return false;
        }
        return head.prefix == 'B' && !(next.prefix == 'I' && !strcmp(next.type, type));
    }
    for (size_t i = first; i <= end; i++) {
        struct tag_of before = tag_at(ids, n, (ptrdiff_t)i - 1),
                      here = tag_at(ids, n, (ptrdiff_t)i);
        if (i == first && !chunk_starts(before, here))
            return false;
        if (i > first && i < end && (chunk_starts(before, here) || chunk_ends(before, here)))
            return false;
        if (i == end && !chunk_ends(before, here))
            return false;
    }
    return true;
}

static void count_by_definition(double counts[SB_ENTITY_COUNTS], const int32_t *gold,
                                const int32_t *guess, size_t n, const char *type, bool strict)
{
    for (size_t first = 0; first < n; first++)
        for (size_t end = first + 1; end <= n; end++) {
            bool g = is_entity(gold, n, first, end, type, strict);
            bool p = is_entity(guess, n, first, end, type, strict);
            counts[SB_ENTITIES_HIT] += g && p;
            counts[SB_ENTITIES_PREDICTED] += p;
            counts[SB_ENTITIES_GOLD] += g;
        }
}

static void random_counts_equal_the_definition(void **state)
{
    (void)state;
    struct sb_tags tags;
    double *counts, *expected;
    sb_tags_init(&tags, NAMES, NAME_COUNT);
    size_t T = tags.type_count, room = sb_entity_count_count(T);
    counts = calloc(room, sizeof(*counts));
    expected = calloc(room, sizeof(*expected));
    srand(7);
    for (int sentence = 0; sentence < 2000; sentence++) {
        int32_t gold[LENGTH_MAX], guess[LENGTH_MAX];
        struct sb_entity scratch[2 * LENGTH_MAX];
        size_t n = (size_t)rand() % 12;
        for (size_t i = 0; i < n; i++) {
            gold[i] = rand() % NAME_COUNT;
            guess[i] = rand() % 4 ? gold[i] : rand() % NAME_COUNT;
        }
        sb_entities_count(counts, scratch, gold, guess, n, &tags);
        for (int mode = 0; mode < SB_ENTITY_MODES; mode++)
            for (size_t t = 0; t < T; t++)
                count_by_definition(expected + SB_TOKEN_COUNTS +
                                        ((size_t)mode * T + t) * SB_ENTITY_COUNTS,
                                    gold, guess, n, tags.type_names[t], mode == SB_ENTITIES_STRICT);
    }
    for (size_t i = SB_TOKEN_COUNTS; i < room; i++)
        if (counts[i] != expected[i])
            fail_msg("count %zu is %g, expected %g", i, counts[i], expected[i]);
    free(counts);
    free(expected);
    sb_tags_release(&tags);
}

static void add_sentence(double *counts, const struct sb_tags *tags, const char *gold_text,
                         const char *guess_text)
{
    int32_t gold[LENGTH_MAX], guess[LENGTH_MAX];
    struct sb_entity scratch[2 * LENGTH_MAX];
    size_t n = read_tags(gold, gold_text);
    assert_int_equal(read_tags(guess, guess_text), n);
    sb_entities_count(counts, scratch, gold, guess, n, tags);
}

static void is_close(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-12))
        fail_msg("%.17g, expected %.17g", value, expected);
}

/* Fractions by hand: LOC has 1 right of 1 predicted and 2 gold, PER 1 of 3 and 2; "_" is absent. */
static void averages_are_those_of_the_fractions(void **state)
{
    (void)state;
    struct sb_tags tags;
    sb_tags_init(&tags, NAMES, NAME_COUNT);
    size_t T = tags.type_count;
    double *counts = calloc(sb_entity_count_count(T), sizeof(*counts));
    add_sentence(counts, &tags, "B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC");
    add_sentence(counts, &tags, "B-PER I-PER O B-LOC", "B-PER B-PER O O");
    struct sb_entity_score s = sb_entity_score_all(counts, T, SB_ENTITIES_DEFAULT, SB_ENTITY_MICRO);
    is_close(s.precision, 2.0 / 4);
    is_close(s.recall, 2.0 / 4);
    is_close(s.f1, 2.0 * 2 / (4 + 4));
    is_close(s.gold, 4);
    s = sb_entity_score_all(counts, T, SB_ENTITIES_DEFAULT, SB_ENTITY_MACRO);
    is_close(s.precision, (1.0 / 3 + 1) / 2);
    is_close(s.recall, 0.5);
    is_close(s.f1, (2.0 / 5 + 2.0 / 3) / 2);
    s = sb_entity_score_all(counts, T, SB_ENTITIES_STRICT, SB_ENTITY_WEIGHTED);
    is_close(s.f1, (2 * 2.0 / 5 + 2 * 2.0 / 3) / 4);
    s = sb_entity_score_type(counts, T, SB_ENTITIES_STRICT, 0);
    is_close(s.precision, 1.0 / 3);
    is_close(s.recall, 1.0 / 2);
    assert_false(sb_entity_type_occurs(counts, T, SB_ENTITIES_DEFAULT, 2));
    is_close(sb_token_accuracy(counts), 6.0 / 8);
    is_close(sb_token_f1(counts), 2.0 * 4 / (5 + 6));
    free(counts);
    sb_tags_release(&tags);
}

static void nothing_scores_zero(void **state)
{
    (void)state;
    struct sb_tags tags;
    sb_tags_init(&tags, NAMES, NAME_COUNT);
    double *counts = calloc(sb_entity_count_count(tags.type_count), sizeof(*counts));
    for (int average = SB_ENTITY_MICRO; average <= SB_ENTITY_WEIGHTED; average++)
        is_close(sb_entity_score_all(counts, tags.type_count, SB_ENTITIES_DEFAULT,
                                     (enum sb_entity_average)average)
                     .f1,
                 0);
    is_close(sb_token_accuracy(counts), 0);
    is_close(sb_token_f1(counts), 0);
    free(counts);
    sb_tags_release(&tags);
}

static void tags_are_taken_apart(void **state)
{
    (void)state;
    static char *const names[] = {"O", "B-A-b", "I-A-b", "NN", ".", "B-"};
    struct sb_tags tags;
    sb_tags_init(&tags, names, 6);
    assert_int_equal(tags.type_count, 3);
    assert_string_equal(tags.type_names[0], "A-b");
    assert_string_equal(tags.type_names[1], "NN");
    assert_string_equal(tags.type_names[2], "_");
    assert_memory_equal(tags.prefixes, "OBIIOB", 6);
    assert_int_equal(tags.types[0], SB_NO_TYPE);
    assert_int_equal(sb_tags_find(&tags, 'I', 0), 2);
    assert_int_equal(sb_tags_find(&tags, 'I', 2), -1);
    assert_true(sb_tags_may_follow(&tags, 1, 2) && sb_tags_may_follow(&tags, 2, 2));
    assert_false(sb_tags_may_follow(&tags, -1, 2) || sb_tags_may_follow(&tags, 0, 2) ||
                 sb_tags_may_follow(&tags, 5, 2));
    assert_true(sb_tags_may_follow(&tags, -1, 1) && sb_tags_may_follow(&tags, 2, 0));
    sb_tags_release(&tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_sequences_are_read_like_seqeval),
        cmocka_unit_test(random_counts_equal_the_definition),
        cmocka_unit_test(averages_are_those_of_the_fractions),
        cmocka_unit_test(nothing_scores_zero),
        cmocka_unit_test(tags_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
