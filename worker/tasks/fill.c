#include "fill.h"

#include <math.h>

size_t sb_fill_best(uint32_t *best, size_t count, const float *logits, size_t pieces)
{
    size_t found = 0;
    for (size_t v = 0; v < pieces; v++) {
        if (found == count && !(logits[v] > logits[best[found - 1]]))
            continue;
        size_t place = found < count ? found++ : found - 1;
        for (; place && logits[v] > logits[best[place - 1]]; place--)
            best[place] = best[place - 1];
        best[place] = (uint32_t)v;
    }
    return found;
}

json_t *sb_fill_describe(const float *logits, size_t V, const struct sb_wordpiece *tokenizer,
                         uint32_t *best, size_t count)
{
    size_t found = sb_fill_best(best, count, logits, sb_wordpiece_count(tokenizer));
    double max = logits[0], sum = 0;
    for (size_t v = 1; v < V; v++)
        max = logits[v] > max ? logits[v] : max;
    for (size_t v = 0; v < V; v++)
        sum += exp(logits[v] - max);

    json_t *proposals = json_array();
    for (size_t i = 0; i < found; i++) {
        uint32_t id = best[i];
        double score = exp(logits[id] - max) / sum;
        json_t *proposal = json_object();
        json_object_set_new(proposal, "token",
                            json_string(sb_wordpiece_text(tokenizer, (int32_t)id)));
        json_object_set_new(proposal, "id", json_integer(id));
        json_object_set_new(proposal, "score", isfinite(score) ? json_real(score) : json_null());
        json_array_append_new(proposals, proposal);
    }
    return proposals;
}
