#include "dropout_ref.h"

uint16_t sb_dropout_word_ref(const struct sb_rng *rng, uint64_t sample, uint32_t site,
                             size_t element)
{
    size_t group = element / 128, word = element % 128 / 2;
    uint32_t drawn[4];
    sb_rng_draw(rng, sample, site, (uint32_t)(16 * group + word % 16), drawn);
    return (uint16_t)(element % 2 == 0 ? drawn[word / 16] : drawn[word / 16] >> 16);
}
