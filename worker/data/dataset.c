/*
 * Opening a data set: find its cache by name, or be the one who makes it.
 *
 *     sources -> stamp -> content hash --+
 *     tokenizer, settings ---------------+-> key -> <cache_dir>/<key>.tokens
 *
 * Whoever holds the lock of a key prepares it; the others wait and then find it.  The file gets its
 * name when it is complete, so what has the name is whole, and what was begun and lost is in
 * nobody's way.  Sources that can be read only once are prepared first and named after what was
 * read.
 */
#include "dataset.h"

#include "beat.h"
#include "cache.h"
#include "content.h"
#include "dataset_parts.h"
#include "label_sets.h"
#include "labels.h"
#include "prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct sb_dataset {
    struct sb_cache cache;
    enum sb_dataset_kind kind;
    char key[SB_HASH_TEXT_BYTES];
    /* SB_DATA_WORDS: by the label in a code, the label of a first piece, and of a further one (-1:
     * none). */
    int32_t *first_labels, *rest_labels;
    enum sb_label_form label_form;
    struct sb_label_sets sets; /* SB_LABEL_SET: the labels of the cache are sets of classes */
    enum sb_pair_form form;
};

enum { LENGTH_MIN = 4 }; /* [CLS] a [SEP] and one token of a pair's second text, or its [SEP] */

struct opening {
    const struct sb_wordpiece *tokenizer;
    const struct sb_dataset_options *options;
    char **paths; /* expanded */
    size_t path_count;
    struct sb_bytes stamp;
    bool once;
};

/* --- the name --- */

static void add_text(struct sb_bytes *key, const char *name, const char *text)
{
    sb_bytes_printf(key, "%s=%zu:%s\n", name, text ? strlen(text) + 1 : 0, text ? text : "");
}

/* Everything that decides what the cache holds. */
static void make_key(char key[SB_HASH_TEXT_BYTES], const struct opening *opening,
                     const char *content)
{
    const struct sb_dataset_options *options = opening->options;
    struct sb_bytes text = SB_BYTES_INIT;
    add_text(&text, "content", content);
    sb_bytes_printf(&text, "tokenizer=%016" PRIx64 " vocabulary=%zu\n",
                    sb_wordpiece_fingerprint(opening->tokenizer),
                    sb_wordpiece_count(opening->tokenizer));
    sb_bytes_printf(&text, "kind=%d max_seq_length=%zu labelled=%d header=%d lenient=%d\n",
                    (int)options->kind, options->max_seq_length, options->source.labelled,
                    options->source.header, options->source.lenient);
    if (options->source.label_form != SB_LABEL_CLASS)
        sb_bytes_printf(&text, "label_form=%d\n", (int)options->source.label_form);
    if (options->source.label_form == SB_LABEL_SET)
        add_text(&text, "label_separator", options->source.label_separator);
    if (options->kind == SB_DATA_WORDS)
        sb_bytes_printf(&text, "stride=%zu\n", options->stride);
    if (options->kind == SB_DATA_PAIRS) {
        sb_bytes_printf(&text, "score_min=%.17g score_max=%.17g\n", options->score_min,
                        options->score_max);
        add_text(&text, "negative_column", options->source.negative_column);
    }
    add_text(&text, "text_column", options->source.text_column);
    add_text(&text, "text_pair_column", options->source.text_pair_column);
    add_text(&text, "label_column", options->source.label_column);
    sb_bytes_printf(&text, "labels=%s\n", sb_labels_are_given(options) ? "given" : "found");
    for (size_t i = 0; options->labels && i < options->label_count; i++)
        add_text(&text, "label", options->labels[i]);
    sb_hash_text128(text.data, text.count, key);
    sb_bytes_release(&text);
}

static char *cache_path(char path[SB_PATH_BYTES], const struct opening *opening, const char *key,
                        const char *suffix)
{
    char name[64];
    snprintf(name, sizeof(name), "%s.%s", key, suffix);
    return sb_path_join(path, opening->options->cache_dir, name);
}

/* --- preparing --- */

int sb_labels_take(struct sb_labels *labels, const struct sb_dataset_options *options,
                   struct sb_err *err)
{
    if (options->label_count > SB_LABELS_MAX)
        return sb_err_set(err, SB_ERR_CONFIG, "labels: %zu are more than %d", options->label_count,
                          SB_LABELS_MAX);
    for (size_t i = 0; options->labels && i < options->label_count; i++) {
        if (sb_labels_find(labels, options->labels[i]) >= 0)
            return sb_err_set(err, SB_ERR_CONFIG, "labels: '%s' is there twice",
                              options->labels[i]);
        sb_labels_add(labels, options->labels[i]);
    }
    return 0;
}

