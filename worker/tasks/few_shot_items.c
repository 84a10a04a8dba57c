#include "few_shot_items.h"

#include "hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of SB_RNG_SAMPLE, apart from those of pairs and of the choice. */
enum { ROUND_NEGATIVE = 0x6e656773, ROUND_TWOS = 0x74776f73 };

/* ---- the texts ---- */

static int read_text(const void *context, uint64_t place, int32_t *ids, struct sb_err *err)
{
    const struct sb_few_shot_items *items = context;
    return sb_dataset_read(items->data, items->chosen.samples[place], ids, NULL, NULL, NULL, err);
}

static uint32_t text_length(const void *context, uint64_t place)
{
    const struct sb_few_shot_items *items = context;
    return sb_dataset_length(items->data, items->chosen.samples[place]);
}

static int name_texts(struct sb_few_shot_items *items, struct sb_err *err)
{
    uint64_t count = items->chosen.count;
    size_t room = 0;
    int32_t *ids = NULL;
    int rc = 0;
    items->names = sb_alloc((count + 1) * sizeof(*items->names));
    for (uint64_t place = 0; rc == 0 && place < count; place++) {
        size_t length = text_length(items, place);
        if (length > room) {
            room = 2 * length;
            ids = sb_realloc(ids, room * sizeof(*ids));
        }
        rc = read_text(items, place, ids, err);
        if (rc == 0)
            items->names[place] = sb_hash(ids, length * sizeof(*ids));
    }
    free(ids);
    return rc;
}

struct named {
    uint64_t name, place;
};

static int by_name(const void *a, const void *b)
{
    const struct named *left = a, *right = b;
    if (left->name != right->name)
        return left->name < right->name ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static size_t class_of(const struct sb_few_shot_items *items, uint64_t place)
{
    return sb_few_shot_class(&items->chosen, place);
}

/* Places stand class after class, so a run of equal names spans classes if its ends do. */
static void find_disputed(struct sb_few_shot_items *items)
{
    uint64_t count = items->chosen.count;
    struct named *all = sb_alloc((count + 1) * sizeof(*all));
    items->disputed = sb_calloc(count + 1, sizeof(*items->disputed));
    for (uint64_t place = 0; place < count; place++)
        all[place] = (struct named){items->names[place], place};
    qsort(all, count, sizeof(*all), by_name);
    for (uint64_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && all[end].name == all[begin].name; end++)
            continue;
        if (end - begin == 1 ||
            class_of(items, all[begin].place) == class_of(items, all[end - 1].place))
            continue;
        items->disputed_count += end - begin;
        for (uint64_t i = begin; i < end; i++)
            items->disputed[all[i].place] = 1;
    }
    free(all);
}

/* ---- items ---- */

static struct sb_pair same_pair(const struct sb_few_shot_items *items, uint64_t k)
{
    /* Same and other pairs take turns as long as there are both. */
    uint64_t other = items->pairs.other.taken;
    return sb_pairs_at(&items->pairs, k < other ? 2 * k : k + other);
}

static int32_t class_id_of(const struct sb_few_shot_items *items, uint64_t place)
{
    return items->disputed[place] || items->label_bits ? -1 : (int32_t)class_of(items, place);
}

static void make_pair(struct sb_item *item, const struct sb_few_shot_items *items,
                      struct sb_pair pair)
{
    bool alike = pair.same || items->names[pair.first] == items->names[pair.second];
    *item = (struct sb_item){
        .texts = {pair.first, pair.second},
        .text_count = 2,
        .gold = alike ? 1 : 0,
        /* One of the two may be known in another class. */
        .class_ids = {class_id_of(items, pair.first), class_id_of(items, pair.second), -1}};
}

static bool share_labels(const struct sb_few_shot_items *items, uint64_t a, uint64_t b)
{
    const uint64_t *left = items->label_bits + class_of(items, a) * items->words;
    const uint64_t *right = items->label_bits + class_of(items, b) * items->words;
    for (size_t i = 0; i < items->words; i++)
        if (left[i] & right[i])
            return true;
    return false;
}

/* Shares no label with the anchor, and is another text than both. */
static bool can_be_negative(const struct sb_few_shot_items *items, uint64_t place,
                            const uint64_t pair[2])
{
    return items->names[place] != items->names[pair[0]] &&
           items->names[place] != items->names[pair[1]] && !share_labels(items, place, pair[0]);
}

/*
 * Drawn evenly among the places that can be one; after many draws in vain, the next from the last
 * on.  An anchor that shares a label with everybody changes roles with its positive; if neither has
 * a negative, the positive is: equal distances teach nothing.
 */
