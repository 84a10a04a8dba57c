#include "prepare.h"

#include "beat.h"
#include "dataset_parts.h"
#include "grouping.h"
#include "label_sets.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = 256 << 10, /* of text, unless one text is longer */
    CHUNK_ITEMS = 4096,
    RECORD_ITEMS = 3 * SB_NEGATIVES_MAX, /* at most: triplets with one anchor */
    PIECE_BYTES = 64 << 10,              /* longer texts are encoded piece by piece */
    KEPT_BYTES = 4 << 20,                /* a chunk that grew beyond this gives its memory back */
};

#define NO_PAIR SIZE_MAX

struct item {
    size_t text_at, text_bytes;
    size_t pair_at, pair_bytes; /* pair_at NO_PAIR: none */
    int32_t label;              /* provisional id */
    bool ends_text;
    uint16_t flags; /* of its entry in the cache */
    /* What tokenising found: tokens of each text that are kept.  No specials yet. */
    uint32_t first, second;
    bool truncated;
};

enum chunk_state { CHUNK_FREE, CHUNK_FULL, CHUNK_DONE };

struct chunk {
    enum chunk_state state; /* moved under the ring's lock; FREE -> FULL -> DONE -> FREE */
    struct sb_bytes text;
    struct item *items; /* [CHUNK_ITEMS] */
    size_t item_count;
    int32_t *ids; /* of all items, one after the other */
    size_t id_count, id_capacity;
};

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t filled, done;
    struct chunk *chunks;
    size_t chunk_count;
    uint64_t filled_count, taken_count; /* chunks ever */
    bool closed;
    const struct sb_wordpiece *tokenizer;
    const struct sb_dataset_options *options;
};

struct preparation {
    struct ring ring;
    struct sb_reader *reader;
    struct sb_cache_writer *writer;
    struct sb_labels *labels; /* SB_LABEL_SET: names of sets; the classes are beside it */
    struct sb_labels classes;
    struct sb_bytes set;
    bool labels_given;
    struct sb_hasher *records;
    struct sb_specials specials;
    int32_t *sample;             /* [max_seq_length] the sample that is put together */
    struct sb_grouping grouping; /* of the kinds that join texts */
    char *path;                  /* of the record before */
    bool ended;
    enum sb_pair_form form; /* of all records; 0: none was read */
};

/* --- tokenising: runs on the threads --- */

void sb_cut_pair(size_t *first, size_t *second, size_t budget)
{
    bool swapped = *first > *second;
    size_t *shorter = swapped ? second : first, *longer = swapped ? first : second;
    if (*first + *second <= budget)
        return;
    if (*shorter > budget / 2)
        *shorter = budget / 2;
    *longer = budget - *shorter;
}

/*
 * Where a piece of a long text may end: before a space, which is a word of no tokens and starts
 * afresh whatever the normaliser does.  So pieces encode to what the whole would.
 */
static size_t piece_end(const char *text, size_t at, size_t bytes)
{
    if (bytes - at <= PIECE_BYTES)
        return bytes;
    const char *space = memchr(text + at + PIECE_BYTES, ' ', bytes - at - PIECE_BYTES);
    return space ? (size_t)(space - text) : bytes;
}

static void reserve_ids(struct chunk *chunk, size_t count)
{
    if (chunk->id_capacity - chunk->id_count >= count)
        return;
    chunk->id_capacity = (chunk->id_count + count) * 3 / 2;
    chunk->ids = sb_realloc(chunk->ids, chunk->id_capacity * sizeof(*chunk->ids));
}