/* Sources that changed between naming and reading would put other data under the name. */
static int check_unchanged(const struct opening *opening, struct sb_err *err)
{
    struct sb_bytes now = SB_BYTES_INIT;
    bool once;
    int rc = sb_content_stamp(&now, &once, opening->paths, opening->path_count, err);
    if (rc == 0 && (now.count != opening->stamp.count ||
                    (now.count && memcmp(now.data, opening->stamp.data, now.count) != 0)))
        rc = sb_err_set(err, SB_ERR_DATA, "the data changed while it was read; start again");
    sb_bytes_release(&now);
    return rc;
}

/* key: the name to be given; for sources that are read once it is only known at the end. */
static int prepare(const struct opening *opening, char key[SB_HASH_TEXT_BYTES], struct sb_err *err)
{
    const struct sb_dataset_options *options = opening->options;
    struct sb_cache_writer writer = SB_CACHE_WRITER_INIT;
    struct sb_labels labels = SB_LABELS_INIT;
    struct sb_hasher records;
    uint32_t *label_map = NULL;
    char path[SB_PATH_BYTES], content[SB_HASH_TEXT_BYTES];
    bool words = options->kind == SB_DATA_WORDS;
    bool classes = options->source.label_form == SB_LABEL_CLASS;
    int rc = -1;

    sb_hasher_init(&records);
    cache_path(path, opening, opening->once ? "once" : key, "tokens");
    if ((classes && sb_labels_take(&labels, options, err) < 0) ||
        sb_cache_writer_begin(&writer, path, (uint32_t)sb_wordpiece_count(opening->tokenizer),
                              (uint32_t)options->max_seq_length, words ? 2 : 1, err) < 0 ||
        (words ? sb_prepare_words : sb_prepare)(&writer, opening->tokenizer, options, &labels,
                                                opening->once ? &records : NULL, err) < 0 ||
        check_unchanged(opening, err) < 0)
        goto done;
    if (writer.counts.samples == 0) {
        sb_err_set(err, SB_ERR_DATA, "'%s'%s: there is nothing in the data", opening->paths[0],
                   opening->path_count > 1 ? " and the other files" : "");
        goto done;
    }

    label_map = sb_calloc(labels.count, sizeof(*label_map));
    for (size_t i = 0; i < labels.count; i++)
        label_map[i] = (uint32_t)i;
    /* The tags of words stand among the tokens, by the ids that they had: they are sorted later. So
     * are the classes of sets. */
    if (!words && classes && !sb_labels_are_given(options))
        sb_labels_sort(&labels, label_map);
    if (opening->once) {
        sb_hasher_text128(&records, content);
        make_key(key, opening, content);
        cache_path(path, opening, key, "tokens");
    }
    rc = sb_cache_writer_commit(&writer, path, key, labels.names, label_map, labels.count, err);
done:
    sb_cache_writer_abort(&writer);
    sb_labels_release(&labels);
    sb_hasher_release(&records);
    free(label_map);
    return rc;
}

/* What a killed preparation left behind.  Only under the lock: then nobody else is writing. */
static void remove_leftovers(const char *path)
{
    char pattern[SB_PATH_BYTES + 16];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s.tmp-*", path);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
        globfree(&found);
    }
}

/* The lock belongs to the open file and goes with it, also when we are killed. */
static int lock_file(const char *path, struct sb_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return sb_err_set_errno(err, SB_ERR_CREATE, "cannot create '%s'", path);
    sb_beat_pause(); /* others may prepare for hours */
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EINTR)
            continue;
        sb_err_set_errno(err, SB_ERR_IO, "locking '%s'", path);
        close(fd);
        fd = -1;
        break;
    }
    sb_beat_resume();
    return fd;
}

static int open_cache(struct sb_cache *cache, const struct opening *opening, const char *key,
                      struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    return sb_cache_open(cache, cache_path(path, opening, key, "tokens"), key,
                         (uint32_t)sb_wordpiece_count(opening->tokenizer), err);
}

static bool may_be_made(const struct sb_err *err)
{
    return err->code == SB_ERR_NO_INPUT || err->code == SB_ERR_DATA;
}