static uint64_t draw_negative_of_sets(const struct sb_few_shot_items *items, uint64_t pair[2],
                                      const struct sb_rng *key, uint64_t k, uint32_t epoch)
{
    enum { DRAWS = 64 };
    uint64_t count = items->chosen.count, drawn = 0;
    uint32_t word[4];
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t draw = 0; draw < DRAWS; draw++) {
            sb_rng_draw(key, k, epoch, 1 + draw, word);
            drawn = sb_rng_below(word[0], (uint32_t)count);
            if (can_be_negative(items, drawn, pair))
                return drawn;
        }
        for (uint64_t tried = 0; tried < count; tried++) {
            uint64_t place = (drawn + tried) % count;
            if (can_be_negative(items, place, pair))
                return place;
        }
        uint64_t anchor = pair[0];
        pair[0] = pair[1];
        pair[1] = anchor;
    }
    return pair[1];
}

/* A place of another class, drawn evenly; if its text is one of the pair's, the next that is not.
 */
static uint64_t draw_negative(const struct sb_few_shot_items *items, struct sb_pair pair,
                              const uint32_t word[4])
{
    size_t class = class_of(items, pair.first);
    uint64_t begin = items->class_begins[class], size = items->chosen.class_sizes[class];
    uint64_t others = items->chosen.count - size;
    uint64_t drawn = sb_rng_below(word[0], (uint32_t)others);
    for (uint64_t tried = 0; tried < others; tried++) {
        uint64_t at = (drawn + tried) % others, place = at < begin ? at : at + size;
        if (items->names[place] != items->names[pair.first] &&
            items->names[place] != items->names[pair.second])
            return place;
    }
    return drawn < begin ? drawn : drawn + size; /* all other classes consist of this text */
}

static void make_triplet(struct sb_item *item, const struct sb_few_shot_items *items,
                         uint64_t epoch, uint64_t k)
{
    struct sb_rng key = sb_rng_key(items->options.pairs.seed, SB_RNG_SAMPLE, ROUND_NEGATIVE);
    struct sb_pair pair = same_pair(items, k);
    uint32_t word[4];
    sb_rng_draw(&key, k, (uint32_t)epoch, 0, word);
    bool turned = word[1] & 1; /* either may be the anchor */
    uint64_t two[2] = {turned ? pair.second : pair.first, turned ? pair.first : pair.second};
    uint64_t negative = items->label_bits
                            ? draw_negative_of_sets(items, two, &key, k, (uint32_t)epoch)
                            : draw_negative(items, pair, word);
    *item = (struct sb_item){
        .texts = {two[0], two[1], negative}, .text_count = 3, .class_ids = {-1, -1, -1}};
}

/* Two `number` of a pass: the class it is of, and which two of that class. */
static size_t class_of_two(const struct sb_few_shot_items *items, uint64_t *number)
{
    size_t class = 0;
    for (;; class ++) {
        uint64_t twos = (items->chosen.class_sizes[class] + 1) / 2;
        if (*number < twos)
            return class;
        *number -= twos;
    }
}

/*
 * Texts k and k + 1, k even, are two of one class, drawn without repeats in a pass over the texts;
 * the last of an odd class comes with the first.
 */
static void make_single(struct sb_item *item, const struct sb_few_shot_items *items, uint64_t epoch,
                        uint64_t k)
{
    uint64_t pass = k / (2 * items->twos), number = k % (2 * items->twos) / 2;
    struct sb_rng order = sb_rng_key(items->options.pairs.seed, SB_RNG_SAMPLE,
                                     ROUND_TWOS + (epoch << 32) + (pass << 8));
    number = sb_rng_permute(&order, items->twos, number);
    size_t class = class_of_two(items, &number);
    uint64_t size = items->chosen.class_sizes[class];
    uint64_t at = sb_rng_permute(&order, size, (2 * number + k % 2) % size);
    uint64_t place = items->class_begins[class] + at;
    *item = (struct sb_item){
        .texts = {place}, .text_count = 1, .class_ids = {class_id_of(items, place), -1, -1}};
}

static int make_item(const void *context, uint64_t epoch, uint64_t k, struct sb_item *item,
                     struct sb_err *err)
{
    const struct sb_few_shot_items *items = context;
    (void)err;
    if (items->options.loss == SB_EMBEDDING_batch_hard_triplet) {
        make_single(item, items, epoch, k); /* in an order of its own, which keeps twos together */
        return 0;
    }
    struct sb_rng order = sb_rng_key(items->options.pairs.seed, SB_RNG_SHUFFLE, epoch);
    if (items->options.shuffle)
        k = sb_rng_permute(&order, items->count, k);
    if (items->options.loss == SB_EMBEDDING_triplet)
        make_triplet(item, items, epoch, k);
    else if (items->options.loss == SB_EMBEDDING_multiple_negatives_ranking)
        make_pair(item, items, same_pair(items, k));
    else
        make_pair(item, items, sb_pairs_at(&items->pairs, k));
    return 0;
}

