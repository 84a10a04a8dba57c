#include "data_check.h"

#include "dataset_parts.h"

#include <inttypes.h>
#include <stdlib.h>

/* The least length that at least percent of all samples do not exceed (nearest rank). */
static uint32_t percentile(const uint64_t *per_length, uint64_t samples, unsigned percent)
{
    uint64_t rank = samples / 100 * percent + (samples % 100 * percent + 99) / 100, seen = 0;
    uint32_t length = 0;
    while ((seen += per_length[length]) < rank)
        length++;
    return length;
}

int sb_data_summarise(struct sb_data_summary *summary, const struct sb_dataset *dataset,
                      struct sb_err *err)
{
    const struct sb_cache *cache = sb_dataset_cache(dataset);
    uint64_t *per_length = sb_calloc((size_t)cache->max_length + 1, sizeof(*per_length));
    *summary = (struct sb_data_summary){
        .samples = cache->counts.samples,
        .tokens = cache->counts.tokens,
        .truncated = cache->counts.truncated,
        .label_count = cache->label_count,
        .per_label = sb_calloc(cache->label_count, sizeof(*summary->per_label)),
    };
    int rc = 0;
    for (uint64_t sample = 0; sample < summary->samples && rc == 0; sample++) {
        struct sb_cache_entry entry;
        rc = sb_cache_entry_read(cache, sample, &entry, err);
        if (rc < 0)
            break;
        per_length[entry.length]++;
        if (entry.length > summary->length_max)
            summary->length_max = entry.length;
        if (entry.label >= 0 && !(entry.flags & SB_CACHE_SCORE))
            summary->per_label[entry.label]++;
        else
            summary->unlabelled++;
    }
    if (rc == 0) {
        summary->length_p50 = percentile(per_length, summary->samples, 50);
        summary->length_p95 = percentile(per_length, summary->samples, 95);
    } else {
        sb_data_summary_release(summary);
    }
    free(per_length);
    return rc;
}

void sb_data_summary_release(struct sb_data_summary *summary)
{
    free(summary->per_label);
    *summary = (struct sb_data_summary){0};
}

static void print(struct sb_bytes *out, const struct sb_data_summary *summary,
                  const struct sb_dataset *dataset)
{
    double samples = (double)summary->samples;
    sb_bytes_printf(out, "samples    %" PRIu64 "\n", summary->samples);
    sb_bytes_printf(out, "tokens     %" PRIu64 " (%.1f a sample)\n", summary->tokens,
                    (double)summary->tokens / samples);
    sb_bytes_printf(out, "length     p50 %" PRIu32 ", p95 %" PRIu32 ", max %" PRIu32 " tokens\n",
                    summary->length_p50, summary->length_p95, summary->length_max);
    sb_bytes_printf(out, "truncated  %" PRIu64 " (%.2f %%)\n", summary->truncated,
                    100 * (double)summary->truncated / samples);
    if (!sb_dataset_is_labelled(dataset))
        return;
    sb_bytes_printf(out, "labels     %zu\n", summary->label_count);
    for (size_t id = 0; id < summary->label_count; id++)
        sb_bytes_printf(out, "  %-4zu %-24s %" PRIu64 " (%.2f %%)\n", id,
                        sb_dataset_label(dataset, id), summary->per_label[id],
                        100 * (double)summary->per_label[id] / samples);
    if (summary->unlabelled)
        sb_bytes_printf(out, "  without a label: %" PRIu64 "\n", summary->unlabelled);
}

int sb_data_check(struct sb_bytes *out, const struct sb_wordpiece *tokenizer,
                  const struct sb_dataset_options *options, struct sb_err *err)
{
    struct sb_dataset *dataset;
    struct sb_data_summary summary;
    if (sb_dataset_open(&dataset, tokenizer, options, err) < 0)
        return -1;
    int rc = sb_data_summarise(&summary, dataset, err);
    if (rc == 0) {
        print(out, &summary, dataset);
        sb_data_summary_release(&summary);
    }
    sb_dataset_free(&dataset);
    return rc;
}