static int find_or_prepare(struct sb_dataset *dataset, const struct opening *opening,
                           struct sb_err *err)
{
    char content[SB_HASH_TEXT_BYTES], path[SB_PATH_BYTES];
    struct sb_err missing = SB_ERR_INIT;
    if (sb_content_hash(content, &opening->stamp, opening->paths, opening->path_count,
                        opening->options->cache_dir, err) < 0)
        return -1;
    make_key(dataset->key, opening, content);
    if (open_cache(&dataset->cache, opening, dataset->key, &missing) == 0)
        return 0;

    int lock = lock_file(cache_path(path, opening, dataset->key, "lock"), err);
    if (lock < 0)
        return -1;
    /* Whoever held the lock before us may have made it. */
    int rc = open_cache(&dataset->cache, opening, dataset->key, &missing);
    if (rc < 0 && !may_be_made(&missing)) {
        if (err)
            *err = missing;
    } else if (rc < 0) {
        remove_leftovers(cache_path(path, opening, dataset->key, "tokens"));
        rc = prepare(opening, dataset->key, err);
        if (rc == 0)
            rc = open_cache(&dataset->cache, opening, dataset->key, err);
    }
    close(lock);
    return rc;
}

/* --- the public functions --- */

static int check_options(const struct sb_dataset_options *options, struct sb_err *err)
{
    if (options->max_seq_length < LENGTH_MIN || options->max_seq_length > SB_CACHE_LENGTH_MAX)
        return sb_err_set(err, SB_ERR_CONFIG, "max_seq_length is %zu, not %d to %d",
                          options->max_seq_length, LENGTH_MIN, SB_CACHE_LENGTH_MAX);
    return 0;
}

/* The label of the further pieces of a word of this one: B-X goes on as I-X, if there is one. */
static int32_t rest_label(const struct sb_labels *labels, int32_t id)
{
    const char *name = labels->names[id];
    if (name[0] != 'B' || name[1] != '-')
        return id;
    char *inside = sb_strdup(name);
    inside[0] = 'I';
    int32_t found = sb_labels_find(labels, inside);
    free(inside);
    return found >= 0 ? found : id;
}

/* Names that were found get their sorted order here; codes are mapped to it. */
static int map_codes(struct sb_dataset *dataset, const struct sb_dataset_options *options,
                     struct sb_err *err)
{
    struct sb_cache *cache = &dataset->cache;
    struct sb_labels labels = SB_LABELS_INIT;
    size_t count = cache->label_count;
    uint32_t *map = sb_calloc(count, sizeof(*map));
    if (cache->width != 2 || count > SB_WORD_LABELS_MAX) {
        free(map);
        return sb_err_set(err, SB_ERR_DATA, "'%s' is not data of words", cache->path);
    }
    for (size_t i = 0; i < count; i++) {
        sb_labels_add(&labels, cache->labels[i]);
        map[i] = (uint32_t)i;
    }
    if (!sb_labels_are_given(options))
        sb_labels_sort(&labels, map);
    dataset->first_labels = sb_calloc(count, sizeof(*dataset->first_labels));
    dataset->rest_labels = sb_calloc(count, sizeof(*dataset->rest_labels));
    for (size_t i = 0; i < count; i++) {
        int32_t id = (int32_t)map[i];
        dataset->first_labels[i] = id;
        dataset->rest_labels[i] = options->label_all_tokens ? rest_label(&labels, id) : -1;
        free(cache->labels[i]);
    }
    for (size_t i = 0; i < count; i++)
        cache->labels[i] = sb_strdup(labels.names[i]);
    sb_labels_release(&labels);
    free(map);
    return 0;
}

/* The first record says what all are: a text that begins one, and the texts until the next. */
static int find_form(struct sb_dataset *dataset, struct sb_err *err)
{
    uint64_t count = dataset->cache.counts.samples, texts = 0;
    bool scored = false;
    for (uint64_t i = 0; i < count && i <= 3; i++) {
        struct sb_cache_entry entry;
        if (sb_cache_entry_read(&dataset->cache, i, &entry, err) < 0)
            return -1;
        if (i && (entry.flags & SB_CACHE_BEGINS))
            break;
        scored = scored || (entry.flags & SB_CACHE_SCORE);
        texts++;
    }
    if (texts < 2 || texts > 3 || count % texts)
        return sb_err_set(err, SB_ERR_DATA, "'%s' is not data of pairs", dataset->cache.path);
    dataset->form = texts == 3 ? SB_PAIR_TRIPLET : scored ? SB_PAIR_SCORED : SB_PAIR_PLAIN;
    return 0;
}

