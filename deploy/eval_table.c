#include "eval_table.h"

#include "entities_json.h"
#include "scored.h"

#include <stdio.h>

static void print_confusion(const json_t *labels, const json_t *confusion)
{
    size_t K = json_array_size(labels);
    int width = 6;
    for (size_t k = 0; k < K; k++) {
        size_t length = json_string_length(json_array_get(labels, k));
        width = length > (size_t)width ? (int)length : width;
    }
    printf("\n%-*s", width, "gold");
    for (size_t k = 0; k < K; k++)
        printf("  %*s", width, json_string_value(json_array_get(labels, k)));
    for (size_t i = 0; i < K; i++) {
        printf("\n%-*s", width, json_string_value(json_array_get(labels, i)));
        for (size_t j = 0; j < K; j++)
            printf("  %*" JSON_INTEGER_FORMAT, width,
                   json_integer_value(json_array_get(json_array_get(confusion, i), j)));
    }
    putchar('\n');
}

void sb_eval_table_print(json_t *scores)
{
    const char *key;
    json_t *value;
    char text[SB_SCORE_TEXT_BYTES];
    json_object_foreach(scores, key, value)
    {
        if (json_is_integer(value))
            printf("%-20s %12" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
        else if (json_is_real(value))
            printf("%-20s       %s\n", key, sb_score_text(text, scores, key, "samples"));
    }
    if (json_object_get(scores, "entities"))
        sb_entities_print(scores);
    printf("\n%s\n", json_string_value(json_object_get(scores, "ci_method")));
    json_t *per_label = json_object_get(scores, "per_label"), *three;
    json_object_foreach(per_label, key, three)
        printf("%-20s  f1 %.4f  precision %.4f  recall %.4f\n", key,
               json_real_value(json_object_get(three, "f1")),
               json_real_value(json_object_get(three, "precision")),
               json_real_value(json_object_get(three, "recall")));
    const json_t *labels = json_object_get(scores, "labels");
    if (labels && json_array_size(labels) <= 12)
        print_confusion(labels, json_object_get(scores, "confusion_matrix"));
}