/* Appends the tokens of a text, no more than enough of them, and returns their number. */
static size_t encode_text(struct chunk *chunk, size_t at, size_t bytes, size_t enough,
                          const struct sb_wordpiece *tokenizer, struct sb_encoding *encoding)
{
    const char *text = chunk->text.data + at;
    size_t count = 0;
    for (size_t begin = 0, end; begin < bytes && count < enough; begin = end) {
        end = piece_end(text, begin, bytes);
        sb_wordpiece_encode(tokenizer, text + begin, end - begin, encoding);
        size_t more = encoding->count < enough - count ? encoding->count : enough - count;
        if (more) {
            reserve_ids(chunk, more);
            memcpy(chunk->ids + chunk->id_count, encoding->ids, more * sizeof(*chunk->ids));
        }
        chunk->id_count += more;
        count += more;
    }
    return count;
}

/* One token more than fits tells that a text was cut. */
static void encode_sample(struct chunk *chunk, struct item *item, size_t max_length,
                          const struct sb_wordpiece *tokenizer, struct sb_encoding *encoding)
{
    bool pair = item->pair_at != NO_PAIR;
    size_t budget = max_length - (pair ? 3 : 2), start = chunk->id_count;
    size_t found =
        encode_text(chunk, item->text_at, item->text_bytes, budget + 1, tokenizer, encoding);
    size_t found_pair =
        pair ? encode_text(chunk, item->pair_at, item->pair_bytes, budget + 1, tokenizer, encoding)
             : 0;
    size_t first = found, second = found_pair;
    if (pair)
        sb_cut_pair(&first, &second, budget);
    else if (first > budget)
        first = budget;
    int32_t *ids = chunk->ids + start;
    if (second && first < found)
        memmove(ids + first, ids + found, second * sizeof(*ids));
    chunk->id_count = start + first + second;
    item->first = (uint32_t)first;
    item->second = (uint32_t)second;
    item->truncated = first + second < found + found_pair;
}

static void encode_chunk(struct chunk *chunk, const struct ring *ring, struct sb_encoding *encoding)
{
    const struct sb_dataset_options *options = ring->options;
    chunk->id_count = 0;
    reserve_ids(chunk, 256);
    for (size_t i = 0; i < chunk->item_count; i++) {
        struct item *item = &chunk->items[i];
        if (sb_grouping_joins(options->kind))
            item->first = (uint32_t)encode_text(chunk, item->text_at, item->text_bytes, SIZE_MAX,
                                                ring->tokenizer, encoding);
        else
            encode_sample(chunk, item, options->max_seq_length, ring->tokenizer, encoding);
    }
}

static void *encode_chunks(void *argument)
{
    struct ring *ring = argument;
    struct sb_encoding encoding = {0};
    sb_beat_join();
    pthread_mutex_lock(&ring->lock);
    for (;;) {
        while (ring->taken_count == ring->filled_count && !ring->closed)
            pthread_cond_wait(&ring->filled, &ring->lock);
        if (ring->closed)
            break;
        struct chunk *chunk = &ring->chunks[ring->taken_count++ % ring->chunk_count];
        pthread_mutex_unlock(&ring->lock);
        encode_chunk(chunk, ring, &encoding);
        sb_beat();
        pthread_mutex_lock(&ring->lock);
        chunk->state = CHUNK_DONE;
        pthread_cond_signal(&ring->done);
    }
    pthread_mutex_unlock(&ring->lock);
    sb_encoding_release(&encoding);
    sb_beat_leave();
    return NULL;
}

/* --- writing: the calling thread, chunks in order --- */

static int write_sample(struct preparation *p, const struct item *item, const int32_t *ids,
                        struct sb_err *err)
{
    /* A line of spaces has nothing to mask; a labelled text of nothing still has its class. */
    if (p->ring.options->kind == SB_DATA_LINES && item->first == 0)
        return 0;
    size_t length = 0;
    p->sample[length++] = p->specials.cls;
    memcpy(p->sample + length, ids, item->first * sizeof(*ids));
    length += item->first;
    p->sample[length++] = p->specials.sep;
    size_t first_length = length;
    if (item->pair_at != NO_PAIR) {
        memcpy(p->sample + length, ids + item->first, item->second * sizeof(*ids));
        length += item->second;
        p->sample[length++] = p->specials.sep;
    }
    struct sb_cache_entry entry = {
        .label = item->label,
        .length = (uint16_t)length,
        .first_length = (uint16_t)first_length,
        .flags = (uint16_t)(item->flags | (item->truncated ? SB_CACHE_TRUNCATED : 0)),
    };
    return sb_cache_writer_add(p->writer, entry, p->sample, err);
}

