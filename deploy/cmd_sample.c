/* `shardbert sample`: a few labelled texts of each class, the same that samples_per_label draws. */
#include "commands.h"

#include "answer.h"
#include "arena.h"
#include "few_shot.h"
#include "label_sets.h"
#include "labels.h"
#include "reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    struct sb_reader_options source;
    char **paths;
    uint64_t per_label, seed;

    /* Of the records that count as samples, in the order of reading. */
    int32_t *classes; /* [count] */
    uint64_t count, capacity;
    struct sb_labels labels; /* of several labels a text: names of sets of them */
    struct sb_labels parts;  /* and the labels that make the sets */
    struct sb_bytes name;    /* of the set in hand */
};

enum {
    KEY_DATA = 256,
    KEY_PER_LABEL,
    KEY_SEED,
    KEY_TEXT,
    KEY_PAIR,
    KEY_LABEL,
    KEY_MULTI,
    KEY_SEPARATOR,
    KEY_HEADER,
    KEY_LENIENT
};

static const struct argp_option OPTIONS[] = {
    {"data", KEY_DATA, "FILE", 0, "Labelled texts: a file or glob; may be repeated", 0},
    {"per-label", KEY_PER_LABEL, "N", 0, "Texts of each label (samples_per_label)", 0},
    {"seed", KEY_SEED, "N", 0, "What is drawn (default: 42)", 0},
    {"text-column", KEY_TEXT, "C", 0, "Column of the text: name, or number from 0", 1},
    {"text-pair-column", KEY_PAIR, "C", 0, "Column of the second text", 1},
    {"label-column", KEY_LABEL, "C", 0, "Column of the label", 1},
    {"multi-label", KEY_MULTI, NULL, 0,
     "A text has any number of labels (problem_type multi_label_classification), and counts for "
     "each of them",
     1},
    {"label-separator", KEY_SEPARATOR, "TEXT", 0,
     "Stands between the labels of a cell (default: a comma)", 1},
    {"header", KEY_HEADER, NULL, 0, "The first line names the columns", 1},
    {"lenient", KEY_LENIENT, NULL, 0, "Replace broken UTF-8 instead of stopping", 1},
    {0},
};

static bool has_sets(const struct sample *sample)
{
    return sample->source.label_form == SB_LABEL_SET;
}

static void number_option(uint64_t *value, const char *option, const char *text, uint64_t min,
                          struct argp_state *state)
{
    struct sb_err err = SB_ERR_INIT;
    if (sb_cmd_number(value, option, text, min, UINT64_MAX, &err) < 0)
        argp_error(state, "%s", err.text);
}

