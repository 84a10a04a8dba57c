#include "config_rows.h"

#include "arena.h"

#include <ctype.h>
#include <string.h>

#define WHOLE(default, min, max) .whole = {default, min, max}
#define REAL(default, min, max)  .real = {default, min, max}
#define TEXT(default, min, max)  .text = default
#define WORD(default, min, max)  .text = default, .words = min

#define VALUES_u32   WHOLE
#define VALUES_u64   WHOLE
#define VALUES_flag  WHOLE
#define VALUES_real  REAL
#define VALUES_text  TEXT
#define VALUES_path  TEXT
#define VALUES_list  TEXT
#define VALUES_names TEXT
#define VALUES_paths TEXT
#define VALUES_word  WORD

const struct sb_row sb_rows[] = {
#define SB_SECTION(title) {.section = title},
#define SB_OPT(scope_, name_, type_, default_, min_, max_, unit_, help_)                           \
    {                                                                                              \
        .name = #name_,                                                                            \
        .scope = SB_SCOPE_##scope_,                                                                \
        .type = SB_ROW_##type_,                                                                    \
        .offset = offsetof(struct sb_job, name_),                                                  \
        VALUES_##type_(default_, min_, max_),                                                      \
        .unit = unit_,                                                                             \
        .help = help_,                                                                             \
    },
#include "options.def"
#undef SB_OPT
};

const size_t sb_row_count = sizeof(sb_rows) / sizeof(sb_rows[0]);

const struct sb_row *sb_row_find(const char *key)
{
    for (size_t i = 0; i < sb_row_count; i++) {
        if (sb_rows[i].name && !strcmp(sb_rows[i].name, key))
            return &sb_rows[i];
    }
    return NULL;
}

/* What people write who come from other tools, and which no count of letters would find. */
static const struct {
    const char *theirs, *ours;
} other_names[] = {
    {"lr", "learning_rate"},
    {"epochs", "num_train_epochs"},
    {"num_epochs", "num_train_epochs"},
    {"model", "model_name_or_path"},
    {"tokenizer", "tokenizer_name"},
    {"scheduler", "lr_scheduler_type"},
    {"warmup_proportion", "warmup_ratio"},
    {"clip_grad_norm", "max_grad_norm"},
    {"max_length", "max_seq_length"},
    {"eval_file", "validation_file"},
    {"dev_file", "validation_file"},
    {"train_batch_size", "batch_size"},
    {"per_device_train_batch_size", "batch_size"},
    {"gradient_accumulation_steps", "slots"},
    {"num_samples", "samples_per_label"},
    {"use_differentiable_head", "head"},
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance in one row of its table; case does not count, '-' is '_'. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1];
    size_t width = strlen(b);
    if (strlen(a) > LONGEST || width > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        char letter = a[i] == '-' ? '_' : (char)tolower((unsigned char)a[i]);
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t replaced = diagonal + (letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(replaced, 1 + least(row[j], row[j + 1]));
        }
    }
    return row[width];
}

const char *sb_row_suggest(const char *key)
{
    for (size_t i = 0; i < sizeof(other_names) / sizeof(other_names[0]); i++) {
        if (!strcmp(other_names[i].theirs, key))
            return other_names[i].ours;
    }
    /* A third of the letters may be wrong; beyond that a suggestion is a guess. */
    size_t best = strlen(key) / 3 + 1;
    const char *found = NULL;
    for (size_t i = 0; i < sb_row_count; i++) {
        size_t d = sb_rows[i].name ? distance(key, sb_rows[i].name) : SIZE_MAX;
        if (d < best || (!found && d == best)) {
            best = d;
            found = sb_rows[i].name;
        }
    }
    return found;
}
