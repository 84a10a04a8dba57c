#include "dropout.h"

#include "kernel.h"

#include <math.h>
#include <string.h>

enum { GROUP = 128, GROUP_WORDS = 64, GROUP_BLOCKS = 16 };

struct sb_dropout sb_dropout_of(const struct sb_rng *rng, double rate)
{
    if (rng == NULL || !(rate > 0))
        return (struct sb_dropout){.threshold = 0, .scale = 1.0f};
    double threshold = floor(rate * 65536.0 + 0.5);
    threshold = threshold > 65535.0 ? 65535.0 : threshold;
    return (struct sb_dropout){.rng = *rng,
                               .threshold = (uint32_t)threshold,
                               .scale = (float)(65536.0 / (65536.0 - threshold))};
}

/* Draws the groups first_group, first_group + 1, ... of one sample and site. */
typedef void draw_fn(uint32_t *out, const struct sb_rng *rng, uint64_t sample, uint32_t site,
                     uint32_t first_group, size_t group_count);

#define ROUNDS  10
#define FACTOR0 0xD2511F53u
#define FACTOR1 0xCD9E8D57u
#define WEYL0   0x9E3779B9u
#define WEYL1   0xBB67AE85u

/*
 * Philox4x32-10 (Salmon et al., 2011) for 16 counters that differ in their last word only; the same
 * numbers as sb_rng_draw, which takes one counter at a time.
 */
static void draw_plain(uint32_t *out, const struct sb_rng *rng, uint64_t sample, uint32_t site,
                       uint32_t first_group, size_t group_count)
{
    for (size_t g = 0; g < group_count; g++, out += GROUP_WORDS) {
        uint32_t first_block = (first_group + (uint32_t)g) * GROUP_BLOCKS;
        for (uint32_t j = 0; j < GROUP_BLOCKS; j++) {
            uint32_t a = (uint32_t)sample, b = (uint32_t)(sample >> 32), c = site;
            uint32_t d = first_block + j;
            uint32_t key0 = rng->key[0], key1 = rng->key[1];
            for (int round = 0; round < ROUNDS; round++) {
                uint64_t p = (uint64_t)a * FACTOR0, q = (uint64_t)c * FACTOR1;
                a = (uint32_t)(q >> 32) ^ b ^ key0;
                b = (uint32_t)q;
                c = (uint32_t)(p >> 32) ^ d ^ key1;
                d = (uint32_t)p;
                key0 += WEYL0;
                key1 += WEYL1;
            }
            out[j] = a;
            out[GROUP_BLOCKS + j] = b;
            out[2 * GROUP_BLOCKS + j] = c;
            out[3 * GROUP_BLOCKS + j] = d;
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/*
 * The same with one counter in each 64-bit lane, of which the upper half is never looked at: the
 * instruction that multiplies two lower halves into a whole is what the compiler does not find.
 * Even and odd counters stand in two vectors, so that joining them at the end is one shuffle.
 */
struct state512 {
    __m512i a, b, c, d;
};

__attribute__((target("avx512f"), always_inline)) static inline struct state512
round512(struct state512 s, __m512i key0, __m512i key1)
{
    enum { XOR_OF_THREE = 0x96 };
    __m512i p = _mm512_mul_epu32(s.a, _mm512_set1_epi64(FACTOR0));
    __m512i q = _mm512_mul_epu32(s.c, _mm512_set1_epi64(FACTOR1));
    return (struct state512){
        .a = _mm512_ternarylogic_epi64(_mm512_srli_epi64(q, 32), s.b, key0, XOR_OF_THREE),
        .b = q,
        .c = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p, 32), s.d, key1, XOR_OF_THREE),
        .d = p};
}

__attribute__((target("avx512f"), always_inline)) static inline void
join512(uint32_t *out, __m512i even, __m512i odd)
{
    _mm512_storeu_si512(out, _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, 0xA0));
}

__attribute__((target("avx512f"))) static void draw_avx512(uint32_t *out, const struct sb_rng *rng,
                                                           uint64_t sample, uint32_t site,
                                                           uint32_t first_group, size_t group_count)
{
    const __m512i steps = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    for (size_t g = 0; g < group_count; g++, out += GROUP_WORDS) {
        uint32_t block = (first_group + (uint32_t)g) * GROUP_BLOCKS;
        struct state512 even = {.a = _mm512_set1_epi64((int64_t)(uint32_t)sample),
                                .b = _mm512_set1_epi64((int64_t)(sample >> 32)),
                                .c = _mm512_set1_epi64((int64_t)site),
                                .d = _mm512_add_epi64(_mm512_set1_epi64((int64_t)block), steps)};
        struct state512 odd = even;
        odd.d = _mm512_add_epi64(even.d, _mm512_set1_epi64(1));
        uint32_t key0 = rng->key[0], key1 = rng->key[1];
        for (int round = 0; round < ROUNDS; round++, key0 += WEYL0, key1 += WEYL1) {
            __m512i k0 = _mm512_set1_epi64((int64_t)key0), k1 = _mm512_set1_epi64((int64_t)key1);
            even = round512(even, k0, k1);
            odd = round512(odd, k0, k1);
        }
        join512(out, even.a, odd.a);
        join512(out + GROUP_BLOCKS, even.b, odd.b);
        join512(out + 2 * GROUP_BLOCKS, even.c, odd.c);
        join512(out + 3 * GROUP_BLOCKS, even.d, odd.d);
    }
}