static void clear_chunk(struct chunk *chunk)
{
    if (chunk->text.capacity > KEPT_BYTES)
        sb_bytes_release(&chunk->text);
    sb_bytes_clear(&chunk->text);
    if (chunk->id_capacity * sizeof(*chunk->ids) > KEPT_BYTES) {
        free(chunk->ids);
        chunk->ids = NULL;
        chunk->id_capacity = 0;
    }
    chunk->item_count = 0;
    chunk->id_count = 0;
    chunk->state = CHUNK_FREE;
}

static int write_chunk(struct preparation *p, struct chunk *chunk, struct sb_err *err)
{
    const struct sb_dataset_options *options = p->ring.options;
    const int32_t *ids = chunk->ids;
    for (size_t i = 0; i < chunk->item_count; i++) {
        const struct item *item = &chunk->items[i];
        int rc = sb_grouping_joins(options->kind)
                     ? sb_grouping_add(&p->grouping, ids, item->first, item->ends_text, err)
                     : write_sample(p, item, ids, err);
        if (rc < 0)
            return -1;
        ids += item->first + item->second;
    }
    clear_chunk(chunk);
    if (options->progress) {
        uint64_t done, total, replaced;
        sb_reader_progress(p->reader, &done, &total, &replaced);
        options->progress(options->progress_context, done, total, p->writer->counts.samples);
    }
    return 0;
}

/* --- reading: the calling thread --- */

int sb_label_resolve(int32_t *id, struct sb_labels *labels, bool given, const char *name,
                     const char *path, uint64_t line, struct sb_err *err)
{
    *id = sb_labels_find(labels, name);
    if (*id >= 0)
        return 0;
    if (!given) {
        if (labels->count == SB_LABELS_MAX)
            return sb_err_set(err, SB_ERR_DATA,
                              "%s:%" PRIu64
                              ": more than %d different labels; is label_column right?",
                              path, line, SB_LABELS_MAX);
        *id = sb_labels_add(labels, name);
        return 0;
    }
    int64_t number = sb_label_number(name);
    if (number >= 0 && number < (int64_t)labels->count) {
        *id = (int32_t)number;
        return 0;
    }
    struct sb_bytes known = SB_BYTES_INIT;
    sb_labels_print(labels, &known);
    sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": label '%.80s' is not one of the labels: %s", path,
               line, name, known.data);
    sb_bytes_release(&known);
    return -1;
}

/* The id of a set of classes, by a name that is the same in whatever order they were given. */
static int find_set(struct preparation *p, const struct sb_record *record, int32_t *label,
                    struct sb_err *err)
{
    if (sb_label_set_name(&p->set, record->label, &p->classes, p->labels_given, record->path,
                          record->line, err) < 0)
        return -1;
    *label = sb_labels_find(p->labels, p->set.data);
    if (*label < 0 && p->labels->count == SB_LABEL_SETS_MAX)
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": more than %d different sets of labels",
                          record->path, record->line, SB_LABEL_SETS_MAX);
    if (*label < 0)
        *label = sb_labels_add(p->labels, p->set.data);
    return 0;
}

static int find_score(const struct sb_record *record, int32_t *label, struct sb_err *err)
{
    char *end;
    const char *text = record->label;
    float value = strtof(text, &end);
    /* strtof would also take hexadecimal numbers, inf and nan. */
    if (!*text || *end || text[strspn(text, "+-.0123456789eE")])
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": label '%.80s' is not a number",
                          record->path, record->line, text);
    if (!isfinite(value))
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:%" PRIu64 ": label %.80s is too large: at most 3.4e38", record->path,
                          record->line, text);
    memcpy(label, &value, sizeof(value));
    return 0;
}