int sb_dataset_open(struct sb_dataset **dataset, const struct sb_wordpiece *tokenizer,
                    const struct sb_dataset_options *options, struct sb_err *err)
{
    struct opening opening = {.tokenizer = tokenizer, .options = options};
    struct sb_dataset *made = sb_calloc(1, sizeof(*made));
    made->cache = (struct sb_cache)SB_CACHE_INIT;
    made->kind = options->kind;
    made->label_form = options->source.label_form;
    *dataset = NULL;
    int rc = -1;
    if (check_options(options, err) < 0 ||
        sb_paths_expand(&opening.paths, &opening.path_count, options->source.paths,
                        options->source.path_count, err) < 0)
        goto done;
    if (opening.path_count == 0) {
        sb_err_set(err, SB_ERR_NO_INPUT, "no data files are named");
        goto done;
    }
    if (sb_content_stamp(&opening.stamp, &opening.once, opening.paths, opening.path_count, err) <
            0 ||
        sb_dir_make(options->cache_dir, err) < 0)
        goto done;
    if (!opening.once)
        rc = find_or_prepare(made, &opening, err);
    else if (prepare(&opening, made->key, err) == 0)
        rc = open_cache(&made->cache, &opening, made->key, err);
    if (rc == 0 && options->kind == SB_DATA_WORDS)
        rc = map_codes(made, options, err);
    if (rc == 0 && made->label_form == SB_LABEL_SET)
        rc = sb_label_sets_init(&made->sets, made->cache.labels, made->cache.label_count, options,
                                err);
    if (rc == 0 && options->kind == SB_DATA_PAIRS)
        rc = find_form(made, err);
done:
    sb_paths_free(&opening.paths, &opening.path_count);
    sb_bytes_release(&opening.stamp);
    if (rc < 0)
        sb_dataset_free(&made);
    *dataset = made;
    return rc;
}

void sb_dataset_free(struct sb_dataset **dataset)
{
    if (!*dataset)
        return;
    sb_cache_close(&(*dataset)->cache);
    free((*dataset)->first_labels);
    free((*dataset)->rest_labels);
    sb_label_sets_release(&(*dataset)->sets);
    free(*dataset);
    *dataset = NULL;
}

bool sb_dataset_mlm_kind(enum sb_dataset_kind *kind, const char *grouping)
{
    static const struct {
        const char *name;
        enum sb_dataset_kind kind;
    } kinds[] = {{"line", SB_DATA_LINES},
                 {"document", SB_DATA_BLOCKS},
                 {"pack", SB_DATA_PACK},
                 {"pack_documents", SB_DATA_PACK_DOCUMENTS},
                 {"hf", SB_DATA_HF}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, grouping) != 0)
            continue;
        *kind = kinds[i].kind;
        return true;
    }
    return false;
}

uint64_t sb_dataset_count(const struct sb_dataset *dataset)
{
    return dataset->cache.counts.samples;
}

uint32_t sb_dataset_item_texts(const struct sb_dataset *dataset)
{
    return dataset->form == SB_PAIR_NONE ? 1 : dataset->form == SB_PAIR_TRIPLET ? 3 : 2;
}

uint64_t sb_dataset_item_count(const struct sb_dataset *dataset)
{
    return dataset->cache.counts.samples / sb_dataset_item_texts(dataset);
}

enum sb_pair_form sb_dataset_pair_form(const struct sb_dataset *dataset)
{
    return dataset->form;
}

int sb_dataset_pair_score(const struct sb_dataset *dataset, uint64_t item, float *score,
                          struct sb_err *err)
{
    struct sb_cache_entry entry;
    sb_assert(dataset->form == SB_PAIR_SCORED);
    if (sb_cache_entry_read(&dataset->cache, 2 * item, &entry, err) < 0)
        return -1;
    if (!(entry.flags & SB_CACHE_SCORE))
        return sb_err_set(err, SB_ERR_DATA, "'%s': pair %" PRIu64 " has no score; remove the file",
                          dataset->cache.path, item);
    memcpy(score, &entry.label, sizeof(*score));
    return 0;
}

uint64_t sb_dataset_token_count(const struct sb_dataset *dataset)
{
    return dataset->cache.counts.tokens;
}