struct sb_item_source sb_few_shot_items_source(const struct sb_few_shot_items *items)
{
    return (struct sb_item_source){.count = items->count,
                                   .has_classes = !items->label_bits,
                                   .item = make_item,
                                   .length = text_length,
                                   .read = read_text,
                                   .context = items};
}

/* ---- building ---- */

static void begin_classes(struct sb_few_shot_items *items)
{
    const struct sb_few_shot *chosen = &items->chosen;
    items->class_begins = sb_calloc(chosen->class_count + 1, sizeof(*items->class_begins));
    for (size_t c = 0; c < chosen->class_count; c++) {
        items->class_begins[c + 1] = items->class_begins[c] + chosen->class_sizes[c];
        items->twos += (chosen->class_sizes[c] + 1) / 2;
    }
}

/* What each class stands for, where it is a set of labels. */
static void read_sets(struct sb_few_shot_items *items)
{
    const struct sb_few_shot *chosen = &items->chosen;
    size_t K = chosen->label_count;
    if (!chosen->sets)
        return;
    float *values = sb_alloc((K + 1) * sizeof(*values));
    items->words = (K + 63) / 64;
    items->label_bits = sb_calloc(chosen->class_count * items->words + 1, sizeof(uint64_t));
    for (size_t c = 0; c < chosen->class_count; c++) {
        sb_dataset_values(items->data, (int32_t)chosen->sets[c], values);
        for (size_t k = 0; k < K; k++)
            if (values[k] > 0)
                items->label_bits[c * items->words + k / 64] |= UINT64_C(1) << k % 64;
    }
    free(values);
}

static int number_pairs(struct sb_few_shot_items *items, struct sb_err *err)
{
    const struct sb_few_shot *chosen = &items->chosen;
    const struct sb_pair_options *options = &items->options.pairs;
    return items->label_bits
               ? sb_pairs_init_shared(&items->pairs, chosen->class_sizes, items->label_bits,
                                      chosen->class_count, items->words, options, err)
               : sb_pairs_init(&items->pairs, chosen->class_sizes, chosen->class_count, options,
                               err);
}

static int count_items(struct sb_few_shot_items *items, struct sb_err *err)
{
    const struct sb_few_shot_items_options *options = &items->options;
    if (options->loss == SB_EMBEDDING_batch_hard_triplet) {
        bool iterated = options->pairs.strategy == SB_PAIRS_ITERATIONS;
        items->count = 2 * items->twos * (iterated ? options->pairs.iterations : 1);
        return 0;
    }
    if (number_pairs(items, err) < 0)
        return -1;
    bool of_same = options->loss == SB_EMBEDDING_triplet ||
                   options->loss == SB_EMBEDDING_multiple_negatives_ranking;
    items->count = of_same ? items->pairs.same.taken : items->pairs.count;
    if (of_same && !items->count)
        return sb_err_set(err, SB_ERR_DATA, "no two texts have %s, and this loss compares such",
                          items->label_bits ? "a label in common" : "the same label");
    if (options->loss == SB_EMBEDDING_triplet && !items->pairs.other.taken)
        return sb_err_set(err, SB_ERR_DATA, "all texts have %s, and a triplet takes one of another",
                          items->label_bits ? "a label in common" : "the same label");
    return 0;
}

int sb_few_shot_items_open(struct sb_few_shot_items **out, const struct sb_dataset *data,
                           const struct sb_few_shot_items_options *options, struct sb_err *err)
{
    struct sb_few_shot_items *items = sb_calloc(1, sizeof(*items));
    items->options = *options;
    items->data = data;
    if (sb_few_shot_choose(&items->chosen, data, options->per_label, options->pairs.seed, err) < 0)
        goto failed;
    begin_classes(items);
    read_sets(items);
    if (count_items(items, err) < 0 || name_texts(items, err) < 0)
        goto failed;
    find_disputed(items);
    *out = items;
    return 0;
failed:
    sb_few_shot_items_free(&items);
    return -1;
}

void sb_few_shot_items_free(struct sb_few_shot_items **out)
{
    struct sb_few_shot_items *items = *out;
    if (!items)
        return;
    sb_few_shot_release(&items->chosen);
    sb_pairs_release(&items->pairs);
    free(items->class_begins);
    free(items->label_bits);
    free(items->names);
    free(items->disputed);
    free(items);
    *out = NULL;
}