static int find_label(struct preparation *p, const struct sb_record *record, int32_t *label,
                      struct sb_err *err)
{
    *label = -1;
    if (p->ring.options->kind != SB_DATA_LABELLED || !p->ring.options->source.labelled)
        return 0;
    enum sb_label_form form = p->ring.options->source.label_form;
    if (!record->label || (!*record->label && form != SB_LABEL_SET))
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": there is no label", record->path,
                          record->line);
    if (form == SB_LABEL_SET)
        return find_set(p, record, label, err);
    if (form == SB_LABEL_SCORE)
        return find_score(record, label, err);
    return sb_label_resolve(label, p->labels, p->labels_given, record->label, record->path,
                            record->line, err);
}

static void hash_text(struct sb_hasher *hasher, const char *text, size_t bytes)
{
    uint64_t count = text ? bytes : UINT64_MAX;
    sb_hasher_add(hasher, &count, sizeof(count));
    if (text)
        sb_hasher_add(hasher, text, bytes);
}

static void hash_record(struct sb_hasher *hasher, const struct sb_record *record)
{
    hash_text(hasher, record->text, record->text_bytes);
    hash_text(hasher, record->text_pair, record->text_pair_bytes);
    hash_text(hasher, record->label, record->label ? strlen(record->label) : 0);
    for (size_t i = 0; i < record->negative_count; i++)
        hash_text(hasher, record->negatives[i].text, record->negatives[i].bytes);
}

static struct item *add_item(struct chunk *chunk)
{
    struct item *item = &chunk->items[chunk->item_count++];
    *item = (struct item){.pair_at = NO_PAIR, .label = -1};
    item->text_at = chunk->text.count;
    return item;
}

/* A document ends with a blank line, and with its file. */
static void add_document_part(struct preparation *p, struct chunk *chunk,
                              const struct sb_record *record)
{
    if (!p->path || strcmp(p->path, record->path) != 0) {
        add_item(chunk)->ends_text = true;
        free(p->path);
        p->path = sb_strdup(record->path);
    }
    struct item *item = add_item(chunk);
    item->ends_text = record->blank;
    item->text_bytes = record->text_bytes;
    sb_bytes_append(&chunk->text, record->text, record->text_bytes);
}

/* ---- pairs: every text is a sample of its own ---- */

static const char *form_name(enum sb_pair_form form)
{
    return form == SB_PAIR_SCORED    ? "a pair with a score"
           : form == SB_PAIR_TRIPLET ? "a pair with a negative"
                                     : "a pair without score or negative";
}

static int check_form(struct preparation *p, const struct sb_record *record, struct sb_err *err)
{
    enum sb_pair_form form = record->negative_count ? SB_PAIR_TRIPLET
                             : record->label        ? SB_PAIR_SCORED
                                                    : SB_PAIR_PLAIN;
    if (!p->form)
        p->form = form;
    if (p->form == form)
        return 0;
    return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": %s, where the first record is %s",
                      record->path, record->line, form_name(form), form_name(p->form));
}

/* The score of a pair, of score_max, as the bits of a float. */
static int find_pair_score(const struct preparation *p, const struct sb_record *record,
                           int32_t *bits, struct sb_err *err)
{
    double max = p->ring.options->score_max, min = p->ring.options->score_min * max;
    float score;
    bool may_be_names = record->line == 1 && !p->ring.options->source.header;
    if (find_score(record, bits, may_be_names ? NULL : err) < 0)
        return !may_be_names ? -1
                             : sb_err_set(err, SB_ERR_DATA,
                                          "%s:1: the score '%.80s' is not a number; if the first "
                                          "line names the columns, set header: true",
                                          record->path, record->label);
    memcpy(&score, bits, sizeof(score));
    if (!(score >= min && score <= max))
        return sb_err_set(err, SB_ERR_DATA,
                          "%s:%" PRIu64 ": the score %.80s is not from %.6g to %.6g%s",
                          record->path, record->line, record->label, min, max,
                          score > max ? "; set score_max to the largest that there is" : "");
    score = (float)(score / max);
    memcpy(bits, &score, sizeof(score));
    return 0;
}