uint64_t sb_dataset_truncated_count(const struct sb_dataset *dataset)
{
    return dataset->cache.counts.truncated;
}

const char *sb_dataset_fingerprint(const struct sb_dataset *dataset)
{
    return dataset->key;
}

size_t sb_dataset_label_count(const struct sb_dataset *dataset)
{
    return dataset->label_form == SB_LABEL_SET ? dataset->sets.classes.count
                                               : dataset->cache.label_count;
}

const char *sb_dataset_label(const struct sb_dataset *dataset, size_t id)
{
    char *const *names =
        dataset->label_form == SB_LABEL_SET ? dataset->sets.classes.names : dataset->cache.labels;
    return id < sb_dataset_label_count(dataset) ? names[id] : NULL;
}

const struct sb_cache *sb_dataset_cache(const struct sb_dataset *dataset)
{
    return &dataset->cache;
}

bool sb_dataset_is_labelled(const struct sb_dataset *dataset)
{
    return dataset->kind == SB_DATA_LABELLED;
}

bool sb_dataset_is_packed(const struct sb_dataset *dataset)
{
    return dataset->kind == SB_DATA_PACK || dataset->kind == SB_DATA_PACK_DOCUMENTS;
}

enum sb_label_form sb_dataset_label_form(const struct sb_dataset *dataset)
{
    return dataset->label_form;
}

const struct sb_label_sets *sb_dataset_label_sets(const struct sb_dataset *dataset)
{
    return dataset->label_form == SB_LABEL_SET ? &dataset->sets : NULL;
}

void sb_dataset_values(const struct sb_dataset *dataset, int32_t label, float *values)
{
    if (dataset->label_form == SB_LABEL_SCORE)
        memcpy(values, &label, sizeof(*values));
    else
        sb_label_sets_values(&dataset->sets, label, values);
}

uint32_t sb_dataset_length(const struct sb_dataset *dataset, uint64_t sample)
{
    struct sb_cache_entry entry;
    return sb_cache_entry_read(&dataset->cache, sample, &entry, NULL) < 0 ? 0 : entry.length;
}

/* Codes are read along, for the checksum, and dropped. */
static int read_ids(const struct sb_dataset *dataset, uint64_t sample,
                    const struct sb_cache_entry *entry, int32_t *ids, struct sb_err *err)
{
    if (dataset->cache.width == 1)
        return sb_cache_tokens_read(&dataset->cache, sample, entry, ids, err);
    int32_t *values = sb_alloc((size_t)entry->length * dataset->cache.width * sizeof(*values));
    int rc = sb_cache_tokens_read(&dataset->cache, sample, entry, values, err);
    if (rc == 0)
        memcpy(ids, values, entry->length * sizeof(*ids));
    free(values);
    return rc;
}

bool sb_dataset_continues(const struct sb_dataset *dataset, uint64_t sample)
{
    struct sb_cache_entry entry;
    return dataset->kind == SB_DATA_WORDS &&
           sb_cache_entry_read(&dataset->cache, sample, &entry, NULL) == 0 &&
           (entry.flags & SB_CACHE_CONTINUES);
}

int32_t sb_dataset_code_label(const struct sb_dataset *dataset, int32_t code)
{
    if (code == 0)
        return -1;
    size_t label = (size_t)(code - 1) / 2;
    if (code < 0 || label >= dataset->cache.label_count)
        return -2;
    return code % 2 ? dataset->rest_labels[label] : dataset->first_labels[label];
}

int sb_dataset_read(const struct sb_dataset *dataset, uint64_t sample, int32_t *ids, uint8_t *types,
                    int32_t *label, int *truncated, struct sb_err *err)
{
    struct sb_cache_entry entry;
    if (sb_cache_entry_read(&dataset->cache, sample, &entry, err) < 0 ||
        read_ids(dataset, sample, &entry, ids, err) < 0)
        return -1;
    if (types)
        sb_entry_types(&entry, types);
    if (label)
        *label = entry.label;
    if (truncated)
        *truncated = (entry.flags & SB_CACHE_TRUNCATED) != 0;
    return 0;
}

uint64_t sb_dataset_order(const struct sb_dataset *dataset, uint64_t seed, uint64_t epoch,
                          bool shuffle, uint64_t k)
{
    return sb_order_sample(dataset->cache.counts.samples, seed, epoch, shuffle, k);
}