static void add_path(struct sample *sample, char *path, struct argp_state *state)
{
    size_t count = sample->source.path_count++;
    if (!strcmp(path, "-"))
        argp_error(state, "the data is read twice, and standard input cannot be");
    sample->paths = sb_realloc(sample->paths, (count + 1) * sizeof(*sample->paths));
    sample->paths[count] = path;
    sample->source.paths = sample->paths;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct sample *sample = state->input;
    switch (key) {
    case KEY_DATA:
    case ARGP_KEY_ARG:
        add_path(sample, argument, state);
        return 0;
    case KEY_PER_LABEL:
        number_option(&sample->per_label, "--per-label", argument, 1, state);
        return 0;
    case KEY_SEED:
        number_option(&sample->seed, "--seed", argument, 0, state);
        return 0;
    case KEY_TEXT:
        sample->source.text_column = argument;
        return 0;
    case KEY_PAIR:
        sample->source.text_pair_column = argument;
        return 0;
    case KEY_LABEL:
        sample->source.label_column = argument;
        return 0;
    case KEY_MULTI:
        sample->source.label_form = SB_LABEL_SET;
        return 0;
    case KEY_SEPARATOR:
        sample->source.label_separator = argument;
        return 0;
    case KEY_HEADER:
        sample->source.header = true;
        return 0;
    case KEY_LENIENT:
        sample->source.lenient = true;
        return 0;
    case ARGP_KEY_END:
        if (!sample->source.path_count || !sample->per_label)
            argp_error(state, "--data FILE and --per-label N are needed");
        if (sample->source.label_separator && !has_sets(sample))
            argp_error(state, "--label-separator needs --multi-label");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The records that a data set makes samples of, one after the other. */
static int next_sample(struct sb_reader *reader, struct sb_record *record,
                       const struct sample *sample, struct sb_err *err)
{
    int rc;
    do
        rc = sb_reader_next(reader, record, err);
    while (rc > 0 && record->blank);
    if (rc > 0 && (!record->label || (!*record->label && !has_sets(sample))))
        return sb_err_set(err, SB_ERR_DATA, "%s:%" PRIu64 ": there is no label", record->path,
                          record->line);
    return rc;
}

/* The number of its label, or of its set of labels. */
static int number_label(int32_t *class, struct sample *sample, const struct sb_record *record,
                        struct sb_err *err)
{
    const char *name = record->label;
    int most = has_sets(sample) ? SB_LABEL_SETS_MAX : SB_LABELS_MAX;
    if (has_sets(sample)) {
        if (sb_label_set_name(&sample->name, record->label, &sample->parts, false, record->path,
                              record->line, err) < 0)
            return -1;
        name = sample->name.data;
    }
    *class = sb_labels_find(&sample->labels, name);
    if (*class >= 0)
        return 0;
    if (sample->labels.count == (size_t)most)
        return sb_err_set(
            err, SB_ERR_DATA, "%s:%" PRIu64 ": more than %d different %s; is --label-column right?",
            record->path, record->line, most, has_sets(sample) ? "sets of labels" : "labels");
    *class = sb_labels_add(&sample->labels, name);
    return 0;
}

static int read_labels(struct sample *sample, struct sb_err *err)
{
    struct sb_reader *reader;
    struct sb_record record;
    int rc;
    if (sb_reader_open(&reader, &sample->source, err) < 0)
        return -1;
    while ((rc = next_sample(reader, &record, sample, err)) > 0) {
        int32_t class;
        if ((rc = number_label(&class, sample, &record, err)) < 0)
            break;
        if (sample->count == sample->capacity) {
            sample->capacity = sample->capacity ? 2 * sample->capacity : 1024;
            sample->classes =
                sb_realloc(sample->classes, sample->capacity * sizeof(*sample->classes));
        }
        sample->classes[sample->count++] = class;
    }
    sb_reader_free(&reader);
    return rc;
}

static int label_of(int32_t *label, const void *context, uint64_t index, struct sb_err *err)
{
    (void)err;
    *label = ((const struct sample *)context)->classes[index];
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void set_text(json_t *object, const char *key, const char *text, size_t bytes)
{
    json_object_set_new(object, key, json_stringn(text, bytes));
}

/* The labels that a set's name is made of. */
static json_t *list_labels(const char *name)
{
    json_t *list = json_array();
    const char separator[] = {SB_LABEL_SEPARATOR, 0};
    for (const char *at = name; *at;) {
        size_t bytes = strcspn(at, separator);
        json_array_append_new(list, json_stringn(at, bytes));
        at += bytes + (at[bytes] != 0);
    }
    return list;
}

static int print_record(const struct sb_record *record, const struct sample *sample,
                        struct sb_err *err)
{
    json_t *object = json_object();
    bool pair = record->text_pair != NULL;
    set_text(object, pair ? "sentence1" : "text", record->text, record->text_bytes);
    if (pair)
        set_text(object, "sentence2", record->text_pair, record->text_pair_bytes);
    if (has_sets(sample))
        json_object_set_new(object, "label", list_labels(record->label));
    else
        set_text(object, "label", record->label, strlen(record->label));
    json_object_set_new(object, "line", json_integer((json_int_t)record->line));
    return sb_answer_print(object, err);
}

/* The second reading: the chosen ones, in the order of the data. */
static int print_chosen(const struct sample *sample, struct sb_few_shot *chosen, struct sb_err *err)
{
    struct sb_reader *reader;
    struct sb_record record;
    uint64_t next = 0, index = 0;
    int rc = 0;
    qsort(chosen->samples, chosen->count, sizeof(*chosen->samples), by_number);
    if (sb_reader_open(&reader, &sample->source, err) < 0)
        return -1;
    while (next < chosen->count && (rc = next_sample(reader, &record, sample, err)) > 0) {
        if (index++ != chosen->samples[next])
            continue;
        next++;
        if ((rc = print_record(&record, sample, err)) < 0)
            break;
    }
    sb_reader_free(&reader);
    if (next < chosen->count)
        return rc < 0 ? -1 : sb_err_set(err, SB_ERR_DATA, "the data changed while it was read");
    return sb_cmd_finish_output(err);
}

/* names [chosen->label_count] */
static void say_short_labels(const struct sample *sample, const struct sb_few_shot *chosen,
                             char *const *names)
{
    for (size_t l = 0; l < chosen->label_count; l++)
        if (chosen->label_sizes[l] < sample->per_label)
            fprintf(stderr, "shardbert: class '%.80s' has only %" PRIu64 "\n", names[l],
                    chosen->label_sizes[l]);
}

static int choose_of_sets(struct sb_few_shot *chosen, const struct sample *sample,
                          struct sb_err *err)
{
    struct sb_label_sets sets;
    const struct sb_dataset_options found = {0}; /* labels are those that are there */
    int rc =
        sb_label_sets_init(&sets, sample->labels.names, sample->labels.count, &found, err) < 0 ||
                sb_few_shot_choose_sets_by(chosen, sample->count, &sets, label_of, sample,
                                           sample->per_label, sample->seed, err) < 0
            ? -1
            : 0;
    if (rc == 0)
        say_short_labels(sample, chosen, sets.classes.names);
    sb_label_sets_release(&sets);
    return rc;
}

static int choose_of_classes(struct sb_few_shot *chosen, const struct sample *sample,
                             struct sb_err *err)
{
    if (sb_few_shot_choose_by(chosen, sample->count, sample->labels.count, label_of, sample,
                              sample->per_label, sample->seed, err) < 0)
        return -1;
    say_short_labels(sample, chosen, sample->labels.names);
    return 0;
}

static int choose(struct sample *sample, struct sb_err *err)
{
    struct sb_few_shot chosen = SB_FEW_SHOT_INIT;
    if (read_labels(sample, err) < 0)
        return -1;
    if (!sample->count)
        return sb_err_set(err, SB_ERR_DATA, "there is no sample in '%s'", sample->paths[0]);
    if ((has_sets(sample) ? choose_of_sets : choose_of_classes)(&chosen, sample, err) < 0)
        return -1;
    int rc = print_chosen(sample, &chosen, err);
    sb_few_shot_release(&chosen);
    return rc;
}

int sb_cmd_sample(int argc, char **argv)
{
    static const struct argp argp = {
        .options = OPTIONS,
        .parser = parse,
        .args_doc = "--data FILE --per-label N",
        .doc = "Choose a few labelled texts of each label at random.\v"
               "Prints JSON lines of text (sentence1 and sentence2 of a pair), label and line, in "
               "the order of the data. The same data and seed give the same texts, and they are "
               "those that a job with samples_per_label trains on: so other methods can be given "
               "the same few. A larger N holds the texts of a smaller one. With --multi-label the "
               "first N of each label are taken, and a text without labels is not.",
    };
    struct sample sample = {.seed = 42, .source = {.labelled = true}, .labels = SB_LABELS_INIT};
    struct sb_err err = SB_ERR_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &sample);
    int rc = choose(&sample, &err);
    sb_labels_release(&sample.labels);
    sb_labels_release(&sample.parts);
    sb_bytes_release(&sample.name);
    free(sample.classes);
    free(sample.paths);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