static struct item *add_text(struct chunk *chunk, const char *text, size_t bytes)
{
    struct item *item = add_item(chunk);
    item->text_bytes = bytes;
    sb_bytes_append(&chunk->text, text, bytes);
    return item;
}

/* A pair; or one triplet for each negative. */
static int add_pair(struct preparation *p, struct chunk *chunk, const struct sb_record *record,
                    struct sb_err *err)
{
    int32_t score = -1;
    uint16_t flags = SB_CACHE_BEGINS;
    if (check_form(p, record, err) < 0)
        return -1;
    if (record->label) {
        flags |= SB_CACHE_SCORE;
        if (find_pair_score(p, record, &score, err) < 0)
            return -1;
    }
    for (size_t i = 0; i == 0 || i < record->negative_count; i++) {
        struct item *anchor = add_text(chunk, record->text, record->text_bytes);
        anchor->flags = flags;
        anchor->label = score;
        add_text(chunk, record->text_pair, record->text_pair_bytes);
        if (record->negative_count)
            add_text(chunk, record->negatives[i].text, record->negatives[i].bytes);
    }
    return 0;
}

static int add_record(struct preparation *p, struct chunk *chunk, const struct sb_record *record,
                      struct sb_err *err)
{
    if (p->records)
        hash_record(p->records, record);
    enum sb_dataset_kind kind = p->ring.options->kind;
    bool joins = sb_grouping_joins(kind);
    if (joins && !sb_grouping_by_record(kind)) {
        add_document_part(p, chunk, record);
        return 0;
    }
    /* An empty line is a text to Hugging Face's script, and to nobody else. */
    if (record->blank && kind != SB_DATA_HF)
        return 0;
    if (p->ring.options->kind == SB_DATA_PAIRS)
        return add_pair(p, chunk, record, err);
    int32_t label;
    if (find_label(p, record, &label, err) < 0)
        return -1;
    struct item *item = add_item(chunk);
    item->label = label;
    if (p->ring.options->source.label_form == SB_LABEL_SCORE)
        item->flags |= SB_CACHE_SCORE;
    item->ends_text = joins;
    item->text_bytes = record->text_bytes;
    sb_bytes_append(&chunk->text, record->text, record->text_bytes);
    if (record->text_pair && p->ring.options->kind == SB_DATA_LABELLED) {
        item->pair_at = chunk->text.count;
        item->pair_bytes = record->text_pair_bytes;
        sb_bytes_append(&chunk->text, record->text_pair, record->text_pair_bytes);
    }
    return 0;
}

static int fill_chunk(struct preparation *p, struct chunk *chunk, struct sb_err *err)
{
    struct sb_record record;
    while (chunk->text.count < CHUNK_BYTES && chunk->item_count + RECORD_ITEMS <= CHUNK_ITEMS) {
        int rc = sb_reader_next(p->reader, &record, err);
        if (rc < 0 || (rc > 0 && add_record(p, chunk, &record, err) < 0))
            return -1;
        if (rc == 0) {
            p->ended = true;
            break;
        }
    }
    return 0;
}

static void wait_for(struct ring *ring, struct chunk *chunk)
{
    pthread_mutex_lock(&ring->lock);
    while (chunk->state == CHUNK_FULL)
        pthread_cond_wait(&ring->done, &ring->lock);
    pthread_mutex_unlock(&ring->lock);
}

