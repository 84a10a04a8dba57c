#include "card.h"

#include "file.h"
#include "inputs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Whoever takes this line out owns the file from then on. */
static const char MARK[] = "<!-- Written by shardbert at the end of a training, and written again "
                           "by the next one. Take out this line to keep your own words. -->";

/* What Hugging Face calls a task, the score that speaks for it, and how a folder of it is loaded.
 */
static const struct {
    const char *task, *pipeline, *words, *score, *class, *command;
} KINDS[] = {
    {"mlm", "fill-mask", "a masked language model", "eval_perplexity", "AutoModelForMaskedLM",
     "echo 'One [MASK] here.' | shardbert fill-mask --model"},
    {"classify", "text-classification", "a classifier of texts", "eval_f1_macro",
     "AutoModelForSequenceClassification", "echo 'A text.' | shardbert predict --model"},
    {"ner", "token-classification", "a tagger of words", "eval_f1",
     "AutoModelForTokenClassification", "echo 'A text.' | shardbert predict --model"},
    {"setfit", "text-classification", "a classifier of texts from few labels", "eval_f1_macro",
     "SentenceTransformer", "echo 'A text.' | shardbert predict --model"},
    {"embed", "sentence-similarity", "a body for sentence embeddings", "eval_spearman_cosine",
     "SentenceTransformer", "echo 'A text.' | shardbert embed --model"},
};
enum { KIND_COUNT = sizeof(KINDS) / sizeof(*KINDS) };

/* The row of KINDS; of a task that is not there, the last, whose words fit any body. */
static size_t kind_of(const char *task)
{
    size_t i = 0;
    while (i + 1 < KIND_COUNT && strcmp(KINDS[i].task, task) != 0)
        i++;
    return i;
}

