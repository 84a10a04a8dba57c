#include "entities_json.h"

#include "answer.h"
#include "scored.h"

#include <stdio.h>

static const char *const MODES[] = {"default", "strict"};
static const char *const AVERAGES[] = {"micro", "macro", "weighted"};

static json_t *describe(const struct sb_entity_score *score)
{
    json_t *out = json_object();
    json_object_set_new(out, "precision", sb_answer_number(score->precision));
    json_object_set_new(out, "recall", sb_answer_number(score->recall));
    json_object_set_new(out, "f1", sb_answer_number(score->f1));
    json_object_set_new(out, "support", json_integer((json_int_t)score->gold));
    return out;
}

static json_t *describe_mode(const double *counts, const struct sb_tags *tags,
                             enum sb_entity_mode mode)
{
    size_t T = tags->type_count;
    json_t *out = json_object(), *types = json_object();
    for (int average = 0; average <= SB_ENTITY_WEIGHTED; average++) {
        struct sb_entity_score score =
            sb_entity_score_all(counts, T, mode, (enum sb_entity_average)average);
        json_object_set_new(out, AVERAGES[average], describe(&score));
    }
    for (size_t type = 0; type < T; type++) {
        struct sb_entity_score score = sb_entity_score_type(counts, T, mode, type);
        json_object_set_new(types, tags->type_names[type], describe(&score));
    }
    json_object_set_new(out, "types", types);
    return out;
}

void sb_entities_describe(json_t *out, const double *counts, const struct sb_tags *tags)
{
    json_t *entities = json_object();
    for (int mode = 0; mode < SB_ENTITY_MODES; mode++)
        json_object_set_new(entities, MODES[mode],
                            describe_mode(counts, tags, (enum sb_entity_mode)mode));
    json_object_set_new(out, "token_accuracy", sb_answer_number(sb_token_accuracy(counts)));
    json_object_set_new(out, "token_f1", sb_answer_number(sb_token_f1(counts)));
    json_object_set_new(out, "entities", entities);
}

static void print_row(const char *name, const json_t *score)
{
    char f1[SB_SCORE_TEXT_BYTES];
    printf("%-20s %10.4f %10.4f %10" JSON_INTEGER_FORMAT "     %s\n", name,
           json_real_value(json_object_get(score, "precision")),
           json_real_value(json_object_get(score, "recall")),
           json_integer_value(json_object_get(score, "support")), sb_value_text(f1, score, "f1"));
}

void sb_entities_print(const json_t *scores)
{
    const json_t *entities = json_object_get(scores, "entities");
    for (int mode = 0; mode < SB_ENTITY_MODES; mode++) {
        const json_t *of_mode = json_object_get(entities, MODES[mode]);
        const char *type;
        json_t *score;
        printf("\nentities, %-10s %10s %10s %10s     %s\n", MODES[mode], "precision", "recall",
               "support", "f1");
        json_object_foreach(json_object_get(of_mode, "types"), type, score) print_row(type, score);
        for (int average = 0; average <= SB_ENTITY_WEIGHTED; average++)
            print_row(AVERAGES[average], json_object_get(of_mode, AVERAGES[average]));
    }
}