static int run(struct preparation *p, struct sb_err *err)
{
    struct ring *ring = &p->ring;
    for (uint64_t turn = 0;; turn++) {
        struct chunk *chunk = &ring->chunks[turn % ring->chunk_count];
        wait_for(ring, chunk);
        if (chunk->state == CHUNK_DONE && write_chunk(p, chunk, err) < 0)
            return -1;
        if (p->ended && turn >= ring->filled_count + ring->chunk_count - 1)
            return 0;
        if (p->ended)
            continue;
        if (fill_chunk(p, chunk, err) < 0)
            return -1;
        pthread_mutex_lock(&ring->lock);
        chunk->state = CHUNK_FULL;
        ring->filled_count++;
        pthread_cond_signal(&ring->filled);
        pthread_mutex_unlock(&ring->lock);
    }
}

static size_t start_threads(pthread_t *threads, size_t count, struct ring *ring)
{
    size_t started = 0;
    while (started < count && pthread_create(&threads[started], NULL, encode_chunks, ring) == 0)
        started++;
    return started;
}

static void stop_threads(pthread_t *threads, size_t count, struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->closed = true;
    pthread_cond_broadcast(&ring->filled);
    pthread_mutex_unlock(&ring->lock);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void ring_init(struct ring *ring, size_t chunk_count)
{
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->filled, NULL);
    pthread_cond_init(&ring->done, NULL);
    ring->chunk_count = chunk_count;
    ring->chunks = sb_calloc(chunk_count, sizeof(*ring->chunks));
    for (size_t i = 0; i < chunk_count; i++)
        ring->chunks[i].items = sb_calloc(CHUNK_ITEMS, sizeof(struct item));
}

static void ring_release(struct ring *ring)
{
    for (size_t i = 0; i < ring->chunk_count; i++) {
        sb_bytes_release(&ring->chunks[i].text);
        free(ring->chunks[i].items);
        free(ring->chunks[i].ids);
    }
    free(ring->chunks);
    pthread_cond_destroy(&ring->filled);
    pthread_cond_destroy(&ring->done);
    pthread_mutex_destroy(&ring->lock);
}

int sb_prepare(struct sb_cache_writer *writer, const struct sb_wordpiece *tokenizer,
               const struct sb_dataset_options *options, struct sb_labels *labels,
               struct sb_hasher *records, struct sb_err *err)
{
    struct preparation p = {
        .ring = {.tokenizer = tokenizer, .options = options},
        .writer = writer,
        .labels = labels,
        .labels_given = sb_labels_are_given(options),
        .records = records,
        .specials = sb_wordpiece_specials(tokenizer),
    };
    bool sets = options->source.label_form == SB_LABEL_SET;
    if ((sets && sb_labels_take(&p.classes, options, err) < 0) ||
        sb_reader_open(&p.reader, &options->source, err) < 0) {
        sb_labels_release(&p.classes);
        return -1;
    }
    size_t thread_count = options->threads ? options->threads : 1;
    pthread_t *threads = sb_calloc(thread_count, sizeof(*threads));
    ring_init(&p.ring, 2 * thread_count + 2);
    p.sample = sb_alloc(options->max_seq_length * sizeof(*p.sample));
    sb_grouping_init(&p.grouping, options, tokenizer, writer);

    size_t started = start_threads(threads, thread_count, &p.ring);
    int rc = started ? run(&p, err)
                     : sb_err_set(err, SB_ERR_TRY_AGAIN, "cannot start a thread for tokenising");
    stop_threads(threads, started, &p.ring);
    if (rc == 0)
        rc = sb_grouping_end(&p.grouping, err);
    if (rc == 0) {
        uint64_t done, total;
        sb_reader_progress(p.reader, &done, &total, &writer->counts.replaced);
    }

    ring_release(&p.ring);
    free(threads);
    free(p.sample);
    sb_grouping_release(&p.grouping);
    free(p.path);
    sb_labels_release(&p.classes);
    sb_bytes_release(&p.set);
    sb_reader_free(&p.reader);
    return rc;
}