/* A body with its pooling, which sentence-transformers opens. */
static bool of_sentences(size_t kind)
{
    return !strcmp(KINDS[kind].class, "SentenceTransformer");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A JSON string is a YAML string too. */
static void print_quoted(struct sb_bytes *out, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    sb_bytes_append_text(out, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(json);
}

/* In a cell of a table: no bar and no line of its own. */
static void print_cell(struct sb_bytes *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|' || *p == '`' || *p == '<')
            sb_bytes_append_text(out, "\\");
        sb_bytes_append(out, (unsigned char)*p < ' ' ? " " : p, 1);
    }
}

void sb_settings_chosen(const char *canonical,
                        void (*take)(void *context, const char *key, const char *value),
                        void *context)
{
    struct sb_job defaults;
    struct sb_bytes usual = SB_BYTES_INIT, line = SB_BYTES_INIT;
    sb_job_init(&defaults);
    sb_bytes_append_text(&usual, "\n");
    sb_job_canonical(&defaults, &usual);
    for (const char *at = canonical; *at;) {
        size_t bytes = strcspn(at, "\n");
        sb_bytes_clear(&line);
        sb_bytes_printf(&line, "\n%.*s\n", (int)bytes, at);
        char *equals = strchr(line.data, '=');
        if (equals && !strstr(usual.data, line.data)) {
            line.data[bytes + 1] = 0;
            *equals = 0;
            take(context, line.data + 1, equals + 1);
        }
        at += bytes + (at[bytes] == '\n');
    }
    sb_bytes_release(&line);
    sb_bytes_release(&usual);
    sb_job_release(&defaults);
}

static void print_names(struct sb_bytes *out, const json_t *input)
{
    const json_t *names = json_object_get(input, "names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        sb_bytes_append_text(out, i ? ", " : "");
        print_cell(out, json_string_value(json_array_get(names, i)));
    }
}

/* The key of the setting that names a split. */
static const char *key_of_split(const char *split)
{
    return !strcmp(split, "train")        ? "train_file"
           : !strcmp(split, "validation") ? "validation_file"
                                          : "test_file";
}

/* ---- front matter ---- */

static void print_results(struct sb_bytes *out, const struct sb_card *card, const char *split,
                          const json_t *scores)
{
    const json_t *inputs = json_object_get(card->record, "inputs");
    const json_t *file = json_object_get(inputs, key_of_split(split));
    const char *name = json_string_value(json_array_get(json_object_get(file, "names"), 0));
    const char *key;
    json_t *value;
    size_t count = 0;
    json_object_foreach((json_t *)(uintptr_t)scores, key, value)
    {
        const char *metric = strchr(key, '_');
        if (!json_is_real(value) || !metric)
            continue;
        if (!count++) {
            sb_bytes_printf(out, "  - task:\n      type: %s\n    dataset:\n      name: ",
                            KINDS[kind_of(text_of(card->record, "task"))].pipeline);
            print_quoted(out, name ? name : split);
            sb_bytes_printf(out, "\n      type: text\n      split: %s\n    metrics:\n", split);
        }
        sb_bytes_append_text(out, "    - type: ");
        print_quoted(out, metric + 1);
        sb_bytes_printf(out, "\n      value: %.6g\n", json_real_value(value));
    }
}

static void print_front(struct sb_bytes *out, const struct sb_card *card)
{
    size_t kind = kind_of(text_of(card->record, "task"));
    const char *split;
    json_t *scores;
    sb_bytes_printf(out, "---\nlibrary_name: %s\npipeline_tag: %s\ntags:\n- bert\n- shardbert\n",
                    of_sentences(kind) ? "sentence-transformers" : "transformers",
                    KINDS[kind].pipeline);
    const json_t *all = json_object_get(card->record, "scores");
    if (json_object_size(all)) {
        sb_bytes_append_text(out, "model-index:\n- name: ");
        print_quoted(out, card->name);
        sb_bytes_append_text(out, "\n  results:\n");
    }
    json_object_foreach((json_t *)(uintptr_t)all, split, scores)
        print_results(out, card, split, scores);
    sb_bytes_append_text(out, "---\n");
}

/* ---- sections ---- */

static void print_head(struct sb_bytes *out, const struct sb_card *card)
{
    const char *task = text_of(card->record, "task");
    sb_bytes_printf(out, "%s\n\n# ", MARK);
    print_cell(out, card->name);
    sb_bytes_printf(out, "\n\nA BERT model: %s, trained by shardbert %s (`task: %s`)",
                    KINDS[kind_of(task)].words,
                    text_of(json_object_get(card->record, "versions"), "shardbert"), task);
    if (card->parameters)
        sb_bytes_printf(out, ", %" PRIu64 " parameters", card->parameters);
    sb_bytes_append_text(out, ".\n");
    for (size_t i = 0; i < card->label_count && i < 50; i++) {
        sb_bytes_append_text(out, i ? ", " : "Classes: ");
        print_cell(out, card->labels[i]);
    }
    if (card->label_count)
        sb_bytes_append_text(out, card->label_count > 50 ? " and more.\n" : ".\n");
}

/* The score that speaks for a record in one line. */
static void print_main_score(struct sb_bytes *out, const json_t *record)
{
    const char *const keys[] = {KINDS[kind_of(text_of(record, "task"))].score, "eval_pearson",
                                "eval_loss"};
    const json_t *scores = json_object_get(json_object_get(record, "scores"), "validation");
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const json_t *value = json_object_get(scores, keys[i]);
        if (!json_is_number(value))
            continue;
        sb_bytes_printf(out, "; %s %.4f of %.0f examples", keys[i], json_number_value(value),
                        json_number_value(json_object_get(scores, "eval_samples")));
        return;
    }
}

static void print_step(struct sb_bytes *out, const json_t *record, const char *name, size_t number)
{
    const json_t *train = json_object_get(json_object_get(record, "data"), "train");
    sb_bytes_printf(out, "%zu. **", number);
    print_cell(out, name);
    sb_bytes_append_text(out, "**: ");
    print_cell(out, text_of(record, "task"));
    sb_bytes_append_text(out, " on ");
    print_names(out, json_object_get(json_object_get(record, "inputs"), "train_file"));
    sb_bytes_printf(out, " (%.0f samples, %.0f tokens)",
                    json_number_value(json_object_get(train, "samples")),
                    json_number_value(json_object_get(train, "tokens")));
    print_main_score(out, record);
    sb_bytes_append_text(out, "; model ");
    print_cell(out, text_of(record, "model"));
    if (json_is_true(json_object_get(record, "changed")))
        sb_bytes_append_text(out, "; its files were changed after that");
    sb_bytes_append_text(out, "\n");
}

static void print_lineage(struct sb_bytes *out, const struct sb_card *card)
{
    const json_t *lineage = json_object_get(card->record, "lineage");
    size_t count = json_array_size(lineage), number = 1;
    const json_t *first = count ? json_array_get(lineage, 0) : card->record;
    const json_t *inputs = json_object_get(first, "inputs");
    const json_t *model = json_object_get(inputs, "model_name_or_path");
    sb_bytes_append_text(out, "\n## Lineage\n\n");
    if (model) {
        sb_bytes_printf(out, "%zu. **", number++);
        print_names(out, model);
        sb_bytes_append_text(out, "**: a model without a record of its training; content ");
        print_cell(out, text_of(model, "content"));
        sb_bytes_append_text(out, "\n");
    } else {
        sb_bytes_printf(out, "%zu. fresh weights of the shape of ", number++);
        print_names(out, json_object_get(inputs, "config_name"));
        sb_bytes_append_text(out, "\n");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *record = json_array_get(lineage, i);
        print_step(out, record, text_of(record, "name"), number++);
    }
    print_step(out, card->record, card->name, number);
}

static void print_data(struct sb_bytes *out, const struct sb_card *card)
{
    const json_t *inputs = json_object_get(card->record, "inputs");
    const char *split;
    json_t *data;
    sb_bytes_append_text(out, "\n## Data\n\n| split | files | samples | tokens | content |\n"
                              "| --- | --- | ---: | ---: | --- |\n");
    json_object_foreach(json_object_get(card->record, "data"), split, data)
    {
        const json_t *file = json_object_get(inputs, key_of_split(split));
        const char *content = text_of(file, "content");
        sb_bytes_printf(out, "| %s | ", split);
        print_names(out, file);
        sb_bytes_printf(out, " | %.0f | %.0f | `%s` |\n",
                        json_number_value(json_object_get(data, "samples")),
                        json_number_value(json_object_get(data, "tokens")),
                        *content ? content : text_of(data, "fingerprint"));
    }
    sb_bytes_append_text(out,
                         "\nContent: XXH3 of the bytes of the files, or, of a stream, the name "
                         "of the prepared data.\n");
}

static void print_setting(void *context, const char *key, const char *value)
{
    struct sb_bytes *out = context;
    sb_bytes_printf(out, "| %s | ", key);
    print_cell(out, value);
    sb_bytes_append_text(out, " |\n");
}

static void print_scores(struct sb_bytes *out, const struct sb_card *card)
{
    const char *split, *key;
    json_t *scores, *value;
    const json_t *all = json_object_get(card->record, "scores");
    sb_bytes_append_text(out, "\n## Scores\n\n");
    if (!json_object_size(all))
        sb_bytes_append_text(out, "None: the training had no validation or test data.\n");
    else
        sb_bytes_append_text(out, "| split | score | value | 95 % interval | examples |\n"
                                  "| --- | --- | ---: | --- | ---: |\n");
    json_object_foreach((json_t *)(uintptr_t)all, split, scores)
    {
        json_object_foreach(scores, key, value)
        {
            char name[256];
            if (!json_is_real(value))
                continue;
            snprintf(name, sizeof(name), "%.240s_ci", key);
            const json_t *interval = json_object_get(scores, name);
            snprintf(name, sizeof(name), "%s_samples", !strcmp(split, "test") ? "test" : "eval");
            sb_bytes_printf(out, "| %s | ", split);
            print_cell(out, key);
            sb_bytes_printf(out, " | %.4f | ", json_real_value(value));
            if (interval)
                sb_bytes_printf(out, "[%.4f, %.4f]", json_number_value(json_array_get(interval, 0)),
                                json_number_value(json_array_get(interval, 1)));
            sb_bytes_printf(out, " | %.0f |\n", json_number_value(json_object_get(scores, name)));
        }
    }
}

static void print_use(struct sb_bytes *out, const struct sb_card *card)
{
    size_t kind = kind_of(text_of(card->record, "task"));
    sb_bytes_append_text(out, "\n## Intended use\n\nThe owner of this model says here what it is "
                              "for, in which language, and under which licence.\n");
    sb_bytes_printf(out, "\n## How to load it\n\n    %s ", KINDS[kind].command);
    print_cell(out, card->name);
    sb_bytes_append_text(out, "\n\nor, in Python:\n\n");
    if (of_sentences(kind)) {
        sb_bytes_append_text(out, "    from sentence_transformers import SentenceTransformer\n"
                                  "    body = SentenceTransformer(");
        print_quoted(out, card->name);
        sb_bytes_append_text(out, ")\n");
        return;
    }
    sb_bytes_printf(out,
                    "    from transformers import AutoTokenizer, %s\n"
                    "    tokenizer = AutoTokenizer.from_pretrained(",
                    KINDS[kind].class);
    print_quoted(out, card->name);
    sb_bytes_printf(out, ")\n    model = %s.from_pretrained(", KINDS[kind].class);
    print_quoted(out, card->name);
    sb_bytes_append_text(out, ")\n");
}

void sb_card_print(struct sb_bytes *out, const struct sb_card *card)
{
    print_front(out, card);
    print_head(out, card);
    print_lineage(out, card);
    print_data(out, card);
    sb_bytes_append_text(out, "\n## Settings\n\nThose that decide the weights and differ from "
                              "shardbert's defaults.\n\n| setting | value |\n| --- | --- |\n");
    sb_settings_chosen(text_of(card->record, "settings"), print_setting, out);
    print_scores(out, card);
    print_use(out, card);
}

/* Is there a README.md that a person wrote, or took over? */
static bool is_foreign(const char *path)
{
    struct sb_bytes text = SB_BYTES_INIT;
    bool foreign = sb_file_exists(path) && (sb_file_read(&text, path, NULL) < 0 ||
                                            !strstr(text.data ? text.data : "", MARK));
    sb_bytes_release(&text);
    return foreign;
}

int sb_card_write(const struct sb_task *task, const json_t *record, struct sb_err *err)
{
    const struct sb_bert_config *config = &task->bert.config;
    char path[SB_PATH_BYTES], name[256];
    sb_model_name(name, sizeof(name), task->job->output_dir);
    if (is_foreign(sb_path_join(path, task->job->output_dir, "README.md")))
        return 0;
    struct sb_card card = {.name = name,
                           .record = record,
                           .labels = config->labels,
                           .label_count = task->mlm || !config->labels ? 0 : config->label_count,
                           .parameters = task->bert.params.float_count};
    struct sb_bytes text = SB_BYTES_INIT;
    sb_card_print(&text, &card);
    int rc = sb_file_write_atomic(path, text.data, text.count, err);
    sb_bytes_release(&text);
    return rc;
}