struct state256 {
    __m256i a, b, c, d;
};

__attribute__((target("avx2"), always_inline)) static inline struct state256
round256(struct state256 s, __m256i key0, __m256i key1)
{
    __m256i p = _mm256_mul_epu32(s.a, _mm256_set1_epi64x(FACTOR0));
    __m256i q = _mm256_mul_epu32(s.c, _mm256_set1_epi64x(FACTOR1));
    return (struct state256){
        .a = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(q, 32), s.b), key0),
        .b = q,
        .c = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p, 32), s.d), key1),
        .d = p};
}

__attribute__((target("avx2"), always_inline)) static inline void join256(uint32_t *out,
                                                                          __m256i even, __m256i odd)
{
    _mm256_storeu_si256((__m256i *)out,
                        _mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xA0), 0xAA));
}

__attribute__((target("avx2"))) static void draw_avx2(uint32_t *out, const struct sb_rng *rng,
                                                      uint64_t sample, uint32_t site,
                                                      uint32_t first_group, size_t group_count)
{
    const __m256i steps = _mm256_setr_epi64x(0, 2, 4, 6);
    for (size_t half = 0; half < 2 * group_count; half++) {
        uint32_t *to = out + half / 2 * GROUP_WORDS + half % 2 * 8;
        uint32_t block = first_group * GROUP_BLOCKS + (uint32_t)half * 8;
        struct state256 even = {.a = _mm256_set1_epi64x((int64_t)(uint32_t)sample),
                                .b = _mm256_set1_epi64x((int64_t)(sample >> 32)),
                                .c = _mm256_set1_epi64x((int64_t)site),
                                .d = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)block), steps)};
        struct state256 odd = even;
        odd.d = _mm256_add_epi64(even.d, _mm256_set1_epi64x(1));
        uint32_t key0 = rng->key[0], key1 = rng->key[1];
        for (int round = 0; round < ROUNDS; round++, key0 += WEYL0, key1 += WEYL1) {
            __m256i k0 = _mm256_set1_epi64x((int64_t)key0), k1 = _mm256_set1_epi64x((int64_t)key1);
            even = round256(even, k0, k1);
            odd = round256(odd, k0, k1);
        }
        join256(to, even.a, odd.a);
        join256(to + GROUP_BLOCKS, even.b, odd.b);
        join256(to + 2 * GROUP_BLOCKS, even.c, odd.c);
        join256(to + 3 * GROUP_BLOCKS, even.d, odd.d);
    }
}

/* NULL where the processor lacks it. */
static draw_fn *draw_by(enum sb_dropout_way way)
{
    if (way == SB_DROPOUT_AVX512)
        return __builtin_cpu_supports("avx512f") ? draw_avx512 : NULL;
    if (way == SB_DROPOUT_AVX2)
        return __builtin_cpu_supports("avx2") ? draw_avx2 : NULL;
    return draw_plain;
}
#else
static draw_fn *draw_by(enum sb_dropout_way way)
{
    return way == SB_DROPOUT_PLAIN ? draw_plain : NULL;
}
#endif

bool sb_dropout_words_by(enum sb_dropout_way way, uint16_t *words, const struct sb_dropout *dropout,
                         uint64_t sample, uint32_t site, size_t first, size_t count)
{
    enum { AT_ONCE = 4 };
    uint32_t drawn[AT_ONCE * GROUP_WORDS];
    size_t skip = first % GROUP;
    uint32_t group = (uint32_t)(first / GROUP);
    draw_fn *draw = draw_by(way);
    if (draw == NULL)
        return false;
    while (count > 0) {
        size_t groups = (skip + count + GROUP - 1) / GROUP;
        groups = groups > AT_ONCE ? AT_ONCE : groups;
        draw(drawn, &dropout->rng, sample, site, group, groups);
        size_t taken = groups * GROUP - skip;
        taken = taken > count ? count : taken;
        memcpy(words, (const uint16_t *)drawn + skip, taken * sizeof(*words));
        words += taken;
        count -= taken;
        group += (uint32_t)groups;
        skip = 0;
    }
    return true;
}

void sb_dropout_words(uint16_t *words, const struct sb_dropout *dropout, uint64_t sample,
                      uint32_t site, size_t first, size_t count)
{
    for (int way = SB_DROPOUT_AVX512; way >= SB_DROPOUT_PLAIN; way--)
        if (sb_dropout_words_by((enum sb_dropout_way)way, words, dropout, sample, site, first,
                                count))
            return;
}

SB_KERNEL void sb_dropout_apply(float *y, const float *x, const uint16_t *words, size_t n,
                                const struct sb_dropout *dropout)
{
    const int32_t threshold = (int32_t)dropout->threshold;
    const float scale = dropout->scale;
    for (size_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        y[i] = (int32_t)words[i] < threshold ? 0.0f : kept;
    }
}

SB_KERNEL void sb_dropout_residual(float *z, const float *x, const float *residual,
                                   const uint16_t *words, size_t n,
                                   const struct sb_dropout *dropout)
{
    const int32_t threshold = (int32_t)dropout->threshold;
    const float scale = dropout->scale;
    for (size_t i = 0; i < n; i++) {
        float kept = x[i] * scale;
        z[i] = residual[i] + ((int32_t)words[i] < threshold ? 0.0f : kept);
    }
}
